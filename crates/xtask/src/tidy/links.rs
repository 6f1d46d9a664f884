//! Links in Markdown that point into the repository lead somewhere.

use super::Finding;
use crate::workspace::SourceFile;

pub(super) fn check(file: &SourceFile, exists: impl Fn(&str) -> bool, findings: &mut Vec<Finding>) {
    for (line, target) in targets(&file.text) {
        let path = target.split(['#', '?']).next().unwrap_or_default();
        if path.is_empty() || is_external(path) {
            continue;
        }
        match resolve(&file.path, path) {
            Some(resolved) if exists(&resolved) => {}
            Some(resolved) => findings.push(Finding::new(
                &file.path,
                line,
                format!("the link {target:?} leads to {resolved}, which is not in the repository; correct it"),
            )),
            None => findings.push(Finding::new(
                &file.path,
                line,
                format!("the link {target:?} leads out of the repository; give a URL or remove it"),
            )),
        }
    }
}

/// Whether a path is a file of the repository, or a directory with one.
pub(super) fn is_in(files: &[SourceFile], path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let directory = format!("{path}/");
    path.is_empty() || files.iter().any(|file| file.path == path || file.path.starts_with(&directory))
}

fn is_external(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// A link's path as seen from the root, or nothing when it climbs out.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').collect(),
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Each link target with its line: `[text](target)` and `[name]: target`, not in code.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, None) => targets_in_line(line, index + 1, &mut targets),
            _ => {}
        }
    }
    targets
}

fn targets_in_line(line: &str, number: usize, targets: &mut Vec<(usize, String)>) {
    let line = without_code_spans(line);
    for (offset, _) in line.match_indices("](") {
        let rest = &line[offset + 2..];
        // A title may follow the target: [text](target "title").
        let target = rest.split([')', ' ']).next().unwrap_or_default();
        targets.push((number, target.trim_matches(['<', '>']).to_owned()));
    }
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    if let Some((_, target)) = definition {
        let target = target.split_whitespace().next().unwrap_or_default();
        targets.push((number, target.trim_matches(['<', '>']).to_owned()));
    }
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        let known = [
            SourceFile { path: "docs/a.md".to_owned(), text: String::new() },
            SourceFile { path: "README.md".to_owned(), text: String::new() },
        ];
        let mut findings = Vec::new();
        check(&file, |path| is_in(&known, path), &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text =
            "[a](docs/a.md) [b](docs/) [c](#here) [d](https://x/y) [e](./docs/a.md#z \"title\")\n[f]: README.md\n";
        assert!(findings("README.md", text).is_empty(), "{:?}", findings("README.md", text));
        assert!(findings("docs/b.md", "[a](a.md) [r](../README.md) [abs](/README.md)\n").is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(
            findings("docs/b.md", "x\n[a](c.md)\n"),
            ["docs/b.md:2: the link \"c.md\" leads to docs/c.md, which is not in the repository; correct it"]
        );
        assert!(findings("README.md", "[a](../x.md)\n")[0].contains("leads out of the repository"));
        assert_eq!(findings("README.md", "[x]: gone.md\n").len(), 1);
    }

    #[test]
    fn code_is_not_searched() {
        assert!(findings("README.md", "```\n[a](gone.md)\n```\n`[b](gone.md)`\n").is_empty());
    }
}
