//! Heterogeneous jobs as a script of commands: text in, text out. The rules are those that real Slurm 22.05 was seen to
//! follow.
//!
//! Nodes `n1` to `n3` have 4 CPUs each. `submit N KEY=…` puts a job of N components into the queue, with a word for the first
//! and the last of them; `plan ID…` proposes to start these components together, one CPU each on the node of its position;
//! `end ID` lets the script of a job end. `1+1` names a component by its place.

use std::sync::Arc;

use muster_core::event::{UnitEnd, UnitKey};
use muster_core::{AgentReport, Cluster, Effect, Event, NodeCommand, Outcome, RequestId};
use muster_model::config::{ClusterConfig, HetJobRules};
use muster_model::fact::{Fact, StoredState};
use muster_model::ids::{JobId, NodeIndex, StepId};
use muster_model::job::{Job, JobKind, JobSpec};
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::request::{Cancel, Command, JobChanges, JobTarget, NodeChanges, NodeTransition};
use muster_model::resources::{Megabytes, ResourceRequest};
use muster_model::state::{ExitStatus, Usage};
use muster_model::step::{Distribution, StepLaunch, StepPart, StepRequest, StreamTarget};
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_testkit::builders;

struct Stage {
    cluster: Cluster,
    seconds: i64,
    facts: Vec<Fact>,
}

fn config(rules: HetJobRules) -> ClusterConfig {
    ClusterConfig {
        nodes: (1..4).map(|at| builders::node_config(&format!("n{at}"), 4)).collect(),
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..3) }],
        requeue_delay: Span::ZERO,
        het_jobs: rules,
        ..ClusterConfig::default()
    }
}

impl Stage {
    fn new(rules: HetJobRules) -> Stage {
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config(rules), StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, seconds: 1, facts: Vec::new() };
        stage.connect();
        stage
    }

    fn connect(&mut self) {
        for node in (0..3).map(NodeIndex) {
            let connected = AgentReport::Connected {
                session: 1,
                hardware: None,
                report: NodeReport::default(),
                launch_sequence_seen: 0,
                units: Vec::new(),
            };
            self.step(Event::Agent(node, connected));
        }
    }

    /// The controller dies and comes back with what is stored.
    fn restart(&mut self) -> String {
        let mut stored = StoredState::default();
        for fact in &self.facts {
            match fact {
                Fact::Job(job) => {
                    stored.jobs.retain(|other| other.id != job.id);
                    stored.jobs.push(job.clone());
                }
                Fact::Step(step) => {
                    stored.steps.retain(|other| (other.job_id, other.step_id) != (step.job_id, step.step_id));
                    stored.steps.extend((!step.state.is_final()).then(|| step.clone()));
                }
                _ => {}
            }
        }
        let now = Timestamp::from_seconds(self.seconds);
        self.cluster = Cluster::restore(config(HetJobRules::default()), stored, now, &mut Outcome::default());
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        self.connect();
        "ok".to_owned()
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        self.facts.extend(out.facts.iter().cloned());
        out
    }

    fn ask(&mut self, command: Command) -> String {
        let identity = builders::identity(0);
        let out = self.step(Event::Command { request: RequestId(1), identity, command: Box::new(command) });
        let reply = out.effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result),
            _ => None,
        });
        match reply {
            Some(Ok(_)) => "ok".to_owned(),
            Some(Err(refusal)) => refusal.to_string(),
            None => "no reply".to_owned(),
        }
    }

    fn job(&self, id: u32) -> Arc<Job> {
        self.cluster.read_view().jobs.get(&JobId(id)).cloned().unwrap_or_else(|| panic!("no job {id}"))
    }

    /// State, reason and exit of each component, and whether all are in the queue.
    fn show(&self, id: u32) -> String {
        let view = self.cluster.read_view();
        let each = self.job(id).components().map(|id| {
            let job = self.job(id.0);
            let completing = if job.completing { "!" } else { "" };
            let queued = if view.queue.values().any(|other| other.id == id) { "*" } else { "" };
            format!("{}{completing}{queued} {} {}", job.state, job.reason, job.exit)
        });
        each.collect::<Vec<_>>().join(", ")
    }

    fn plan(&mut self, ids: &str) -> String {
        let share = |node| PlannedShare {
            node: NodeIndex(node),
            cpus: 4,
            cpu_set: None,
            memory: Megabytes(0),
            gres: Vec::new(),
            tasks: 1,
        };
        let start = |(at, id): (u32, &str)| PlannedStart {
            job_id: JobId(id.parse().unwrap()),
            restart: self.job(id.parse().unwrap()).restart,
            task_index: None,
            partition: "main".into(),
            reservation: None,
            time_limit: None,
            shares: vec![share(at % 3)],
            suspends: Vec::new(),
            together: Vec::new(),
        };
        let mut starts = (0..).zip(ids.split(' ')).map(start);
        let first = starts.next().unwrap();
        let planned = PlannedStart { together: starts.collect(), ..first };
        let first = planned.job_id.0;
        let out = self.step(Event::Plan(Plan { starts: vec![planned], ..Plan::default() }));
        let launched = out.effects.iter().find_map(|effect| match effect {
            Effect::Send { command: NodeCommand::Launch { job, components, .. }, .. } => {
                Some((job.id, components.len()))
            }
            _ => None,
        });
        match launched {
            Some((job, components)) => format!("{}; script in {job}, told of {components}", self.show(first)),
            None => self.show(first),
        }
    }

    fn line(&mut self, line: &str) -> String {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let name = rest.split(' ').next().unwrap_or_default();
        let (id, component) = name.split_once('+').map_or((name, None), |(id, at)| (id, at.parse().ok()));
        let id: u32 = id.parse().unwrap_or(0);
        let target = JobTarget { component, ..JobTarget::job(JobId(id)) };
        match verb {
            "submit" => self.submit(id, rest.split_once(' ').map_or("", |(_, words)| words)),
            "plan" => self.plan(rest),
            "show" => self.show(id),
            "hold" => self.ask(Command::Hold { target, as_user: false }),
            "release" => self.ask(Command::Release(target)),
            "suspend" => self.ask(Command::Suspend(target)),
            "resume" => self.ask(Command::Resume(target)),
            "requeue" => self.ask(Command::Requeue { target, hold: false, special_exit: false }),
            "cancel" => {
                let cancel = Cancel { target, signal: None, batch_only: false, full: false, states: Vec::new() };
                self.ask(Command::Cancel(cancel))
            }
            "limit" => {
                let changes = JobChanges { time_limit: Some(TimeLimit::from_minutes(7)), ..JobChanges::default() };
                let said = self.ask(Command::UpdateJob { target, changes: Box::new(changes) });
                let limits: Vec<String> =
                    self.job(id).components().map(|id| self.job(id.0).time_limit.to_string()).collect();
                format!("{said}, {}", limits.join(" "))
            }
            "end" => {
                let exit = ExitStatus::exited(rest.split_once(' ').map_or(0, |(_, code)| code.parse().unwrap()));
                self.ends(id, exit)
            }
            "clean" => self.clean(id),
            "down" => {
                let changes = NodeChanges {
                    state: Some(NodeTransition::Down),
                    reason: Some("x".into()),
                    ..NodeChanges::default()
                };
                self.ask(Command::UpdateNodes { nodes: rest.into(), changes })
            }
            "steps" => self.steps(rest),
            "wait" => {
                self.seconds += rest.parse::<i64>().unwrap();
                self.step(Event::Tick);
                "ok".to_owned()
            }
            "restart" => self.restart(),
            other => panic!("unknown line {other}"),
        }
    }

    fn submit(&mut self, size: u32, words: &str) -> String {
        let mut specs: Vec<JobSpec> =
            (0..size).map(|_| JobSpec { kind: JobKind::Batch, ..builders::spec(ResourceRequest::default()) }).collect();
        for (at, word) in words.split(' ').filter(|word| !word.is_empty()).enumerate() {
            let at = if at == 0 { 0 } else { specs.len() - 1 };
            let spec = &mut specs[at];
            match word.split_once('=').unwrap_or((word, "")) {
                ("t", minutes) => spec.time_limit = Some(TimeLimit::from_minutes(minutes.parse().unwrap())),
                ("hold", _) => spec.hold = true,
                ("bad", _) => spec.partitions = vec!["nosuch".into()],
                ("norequeue", _) => spec.requeue = Some(false),
                _ => {}
            }
        }
        self.ask(Command::SubmitHet(specs))
    }

    fn ends(&mut self, id: u32, exit: ExitStatus) -> String {
        let job = self.job(id);
        let node = job.allocation.as_ref().unwrap().shares[0].node;
        let key = UnitKey { job_id: job.id, restart: job.restart, step: StepId::Batch };
        let usage = Usage::default();
        let end = UnitEnd {
            key,
            exit,
            usage,
            measured: None,
            failure: None,
            job_is_clean: true,
            out_of_memory: false,
            over_memory: false,
            kill_failure: None,
        };
        self.step(Event::Agent(node, AgentReport::UnitEnded(end)));
        self.show(id)
    }

    /// All nodes say that they are clean of all components.
    fn clean(&mut self, id: u32) -> String {
        for id in self.job(id).components() {
            let Some(cleaning) = self.job(id.0).cleaning.clone() else { continue };
            for node in cleaning.nodes {
                let cleaned = AgentReport::JobCleaned { job_id: id, restart: cleaning.restart, epilog: None };
                self.step(Event::Agent(node, cleaned));
            }
        }
        self.show(id)
    }

    /// Starts a step of two tasks in each of these components; which numbers and ranks it got.
    fn steps(&mut self, ids: &str) -> String {
        let part = |id: &str| StepPart { job_id: JobId(id.parse().unwrap()), request: request(), launch: launch() };
        let command = Command::CreateHetStep(ids.split(' ').map(part).collect());
        let said = self.ask(command);
        let view = self.cluster.read_view();
        let steps = view.steps.values().filter(|step| step.step_id != StepId::Batch).map(|step| {
            let ranks: Vec<u32> = step.layout.iter().flat_map(|on| on.ranks.clone()).collect();
            let het = step.het.as_ref().unwrap();
            format!("{}.{} {ranks:?} of {} on {}", step.job_id, step.step_id, het.tasks, het.node_list)
        });
        format!("{said}: {}", steps.collect::<Vec<_>>().join(", ")).trim_end().to_owned()
    }
}

fn request() -> StepRequest {
    StepRequest {
        name: "step".into(),
        tasks: 2,
        nodes: None,
        cpus_per_task: 1,
        tasks_per_node: None,
        memory: None,
        gres: Vec::new(),
        nodes_required: None,
        task_nodes: None,
        nodes_excluded: None,
        first_node: 0,
        exact: false,
        overlap: false,
        overcommit: false,
        distribution: Distribution::Block,
        time_limit: None,
        immediate: false,
    }
}

fn launch() -> StepLaunch {
    StepLaunch {
        measure_seconds: None,
        keeps_counts: false,
        node_verbosity: 0,
        broadcast: None,
        task_prolog: None,
        task_epilog: None,
        binding: Default::default(),
        container: None,
        bundle: None,
        bundle_id: None,
        command: vec!["true".to_owned()],
        programs: Vec::new(),
        work_dir: "/".to_owned(),
        environment: Vec::new(),
        umask: 0,
        limits: Vec::new(),
        input: StreamTarget::Null,
        input_rank: None,
        output: StreamTarget::Null,
        error: None,
        append: false,
        client_address: String::new(),
        client_cookie: String::new(),
        client_process: (String::new(), 0),
        pty: None,
        kill_on_bad_exit: false,
        labels_files: false,
        unbuffered: false,
        mpi: String::new(),
    }
}

#[track_caller]
fn check_with(rules: HetJobRules, script: &str) {
    let mut stage = Stage::new(rules);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap_or((line, "ok"));
        assert_eq!(stage.line(command), expected, "{command}");
    }
}

#[track_caller]
fn check(script: &str) {
    check_with(HetJobRules::default(), script);
}

#[test]
fn components_are_submitted_and_started_all_or_none() {
    check(
        "submit 2 . bad => Invalid partition name specified
         submit 3
         show 1 => PENDING* None 0:0, PENDING* None 0:0, PENDING* None 0:0
         plan 1 2 => PENDING* None 0:0, PENDING* None 0:0, PENDING* None 0:0
         plan 2 => PENDING* None 0:0, PENDING* None 0:0, PENDING* None 0:0
         submit 3
         plan 4 5 6 => RUNNING None 0:0, RUNNING None 0:0, RUNNING None 0:0; script in 4, told of 3
         plan 1 2 3 => PENDING* None 0:0, PENDING* None 0:0, PENDING* None 0:0
         restart
         show 4 => RUNNING None 0:0, RUNNING None 0:0, RUNNING None 0:0
         show 1 => PENDING* None 0:0, PENDING* None 0:0, PENDING* None 0:0",
    );
}

#[test]
fn the_end_of_the_script_ends_all() {
    check(
        "submit 2
         plan 1 2 => RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 2
         end 1 3 => FAILED NonZeroExitCode 3:0, FAILED NonZeroExitCode 3:0
         submit 2
         plan 3 4 => RUNNING None 0:0, RUNNING None 0:0; script in 3, told of 2
         end 3 => COMPLETED None 0:0, COMPLETED None 0:0
         requeue 4 => Job not heterogeneous job leader
         requeue 3
         show 3 => PENDING* None 0:0, PENDING* None 0:0",
    );
}

#[test]
fn only_what_runs_can_be_cancelled_by_components() {
    check(
        "submit 3
         cancel 1+1 => Operation not permitted on individual component of heterogeneous job
         cancel 2 => Operation not permitted on individual component of heterogeneous job
         cancel 1+7 => Invalid job id specified
         cancel 1+0
         show 1 => CANCELLED None 0:0, CANCELLED None 0:0, CANCELLED None 0:0
         submit 3
         plan 4 5 6 => RUNNING None 0:0, RUNNING None 0:0, RUNNING None 0:0; script in 4, told of 3
         cancel 4+1
         show 4 => RUNNING None 0:0, CANCELLED None 0:0, RUNNING None 0:0
         requeue 6 => Job not heterogeneous job leader
         requeue 4+0 => Invalid job id specified
         requeue 4
         show 4 => PENDING! None 0:0, PENDING None 0:0, PENDING None 0:0
         clean 4 => PENDING* None 0:0, PENDING* None 0:0, PENDING* None 0:0
         plan 4 5 6 => RUNNING None 0:0, RUNNING None 0:0, RUNNING None 0:0; script in 4, told of 3
         cancel 4
         show 4 => CANCELLED! None 0:0, CANCELLED None 0:0, CANCELLED None 0:0",
    );
}

#[test]
fn holds_and_changes_reach_all_by_the_leader_and_one_by_its_place() {
    check(
        "submit 2
         hold 1+1
         show 1 => PENDING None 0:0, PENDING JobHeldAdmin 0:0
         plan 1 2 => PENDING None 0:0, PENDING JobHeldAdmin 0:0
         release 2
         show 1 => PENDING* None 0:0, PENDING* None 0:0
         hold 1
         show 1 => PENDING JobHeldAdmin 0:0, PENDING JobHeldAdmin 0:0
         release 1
         limit 1+1 => ok, UNLIMITED 00:07:00
         limit 1 => ok, 00:07:00 00:07:00",
    );
    check_with(
        HetJobRules { whole: true, ..HetJobRules::default() },
        "submit 2
         hold 2
         show 1 => PENDING JobHeldAdmin 0:0, PENDING JobHeldAdmin 0:0
         cancel 2
         show 1 => CANCELLED None 0:0, CANCELLED None 0:0",
    );
}

#[test]
fn the_whole_is_suspended() {
    check(
        "submit 2
         plan 1 2 => RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 2
         suspend 2 => Operation not permitted on individual component of heterogeneous job
         suspend 1+1 => Operation not permitted on individual component of heterogeneous job
         suspend 1
         show 1 => SUSPENDED None 0:0, SUSPENDED None 0:0
         resume 2 => Operation not permitted on individual component of heterogeneous job
         resume 1
         show 1 => RUNNING None 0:0, RUNNING None 0:0",
    );
}

#[test]
fn the_failure_of_one_node_is_that_of_all() {
    check(
        "submit 2
         plan 1 2 => RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 2
         down n2
         show 1 => PENDING! None 0:0, PENDING None 0:0
         clean 1 => PENDING* None 0:0, PENDING* None 0:0
         submit 2 . norequeue
         cancel 1
         plan 3 2 => PENDING* None 0:0, PENDING* None 0:0",
    );
    check(
        "submit 2 . norequeue
         plan 1 2 => RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 2
         down n1
         show 1 => NODE_FAIL! NodeDown 0:0, NODE_FAIL NodeDown 0:0",
    );
}

#[test]
fn a_limit_of_a_component_is_its_own_and_that_of_the_leader_is_of_all() {
    check(
        "submit 2 t=9 t=1
         plan 1 2 => RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 2
         wait 60
         show 1 => RUNNING None 0:0, TIMEOUT TimeLimit 0:0
         wait 600
         show 1 => TIMEOUT! TimeLimit 0:0, TIMEOUT TimeLimit 0:0
         clean 1 => TIMEOUT TimeLimit 0:0, TIMEOUT TimeLimit 0:0
         submit 2 t=1 t=9
         plan 3 4 => RUNNING None 0:0, RUNNING None 0:0; script in 3, told of 2
         wait 60
         show 3 => TIMEOUT! TimeLimit 0:0, TIMEOUT TimeLimit 0:0",
    );
}

#[test]
fn a_step_may_span_components() {
    check(
        "submit 3
         plan 1 2 3 => RUNNING None 0:0, RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 3
         steps 2 => ok: 2.0 [0, 1] of 2 on n2
         steps 1 3 => ok: 1.1 [0, 1] of 4 on n[1,3], 2.0 [0, 1] of 2 on n2, 3.1 [2, 3] of 4 on n[1,3]
         steps 2 2 => Job not heterogeneous job: 1.1 [0, 1] of 4 on n[1,3], 2.0 [0, 1] of 2 on n2, 3.1 [2, 3] of 4 on n[1,3]",
    );
    check_with(
        HetJobRules { single_steps: true, ..HetJobRules::default() },
        "submit 2
         plan 1 2 => RUNNING None 0:0, RUNNING None 0:0; script in 1, told of 2
         steps 1 2 => Requested operation not supported on this system:",
    );
}
