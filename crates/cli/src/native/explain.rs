//! `muster explain`: why a job waits, and when it starts.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use muster_client::Client;
use muster_model::explain::{Blocker, Explanation, distance};
use muster_model::ids::JobId;
use muster_model::request::{Query, Reply};
use muster_model::time::Timestamp;
use muster_slurm::output::time_text;

use super::arguments::{main, parse};
use super::terminal::{put, say};

/// Say why a waiting job does not start, what stands in its way, when it is to start, and when it would start otherwise.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of the job; of an array, of the array or a task that has a number of its own.
    #[arg(value_name = "JOB")]
    job: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// `muster explain`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("explain", args) {
        Ok(arguments) => main(explain(arguments)),
        Err(code) => code,
    }
}

async fn explain(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let number = arguments.job.split_once('_').map_or(&*arguments.job, |(array, _)| array);
    let Ok(number) = number.parse() else {
        anyhow::bail!("{:?} is not the number of a job", arguments.job);
    };
    let client = Client::connect().await?;
    for reply in client.query(&Query::Explain(JobId(number))).await? {
        match reply {
            Reply::Explained(explanation) if arguments.json => say(&serde_json::to_string_pretty(&*explanation)?),
            Reply::Explained(explanation) => put(&show(&explanation)),
            Reply::Refused(refusal) if refusal.detail.is_empty() => anyhow::bail!("{refusal}"),
            Reply::Refused(refusal) => anyhow::bail!("{}", refusal.detail),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Most blockers that are named; the rest is counted.
const BLOCKERS_SHOWN: usize = 12;

fn show(explanation: &Explanation) -> String {
    let mut lines = vec![format!("Job {} waits ({}).", explanation.job_id, explanation.reason)];
    lines.extend(explanation.causes.iter().map(|cause| format!("  - {cause}")));
    let start = explanation.expected_start.map(|start| {
        let about = if explanation.is_forecast { "about " } else { "" };
        let on = explanation.expected_nodes.as_ref().map(|nodes| format!(" on {nodes}")).unwrap_or_default();
        let when = distance(start.since(explanation.time));
        format!("Expected to start {when}, {about}{}{on}.", local(start))
    });
    lines.push(start.unwrap_or_else(|| "When it starts cannot be told.".to_owned()));
    if explanation.ahead_count > 0 {
        lines.push(format!("{} before it in the queue:", count(explanation.ahead_count)));
        for other in &explanation.ahead {
            let start = other.expected_start.map(|start| distance(start.since(explanation.time))).unwrap_or_default();
            let line = format!("  {:>10}  {:<12} priority {:>10}  {start}", other.job_id, other.user, other.priority);
            lines.push(line.trim_end().to_owned());
        }
    }
    if !explanation.blockers.is_empty() {
        lines.push("It would start at once without exactly these:".to_owned());
        lines.push(format!("  {}", blockers(&explanation.blockers)));
    }
    if !explanation.alternatives.is_empty() {
        lines.push("It would start earlier".to_owned());
        for other in &explanation.alternatives {
            lines.push(format!("  {}: {}", other.change, distance(other.start.since(explanation.time))));
        }
    }
    lines.join("\n") + "\n"
}

/// In the time zone of whoever asks, to the minute.
fn local(time: Timestamp) -> String {
    time_text::standard(time, &jiff::tz::TimeZone::system())
}

fn count(jobs: u32) -> String {
    if jobs == 1 { "1 job is".to_owned() } else { format!("{jobs} jobs are") }
}

fn blockers(all: &[Blocker]) -> String {
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
    use muster_model::explain::{Ahead, Alternative, Cause, Census, Change, Shortage};
    use muster_model::state::Reason;
    use muster_model::time::{Span, TimeLimit};

    #[test]
    fn everything_known_is_told() {
        let time = Timestamp::from_seconds(1_700_000_000);
        let at = |minutes: i64| time + Span::from_minutes(minutes);
        let census = Census {
            partition: "gpu".to_owned(),
            nodes: 4,
            needed: 2,
            out_of_service: 1,
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
            ahead: vec![Ahead { job_id: JobId(6), user: "ada".into(), priority: 900, expected_start: Some(at(5)) }],
            blockers: vec![Blocker::Running(JobId(3)), Blocker::Waiting(JobId(6))],
            alternatives: vec![Alternative { change: Change::TimeLimit(TimeLimit::from_minutes(120)), start: time }],
        };
        let text = show(&explanation);
        let expected = "\
Job 7 waits (Resources).
  - partition gpu: needs 2 of 4 nodes; 1 out of service, 2 in use (gres/gpu:h100), 1 could take part now
Expected to start in 2 h 05 min, ";
        assert!(text.starts_with(expected), "{text}");
        let rest = "\
 on n[1-2].
1 job is before it in the queue:
           6  ada          priority        900  in 5 min
It would start at once without exactly these:
  3 (runs), 6 (waits before it)
It would start earlier
  with --time=02:00:00: now
";
        assert!(text.ends_with(rest), "{text}");
    }
}
