//! Running jobs that give up nodes, to others or to one of their user's, as a script: text in, text out.
//!
//! Nodes `n1` to `n4` have 4 CPUs each. `start JOB NODE,NODE` plays the scheduler, with one CPU of each node. `show JOB` says what
//! the job has, what it is leaving, and how many tasks' worth of nodes it asks for; `cpus JOB` which CPUs it has; `waits JOB` what it
//! waits for and how long it may run; `used` says which nodes are in use. `expand N JOB` submits an allocation of N nodes that is to
//! be given to another job, `expand-batch` a script.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::effect::NodeCommand;
use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId};
use muster_model::config::{ClusterConfig, ResizeRules};
use muster_model::dependency::{Dependency, DependencyKind, DependencyState};
use muster_model::fact::{Fact, StoredState};
use muster_model::hooks::HookConfig;
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::{Job, JobKind};
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::request::{Cancel, Command, JobChanges, JobTarget};
use muster_model::resources::{Megabytes, ResourceRequest};
use muster_model::step::Step;
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_testkit::builders;

struct Stage {
    config: ClusterConfig,
    cluster: Cluster,
    seconds: i64,
    jobs: BTreeMap<JobId, Arc<Job>>,
    steps: BTreeMap<String, Arc<Step>>,
    /// Nodes that the last line had cleaned.
    cleaned: Vec<String>,
}

impl Stage {
    fn new(resize: ResizeRules, epilog: bool) -> Stage {
        let mut config = ClusterConfig {
            nodes: ["n1", "n2", "n3", "n4"].map(|name| builders::node_config(name, 4)).to_vec(),
            partitions: vec![Partition { default: true, ..builders::partition("main", 0..4) }],
            resize,
            ..ClusterConfig::default()
        };
        config.hooks = HookConfig::default();
        config.hooks.node.epilog = epilog.then(|| "/bin/epilog".into());
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config.clone(), StoredState::default(), Timestamp::from_seconds(0), &mut out);
        let (jobs, steps) = (BTreeMap::new(), BTreeMap::new());
        let mut stage = Stage { config, cluster, seconds: 0, jobs, steps, cleaned: Vec::new() };
        (0..4).for_each(|node| stage.connect(node));
        stage
    }

    fn connect(&mut self, node: u32) {
        let connected = AgentReport::Connected {
            session: u64::try_from(self.seconds).unwrap_or(0) + 1,
            hardware: None,
            report: NodeReport::default(),
            launch_sequence_seen: 0,
            units: Vec::new(),
        };
        self.step(Event::Agent(NodeIndex(node), connected));
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        for fact in &out.facts {
            match fact {
                Fact::Job(job) => drop(self.jobs.insert(job.id, job.clone())),
                Fact::Step(step) => drop(self.steps.insert(format!("{}.{}", step.job_id, step.step_id), step.clone())),
                _ => {}
            }
        }
        for effect in &out.effects {
            if let Effect::Send { node, command: NodeCommand::Clean { step: None, .. } } = effect {
                self.cleaned.push(format!("n{}", node.0 + 1));
            }
        }
        out
    }

    fn ask(&mut self, command: Command) -> String {
        let event =
            Event::Command { request: RequestId(1), identity: builders::identity(0), command: Box::new(command) };
        let out = self.step(event);
        let reply = out.effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result),
            _ => None,
        });
        match reply {
            Some(Ok(_)) if self.cleaned.is_empty() => "ok".to_owned(),
            Some(Ok(_)) => format!("cleans {}", self.cleaned.join(",")),
            Some(Err(refusal)) => refusal.code.text().to_owned(),
            None => "no reply".to_owned(),
        }
    }

    fn start(&mut self, id: JobId, nodes: &str) {
        let share = |name: &str| PlannedShare {
            node: NodeIndex(name[1..].parse::<u32>().unwrap() - 1),
            cpus: 1,
            cpu_set: None,
            memory: Megabytes(0),
            gres: Vec::new(),
            tasks: 1,
        };
        let job = self.jobs[&id].clone();
        let start = PlannedStart {
            suspends: Vec::new(),
            reservation: None,
            job_id: id,
            restart: job.restart,
            task_index: None,
            partition: "main".into(),
            time_limit: None,
            together: Vec::new(),
            shares: nodes.split(',').map(share).collect(),
        };
        self.step(Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
    }

    fn submit(&mut self, verb: &str, nodes: &str, target: &str) -> String {
        let request = ResourceRequest { nodes_min: nodes.parse().unwrap(), tasks: 1, ..ResourceRequest::default() };
        let mut spec = builders::spec(request);
        spec.identity = builders::identity(0);
        spec.time_limit = Some(TimeLimit::Limited(Span::from_minutes(10)));
        spec.kind = match verb {
            "every" => JobKind::EveryNode,
            "allocate" | "expand" => JobKind::Allocation,
            _ => JobKind::Batch,
        };
        if !target.is_empty() {
            spec.dependencies.all.push(Dependency {
                kind: DependencyKind::Expand,
                job: Some(JobId(target.parse().unwrap())),
                task_index: None,
                delay_minutes: 0,
                of_array: false,
                state: DependencyState::Unfulfilled,
            });
        }
        self.ask(Command::Submit(Box::new(spec)))
    }

    fn restart(&mut self) {
        let open = self.steps.values().filter(|step| !step.state.is_final());
        let stored = StoredState {
            jobs: self.jobs.values().cloned().collect(),
            steps: open.cloned().collect(),
            ..StoredState::default()
        };
        let mut out = Outcome::default();
        let now = Timestamp::from_seconds(self.seconds);
        self.cluster = Cluster::restore(self.config.clone(), stored, now, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
    }

    fn show(&self, id: JobId) -> String {
        let view = self.cluster.read_view();
        let job = &view.jobs[&id];
        let leaving: Vec<&str> = job.released().iter().map(|left| &*left.name).collect();
        let past = job.resize.iter().flat_map(|resize| &resize.past).map(|past| past.node_list.to_string());
        let request = &job.spec.request;
        format!(
            "{} {} leaves [{}] had [{}] wants {}",
            job.state,
            job.node_list.as_deref().unwrap_or("-"),
            leaving.join(","),
            past.collect::<Vec<_>>().join(" "),
            request.nodes_min
        )
    }

    fn line(&mut self, line: &str) -> String {
        self.cleaned.clear();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (number, what) = rest.split_once(' ').unwrap_or((rest, ""));
        let id = JobId(number.parse().unwrap_or(0));
        let target = JobTarget::job(id);
        let mut changes = JobChanges::default();
        match verb {
            "submit" | "every" | "allocate" | "expand" | "expand-batch" => return self.submit(verb, number, what),
            "start" => {
                if self.jobs[&id].spec.kind == JobKind::Allocation {
                    self.step(Event::HolderPresent(id));
                }
                self.start(id, what);
            }
            "hold" => return self.ask(Command::Hold { target, as_user: true }),
            "release" => return self.ask(Command::Release(target)),
            "resume" => return self.ask(Command::Resume(target)),
            "cpus" => {
                let view = self.cluster.read_view();
                let shares = view.jobs[&id].allocation.iter().flat_map(|allocation| &allocation.shares);
                let texts: Vec<String> =
                    shares.map(|share| format!("n{}:{} {}t", share.node.0 + 1, share.cpus, share.tasks)).collect();
                return texts.join(" ");
            }
            "waits" => {
                let view = self.cluster.read_view();
                let job = &view.jobs[&id];
                return format!("{} {} [{}] {}", job.state, job.reason, job.dependencies, job.time_limit);
            }
            "nodes" => {
                let (least, most) = what.split_once('-').unwrap_or((what, what));
                changes.nodes = Some((least.parse().unwrap(), most.parse().unwrap()));
                return self.ask(Command::UpdateJob { target, changes: Box::new(changes) });
            }
            "list" => {
                changes.nodes_required = Some(what.into());
                return self.ask(Command::UpdateJob { target, changes: Box::new(changes) });
            }
            "suspend" => return self.ask(Command::Suspend(target)),
            "requeue" => return self.ask(Command::Requeue { target, hold: false, special_exit: false }),
            "cancel" => {
                let (signal, states) = (None, Vec::new());
                return self.ask(Command::Cancel(Cancel { target, signal, batch_only: false, full: false, states }));
            }
            "clean" => {
                let job = self.jobs[&id].clone();
                let restart = job.cleaning.as_ref().map_or(job.restart, |cleaning| cleaning.restart);
                let node = NodeIndex(what[1..].parse::<u32>().unwrap() - 1);
                self.step(Event::Agent(node, AgentReport::JobCleaned { job_id: id, restart, epilog: None }));
            }
            "restart" => {
                self.restart();
                return "ok".to_owned();
            }
            "connect" => {
                self.connect(number[1..].parse::<u32>().unwrap() - 1);
                return if self.cleaned.is_empty() {
                    "ok".to_owned()
                } else {
                    format!("cleans {}", self.cleaned.join(","))
                };
            }
            "used" => {
                let view = self.cluster.read_view();
                let used = view.nodes.iter().filter(|node| !node.used.cpus.is_empty());
                let names: Vec<String> = used.map(|node| node.name().to_string()).collect();
                return if names.is_empty() { "none".to_owned() } else { names.join(",") };
            }
            _ => {}
        }
        self.show(id)
    }
}

/// Runs a script: each line is `COMMAND => WHAT IT SAYS`.
#[track_caller]
fn check_with(resize: ResizeRules, epilog: bool, script: &str) {
    let mut stage = Stage::new(resize, epilog);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap_or((line, "ok"));
        assert_eq!(stage.line(command), expected, "{command}");
    }
}

#[track_caller]
fn check(script: &str) {
    check_with(ResizeRules::default(), true, script);
}

#[test]
fn the_first_nodes_stay_and_the_others_are_held_until_they_are_clean() {
    check(
        "submit 4
         start 1 n1,n2,n3,n4 => RUNNING n[1-4] leaves [] had [] wants 4
         nodes 1 2 => cleans n3,n4
         show 1 => RUNNING n[1-2] leaves [n3,n4] had [n[1-4]] wants 2
         used => n1,n2,n3,n4
         clean 1 n3 => RUNNING n[1-2] leaves [n4] had [n[1-4]] wants 2
         used => n1,n2,n4
         nodes 1 2
         nodes 1 1 => cleans n2
         clean 1 n4 => RUNNING n1 leaves [n2] had [n[1-4] n[1-2]] wants 1
         clean 1 n2 => RUNNING n1 leaves [] had [n[1-4] n[1-2]] wants 1
         used => n1",
    );
}

#[test]
fn nodes_where_nothing_ran_are_free_at_once() {
    check_with(
        ResizeRules::default(),
        false,
        "submit 3
         start 1 n1,n2,n3 => RUNNING n[1-3] leaves [] had [] wants 3
         nodes 1 2
         used => n1,n2",
    );
}

#[test]
fn nodes_can_be_named_and_are_no_wish_for_the_next_start() {
    check(
        "submit 4
         start 1 n1,n2,n3,n4 => RUNNING n[1-4] leaves [] had [] wants 4
         list 1 n2 => Invalid node name specified
         list 1 n1,n9 => Invalid node name specified
         list 1 n[1-2 => Invalid node name specified
         list 1 n3,n1 => cleans n2,n4
         show 1 => RUNNING n[1,3] leaves [n2,n4] had [n[1-4]] wants 4
         list 1 n1,n2 => Invalid node name specified
         list 1 n1,n3,n1
         nodes 1 2 => Job is no longer pending execution
         requeue 1 => cleans n1,n2,n3,n4
         clean 1 n1 => PENDING n[1,3] leaves [n2,n4] had [n[1-4]] wants 4
         clean 1 n2 => PENDING n[1,3] leaves [n4] had [n[1-4]] wants 4
         clean 1 n3 => PENDING n[1,3] leaves [n4] had [n[1-4]] wants 4
         clean 1 n4 => PENDING - leaves [] had [] wants 4
         used => none",
    );
}

#[test]
fn what_slurm_refuses_is_refused_in_its_words() {
    let script = |more: &str| {
        format!(
            "submit 3
             nodes 1 0 => Node count specification invalid
             start 1 n1,n2,n3 => RUNNING n[1-3] leaves [] had [] wants 3
             nodes 1 0 => Node count specification invalid
             nodes 1 1-2 => Job is no longer pending execution
             nodes 1 3
             {more}"
        )
    };
    check(&script(
        "nodes 1 4 => Requested operation not supported on this system\nsuspend 1\nnodes 1 2 => Job is current suspended, requested operation disabled\ncancel 1 => cleans n1,n2,n3\nnodes 1 2 => Job has already finished",
    ));
    let expansion = ResizeRules { expansion: true, ..ResizeRules::default() };
    check_with(expansion, true, &script("nodes 1 4 => Job is no longer pending execution"));
    let fixed = ResizeRules { fixed: true, ..ResizeRules::default() };
    let unsupported = "Requested operation not supported on this system";
    check_with(fixed, true, &script(&format!("nodes 1 2 => {unsupported}\nlist 1 n1 => {unsupported}")));
    check(
        "every 2
         start 1 n1,n2 => RUNNING n[1-2] leaves [] had [] wants 2
         nodes 1 1 => Requested operation not supported on this system",
    );
}

#[test]
fn a_restart_and_the_end_of_the_job_lose_nothing() {
    check(
        "submit 3
         start 1 n1,n2,n3 => RUNNING n[1-3] leaves [] had [] wants 3
         nodes 1 2 => cleans n3
         restart => ok
         used => n1,n2,n3
         connect n3 => cleans n3
         connect n1
         connect n2
         cancel 1 => cleans n1,n2,n3
         clean 1 n2 => CANCELLED n[1-2] leaves [n3] had [n[1-3]] wants 2
         restart => ok
         used => n1,n3
         connect n3 => cleans n3
         clean 1 n3 => CANCELLED n[1-2] leaves [] had [n[1-3]] wants 2
         clean 1 n1 => CANCELLED n[1-2] leaves [] had [n[1-3]] wants 2
         used => none",
    );
}

const EXPANSION: ResizeRules = ResizeRules { fixed: false, expansion: true };

#[test]
fn a_job_gives_all_that_it_has_to_the_one_it_was_submitted_for() {
    check_with(
        EXPANSION,
        true,
        "submit 1
         start 1 n2 => RUNNING n2 leaves [] had [] wants 1
         expand 2 1
         waits 2 => PENDING None [] 00:09:00
         start 2 n1,n2 => RUNNING n[1-2] leaves [] had [] wants 2
         nodes 2 1 => cleans n2
         clean 2 n2 => RUNNING n1 leaves [] had [n[1-2]] wants 1
         nodes 2 0 => cleans n1
         show 2 => COMPLETED n1 leaves [] had [n[1-2]] wants 1
         show 1 => RUNNING n[2,1] leaves [] had [n2] wants 1
         cpus 1 => n2:0 1t n1:0 1t
         clean 2 n1 => COMPLETED n1 leaves [] had [n[1-2]] wants 1
         used => n1,n2
         restart => ok
         used => n1,n2
         connect n1
         connect n2
         expand 1 1
         start 3 n2 => RUNNING n2 leaves [] had [] wants 1
         nodes 3 0 => cleans n2
         cpus 1 => n2:0-1 2t n1:0 1t
         nodes 1 1 => cleans n1
         clean 1 n1 => RUNNING n2 leaves [] had [n2 n[2,1] n[2,1]] wants 1
         cancel 1 => cleans n2
         clean 1 n2 => CANCELLED n2 leaves [] had [n2 n[2,1] n[2,1]] wants 1
         used => none",
    );
}

#[test]
fn nothing_is_cleaned_where_nothing_was() {
    check_with(
        EXPANSION,
        false,
        "allocate 1
         start 1 n1 => RUNNING n1 leaves [] had [] wants 1
         expand 2 1
         start 2 n1,n3 => RUNNING n[1,3] leaves [] had [] wants 2
         nodes 2 0
         cpus 1 => n1:0-1 2t n3:0 1t
         nodes 2 0 => Job has already finished
         nodes 1 0 => Node count specification invalid",
    );
}

#[test]
fn who_may_not_be_expanded_is_said_at_submit() {
    check(
        "submit 1
         start 1 n1 => RUNNING n1 leaves [] had [] wants 1
         expand 1 1 => Requested operation not supported on this system",
    );
    check_with(
        EXPANSION,
        true,
        "submit 1
         expand 1 1 => Job dependency problem
         expand 1 9 => Job dependency problem
         start 1 n1 => RUNNING n1 leaves [] had [] wants 1
         suspend 1
         expand 1 1 => Job dependency problem
         cancel 1 => cleans n1
         expand 1 1 => Job dependency problem
         every 1
         start 2 n2 => RUNNING n2 leaves [] had [] wants 1
         expand 1 2 => Requested operation not supported on this system",
    );
}

#[test]
fn a_held_job_finds_out_when_it_is_released() {
    check_with(
        EXPANSION,
        false,
        "allocate 1
         start 1 n1 => RUNNING n1 leaves [] had [] wants 1
         expand-batch 1 1
         hold 2
         waits 2 => PENDING JobHeldUser [] 00:09:00
         release 2
         start 2 n2 => RUNNING n2 leaves [] had [] wants 1
         nodes 2 0 => Job step already exists
         suspend 1
         nodes 2 0 => Job is current suspended, requested operation disabled
         resume 1
         cancel 1
         nodes 2 0 => Job has already finished",
    );
}

#[test]
fn a_node_that_was_given_up_does_not_come_back() {
    check_with(
        EXPANSION,
        false,
        "allocate 2
         start 1 n1,n2 => RUNNING n[1-2] leaves [] had [] wants 2
         nodes 1 1
         expand 1 1
         start 2 n2 => RUNNING n2 leaves [] had [] wants 1
         nodes 2 0 => Requested operation not supported on this system
         show 2 => RUNNING n2 leaves [] had [] wants 1",
    );
}
