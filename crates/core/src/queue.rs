//! Where jobs stand in the queue: at one place for each partition that they ask for, as in Slurm, with the tier of that
//! partition and the priority that the job has there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::{JobId, Name};
use muster_model::job::Job;
use muster_model::planning::QueueKey;
use muster_model::priority::by_partition;

use crate::cluster::Cluster;

impl Cluster {
    /// Puts a job into the queue, which is not in it.
    pub(crate) fn enqueue(&mut self, job: &Arc<Job>) {
        for key in self.places(job) {
            self.queue_places.insert((key.job_id, key.partition), key);
            self.queue.insert(key, job.clone());
        }
    }

    /// Takes a job out of the queue, wherever it stands.
    pub(crate) fn dequeue(&mut self, job_id: JobId) {
        let taken: Vec<_> = self.places_taken(job_id).collect();
        for (place, key) in taken {
            self.queue_places.remove(&place);
            self.queue.remove(&key);
        }
    }

    /// Whether a job is in the queue.
    pub(crate) fn is_in_queue(&self, job_id: JobId) -> bool {
        self.places_taken(job_id).next().is_some()
    }

    /// Whether a job of several partitions would stand elsewhere if it came now.
    pub(crate) fn is_misplaced(&self, job: &Job) -> bool {
        job.het.is_none()
            && job.partitions_wanted().len() > 1
            && self.is_in_queue(job.id)
            && !self.places_taken(job.id).map(|(_, key)| key).eq(self.places(job))
    }

    /// Puts every job of the queue where it belongs by now.
    pub(crate) fn reorder_queue(&mut self) {
        let jobs: BTreeMap<JobId, Arc<Job>> = self.queue.values().map(|job| (job.id, job.clone())).collect();
        for (job_id, job) in jobs {
            self.dequeue(job_id);
            self.enqueue(&job);
        }
    }

    /// Where a job stands, by the position of the partition.
    fn places_taken(&self, job_id: JobId) -> impl Iterator<Item = ((JobId, u32), QueueKey)> + '_ {
        self.queue_places.range((job_id, 0)..=(job_id, u32::MAX)).map(|(place, key)| (*place, *key))
    }

    /// Where a job belongs, by the position of the partition.
    fn places(&self, job: &Job) -> Vec<QueueKey> {
        if job.het.is_some() {
            return self.place_beside(job, &self.components(job)).into_iter().collect();
        }
        let priorities = by_partition(job, self.priorities.of(job.id), &self.config.priority);
        let place = |(position, (name, priority)): (u32, (&Name, u32))| QueueKey {
            preemption_rank: 0,
            without_reservation: job.spec.reservation.is_none(),
            tier: Reverse(self.partition(name).map_or(0, |partition| partition.priority_tier)),
            priority: Reverse(priority),
            submit_time: job.submit_time,
            job_id: job.id,
            partition: position,
        };
        (0..).zip(job.partitions_wanted().iter().zip(priorities)).map(place).collect()
    }
}
