//! After a restart: the cluster from what is stored, and what the time in between has changed.
//!
//! Agents have not called yet, so nothing is known of their units: nothing is ended or started again here, except where
//! a node is no longer part of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::config::ClusterConfig;
use muster_model::document::Document;
use muster_model::fact::{NodeRecord, StoredState};
use muster_model::hostlist;
use muster_model::ids::{JobId, Name, NodeIndex};
use muster_model::job::Job;
use muster_model::node::NodeHealth;
use muster_model::step::Step;
use muster_model::time::Timestamp;

use crate::cluster::{
    Cluster, HOLDER_ABSENCE_AFTER_RESTART_MAX, HOLDER_ABSENCE_MAX, NEXT_ASSOCIATION_ID, NEXT_JOB_ID, NEXT_QOS_ID,
    NEXT_RESERVATION, NEXT_SPEC_ID,
};
use crate::effect::Outcome;
use crate::handlers;
use crate::timers::Timer;

impl Cluster {
    /// The cluster as the configuration and the stored state tell it, at `now`. What has to be written down or done
    /// because of the restart goes to `out`.
    pub fn restore(config: ClusterConfig, stored: StoredState, now: Timestamp, out: &mut Outcome) -> Cluster {
        let mut cluster = Cluster::empty(Arc::new(config));
        for (name, value) in &stored.counters {
            match name.as_str() {
                NEXT_JOB_ID => cluster.next_job_id = cluster.next_job_id.max(u32::try_from(*value).unwrap_or(u32::MAX)),
                NEXT_RESERVATION => cluster.next_reservation = cluster.next_reservation.max(*value),
                NEXT_ASSOCIATION_ID => cluster.next_association_id = u32::try_from(*value).unwrap_or(u32::MAX),
                NEXT_QOS_ID => cluster.next_qos_id = u32::try_from(*value).unwrap_or(u32::MAX),
                NEXT_SPEC_ID => cluster.next_spec_id = cluster.next_spec_id.max(*value),
                _ => {}
            }
        }
        for (name, record) in stored.nodes {
            cluster.restore_node(&name, record);
        }
        for document in stored.documents {
            cluster.restore_document(document);
        }
        handlers::accounting::ensure_defaults(&mut cluster, out);
        cluster.await_agents(now);
        let moves: BTreeMap<JobId, Moves> =
            stored.jobs.iter().filter_map(|job| Some((job.id, Moves::of(&cluster, job)?))).collect();
        for step in stored.steps {
            let step = match moves.get(&step.job_id) {
                Some(moves) => Arc::new(moves.step((*step).clone())),
                None => step,
            };
            cluster.restore_step(step);
        }
        for job in stored.jobs {
            let job = match moves.get(&job.id) {
                Some(moves) => Arc::new(moves.job((*job).clone())),
                None => job,
            };
            cluster.restore_job(job, now);
        }
        for (job_id, moves) in &moves {
            if moves.lost_any {
                handlers::ending::nodes_vanished(&mut cluster, now, *job_id, out);
            }
        }
        handlers::hooks::restored(&cluster, out);
        handlers::turns::restored(&mut cluster, now);
        handlers::turns::settle(&mut cluster, now, out);
        handlers::priority::restore_arrivals(&mut cluster);
        handlers::priority::begin(&mut cluster, now);
        handlers::reservations::life::restored(&mut cluster);
        handlers::reservations::life::tend(&mut cluster, now, out);
        handlers::dependency::evaluate_all(&mut cluster, now, out);
        out.plan_needed = true;
        cluster
    }

    /// What was written down about a node goes before what the configuration says about its first state.
    fn restore_node(&mut self, name: &Name, record: NodeRecord) {
        let Some(index) = self.node_index.get(name) else {
            return;
        };
        let place = index.0 as usize;
        let (Some(node), Some(configured)) = (self.nodes.get_mut(place), self.config.nodes.get(place)) else {
            return;
        };
        let node = Arc::make_mut(node);
        // Agents will mostly say the same again, and then nothing changes for the planner.
        node.find_places(&configured.hardware, record.places_found);
        node.health = match record.health {
            // Not heard of since the restart; its agent will call.
            NodeHealth::Up | NodeHealth::Unknown => NodeHealth::Unknown,
            other => other,
        };
        node.drain = record.drain;
        node.reason = record.reason;
        node.launch_sequence = record.launch_sequence;
        node.comment = record.comment;
        node.extra = record.extra;
        node.last_busy = record.last_busy;
    }

    fn restore_document(&mut self, document: Document) {
        match document {
            Document::Usage(record) => self.usage.restore(&record),
            Document::Crontab(table) => drop(self.crontabs.insert(table.uid, table)),
            Document::Reservation(row) => drop(self.reservations.insert(row.name.clone(), row)),
            row => self.accounting.put(&row),
        }
    }

    /// An agent that does not call within `SlurmdTimeout` is given up, as one that went silent.
    fn await_agents(&mut self, now: Timestamp) {
        let timeout = self.config.node_timeout;
        for (index, node) in (0..).map(NodeIndex).zip(self.nodes.iter_mut()) {
            if node.health != NodeHealth::Future && timeout.0 > 0 {
                Arc::make_mut(node).last_response = Some(now);
                self.timers.set(now + timeout, Timer::NodeSilent(index));
            }
        }
    }

    fn restore_step(&mut self, step: Arc<Step>) {
        if let Some((start, limit)) = step.start_time.zip(step.time_limit.and_then(|limit| limit.span())) {
            self.timers.set(start + limit, Timer::StepTimeLimit(step.job_id, step.step_id));
        }
        self.steps.insert((step.job_id, step.step_id), step);
    }

    fn restore_job(&mut self, job: Arc<Job>, now: Timestamp) {
        self.next_job_id = self.next_job_id.max(job.id.0.saturating_add(1));
        self.next_spec_id = self.next_spec_id.max(job.spec_id.0.saturating_add(1));
        if job.holds_resources()
            && let Some(allocation) = job.allocation.clone()
        {
            let held = |node| job.cleaning.as_ref().is_none_or(|cleaning| cleaning.nodes.contains(&node));
            for share in allocation.shares.iter().filter(|share| held(share.node)) {
                self.take_share(share, &job);
            }
        }
        for released in job.released() {
            self.take_released(&released.share, &job);
        }
        if crate::handlers::holder::needs_holder(&job) {
            self.holders_away.insert(job.id, now + HOLDER_ABSENCE_AFTER_RESTART_MAX - HOLDER_ABSENCE_MAX);
            self.timers.set(now + HOLDER_ABSENCE_AFTER_RESTART_MAX, Timer::Holder(job.id));
        }
        self.set_job_timers(&job, now);
        self.index_job(None, &job, now);
        self.submits.remember(now, &job);
        self.jobs.insert(job.id, job);
    }
}

/// Rows name nodes by their position in the configuration. Where a new configuration has moved or dropped nodes of a job,
/// this tells where they are now.
struct Moves {
    /// New position by old one; `None` for a node that is gone.
    to: BTreeMap<NodeIndex, Option<NodeIndex>>,
    /// Whether one is gone that is more to the job than one it is leaving.
    lost_any: bool,
}

impl Moves {
    /// `None` when the nodes of the job are where they were.
    fn of(cluster: &Cluster, job: &Job) -> Option<Moves> {
        let shares = &job.allocation.as_ref().filter(|_| job.holds_resources())?.shares;
        let names = hostlist::expand(job.node_list.as_deref()?).ok().filter(|names| names.len() == shares.len())?;
        let place = |name: &str| cluster.node_index.get(name).copied();
        let mut to: BTreeMap<NodeIndex, Option<NodeIndex>> =
            shares.iter().zip(&names).map(|(share, name)| (share.node, place(name))).collect();
        let is_lost = |to: &BTreeMap<NodeIndex, Option<NodeIndex>>| to.values().any(Option::is_none);
        let lost_own = is_lost(&to);
        to.extend(job.released().iter().map(|released| (released.share.node, place(&released.name))));
        let lost_any = lost_own || (job.completing && is_lost(&to));
        to.iter().any(|(from, to)| *to != Some(*from)).then_some(Moves { to, lost_any })
    }

    fn place(&self, node: NodeIndex) -> Option<NodeIndex> {
        self.to.get(&node).copied().flatten()
    }

    fn places(&self, nodes: &[NodeIndex]) -> Vec<NodeIndex> {
        nodes.iter().filter_map(|node| self.place(*node)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The order of shares stays, even if it is not ascending any more: the first node runs the batch script.
    fn job(&self, mut job: Job) -> Job {
        if let Some(allocation) = &mut job.allocation {
            Arc::make_mut(allocation).shares.retain_mut(|share| match self.place(share.node) {
                Some(node) => {
                    share.node = node;
                    true
                }
                None => false,
            });
        }
        if let Some(resize) = &mut job.resize {
            resize.released.retain_mut(|released| match self.place(released.share.node) {
                Some(node) => {
                    released.share.node = node;
                    true
                }
                None => false,
            });
        }
        if let Some(cleaning) = &mut job.cleaning {
            cleaning.nodes = self.places(&cleaning.nodes);
        }
        job
    }

    fn step(&self, mut step: Step) -> Step {
        step.nodes_left = self.places(&step.nodes_left);
        step.layout.retain_mut(|on| match self.place(on.node) {
            Some(node) => {
                on.node = node;
                true
            }
            None => false,
        });
        step
    }
}
