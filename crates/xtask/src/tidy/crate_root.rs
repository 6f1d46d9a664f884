//! `lib.rs` explains, declares modules and re-exports; logic lives in files with names.

use super::Finding;
use super::rust::Source;
use crate::workspace::SourceFile;

/// Longer than this, a crate root no longer serves as a table of contents.
const LINES_MAX: usize = 150;

pub(super) fn check(file: &SourceFile, source: &Source<'_>, findings: &mut Vec<Finding>) {
    if !file.path.ends_with("/src/lib.rs") {
        return;
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        let message = format!("{lines} lines; a crate root has at most {LINES_MAX}: move the prose to the modules");
        findings.push(Finding::new(&file.path, 1, message));
    }
    for (offset, item) in items(source.code()) {
        if !is_declaration(item) {
            let first: String = item.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
            let message = format!(
                "`{first} ...` in a crate root; keep only documentation, `mod name;` and `use`, and give the rest a file"
            );
            findings.push(Finding::new(&file.path, source.line_of(offset), message));
        }
    }
}

/// The items of a file without their attributes: offset and text up to the closing `;` or `}`.
fn items(code: &str) -> Vec<(usize, &str)> {
    let mut items = Vec::new();
    let mut start = 0;
    while let Some(skipped) = code[start..].find(|c: char| !c.is_whitespace()) {
        start += skipped;
        if code[start..].starts_with('#') {
            start += attribute_length(&code[start..]);
            continue;
        }
        let length = item_length(&code[start..]);
        items.push((start, &code[start..start + length]));
        start += length;
    }
    items
}

fn attribute_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth <= 1 => return offset + 1,
            b']' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_use = code.starts_with("use") || code.starts_with("pub");
        // `use a::{b, c};` has braces and still ends with the semicolon.
        let ends = byte == b';' || (byte == b'}' && !(is_use && code[offset + 1..].trim_start().starts_with(';')));
        if depth == 0 && ends {
            return offset + 1;
        }
    }
    code.len()
}

fn is_declaration(item: &str) -> bool {
    let item = match item.strip_prefix("pub") {
        Some(rest) => match rest.trim_start().strip_prefix('(') {
            Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
            None => rest,
        },
        None => item,
    };
    let item = item.trim_start();
    let is_module = item.starts_with("mod ") && item.ends_with(';');
    is_module || item.starts_with("use ") || item.starts_with("extern crate ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let file = SourceFile { path: "crates/a/src/lib.rs".to_owned(), text: text.to_owned() };
        let mut findings = Vec::new();
        check(&file, &Source::parse(&file.text), &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn declarations_pass() {
        let text = "\
//! Why.
#![cfg_attr(test, allow(unused))]

mod a;
pub(crate) mod b;
#[cfg(feature = \"x\")]
pub mod c;

pub use a::{A, inner::{B, C}};
pub(crate) use b::*;
use std::fmt;
";
        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn logic_is_found() {
        let text = "//! Why.\nmod a;\npub fn f() { g(); }\nmod inline { use x::y; }\nuse a::B;\nconst X: u8 = 1;\n";
        let found = findings(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/lib.rs:3: `pub fn f() ...`"), "{found:?}");
        assert!(found[1].starts_with("crates/a/src/lib.rs:4: "), "{found:?}");
        assert!(found[2].starts_with("crates/a/src/lib.rs:6: "), "{found:?}");
    }

    #[test]
    fn long_roots_are_found() {
        assert_eq!(findings(&"//! x\n".repeat(151)).len(), 1);
    }
}
