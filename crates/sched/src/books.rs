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
use muster_model::resources::IndexSet;
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

    /// As [`Books::open`], after an earlier pass with the same fleet: what is still true in its books is not read again.
    pub(crate) fn renew(mut self, fleet: &Fleet, view: &PlanView) -> Books {
        self.forget_plans();
        if fleet.has_quotas() {
            // A node does not tell for whom its CPUs are taken.
            let mut books = Books::open(fleet, view);
            books.learn_from(self);
            return books;
        }
        self.follow(fleet, view);
        self.reopen_nodes();
        #[cfg(debug_assertions)]
        self.verify(&Books::open(fleet, view));
        self
    }

    /// Takes back what an earlier pass has closed.
    fn reopen_nodes(&mut self) {
        let usable: NodeSet = self.in_service.iter().filter(|node| self.free.cpus[*node as usize] > 0).collect();
        let mut opened = usable.clone();
        opened.subtract(&self.usable);
        self.changed.extend(opened.iter());
        self.usable = usable;
    }

    /// Stops where something has been missed on the way to a view, of which `anew` was read.
    #[cfg(debug_assertions)]
    fn verify(&self, anew: &Books) {
        let nodes = 0..self.nodes.len() as u32;
        assert!(!nodes.into_iter().any(|node| self.free.differs(&anew.free, node)), "what is free");
        assert!(self.usable == anew.usable && self.in_service == anew.in_service, "nodes in service");
        assert_eq!(self.owned, anew.owned, "nodes of one user");
        self.future.verify(&anew.future);
    }

    /// Brings the books in line with `view`, which has the same fleet. Gives the nodes that are not as they were.
    pub(crate) fn follow(&mut self, fleet: &Fleet, view: &PlanView) -> BTreeSet<u32> {
        let mut changed = std::mem::take(&mut self.touched);
        for node in &changed {
            self.future.forget_started(*node);
        }
        self.future.set_now(view.now);
        let before = std::mem::replace(&mut self.running, view.running.clone());
        let mut come = Vec::new();
        for change in before.diff(&view.running) {
            let (gone, now_there) = match change {
                DiffItem::Add(key, job) => (None, Some((key.0, job))),
                DiffItem::Remove(_, job) => (Some(job), None),
                DiffItem::Update { old: (_, old), new: (key, job) } => (Some(old), Some((key.0, job))),
            };
            if let Some(job) = gone {
                self.future.job_gone(job);
                changed.extend(nodes_of(job));
            }
            come.extend(now_there);
        }
        // Afterwards: a job that is to end at another time has gone and come, in whatever order.
        for (end, job) in come {
            self.future.job_runs(fleet, view, end, job);
            changed.extend(nodes_of(job));
        }
        for row in alike::changed_rows(&self.nodes, &view.nodes) {
            if claims(&self.nodes, row) != claims(&view.nodes, row) {
                self.future.claims_changed(view, row);
            }
            changed.insert(row);
        }
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
    fn learn_from(&mut self, before: Books) {
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

/// CPUs of a node that suspended jobs claim.
fn claims(nodes: &Vector<Arc<Node>>, node: u32) -> Option<&IndexSet> {
    nodes.get(node as usize).map(|node| &node.used.cpus_claimed)
}

fn nodes_of(job: &Job) -> impl Iterator<Item = u32> + '_ {
    job.shares_with_released().map(|share| share.node.0)
}
