//! Replays as JSON and as CSV.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::Figures;
use crate::schedule::Schedule;
use crate::workload::Workload;

/// The figures of each replay by its name, in order, with what was replayed.
pub fn json(source: &str, workload: &Workload, cpus: u32, replays: &[(String, Figures)]) -> Value {
    let replays: Vec<Value> = replays
        .iter()
        .map(|(name, figures)| {
            let mut value = serde_json::to_value(figures).unwrap_or(Value::Null);
            value["policy"] = json!(name);
            value
        })
        .collect();
    json!({
        "source": source,
        "jobs": workload.jobs.len(),
        "left_out": workload.left_out,
        "limits_raised": workload.limits_raised,
        "cpus": cpus,
        "replays": replays,
    })
}

/// One line for each job: what it was, and for each replay when it started (seconds since 1970) and how long it waited.
/// Fields of a job that did not start are empty.
pub fn csv(workload: &Workload, replays: &[(String, &Schedule)]) -> String {
    let mut text = String::from("job,user,partition,cpus,submit,run,limit");
    for (name, _) in replays {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, ",{0}_start,{0}_wait", name.replace(',', " "));
    }
    text.push('\n');
    for (at, job) in workload.jobs.iter().enumerate() {
        let partition = job.partition.as_deref().unwrap_or_default();
        let (submit, run, limit) = (seconds(job.submit.0), seconds(job.run.0), seconds(job.limit.0));
        let _ = write!(text, "{},{},{partition},{},{submit},{run},{limit}", job.number, job.user, job.cpus);
        for (_, schedule) in replays {
            let _ = match schedule.starts.get(at).copied().flatten() {
                Some(start) => write!(text, ",{},{}", seconds(start.0), seconds(start.since(job.submit).0)),
                None => write!(text, ",,"),
            };
        }
        text.push('\n');
    }
    text
}

/// Milliseconds as seconds, with a fraction only where there is one.
fn seconds(milliseconds: i64) -> String {
    let (whole, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}") }
}

#[cfg(test)]
mod tests {
    use muster_model::time::{Span, Timestamp};

    use super::*;
    use crate::workload::Submission;

    #[test]
    fn jobs_are_lines() {
        let job = Submission {
            number: 7,
            submit: Timestamp::from_seconds(100),
            run: Span(1500),
            limit: Span::from_seconds(60),
            cpus: 4,
            user: 1000,
            priority: 1,
            partition: Some("batch".into()),
            spec: None,
        };
        let workload = Workload { jobs: vec![job.clone(), job], ..Workload::default() };
        let schedule = Schedule { starts: vec![Some(Timestamp::from_seconds(130)), None] };
        let expected = "\
job,user,partition,cpus,submit,run,limit,easy_start,easy_wait
7,1000,batch,4,100,1.500,60,130,30
7,1000,batch,4,100,1.500,60,,
";
        assert_eq!(csv(&workload, &[("easy".to_owned(), &schedule)]), expected);
    }
}
