//! Identifiers of runs and of their job submissions in dstack's form.
//!
//! dstack names runs and submissions by UUIDs, Muster by job numbers that are never reused within a cluster. The UUIDs
//! are computed from the numbers, so that each place which needs one gets the same without storing it.

use muster_model::ids::{JobId, RestartCount};
use muster_model::job::RunReference;

/// The UUID of the run that `job_id` belongs to. The same for all starts of the job.
pub fn run_id(job_id: JobId, run: &RunReference) -> String {
    uuid(&[b"run", &job_id.0.to_be_bytes(), run.project.as_bytes(), run.run_name.as_bytes()])
}

/// The UUID of one start of the job on one node of the run.
pub fn job_submission_id(job_id: JobId, restart: RestartCount, node_rank: u32, run: &RunReference) -> String {
    let place = [job_id.0.to_be_bytes(), restart.0.to_be_bytes(), node_rank.to_be_bytes()].concat();
    uuid(&[b"submission", &place, run.project.as_bytes(), run.run_name.as_bytes()])
}

/// A UUID of version 8 ("made by a rule of one's own", RFC 9562) from `parts`.
fn uuid(parts: &[&[u8]]) -> String {
    let high = fingerprint(parts, 0x6d75_7374_6572_0001);
    let low = fingerprint(parts, 0x6d75_7374_6572_0002);
    let high = (high & !0xf000) | 0x8000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// FNV-1a over the parts and their lengths, with a final mix so that small numbers spread over all bits. It only has to
/// tell apart the few thousand runs of a cluster; nothing relies on it being hard to guess.
fn fingerprint(parts: &[&[u8]], seed: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for part in parts {
        for byte in part.iter().chain(&(part.len() as u64).to_be_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash ^= hash >> 31;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_stable_and_differ() {
        let run = RunReference { run_name: "a".into(), project: "main".into(), configuration: "{}".into() };
        let first = run_id(JobId(1), &run);
        assert_eq!(first, run_id(JobId(1), &run));
        assert_ne!(first, run_id(JobId(2), &run));
        let start = |restart, rank| job_submission_id(JobId(1), RestartCount(restart), rank, &run);
        assert_ne!(start(0, 0), start(1, 0));
        assert_ne!(start(0, 0), start(0, 1));
        let shape: Vec<usize> = first.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{first}");
        assert_eq!(first.as_bytes()[14], b'8', "{first}");
    }
}
