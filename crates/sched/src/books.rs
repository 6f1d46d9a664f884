//! What a pass works with and leaves behind: what is free, what happens later, and how the cluster looked when that was
//! true. The next pass over a part of the queue goes on from there.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, Vector};
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::node::Node;
use muster_model::planning::PlanView;
use muster_model::time::Timestamp;

use crate::alike;
use crate::blocks::Blocks;
use crate::expect;
use crate::fleet::Fleet;
use crate::free::Free;
use crate::future::Future;
use crate::nodeset::NodeSet;
use crate::people::People;
use crate::planner::AskId;
use crate::said::Said;

/// State of the resources.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) free: Free,
    /// What requests remember of blocks of nodes, as far as `changed` does not say otherwise.
    pub(crate) blocks: Blocks,
    /// Nodes of which something else may be free than `blocks` has been told, or which were usable and are not, or the reverse.
    pub(crate) changed: Vec<u32>,
    /// Nodes that take jobs.
    pub(crate) in_service: NodeSet,
    /// Those of them with a free CPU; without backfill, not those of partitions with a blocked job.
    pub(crate) usable: NodeSet,
    pub(crate) future: Future,
    /// Nodes on which the last pass started something: what came of it is for the next view to say.
    pub(crate) touched: BTreeSet<u32>,
    /// What the last pass said.
    pub(crate) said: Said,
    /// By partition.
    pub(crate) standings: Vec<PartitionStanding>,
    /// Planned starts that were made.
    pub(crate) plans_made: u32,
    /// Nodes that a user has for himself.
    owned: BTreeSet<u32>,
    nodes: Vector<Arc<Node>>,
    running: OrdMap<(Timestamp, JobId), Arc<Job>>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PartitionStanding {
    /// A job of it waits for resources.
    pub(crate) is_blocked: bool,
    /// Planned starts in it that were made.
    pub(crate) plans_made: u32,
    /// Of jobs that wait for licences.
    pub(crate) licensed_plans_made: u32,
}

impl Books {
    /// Reads everything out of `view`.
    pub(crate) fn open(fleet: &Fleet, view: &PlanView) -> Books {
        let in_service = expect::in_service(view);
        let free = Free::now(fleet, view);
        Books {
            usable: in_service.iter().filter(|node| free.cpus[*node as usize] > 0).collect(),
            future: Future::build(fleet, view, &free),
            free,
            blocks: Blocks::of(fleet.node_count()),
            changed: Vec::new(),
            in_service,
            touched: BTreeSet::new(),
            said: Said::default(),
            standings: vec![PartitionStanding::default(); fleet.partition_count()],
            plans_made: 0,
            owned: (0..)
                .zip(&view.nodes)
                .filter(|(_, node)| node.used.exclusive_user.is_some() || node.used.exclusive_label.is_some())
                .map(|(at, _)| at)
                .collect(),
            nodes: view.nodes.clone(),
            running: view.running.clone(),
        }
    }

    /// Brings the books in line with `view`, which has the same fleet. Gives the nodes that are not as they were.
    pub(crate) fn follow(&mut self, fleet: &Fleet, view: &PlanView) -> BTreeSet<u32> {
        let mut changed = std::mem::take(&mut self.touched);
        for node in &changed {
            self.future.forget_started(*node);
        }
        self.future.set_now(view.now);
        let before = std::mem::replace(&mut self.running, view.running.clone());
        for change in before.diff(&view.running) {
            let (gone, come) = match change {
                DiffItem::Add(key, job) => (None, Some((key.0, job))),
                DiffItem::Remove(_, job) => (Some(job), None),
                DiffItem::Update { old: (_, old), new: (key, job) } => (Some(old), Some((key.0, job))),
            };
            if let Some(job) = gone {
                self.future.job_gone(job);
                changed.extend(nodes_of(job));
            }
            if let Some((end, job)) = come {
                self.future.job_runs(fleet, view, end, job);
                changed.extend(nodes_of(job));
            }
        }
        changed.extend(alike::changed_rows(&self.nodes, &view.nodes));
        self.nodes = view.nodes.clone();
        for node in &changed {
            self.read_node(fleet, view, *node);
        }
        changed
    }

    /// Jobs that have begun to hold resources since the last pass, which was made at `time`.
    pub(crate) fn started_since(&self, view: &PlanView, time: Timestamp) -> Vec<Arc<Job>> {
        let job = |change| match change {
            DiffItem::Add(_, job) | DiffItem::Update { new: (_, job), .. } => Some(job),
            DiffItem::Remove(..) => None,
        };
        let come = self.running.diff(&view.running).filter_map(job);
        come.filter(|job: &&Arc<Job>| job.start_time.is_some_and(|start| start >= time)).cloned().collect()
    }

    /// Whether a running job is on a node where planned starts lack something, or has licences while others are planned.
    pub(crate) fn is_in_the_way(&self, job: &Job) -> bool {
        let is_short = |node| self.future.is_planned(node) && self.future.is_short(node, &self.free);
        (job.spec.request.licenses.is_some() && !self.future.licenses().is_empty()) || nodes_of(job).any(is_short)
    }

    /// Whether running jobs are on nodes where planned starts want nobody beside them, or the reverse.
    pub(crate) fn put_anybody_off(&self, fleet: &Fleet, view: &PlanView, running: &[Arc<Job>]) -> bool {
        if running.is_empty() || !(self.has_owned_nodes() || self.future.has_alone()) {
            return false;
        }
        let people = People::of(fleet, view);
        let is_put_off = |node| self.future.is_planned(node) && !self.future.put_off(node, None, &people).is_empty();
        running.iter().flat_map(|job| nodes_of(job)).any(is_put_off)
    }

    /// Takes all planned starts back, so that these are books without plans once they follow a view.
    pub(crate) fn forget_plans(&mut self) {
        self.future.drop_all();
        self.plans_made = 0;
        self.standings.fill(PartitionStanding::default());
        self.said = Said::default();
    }

    /// Makes what is remembered of nodes true, with room for what `ask` will remember.
    pub(crate) fn prepare_blocks(&mut self, ask: AskId) {
        self.blocks.follow(&self.changed);
        self.changed.clear();
        self.blocks.prepare(ask);
    }

    /// Takes what is known of nodes over from the books of an earlier pass.
    pub(crate) fn learn_from(&mut self, before: Books) {
        let Books { free, usable, blocks, changed, .. } = before;
        (self.blocks, self.changed) = (blocks, changed);
        let differs = |node: u32| self.usable.contains(node) != usable.contains(node) || self.free.differs(&free, node);
        let nodes = 0..self.nodes.len() as u32;
        self.changed.extend(nodes.filter(|node| differs(*node)));
    }

    /// No further job gets any of `nodes`.
    pub(crate) fn close(&mut self, nodes: &NodeSet) {
        self.usable.subtract(nodes);
        self.changed.extend(nodes.iter());
    }

    /// Whether any node belongs to a user at present.
    pub(crate) fn has_owned_nodes(&self) -> bool {
        !self.owned.is_empty()
    }

    fn read_node(&mut self, fleet: &Fleet, view: &PlanView, index: u32) {
        let Some(node) = view.nodes.get(index as usize) else {
            return;
        };
        self.free.read_node(fleet, index, node);
        self.changed.push(index);
        if node.used.exclusive_user.is_some() || node.used.exclusive_label.is_some() {
            self.owned.insert(index);
        } else {
            self.owned.remove(&index);
        }
        self.future.settle_node(fleet, index, &self.free);
        if node.is_schedulable() {
            self.in_service.insert(index);
        } else {
            self.in_service.remove(index);
        }
        if node.is_schedulable() && self.free.cpus[index as usize] > 0 {
            self.usable.insert(index);
        } else {
            self.usable.remove(index);
        }
    }
}

fn nodes_of(job: &Job) -> impl Iterator<Item = u32> + '_ {
    job.allocation.iter().flat_map(|allocation| &allocation.shares).map(|share| share.node.0)
}
