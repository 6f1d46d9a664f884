//! Which mails a job makes: a script of what happens to it in, the mails out.
//!
//! One node of 4 CPUs is up. `start` plays a scheduler that gives the job one CPU; `exit CODE` is the end of its batch unit.

use std::sync::Arc;

use muster_core::event::UnitEnd;
use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId, UnitKey};
use muster_model::array::{ArraySpec, TaskSet};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::{JobId, NodeIndex, StepId};
use muster_model::job::Job;
use muster_model::mail::{MailConfig, MailKind, MailSubject};
use muster_model::node::NodeReport;
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::request::{Cancel, Command, JobTarget};
use muster_model::resources::{Megabytes, ResourceRequest};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::time::{TimeLimit, Timestamp};
use muster_testkit::builders;

struct Stage {
    cluster: Cluster,
    seconds: i64,
    mails: Vec<String>,
}

impl Stage {
    /// A job with mails of these types is submitted; an array with `tasks`.
    fn new(types: &str, tasks: Option<&str>) -> Stage {
        let config = ClusterConfig {
            nodes: vec![builders::node_config("n1", 4)],
            partitions: vec![muster_model::partition::Partition { default: true, ..builders::partition("main", 0..1) }],
            mail: MailConfig { program: None, domain: Some("example.org".into()) },
            ..ClusterConfig::default()
        };
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, seconds: 1, mails: Vec::new() };
        let (report, hardware, units) = (NodeReport::default(), None, Vec::new());
        let connected = AgentReport::Connected { session: 1, hardware, report, launch_sequence_seen: 0, units };
        stage.step(Event::Agent(NodeIndex(0), connected));
        let mut spec = builders::spec(ResourceRequest::default());
        spec.rare.get_or_insert_default().mail_type = Some(types.into());
        spec.time_limit = TimeLimit::parse("10");
        spec.array =
            tasks.map(|tasks| ArraySpec { tasks: TaskSet::parse(tasks, 1000).expect("indices"), throttle: None });
        stage.ask(Command::Submit(Box::new(spec)));
        stage
    }

    fn step(&mut self, event: Event) {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        for effect in out.effects {
            if let Effect::Mail(mail) = effect {
                self.mails.push(text(mail.kind, &mail.subject, &mail.job));
            }
        }
    }

    fn ask(&mut self, command: Command) {
        let (identity, command) = (builders::identity(0), Box::new(command));
        self.step(Event::Command { request: RequestId(1), identity, command });
    }

    fn job(&self, id: u32) -> Arc<Job> {
        self.cluster.read_view().jobs[&JobId(id)].clone()
    }

    fn start(&mut self, id: u32, task_index: Option<u32>) {
        let job = self.job(id);
        let (cpu_set, memory, gres) = (None, Megabytes(0), Vec::new());
        let start = PlannedStart {
            suspends: Vec::new(),
            reservation: None,
            job_id: job.id,
            restart: job.restart,
            task_index,
            partition: "main".into(),
            time_limit: None,
            together: Vec::new(),
            shares: vec![PlannedShare { node: NodeIndex(0), cpus: 1, cpu_set, memory, gres, tasks: 1 }],
        };
        self.step(Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
    }

    /// The running job with the least number ends.
    fn exit(&mut self, code: u8) {
        let view = self.cluster.read_view();
        let job = view.jobs.values().find(|job| job.state == JobState::Running).expect("a running job");
        let end = UnitEnd {
            key: UnitKey { job_id: job.id, restart: job.restart, step: StepId::Batch },
            exit: ExitStatus::exited(code),
            usage: Usage::default(),
            measured: None,
            failure: None,
            job_is_clean: true,
            out_of_memory: false,
            over_memory: false,
            kill_failure: None,
        };
        self.step(Event::Agent(NodeIndex(0), AgentReport::UnitEnded(end)));
    }

    fn line(&mut self, line: &str) {
        let (verb, number) = line.split_once(' ').unwrap_or((line, "0"));
        let number: u32 = number.parse().expect("a number");
        match verb {
            "start" => self.start(1, (number > 0).then_some(number)),
            "exit" => self.exit(u8::try_from(number).expect("a code")),
            "wait" => {
                self.seconds += i64::from(number);
                self.step(Event::Tick);
            }
            "cancel" => {
                let (target, states) = (JobTarget::job(JobId(1)), Vec::new());
                self.ask(Command::Cancel(Cancel { target, signal: None, batch_only: false, full: false, states }));
            }
            "requeue" => {
                self.ask(Command::Requeue { target: JobTarget::job(JobId(1)), hold: false, special_exit: false });
            }
            _ => panic!("{line}"),
        }
    }
}

fn text(kind: MailKind, subject: &MailSubject, job: &Job) -> String {
    let whom = match subject {
        MailSubject::Job => String::new(),
        MailSubject::Array(None) => " all".to_owned(),
        MailSubject::Array(Some(ends)) => format!(" all {}-{}", ends.code_min, ends.code_max),
    };
    assert_eq!(job.spec.rare.as_ref().and_then(|rare| rare.mail_user.as_deref()), Some("user1000@example.org"));
    format!("{kind:?}{whom}")
}

fn check(types: &str, tasks: Option<&str>, script: &str, expected: &str) {
    let mut stage = Stage::new(types, tasks);
    script.split("; ").for_each(|line| stage.line(line));
    assert_eq!(stage.mails.join("; "), expected, "{types}: {script}");
}

#[test]
fn a_job_from_its_start_to_its_end() {
    let all = "INVALID_DEPEND,BEGIN,END,FAIL,REQUEUE,STAGE_OUT";
    check(all, None, "start; exit 0", "Began; Ended");
    check(all, None, "start; exit 3", "Began; Failed");
    check("END", None, "start; exit 3", "Ended");
    check("FAIL", None, "start; exit 0", "");
    check(all, None, "cancel", "Ended");
    check(all, None, "start; cancel", "Began; Ended");
    check(all, None, "start; requeue", "Began; Requeued");
    check("NONE", None, "start; exit 0", "");
}

#[test]
fn shares_of_the_time_limit() {
    let types = "FAIL,TIME_LIMIT_50,TIME_LIMIT_90,TIME_LIMIT";
    check(
        types,
        None,
        "start; wait 301; wait 1; wait 240; wait 60",
        "LimitReached(50); LimitReached(90); LimitReached(100); Failed",
    );
    // After a long silence only the greatest is news.
    check("TIME_LIMIT_50,TIME_LIMIT_80", None, "start; wait 500; wait 1", "LimitReached(80)");
}

#[test]
fn an_array_is_told_of_as_a_whole_unless_each_task_is_wanted() {
    let script = "start 1; start 2; exit 0; exit 2";
    check("BEGIN,END,FAIL", Some("1-2"), script, "Began all; Failed all 0-2");
    check("BEGIN,END,FAIL,ARRAY_TASKS", Some("1-2"), script, "Began; Began; Ended; Failed");
    check("BEGIN,END", Some("1-3"), "start 1; exit 0", "Began all");
    check("BEGIN,END", Some("1-3"), "start 1; exit 0; cancel", "Began all; Ended all 0-0");
}
