//! EASY backfill: the first job of the queue has a reservation, and others may pass where they do not delay it.
//!
//! As in Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in scheduling the IBM
//! SP2 with backfilling" (2001): the reservation is at the time at which, going by limits, enough units are free; a job
//! may pass when its limit ends before that time or it needs no more than the units left over then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Recorder;
use crate::workload::Demand;

/// In which order jobs behind the first are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As they came.
    Arrival,
    /// Those with the shortest limit first.
    Shortest,
}

pub(super) fn run(jobs: &[Demand], units: u32, order: Order, recorder: &mut Recorder<'_>) {
    let mut machine = Machine {
        jobs,
        free: units,
        ends: BinaryHeap::new(),
        ends_at_most: BTreeMap::new(),
        queue: BTreeSet::new(),
        candidates: BTreeSet::new(),
        order,
    };
    let mut arrivals = jobs.iter().enumerate().filter(|(_, job)| job.size <= units).peekable();
    loop {
        let next_arrival = arrivals.peek().map(|(_, job)| job.submit);
        let next_end = machine.ends.peek().map(|Reverse((end, ..))| *end);
        let Some(now) = next_arrival.into_iter().chain(next_end).min() else {
            return;
        };
        machine.end_until(now);
        while let Some((index, _)) = arrivals.next_if(|(_, job)| job.submit <= now) {
            machine.enqueue(index);
        }
        machine.serve(now, recorder);
    }
}

struct Machine<'a> {
    jobs: &'a [Demand],
    free: u32,
    /// Real ends of running jobs, with the ends that their limits set.
    ends: BinaryHeap<Reverse<(i64, usize, i64)>>,
    /// What running jobs hold, by the end that their limit sets.
    ends_at_most: BTreeMap<(i64, usize), u32>,
    /// Waiting jobs as they came.
    queue: BTreeSet<usize>,
    /// The same in the order in which they may pass.
    candidates: BTreeSet<(i64, usize)>,
    order: Order,
}

impl Machine<'_> {
    fn rank(&self, index: usize) -> (i64, usize) {
        match self.order {
            Order::Arrival => (0, index),
            Order::Shortest => (self.jobs[index].limit, index),
        }
    }

    fn enqueue(&mut self, index: usize) {
        self.queue.insert(index);
        self.candidates.insert(self.rank(index));
    }

    fn start(&mut self, index: usize, now: i64, recorder: &mut Recorder<'_>) {
        let job = &self.jobs[index];
        self.queue.remove(&index);
        self.candidates.remove(&self.rank(index));
        self.free -= job.size;
        self.ends.push(Reverse((now + job.run, index, now + job.limit)));
        self.ends_at_most.insert((now + job.limit, index), job.size);
        recorder.start(index, now);
    }

    fn end_until(&mut self, now: i64) {
        while let Some(Reverse((end, index, end_at_most))) = self.ends.peek().copied() {
            if end > now {
                return;
            }
            self.ends.pop();
            self.ends_at_most.remove(&(end_at_most, index));
            self.free += self.jobs[index].size;
        }
    }

    /// Starts what may start at `now`.
    fn serve(&mut self, now: i64, recorder: &mut Recorder<'_>) {
        while let Some(first) = self.queue.first().copied() {
            if self.jobs[first].size > self.free {
                self.backfill(first, now, recorder);
                return;
            }
            self.start(first, now, recorder);
        }
    }

    /// Lets others pass the first job where they do not delay it.
    fn backfill(&mut self, first: usize, now: i64, recorder: &mut Recorder<'_>) {
        let (shadow, mut extra) = self.reservation(first);
        recorder.promise(first, shadow);
        let mut at = None;
        while self.free > 0 {
            let rest = match at {
                None => self.candidates.iter().next(),
                Some(rank) => {
                    self.candidates.range((std::ops::Bound::Excluded(rank), std::ops::Bound::Unbounded)).next()
                }
            };
            let Some(rank) = rest.copied() else {
                return;
            };
            at = Some(rank);
            let (index, job) = (rank.1, self.jobs[rank.1]);
            let ends_before = now + job.limit <= shadow;
            if index == first || job.size > self.free || !(ends_before || job.size <= extra) {
                continue;
            }
            if !ends_before {
                extra -= job.size;
            }
            self.start(index, now, recorder);
        }
    }

    /// When `first` can start at the latest, and the units that are left over then.
    fn reservation(&self, first: usize) -> (i64, u32) {
        let wanted = self.jobs[first].size;
        let mut free = self.free;
        let mut shadow = None;
        for ((end, _), size) in &self.ends_at_most {
            if shadow.is_some_and(|shadow| shadow != *end) {
                break;
            }
            free += size;
            if free >= wanted {
                shadow = Some(*end);
            }
        }
        (shadow.unwrap_or(i64::MAX), free.saturating_sub(wanted))
    }
}
