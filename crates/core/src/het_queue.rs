//! Where heterogeneous jobs stand in the queue: all components side by side at one place, or none of them.
//!
//! They start together, so the scheduler looks at them together. Whether one of them may start is known only when all may:
//! while one is held, waits for another job or is still being cleaned up, the others are not in the queue either.

use std::cmp::Reverse;
use std::sync::Arc;

use muster_model::config::HetPriority;
use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::planning::QueueKey;
use muster_model::time::Timestamp;

use crate::cluster::Cluster;
use crate::index::is_queued;

impl Cluster {
    /// The components of the heterogeneous job of `job` that are in memory, ascending; `job` alone where it is part of none.
    pub(crate) fn components(&self, job: &Job) -> Vec<Arc<Job>> {
        job.components().filter_map(|id| self.jobs.get(&id).cloned()).collect()
    }

    /// Whether a component that could start has to wait until the others can.
    pub(crate) fn awaits_others(&self, job: &Job, now: Timestamp) -> bool {
        job.het.is_some_and(|role| {
            let rows = self.components(job);
            rows.len() < role.size as usize || !rows.iter().all(|row| is_queued(row, now))
        })
    }

    /// Puts the components into the queue or takes them out, now that one of them is as in `changed`.
    pub(crate) fn queue_together(&mut self, changed: &Arc<Job>, now: Timestamp) {
        let Some(role) = changed.het else { return };
        let rows: Vec<Arc<Job>> = role
            .ids()
            .filter_map(|id| if id == changed.id { Some(changed.clone()) } else { self.jobs.get(&id).cloned() })
            .collect();
        for id in role.ids() {
            self.dequeue(id);
        }
        if rows.len() < role.size as usize || !rows.iter().all(|row| is_queued(row, now)) {
            return;
        }
        for row in &rows {
            if let Some(key) = self.place_beside(row, &rows) {
                self.queue_places.insert((key.job_id, key.partition), key);
                self.queue.insert(key, row.clone());
            }
        }
    }

    /// Where a component stands, `all` being what its heterogeneous job consists of: behind the leader by its number.
    pub(crate) fn place_beside(&self, job: &Job, all: &[Arc<Job>]) -> Option<QueueKey> {
        let leader = all.first()?;
        let tier_in = |name: &Name| self.partition(name).map_or(0, |partition| partition.priority_tier);
        let tiers = all.iter().map(|row| row.partitions_wanted().iter().map(tier_in).max().unwrap_or(0));
        let tier = self.level(tiers.map(u64::from).collect());
        let priority = self.level(all.iter().map(|row| u64::from(row.priority)).collect());
        Some(QueueKey {
            preemption_rank: 0,
            without_reservation: all.iter().all(|row| row.spec.reservation.is_none()),
            tier: Reverse(u16::try_from(tier).unwrap_or(u16::MAX)),
            priority: Reverse(u32::try_from(priority).unwrap_or(u32::MAX)),
            submit_time: leader.submit_time,
            job_id: job.id,
            partition: 0,
        })
    }

    /// One number for all components, as `bf_hetjob_prio` says.
    fn level(&self, each: Vec<u64>) -> u64 {
        let level = match self.config.het_jobs.priority {
            HetPriority::Min => each.iter().copied().min(),
            HetPriority::Max => each.iter().copied().max(),
            HetPriority::Avg => each.iter().sum::<u64>().checked_div(each.len() as u64),
        };
        level.unwrap_or(0)
    }
}
