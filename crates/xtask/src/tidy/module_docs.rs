//! Each module opens with why it exists, the invariants it keeps and what it leaves out.

use super::Finding;
use crate::workspace::SourceFile;

pub(super) fn check(file: &SourceFile, findings: &mut Vec<Finding>) {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let says_something = first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
    if !says_something {
        findings.push(Finding::new(
            &file.path,
            1,
            "no module documentation; begin the file with `//! ` and say what it is for",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str) -> bool {
        let mut findings = Vec::new();
        check(&SourceFile { path: "x.rs".to_owned(), text: text.to_owned() }, &mut findings);
        findings.is_empty()
    }

    #[test]
    fn the_first_line_must_document() {
        assert!(passes("//! Why.\nfn f() {}\n"));
        assert!(passes("\n//! Why.\n"));
        assert!(!passes("//!\nfn f() {}\n"));
        assert!(!passes("// A comment.\n//! Too late.\n"));
        assert!(!passes(""));
    }
}
