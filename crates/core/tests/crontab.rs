//! Jobs that come again: what a table makes, and how its jobs go round.
//!
//! Time begins on 1970-01-01 at midnight, UTC; node `n1` has 4 CPUs and is up.

use muster_core::event::UnitEnd;
use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId, UnitKey};
use muster_model::config::ClusterConfig;
use muster_model::cron::{CronEntry, Field, Numbers, Schedule};
use muster_model::document::{Document, DocumentKind};
use muster_model::fact::{Fact, StoredState};
use muster_model::ids::{JobId, NodeIndex, StepId};
use muster_model::job::JobKind;
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::request::{Answer, Cancel, Command, CronJob, JobChanges, JobTarget, Refusal};
use muster_model::resources::{Megabytes, ResourceRequest};
use muster_model::state::{ExitStatus, Usage};
use muster_model::time::Timestamp;
use muster_testkit::builders;

const USER: u32 = 1001;

struct Stage {
    cluster: Cluster,
    seconds: i64,
}

impl Stage {
    fn new(cron: bool) -> Stage {
        let config = ClusterConfig {
            nodes: vec![builders::node_config("n1", 4)],
            partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
            cron,
            ..ClusterConfig::default()
        };
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, seconds: 1 };
        let (session, report) = (1, NodeReport::default());
        let connected =
            AgentReport::Connected { session, hardware: None, report, launch_sequence_seen: 0, units: Vec::new() };
        stage.step(Event::Agent(NodeIndex(0), connected));
        stage
    }

    fn step(&mut self, event: Event) -> Outcome {
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        out
    }

    fn until(&mut self, seconds: i64) {
        self.seconds = seconds;
        self.step(Event::Tick);
    }

    fn ask(&mut self, uid: u32, command: Command) -> (Result<Answer, Refusal>, Outcome) {
        let identity = builders::identity(uid);
        let mut out = self.step(Event::Command { request: RequestId(1), identity, command: Box::new(command) });
        let reply = out.effects.iter_mut().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result.clone()),
            _ => None,
        });
        (reply.expect("a reply"), out)
    }

    /// Installs a table of jobs that come at this minute of each hour; the numbers of the jobs, or the refusal.
    fn install(&mut self, uid: u32, text: &str, minutes: &[u32]) -> String {
        let jobs = (0_u32..).zip(minutes).map(|(at, minute)| job(at, *minute)).collect();
        self.update(uid, Some(text), jobs)
    }

    fn update(&mut self, uid: u32, text: Option<&str>, jobs: Vec<CronJob>) -> String {
        match self.ask(uid, Command::UpdateCrontab { uid: USER, text: text.map(str::to_owned), jobs }).0 {
            Ok(Answer::CrontabInstalled(ids)) => ids.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" "),
            Ok(other) => format!("{other:?}"),
            Err(refusal) => format!("{refusal}: {}", refusal.detail),
        }
    }

    fn start(&mut self, id: u32) {
        let view = self.cluster.read_view();
        let row = view.jobs.get(&JobId(id)).expect("a job");
        let (node, memory) = (NodeIndex(0), Megabytes(0));
        let share = PlannedShare { node, cpus: 1, cpu_set: None, memory, gres: Vec::new(), tasks: 1 };
        let start = PlannedStart {
            job_id: row.id,
            restart: row.restart,
            task_index: None,
            partition: "main".into(),
            reservation: None,
            time_limit: None,
            shares: vec![share],
            suspends: Vec::new(),
            together: Vec::new(),
        };
        self.step(Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
    }

    /// The script of a job ends; the rows that are written.
    fn end(&mut self, id: u32, code: u8) -> Vec<String> {
        let restart = self.cluster.read_view().jobs[&JobId(id)].restart;
        let key = UnitKey { job_id: JobId(id), restart, step: StepId::Batch };
        let exit = ExitStatus { code, signal: 0 };
        let end = UnitEnd {
            key,
            exit,
            usage: Usage::default(),
            measured: None,
            failure: None,
            job_is_clean: true,
            out_of_memory: false,
            over_memory: false,
            kill_failure: None,
        };
        let out = self.step(Event::Agent(NodeIndex(0), AgentReport::UnitEnded(end)));
        let row = |fact: &Fact| match fact {
            Fact::Job(job) => Some(format!("{}.{} {} {}", job.id, job.restart.0, job.state, job.exit.code)),
            _ => None,
        };
        let mut rows: Vec<String> = out.facts.iter().filter_map(row).collect();
        rows.dedup();
        rows
    }

    /// State, reason, which start, and when it comes.
    fn show(&self, id: u32) -> String {
        let view = self.cluster.read_view();
        let job = view.jobs.get(&JobId(id)).expect("a job");
        let begin = job.begin_time.map_or(-1, |begin| begin.seconds());
        format!("{} {} {} {begin}", job.state, job.reason, job.restart.0)
    }

    fn disabled(&self) -> Vec<(u32, u32)> {
        self.cluster.read_view().crontabs.get(&USER).map(|table| table.disabled.clone()).unwrap_or_default()
    }
}

/// At `minute` of each hour; of lines `2 * at` and the next.
fn job(at: u32, minute: u32) -> CronJob {
    let mut numbers = Numbers::default();
    numbers.insert(minute);
    let (any, minute) = (Field::Any, Field::Of(numbers));
    let schedule = Schedule { minute, hour: any, day: any, month: any, weekday: any };
    let mut spec = builders::spec(ResourceRequest::default());
    spec.identity = builders::identity(USER);
    spec.kind = JobKind::Batch;
    spec.cron = Some(Box::new(CronEntry { schedule, line_first: 2 * at, line_last: 2 * at + 1 }));
    CronJob { spec, script: String::new(), context: String::new() }
}

fn target(id: u32) -> JobTarget {
    JobTarget::job(JobId(id))
}

fn cancel(id: u32) -> Command {
    let states = Vec::new();
    Command::Cancel(Cancel { target: target(id), signal: None, batch_only: false, full: false, states })
}

#[test]
fn a_job_waits_for_its_next_time_after_each_run() {
    let mut stage = Stage::new(true);
    assert_eq!(stage.install(USER, "a\nb\nc\nd\n", &[30, 10]), "1 2");
    assert_eq!(stage.show(1), "PENDING BeginTime 0 1800");
    assert_eq!(stage.show(2), "PENDING BeginTime 0 600");
    stage.until(1800);
    assert_eq!(stage.show(1), "PENDING None 0 1800");
    stage.start(1);
    stage.seconds = 1900;
    // The run stays in the history with its end, and the job waits.
    assert_eq!(stage.end(1, 3), ["1.0 FAILED 3", "1.1 PENDING 0"]);
    assert_eq!(stage.show(1), "PENDING BeginTime 1 5400");
    // A time that passes while it runs is left out.
    stage.until(5400);
    stage.start(1);
    stage.seconds = 9100;
    assert_eq!(stage.end(1, 0), ["1.1 COMPLETED 0", "1.2 PENDING 0"]);
    assert_eq!(stage.show(1), "PENDING BeginTime 2 12600");
}

#[test]
fn what_is_cancelled_does_not_come_again() {
    let mut stage = Stage::new(true);
    stage.install(USER, "a\nb\nc\nd\n", &[30, 10]);
    stage.until(1800);
    stage.start(1);
    assert_eq!(stage.ask(USER, cancel(1)).0, Ok(Answer::Done));
    assert!(stage.show(1).starts_with("CANCELLED"), "{}", stage.show(1));
    let (reply, out) = stage.ask(USER, cancel(2));
    assert_eq!(reply, Ok(Answer::Done));
    assert_eq!(stage.disabled(), [(0, 1), (2, 3)]);
    assert!(out.facts.iter().any(|fact| matches!(fact, Fact::Document(Document::Crontab(_)))), "{:?}", out.facts);
    // It was cancelled before: its lines are out of force once.
    drop(stage.ask(USER, cancel(2)));
    assert_eq!(stage.disabled().len(), 2);
}

#[test]
fn a_new_table_takes_the_place_of_the_old_one() {
    let mut stage = Stage::new(true);
    stage.install(USER, "a\nb\nc\nd\n", &[30, 10]);
    stage.until(1800);
    stage.start(1);
    assert_eq!(stage.install(0, "other\n", &[45]), "3", "root may do it for others");
    assert!(stage.show(1).starts_with("RUNNING"), "it runs to its end");
    assert!(stage.show(2).starts_with("CANCELLED"));
    assert_eq!(stage.end(1, 0).last().map(String::as_str), Some("1.0 COMPLETED 0"));
    assert!(stage.show(1).starts_with("COMPLETED"), "and does not come again");
    let (reply, out) = stage.ask(USER, Command::UpdateCrontab { uid: USER, text: None, jobs: Vec::new() });
    assert_eq!(reply, Ok(Answer::CrontabInstalled(Vec::new())));
    assert!(stage.show(3).starts_with("CANCELLED"));
    let gone = |fact: &Fact| matches!(fact, Fact::DocumentGone { kind: DocumentKind::Crontab, .. });
    assert!(out.facts.iter().any(gone), "{:?}", out.facts);
    assert!(stage.cluster.read_view().crontabs.is_empty());
}

#[test]
fn a_table_is_taken_as_a_whole_or_not_at_all() {
    let mut stage = Stage::new(true);
    stage.install(USER, "a\nb\n", &[30]);
    let mut bad = job(3, 5);
    bad.spec.partitions = vec!["nowhere".into()];
    let said = stage.update(USER, Some("x\n"), vec![job(0, 1), bad]);
    assert_eq!(said, "Invalid partition name specified: 6-7 no partition nowhere");
    assert_eq!(stage.cluster.read_view().jobs.len(), 1);
    assert_eq!(stage.cluster.read_view().crontabs[&USER].text, "a\nb\n");
    assert_eq!(stage.install(1002, "x\n", &[1]), "Access/permission denied: ");
    let said = stage.ask(USER, Command::Submit(Box::new(job(0, 1).spec))).0.map_err(|refusal| refusal.to_string());
    assert_eq!(said, Err("Requested operation not supported on this system".to_owned()));
    let said = Stage::new(false).install(USER, "a\n", &[1]);
    assert_eq!(said, "Requested operation is presently disabled: ");
}

#[test]
fn it_is_changed_by_its_table_only() {
    let mut stage = Stage::new(true);
    stage.install(USER, "a\nb\n", &[30]);
    let changes = Box::new(JobChanges { comment: Some("x".into()), ..JobChanges::default() });
    for command in [
        Command::Hold { target: target(1), as_user: false },
        Command::Release(target(1)),
        Command::UpdateJob { target: target(1), changes },
    ] {
        let said = stage.ask(0, command).0.map_err(|refusal| refusal.to_string());
        assert_eq!(said, Err("Cannot modify scrontab jobs through scontrol".to_owned()));
    }
}
