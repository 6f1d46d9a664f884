//! Words that do not belong in a commit.
//!
//! Two kinds: macros that mark unfinished work, searched in code only; and names of package
//! registries, searched everywhere, because a build that names one cannot be moved behind a mirror.
//! `Cargo.lock` names its registry by necessity. The registry names are put together from parts so
//! that this file does not find itself.

use super::Finding;
use super::rust::{self, Source};
use crate::workspace::SourceFile;

struct Word {
    parts: &'static [&'static str],
    advice: &'static str,
}

const MACROS: &[Word] = &[
    Word { parts: &["todo!", "("], advice: "finish it, or return an error that says it is not supported" },
    Word { parts: &["unimplemented!", "("], advice: "return an error that says it is not supported" },
    Word { parts: &["dbg!", "("], advice: "remove it, or use tracing" },
];

const MIRROR: &str = "leave the registry to the client's configuration, so that a mirror can stand in";

const HOSTS: &[Word] = &[
    Word { parts: &["crates", ".", "io"], advice: MIRROR },
    Word { parts: &["pypi", ".", "org"], advice: MIRROR },
    Word { parts: &["pythonhosted", ".", "org"], advice: MIRROR },
    Word { parts: &["registry.npmjs", ".", "org"], advice: MIRROR },
    Word { parts: &["rubygems", ".", "org"], advice: MIRROR },
    Word { parts: &["proxy.golang", ".", "org"], advice: MIRROR },
];

pub(super) fn check(file: &SourceFile, source: Option<&Source<'_>>, findings: &mut Vec<Finding>) {
    if let Some(source) = source {
        for word in MACROS {
            let text = word.parts.concat();
            for offset in rust::words(source.code(), &text) {
                findings.push(found(&file.path, source.line_of(offset), &text, word.advice));
            }
        }
    }
    if file.path.ends_with("Cargo.lock") {
        return;
    }
    for word in HOSTS {
        let text = word.parts.concat();
        for (offset, _) in file.text.match_indices(&text) {
            let line = file.text[..offset].matches('\n').count() + 1;
            findings.push(found(&file.path, line, &text, word.advice));
        }
    }
}

fn found(path: &str, line: usize, text: &str, advice: &str) -> Finding {
    Finding::new(path, line, format!("`{text}` does not belong in a commit; {advice}"))
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
    fn macros_are_found_in_code_only() {
        let call = MACROS[0].parts.concat();
        let text = format!("fn f() {{\n    {call})\n}}\n");
        assert!(findings("a.rs", &text)[0].starts_with("a.rs:2: "));
        assert!(findings("a.rs", &format!("// {call}) is banned\n")).is_empty());
        assert!(findings("a.md", &call).is_empty());
    }

    #[test]
    fn hosts_are_found_everywhere_but_in_the_lock_file() {
        let host = HOSTS[0].parts.concat();
        assert_eq!(findings("a.md", &format!("x\nhttps://{host}/y\n")).len(), 1);
        assert_eq!(findings("a.rs", &format!("// see {host}\n")).len(), 1);
        assert!(findings("Cargo.lock", &host).is_empty());
    }
}
