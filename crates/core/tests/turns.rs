//! Jobs that are suspended by the scheduler, in turns, or by an operator, as a script: text in, text out.
//!
//! Nodes `n1` and `n2` have 4 CPUs and 1000 MB. Partition `low` gives way to `high`; two jobs may be on a CPU of `turns`, in
//! slices of 30 seconds. `start JOB PARTITION NODE:CPUS[+NODE:CPUS] [over JOB,JOB]` plays the scheduler; each job holds 100 MB.
//! A line says what has become of all jobs that hold something: `1R` runs, `2S` is suspended, `3C` is being cleaned up.

use std::collections::BTreeMap;

use muster_core::effect::NodeCommand;
use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::{Fact, StoredState};
use muster_model::ids::{JobId, NodeIndex, RestartCount};
use muster_model::job::{Job, JobKind};
use muster_model::node::NodeReport;
use muster_model::partition::{OverSubscribe, Partition};
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::preemption::{PreemptMode, PreemptType, PreemptionConfig};
use muster_model::request::{Cancel, Command, JobTarget};
use muster_model::resources::{IndexSet, Megabytes, ResourceRequest};
use muster_model::state::JobState;
use muster_model::step::Step;
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_testkit::builders;

fn config() -> ClusterConfig {
    let node = |name: &str| {
        let mut config = builders::node_config(name, 4);
        config.hardware.memory = Megabytes(1000);
        config
    };
    let partition = |name: &str, tier: u16, over_subscribe: OverSubscribe| Partition {
        priority_tier: tier,
        over_subscribe,
        ..builders::partition(name, 0..2)
    };
    ClusterConfig {
        nodes: vec![node("n1"), node("n2")],
        partitions: vec![
            Partition { default: true, ..partition("low", 1, OverSubscribe::No) },
            partition("high", 10, OverSubscribe::No),
            partition("turns", 5, OverSubscribe::Force(2)),
        ],
        preemption: PreemptionConfig {
            kind: PreemptType::Partition,
            mode: PreemptMode::Suspend,
            gang: true,
            ..PreemptionConfig::default()
        },
        ..ClusterConfig::default()
    }
}

struct Stage {
    cluster: Cluster,
    seconds: i64,
    jobs: BTreeMap<JobId, Job>,
    steps: BTreeMap<String, Step>,
    /// What agents were told by the last line.
    told: Vec<String>,
}

impl Stage {
    fn new() -> Stage {
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config(), StoredState::default(), Timestamp::from_seconds(0), &mut out);
        let (jobs, steps) = (BTreeMap::new(), BTreeMap::new());
        let mut stage = Stage { cluster, seconds: 0, jobs, steps, told: Vec::new() };
        stage.keep(out);
        (0..2).for_each(|node| stage.connect(node, 0));
        stage
    }

    fn connect(&mut self, node: u32, seen: u64) {
        let connected = AgentReport::Connected {
            session: u64::try_from(self.seconds).unwrap_or(0) + 1,
            hardware: None,
            report: NodeReport::default(),
            launch_sequence_seen: seen,
            units: Vec::new(),
        };
        self.step(Event::Agent(NodeIndex(node), connected));
    }

    fn keep(&mut self, out: Outcome) {
        for fact in out.facts {
            match fact {
                Fact::Job(job) => drop(self.jobs.insert(job.id, (*job).clone())),
                Fact::Step(step) => {
                    self.steps.insert(format!("{}.{}", step.job_id, step.step_id), (*step).clone());
                }
                _ => {}
            }
        }
        for effect in out.effects {
            if let Effect::Send { node, command } = effect {
                let what = match command {
                    NodeCommand::Launch { job, .. } => format!("launch {}", job.id),
                    NodeCommand::Pause { job_id, resume: false, .. } => format!("pause {job_id}"),
                    NodeCommand::Pause { job_id, .. } => format!("continue {job_id}"),
                    NodeCommand::Clean { job_id, .. } => format!("clean {job_id}"),
                    _ => continue,
                };
                self.told.push(format!("n{} {what}", node.0 + 1));
            }
        }
    }

    fn step(&mut self, event: Event) {
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        self.keep(out);
    }

    fn ask(&mut self, command: Command) {
        let identity = builders::identity(0);
        self.step(Event::Command { request: RequestId(1), identity, command: Box::new(command) });
    }

    fn job(&self, id: u32) -> Job {
        (**self.cluster.read_view().jobs.get(&JobId(id)).expect("a job of that number")).clone()
    }

    fn start(&mut self, words: &[&str]) {
        let job = self.job(words[0].parse().unwrap());
        let share = |text: &str| {
            let (node, cpus) = text.split_once(':').unwrap();
            let (first, last) = cpus.split_once('-').unwrap();
            let mut set = IndexSet::default();
            (first.parse::<u32>().unwrap()..=last.parse().unwrap()).for_each(|cpu| set.insert(cpu));
            PlannedShare {
                node: NodeIndex(node[1..].parse::<u32>().unwrap() - 1),
                cpus: set.len(),
                cpu_set: Some(set),
                memory: Megabytes(100),
                gres: Vec::new(),
                tasks: 1,
            }
        };
        let over = words.get(4).copied().unwrap_or("").split(',').filter(|id| !id.is_empty());
        let start = PlannedStart {
            job_id: job.id,
            restart: job.restart,
            task_index: None,
            partition: words[1].into(),
            reservation: None,
            time_limit: None,
            shares: words[2].split('+').map(share).collect(),
            suspends: over.map(|id| (JobId(id.parse().unwrap()), RestartCount(0))).collect(),
            together: Vec::new(),
        };
        self.step(Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
    }

    fn restart(&mut self) {
        let stored = StoredState {
            jobs: self.jobs.values().cloned().map(std::sync::Arc::new).collect(),
            steps: self
                .steps
                .values()
                .filter(|step| !step.state.is_final())
                .cloned()
                .map(std::sync::Arc::new)
                .collect(),
            ..StoredState::default()
        };
        let mut out = Outcome::default();
        self.cluster = Cluster::restore(config(), stored, Timestamp::from_seconds(self.seconds), &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        self.keep(out);
    }

    fn line(&mut self, line: &str) -> String {
        self.told.clear();
        let words: Vec<&str> = line.split(' ').collect();
        let target = || JobTarget::job(JobId(words[1].parse().unwrap()));
        match words[0] {
            "submit" => {
                let mut spec = builders::spec(ResourceRequest::default());
                spec.identity = builders::identity(0);
                spec.kind = JobKind::Batch;
                spec.time_limit = Some(TimeLimit::from_minutes(10));
                self.ask(Command::Submit(Box::new(spec)));
            }
            "start" => self.start(&words[1..]),
            "suspend" => self.ask(Command::Suspend(target())),
            "resume" => self.ask(Command::Resume(target())),
            "requeue" => self.ask(Command::Requeue { target: target(), hold: false, special_exit: false }),
            "cancel" => {
                let (signal, states) = (None, Vec::new());
                self.ask(Command::Cancel(Cancel { target: target(), signal, batch_only: false, full: false, states }));
            }
            "clean" => {
                let job = self.job(words[1].parse().unwrap());
                let restart = job.cleaning.as_ref().map(|cleaning| cleaning.restart).unwrap_or_default();
                for node in [NodeIndex(0), NodeIndex(1)] {
                    self.step(Event::Agent(node, AgentReport::JobCleaned { job_id: job.id, restart, epilog: None }));
                }
            }
            // Time passes; timers fire when they are due.
            "wait" => {
                for _ in 0..words[1].parse::<i64>().unwrap() {
                    self.seconds += 1;
                    self.step(Event::Tick);
                }
            }
            "restart" => self.restart(),
            "connect" => self.connect(words[1][1..].parse::<u32>().unwrap() - 1, 0),
            "silent" => {
                let node = NodeIndex(words[1][1..].parse::<u32>().unwrap() - 1);
                self.step(Event::Agent(node, AgentReport::Disconnected { session: 1 }));
                self.seconds += 301;
                self.step(Event::Tick);
            }
            "ran" => {
                let job = self.job(words[1].parse().unwrap());
                let now = Timestamp::from_seconds(self.seconds);
                let left = job.end_time.map(|end| end.since(now).seconds());
                return format!("{}, left {}", job.run_time(now).seconds(), left.unwrap_or(-1));
            }
            "told" => {}
            "books" => return self.books(),
            other => panic!("unknown line {other}"),
        }
        let told = if self.told.is_empty() || words[0] == "submit" {
            String::new()
        } else {
            format!("; {}", self.told.join(", "))
        };
        format!("{}{told}", self.states())
    }

    fn states(&self) -> String {
        let view = self.cluster.read_view();
        let all = view.jobs.values().filter(|job| job.holds_resources()).map(|job| {
            let letter = match job.state {
                _ if job.completing => "C",
                JobState::Suspended => "S",
                _ => "R",
            };
            format!("{}{letter}", job.id)
        });
        all.collect::<Vec<_>>().join(" ")
    }

    /// CPUs in use or claimed, those claimed, memory; node by node.
    fn books(&self) -> String {
        let view = self.cluster.read_view();
        let each = view.nodes.iter().map(|node| {
            let used = &node.used;
            format!("{} claimed {} mem {}", used.cpus.len(), used.cpus_claimed.len(), used.memory.0)
        });
        each.collect::<Vec<_>>().join(" | ")
    }
}

/// Runs a script: each line is `COMMAND => WHAT IT SAYS`.
#[track_caller]
fn check(script: &str) {
    let mut stage = Stage::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" =>").unwrap_or((line, ""));
        let said = stage.line(command);
        if command != "submit" {
            assert_eq!(said, expected.trim(), "{command}");
        }
    }
}

#[test]
fn a_preemptor_starts_on_the_cpus_of_whom_it_suspends() {
    check(
        "submit
         submit
         start 1 low n1:0-3+n2:0-1 => 1R; n1 launch 1
         wait 10 => 1R
         start 2 high n1:0-1 over 1 => 1S 2R; n1 pause 1, n2 pause 1, n1 launch 2
         books => 4 claimed 4 mem 200 | 2 claimed 2 mem 100
         wait 20 => 1S 2R
         ran 1 => 10, left 570
         cancel 2 => 1S 2C; n1 clean 2
         clean 2 => 1R; n1 continue 1, n2 continue 1
         wait 5 => 1R
         ran 1 => 15, left 585
         books => 4 claimed 0 mem 100 | 2 claimed 0 mem 100",
    );
}

#[test]
fn nobody_is_suspended_for_a_start_that_does_not_come_about() {
    check(
        "submit
         submit
         submit
         start 1 low n1:0-1 => 1R; n1 launch 1
         start 2 low n1:2-3 => 1R 2R; n1 launch 2
         start 3 high n1:0-3 over 1 => 1R 2R
         books => 4 claimed 0 mem 200 | 0 claimed 0 mem 0
         start 3 high n1:2-3 over 1,2 => 1R 2S 3R; n1 pause 2, n1 launch 3",
    );
}

#[test]
fn claims_are_stood_upon_by_preemptors_only() {
    check(
        "submit
         submit
         submit
         submit
         start 1 low n1:0-3+n2:0-3 => 1R; n1 launch 1
         start 2 high n1:0-3 over 1 => 1S 2R; n1 pause 1, n2 pause 1, n1 launch 2
         start 3 low n2:0-3 => 1S 2R
         start 3 high n2:0-3 over 1 => 1S 2R 3R; n2 launch 3
         cancel 2 => 1S 2C 3R; n1 clean 2
         clean 2 => 1S 3R
         cancel 3 => 1S 3C; n2 clean 3
         clean 3 => 1R; n1 continue 1, n2 continue 1",
    );
}

#[test]
fn a_victim_that_is_cancelled_keeps_others_off_its_cpus_until_it_is_gone() {
    check(
        "submit
         submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-1 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         cancel 1 => 1C 2R; n1 clean 1
         start 3 low n1:2-3 => 1C 2R
         start 3 high n1:2-3 over 1 => 1C 2R
         clean 1 => 2R
         start 3 low n1:2-3 => 2R 3R; n1 launch 3
         books => 4 claimed 0 mem 200 | 0 claimed 0 mem 0",
    );
}

#[test]
fn a_preemptor_that_ends_while_its_victim_is_cancelled_leaves_nothing_behind() {
    check(
        "submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-1 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         cancel 1 => 1C 2R; n1 clean 1
         cancel 2 => 1C 2C; n1 clean 2
         clean 2 => 1C
         books => 4 claimed 4 mem 100 | 0 claimed 0 mem 0
         clean 1 =>
         books => 0 claimed 0 mem 0 | 0 claimed 0 mem 0",
    );
}

#[test]
fn a_victim_goes_back_to_the_queue_like_any_other() {
    check(
        "submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-1 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         requeue 1 => 1C 2R; n1 clean 1
         clean 1 => 2R
         books => 2 claimed 0 mem 100 | 0 claimed 0 mem 0",
    );
}

#[test]
fn an_operators_suspension_frees_cpus_and_lets_victims_go_on() {
    check(
        "submit
         submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-3 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         suspend 2 => 1R 2S; n1 pause 2, n1 continue 1
         suspend 1 => 1S 2S; n1 pause 1
         books => 0 claimed 0 mem 200 | 0 claimed 0 mem 0
         start 3 low n1:0-3 => 1S 2S 3R; n1 launch 3
         resume 1 => 1R 2S 3R; n1 continue 1
         resume 2 => 1S 2R 3S; n1 continue 2, n1 pause 1, n1 pause 3
         cancel 2 => 1S 2C 3S; n1 clean 2
         clean 2 => 1R 3S; n1 continue 1",
    );
}

#[test]
fn an_operator_can_take_a_victim_over() {
    check(
        "submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-1 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         suspend 1 => 1S 2R
         books => 2 claimed 0 mem 200 | 0 claimed 0 mem 0
         cancel 2 => 1S 2C; n1 clean 2
         clean 2 => 1S
         resume 1 => 1R; n1 continue 1",
    );
    check(
        "submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-1 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         resume 1 => 1R 2R; n1 continue 1
         cancel 1 => 1C 2R; n1 clean 1
         clean 1 => 2R
         books => 2 claimed 0 mem 100 | 0 claimed 0 mem 0",
    );
}

#[test]
fn jobs_take_turns_slice_by_slice() {
    check(
        "submit
         submit
         submit
         start 1 turns n1:0-3 => 1R; n1 launch 1
         wait 100 => 1R
         start 2 turns n1:0-3 => 1R 2S; n1 launch 2, n1 pause 2
         start 3 turns n1:0-3 => 1R 2S
         books => 4 claimed 4 mem 200 | 0 claimed 0 mem 0
         wait 29 => 1R 2S
         wait 1 => 1S 2R; n1 pause 1, n1 continue 2
         wait 30 => 1R 2S; n1 pause 2, n1 continue 1
         ran 2 => 30, left 570
         cancel 1 => 1C 2S; n1 clean 1
         wait 30 => 1C 2S
         clean 1 => 2R; n1 continue 2
         wait 90 => 2R",
    );
}

#[test]
fn those_who_fit_together_have_their_turn_together() {
    check(
        "submit
         submit
         submit
         submit
         start 1 turns n1:0-1 => 1R; n1 launch 1
         start 2 turns n1:2-3+n2:0-1 => 1R 2R; n1 launch 2
         start 3 turns n1:0-1 => 1R 2R 3S; n1 launch 3, n1 pause 3
         start 4 turns n1:2-2 => 1R 2R 3S 4S; n1 launch 4, n1 pause 4
         wait 30 => 1S 2S 3R 4R; n1 pause 1, n1 pause 2, n2 pause 2, n1 continue 3, n1 continue 4
         cancel 4 => 1S 2S 3R 4C; n1 clean 4
         clean 4 => 1S 2R 3R; n1 continue 2, n2 continue 2",
    );
}

#[test]
fn nobody_comes_to_a_cpu_of_which_as_many_as_may_be_have_their_turn() {
    // Counted anew by number, 1 and 2 are in one row and the others in two more; CPU 1 is full, though not in the first row.
    check(
        "submit
         submit
         submit
         submit
         submit
         start 1 turns n1:0-0 => 1R; n1 launch 1
         start 3 turns n1:0-1 => 1R 3S; n1 launch 3, n1 pause 3
         start 4 turns n1:1-2 => 1R 3S 4R; n1 launch 4
         start 2 turns n1:2-2 => 1R 2S 3S 4R; n1 launch 2, n1 pause 2
         wait 30 => 1S 2R 3R 4S; n1 pause 1, n1 pause 4, n1 continue 2, n1 continue 3
         start 5 turns n1:1-1 => 1S 2R 3R 4S
         cancel 3 => 1S 2R 3C 4S; n1 clean 3
         clean 3 => 1R 2R 4S; n1 continue 1
         start 5 turns n1:1-1 => 1R 2R 4S 5R; n1 launch 5",
    );
}

#[test]
fn turns_wait_while_a_preemptor_runs() {
    check(
        "submit
         submit
         submit
         start 1 turns n1:0-3 => 1R; n1 launch 1
         start 2 turns n1:0-3 => 1R 2S; n1 launch 2, n1 pause 2
         start 3 high n1:0-0 over 1,2 => 1S 2S 3R; n1 pause 1, n1 launch 3
         wait 90 => 1S 2S 3R
         cancel 3 => 1S 2S 3C; n1 clean 3
         clean 3 => 1R 2S; n1 continue 1
         wait 30 => 1S 2R; n1 pause 1, n1 continue 2",
    );
}

#[test]
fn a_restart_of_the_controller_changes_nothing() {
    check(
        "submit
         submit
         submit
         submit
         start 1 low n1:0-3 => 1R; n1 launch 1
         start 2 high n1:0-3 over 1 => 1S 2R; n1 pause 1, n1 launch 2
         start 3 turns n2:0-3 => 1S 2R 3R; n2 launch 3
         start 4 turns n2:0-3 => 1S 2R 3R 4S; n2 launch 4, n2 pause 4
         restart => 1S 2R 3R 4S
         connect n1 => 1S 2R 3R 4S; n1 pause 1, n1 launch 1, n1 pause 1, n1 launch 2
         connect n2 => 1S 2R 3R 4S; n2 pause 4, n2 launch 3, n2 launch 4, n2 pause 4
         wait 30 => 1S 2R 3S 4R; n2 pause 3, n2 continue 4
         cancel 2 => 1S 2C 3S 4R; n1 clean 2
         restart => 1S 2C 3S 4R
         clean 2 => 1R 3S 4R; n1 continue 1",
    );
}

#[test]
fn a_node_that_fails_takes_the_preemptor_and_lets_its_victim_go_on_elsewhere() {
    // Job 1 is on both nodes and is lost with n1 as well; job 3 on n2 only was stood upon by job 2 of both.
    check(
        "submit
         submit
         start 1 low n2:0-3 => 1R; n2 launch 1
         start 2 high n1:0-1+n2:0-1 over 1 => 1S 2R; n2 pause 1, n1 launch 2
         silent n1 => 1R; n2 continue 1",
    );
}

#[test]
fn suspended_time_is_kept_apart() {
    let mut stage = Stage::new();
    for line in ["submit", "submit", "start 1 low n1:0-3", "wait 10", "start 2 high n1:0-3 over 1", "wait 25"] {
        stage.line(line);
    }
    let job = stage.job(1);
    assert_eq!((job.yields_to, job.suspend_time), (Some(JobId(2)), Some(Timestamp::from_seconds(10))));
    stage.line("cancel 2");
    stage.line("clean 2");
    let job = stage.job(1);
    assert_eq!((job.yields_to, job.suspend_time, job.suspended), (None, None, Span::from_seconds(25)));
    assert_eq!(job.resume_time, Some(Timestamp::from_seconds(35)));
}
