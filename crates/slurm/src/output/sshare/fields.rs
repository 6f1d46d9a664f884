//! The columns of `sshare`: each name is one entry.

use muster_model::accounting::Shares;
use muster_model::ids::Name;
use muster_model::priority::ShareRow;

use super::super::format::truncate;
use super::options::Style;

/// One line of the table.
pub(super) struct Line<'a> {
    pub row: &'a ShareRow,
    /// How many of those above it are shown.
    pub depth: usize,
    pub classic: bool,
    pub tracked: &'a [Name],
    pub cluster: &'a str,
}

struct Field {
    name: &'static str,
    /// Default width; negative for text to the left.
    width: i32,
    text: fn(&Line<'_>) -> String,
}

const fn field(name: &'static str, width: i32, text: fn(&Line<'_>) -> String) -> Field {
    Field { name, width, text }
}

fn account(line: &Line<'_>) -> String {
    format!("{}{}", " ".repeat(line.depth), line.row.key.account)
}

fn is_root(line: &Line<'_>) -> bool {
    line.row.parent.is_none()
}

fn raw_shares(line: &Line<'_>) -> String {
    match line.row.shares {
        _ if is_root(line) => String::new(),
        Shares::Raw(shares) => shares.to_string(),
        Shares::Parent => "parent".to_owned(),
    }
}

fn norm_usage(line: &Line<'_>) -> String {
    if is_root(line) { String::new() } else { format!("{:.6}", line.row.found.usage_norm) }
}

fn fair_share(line: &Line<'_>) -> String {
    let shown = line.classic || !line.row.key.user.is_empty();
    line.row.found.factor.filter(|_| shown).map_or(String::new(), |factor| format!("{factor:.6}"))
}

fn level(line: &Line<'_>) -> String {
    match line.row.shares {
        Shares::Parent => String::new(),
        // Classic fair share works out none; Slurm 22.05 prints the number that it has never set.
        Shares::Raw(_) if line.classic => format!("{:.6}", 0.0),
        Shares::Raw(_) if line.row.found.level_is_infinite => "inf".to_owned(),
        Shares::Raw(_) => line.row.found.level.map_or(String::new(), |level| format!("{level:.6}")),
    }
}

/// `cpu=1,mem=0,…` of all resources that are counted, in minutes.
fn minutes(line: &Line<'_>, seconds: impl Fn(&Name) -> f64) -> String {
    let part = |name: &Name| format!("{name}={}", (seconds(name) / 60.0) as u64);
    line.tracked.iter().map(part).collect::<Vec<_>>().join(",")
}

fn limits(line: &Line<'_>) -> String {
    let limits = &line.row.tres_minutes_max;
    let known = line.tracked.iter().filter_map(|name| Some(format!("{name}={}", limits.get(name)?)));
    known.collect::<Vec<_>>().join(",")
}

/// In the order of `--helpformat`.
static FIELDS: &[Field] = &[
    field("Account", -20, account),
    field("Cluster", 10, |line| line.cluster.to_owned()),
    field("EffectvUsage", 13, |line| format!("{:.6}", line.row.found.usage_effective)),
    field("FairShare", 10, fair_share),
    field("GrpTRESMins", 30, limits),
    field("GrpTRESRaw", 30, |line| minutes(line, |name| line.row.tres_seconds.get(name).copied().unwrap_or(0.0))),
    field("ID", 6, |line| line.row.id.0.to_string()),
    field("LevelFS", 10, level),
    field("NormShares", 11, |line| format!("{:.6}", line.row.found.shares_norm)),
    field("NormUsage", 11, norm_usage),
    field("Partition", 12, |line| line.row.key.partition.to_string()),
    field("RawShares", 10, raw_shares),
    field("RawUsage", 11, |line| (line.row.found.usage_raw as u64).to_string()),
    field("TRESRunMins", 30, |line| minutes(line, |name| line.row.tres_seconds_running.get(name).unwrap_or(0) as f64)),
    field("User", 10, |line| line.row.key.user.to_string()),
];

/// The names for `--helpformat`, four in a row.
pub(super) fn help() -> String {
    let row =
        |row: &[Field]| row.iter().map(|field| format!("{:<17}", field.name)).collect::<Vec<_>>().join(" ") + "\n";
    FIELDS.chunks(4).map(row).collect()
}

/// Columns with their widths.
pub(super) struct Table {
    columns: Vec<(&'static Field, i32)>,
    style: Style,
}

impl Table {
    /// Reads `name[%[-]width],…`; a name may be cut as long as no column before it begins so.
    ///
    /// # Errors
    /// A name that no column begins with.
    pub(super) fn new(format: &str, style: Style) -> Result<Table, String> {
        /// Widest column.
        const WIDTH_MAX: i64 = 1 << 16;
        let mut columns = Vec::new();
        for token in format.split(',').filter(|token| !token.is_empty()) {
            let (name, width) = match token.split_once('%') {
                Some((name, width)) => (name, Some(crate::grammar::numbers::leading_or_zero(width))),
                None => (token, None),
            };
            let begins =
                |field: &&Field| field.name.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            let field = FIELDS.iter().find(begins).filter(|_| !name.is_empty()).ok_or_else(|| name.to_owned())?;
            let width = width.map_or(field.width, |width| width.clamp(-WIDTH_MAX, WIDTH_MAX) as i32);
            columns.push((field, width));
        }
        Ok(Table { columns, style })
    }

    pub(super) fn header(&self) -> String {
        let names = self.columns.iter().map(|(field, width)| (field.name.to_owned(), *width));
        match self.style {
            Style::Table => {
                let dashes = self.columns.iter().map(|(_, width)| "-".repeat(width.unsigned_abs() as usize) + " ");
                format!("{}{}\n", self.join(names), dashes.collect::<String>())
            }
            _ => self.join(names),
        }
    }

    pub(super) fn line(&self, line: &Line<'_>) -> String {
        self.join(self.columns.iter().map(|(field, width)| ((field.text)(line), *width)))
    }

    fn join(&self, texts: impl Iterator<Item = (String, i32)>) -> String {
        let line = match self.style {
            Style::Table => texts.map(|(text, width)| cell(&text, width)).collect::<String>(),
            Style::Ended => texts.map(|(text, _)| text + "|").collect(),
            Style::Separated => texts.map(|(text, _)| text).collect::<Vec<_>>().join("|"),
        };
        line + "\n"
    }
}

/// `text` in its column, the last character a plus sign where it is cut, with a blank behind it.
fn cell(text: &str, width: i32) -> String {
    let size = width.unsigned_abs() as usize;
    let shown = match size.checked_sub(1) {
        Some(rest) if text.len() > size => format!("{}+", truncate(text, rest)),
        Some(_) => text.to_owned(),
        None => String::new(),
    };
    let padding = " ".repeat(size.saturating_sub(shown.len()));
    if width < 0 { format!("{shown}{padding} ") } else { format!("{padding}{shown} ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::accounting::{AssociationId, AssociationKey};
    use muster_model::priority::FairShare;

    #[test]
    fn classic_fair_share_has_no_levels() {
        let shown = |shares: Shares, classic: bool| {
            let key = AssociationKey { account: "phys".into(), user: "alice".into(), partition: "".into() };
            let row = ShareRow {
                id: AssociationId(3),
                parent: Some(AssociationId(2)),
                key,
                shares,
                found: FairShare::default().into(),
                tres_minutes_max: Default::default(),
                tres_seconds: Default::default(),
                tres_seconds_running: Default::default(),
            };
            level(&Line { row: &row, depth: 1, classic, tracked: &[], cluster: "c" })
        };
        assert_eq!(shown(Shares::Raw(2), true), "0.000000");
        assert_eq!(shown(Shares::Raw(2), false), "");
        assert_eq!(shown(Shares::Parent, true), "");
    }
}
