//! No trailing white space, no carriage returns, no tabs in Rust, one newline at the end.
//!
//! Text kept as test data is left alone: Slurm pads its columns, and a golden file must say so.
//! For the same reason a string literal in Rust may hold what it likes.

use super::Finding;
use super::rust::{Kind, Source};
use crate::workspace::SourceFile;

pub(super) fn check(file: &SourceFile, source: Option<&Source<'_>>, findings: &mut Vec<Finding>) {
    if is_test_data(&file.path) || file.text.is_empty() {
        return;
    }
    let mut offset = 0;
    for (index, line) in file.text.split_inclusive('\n').enumerate() {
        let content = line.strip_suffix('\n').unwrap_or(line);
        // The kind of the newline tells whether the line ends inside a literal.
        let in_literal = source.is_some_and(|source| source.kind_at(offset + content.len()) == Kind::Literal);
        if content.ends_with([' ', '\t', '\r']) && !in_literal {
            findings.push(Finding::new(&file.path, index + 1, "white space at the end of the line; remove it"));
        }
        let tab = content.find('\t');
        let tab_in_code = tab.zip(source).is_some_and(|(at, source)| source.kind_at(offset + at) == Kind::Code);
        if tab_in_code {
            findings.push(Finding::new(&file.path, index + 1, "a tab; indent Rust with spaces"));
        }
        offset += line.len();
    }
    let last = file.text.lines().count();
    if !file.text.ends_with('\n') {
        findings.push(Finding::new(&file.path, last, "no newline at the end of the file; add one"));
    } else if file.text.ends_with("\n\n") {
        findings.push(Finding::new(&file.path, last, "an empty line at the end of the file; remove it"));
    }
}

/// Whether a file holds text that a test compares byte by byte or feeds in as it came.
fn is_test_data(path: &str) -> bool {
    let is_code = path.ends_with(".rs") || path.ends_with(".md") || path.ends_with(".toml");
    let in_data_directory = path.split('/').any(|part| {
        matches!(part, "tests" | "testdata" | "snapshots" | "fixtures" | "golden" | "transcripts" | "corpus")
    });
    path.ends_with(".snap") || (in_data_directory && !is_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        let source = path.ends_with(".rs").then(|| Source::parse(&file.text));
        let mut findings = Vec::new();
        check(&file, source.as_ref(), &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn trailing_space_is_found_with_its_line() {
        assert_eq!(findings("a.md", "x\ny \n"), ["a.md:2: white space at the end of the line; remove it"]);
        assert_eq!(findings("a.md", "x\r\n"), ["a.md:1: white space at the end of the line; remove it"]);
        assert_eq!(findings("a.rs", "fn f() {} \n").len(), 1);
        assert_eq!(findings("a.rs", "// x \n").len(), 1);
    }

    #[test]
    fn literals_and_test_data_are_left_alone() {
        assert!(findings("a.rs", "const X: &str = \"a  \nb\t\n\";\n").is_empty());
        assert!(findings("crates/a/tests/golden/squeue.txt", "JOBID  \n\n").is_empty());
        assert!(findings("crates/a/src/snapshots/a.snap", "JOBID  ").is_empty());
    }

    #[test]
    fn files_end_with_one_newline() {
        assert_eq!(findings("a.md", "x"), ["a.md:1: no newline at the end of the file; add one"]);
        assert_eq!(findings("a.md", "x\n\n"), ["a.md:2: an empty line at the end of the file; remove it"]);
        assert!(findings("a.md", "").is_empty());
    }

    #[test]
    fn tabs_are_found_in_code() {
        assert_eq!(findings("a.rs", "\tfn f() {}\n"), ["a.rs:1: a tab; indent Rust with spaces"]);
        assert!(findings("Makefile", "\tcc x\n").is_empty());
    }
}
