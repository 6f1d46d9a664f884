//! What jobs hold of nodes, as the rows of nodes tell it.
//!
//! Amounts are added and taken off as jobs come and go. CPUs can count for several jobs at once (those that share them in
//! rows, a job that runs where suspended ones have their claims, one that an operator resumed over another); where that is
//! so, a node's CPUs are counted anew from its jobs.

use std::sync::Arc;

use muster_model::fact::{Fact, NodeRecord};
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::Job;
use muster_model::node::{CpuRow, NodeUse};
use muster_model::preemption::CpuHold;
use muster_model::resources::{GresShare, IndexSet, NodeShare};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::placement::Claim;

impl Cluster {
    /// Marks a share of `job` as held.
    pub(crate) fn take_share(&mut self, share: &NodeShare, job: &Job) {
        let partition = self.partition(&job.partition).cloned();
        let claim = Claim::of(job, partition.as_deref(), self.config.preemption.gang);
        let Some(node) = self.nodes.get_mut(share.node.0 as usize) else {
            return;
        };
        self.node_jobs.entry(share.node).or_default().insert(job.id);
        let used = &mut Arc::make_mut(node).used;
        used.memory.0 = used.memory.0.saturating_add(share.memory.0);
        for held in &share.gres {
            // By type too: the scheduler counts each type by itself.
            match used.gres.iter_mut().find(|gres| is_like(gres, held)) {
                Some(gres) => gres.units.add_all(&held.units),
                None => used.gres.push(held.clone()),
            }
        }
        if job.completing {
            used.jobs_completing += 1;
        } else {
            used.jobs_running += 1;
            used.jobs_suspended += u32::from(job.state == JobState::Suspended);
        }
        if claim.exclusive_user {
            used.exclusive_user = Some(claim.uid);
        }
        if claim.exclusive_label {
            used.exclusive_label = Some(claim.label.cloned().unwrap_or_else(|| "".into()));
        }
        add_cpus(used, &claim, share, job.cpu_hold());
    }

    /// A running job was counted for a second share on a node where it had one.
    pub(crate) fn count_once(&mut self, node: NodeIndex) {
        if let Some(node) = self.nodes.get_mut(node.0 as usize) {
            let used = &mut Arc::make_mut(node).used;
            used.jobs_running = used.jobs_running.saturating_sub(1);
        }
    }

    /// Counts what `job` gave up on a node that is not clean of it, after a restart.
    pub(crate) fn take_released(&mut self, share: &NodeShare, job: &Job) {
        // Its processes there are being ended, whatever the job does elsewhere.
        let ending = Job { completing: true, cleaning: None, state: JobState::Running, ..job.clone() };
        self.take_share(share, &ending);
    }

    /// From now on `job`, which runs, is only being cleaned up where it holds `share`.
    pub(crate) fn count_as_leaving(&mut self, share: &NodeShare) {
        if let Some(node) = self.nodes.get_mut(share.node.0 as usize) {
            let used = &mut Arc::make_mut(node).used;
            used.jobs_running = used.jobs_running.saturating_sub(1);
            used.jobs_completing += 1;
        }
    }

    /// Gives a share of a job back that has ended, or gave it up. Since when a node is idle is written down.
    pub(crate) fn release_share(&mut self, now: Timestamp, job: &Job, share: &NodeShare, out: &mut Outcome) {
        let left_alone = self.node_jobs.get_mut(&share.node).is_none_or(|jobs| {
            jobs.remove(&job.id);
            jobs.is_empty()
        });
        let Some(node) = self.nodes.get_mut(share.node.0 as usize) else {
            return;
        };
        let node = Arc::make_mut(node);
        node.last_busy = Some(now);
        let used = &mut node.used;
        used.memory.0 = used.memory.0.saturating_sub(share.memory.0);
        for held in &share.gres {
            if let Some(gres) = used.gres.iter_mut().find(|gres| is_like(gres, held)) {
                gres.units.remove_all(&held.units);
            }
        }
        used.gres.retain(|gres| !gres.units.is_empty());
        used.jobs_completing = used.jobs_completing.saturating_sub(1);
        if left_alone {
            used.exclusive_user = None;
            used.exclusive_label = None;
            out.facts.push(Fact::Node { name: node.name().clone(), record: NodeRecord::of(node) });
        }
        let used = &mut node.used;
        let is_mixed = used.overlaps || !used.rows.is_empty() || !used.cpus_claimed.is_empty();
        if is_mixed || !hold_on(job, share.node).is_used() {
            self.count_cpus(share.node);
        } else {
            used.cpus.remove_all(&share.cpus);
        }
    }

    /// Counts anew which CPUs of a node are those of its jobs, without the jobs that are set aside.
    pub(crate) fn count_cpus(&mut self, index: NodeIndex) {
        let there = self.node_jobs.get(&index).into_iter().flatten().filter(|id| !self.aside.contains(id));
        let jobs: Vec<Arc<Job>> = there.filter_map(|id| self.jobs.get(id).cloned()).collect();
        let partitions: Vec<_> = jobs.iter().map(|job| self.partition(&job.partition).cloned()).collect();
        let gang = self.config.preemption.gang;
        let Some(node) = self.nodes.get_mut(index.0 as usize) else {
            return;
        };
        let used = &mut Arc::make_mut(node).used;
        used.cpus = IndexSet::default();
        used.cpus_claimed = IndexSet::default();
        used.overlaps = false;
        used.rows.clear();
        for (job, partition) in jobs.iter().zip(&partitions) {
            if let Some(share) = job.share_on(index) {
                add_cpus(used, &Claim::of(job, partition.as_deref(), gang), share, hold_on(job, index));
            }
        }
        if !used.cpus_claimed.is_empty() {
            self.cpus_freed.insert(index);
        }
    }

    /// As [`Cluster::count_cpus`] for all nodes of a job.
    pub(crate) fn count_cpus_of(&mut self, job_id: JobId) {
        let allocation = self.jobs.get(&job_id).and_then(|job| job.allocation.clone());
        for share in allocation.iter().flat_map(|allocation| &allocation.shares) {
            self.count_cpus(share.node);
        }
    }

    /// Counts a job that is `suspended` from now on, or runs again, as such; its row is in place.
    pub(crate) fn count_suspension(&mut self, job: &Job, suspended: bool) {
        for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
            if let Some(node) = self.nodes.get_mut(share.node.0 as usize) {
                let count = &mut Arc::make_mut(node).used.jobs_suspended;
                *count = if suspended { *count + 1 } else { count.saturating_sub(1) };
            }
            self.count_cpus(share.node);
        }
    }

    /// Turns the shares of a running job into shares of a completing one; `job` is still as it ran.
    pub(crate) fn count_as_completing(&mut self, job: &Job) {
        let suspended = u32::from(job.state == JobState::Suspended);
        for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
            if let Some(node) = self.nodes.get_mut(share.node.0 as usize) {
                let used = &mut Arc::make_mut(node).used;
                used.jobs_running = used.jobs_running.saturating_sub(1);
                used.jobs_suspended = used.jobs_suspended.saturating_sub(suspended);
                used.jobs_completing += 1;
            }
        }
    }
}

/// What `job` is to the CPUs that are held for it on `node`. Where it is only being ended, it runs until it is gone.
pub(crate) fn hold_on(job: &Job, node: NodeIndex) -> CpuHold {
    if job.is_leaving(node) { CpuHold::Used } else { job.cpu_hold() }
}

fn add_cpus(used: &mut NodeUse, claim: &Claim<'_>, share: &NodeShare, hold: CpuHold) {
    if hold == CpuHold::Given {
        return;
    }
    if claim.rows > 1 {
        let row = CpuRow::room(&used.rows, claim.partition, claim.rows, &share.cpus).unwrap_or(usize::MAX);
        CpuRow::put(&mut used.rows, claim.partition, row, &share.cpus);
    } else {
        used.overlaps |= !used.cpus.is_disjoint(&share.cpus);
    }
    used.cpus.add_all(&share.cpus);
    if hold == CpuHold::Claimed {
        used.cpus_claimed.add_all(&share.cpus);
    }
}

/// Whether both are of one generic resource and type.
fn is_like(one: &GresShare, other: &GresShare) -> bool {
    one.name == other.name && one.kind == other.kind
}
