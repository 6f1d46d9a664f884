//! The answer to `--test-only`.

use jiff::tz::TimeZone;
use muster_model::planning::Expectation;

/// `sbatch: Job 391 to start at 2026-11-21T08:14:42 using 1 processors on nodes n1 in partition debug`.
pub(super) fn line(program: &str, expected: &Expectation) -> String {
    let start = jiff::Timestamp::from_millisecond(expected.start.0)
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S").to_string())
        .unwrap_or_default();
    format!(
        "{program}: Job {} to start at {start} using {} processors on nodes {} in partition {}",
        expected.job_id_next,
        expected.allocation.cpus(),
        expected.node_list,
        expected.partition
    )
}
