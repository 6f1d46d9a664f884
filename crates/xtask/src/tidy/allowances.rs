//! The sizes that are tolerated for now, in `tidy-allowances.toml`.
//!
//! An allowance can only shrink: when a file gets smaller its allowance must follow, in the same
//! commit, so that what was won stays won. Hence an allowance is always exactly the present size.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::Finding;
use crate::workspace::SourceFile;

/// Where the allowances are kept.
pub(super) const PATH: &str = "crates/xtask/tidy-allowances.toml";

/// What is measured. Each has a table of its own, from path to number of lines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Measure {
    /// Lines of a file.
    File,
    /// Lines of the longest function of a file.
    Function,
}

impl Measure {
    const ALL: [Measure; 2] = [Measure::File, Measure::Function];

    fn table(self) -> &'static str {
        match self {
            Measure::File => "file-lines",
            Measure::Function => "function-lines",
        }
    }
}

/// The table of allowances, and which of them were needed.
#[derive(Default)]
pub(super) struct Allowances {
    granted: BTreeMap<(Measure, String), usize>,
    used: BTreeSet<(Measure, String)>,
}

impl Allowances {
    /// Reads the allowances of the repository; without the file there are none.
    pub(super) fn load(files: &[SourceFile]) -> Result<Self> {
        match files.iter().find(|file| file.path == PATH) {
            Some(file) => Allowances::parse(&file.text).with_context(|| format!("cannot read {PATH}")),
            None => Ok(Allowances::default()),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let document: toml::Table = text.parse()?;
        let mut granted = BTreeMap::new();
        for (name, table) in &document {
            let Some(measure) = Measure::ALL.into_iter().find(|measure| measure.table() == name) else {
                bail!("there is no table [{name}]; the tables are [file-lines] and [function-lines]");
            };
            for (path, lines) in table.as_table().with_context(|| format!("{name} is not a table"))? {
                let lines = lines.as_integer().and_then(|lines| usize::try_from(lines).ok());
                let lines = lines.with_context(|| format!("{name}.{path:?} is not a number of lines"))?;
                granted.insert((measure, path.clone()), lines);
            }
        }
        Ok(Allowances { granted, used: BTreeSet::new() })
    }

    /// What the table grants `path`. A caller asks only when the size is over the free limit, so
    /// that an allowance nobody asked for is one that is no longer needed.
    pub(super) fn take(&mut self, measure: Measure, path: &str) -> Option<usize> {
        let key = (measure, path.to_owned());
        let lines = self.granted.get(&key).copied()?;
        self.used.insert(key);
        Some(lines)
    }

    pub(super) fn report_unused(&self, findings: &mut Vec<Finding>) {
        for (measure, path) in self.granted.keys() {
            if !self.used.contains(&(*measure, path.clone())) {
                let table = measure.table();
                findings.push(Finding::new(
                    PATH,
                    1,
                    format!("[{table}] {path:?} is no longer needed; remove the line"),
                ));
            }
        }
    }

    /// How to write an allowance, for messages.
    pub(super) fn line(measure: Measure, path: &str, lines: usize) -> String {
        format!("`{path:?} = {lines}` under [{}] in {PATH}", measure.table())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_allowances_are_findings() {
        let mut allowances =
            Allowances::parse("[file-lines]\n\"a.rs\" = 800\n[function-lines]\n\"b.rs\" = 90\n").unwrap();
        assert_eq!(allowances.take(Measure::File, "a.rs"), Some(800));
        assert_eq!(allowances.take(Measure::File, "b.rs"), None);
        let mut findings = Vec::new();
        allowances.report_unused(&mut findings);
        let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["[function-lines] \"b.rs\" is no longer needed; remove the line"]);
    }

    #[test]
    fn a_misspelt_table_is_an_error() {
        let error = Allowances::parse("[files]\n\"a.rs\" = 800\n").err().unwrap();
        assert!(error.to_string().contains("[file-lines]"), "{error}");
    }
}
