//! Why a job waits, in words: for `muster explain`, and for those of `scontrol` who ask for it.

use jiff::tz::TimeZone;
use muster_model::explain::{Blocker, Explanation, distance};
use muster_model::ids::Name;
use muster_model::priority::PriorityLedger;
use muster_model::time::Timestamp;

use super::time_text;

/// Most blockers that are named; the rest is counted.
const BLOCKERS_SHOWN: usize = 12;

/// What is told of a waiting job, line by line, times in `zone`.
pub fn text(explanation: &Explanation, zone: &TimeZone) -> String {
    lines(explanation, zone).into_iter().map(|line| line + "\n").collect()
}

/// As [`text`], without the line ends.
pub fn lines(explanation: &Explanation, zone: &TimeZone) -> Vec<String> {
    let local = |time: Timestamp| time_text::standard(time, zone);
    let mut lines = vec![format!("Job {} waits ({}).", explanation.job_id, explanation.reason)];
    lines.extend(explanation.causes.iter().map(|cause| format!("  - {cause}")));
    let start = explanation.expected_start.map(|start| {
        let about = if explanation.is_forecast { "about " } else { "" };
        let on = explanation.expected_nodes.as_ref().map(|nodes| format!(" on {nodes}")).unwrap_or_default();
        let when = distance(start.since(explanation.time));
        if explanation.is_too_late() {
            return format!("Its turn would come {when}, {about}{}: too late for its deadline.", local(start));
        }
        format!("Expected to start {when}, {about}{}{on}.", local(start))
    });
    lines.push(start.unwrap_or_else(|| "When it starts cannot be told.".to_owned()));
    if let Some(latest) = explanation.latest_start {
        lines.push(format!("It has to start by {} to end by its deadline, and is given up then.", local(latest)));
    }
    if explanation.ahead_count > 0 {
        let end = if explanation.ahead.is_empty() { '.' } else { ':' };
        lines.push(format!("{} before it in the queue{end}", count(explanation.ahead_count)));
        for other in &explanation.ahead {
            let start = other.expected_start.map(|start| distance(start.since(explanation.time))).unwrap_or_default();
            let line = format!("  {:>10}  {:<12} priority {:>10}  {start}", other.job_id, other.user, other.priority);
            lines.push(line.trim_end().to_owned());
        }
    }
    lines.extend(priorities(explanation));
    if !explanation.blockers.is_empty() {
        lines.push("It would start at once without exactly these:".to_owned());
        lines.push(format!("  {}", blockers(&explanation.blockers)));
    }
    if !explanation.alternatives.is_empty() {
        lines.push("It would start earlier".to_owned());
        for other in &explanation.alternatives {
            let about = if other.is_forecast { "about " } else { "" };
            lines.push(format!("  {}: {about}{}", other.change, distance(other.start.since(explanation.time))));
        }
    }
    lines
}

/// Names of the parts that the priorities of the job and of those before it have, in the order of their columns.
pub fn ledger_parts(explanation: &Explanation) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for (name, _) in ledgers(explanation).flat_map(PriorityLedger::whole_parts) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The ledgers of the job, then of those before it.
fn ledgers(explanation: &Explanation) -> impl Iterator<Item = &PriorityLedger> {
    explanation.priorities.iter().chain(explanation.ahead.iter().filter_map(|other| other.ledger.as_ref()))
}

/// What the priorities of the job and of those before it are made of: a table whose rows add up to their first column.
fn priorities(explanation: &Explanation) -> Vec<String> {
    let ledgers: Vec<&PriorityLedger> = ledgers(explanation).collect();
    let columns = ledger_parts(explanation);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let titles = ["JOBID", "PARTITION", "PRIORITY"].into_iter().chain(columns.iter().map(|name| &**name));
    rows.push(titles.map(str::to_owned).collect());
    for ledger in &ledgers {
        let parts = ledger.whole_parts();
        let number = if ledger.held { 0 } else { ledger.total };
        let mut row = vec![ledger.job_id.to_string(), ledger.partition.to_string(), number.to_string()];
        let part = |name: &Name| parts.iter().find(|(other, _)| other == name).map_or(0, |(_, value)| *value);
        row.extend(columns.iter().map(|name| part(name).to_string()));
        row.extend(ledger.direct.then(|| "set directly".to_owned()));
        row.extend(ledger.held.then(|| "held".to_owned()));
        rows.push(row);
    }
    if ledgers.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["Its priority and what it is the sum of:".to_owned()];
    lines.extend(table(&rows));
    lines
}

/// Columns set to the right, each as wide as its widest cell.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(at, cell)| format!("  {cell:>width$}", width = width(at)));
        cells.collect::<String>()
    };
    rows.iter().map(line).collect()
}

fn count(jobs: u32) -> String {
    if jobs == 1 { "1 job is".to_owned() } else { format!("{jobs} jobs are") }
}

/// Those that stand in the way, in one line; empty for none.
pub fn blockers(all: &[Blocker]) -> String {
    let name = |blocker: &Blocker| match blocker {
        Blocker::Running(id) => format!("{id} (runs)"),
        Blocker::Waiting(id) => format!("{id} (waits before it)"),
    };
    let mut names: Vec<String> = all.iter().take(BLOCKERS_SHOWN).map(name).collect();
    if all.len() > BLOCKERS_SHOWN {
        names.push(format!("and {} more", all.len() - BLOCKERS_SHOWN));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::explain::{Ahead, Alternative, Cause, Census, Change, Missing, Shortage};
    use muster_model::ids::JobId;
    use muster_model::state::Reason;
    use muster_model::time::{Span, TimeLimit};

    fn ledger(id: u32, age: f64, fair_share: f64) -> PriorityLedger {
        let term =
            |product: f64| serde_json::json!({ "weight": 1000.0, "factor": product / 1000.0, "product": product });
        let none = term(0.0);
        let row = serde_json::json!({
            "job_id": id, "partition": "gpu", "direct": id == 8, "held": false, "age": term(age), "association": none,
            "fair_share": term(fair_share), "job_size": none, "part": none, "qos": none, "tres": [], "site": 0, "nice": 0,
            "total": ((age + fair_share) as u32).max(1),
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn everything_known_is_told() {
        let time = Timestamp::from_seconds(1_700_000_000);
        let at = |minutes: i64| time + Span::from_minutes(minutes);
        let census = Census {
            partition: "gpu".to_owned(),
            nodes: 4,
            needed: 2,
            out_of_service: 1,
            missing: vec![Missing { nodes: "n4".into(), state: "drained".into(), reason: "bad fan".into() }],
            in_use: vec![Shortage { resource: "gres/gpu:h100".to_owned(), nodes: 2 }],
            able: 1,
            ..Census::default()
        };
        let explanation = Explanation {
            job_id: JobId(7),
            time,
            reason: Reason::Resources,
            causes: vec![Cause::Nodes(census)],
            expected_start: Some(at(125)),
            expected_nodes: Some("n[1-2]".into()),
            is_forecast: false,
            ahead_count: 1,
            ahead: vec![Ahead {
                job_id: JobId(6),
                user: "ada".into(),
                priority: 900,
                expected_start: Some(at(5)),
                ledger: Some(ledger(6, 800.25, 99.75)),
            }],
            blockers: vec![Blocker::Running(JobId(3)), Blocker::Waiting(JobId(6))],
            latest_start: None,
            priorities: vec![ledger(7, 400.5, 100.5), ledger(8, 0.0, 0.0)],
            alternatives: vec![
                Alternative {
                    change: Change::TimeLimit(TimeLimit::from_minutes(120)),
                    start: time,
                    is_forecast: false,
                },
                Alternative { change: Change::Partition("cpu".into()), start: at(30), is_forecast: true },
            ],
        };
        let text = text(&explanation, &TimeZone::UTC);
        let expected = "\
Job 7 waits (Resources).
  - partition gpu: needs 2 of 4 nodes; 1 out of service (n4 drained: bad fan), 2 in use (gres/gpu:h100), 1 could take part now
Expected to start in 2 h 05 min, ";
        assert!(text.starts_with(expected), "{text}");
        let rest = "\
 on n[1-2].
1 job is before it in the queue:
           6  ada          priority        900  in 5 min
Its priority and what it is the sum of:
  JOBID  PARTITION  PRIORITY  AGE  FAIRSHARE
      7        gpu       501  401        100
      8        gpu         1    0          0  set directly
      6        gpu       900  800        100
It would start at once without exactly these:
  3 (runs), 6 (waits before it)
It would start earlier
  with --time=02:00:00: now
  in partition cpu: about in 30 min
";
        assert!(text.ends_with(rest), "{text}");
        let late = self::text(&Explanation { latest_start: Some(at(60)), ..explanation }, &TimeZone::UTC);
        let words = "\nIts turn would come in 2 h 05 min, 2023-11-15T00:18:20: too late for its deadline.\n\
                     It has to start by 2023-11-14T23:13:20 to end by its deadline, and is given up then.\n";
        assert!(late.contains(words), "{late}");
    }
}
