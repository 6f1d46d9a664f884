//! The Standard Workload Format: what archives of traces of parallel machines are kept in.
//!
//! Eighteen numbers on each line, -1 for what is not known; lines that begin with `;` are comments, and those of the
//! form `; Key: value` the header. See <https://www.cs.huji.ac.il/labs/parallel/workload/swf.html>.

use std::fmt;

use muster_model::time::{Span, Timestamp};

use crate::workload::{Submission, Workload};

/// Fields of a record.
const FIELDS: usize = 18;
/// Most jobs of a trace: ten times the longest in the public archive, and few enough for memory.
const JOBS_MAX: usize = 50_000_000;
/// Most processors of one job, so that sums over all jobs stay in range.
const CPUS_MAX: i64 = 1 << 30;
/// The latest time, and the longest: three hundred years.
const SECONDS_MAX: i64 = 10_000_000_000;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwfError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for SwfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for SwfError {}

/// Reads a trace. Processors are those that were allocated, or requested where that is not known; records without a
/// run time above zero or without processors are counted and left out, since their slowdown means nothing. Without a
/// requested time, the run time is what the user knew.
///
/// # Errors
/// The first line that is no record.
pub fn parse(text: &str) -> Result<Workload, SwfError> {
    let mut workload = Workload::default();
    let mut begin = 0;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        let bad = |message: String| SwfError { line, message };
        if let Some(comment) = text.strip_prefix(';') {
            header(comment, &mut workload, &mut begin);
        } else if !text.is_empty() {
            match record(text, begin).map_err(bad)? {
                Some(job) if workload.jobs.len() < JOBS_MAX => workload.jobs.push(job),
                Some(_) => return Err(bad(format!("more than {JOBS_MAX} jobs"))),
                None => workload.left_out += 1,
            }
        }
    }
    Ok(workload.settle())
}

fn header(comment: &str, workload: &mut Workload, begin: &mut i64) {
    let Some((key, value)) = comment.split_once(':') else {
        return;
    };
    let number = || value.split_whitespace().next().and_then(|word| word.parse::<u32>().ok()).filter(|n| *n > 0);
    match key.trim() {
        "MaxNodes" => workload.nodes = number().or(workload.nodes),
        "MaxProcs" => workload.cpus = number().or(workload.cpus),
        "UnixStartTime" => *begin = number().map_or(*begin, i64::from),
        _ => {}
    }
}

/// The job of a line; `None` where it did not run.
fn record(text: &str, begin: i64) -> Result<Option<Submission>, String> {
    let mut fields = [-1_i64; FIELDS];
    let mut count = 0;
    for word in text.split_whitespace() {
        if count == FIELDS {
            return Err(format!("more than {FIELDS} fields"));
        }
        fields[count] = number(word)?;
        count += 1;
    }
    if count < FIELDS {
        return Err(format!("{count} fields instead of {FIELDS}"));
    }
    let [number, submit, _wait, run, allocated, _, _, requested, limit, _, _, user, _, _, queue, ..] = fields;
    let cpus = if allocated > 0 { allocated } else { requested };
    if run <= 0 || cpus <= 0 {
        return Ok(None);
    }
    let range = |what: &str, value: i64, max: i64| {
        if (0..=max).contains(&value) { Ok(value) } else { Err(format!("{what} {value} is out of range")) }
    };
    let run = range("run time", run, SECONDS_MAX)?;
    let limit = if limit > 0 { range("requested time", limit, SECONDS_MAX)? } else { run };
    Ok(Some(Submission {
        number: u32::try_from(range("job number", number, i64::from(u32::MAX))?).unwrap_or(u32::MAX),
        submit: Timestamp::from_seconds(begin + range("submit time", submit, SECONDS_MAX)?),
        run: Span::from_seconds(run),
        limit: Span::from_seconds(limit),
        cpus: u32::try_from(range("number of processors", cpus, CPUS_MAX)?).unwrap_or(u32::MAX),
        user: u32::try_from(user).unwrap_or(u32::MAX),
        priority: 1,
        partition: (queue >= 0).then(|| queue.to_string().into()),
        spec: None,
    }))
}

/// Some archives have fractions in places; they are cut off.
fn number(word: &str) -> Result<i64, String> {
    if let Ok(number) = word.parse() {
        return Ok(number);
    }
    match word.parse::<f64>() {
        // In range, so nothing is lost but the fraction.
        Ok(number) if number.abs() < 1e15 => Ok(number as i64),
        _ => Err(format!("{word:?} is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_header_are_read() {
        let text = "\
; MaxNodes: 4
;  MaxProcs: 16 (of which 2 are idle)
; UnixStartTime: 1000
 1 5 -1 10 4 -1 -1 4 60 -1 1 7 -1 -1 2 -1 -1 -1
 2 3 0 20.5 -1 -1 -1 2 -1 -1 1 -1 -1 -1 -1 -1 -1 -1

 3 9 -1 0 4 -1 -1 4 60 -1 5 7 -1 -1 2 -1 -1 -1
";
        let workload = parse(text).unwrap();
        assert_eq!((workload.nodes, workload.cpus, workload.left_out), (Some(4), Some(16), 1));
        let seen: Vec<_> = workload
            .jobs
            .iter()
            .map(|job| (job.number, job.submit.seconds(), job.run.seconds(), job.limit.seconds(), job.cpus, job.user))
            .collect();
        assert_eq!(seen, [(2, 1003, 20, 20, 2, u32::MAX), (1, 1005, 10, 60, 4, 7)], "in order of submit");
        assert_eq!(workload.jobs[1].partition.as_deref(), Some("2"));
    }

    #[test]
    fn a_job_that_ran_too_long_had_a_longer_limit() {
        let workload = parse("1 0 -1 100 1 -1 -1 1 60 -1 1 7 -1 -1 2 -1 -1 -1").unwrap();
        assert_eq!((workload.jobs[0].limit, workload.limits_raised), (Span::from_seconds(100), 1));
    }

    #[test]
    fn what_is_no_record_is_named() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).unwrap_err().to_string(), expected);
        check("; x\n1 2 3", "line 2: 3 fields instead of 18");
        check("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", "line 1: more than 18 fields");
        check("1 2 x", "line 1: \"x\" is no number");
        check(
            "1 99999999999999 -1 100 1 -1 -1 1 60 -1 1 7 -1 -1 2 -1 -1 -1",
            "line 1: submit time 99999999999999 is out of range",
        );
    }
}
