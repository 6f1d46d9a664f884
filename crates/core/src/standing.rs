//! Answers about the order of the queue and about shares, found by the reader on its view.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::accounting::{Association, AssociationId, TresAmounts, TresLimit};
use muster_model::job::Job;
use muster_model::priority::{
    PriorityFlag, PriorityLedger, PriorityReport, PriorityRow, PrioritySnapshot, ShareReport, ShareRow, allocated,
    association_of, ledgers,
};
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};

use crate::view::ReadView;

impl ReadView {
    /// The parts of the priorities of all jobs that could start at `now`.
    pub fn priority_report(&self, now: Timestamp) -> PriorityReport {
        let config = &self.config.priority;
        let waits = |job: &&Arc<Job>| {
            let eligible = job.eligible_time.is_some_and(|eligible| eligible <= now);
            job.state == JobState::Pending && job.priority > 0 && eligible
        };
        let rows = self.jobs.values().filter(waits).flat_map(|job| {
            let row = |ledger| PriorityRow { user: job.spec.identity.user.clone(), uid: job.spec.identity.uid, ledger };
            self.ledgers_of(job).into_iter().map(row).collect::<Vec<_>>()
        });
        PriorityReport { rows: rows.collect(), config: config.clone() }
    }

    /// What the priority of `job` is made of, for each partition it asks for, the one in its row first.
    pub fn ledgers_of(&self, job: &Job) -> Vec<PriorityLedger> {
        let partition = |name: &str| self.partitions.iter().find(|part| *part.name == *name).map(|part| &**part);
        ledgers(job, partition, self.priorities.of(job.id), &self.config.priority)
    }

    /// Shares and usage of all associations as of the last calculation; what runs may still use, at `now`.
    pub fn share_report(&self, now: Timestamp) -> ShareReport {
        let config = &self.config.priority;
        let snapshot = self.snapshot_shown(now);
        let running = self.seconds_running(now);
        let row = |row: &Arc<Association>| ShareRow {
            id: row.id,
            parent: row.parent,
            key: row.key.clone(),
            shares: row.shares,
            found: snapshot.fair_shares.get(&row.id).copied().unwrap_or_default().into(),
            tres_minutes_max: row.limits.tres.get(&TresLimit::GrpTresMins).cloned().unwrap_or_default(),
            tres_seconds: self.usage.association(row.id, snapshot.at, config).tres_seconds,
            tres_seconds_running: running.get(&row.id).cloned().unwrap_or_default(),
        };
        ShareReport {
            classic: config.has(PriorityFlag::NoFairTree),
            tracked: config.tracked.clone(),
            rows: self.tree().iter().map(row).collect(),
        }
    }

    /// The last calculation. While nobody waits or runs none is made; then what it would have found by now, as if it had gone on.
    fn snapshot_shown(&self, now: Timestamp) -> Arc<PrioritySnapshot> {
        let last = &self.priorities.current;
        let period = self.config.priority.calculation_period.max(Span::from_seconds(1));
        let periods = now.since(last.at).0 / period.0;
        if periods < 2 {
            return last.clone();
        }
        let at = last.at + Span(period.0.saturating_mul(periods));
        let config = &self.config.priority;
        Arc::new(PrioritySnapshot::take(at, config, &self.nodes, &self.partitions, &self.accounting, &self.usage))
    }

    /// Associations from the root, users before accounts, each by name.
    fn tree(&self) -> Vec<Arc<Association>> {
        let mut below: BTreeMap<Option<AssociationId>, Vec<Arc<Association>>> = BTreeMap::new();
        for row in self.accounting.associations.values() {
            below.entry(row.parent).or_default().push(row.clone());
        }
        let name = |row: &Arc<Association>| {
            let key = &row.key;
            (key.user.is_empty(), key.account.clone(), key.user.clone(), key.partition.clone())
        };
        // Taken from the end, so the order is turned round.
        below.values_mut().for_each(|rows| {
            rows.sort_by_cached_key(name);
            rows.reverse();
        });
        let mut open = below.remove(&None).unwrap_or_default();
        let mut tree = Vec::new();
        while let Some(row) = open.pop() {
            open.extend(below.remove(&Some(row.id)).unwrap_or_default());
            tree.push(row);
        }
        tree
    }

    fn seconds_running(&self, now: Timestamp) -> BTreeMap<AssociationId, TresAmounts> {
        let mut all: BTreeMap<AssociationId, TresAmounts> = BTreeMap::new();
        for job in self.running.values().filter(|job| job.state == JobState::Running) {
            let (Some(allocation), Some(limit)) = (&job.allocation, job.time_limit.span()) else { continue };
            let Some(association) = association_of(job, &self.accounting) else { continue };
            let seconds = u64::try_from((limit.0 - job.run_time(now).0).max(0) / 1000).unwrap_or(0);
            let mut amounts = allocated(allocation);
            amounts.set_billing(allocation.billing());
            for row in self.accounting.lineage(association.id) {
                let sum = all.entry(row.id).or_default();
                amounts.0.iter().for_each(|(name, amount)| sum.add(name, amount.saturating_mul(seconds)));
            }
        }
        all
    }
}
