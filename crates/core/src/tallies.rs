//! What jobs hold, by who is charged: kept with each change of a job row.

use muster_model::accounting::{Charged, Enforcement, Tallies};
use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::time::Timestamp;

use crate::cluster::Cluster;

impl Cluster {
    /// Follows the change of a row.
    pub(crate) fn tally_job(&mut self, old: Option<&Job>, new: &Job) {
        let is_charged = |job: &Job| job.association.is_some() || job.qos.is_some() || self.has_partition_qos(job);
        if !is_charged(new) && !old.is_some_and(is_charged) {
            return;
        }
        let before = old.map(|old| self.charged(old)).unwrap_or_default();
        let after = self.charged(new);
        if before != after {
            self.tallies.remove(&before);
            self.tallies.add(&after);
        }
    }

    fn has_partition_qos(&self, job: &Job) -> bool {
        self.partition(&job.partition).is_some_and(|partition| partition.qos.is_some())
    }

    fn charged(&self, job: &Job) -> Charged {
        Charged::of(&self.accounting, job, self.partition_qos(&job.partition).as_ref())
    }

    /// The QOS of a partition.
    pub(crate) fn partition_qos(&self, partition: &str) -> Option<Name> {
        self.partition(partition).and_then(|partition| partition.qos.clone())
    }

    /// The tallies counted from the rows.
    pub(crate) fn recount(&self) -> Tallies {
        let mut tallies = Tallies::default();
        for job in self.jobs.values() {
            tallies.add(&self.charged(job));
        }
        tallies
    }

    /// What limits are checked against at `now`.
    pub(crate) fn enforcement(&self, now: Timestamp) -> Enforcement<'_> {
        Enforcement { tallies: &self.tallies, past: &self.past_use, now, safe: self.config.accounting_enforce.safe }
    }
}
