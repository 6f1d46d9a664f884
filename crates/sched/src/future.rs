//! What happens after now: when running jobs give back what they hold, and what is planned for blocked jobs.
//!
//! A *hold* is the part of a planned start that lies on one node. A job may take from a node only what is left of it
//! at every moment of its run; what is left can only shrink where a hold begins, so those moments are all that is
//! looked at. The amounts are exact, node by node: a planned job that wants one core of a node leaves the others.

use muster_model::planning::PlanView;
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};

use crate::fleet::Fleet;
use crate::free::{self, Amounts, Free};
use crate::nodeset::NodeSet;

/// A job that should have ended is expected to end so long after now: about the time its last processes get
/// between TERM and KILL.
const OVERDUE: Span = Span::from_seconds(30);

/// Most times tried for one planned start once the first possible one is taken by earlier plans.
const TRIES_MAX: usize = 16;

/// Something given back.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) at: Timestamp,
    pub(crate) node: u32,
    pub(crate) amounts: Amounts,
}

/// Part of a planned start on one node.
#[derive(Debug, Clone)]
struct Hold {
    start: Timestamp,
    end: Timestamp,
    amounts: Amounts,
}

/// The holds on one node.
#[derive(Debug, Clone, Default)]
struct NodePlan {
    holds: Vec<Hold>,
    /// What is left at the begin of each hold, for a job that runs then.
    levels: Vec<(Timestamp, Amounts)>,
}

/// The future as it looks in one pass.
#[derive(Debug)]
pub(crate) struct Future {
    now: Timestamp,
    releases: Vec<Release>,
    by_node: Vec<Vec<u32>>,
    /// Releases by time; stale while `is_sorted` is false, as is the next.
    order: Vec<u32>,
    /// Where in `order` each group of releases at the same time ends.
    group_ends: Vec<usize>,
    is_sorted: bool,
    planned: NodeSet,
    plans: Vec<Option<Box<NodePlan>>>,
    /// Ends of planned starts, ascending.
    planned_ends: Vec<Timestamp>,
}

impl Future {
    /// Reads the running jobs of `view`; `started` are the releases of jobs that this pass starts, and `free` is
    /// what they leave.
    pub(crate) fn build(fleet: &Fleet, view: &PlanView, free: &Free, started: &[Release]) -> Future {
        let mut future = Future {
            now: view.now,
            releases: Vec::new(),
            by_node: vec![Vec::new(); fleet.node_count()],
            order: Vec::new(),
            group_ends: Vec::new(),
            is_sorted: false,
            planned: NodeSet::empty(fleet.node_count()),
            plans: vec![None; fleet.node_count()],
            planned_ends: Vec::new(),
        };
        let mut held = Held::new(fleet, free);
        for release in started {
            held.cap(release.node, &mut release.amounts.clone());
            future.push(release.clone());
        }
        for ((end, _), job) in &view.running {
            let partition = fleet.partition_named(&job.partition);
            let at = if *end > view.now { *end } else { view.now + OVERDUE };
            for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                let node = share.node.0;
                if node as usize >= fleet.node_count() {
                    continue;
                }
                let mut amounts = Amounts {
                    // Others may have the CPUs of a suspended job already.
                    cpus: if job.state == JobState::Suspended { 0 } else { share.cpus.len() },
                    memory: share.memory.0,
                    columns: free::columns_on(fleet, node, &share.gres, partition.map(|part| (part, share.cpus.len()))),
                };
                held.cap(node, &mut amounts);
                if !amounts.is_nothing() {
                    future.push(Release { at, node, amounts });
                }
            }
        }
        future
    }

    fn push(&mut self, release: Release) {
        self.by_node[release.node as usize].push(self.releases.len() as u32);
        self.releases.push(release);
        self.is_sorted = false;
    }

    /// A job starts now and will give this back; `free` is what it leaves.
    pub(crate) fn add_release(&mut self, release: Release, free: &Free) {
        let node = release.node;
        self.push(release);
        self.refresh(node, free);
    }

    /// Whether anything is planned on `node`.
    #[inline]
    pub(crate) fn is_planned(&self, node: u32) -> bool {
        self.planned.contains(node)
    }

    /// Whether anything is planned at all.
    pub(crate) fn has_plans(&self) -> bool {
        !self.planned_ends.is_empty()
    }

    /// What of `free`, which is free on `node` at `from`, is left for a job that runs until `until`.
    pub(crate) fn left(&self, node: u32, free: Amounts, from: Timestamp, until: Timestamp) -> Amounts {
        let Some(plan) = &self.plans[node as usize] else {
            return free;
        };
        let mut left = free;
        for hold in plan.holds.iter().filter(|hold| hold.start <= from && from < hold.end) {
            left.subtract(&hold.amounts);
        }
        for (_, level) in plan.levels.iter().filter(|(at, _)| from < *at && *at < until) {
            left.lower_to(level);
        }
        left
    }

    /// Plans to give `amounts` of some nodes away from `start` to `end`; `free` is what is free now.
    pub(crate) fn hold(&mut self, start: Timestamp, end: Timestamp, parts: &[(u32, Amounts)], free: &Free) {
        for (node, amounts) in parts {
            self.planned.insert(*node);
            let plan = self.plans[*node as usize].get_or_insert_default();
            plan.holds.push(Hold { start, end, amounts: amounts.clone() });
            self.refresh(*node, free);
        }
        let at = self.planned_ends.partition_point(|other| *other < end);
        if self.planned_ends.get(at) != Some(&end) {
            self.planned_ends.insert(at, end);
        }
    }

    /// Works out the levels of `node` anew.
    fn refresh(&mut self, node: u32, free: &Free) {
        let Some(mut plan) = self.plans[node as usize].take() else {
            return;
        };
        let mut moments: Vec<Timestamp> = plan.holds.iter().map(|hold| hold.start).collect();
        moments.sort_unstable();
        moments.dedup();
        plan.levels = moments
            .into_iter()
            .map(|moment| {
                let mut level = free.of(node);
                let releases = self.by_node[node as usize].iter().map(|index| &self.releases[*index as usize]);
                releases.filter(|release| release.at <= moment).for_each(|release| level.add(&release.amounts));
                for hold in plan.holds.iter().filter(|hold| hold.start <= moment && moment < hold.end) {
                    debug_assert!(level.covers(&hold.amounts), "a planned start on node {node} lost its resources");
                    level.subtract(&hold.amounts);
                }
                (moment, level)
            })
            .collect();
        self.plans[node as usize] = Some(plan);
    }

    /// The earliest time at which `fits` says yes, and what is then free beside the running jobs.
    ///
    /// `fits` is asked about a time with what is free then, and with or without regard to what is planned. Jobs only
    /// give back, so without plans the answers turn from no to yes once, and the turn is searched for. From there on
    /// only the ends of planned starts are tried, few of them: a later time than the very first is still
    /// a valid plan.
    pub(crate) fn earliest(
        &mut self,
        free: &Free,
        mut fits: impl FnMut(&Free, Option<&Future>, Timestamp) -> bool,
    ) -> Option<(Timestamp, Free)> {
        self.sort();
        let future: &Future = self;
        let mut cursor = Cursor { future, free: free.clone(), passed: 0 };
        let last = future.group_ends.len();
        // Most jobs start soon: the bound is sought in steps that double, then the turn between the last two.
        let (mut low, mut high) = (0, 0);
        loop {
            cursor.pass_groups(high);
            if fits(&cursor.free, None, cursor.time()) {
                break;
            }
            if high == last {
                return None;
            }
            low = high + 1;
            high = (2 * high + 1).min(last);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            cursor.pass_groups(middle);
            if fits(&cursor.free, None, cursor.time()) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        cursor.pass_groups(high);
        let first = cursor.time();
        for time in std::iter::once(first).chain(future.times_after(first)) {
            cursor.pass_until(time);
            if fits(&cursor.free, Some(future), time) {
                return Some((time, cursor.free));
            }
        }
        None
    }

    fn sort(&mut self) {
        if self.is_sorted {
            return;
        }
        self.order = (0..self.releases.len() as u32).collect();
        self.order.sort_unstable_by_key(|index| (self.releases[*index as usize].at, *index));
        let ends =
            |position: &usize| *position == self.order.len() || self.time_of(*position) != self.time_of(position - 1);
        self.group_ends = (1..=self.order.len()).filter(ends).collect();
        self.is_sorted = true;
    }

    fn time_of(&self, position: usize) -> Timestamp {
        self.releases[self.order[position] as usize].at
    }

    /// Ends of planned starts after `first`: the nearest, and the last one, after which nothing is planned.
    fn times_after(&self, first: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let after = &self.planned_ends[self.planned_ends.partition_point(|end| *end <= first)..];
        let near = after.len().min(TRIES_MAX);
        let far = if after.len() > near { after.last() } else { None };
        after[..near].iter().chain(far).copied()
    }
}

/// What is free after a number of releases; moves both ways.
struct Cursor<'a> {
    future: &'a Future,
    free: Free,
    passed: usize,
}

impl Cursor<'_> {
    /// Goes to where this many groups of releases at the same time have passed.
    fn pass_groups(&mut self, groups: usize) {
        let count = if groups == 0 { 0 } else { self.future.group_ends[groups - 1] };
        self.pass(count);
    }

    /// Goes to `time`.
    fn pass_until(&mut self, time: Timestamp) {
        self.pass(self.future.order.partition_point(|index| self.future.releases[*index as usize].at <= time));
    }

    fn pass(&mut self, count: usize) {
        while self.passed < count {
            let release = &self.future.releases[self.future.order[self.passed] as usize];
            self.free.give(release.node, &release.amounts);
            self.passed += 1;
        }
        while self.passed > count {
            self.passed -= 1;
            let release = &self.future.releases[self.future.order[self.passed] as usize];
            self.free.take(release.node, &release.amounts);
        }
    }

    fn time(&self) -> Timestamp {
        match self.passed {
            0 => self.future.now,
            passed => self.future.time_of(passed - 1),
        }
    }
}

/// What is in use of each node and not yet accounted for by a release. What jobs give back can never exceed what is
/// in use, even where the view is of two minds (a node that has been cleaned before its job has ended).
struct Held {
    in_use: Free,
}

impl Held {
    fn new(fleet: &Fleet, free: &Free) -> Held {
        let mut in_use = Free::everything(fleet);
        for node in 0..fleet.node_count() as u32 {
            in_use.take(node, &free.of(node));
        }
        Held { in_use }
    }

    fn cap(&mut self, node: u32, amounts: &mut Amounts) {
        let in_use = self.in_use.of(node);
        amounts.cpus = amounts.cpus.min(in_use.cpus);
        amounts.memory = amounts.memory.min(in_use.memory);
        for (ours, theirs) in amounts.columns.iter_mut().zip(&in_use.columns) {
            *ours = (*ours).min(*theirs);
        }
        self.in_use.take(node, amounts);
    }
}
