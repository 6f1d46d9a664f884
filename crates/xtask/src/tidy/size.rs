//! Files stay small enough to read in one sitting, functions small enough for one screen.
//!
//! Test modules inside a file are not counted, and neither is the length of a test function: a
//! table of cases is long because the work was thorough.

use super::allowances::{Allowances, Measure};
use super::rust::Source;
use super::{Finding, allowances};
use crate::workspace::SourceFile;

/// No file is longer than this, whatever the reason.
const FILE_LINES_HARD: usize = 1_000;
/// A longer file needs an allowance.
const FILE_LINES_FREE: usize = 700;
/// A longer function needs an allowance, which is per file: the longest one.
const FUNCTION_LINES_FREE: usize = 70;

pub(super) fn check(file: &SourceFile, source: &Source<'_>, allowances: &mut Allowances, findings: &mut Vec<Finding>) {
    check_file(file, source, allowances, findings);
    if !is_test_file(&file.path) {
        check_functions(file, source, allowances, findings);
    }
}

/// Whether all of a file is test code.
pub(super) fn is_test_file(path: &str) -> bool {
    let in_test_directory = path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz"));
    in_test_directory || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

fn check_file(file: &SourceFile, source: &Source<'_>, allowances: &mut Allowances, findings: &mut Vec<Finding>) {
    let lines = source.line_count_without_tests();
    if lines > FILE_LINES_HARD {
        let message = format!("{lines} lines; the limit is {FILE_LINES_HARD}: move a part with its own name out");
        findings.push(Finding::new(&file.path, 1, message));
        return;
    }
    if lines <= FILE_LINES_FREE {
        return;
    }
    let granted = allowances.take(Measure::File, &file.path);
    if let Some(message) = judge(Measure::File, &file.path, lines, FILE_LINES_FREE, granted) {
        findings.push(message.at(&file.path, 1));
    }
}

fn check_functions(file: &SourceFile, source: &Source<'_>, allowances: &mut Allowances, findings: &mut Vec<Finding>) {
    let functions = source.functions().into_iter().filter(|function| !function.in_test);
    let Some(longest) = functions.max_by_key(|function| function.line_count) else {
        return;
    };
    if longest.line_count <= FUNCTION_LINES_FREE {
        return;
    }
    let granted = allowances.take(Measure::Function, &file.path);
    if let Some(verdict) = judge(Measure::Function, &file.path, longest.line_count, FUNCTION_LINES_FREE, granted) {
        findings.push(verdict.about(&longest.name).at(&file.path, longest.line));
    }
}

/// What is wrong with a size, and in which file it is put right.
enum Verdict {
    /// Too large: the source has to change.
    Source(String),
    /// The allowance is larger than the size: the table has to change.
    Table(String),
}

impl Verdict {
    fn about(self, function: &str) -> Self {
        match self {
            Verdict::Source(message) => Verdict::Source(format!("function {function}: {message}")),
            Verdict::Table(message) => Verdict::Table(message),
        }
    }

    fn at(self, path: &str, line: usize) -> Finding {
        match self {
            Verdict::Source(message) => Finding::new(path, line, message),
            Verdict::Table(message) => Finding::new(allowances::PATH, 1, message),
        }
    }
}

fn judge(measure: Measure, path: &str, lines: usize, free: usize, granted: Option<usize>) -> Option<Verdict> {
    match granted {
        Some(granted) if granted == lines => None,
        Some(granted) if granted > lines => Some(Verdict::Table(format!(
            "{path} has an allowance of {granted} lines but needs {lines}; write {}",
            Allowances::line(measure, path, lines)
        ))),
        Some(granted) => {
            Some(Verdict::Source(format!("{lines} lines; its allowance is {granted} and may only shrink: split it")))
        }
        None => Some(Verdict::Source(format!(
            "{lines} lines; more than {free} needs an allowance: split it, or if it is one thing write {}",
            Allowances::line(measure, path, lines)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str, allowances: &str) -> Vec<String> {
        let file = SourceFile { path: "crates/a/src/x.rs".to_owned(), text: text.to_owned() };
        let mut allowances = Allowances::parse(allowances).unwrap();
        let mut findings = Vec::new();
        check(&file, &Source::parse(&file.text), &mut allowances, &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    fn lines(count: usize) -> String {
        "//\n".repeat(count)
    }

    #[test]
    fn files_up_to_the_free_size_pass() {
        assert!(findings(&lines(700), "").is_empty());
    }

    #[test]
    fn longer_files_need_exactly_their_allowance() {
        let allow = |lines: usize| format!("[file-lines]\n\"crates/a/src/x.rs\" = {lines}\n");
        assert!(findings(&lines(701), &allow(701)).is_empty());
        assert!(findings(&lines(701), "")[0].contains("write `\"crates/a/src/x.rs\" = 701` under [file-lines]"));
        assert!(findings(&lines(702), &allow(701))[0].contains("may only shrink"));
        let too_generous = &findings(&lines(701), &allow(900))[0];
        assert!(too_generous.starts_with("crates/xtask/tidy-allowances.toml:1:"), "{too_generous}");
        assert!(too_generous.contains("needs 701"), "{too_generous}");
    }

    #[test]
    fn no_allowance_lifts_the_hard_limit() {
        let allowed = "[file-lines]\n\"crates/a/src/x.rs\" = 1001\n";
        assert!(findings(&lines(1001), allowed)[0].contains("the limit is 1000"));
    }

    #[test]
    fn long_functions_are_named() {
        let text = format!("fn f() {{}}\nfn long() {{\n{}}}\n", lines(70));
        let expected = "crates/a/src/x.rs:2: function long: 72 lines; more than 70 needs an allowance: ";
        assert!(findings(&text, "")[0].starts_with(expected), "{:?}", findings(&text, ""));
        assert!(findings(&text, "[function-lines]\n\"crates/a/src/x.rs\" = 72\n").is_empty());
    }

    #[test]
    fn tests_may_be_long() {
        let text = format!("#[cfg(test)]\nmod tests {{\nfn long() {{\n{}}}\n}}\n", lines(900));
        assert!(findings(&text, "").is_empty());
        assert!(is_test_file("crates/a/tests/x.rs") && is_test_file("crates/a/src/x/tests.rs"));
    }
}
