//! Conservative backfill: every job has a reservation from its submit on, and nobody may delay anybody's.
//!
//! When a job ends before its limit, waiting jobs are moved forward one after the other in the order in which they came,
//! each to the earliest time that leaves all other reservations as they are (compression, as in Mu'alem and Feitelson,
//! 2001). So a promised start is only ever replaced by an earlier one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Recorder;
use super::profile::Profile;
use crate::workload::Demand;

pub(super) fn run(jobs: &[Demand], units: u32, recorder: &mut Recorder<'_>) {
    let mut planned = Planned {
        jobs,
        profile: Profile::new(units),
        ends: BinaryHeap::new(),
        queue: BTreeMap::new(),
        by_start: BTreeSet::new(),
    };
    let mut arrivals = jobs.iter().enumerate().filter(|(_, job)| job.size <= units).peekable();
    loop {
        let next_arrival = arrivals.peek().map(|(_, job)| job.submit);
        let next_end = planned.ends.peek().map(|Reverse((end, ..))| *end);
        let next_start = planned.by_start.first().map(|(start, _)| *start);
        let Some(now) = next_arrival.into_iter().chain(next_end).chain(next_start).min() else {
            return;
        };
        planned.profile.forget_before(now);
        if planned.end_until(now) {
            planned.compress(now, recorder);
        }
        while let Some((index, _)) = arrivals.next_if(|(_, job)| job.submit <= now) {
            planned.place(index, now, recorder);
        }
        planned.start_at(now, recorder);
    }
}

struct Planned<'a> {
    jobs: &'a [Demand],
    /// Units that neither running nor waiting jobs hold.
    profile: Profile,
    /// Real ends of running jobs, with the ends that their limits set.
    ends: BinaryHeap<Reverse<(i64, usize, i64)>>,
    /// Reserved starts of waiting jobs, as they came.
    queue: BTreeMap<usize, i64>,
    /// The same by time.
    by_start: BTreeSet<(i64, usize)>,
}

impl Planned<'_> {
    /// Gives back what running jobs hold no more; whether any of them ended before its limit.
    fn end_until(&mut self, now: i64) -> bool {
        let mut early = false;
        while let Some(Reverse((end, index, end_at_most))) = self.ends.peek().copied() {
            if end > now {
                break;
            }
            self.ends.pop();
            early |= end < end_at_most;
            self.profile.give(end, end_at_most, self.jobs[index].size);
        }
        early
    }

    fn place(&mut self, index: usize, now: i64, recorder: &mut Recorder<'_>) {
        let job = &self.jobs[index];
        let start = self.profile.earliest(job.size, job.limit, now);
        self.profile.take(start, start.saturating_add(job.limit), job.size);
        self.queue.insert(index, start);
        self.by_start.insert((start, index));
        recorder.promise(index, start);
    }

    /// Moves waiting jobs forward.
    fn compress(&mut self, now: i64, recorder: &mut Recorder<'_>) {
        let waiting: Vec<(usize, i64)> = self.queue.iter().map(|(index, start)| (*index, *start)).collect();
        for (index, start) in waiting {
            let job = &self.jobs[index];
            self.profile.give(start, start.saturating_add(job.limit), job.size);
            self.by_start.remove(&(start, index));
            self.place(index, now, recorder);
        }
    }

    fn start_at(&mut self, now: i64, recorder: &mut Recorder<'_>) {
        while let Some((start, index)) = self.by_start.first().copied() {
            if start > now {
                return;
            }
            self.by_start.pop_first();
            self.queue.remove(&index);
            let job = &self.jobs[index];
            self.ends.push(Reverse((now + job.run, index, now + job.limit)));
            recorder.start(index, now);
        }
    }
}
