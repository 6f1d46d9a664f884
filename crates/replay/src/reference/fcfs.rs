//! First come, first served: a job starts when all before it have started and enough units are free.
//!
//! One heap of ends and nothing else, no allocation for a job: this is the yardstick for speed as well as for waiting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Recorder;
use crate::workload::Demand;

pub(super) fn run(jobs: &[Demand], units: u32, recorder: &mut Recorder<'_>) {
    let mut free = units;
    let mut now = i64::MIN;
    let mut ends: BinaryHeap<Reverse<(i64, u32)>> = BinaryHeap::new();
    for (index, job) in jobs.iter().enumerate().filter(|(_, job)| job.size <= units) {
        // The queue is served in order, so time only moves when its first job comes or gets what it waits for.
        now = now.max(job.submit);
        while let Some(Reverse((end, size))) = ends.peek().copied() {
            if end > now && free >= job.size {
                break;
            }
            now = now.max(end);
            free += size;
            ends.pop();
        }
        free -= job.size;
        ends.push(Reverse((now.saturating_add(job.run), job.size)));
        recorder.start(index, now);
    }
}
