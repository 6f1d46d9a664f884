//! What users and operators do to jobs, nodes and partitions, as a script of commands: text in, text out.
//!
//! Node `n1` and `n2` have 4 CPUs each and are up; partition `main` has both. `start JOB` plays a scheduler that
//! gives the job one CPU of `n1`. Job numbers begin with 1.

use std::sync::Arc;

use muster_core::UnitKey;
use muster_core::event::{UnitEnd, UnitFailure};
use muster_core::{AgentReport, Cluster, Effect, Event, NodeCommand, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::{JobId, Name, NodeIndex, StepId};
use muster_model::job::{Job, JobKind};
use muster_model::node::NodeReport;
use muster_model::partition::{Partition, PartitionState};
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::request::{Cancel, Command, JobChanges, JobTarget, NodeChanges, NodeTransition, PartitionChanges};
use muster_model::resources::{IndexSet, Megabytes, ResourceRequest};
use muster_model::state::{ExitStatus, Usage};
use muster_model::time::{TimeLimit, Timestamp};
use muster_testkit::builders;

struct Stage {
    cluster: Cluster,
    seconds: i64,
}

impl Stage {
    fn new() -> Stage {
        let mut requeue_exits = IndexSet::default();
        requeue_exits.insert(75);
        let mut requeue_exits_held = IndexSet::default();
        requeue_exits_held.insert(76);
        let config = ClusterConfig {
            requeue_exits,
            requeue_exits_held,
            nodes: vec![builders::node_config("n1", 4), builders::node_config("n2", 4)],
            partitions: vec![Partition { default: true, ..builders::partition("main", 0..2) }],
            shown: vec![("Licenses".to_owned(), "matlab:4".to_owned())],
            ..ClusterConfig::default()
        };
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, seconds: 1 };
        for node in [NodeIndex(0), NodeIndex(1)] {
            let report = NodeReport::default();
            let connected = AgentReport::Connected {
                session: 1,
                hardware: None,
                report,
                launch_sequence_seen: 0,
                units: Vec::new(),
            };
            stage.step(Event::Agent(node, connected));
        }
        stage
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        out
    }

    /// Does `command` as the user `uid`; `ok` or the refusal.
    fn ask(&mut self, uid: u32, command: Command) -> String {
        let event =
            Event::Command { request: RequestId(1), identity: builders::identity(uid), command: Box::new(command) };
        let out = self.step(event);
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

    fn start(&mut self, id: u32) {
        let job = self.job(id);
        let share = PlannedShare {
            node: NodeIndex(0),
            cpus: 1,
            cpu_set: None,
            memory: Megabytes(0),
            gres: Vec::new(),
            tasks: 1,
        };
        let start = PlannedStart {
            suspends: Vec::new(),
            reservation: None,
            job_id: job.id,
            restart: job.restart,
            task_index: None,
            partition: "main".into(),
            time_limit: None,
            together: Vec::new(),
            shares: vec![share],
        };
        self.step(Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
    }

    /// One line of a script; what it says.
    fn line(&mut self, line: &str) -> String {
        let (uid, line) = match line.strip_prefix("user ") {
            Some(rest) => (1001, rest),
            None => (0, line),
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let id = rest.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let target = JobTarget::job(JobId(id));
        match verb {
            "submit" => {
                let mut spec = builders::spec(ResourceRequest::default());
                spec.identity = builders::identity(uid);
                spec.kind = JobKind::Batch;
                self.ask(uid, Command::Submit(Box::new(spec)))
            }
            "start" => {
                self.start(id);
                self.show(id)
            }
            "hold" => self.ask(uid, Command::Hold { target, as_user: false }),
            "release" => self.ask(uid, Command::Release(target)),
            "suspend" => self.ask(uid, Command::Suspend(target)),
            "resume" => self.ask(uid, Command::Resume(target)),
            "requeue" => self.ask(uid, Command::Requeue { target, hold: false, special_exit: false }),
            "requeuehold" => self.ask(uid, Command::Requeue { target, hold: true, special_exit: false }),
            "special" => self.ask(uid, Command::Requeue { target, hold: true, special_exit: true }),
            "cancel" => {
                let cancel = Cancel { target, signal: None, batch_only: false, full: false, states: Vec::new() };
                self.ask(uid, Command::Cancel(cancel))
            }
            // `scancel` with a scope, and perhaps a signal: what the node is told.
            "kill" => {
                let words: Vec<&str> = rest.split(' ').skip(1).collect();
                let signal = words.iter().find_map(|word| word.parse().ok());
                let (batch_only, full) = (words.contains(&"batch"), words.contains(&"full"));
                self.told(uid, Cancel { target, signal, batch_only, full, states: Vec::new() })
            }
            "clean" => {
                let restart = self.job(id).cleaning.as_ref().map(|cleaning| cleaning.restart).unwrap_or_default();
                let cleaned = AgentReport::JobCleaned { job_id: JobId(id), restart, epilog: None };
                self.step(Event::Agent(NodeIndex(0), cleaned));
                self.show(id)
            }
            // The delay before a requeued job may start again is over.
            "wait" => {
                self.seconds += i64::from(id);
                self.step(Event::Tick);
                "ok".to_owned()
            }
            "fail" => {
                let failure = Some(UnitFailure { text: "no spool".into(), node_at_fault: true, prolog: false });
                self.script_ended(id, ExitStatus::SUCCESS, failure);
                self.node(0, "n1 resume");
                self.show(id)
            }
            // Nothing that the node is to blame for.
            "unwritable" => {
                let failure = Some(UnitFailure { text: "no directory".into(), node_at_fault: false, prolog: false });
                self.script_ended(id, ExitStatus::SUCCESS, failure);
                format!("{} exit {}", self.show(id), self.job(id).exit)
            }
            "exit" => {
                let code = rest.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
                self.script_ended(id, ExitStatus::exited(code), None);
                self.show(id)
            }
            "update" => self.ask(uid, Command::UpdateJob { target, changes: Box::new(changes(rest)) }),
            "node" => self.node(uid, rest),
            "partition" => self.partition(uid, rest),
            "show" => self.show(id),
            other => panic!("unknown line {other}"),
        }
    }

    /// What a node is told when a user cancels.
    fn told(&mut self, uid: u32, cancel: Cancel) -> String {
        let (identity, command) = (builders::identity(uid), Box::new(Command::Cancel(cancel)));
        let out = self.step(Event::Command { request: RequestId(1), identity, command });
        let told = out.effects.into_iter().filter_map(|effect| match effect {
            Effect::Send { command: NodeCommand::Signal { signal, scope, .. }, .. } => {
                Some(format!("{signal} {scope:?}"))
            }
            Effect::Send { command: NodeCommand::Clean { .. }, .. } => Some("end".to_owned()),
            _ => None,
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// The node tells the end of a job's script.
    fn script_ended(&mut self, id: u32, exit: ExitStatus, failure: Option<UnitFailure>) {
        let key = UnitKey { job_id: JobId(id), restart: self.job(id).restart, step: StepId::Batch };
        let ended = UnitEnd {
            key,
            exit,
            usage: Usage::default(),
            measured: None,
            failure,
            job_is_clean: true,
            out_of_memory: false,
            over_memory: false,
            kill_failure: None,
        };
        self.step(Event::Agent(NodeIndex(0), AgentReport::UnitEnded(ended)));
    }

    fn show(&self, id: u32) -> String {
        let job = self.job(id);
        let detail = job.reason_detail.as_deref().unwrap_or("-");
        let held = if job.priority == 0 { " held" } else { "" };
        let special = if job.special_exit { " special" } else { "" };
        format!("{} {} {detail}{held}{special}", job.state, job.reason)
    }

    fn node(&mut self, uid: u32, words: &str) -> String {
        let (name, change) = words.split_once(' ').unwrap_or((words, ""));
        let mut changes = NodeChanges::default();
        match change.split_once('=') {
            Some(("drain", reason)) => {
                changes.state = Some(NodeTransition::Drain);
                changes.reason = Some(reason.into());
            }
            Some(("comment", text)) => changes.comment = Some(text.into()),
            _ => changes.state = Some(NodeTransition::Resume),
        }
        let said = self.ask(uid, Command::UpdateNodes { nodes: name.into(), changes });
        let view = self.cluster.read_view();
        let node = view.nodes.iter().find(|node| &**node.name() == name);
        let comment = node.and_then(|node| node.comment.clone()).unwrap_or_else(|| "-".into());
        format!("{said}, drain {}, comment {comment}", node.is_some_and(|node| node.drain))
    }

    fn partition(&mut self, uid: u32, words: &str) -> String {
        let (verb, name) = words.split_once(' ').unwrap_or((words, ""));
        let name: muster_model::ids::Name = name.into();
        let one = |changes: PartitionChanges, create: bool| Command::ChangePartition {
            name: name.clone(),
            changes: Box::new(changes),
            create,
        };
        let command = match verb {
            "create" => one(PartitionChanges { nodes: Some("n2".into()), ..PartitionChanges::default() }, true),
            "default" => one(PartitionChanges { default: Some(true), ..PartitionChanges::default() }, false),
            "down" => one(PartitionChanges { state: Some(PartitionState::Down), ..PartitionChanges::default() }, false),
            "nosuchnode" => one(PartitionChanges { nodes: Some("x1".into()), ..PartitionChanges::default() }, false),
            _ => Command::DeletePartition { name: name.clone() },
        };
        let said = self.ask(uid, command);
        let view = self.cluster.read_view();
        let each = view.partitions.iter().map(|partition| {
            let mark = if partition.default { "*" } else { "" };
            format!("{}{mark}={}", partition.name, partition.nodes.len())
        });
        format!("{said}, {}", each.collect::<Vec<_>>().join(" "))
    }
}

fn changes(words: &str) -> JobChanges {
    let none = JobChanges::default;
    let (_, setting) = words.split_once(' ').unwrap_or((words, ""));
    match setting.split_once('=').unwrap_or((setting, "")) {
        ("features", value) => JobChanges { constraint: Some(value.into()), ..none() },
        ("nodes", value) => JobChanges { nodes_required: Some(value.into()), ..none() },
        ("licenses", value) => JobChanges { licenses: Some(value.into()), ..none() },
        ("partition", value) => JobChanges { partition: Some(value.into()), ..none() },
        ("reservation", value) => JobChanges { reservation: Some(value.into()), ..none() },
        ("cpus", value) => JobChanges { cpus: value.parse().ok(), ..none() },
        ("priority", value) => JobChanges { priority: value.parse().ok(), ..none() },
        ("limit", value) => JobChanges { time_limit: TimeLimit::parse(value), ..none() },
        ("qos", value) => JobChanges { qos: Some(value.into()), ..none() },
        ("nice", value) => JobChanges { nice: value.parse().ok(), ..none() },
        ("contiguous", value) => JobChanges { contiguous: Some(value == "yes"), ..none() },
        ("deadline", value) => JobChanges { deadline: value.parse().ok().map(Timestamp::from_seconds), ..none() },
        ("end", value) => JobChanges { end_time: value.parse().ok().map(Timestamp::from_seconds), ..none() },
        (other, _) => panic!("unknown setting {other}"),
    }
}

/// Runs a script: each line is `COMMAND => WHAT IT SAYS`.
#[track_caller]
fn check(script: &str) {
    let mut stage = Stage::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" =>").unwrap_or((line, "ok"));
        assert_eq!(stage.line(command), expected.trim(), "{command}");
    }
}

#[test]
fn a_running_job_can_be_held_for_when_it_comes_back() {
    check(
        "submit
         start 1 => RUNNING None -
         hold 1
         show 1 => RUNNING JobHeldAdmin - held
         release 1
         show 1 => RUNNING None -
         hold 1
         requeue 1
         clean 1 => PENDING JobHeldAdmin - held
         release 1",
    );
}

/// The owner may choose another QOS only while the job waits, an operator at any time: so Slurm 22.05 has it.
#[test]
fn the_qos_of_a_running_job_is_changed_by_operators_only() {
    check(
        "user submit
         user update 1 qos=normal
         start 1 => RUNNING None -
         user update 1 qos=normal => Job is no longer pending execution
         update 1 qos=normal
         show 1 => RUNNING None -",
    );
}

#[test]
fn finished_jobs_cannot_be_held() {
    check(
        "submit
         cancel 1
         hold 1 => Job has already finished
         release 1 => Job has already finished
         suspend 1 => Job/step already completing or completed
         hold 7 => Invalid job id specified",
    );
}

#[test]
fn a_job_that_cannot_be_launched_is_held_after_five_failures() {
    let mut script = "submit\n".to_owned();
    for attempt in 1..=5 {
        // Requeued by its owner in between: that is no failure.
        script += "start 1 => RUNNING None -\nrequeue 1\nclean 1 => PENDING BeginTime -\nwait 200\n";
        script += "start 1 => RUNNING None -\n";
        script += match attempt {
            5 => "fail 1 => PENDING JobHoldMaxRequeue - held\n",
            _ => "fail 1 => PENDING BeginTime -\nwait 200\n",
        };
    }
    // Released, it has as many attempts again.
    script += "hold 1\nshow 1 => PENDING JobHoldMaxRequeue - held\nrelease 1\nwait 200\nstart 1 => RUNNING None -\nfail 1 => PENDING BeginTime -";
    check(&script);
}

#[test]
fn exit_codes_after_which_a_job_comes_again() {
    check(
        "submit
         start 1 => RUNNING None -
         exit 1 75 => PENDING BeginTime -
         wait 200
         start 1 => RUNNING None -
         exit 1 76 => PENDING JobHeldAdmin job requeued in held state held special
         release 1
         wait 200
         start 1 => RUNNING None -
         exit 1 74 => FAILED NonZeroExitCode -",
    );
}

#[test]
fn what_scancel_reaches() {
    check(
        "submit
         start 1 => RUNNING None -
         kill 1 10 => 10 Steps
         kill 1 10 batch => 10 Batch
         kill 1 10 batch full => 10 All
         kill 1 9 batch => 9 Batch
         kill 1 batch => 9 Batch
         show 1 => RUNNING None -
         kill 1 full => end
         submit
         kill 2 batch =>
         show 2 => CANCELLED None -",
    );
}

#[test]
fn a_script_that_cannot_be_started_ends_as_in_slurm() {
    check(
        "submit
         start 1 => RUNNING None -
         unwritable 1 => FAILED JobLaunchFailure no directory exit 0:53",
    );
}

#[test]
fn suspending_twice_is_no_error_and_resuming_twice_is() {
    check(
        "submit
         suspend 1 => Job is pending execution
         start 1 => RUNNING None -
         user suspend 1 => Access/permission denied
         suspend 1
         suspend 1
         show 1 => SUSPENDED None -
         resume 1
         resume 1 => Job is not suspended
         suspend 9 => Unexpected message received",
    );
}

#[test]
fn a_job_put_back_and_held_says_so() {
    check(
        "submit
         requeuehold 1 => Job is pending execution
         start 1 => RUNNING None -
         requeuehold 1
         clean 1 => PENDING JobHeldAdmin job requeued in held state held
         release 1
         show 1 => PENDING BeginTime -",
    );
    check(
        "submit
         start 1 => RUNNING None -
         special 1
         clean 1 => PENDING JobHeldAdmin job requeued in held state held special
         release 1
         show 1 => PENDING BeginTime -",
    );
}

#[test]
fn strangers_are_told_in_slurms_words() {
    check(
        "submit
         user hold 1 => Invalid user id
         user release 1 => Invalid user id
         user update 1 limit=5 => Invalid user id
         user cancel 1 => Access/permission denied
         user requeue 1 => Access/permission denied
         user node n1 drain=x => Invalid user id, drain false, comment -
         user partition down main => Invalid user id, main*=2",
    );
}

#[test]
fn owners_cannot_order_the_queue() {
    check(
        "user submit
         user update 1 priority=100 => Changes to job priority are not persistent, change nice instead
         user update 1 priority=4294967294 => Access/permission denied
         user update 1 limit=5",
    );
}

#[test]
fn what_an_update_names_must_exist() {
    check(
        "submit
         update 1 features=nosuch => Invalid feature specification
         update 1 nodes=n9 => Invalid node name specified
         update 1 nodes=n2
         update 1 licenses=nosuch:1 => Invalid license specification
         update 1 licenses=matlab:1
         update 1 partition=main,nosuch => Invalid partition name specified
         update 1 reservation=r => Requested reservation is invalid
         update 1 cpus=1000 => CPU count specification invalid
         update 1 cpus=4
         update 1 end=900 => Job is not running",
    );
}

#[test]
fn a_running_job_keeps_its_size() {
    check(
        "submit
         start 1 => RUNNING None -
         update 1 cpus=2 => Job is no longer pending execution
         update 1 nodes=n2 => Invalid node name specified
         update 1 licenses=matlab:1
         update 1 end=900",
    );
}

#[test]
fn nodes_can_be_drained_resumed_and_remarked_upon() {
    check(
        "node n1 resume => Invalid node state specified, drain false, comment -
         node n1 drain=disk => ok, drain true, comment -
         node n1 comment=hello => ok, drain true, comment hello
         node n1 resume => ok, drain false, comment hello
         node n1 comment= => ok, drain false, comment -",
    );
}

#[test]
fn partitions_come_and_go() {
    check(
        "partition create small => ok, main*=2 small=1
         partition create small => Invalid partition name specified, main*=2 small=1
         partition default small => ok, main=2 small*=1
         partition nosuchnode small => Invalid node name specified, main=2 small*=1
         submit
         partition delete small => Partition is in use, main=2 small*=1
         cancel 1
         partition delete small => ok, main=2
         partition delete small => Invalid partition name specified, main=2",
    );
}

#[test]
fn what_an_owner_may_change() {
    let mut stage = Stage::new();
    let view = stage.cluster.read_view();
    let partition = Partition { time_max: TimeLimit::from_minutes(60), ..(*view.partitions[0]).clone() };
    let config = ClusterConfig {
        nodes: view.nodes.iter().map(|node| (*node.config).clone()).collect(),
        partitions: vec![partition, Partition { reservation_required: true, ..builders::partition("kept", 0..2) }],
        ..ClusterConfig::default()
    };
    drop(view);
    let mut out = Outcome::default();
    stage.cluster = Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut out);
    let denied = "Access/permission denied";
    for (command, expected) in [
        ("user submit", "ok"),
        ("user update 1 limit=5", "ok"),
        // Up to what the partition has, while it waits.
        ("user update 1 limit=60", "ok"),
        ("user update 1 limit=70", denied),
        ("update 1 limit=70", "ok"),
        ("user update 1 deadline=100000", denied),
        ("user update 1 contiguous=yes", denied),
        ("update 1 contiguous=yes", "ok"),
        ("user update 1 nice=50", "ok"),
    ] {
        assert_eq!(stage.line(command), expected, "{command}");
    }
    assert_eq!(stage.job(1).spec.nice, 50);
    // A priority that is set goes without what was taken off the one before.
    assert_eq!(stage.line("update 1 priority=77"), "ok");
    assert_eq!((stage.job(1).priority, stage.job(1).spec.nice), (77, 0));
    // From then on it has no nice value, which nobody is told, as in Slurm.
    assert_eq!(stage.line("update 1 nice=5"), "ok");
    assert_eq!((stage.job(1).priority, stage.job(1).spec.nice), (77, 0));
    // A partition with ReqResv takes nobody without a reservation.
    let mut spec = builders::spec(ResourceRequest::default());
    (spec.kind, spec.partitions) = (JobKind::Batch, vec!["kept".into()]);
    assert_eq!(stage.ask(0, Command::Submit(Box::new(spec.clone()))), denied);
    // Beside others it is none for such a job, and no change leads there.
    spec.partitions = vec!["main".into(), "kept".into()];
    assert_eq!(stage.ask(0, Command::Submit(Box::new(spec))), "ok");
    assert_eq!(stage.job(2).spec.partitions, [Name::from("main")]);
    let changes = JobChanges { partition: Some("kept".into()), ..JobChanges::default() };
    let update = Command::UpdateJob { target: JobTarget::job(JobId(2)), changes: Box::new(changes) };
    assert_eq!(stage.ask(0, update), denied);
}
