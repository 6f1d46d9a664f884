//! The controller: the real core and the real scheduler, with the commit of facts and the release of effects as two
//! separate moments, and death possible before, between and after.

use std::collections::{BTreeMap, VecDeque};

use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId, invariants};
use muster_model::fact::Fact;
use muster_model::ids::{Identity, NodeIndex};
use muster_model::node::NodeHealth;
use muster_model::planning::{Plan, PlanView};
use muster_model::request::Command;
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};
use muster_sched::{Budget, Planner, Planners};

use crate::network::{ConnectionId, FromAgent};
use crate::scenario;
use crate::world::{Happening, World};

/// Plans of which the core took nothing, one after the other, before it counts as a quarrel.
const PLANS_IN_VAIN_MAX: u32 = 20;

/// What lives in the memory of the controller.
#[derive(Default)]
pub(crate) struct Controller {
    cluster: Option<Cluster>,
    /// Raised when it dies: what was meant for an earlier one is not for the next.
    life: u64,
    /// When it was started.
    since: Timestamp,
    /// Facts and effects that are not on the disk.
    uncommitted: Outcome,
    commit_planned: bool,
    /// Effects whose facts are on the disk.
    committed: VecDeque<Effect>,
    release_planned: bool,
    pub(crate) sessions: BTreeMap<NodeIndex, ConnectionId>,
    planners: Planners,
    /// A pass over everything that was made beside others and waits for the next view.
    long_pass: Option<Box<LongPass>>,
    planner_busy: bool,
    plan_wanted: bool,
    /// The next plan looks at everything.
    full_plan_wanted: bool,
    plans_in_vain: u32,
    tick_planned: Option<Timestamp>,
}

/// A planner that was away, and what it has decided.
#[derive(Debug)]
pub(crate) struct LongPass {
    planner: Planner,
    plan: Plan,
}

impl Controller {
    pub(crate) fn is_running(&self) -> bool {
        self.cluster.is_some()
    }

    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    /// Whether everything decided is on the disk and done.
    pub(crate) fn is_idle(&self) -> bool {
        !self.commit_planned && !self.release_planned && !self.planner_busy
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    pub(crate) fn is_alive(&self, life: u64) -> bool {
        self.cluster.is_some() && self.life == life
    }
}

impl World {
    pub(crate) fn controller_starts(&mut self) {
        let stored = match self.store.load() {
            Ok(stored) => stored,
            Err(problem) => return self.fail(problem),
        };
        self.note("the controller starts");
        self.check_nothing_lost();
        let mut first = Outcome::default();
        let cluster = Cluster::restore(self.config.clone(), stored, self.now, &mut first);
        self.controller.cluster = Some(cluster);
        self.controller.since = self.now;
        self.absorb(first);
        self.askers_notice_start();
    }

    /// The controller dies, with everything that is not on the disk.
    fn controller_dies(&mut self) {
        self.note("the controller dies");
        self.counts.controller_crashes += 1;
        let life = self.controller.life + 1;
        self.controller = Controller { life, ..Controller::default() };
        self.controller_ends_die();
        self.users.forget_requests();
        let rest = self.random.span(100, 30_000);
        self.after(rest, Happening::ControllerStarts);
    }

    fn controller_may_die(&mut self) -> bool {
        let dies = self.random.chance(self.hazards.controller_crash);
        if dies {
            self.controller_dies();
        }
        dies
    }

    /// One event goes through the core.
    pub(crate) fn controller_step(&mut self, event: Event) {
        if self.controller.cluster.is_none() || self.controller_may_die() {
            return;
        }
        let mut outcome = Outcome::default();
        if let Some(cluster) = &mut self.controller.cluster {
            cluster.step(self.now, event, &mut outcome);
        }
        self.absorb(outcome);
    }

    fn absorb(&mut self, mut outcome: Outcome) {
        let Some(cluster) = &self.controller.cluster else {
            return;
        };
        if let Some(problem) = invariants::check(cluster).into_iter().next() {
            return self.fail(problem);
        }
        self.controller.plan_wanted |= outcome.plan_needed;
        let something = !outcome.facts.is_empty() || !outcome.effects.is_empty();
        self.controller.uncommitted.facts.append(&mut outcome.facts);
        self.controller.uncommitted.effects.append(&mut outcome.effects);
        let life = self.controller.life;
        if something && !self.controller.commit_planned {
            self.controller.commit_planned = true;
            let delay = self.random.span(0, 10);
            self.after(delay, Happening::Commit { life });
        }
        self.plan_if_wanted();
        self.plan_tick();
    }

    pub(crate) fn commit(&mut self, life: u64) {
        if !self.controller.is_alive(life) || self.controller_may_die() {
            return;
        }
        self.controller.commit_planned = false;
        let batch = std::mem::take(&mut self.controller.uncommitted);
        self.note_changes(&batch.facts);
        self.check_facts(&batch.facts);
        self.store.commit(&batch.facts);
        self.controller.committed.extend(batch.effects);
        if !self.controller.release_planned {
            self.controller.release_planned = true;
            let delay = self.random.span(0, 3);
            self.after(delay, Happening::Release { life });
        }
    }

    fn note_changes(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Job(job) => {
                    let completing = if job.completing { " completing" } else { "" };
                    self.counts.requeues += u64::from(job.requeue_pending && job.completing);
                    self.note(format!("job {}.{} {}{completing} {}", job.id, job.restart.0, job.state, job.reason));
                }
                Fact::Step(step) => {
                    let left: Vec<u32> = step.nodes_left.iter().map(|node| node.0).collect();
                    self.note(format!(
                        "step {}.{}.{} {} left {left:?}",
                        step.job_id, step.restart.0, step.step_id, step.state
                    ));
                }
                Fact::Node { name, record } => {
                    self.counts.nodes_given_up += u64::from(record.health == NodeHealth::Down);
                    let drain = if record.drain { " drain" } else { "" };
                    self.note(format!("node {name} {:?}{drain} {}", record.health, record.launch_sequence));
                }
                Fact::JobForgotten(id) => self.note(format!("job {id} forgotten")),
                Fact::Document(document) => {
                    let (kind, name) = document.key();
                    self.note(format!("{} {name} written", kind.as_str()));
                }
                Fact::DocumentGone { kind, name } => self.note(format!("{} {name} gone", kind.as_str())),
                Fact::Spec(..) | Fact::Counter { .. } | Fact::Blob { .. } => {}
            }
        }
    }

    /// Carries out what is durable; it may die in the middle of that too.
    pub(crate) fn release(&mut self, life: u64) {
        if !self.controller.is_alive(life) {
            return;
        }
        self.controller.release_planned = false;
        while let Some(effect) = self.controller.committed.pop_front() {
            if !matches!(effect, Effect::News(_) | Effect::Message { .. } | Effect::Mail(_))
                && self.controller_may_die()
            {
                return;
            }
            match effect {
                Effect::Send { node, command } => {
                    if let Some(session) = self.controller.sessions.get(&node).copied() {
                        self.send_to_agent(session, command);
                    }
                }
                Effect::Reply { request, result } => self.reply_arrives(request, result),
                // No configuration of a simulated cluster has any.
                Effect::News(_) | Effect::Message { .. } | Effect::Mail(_) | Effect::RunHook { .. } => {}
            }
        }
    }

    fn plan_if_wanted(&mut self) {
        if !self.controller.plan_wanted || self.controller.planner_busy {
            return;
        }
        let Some(cluster) = &self.controller.cluster else {
            return;
        };
        let view = cluster.plan_view(self.now);
        let plan = self.plan(&view);
        self.controller.plan_wanted = false;
        self.controller.planner_busy = true;
        let (life, takes) = (self.controller.life, self.random.span(1, 50));
        self.after(takes, Happening::Planned { life, plan });
    }

    /// Mostly a look at what has changed, as on a large cluster, and now and then one at everything: alone, or beside others
    /// that go on meanwhile.
    fn plan(&mut self, view: &PlanView) -> Plan {
        let budget = Budget::default();
        if let Some(done) = self.controller.long_pass.take() {
            return self.controller.planners.take_back(done.planner, &done.plan, view, &budget);
        }
        let is_full = std::mem::take(&mut self.controller.full_plan_wanted) || self.random.chance(300);
        if !is_full || self.controller.planners.has_lent() {
            return self.controller.planners.quick(view, &budget);
        }
        let lent = if self.random.chance(500) { self.controller.planners.lend(view) } else { None };
        let Some(mut planner) = lent else { return self.controller.planners.alone(view, &budget) };
        let plan = planner.plan(view, &budget);
        let (life, takes) = (self.controller.life, self.random.span(10, 5_000));
        self.after(takes, Happening::LongPassOver { life, pass: Box::new(LongPass { planner, plan }) });
        self.controller.planners.quick(view, &budget)
    }

    /// A pass over everything has come to its end; what has happened meanwhile is looked at next.
    pub(crate) fn long_pass_over(&mut self, life: u64, pass: Box<LongPass>) {
        if self.controller.is_alive(life) {
            self.counts.long_passes += 1;
            self.controller.long_pass = Some(pass);
            self.controller_step(Event::PlanWanted);
        }
    }

    pub(crate) fn planned(&mut self, life: u64, plan: Plan) {
        if !self.controller.is_alive(life) {
            return;
        }
        self.controller.planner_busy = false;
        let starts = plan.starts.len();
        self.counts.starts_together += plan.starts.iter().filter(|start| !start.together.is_empty()).count() as u64;
        for start in plan.all_starts() {
            let on: Vec<String> =
                start.shares.iter().map(|share| format!("{} CPUs of {}", share.cpus, share.node.0)).collect();
            let task = start.task_index.map(|index| format!("_{index}")).unwrap_or_default();
            self.note(format!("plan: start {}{task} in {} on {}", start.job_id, start.partition, on.join(", ")));
        }
        self.counts.evictions += plan.evictions.len() as u64;
        for eviction in &plan.evictions {
            self.note(format!("plan: {} makes room for {}", eviction.job_id, eviction.by));
        }
        if plan.is_partial {
            let pause = self.random.span(100, 2_000);
            self.after(pause, Happening::PlanWanted { life });
        }
        let began = self.running_jobs();
        self.controller_step(Event::Plan(plan));
        if !self.controller.is_alive(life) {
            return;
        }
        let in_vain = starts > 0 && self.running_jobs() <= began;
        self.controller.plans_in_vain = if in_vain { self.controller.plans_in_vain + 1 } else { 0 };
        if self.controller.plans_in_vain > PLANS_IN_VAIN_MAX {
            self.fail("the scheduler goes on proposing starts that the core does not accept");
        }
    }

    pub(crate) fn want_plan(&mut self, life: u64) {
        if self.controller.is_alive(life) {
            self.controller.full_plan_wanted = true;
            self.controller_step(Event::PlanWanted);
        }
    }

    fn running_jobs(&self) -> usize {
        let view = self.controller.cluster.as_ref().map(Cluster::read_view);
        view.map_or(0, |view| view.jobs.values().filter(|job| job.state == JobState::Running).count())
    }

    fn plan_tick(&mut self) {
        let Some(due) = self.controller.cluster.as_ref().and_then(Cluster::next_timer) else {
            return;
        };
        if self.controller.tick_planned.is_none_or(|planned| due < planned || planned < self.now) {
            self.controller.tick_planned = Some(due);
            let life = self.controller.life;
            let late = self.random.span(0, 20);
            self.at(due.max(self.now) + late, Happening::Tick { life });
        }
    }

    pub(crate) fn tick(&mut self, life: u64) {
        if !self.controller.is_alive(life) {
            return;
        }
        self.controller.tick_planned = None;
        let due = self.controller.cluster.as_ref().and_then(Cluster::next_timer);
        if due.is_some_and(|due| due <= self.now) {
            self.controller_step(Event::Tick);
        } else {
            self.plan_tick();
        }
    }

    pub(crate) fn session_opens(&mut self, id: ConnectionId) {
        if self.controller.cluster.is_some()
            && let Some(node) = self.heard_by_controller(id)
        {
            self.controller.sessions.insert(node, id);
        }
    }

    /// A session that was replaced is not listened to any more.
    pub(crate) fn controller_receives(&mut self, id: ConnectionId, message: FromAgent) {
        let Some(node) = self.heard_by_controller(id) else {
            return;
        };
        if self.controller.sessions.get(&node) == Some(&id) {
            self.controller_step(Event::Agent(node, message));
        }
    }

    pub(crate) fn controller_hangs_up(&mut self, id: ConnectionId) {
        let Some(node) = self.controller_stops_listening(id) else {
            return;
        };
        // Where the agent has called again already, the old connection is nobody's business any more.
        if self.controller.sessions.get(&node) == Some(&id) {
            self.controller.sessions.remove(&node);
            self.note(format!("the controller misses node {}", node.0));
            let (life, delay) = (self.controller.life, self.random.span(0, 200));
            self.after(delay, Happening::NodeMissed { life, node, session: id });
        }
    }

    /// The core is told, maybe after the agent has called again: the two are told by different threads.
    pub(crate) fn node_missed(&mut self, life: u64, node: NodeIndex, session: ConnectionId) {
        if self.controller.is_alive(life) {
            self.controller_step(Event::Agent(node, AgentReport::Disconnected { session: session.0 }));
        }
    }

    pub(crate) fn request_arrives(&mut self, life: u64, request: RequestId, uid: u32, command: Box<Command>) {
        let identity: Identity = scenario::identity(uid);
        self.client_event(life, Event::Command { request, identity, command });
    }

    /// What a client said to an earlier controller is lost with its connection.
    pub(crate) fn client_event(&mut self, life: u64, event: Event) {
        if self.controller.is_alive(life) {
            self.controller_step(event);
        }
    }

    /// How long until a client notices that the controller is back.
    pub(crate) fn client_delay(&mut self) -> Span {
        self.random.span(0, 5_000)
    }
}
