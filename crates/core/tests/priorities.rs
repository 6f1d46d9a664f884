//! Usage and priorities of a whole cluster: nothing is lost by a restart, and the ledgers explain the queue at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::{AgentReport, Cluster, Event, Outcome, RequestId};
use muster_model::accounting::{Account, Association, AssociationId, AssociationKey, Limits, Qos, Shares, User};
use muster_model::config::ClusterConfig;
use muster_model::document::{Document, DocumentKind};
use muster_model::fact::{Fact, StoredState};
use muster_model::ids::{JobId, Name, NodeIndex};
use muster_model::job::Job;
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::priority::{PriorityConfig, PriorityType, Usage, UsageOf, UsageRecord};
use muster_model::request::{Command, JobTarget};
use muster_model::resources::{Megabytes, ResourceRequest};
use muster_model::time::{Span, Timestamp};
use muster_testkit::builders;

/// A cluster with a store that can be restarted from at any time.
struct Stage {
    cluster: Cluster,
    jobs: BTreeMap<JobId, Arc<Job>>,
    documents: BTreeMap<(DocumentKind, Name), Document>,
    counters: BTreeMap<String, u64>,
    seconds: i64,
}

fn config() -> ClusterConfig {
    ClusterConfig {
        nodes: vec![builders::node_config("n1", 8)],
        partitions: vec![Partition { default: true, qos: Some("door".into()), ..builders::partition("main", 0..1) }],
        job_age_min: Span::from_seconds(1),
        priority: PriorityConfig {
            kind: PriorityType::Multifactor,
            calculation_period: Span::from_seconds(60),
            decay_half_life: Span::ZERO,
            weight_age: 100_000,
            weight_fair_share: 1000,
            weight_association: 1000,
            weight_job_size: 77,
            ..PriorityConfig::default()
        },
        ..ClusterConfig::default()
    }
}

fn documents() -> Vec<Document> {
    let association = |id: u32, account: &str, user: &str, parent: Option<u32>| {
        Document::Association(Arc::new(Association {
            id: AssociationId(id),
            key: AssociationKey { account: account.into(), user: user.into(), partition: "".into() },
            parent: parent.map(AssociationId),
            shares: Shares::Raw(1),
            priority: 0,
            qos_allowed: None,
            qos_default: None,
            limits: Limits::default(),
        }))
    };
    let user = |name: &str| User { name: name.into(), default_account: Some("lab".into()), admin_level: None };
    let account =
        Account { name: "lab".into(), description: "".into(), organization: "".into(), coordinators: Vec::new() };
    vec![
        Document::Account(Arc::new(account)),
        Document::Qos(Arc::new(Qos { name: "door".into(), usage_factor: 5.0, ..Qos::default() })),
        Document::User(Arc::new(user("user1001"))),
        Document::User(Arc::new(user("user1002"))),
        association(1, "root", "", None),
        association(2, "lab", "", Some(1)),
        association(3, "lab", "user1001", Some(2)),
        association(4, "lab", "user1002", Some(2)),
    ]
}

impl Stage {
    fn new() -> Stage {
        let documents: BTreeMap<_, _> = documents().into_iter().map(|row| (row.key(), row)).collect();
        let mut stage = Stage {
            cluster: Cluster::restore(config(), StoredState::default(), Timestamp(0), &mut Outcome::default()),
            jobs: BTreeMap::new(),
            documents,
            counters: BTreeMap::new(),
            seconds: 100_000,
        };
        stage.restart();
        stage
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.seconds)
    }

    /// As after `kill -9`: everything but what was stored is gone.
    fn restart(&mut self) {
        let stored = StoredState {
            jobs: self.jobs.values().cloned().collect(),
            documents: self.documents.values().cloned().collect(),
            counters: self.counters.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            ..StoredState::default()
        };
        let mut out = Outcome::default();
        self.cluster = Cluster::restore(config(), stored, self.now(), &mut out);
        self.keep(out);
        self.settle();
    }

    fn keep(&mut self, out: Outcome) {
        for fact in out.facts {
            match fact {
                Fact::Job(job) => drop(self.jobs.insert(job.id, job)),
                Fact::JobForgotten(id) => drop(self.jobs.remove(&id)),
                Fact::Document(row) => drop(self.documents.insert(row.key(), row)),
                Fact::Counter { name, value } => drop(self.counters.insert(name.to_owned(), value)),
                _ => {}
            }
        }
    }

    fn step(&mut self, at: Timestamp, event: Event) {
        let mut out = Outcome::default();
        self.cluster.step(at, event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        self.keep(out);
        self.ledgers_hold(at);
    }

    /// Whatever is asked at any time, the parts come to the number in the row.
    fn ledgers_hold(&self, at: Timestamp) {
        let view = self.cluster.read_view();
        for row in view.priority_report(at).rows {
            let job = &view.jobs[&row.ledger.job_id];
            assert_eq!(row.ledger.total, job.priority, "{:?}", row.ledger);
            assert_eq!(row.ledger.sum().max(1.0) as u32, job.priority);
        }
    }

    fn settle(&mut self) {
        while let Some(due) = self.cluster.next_timer().filter(|due| *due <= self.now()) {
            self.step(due, Event::Tick);
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.seconds += seconds;
        self.settle();
    }

    fn ask(&mut self, uid: u32, command: Command) {
        let event =
            Event::Command { request: RequestId(1), identity: builders::identity(uid), command: Box::new(command) };
        self.step(self.now(), event);
    }

    fn submit(&mut self, uid: u32, tasks: u32) -> JobId {
        let mut spec = builders::spec(ResourceRequest { tasks, ..ResourceRequest::default() });
        spec.identity = builders::identity(uid);
        self.ask(uid, Command::Submit(Box::new(spec)));
        *self.jobs.keys().last().expect("a job")
    }

    fn start(&mut self, job_id: JobId, cpus: u32) {
        let job = self.jobs[&job_id].clone();
        let share = PlannedShare {
            node: NodeIndex(0),
            cpus,
            cpu_set: None,
            memory: Megabytes(0),
            gres: Vec::new(),
            tasks: cpus,
        };
        let (restart, partition) = (job.restart, "main".into());
        let start = PlannedStart {
            suspends: Vec::new(),
            job_id,
            restart,
            task_index: None,
            partition,
            reservation: None,
            time_limit: None,
            shares: vec![share],
            together: Vec::new(),
        };
        let report = NodeReport::default();
        let connected = AgentReport::Connected {
            session: 1,
            hardware: None,
            report,
            launch_sequence_seen: 1 << 40,
            units: Vec::new(),
        };
        self.step(self.now(), Event::Agent(NodeIndex(0), connected));
        self.step(self.now(), Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
        assert!(self.jobs[&job_id].start_time.is_some(), "job {job_id} started");
    }

    fn used(&self, association: u32) -> f64 {
        let view = self.cluster.read_view();
        view.usage.association(AssociationId(association), self.now(), &config().priority).raw
    }
}

/// Seconds of use that a script of starts, requeues and suspensions comes to, with and without restarts.
fn use_of(restarts: bool) -> (f64, f64) {
    let mut stage = Stage::new();
    let again = |stage: &mut Stage| {
        if restarts {
            stage.restart();
        }
    };
    let first = stage.submit(1001, 2);
    stage.start(first, 2);
    stage.wait(90);
    again(&mut stage);
    stage.ask(0, Command::Suspend(JobTarget::job(first)));
    stage.wait(130);
    again(&mut stage);
    stage.ask(0, Command::Resume(JobTarget::job(first)));
    stage.wait(25);
    again(&mut stage);
    stage.ask(0, Command::Requeue { target: JobTarget::job(first), hold: true, special_exit: false });
    again(&mut stage);
    stage.wait(500);
    again(&mut stage);
    stage.wait(200);
    (stage.used(3), stage.used(1))
}

#[test]
fn no_use_is_lost_or_counted_twice() {
    // 115 seconds of two CPUs.
    assert_eq!(use_of(false), (230.0, 230.0));
    assert_eq!(use_of(true), (230.0, 230.0));
}

#[test]
fn who_used_more_waits_longer_and_a_reset_forgives() {
    let mut stage = Stage::new();
    let running = stage.submit(1001, 8);
    stage.start(running, 8);
    let (greedy, modest) = (stage.submit(1001, 1), stage.submit(1002, 1));
    stage.wait(300);
    let priority = |stage: &Stage, job: JobId| stage.cluster.read_view().jobs[&job].priority;
    assert!(priority(&stage, modest) > priority(&stage, greedy));
    assert!(stage.used(3) > 1800.0);
    stage.ask(0, Command::ResetUsage(UsageOf::Association(AssociationId(3))));
    stage.wait(1);
    assert!(stage.used(3) < 1000.0, "only what ran since counts");
    assert!(stage.used(1) < 1000.0, "accounts above it lose it too");
}

#[test]
fn the_priority_of_an_account_is_that_of_all_below_it_that_have_none() {
    let mut stage = Stage::new();
    for row in stage.documents.values_mut() {
        if let Document::Association(association) = row {
            let priority = match association.id.0 {
                2 => 50,
                4 => 100,
                _ => continue,
            };
            *association = Arc::new(Association { priority, ..(**association).clone() });
        }
    }
    stage.restart();
    let jobs = [stage.submit(1001, 1), stage.submit(1002, 1)];
    let report = stage.cluster.read_view().priority_report(stage.now());
    let factors =
        jobs.map(|job| report.rows.iter().find(|row| row.ledger.job_id == job).unwrap().ledger.association.factor);
    assert_eq!(factors, [0.5, 1.0]);
}

#[test]
fn the_qos_of_a_partition_is_charged_for_all_that_runs_there() {
    let mut stage = Stage::new();
    let (first, second) = (stage.submit(1001, 2), stage.submit(1002, 3));
    stage.start(first, 2);
    stage.wait(100);
    stage.start(second, 3);
    stage.wait(200);
    let view = stage.cluster.read_view();
    let used = view.usage.qos(&"door".into(), stage.now(), false, &config().priority);
    // Up to the last calculation. Its own factor matters only to jobs that name it.
    let seconds = view.usage.accounted_until.since(view.jobs[&first].start_time.expect("it runs")).0 as f64 / 1000.0;
    let later = view.usage.accounted_until.since(view.jobs[&second].start_time.expect("it runs")).0 as f64 / 1000.0;
    assert!(later > 100.0);
    let about = |is: f64, should: f64| assert!((is - should).abs() < 1e-6, "{is} is not {should}");
    about(used.raw, 2.0 * seconds + 3.0 * later);
    about(used.wall_seconds, seconds + later);
}

#[test]
fn an_ended_job_stays_until_its_use_is_counted() {
    let mut stage = Stage::new();
    let job = stage.submit(1001, 1);
    stage.wait(61);
    stage.start(job, 1);
    stage.wait(10);
    stage.ask(0, Command::Requeue { target: JobTarget::job(job), hold: true, special_exit: false });
    stage.wait(120);
    assert_eq!(stage.used(2), 10.0);
}

/// `sshare` of Slurm goes on forgetting while nobody waits or runs.
#[test]
fn usage_is_shown_decayed_while_nothing_is_calculated() {
    let mut config = config();
    config.priority.decay_half_life = Span::from_seconds(600);
    let at = |seconds: i64| Timestamp::from_seconds(seconds);
    let usage = Arc::new(Usage { raw: 1000.0, as_of: at(1000), ..Usage::default() });
    let until = UsageRecord::Cluster { accounted_until: at(1000), reset_at: None, interrupted: Vec::new() };
    let of = UsageRecord::Of { of: UsageOf::Association(AssociationId(3)), usage };
    let usage = [until, of].map(|record| Document::Usage(Arc::new(record)));
    let documents = documents().into_iter().chain(usage).collect();
    let stored = StoredState { documents, ..StoredState::default() };
    let cluster = Cluster::restore(config, stored, at(1000), &mut Outcome::default());
    let shown = |seconds: i64| {
        let report = cluster.read_view().share_report(at(seconds));
        report.rows.iter().find(|row| row.id == AssociationId(3)).map(|row| row.found.usage_raw.round())
    };
    assert_eq!(shown(1001), Some(1000.0));
    assert_eq!(shown(1600), Some(500.0));
    assert_eq!(shown(1659), Some(500.0), "as of the last period");
    assert_eq!(shown(2200), Some(250.0));
}
