//! `scontrol show licenses`: how many of each there are, and how many running jobs use.

use std::collections::BTreeMap;

use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::super::context::Answers;

/// The records of all licences by name, or of the one called `name`; empty when there is none.
pub fn print(answers: &Answers, now: Timestamp, name: Option<&str>, one_line: bool) -> String {
    let totals = counts(answers.cluster.parameter("Licenses").unwrap_or_default());
    let mut totals: BTreeMap<&str, (u64, &str)> =
        totals.into_iter().map(|(name, total)| (name, (total, "no"))).collect();
    let accounts = answers.cluster.parameter("AccountingStorageType").is_some_and(|kind| !kind.ends_with("none"));
    for (key, row) in answers.accounting.resources.iter().filter(|_| accounts) {
        if let Some(total) = row.allotted() {
            totals.insert(key, (total, "yes"));
        }
    }
    let mut used: BTreeMap<&str, u64> = BTreeMap::new();
    for job in &answers.jobs {
        let runs = matches!(job.state, JobState::Running | JobState::Suspended);
        let held = job.spec.request.licenses.as_deref().filter(|_| runs);
        for (name, count) in counts(held.unwrap_or_default()) {
            *used.entry(name).or_default() += count;
        }
    }
    let mut reserved: BTreeMap<&str, u64> = BTreeMap::new();
    for row in answers.reservations.iter().filter(|row| row.is_active(now)) {
        for (name, count) in row.licenses() {
            *reserved.entry(name).or_default() += count;
        }
    }
    let wanted = totals.iter().filter(|(license, _)| name.is_none_or(|name| name == **license));
    wanted
        .map(|(license, (total, is_remote))| {
            let used = used.get(license).copied().unwrap_or(0);
            let free = total.saturating_sub(used);
            let reserved = reserved.get(license).copied().unwrap_or(0);
            let between = if one_line { " " } else { "\n    " };
            format!(
                "LicenseName={license}{between}Total={total} Used={used} Free={free} Reserved={reserved} Remote={is_remote}\n"
            )
        })
        .collect()
}

/// Reads `name[:count],…`.
fn counts(text: &str) -> BTreeMap<&str, u64> {
    let mut found = BTreeMap::new();
    for part in text.split([',', ';']).map(str::trim) {
        let (name, count) = match part.split_once([':', '=', '*']) {
            Some((name, count)) => (name, count.parse().unwrap_or(0)),
            None => (part, 1),
        };
        if !name.is_empty() && name != "(null)" {
            *found.entry(name).or_default() += count;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_model::accounting::RemoteResource;
    use muster_model::document::Document;

    use super::*;

    #[test]
    fn licences_are_told_by_name() {
        let mut answers = Answers::default();
        answers.cluster.parameters = vec![("Licenses".to_owned(), "matlab:4,foo:2".to_owned())];
        assert_eq!(
            print(&answers, Timestamp(0), None, false),
            "LicenseName=foo\n    Total=2 Used=0 Free=2 Reserved=0 Remote=no\nLicenseName=matlab\n    Total=4 Used=0 Free=4 Reserved=0 Remote=no\n"
        );
        assert_eq!(
            print(&answers, Timestamp(0), Some("foo"), true),
            "LicenseName=foo Total=2 Used=0 Free=2 Reserved=0 Remote=no\n"
        );
        assert_eq!(print(&answers, Timestamp(0), Some("nosuch"), false), "");
        let allotted = |name: &str, percent_allowed| {
            let (name, server) = (name.into(), "flex".into());
            Document::Resource(Arc::new(RemoteResource {
                name,
                server,
                count: 7,
                percent_allowed,
                ..Default::default()
            }))
        };
        answers.accounting.put(&allotted("ansys", Some(50)));
        answers.accounting.put(&allotted("nothing", None));
        assert_eq!(print(&answers, Timestamp(0), Some("ansys@flex"), true), "");
        answers.cluster.parameters.push(("AccountingStorageType".to_owned(), "accounting_storage/slurmdbd".to_owned()));
        assert_eq!(
            print(&answers, Timestamp(0), Some("ansys@flex"), true),
            "LicenseName=ansys@flex Total=3 Used=0 Free=3 Reserved=0 Remote=yes\n"
        );
        assert_eq!(print(&answers, Timestamp(0), Some("nothing@flex"), true), "");
    }
}
