//! The syntax of Slurm's configuration files: `Key=Value` pairs, comments, continued lines, included files.

use std::path::{Path, PathBuf};

use super::ConfError;

/// How the text of a file is had. Given by the caller, so that nothing is read here.
pub type ReadFile<'a> = dyn Fn(&Path) -> std::io::Result<String> + 'a;

/// Files that may include each other, at most this deep.
const INCLUDE_DEPTH_MAX: usize = 10;

/// One logical line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub file: PathBuf,
    /// Number of its first physical line.
    pub number: usize,
    /// `Key=Value` pairs in their order.
    pub pairs: Vec<(String, String)>,
}

impl Line {
    pub(super) fn error(&self, message: impl Into<String>) -> ConfError {
        ConfError { file: self.file.clone(), line: self.number, message: message.into() }
    }

    /// The value of a key, in any case; the last one where it stands several times.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }
}

/// All logical lines of a file and of what it includes, in order.
pub(super) fn read(path: &Path, read_file: &ReadFile<'_>) -> Result<Vec<Line>, ConfError> {
    let mut lines = Vec::new();
    read_into(path, read_file, 0, &mut lines)?;
    Ok(lines)
}

fn read_into(path: &Path, read_file: &ReadFile<'_>, depth: usize, lines: &mut Vec<Line>) -> Result<(), ConfError> {
    let whole = |message: String| ConfError { file: path.to_owned(), line: 0, message };
    if depth > INCLUDE_DEPTH_MAX {
        return Err(whole(format!("files include each other more than {INCLUDE_DEPTH_MAX} deep")));
    }
    let text = read_file(path).map_err(|problem| whole(format!("cannot read it: {problem}")))?;
    for (number, text) in logical_lines(&text) {
        let line = Line { file: path.to_owned(), number, pairs: Vec::new() };
        if let Some(included) = include(&text) {
            let target = path.parent().unwrap_or(Path::new("")).join(included);
            let result = read_into(&target, read_file, depth + 1, lines);
            result.map_err(
                |inner| {
                    if inner.line == 0 { line.error(format!("\"Include\" failed: {inner}")) } else { inner }
                },
            )?;
            continue;
        }
        let pairs = pairs(&text).map_err(|message| line.error(message))?;
        if !pairs.is_empty() {
            lines.push(Line { pairs, ..line });
        }
    }
    Ok(())
}

/// Joins lines that end in a backslash and strips comments. `\#` is a plain `#`.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut current: Option<(usize, String)> = None;
    for (index, physical) in text.lines().enumerate() {
        let (start, mut joined) = current.take().unwrap_or((index + 1, String::new()));
        let kept = without_comment(physical);
        let trimmed = kept.trim_end();
        match trimmed.strip_suffix('\\') {
            Some(more) => {
                joined.push_str(more);
                current = Some((start, joined));
            }
            None => {
                joined.push_str(trimmed);
                lines.push((start, joined));
            }
        }
    }
    lines.extend(current);
    lines
}

fn without_comment(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '#' if kept.ends_with('\\') => {
                kept.pop();
                kept.push('#');
            }
            '#' => break,
            _ => kept.push(c),
        }
    }
    kept
}

fn include(line: &str) -> Option<&str> {
    let trimmed = line.trim();
    let (word, rest) = trimmed.split_once(char::is_whitespace)?;
    (word.eq_ignore_ascii_case("include") && !rest.trim_start().starts_with('=')).then(|| rest.trim())
}

/// Splits `A=1 B="two words" C = 3` into pairs.
fn pairs(line: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = line.trim();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let key_end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(key_end);
        let after = after.trim_start();
        let Some(after) = after.strip_prefix('=').or_else(|| after.strip_prefix("+=")) else {
            return Err(format!("no value for {key:?}; lines are made of Key=Value"));
        };
        if key.is_empty() {
            return Err(format!("no key before {rest:?}"));
        }
        let (value, after) = value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

fn value(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"').ok_or_else(|| format!("unclosed quote in {text:?}"))?;
        return Ok((value.to_owned(), rest));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    Ok((value.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_stripped_and_split() {
        let text = "# all\nClusterName=x # end\nNodeName=a \\\n  CPUs=2 Reason=\"two words\"\n\nTmpFS = /a\\#b\n";
        let shown: Vec<String> = logical_lines(text)
            .into_iter()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| format!("{number}: {:?}", pairs(&line).unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                r#"2: [("ClusterName", "x")]"#,
                r#"3: [("NodeName", "a"), ("CPUs", "2"), ("Reason", "two words")]"#,
                r##"6: [("TmpFS", "/a#b")]"##,
            ]
        );
    }

    #[test]
    fn what_is_not_a_pair_is_refused() {
        for bad in ["NoValue", "=x", "A=\"open"] {
            assert!(pairs(bad).is_err(), "{bad}");
        }
    }
}
