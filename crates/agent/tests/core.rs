//! The promises of the state machine under lost, doubled, late and reordered messages, and restarts at any time.

use std::collections::{BTreeMap, BTreeSet};

use muster_agent::core::{Action, Event, Machine, Reach, Scope};
use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::UnitKey;
use proptest::prelude::*;

type TestEvent = Event<u32, i32>;
type TestAction = Action<u32, i32>;

fn key(job: u32, restart: u32, step: StepId) -> UnitKey {
    UnitKey { job_id: JobId(job), restart: RestartCount(restart), step }
}

/// Reads `+7 5.0.batch` (launch 7), `+7! 5.0.batch` (a launch that ends the job), `-5.0`, `-5.0.3` (clean), `ack
/// 5.0.batch`, `started …`, `ended … CODE`, `signal 5.0 steps`, `pause 5.0`, `resume 5.0`, `say 5.0`, `connected`, `supervisor
/// RUNNING,… / ENDED,…  / LOST,…`.
fn event(line: &str) -> TestEvent {
    let unit = |text: &str| text.parse::<UnitKey>().unwrap();
    let start = |text: &str| {
        let (job, restart) = text.split_once('.').unwrap();
        (JobId(job.parse().unwrap()), RestartCount(restart.parse().unwrap()))
    };
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "connected" => Event::Connected,
        "ack" => Event::Acknowledge(unit(rest)),
        "started" => Event::Started(unit(rest)),
        "ended" => {
            let (name, code) = rest.split_once(' ').unwrap();
            Event::Ended(unit(name), code.parse().unwrap())
        }
        "clean" if rest.matches('.').count() == 2 => {
            let UnitKey { job_id, restart, step } = unit(rest);
            Event::Clean { job_id, restart, step: Some(step), kill_wait_ms: 3, message: None, epilog: None }
        }
        "clean" => {
            let (job, epilog) = match rest.strip_suffix(" epilog") {
                Some(job) => (job, Some(9)),
                None => (rest, None),
            };
            let (job_id, restart) = start(job);
            Event::Clean { job_id, restart, step: None, kill_wait_ms: 3, message: Some("bye".into()), epilog }
        }
        "signal" => {
            let (name, scope) = rest.split_once(' ').unwrap();
            let scope = match scope {
                "steps" => Scope::Steps,
                "batch" => Scope::Batch,
                _ => Scope::All,
            };
            let (job_id, restart) = start(name);
            Event::Signal { job_id, restart, step: None, signal: 10, scope }
        }
        "pause" | "resume" => {
            let (job_id, restart) = start(rest);
            Event::Pause { job_id, restart, resume: verb == "resume" }
        }
        "say" => {
            let (job_id, restart) = start(rest);
            Event::Say { job_id, restart, line: "hello".into() }
        }
        "supervisor" => {
            let lists: Vec<Vec<UnitKey>> =
                rest.split('/').map(|list| list.split_whitespace().map(unit).collect()).collect();
            let ends = lists[1].iter().map(|key| (*key, 0)).collect();
            Event::Supervisor { running: lists[0].clone(), ends, lost: lists[2].clone() }
        }
        launch => {
            let number = launch.strip_prefix('+').unwrap();
            let has_prolog = number.ends_with('p');
            let number = number.trim_end_matches('p');
            let ends_job = number.ends_with('!');
            let sequence = number.trim_end_matches('!').parse().unwrap();
            Event::Launch { sequence, key: unit(rest), ends_job, stands: false, has_prolog, launch: 0 }
        }
    }
}

fn text(action: &TestAction) -> String {
    match action {
        Action::Start(key, _) => format!("start {key}"),
        Action::Signal { key, signal, reach: Reach::All } => format!("signal {key} {signal}"),
        Action::Signal { key, signal, reach: Reach::Tasks } => format!("signal {key} {signal} tasks"),
        Action::Terminate { key, .. } => format!("terminate {key}"),
        Action::Pause { key, resume } => format!("{} {key}", if *resume { "resume" } else { "pause" }),
        Action::Say { key, line } => format!("say {key} {line}"),
        Action::Forget(key) => format!("forget {key}"),
        Action::Unknown(key) => format!("unknown {key}"),
        Action::Reconnect => "reconnect".to_owned(),
        Action::ReportEnd { key, end, job_is_clean } => {
            format!("end {key} {end}{}", if *job_is_clean { " clean" } else { "" })
        }
        Action::ReportClean { job_id, restart, epilog } => {
            let epilog = epilog.map(|end| format!(" epilog {end}")).unwrap_or_default();
            format!("cleaned {job_id}.{}{epilog}", restart.0)
        }
    }
}

/// Each line is `event => action; action`.
fn check(script: &str) {
    let mut machine = Machine::new(0);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event_text, expected) = line.split_once("=>").unwrap();
        let mut actions = Vec::new();
        machine.step(event(event_text.trim()), &mut actions);
        let actions: Vec<String> = actions.iter().map(text).collect();
        assert_eq!(actions.join("; "), expected.trim(), "after {event_text:?}");
    }
}

#[test]
fn a_batch_job_runs_and_is_reported() {
    check(
        "+1! 5.0.batch      => start 5.0.batch
         started 5.0.batch  =>
         ended 5.0.batch 7  => end 5.0.batch 7 clean
         connected          => end 5.0.batch 7 clean
         ack 5.0.batch      => forget 5.0.batch
         ack 5.0.batch      =>
         connected          =>",
    );
}

#[test]
fn what_is_said_to_a_job_goes_to_its_main_unit_while_it_runs() {
    check(
        "say 5.0            =>
         +1! 5.0.batch      => start 5.0.batch
         +2 5.0.0           => start 5.0.0
         say 5.0            => say 5.0.batch hello
         say 5.1            =>
         ended 5.0.batch 7  => end 5.0.batch 7
         say 5.0            =>",
    );
}

#[test]
fn copies_and_late_copies_start_nothing() {
    check(
        "+1 5.0.batch       => start 5.0.batch
         +1 5.0.batch       =>
         +2 5.0.batch       =>
         ended 5.0.batch 0  => end 5.0.batch 0
         +1 5.0.batch       =>
         ack 5.0.batch      => forget 5.0.batch
         +2 5.0.batch       =>
         +1 6.0.batch       =>
         +3 5.1.batch       => start 5.1.batch",
    );
}

#[test]
fn a_job_is_clean_when_its_last_unit_has_ended() {
    check(
        "+1! 5.0.batch      => start 5.0.batch
         +2 5.0.0           => start 5.0.0
         +3 5.1.0           => start 5.1.0
         clean 5.0          => terminate 5.0.0; terminate 5.0.batch
         clean 5.0          => terminate 5.0.0; terminate 5.0.batch
         +4 5.0.1           =>
         ended 5.0.batch 15 => end 5.0.batch 15
         ended 5.0.0 15     => end 5.0.0 15 clean; cleaned 5.0
         clean 5.0          => cleaned 5.0
         clean 9.3          => cleaned 9.3
         +9 9.3.batch       =>",
    );
}

#[test]
fn only_what_cannot_be_followed_by_a_step_makes_a_job_clean() {
    check(
        "+1! 5.0.batch      => start 5.0.batch
         +2 5.0.0           => start 5.0.0
         ended 5.0.0 0      => end 5.0.0 0
         ended 5.0.batch 0  => end 5.0.batch 0 clean
         +3 5.0.1           =>
         +4 6.0.0           => start 6.0.0
         ended 6.0.0 0      => end 6.0.0 0
         +5 6.0.1           => start 6.0.1",
    );
}

#[test]
fn steps_are_ended_one_by_one() {
    check(
        "+1 5.0.0           => start 5.0.0
         +2 5.0.1           => start 5.0.1
         clean 5.0.0        => terminate 5.0.0
         ended 5.0.0 15     => end 5.0.0 15
         clean 5.0.0        => end 5.0.0 15
         clean 5.0.7        => unknown 5.0.7
         ended 5.0.7 -1     => end 5.0.7 -1
         +3 5.0.7           =>
         ack 5.0.7          => forget 5.0.7
         +4 5.0.7           =>",
    );
}

#[test]
fn signals_reach_what_they_are_for() {
    check(
        "+1 5.0.batch       => start 5.0.batch
         +2 5.0.0           => start 5.0.0
         +3 5.0.1           => start 5.0.1
         ended 5.0.1 0      => end 5.0.1 0
         signal 5.0 steps   => signal 5.0.0 10
         signal 5.0 batch   => signal 5.0.batch 10 tasks
         signal 5.0 all     => signal 5.0.0 10; signal 5.0.batch 10
         signal 5.1 all     =>
         pause 5.0          => pause 5.0.0; pause 5.0.batch
         resume 5.0         => resume 5.0.0; resume 5.0.batch",
    );
}

#[test]
fn what_is_to_stand_is_stopped_when_it_comes_to_be() {
    check(
        "+1 5.0.batch       => start 5.0.batch
         pause 5.0          => pause 5.0.batch
         started 5.0.batch  => pause 5.0.batch
         +2 6.0.batch       => start 6.0.batch
         pause 6.0          => pause 6.0.batch
         resume 6.0         => resume 6.0.batch
         started 6.0.batch  =>",
    );
}

#[test]
fn a_supervisor_that_comes_back_is_believed() {
    check(
        "supervisor 1.0.batch / 2.0.batch / 3.0.batch => end 2.0.batch 0
         +1 4.0.batch       => start 4.0.batch
         +2 5.0.batch       => start 5.0.batch
         started 5.0.batch  =>
         ended 9.0.0 -1     => end 9.0.0 -1
         supervisor 1.0.batch / 2.0.batch / => start 4.0.batch; reconnect
         connected          => end 2.0.batch 0; end 9.0.0 -1
         clean 1.0          => terminate 1.0.batch
         supervisor / / 1.0.batch 4.0.batch => reconnect; cleaned 1.0
         clean 5.0          => cleaned 5.0",
    );
}

/// What can happen, with choices as numbers that are taken modulo what there is.
#[derive(Debug, Clone)]
enum Op {
    Launch { job: u32, step: u32 },
    Clean { job: u32 },
    CleanStep { job: u32, step: u32 },
    Requeue { job: u32 },
    Deliver(usize),
    Double(usize),
    Lose(usize),
    UnitEnds(usize),
    Acknowledge(usize),
    LinkBreaks,
    SupervisorLinkBreaks,
    AgentRestarts,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..3u32, 0..3u32).prop_map(|(job, step)| Op::Launch { job, step }),
        1 => (0..3u32).prop_map(|job| Op::Clean { job }),
        1 => (0..3u32, 0..3u32).prop_map(|(job, step)| Op::CleanStep { job, step }),
        1 => (0..3u32).prop_map(|job| Op::Requeue { job }),
        8 => any::<usize>().prop_map(Op::Deliver),
        1 => any::<usize>().prop_map(Op::Double),
        1 => any::<usize>().prop_map(Op::Lose),
        4 => any::<usize>().prop_map(Op::UnitEnds),
        2 => any::<usize>().prop_map(Op::Acknowledge),
        1 => Just(Op::LinkBreaks),
        1 => Just(Op::SupervisorLinkBreaks),
        1 => Just(Op::AgentRestarts),
    ];
    prop::collection::vec(op, 1..120)
}

/// The site of the job with this number has neither prolog nor epilog; that of the next has a prolog.
const WITHOUT_HOOKS: u32 = 0;

/// The site of the job with this number has both.
const WITH_EPILOG: u32 = 2;

/// A controller, a network that loses order, an agent that may die, and a supervisor that trusts the agent.
struct World {
    machine: Machine<u32, i32>,
    /// What survives the agent.
    watermark: u64,
    /// The greatest number of a launch that the supervisor has taken in.
    launched: Option<u64>,
    next_sequence: u64,
    restarts: BTreeMap<u32, u32>,
    network: Vec<TestEvent>,
    running: BTreeSet<UnitKey>,
    ended: BTreeMap<UnitKey, i32>,
    ever_started: BTreeSet<UnitKey>,
    /// Ends that the controller was told on this connection.
    told: BTreeSet<UnitKey>,
    /// Ends that the controller was told at any time. It launches those units no more.
    ever_told: BTreeSet<UnitKey>,
    /// Starts of jobs that the controller was told are clean.
    clean: BTreeSet<(JobId, RestartCount)>,
    /// Starts of jobs that the controller wanted clean. It launches nothing more of them, but what it sent before may
    /// still be on its way.
    over: BTreeSet<(JobId, RestartCount)>,
}

impl World {
    fn new() -> World {
        World {
            machine: Machine::new(0),
            watermark: 0,
            launched: None,
            next_sequence: 1,
            restarts: BTreeMap::new(),
            network: Vec::new(),
            running: BTreeSet::new(),
            ended: BTreeMap::new(),
            ever_started: BTreeSet::new(),
            told: BTreeSet::new(),
            ever_told: BTreeSet::new(),
            clean: BTreeSet::new(),
            over: BTreeSet::new(),
        }
    }

    fn start_of(&self, job: u32) -> (JobId, RestartCount) {
        (JobId(job), RestartCount(self.restarts.get(&job).copied().unwrap_or(0)))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Launch { job, step } => {
                let (job_id, restart) = self.start_of(job);
                if self.over.contains(&(job_id, restart)) || self.clean.contains(&(job_id, restart)) {
                    return;
                }
                let step = if step == 0 { StepId::Batch } else { StepId::Number(step) };
                let (sequence, ends_job) = (self.next_sequence, step == StepId::Batch && job != WITH_EPILOG);
                let key = UnitKey { job_id, restart, step };
                if self.ever_told.contains(&key) {
                    return;
                }
                self.next_sequence += 1;
                self.network.push(Event::Launch {
                    sequence,
                    key,
                    ends_job,
                    stands: false,
                    has_prolog: job != WITHOUT_HOOKS,
                    launch: u32::try_from(sequence).expect("a small number"),
                });
            }
            Op::Clean { job } => {
                let (job_id, restart) = self.start_of(job);
                self.over.insert((job_id, restart));
                if self.clean.contains(&(job_id, restart)) {
                    return;
                }
                let epilog = (job == WITH_EPILOG).then_some(0);
                let clean = Event::Clean { job_id, restart, step: None, kill_wait_ms: 0, message: None, epilog };
                self.network.push(clean);
            }
            Op::CleanStep { job, step } => {
                let (job_id, restart) = self.start_of(job);
                let step = Some(StepId::Number(step));
                self.network.push(Event::Clean { job_id, restart, step, kill_wait_ms: 0, message: None, epilog: None });
            }
            Op::Requeue { job } => *self.restarts.entry(job).or_default() += 1,
            Op::Deliver(at) => {
                if let Some(at) = pick(at, self.network.len()) {
                    let event = self.network.remove(at);
                    self.give(event);
                }
            }
            Op::Double(at) => {
                if let Some(at) = pick(at, self.network.len()) {
                    self.network.push(self.network[at].clone());
                }
            }
            Op::Lose(at) => {
                if let Some(at) = pick(at, self.network.len()) {
                    self.network.remove(at);
                }
            }
            Op::UnitEnds(at) => {
                let ending = pick(at, self.running.len()).and_then(|at| self.running.iter().nth(at).copied());
                if let Some(key) = ending {
                    self.unit_ends(key, 7);
                }
            }
            Op::Acknowledge(at) => {
                let known = pick(at, self.told.len()).and_then(|at| self.told.iter().nth(at).copied());
                self.network.extend(known.map(Event::Acknowledge));
            }
            Op::LinkBreaks => self.reconnect(),
            Op::SupervisorLinkBreaks => self.supervisor_returns(),
            Op::AgentRestarts => {
                self.machine = Machine::new(self.watermark);
                self.launched.into_iter().for_each(|launched| self.machine.none_launched_after(launched));
                self.supervisor_returns();
                self.reconnect();
            }
        }
        self.check_ends();
    }

    /// Messages of the old connection are gone; the hello names what is known.
    fn reconnect(&mut self) {
        self.network.clear();
        self.told.clear();
        let known: BTreeSet<UnitKey> = self.machine.known().collect();
        for key in self.running.iter().chain(self.ended.keys()) {
            assert!(known.contains(key), "the hello does not name {key}");
        }
        self.give(Event::Connected);
        for key in self.ended.keys().filter(|key| !key.step.is_hook()) {
            assert!(self.told.contains(key), "the end of {key} is not told again");
        }
    }

    fn supervisor_returns(&mut self) {
        let ends = self.ended.iter().map(|(key, end)| (*key, *end)).collect();
        self.give(Event::Supervisor { running: self.running.iter().copied().collect(), ends, lost: Vec::new() });
    }

    fn unit_ends(&mut self, key: UnitKey, end: i32) {
        self.running.remove(&key);
        self.ended.insert(key, end);
        self.give(Event::Ended(key, end));
    }

    fn give(&mut self, event: TestEvent) {
        let mut actions = Vec::new();
        self.machine.step(event, &mut actions);
        // Durable before anything is carried out.
        self.watermark = self.watermark.max(self.machine.launch_sequence());
        actions.into_iter().for_each(|action| self.carry_out(action));
    }

    fn carry_out(&mut self, action: TestAction) {
        match action {
            Action::Start(key, sequence) => {
                self.launched = self.launched.max((!key.step.is_hook()).then_some(sequence.into()));
                assert!(self.ever_started.insert(key), "{key} is started twice");
                assert!(!self.clean.contains(&(key.job_id, key.restart)), "{key} is started in a clean job");
                self.running.insert(key);
                self.give(Event::Started(key));
            }
            Action::Terminate { key, .. } => {
                if self.running.contains(&key) {
                    self.unit_ends(key, 15);
                }
            }
            Action::Unknown(key) => {
                assert!(!self.running.contains(&key) && !self.ended.contains_key(&key));
                self.give(Event::Ended(key, -1));
            }
            Action::Forget(key) => {
                self.ended.remove(&key);
            }
            Action::ReportEnd { key, job_is_clean, .. } => {
                assert!(!self.running.contains(&key), "{key} runs and is told ended");
                self.told.insert(key);
                self.ever_told.insert(key);
                if job_is_clean {
                    self.is_clean(key.job_id, key.restart);
                }
            }
            Action::ReportClean { job_id, restart, epilog } => {
                let is_first = !self.clean.contains(&(job_id, restart));
                assert!(!is_first || epilog.is_some() == (job_id.0 == WITH_EPILOG), "{job_id} and its epilog");
                if epilog.is_some() {
                    self.told.insert(UnitKey { job_id, restart, step: StepId::Epilog });
                }
                self.is_clean(job_id, restart);
            }
            Action::Signal { .. } | Action::Pause { .. } => {}
            // What is said changes nothing.
            Action::Say { .. } => {}
            Action::Reconnect => panic!("nothing is ever lost here"),
        }
    }

    fn is_clean(&mut self, job_id: JobId, restart: RestartCount) {
        let left = self.running.iter().find(|key| (key.job_id, key.restart) == (job_id, restart));
        assert_eq!(left, None, "told clean");
        self.clean.insert((job_id, restart));
    }

    /// Every end was told on this connection.
    fn check_ends(&self) {
        for key in self.ended.keys().filter(|key| !key.step.is_hook()) {
            assert!(self.told.contains(key), "the end of {key} was never told");
        }
    }
}

fn pick(choice: usize, count: usize) -> Option<usize> {
    (count > 0).then(|| choice % count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(ops in ops()) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.apply(op));
    }
}

#[test]
fn steps_of_all_kinds_belong_to_their_job() {
    let mut machine: Machine<u32, i32> = Machine::new(0);
    let mut actions = Vec::new();
    let steps = [StepId::Number(0), StepId::Number(u32::MAX), StepId::Batch, StepId::Interactive, StepId::Extern];
    for (step, sequence) in steps.into_iter().zip(1..) {
        let key = key(5, 0, step);
        machine.step(
            Event::Launch { sequence, key, ends_job: false, stands: false, has_prolog: false, launch: 0 },
            &mut actions,
        );
    }
    actions.clear();
    machine.step(event("clean 5.0"), &mut actions);
    assert_eq!(actions.len(), steps.len());
}

#[test]
fn prologs_go_before_and_epilogs_after() {
    check(
        "+1p 5.0.batch          => start 5.0.prolog; start 5.0.batch
         started 5.0.prolog     =>
         ended 5.0.prolog 0     =>
         +2p 5.0.0              => start 5.0.0
         connected              =>
         ended 5.0.0 0          => end 5.0.0 0
         ended 5.0.batch 7      => end 5.0.batch 7
         ack 5.0.batch          => forget 5.0.batch
         clean 5.0 epilog       => start 5.0.epilog
         clean 5.0 epilog       =>
         started 5.0.epilog     =>
         ended 5.0.epilog 3     => cleaned 5.0 epilog 3
         clean 5.0 epilog       => cleaned 5.0 epilog 3
         ack 5.0.epilog         => forget 5.0.epilog; forget 5.0.prolog
         clean 5.0 epilog       => cleaned 5.0
         +3p 5.0.1              =>",
    );
}

#[test]
fn an_epilog_waits_for_all_that_runs() {
    check(
        "+1p 5.0.batch          => start 5.0.prolog; start 5.0.batch
         clean 5.0 epilog       => terminate 5.0.batch
         ended 5.0.batch 15     => end 5.0.batch 15
         ended 5.0.prolog 0     => start 5.0.epilog
         supervisor 5.0.epilog / 5.0.prolog / =>
         ended 5.0.epilog 0     => cleaned 5.0 epilog 0
         clean 6.0 epilog       => start 6.0.epilog
         clean 7.0              => cleaned 7.0",
    );
}

#[test]
fn a_prolog_without_epilog_holds_the_word_back_until_it_has_ended() {
    check(
        "+1!p 5.0.batch         => start 5.0.prolog; start 5.0.batch
         ended 5.0.prolog 0     =>
         ended 5.0.batch 0      => forget 5.0.prolog; end 5.0.batch 0 clean
         +2!p 6.0.batch         => start 6.0.prolog; start 6.0.batch
         ended 6.0.batch 15     => end 6.0.batch 15
         clean 6.0              =>
         ended 6.0.prolog 0     => forget 6.0.prolog; cleaned 6.0",
    );
}

#[test]
fn an_agent_that_comes_back_finds_hooks_where_they_were() {
    check(
        "supervisor 5.0.epilog 6.0.batch / 5.0.prolog 6.0.prolog / =>
         clean 5.0 epilog       =>
         ended 5.0.epilog 0     => cleaned 5.0 epilog 0
         +1p 6.0.3              => start 6.0.3
         supervisor / 5.0.epilog 5.0.prolog / 6.0.batch 6.0.3 => reconnect
         clean 6.0 epilog       => start 6.0.epilog",
    );
}

#[test]
fn what_an_agent_died_with_in_its_hands_may_be_sent_again() {
    let mut machine: Machine<u32, i32> = Machine::new(8);
    machine.none_launched_after(7);
    machine.none_launched_after(9);
    assert_eq!(machine.launch_sequence(), 7);
}
