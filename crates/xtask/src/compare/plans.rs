//! What each side keeps for jobs that wait: the evidence for differences that come from planned starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;

use super::observe::Key;
use super::side::Side;
use super::submissions;

/// When and where a job runs, or is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stay {
    waits: bool,
    /// As squeue writes it, so that the order of texts is that of times.
    start: String,
    end: String,
    nodes: BTreeSet<String>,
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        write!(f, "{} to {} on {}", self.start, self.end, nodes.join(","))
    }
}

/// All jobs that run or have a planned start.
pub(super) type Stays = BTreeMap<Key, Stay>;

impl Side {
    /// Where and when jobs run or are to run.
    pub(super) fn stays(&self) -> Result<Stays> {
        let text = self.call("squeue", &["-h", "-a", "-r", "-t", "PD,R", "-o", "%j|%K|%T|%S|%e|%N|%Y"])?;
        let mut stays: Stays = text.lines().filter_map(stay).collect();
        if let Some(log) = self.log() {
            let names = self.call("squeue", &["-h", "-a", "-t", "PD,R", "-o", "%F|%j"])?;
            let names = names.lines().filter_map(|line| line.split_once('|')).collect();
            stays.extend(logged(&log, &names));
        }
        Ok(stays)
    }
}

/// What the log of a real Slurm says in its last pass of planned starts. It keeps nodes for several tasks of an array, and for a
/// job in each of its partitions, of which `squeue` tells one only. Names are by number of the job.
fn logged(log: &str, names: &BTreeMap<&str, &str>) -> Vec<(Key, Stay)> {
    let Some(pass) = log.rsplit("_attempt_backfill: beginning").find(|pass| pass.contains(" to start at ")) else {
        return Vec::new();
    };
    let planned = |(at, line): (usize, &str)| -> Option<(Key, Stay)> {
        let (id, rest) = line.split_once("JobId=")?.1.split_once(" to start at ")?;
        let (start, rest) = rest.split_once(", end at ")?;
        let (end, rest) = rest.split_once(" on nodes ")?;
        let (nodes, _) = rest.split_once(" in partition ")?;
        let name = names.get(id.split('_').next()?)?;
        let (start, end, nodes) = (start.to_owned(), end.to_owned(), expand(nodes));
        Some((format!("{name}_planned{at}"), Stay { waits: true, start, end, nodes }))
    };
    pass.lines().enumerate().filter_map(planned).collect()
}

fn stay(line: &str) -> Option<(Key, Stay)> {
    let fields: Vec<&str> = line.split('|').collect();
    let [name, index, state, start, end, nodes, planned] = fields.as_slice() else {
        return None;
    };
    let waits = *state == "PENDING";
    let nodes = expand(if waits { planned } else { nodes });
    let key = if *index == "N/A" { (*name).to_owned() } else { format!("{name}_{index}") };
    let stay = Stay { waits, start: (*start).to_owned(), end: (*end).to_owned(), nodes };
    (!stay.nodes.is_empty() && stay.start != "N/A").then_some((key, stay))
}

/// Names of the nodes in a list such as `n[1,3-4]`; nothing where it is none.
fn expand(list: &str) -> BTreeSet<String> {
    let numbers = list.strip_prefix('n').unwrap_or_default().trim_matches(['[', ']']);
    let range = |part: &str| -> Option<Vec<String>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some((first..=last).map(|number| format!("n{number}")).collect())
    };
    numbers.split(',').filter_map(range).flatten().collect()
}

/// From when a side keeps nodes for a planned start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Start,
    /// The full minute before it.
    Minute,
}

/// Characters of a time as squeue writes it, without the seconds.
const MINUTE_LENGTH: usize = "2026-01-01T10:00".len();

/// The waiting job, before `job` in the queue, for which a side keeps a node on which `job` runs on the other side, from a
/// time before its end.
pub(super) fn keeper(job: &str, run: Option<&Stay>, kept: &Stays, from: From) -> Option<Key> {
    let run = run.filter(|run| !run.waits)?;
    let rank = submissions::rank(job);
    let begin = |stay: &Stay| match from {
        From::Start => stay.start.clone(),
        From::Minute => stay.start.chars().take(MINUTE_LENGTH).chain(":00".chars()).collect(),
    };
    let stands_in_the_way = |(other, stay): &(&Key, &Stay)| {
        stay.waits && submissions::rank(other) < rank && begin(stay) < run.end && !stay.nodes.is_disjoint(&run.nodes)
    };
    kept.iter().find(stands_in_the_way).map(|(other, _)| other.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_of_each_task_and_partition() {
        let log = "x: _attempt_backfill: beginning
            x: _dump_job_sched: JobId=60_* to start at 2026-01-01T02:58:17, end at 2026-01-01T03:18:00 on nodes n4 in partition high
            x: _attempt_backfill: beginning
            x: _dump_job_sched: JobId=60_* to start at 2026-01-01T02:59:17, end at 2026-01-01T03:19:00 on nodes n4 in partition high
            x: _dump_job_sched: JobId=78 to start at 2026-01-01T04:00:00, end at 2026-01-01T04:45:00 on nodes n[3-4] in partition high
            x: _attempt_backfill: beginning";
        let found = logged(log, &BTreeMap::from([("60", "j060"), ("78", "j079")]));
        let text: Vec<String> =
            found.iter().map(|(job, stay)| format!("{job} {} {:?}", stay.start, stay.nodes)).collect();
        let expected =
            [r#"j060_planned1 2026-01-01T02:59:17 {"n4"}"#, r#"j079_planned2 2026-01-01T04:00:00 {"n3", "n4"}"#];
        assert_eq!(text, expected);
    }

    #[test]
    fn a_planned_start_within_the_run_stands_in_the_way() {
        let kept: Stays = ["j001|N/A|PENDING|2026-01-01T10:00:00|N/A||n[1,3-4]", "j009|N/A|PENDING|N/A|N/A||"]
            .iter()
            .filter_map(|line| stay(line))
            .collect();
        let run = |line: &str| stay(line).map(|(_, stay)| stay);
        let found = |line: &str| keeper("j002", run(line).as_ref(), &kept, From::Start);
        assert_eq!(found("j002|N/A|RUNNING|x|2026-01-01T10:30:00|n3|"), Some("j001".to_owned()));
        assert_eq!(found("j002|N/A|RUNNING|x|2026-01-01T10:30:00|n2|"), None);
        assert_eq!(found("j002|N/A|RUNNING|x|2026-01-01T09:30:00|n3|"), None);
        let itself = run("j001|N/A|RUNNING|x|2026-01-01T10:30:00|n3|");
        assert_eq!(keeper("j001", itself.as_ref(), &kept, From::Start), None);
    }

    #[test]
    fn slurm_keeps_nodes_from_the_full_minute() {
        let kept: Stays = stay("j001|N/A|PENDING|2026-01-01T10:00:39|N/A||n3").into_iter().collect();
        let check = |end: &str, from, expected: Option<&str>| {
            let run = stay(&format!("j002|N/A|RUNNING|x|2026-01-01T{end}|n3|")).map(|(_, stay)| stay);
            assert_eq!(keeper("j002", run.as_ref(), &kept, from).as_deref(), expected, "{end}");
        };
        check("10:00:38", From::Start, None);
        check("10:00:38", From::Minute, Some("j001"));
        check("10:00:00", From::Minute, None);
    }
}
