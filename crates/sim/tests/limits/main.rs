//! Accounts, QOS and their limits, with the real scheduler over the real core: reasons that jobs wait for, and what must
//! hold over random sequences of submits, starts, ends and changes of limits.

mod billing;
mod room;

use std::collections::BTreeMap;

use muster_core::event::UnitEnd;
use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId, UnitKey};
use muster_model::accounting::{
    Account, AccountingChange, AccountingEnforce, AssociationChanges, CountLimit, LimitChanges, ListChange, QosChanges,
    QosFlag, TresLimit,
};
use muster_model::array::{ArraySpec, TaskSet};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::{Identity, JobId, Name, NodeIndex, StepId};
use muster_model::job::{Job, JobKind};
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::planning::{Plan, PlanView};
use muster_model::priority::{PriorityConfig, PriorityFlag, PriorityType};
use muster_model::request::{Answer, Command, JobChanges, JobTarget, PartitionChanges};
use muster_model::resources::ResourceRequest;
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_sched::{Budget, Planner};
use muster_testkit::load::Numbers;
use muster_testkit::{builders, cases};

struct Stage {
    cluster: Cluster,
    planner: Planner,
    seconds: i64,
}

fn identity(user: &str) -> Identity {
    let uid = if user == "root" { 0 } else { 1000 + user.bytes().map(u32::from).sum::<u32>() };
    Identity { uid, gid: uid, user: user.into(), group: user.into() }
}

fn config(partition: Partition) -> ClusterConfig {
    let mut nodes = Vec::new();
    for number in 1..=4 {
        nodes.push(builders::node_config(&format!("n{number}"), 8));
    }
    ClusterConfig {
        nodes,
        partitions: vec![Partition { default: true, ..partition }],
        accounting: true,
        accounting_enforce: AccountingEnforce { associations: true, limits: true, qos: true, safe: false },
        ..ClusterConfig::default()
    }
}

impl Stage {
    fn new(config: ClusterConfig) -> Stage {
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, planner: Planner::new(), seconds: 1 };
        for node in (0..4).map(NodeIndex) {
            let report = NodeReport::default();
            let connected = AgentReport::Connected {
                hardware: None,
                report,
                launch_sequence_seen: 0,
                units: Vec::new(),
                session: 1,
            };
            stage.step(Event::Agent(node, connected));
        }
        stage.change(accounts(&["physics", "chemistry"]));
        for (account, users) in [("physics", &["alice", "bob"][..]), ("chemistry", &["bob", "carol"][..])] {
            stage.change(AccountingChange::CreateUsers {
                names: users.iter().map(|name| Name::from(*name)).collect(),
                accounts: vec![account.into()],
                partitions: Vec::new(),
                default_account: None,
                admin_level: None,
                association: AssociationChanges::default(),
            });
        }
        stage.change(AccountingChange::CreateQos { names: vec!["high".into()], changes: Box::default() });
        let both = ListChange::Set(vec!["normal".into(), "high".into()]);
        stage.modify("root", AssociationChanges { qos_allowed: Some(both), ..AssociationChanges::default() });
        stage
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        out
    }

    fn ask(&mut self, user: &str, command: Command) -> Result<Answer, String> {
        let event = Event::Command { request: RequestId(1), identity: identity(user), command: Box::new(command) };
        let out = self.step(event);
        let reply = out.effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result),
            _ => None,
        });
        reply.expect("a reply").map_err(|refusal| format!("{refusal}: {}", refusal.detail))
    }

    fn change(&mut self, change: AccountingChange) {
        self.ask("root", Command::ChangeAccounting(Box::new(change))).expect("a change that is allowed");
    }

    fn modify(&mut self, account: &str, changes: AssociationChanges) {
        let id = self.cluster.read_view().accounting.account_association(account).expect("an account").id;
        self.change(AccountingChange::ModifyAssociations { ids: vec![id], changes });
    }

    fn limit(&mut self, account: &str, limits: LimitChanges) {
        self.modify(account, AssociationChanges { limits, ..AssociationChanges::default() });
    }

    fn limit_qos(&mut self, name: &str, limits: LimitChanges) {
        let changes = Box::new(QosChanges { limits, ..QosChanges::default() });
        self.change(AccountingChange::ModifyQos { names: vec![name.into()], changes });
    }

    /// Submits a job of so many CPUs for so many minutes.
    fn submit(&mut self, user: &str, words: Submit<'_>) -> Result<JobId, String> {
        self.submit_to(user, words, "main")
    }

    fn submit_to(&mut self, user: &str, words: Submit<'_>, partition: &str) -> Result<JobId, String> {
        let mut spec =
            builders::spec(ResourceRequest { tasks: words.cpus, tasks_given: true, ..ResourceRequest::default() });
        spec.kind = JobKind::Batch;
        spec.partitions = vec![partition.into()];
        spec.identity = identity(user);
        spec.account = words.account.map(Name::from);
        spec.qos = words.qos.map(Name::from);
        spec.time_limit = Some(TimeLimit::from_minutes(words.minutes));
        spec.array = words
            .array
            .map(|tasks| ArraySpec { tasks: TaskSet::parse(tasks, 100).expect("a set of tasks"), throttle: None });
        match self.ask(user, Command::Submit(Box::new(spec)))? {
            Answer::Submitted(id) => Ok(id),
            other => panic!("an odd answer: {other:?}"),
        }
    }

    /// One pass of the scheduler over everything.
    fn plan(&mut self) {
        self.pass(Planner::plan);
    }

    /// One pass over everything that may have jobs make room.
    fn plan_with_evictions(&mut self) {
        let view = self.cluster.plan_view(Timestamp::from_seconds(self.seconds + 1));
        let plan = self.planner.plan(&view, &Budget::default());
        self.step(Event::Plan(plan));
    }

    /// One pass. All that it starts must be started: it knows the same limits as the core.
    fn pass(&mut self, pass: fn(&mut Planner, &PlanView, &Budget) -> Plan) {
        let view = self.cluster.plan_view(Timestamp::from_seconds(self.seconds + 1));
        let plan = pass(&mut self.planner, &view, &Budget::default());
        let before = self.running().len();
        let count = plan.starts.len();
        self.step(Event::Plan(plan));
        assert_eq!(self.running().len(), before + count, "a planned start was refused");
    }

    fn running(&self) -> Vec<Job> {
        let view = self.cluster.read_view();
        let runs = view.jobs.values().filter(|job| job.state == JobState::Running);
        runs.map(|job| (**job).clone()).collect()
    }

    fn end(&mut self, job: &Job) {
        let key = UnitKey { job_id: job.id, restart: job.restart, step: StepId::Batch };
        let node = job.allocation.as_ref().expect("it runs").shares[0].node;
        let ended = UnitEnd {
            key,
            exit: ExitStatus::SUCCESS,
            usage: Usage::default(),
            measured: None,
            failure: None,
            job_is_clean: true,
            out_of_memory: false,
            over_memory: false,
            kill_failure: None,
        };
        self.step(Event::Agent(node, AgentReport::UnitEnded(ended)));
        let others: Vec<NodeIndex> = job.allocation.iter().flat_map(|a| &a.shares).map(|share| share.node).collect();
        for node in others {
            let cleaned = AgentReport::JobCleaned { job_id: job.id, restart: job.restart, epilog: None };
            self.step(Event::Agent(node, cleaned));
        }
    }

    /// State and reason of each job, in a line.
    fn shown(&self) -> String {
        let view = self.cluster.read_view();
        let told = view.jobs.values().map(|job| view.outlook.told(job));
        let lines = told.map(|job| format!("{} {} {}", job.id, job.state.compact(), job.reason));
        lines.collect::<Vec<_>>().join("; ")
    }
}

#[derive(Clone, Copy)]
struct Submit<'a> {
    cpus: u32,
    minutes: i64,
    account: Option<&'a str>,
    qos: Option<&'a str>,
    array: Option<&'a str>,
}

const ONE: Submit<'static> = Submit { cpus: 1, minutes: 10, account: None, qos: None, array: None };

fn accounts(names: &[&str]) -> AccountingChange {
    let account = |name: &&str| Account {
        name: Name::from(*name),
        description: "".into(),
        organization: "".into(),
        coordinators: Vec::new(),
    };
    AccountingChange::CreateAccounts {
        accounts: names.iter().map(account).collect(),
        parent: "root".into(),
        association: AssociationChanges::default(),
    }
}

fn counts(limit: CountLimit, value: Option<u64>) -> LimitChanges {
    LimitChanges { counts: BTreeMap::from([(limit, value)]), ..LimitChanges::default() }
}

fn tres(limit: TresLimit, name: &str, value: Option<u64>) -> LimitChanges {
    LimitChanges { tres: BTreeMap::from([(limit, BTreeMap::from([(name.into(), value)]))]), ..LimitChanges::default() }
}

fn stage() -> Stage {
    Stage::new(config(builders::partition("main", 0..4)))
}

#[test]
fn jobs_are_charged_to_the_defaults_of_their_user() {
    let mut stage = stage();
    let job = stage.submit("bob", ONE).expect("bob is in physics");
    let view = stage.cluster.read_view();
    let job = view.jobs.get(&job).expect("just submitted");
    assert_eq!((job.account_name(), job.qos_name()), (Some("physics"), Some("normal")));
    assert!(job.association.is_some());
    let unknown = "Invalid account or account/partition combination specified";
    assert!(stage.submit("mallory", ONE).is_err_and(|text| text.starts_with(unknown)));
    assert!(
        stage
            .submit("alice", Submit { account: Some("chemistry"), ..ONE })
            .is_err_and(|text| text.starts_with(unknown))
    );
    let qos = "Invalid qos specification";
    assert!(stage.submit("alice", Submit { qos: Some("nope"), ..ONE }).is_err_and(|text| text.starts_with(qos)));
}

/// One submit after another under one limit, and what is shown after a pass.
fn check(limit: impl FnOnce(&mut Stage), submits: &[(&str, Submit<'_>)], expected: &str) -> Stage {
    let mut stage = stage();
    limit(&mut stage);
    for (user, words) in submits {
        stage.submit(user, *words).expect("accepted");
    }
    stage.plan();
    assert_eq!(stage.shown(), expected);
    stage
}

#[test]
fn a_limited_job_waits_with_its_reason_and_lets_others_pass() {
    let two = Submit { cpus: 2, ..ONE };
    let high = Submit { qos: Some("high"), ..two };
    let grp = |stage: &mut Stage| stage.limit("physics", tres(TresLimit::GrpTres, "cpu", Some(3)));
    check(
        grp,
        &[("alice", two), ("alice", two), ("alice", ONE), ("carol", two)],
        "1 R None; 2 PD AssocGrpCpuLimit; 3 R None; 4 R None",
    );
    let jobs = |stage: &mut Stage| stage.limit("root", counts(CountLimit::MaxJobs, Some(1)));
    check(jobs, &[("alice", ONE), ("alice", ONE), ("bob", ONE)], "1 R None; 2 PD AssocMaxJobsLimit; 3 R None");
    let user = |stage: &mut Stage| stage.limit_qos("high", tres(TresLimit::MaxTresPerUser, "cpu", Some(2)));
    check(
        user,
        &[("alice", high), ("alice", high), ("bob", high), ("alice", two)],
        "1 R None; 2 PD QOSMaxCpuPerUserLimit; 3 R None; 4 R None",
    );
    let account = |stage: &mut Stage| stage.limit_qos("high", tres(TresLimit::MaxTresPerAccount, "cpu", Some(2)));
    check(account, &[("alice", high), ("bob", high)], "1 R None; 2 PD MaxCpuPerAccount");
    let wall = |stage: &mut Stage| stage.limit("physics", counts(CountLimit::MaxWall, Some(5)));
    check(wall, &[("alice", ONE)], "1 PD AssocMaxWallDurationPerJobLimit");
    let minutes = |stage: &mut Stage| stage.limit_qos("high", tres(TresLimit::MaxTresMinsPerJob, "cpu", Some(19)));
    check(minutes, &[("alice", high)], "1 PD QOSMaxCpuMinutesPerJobLimit");
    let least = |stage: &mut Stage| stage.limit_qos("high", tres(TresLimit::MinTresPerJob, "cpu", Some(3)));
    check(least, &[("alice", high)], "1 PD QOSMinCpuNotSatisfied");
    let run = |stage: &mut Stage| stage.limit("physics", tres(TresLimit::GrpTresRunMins, "cpu", Some(35)));
    check(run, &[("alice", two), ("alice", two)], "1 R None; 2 PD AssocGrpCPURunMinutesLimit");
}

#[test]
fn a_pass_over_changes_sees_that_a_limit_has_room_again() {
    let mut stage = stage();
    stage.limit("physics", counts(CountLimit::GrpJobs, Some(1)));
    stage.submit("alice", Submit { cpus: 1, ..ONE }).expect("accepted");
    stage.submit("alice", Submit { cpus: 2, ..ONE }).expect("accepted");
    stage.plan();
    assert_eq!(stage.shown(), "1 R None; 2 PD AssocGrpJobsLimit");
    let first = stage.running().remove(0);
    stage.end(&first);
    stage.pass(Planner::plan_changes);
    assert_eq!(stage.shown(), "1 CD None; 2 R None");
}

#[test]
fn the_first_that_sets_a_limit_decides() {
    let two = Submit { cpus: 2, qos: Some("high"), ..ONE };
    let both = |stage: &mut Stage| {
        stage.limit("physics", tres(TresLimit::GrpTres, "cpu", Some(1)));
        stage.limit_qos("high", tres(TresLimit::GrpTres, "cpu", Some(4)));
    };
    check(both, &[("alice", two), ("bob", two), ("carol", two)], "1 R None; 2 R None; 3 PD QOSGrpCpuLimit");
    // The QOS of the partition goes before that of the job, unless that one says otherwise.
    let partition = Partition { qos: Some("normal".into()), ..builders::partition("main", 0..4) };
    let mut stage = Stage::new(config(partition));
    stage.limit_qos("normal", counts(CountLimit::MaxJobsPerUser, Some(1)));
    stage.limit_qos("high", counts(CountLimit::MaxJobsPerUser, Some(2)));
    for _ in 0..3 {
        stage.submit("alice", Submit { qos: Some("high"), ..ONE }).expect("accepted");
    }
    stage.plan();
    assert_eq!(stage.shown(), "1 R None; 2 PD QOSMaxJobsPerUserLimit; 3 PD QOSMaxJobsPerUserLimit");
    let over = QosChanges { flags: Some(ListChange::Add(vec![QosFlag::OverPartQOS])), ..QosChanges::default() };
    stage.change(AccountingChange::ModifyQos { names: vec!["high".into()], changes: Box::new(over) });
    stage.plan();
    assert_eq!(stage.shown(), "1 R None; 2 R None; 3 PD QOSMaxJobsPerUserLimit");
}

#[test]
fn the_qos_of_a_partition_counts_all_that_runs_there() {
    // Another partition has the same QOS as a door; a third has none.
    let other = Partition { qos: Some("high".into()), ..builders::partition("other", 0..4) };
    let mut config = config(Partition { qos: Some("high".into()), ..builders::partition("main", 0..4) });
    config.partitions.extend([other, builders::partition("free", 0..4)]);
    let mut stage = Stage::new(config);
    stage.limit_qos("high", tres(TresLimit::GrpTres, "cpu", Some(4)));
    // More generous, but never asked: the QOS of the partition sets the same limit.
    stage.limit_qos("normal", tres(TresLimit::GrpTres, "cpu", Some(100)));
    stage.limit("physics", tres(TresLimit::GrpTres, "cpu", Some(1)));
    let two = Submit { cpus: 2, ..ONE };
    stage.submit("alice", two).expect("accepted");
    stage.submit_to("carol", two, "other").expect("accepted");
    stage.submit("bob", two).expect("accepted");
    stage.submit_to("carol", Submit { qos: Some("high"), ..two }, "free").expect("accepted");
    stage.plan();
    // The fourth is under the QOS itself, in a partition without one: it counts for it too.
    assert_eq!(stage.shown(), "1 R None; 2 R None; 3 PD QOSGrpCpuLimit; 4 PD QOSGrpCpuLimit");
    let first = stage.running().remove(0);
    stage.end(&first);
    stage.plan();
    assert_eq!(stage.shown(), "1 CD None; 2 R None; 3 R None; 4 PD QOSGrpCpuLimit");
    // An operator takes the QOS off the partition: what runs there counts no more, and its accounts limit it again.
    let none = PartitionChanges { qos: Some(None), ..PartitionChanges::default() };
    let change =
        |name: &str| Command::ChangePartition { name: name.into(), changes: Box::new(none.clone()), create: false };
    stage.ask("root", change("other")).expect("an operator may");
    stage.plan();
    assert_eq!(stage.shown(), "1 CD None; 2 R None; 3 R None; 4 R None");
    let unknown = PartitionChanges { qos: Some(Some("nope".into())), ..PartitionChanges::default() };
    let change = Command::ChangePartition { name: "main".into(), changes: Box::new(unknown), create: false };
    assert!(stage.ask("root", change).is_err_and(|text| text.starts_with("Invalid qos specification")));
}

/// A stage where priorities are made of age, and one job fills all nodes.
fn crowded(change: impl FnOnce(&mut ClusterConfig)) -> Stage {
    let mut config = config(builders::partition("main", 0..4));
    config.priority = PriorityConfig {
        kind: PriorityType::Multifactor,
        calculation_period: Span::from_seconds(60),
        weight_age: 1000,
        age_max: Span::from_seconds(1000),
        ..PriorityConfig::default()
    };
    change(&mut config);
    let mut stage = Stage::new(config);
    stage.submit("carol", Submit { cpus: 32, ..ONE }).expect("accepted");
    stage.plan();
    stage
}

/// Lets so many seconds pass, with all that is due.
fn wait(stage: &mut Stage, seconds: i64) {
    for _ in 0..seconds / 10 {
        stage.seconds += 9;
        stage.step(Event::Tick);
    }
}

/// The waiting jobs that have gained priority by age.
fn ageing(stage: &Stage) -> String {
    let view = stage.cluster.read_view();
    let aged = view.jobs.values().filter(|job| job.state == JobState::Pending && job.priority > 1);
    let name = |job: &std::sync::Arc<Job>| match job.task_index() {
        Some(index) => format!("{}_{index}", job.array_job_id().expect("a task")),
        None => job.id.to_string(),
    };
    aged.map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_so_many_jobs_gain_priority_by_age() {
    let mut stage = crowded(|_| {});
    stage.limit_qos("normal", counts(CountLimit::MaxJobsAccruePerUser, Some(2)));
    // The QOS decides, though the account is stricter.
    stage.limit("root", counts(CountLimit::GrpJobsAccrue, Some(1)));
    for user in ["alice", "alice", "alice", "bob"] {
        stage.submit(user, ONE).expect("accepted");
    }
    // Under another QOS the account decides, for which all that age count.
    stage.submit("bob", Submit { qos: Some("high"), ..ONE }).expect("accepted");
    wait(&mut stage, 130);
    assert_eq!(ageing(&stage), "2 3 5");
    // One that is held ages no more, and makes room.
    let hold = |hold: bool| match hold {
        true => Command::Hold { target: JobTarget::job(JobId(2)), as_user: false },
        false => Command::Release(JobTarget::job(JobId(2))),
    };
    stage.ask("root", hold(true)).expect("held");
    wait(&mut stage, 130);
    assert_eq!(ageing(&stage), "3 4 5");
    stage.ask("root", hold(false)).expect("released");
    wait(&mut stage, 130);
    assert_eq!(ageing(&stage), "3 4 5", "its place is taken");
    // Without the limit those that waited age from being eligible.
    stage.limit_qos("normal", counts(CountLimit::MaxJobsAccruePerUser, None));
    stage.limit("root", counts(CountLimit::GrpJobsAccrue, None));
    wait(&mut stage, 130);
    assert_eq!(ageing(&stage), "2 3 4 5 6");
}

#[test]
fn of_an_array_so_many_tasks_age() {
    let mut stage = crowded(|_| {});
    stage.limit("root", counts(CountLimit::MaxJobsAccrue, Some(2)));
    stage.submit("alice", Submit { array: Some("0-4"), ..ONE }).expect("accepted");
    stage.submit("bob", ONE).expect("accepted");
    wait(&mut stage, 190);
    assert_eq!(ageing(&stage), "3 2_0 2_1");
}

#[test]
fn accrue_always_ignores_limits_on_ageing_jobs() {
    let mut stage = crowded(|config| config.priority.flags.push(PriorityFlag::AccrueAlways));
    stage.limit("root", counts(CountLimit::GrpJobsAccrue, Some(1)));
    stage.submit("alice", ONE).expect("accepted");
    stage.submit("alice", ONE).expect("accepted");
    wait(&mut stage, 130);
    assert_eq!(ageing(&stage), "2 3");
}

#[test]
fn who_used_too_much_waits_for_a_qos_with_a_threshold() {
    let mut stage = crowded(|_| {});
    let threshold = QosChanges {
        usage_threshold: Some(Some(0.7)),
        flags: Some(ListChange::Add(vec![QosFlag::EnforceUsageThreshold])),
        ..QosChanges::default()
    };
    stage.change(AccountingChange::ModifyQos { names: vec!["high".into()], changes: Box::new(threshold) });
    wait(&mut stage, 130);
    let first = stage.running().remove(0);
    stage.end(&first);
    wait(&mut stage, 70);
    for (user, qos) in [("carol", "high"), ("carol", "normal"), ("alice", "high")] {
        stage.submit(user, Submit { qos: Some(qos), ..ONE }).expect("accepted");
    }
    stage.plan();
    assert_eq!(stage.shown(), "1 CD None; 2 PD QOSUsageThreshold; 3 R None; 4 R None");
    let without = QosChanges { usage_threshold: Some(None), ..QosChanges::default() };
    stage.change(AccountingChange::ModifyQos { names: vec!["high".into()], changes: Box::new(without) });
    stage.plan();
    assert_eq!(stage.shown(), "1 CD None; 2 R None; 3 R None; 4 R None");
}

#[test]
fn qos_that_preempt_each_other_are_refused() {
    let mut stage = stage();
    let preempts = |stage: &mut Stage, name: &str, others: &[&str]| {
        let list = ListChange::Set(others.iter().map(|name| Name::from(*name)).collect());
        let changes = Box::new(QosChanges { preempts: Some(list), ..QosChanges::default() });
        let change = AccountingChange::ModifyQos { names: vec![name.into()], changes };
        stage.ask("root", Command::ChangeAccounting(Box::new(change))).map(|_| ())
    };
    stage.change(AccountingChange::CreateQos { names: vec!["low".into()], changes: Box::default() });
    assert_eq!(preempts(&mut stage, "high", &["normal"]), Ok(()));
    assert_eq!(preempts(&mut stage, "normal", &["low"]), Ok(()));
    for (name, other) in [("low", "high"), ("low", "normal"), ("normal", "normal")] {
        let refusal = preempts(&mut stage, name, &[other]).expect_err("a loop");
        assert!(refusal.starts_with("QOS Preemption loop detected"), "{refusal}");
    }
    assert_eq!(preempts(&mut stage, "high", &["normal", "low"]), Ok(()));
}

#[test]
fn submit_limits_refuse_and_count_every_task() {
    let mut stage = stage();
    stage.limit("physics", counts(CountLimit::GrpSubmitJobs, Some(4)));
    stage.submit("alice", Submit { array: Some("0-2"), ..ONE }).expect("three");
    let refusal = stage.submit("bob", Submit { array: Some("0-1"), ..ONE }).expect_err("five");
    assert_eq!(
        refusal,
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits): AssocGrpSubmitJobsLimit: \
         account physics allows 4 waiting or running jobs, 3 in use, 2 asked"
    );
    stage.submit("bob", ONE).expect("four");
    stage.plan();
    let first = stage.running().remove(0);
    stage.end(&first);
    stage.submit("bob", ONE).expect("one has ended");
    // What can never start is refused at once only where the QOS says so.
    stage.limit_qos("high", tres(TresLimit::MaxTresPerJob, "cpu", Some(2)));
    stage.submit("carol", Submit { qos: Some("high"), cpus: 3, ..ONE }).expect("it waits");
    let deny = QosChanges { flags: Some(ListChange::Add(vec![QosFlag::DenyOnLimit])), ..QosChanges::default() };
    stage.change(AccountingChange::ModifyQos { names: vec!["high".into()], changes: Box::new(deny) });
    assert!(stage.submit("carol", Submit { qos: Some("high"), cpus: 3, ..ONE }).is_err());
}

#[test]
fn who_loses_an_association_waits_and_who_runs_keeps_it() {
    let mut stage = stage();
    let job = stage.submit("alice", Submit { cpus: 2, ..ONE }).expect("accepted");
    stage.plan();
    stage.submit("alice", ONE).expect("accepted");
    let gone = AccountingChange::DeleteUsers { names: vec!["alice".into()] };
    let refused = stage.ask("root", Command::ChangeAccounting(Box::new(gone.clone())));
    assert!(refused.is_err_and(|text| text.contains("job 1 runs under it")));
    let running = (**stage.cluster.read_view().jobs.get(&job).expect("it runs")).clone();
    stage.end(&running);
    stage.change(gone);
    stage.plan();
    assert_eq!(stage.shown(), "1 CD None; 2 PD InvalidAccount");
    let moved = JobChanges { account: Some("chemistry".into()), ..JobChanges::default() };
    let moved = Command::UpdateJob { target: JobTarget::job(JobId(2)), changes: Box::new(moved) };
    assert!(stage.ask("root", moved).is_err());
}

#[test]
fn only_those_in_charge_change_accounting() {
    let mut stage = stage();
    let change = |name: &str| Command::ChangeAccounting(Box::new(accounts(&[name])));
    assert!(stage.ask("alice", change("mine")).is_err());
    let users = vec![Name::from("alice")];
    stage.change(AccountingChange::AddCoordinators { users, accounts: vec!["physics".into()] });
    assert!(stage.ask("alice", change("mine")).is_err(), "root is not below physics");
    let below = AccountingChange::CreateUsers {
        names: vec!["dave".into()],
        accounts: vec!["physics".into()],
        partitions: Vec::new(),
        default_account: None,
        admin_level: None,
        association: AssociationChanges::default(),
    };
    stage.ask("alice", Command::ChangeAccounting(Box::new(below))).expect("a coordinator may");
    stage.submit("dave", ONE).expect("dave is in physics");
}

#[test]
fn a_restart_finds_everything_as_it_was() {
    let mut stage = stage();
    stage.limit("physics", tres(TresLimit::GrpTres, "cpu", Some(3)));
    stage.submit("alice", Submit { cpus: 2, ..ONE }).expect("accepted");
    stage.plan();
    let view = stage.cluster.read_view();
    let stored = StoredState {
        jobs: view.jobs.values().cloned().collect(),
        documents: view.accounting.documents().collect(),
        ..StoredState::default()
    };
    let config = (*view.config).clone();
    let later = Timestamp::from_seconds(stage.seconds + 10);
    let restored = Cluster::restore(config, stored, later, &mut Outcome::default()).read_view();
    assert_eq!(restored.tallies, view.tallies);
    assert_eq!(restored.accounting.documents().collect::<Vec<_>>(), view.accounting.documents().collect::<Vec<_>>());
}

/// What jobs that run hold, counted in the plainest way.
#[derive(Default, PartialEq, PartialOrd, Clone)]
struct Use {
    jobs: u64,
    cpus: u64,
}

fn used(stage: &Stage, wanted: impl Fn(&Job) -> bool) -> Use {
    let mut sum = Use::default();
    for job in stage.running().iter().filter(|job| wanted(job)) {
        sum.jobs += 1;
        sum.cpus += u64::from(job.allocation.as_ref().expect("it runs").cpus());
    }
    sum
}

/// The limits of the random runs, and what counts against each.
fn within(stage: &Stage, limits: &Random, before: &[Use]) -> Vec<Use> {
    let all = [
        (limits.account_cpus, used(stage, |job| job.account_name() == Some("physics"))),
        (limits.user_cpus, used(stage, |job| job.qos_name() == Some("high") && *job.spec.identity.user == *"bob")),
        (limits.qos_jobs, used(stage, |job| job.qos_name() == Some("high"))),
    ];
    for (position, (limit, now)) in all.iter().enumerate() {
        let (now_used, then) = match position {
            2 => (now.jobs, before.get(position).map_or(0, |before| before.jobs)),
            _ => (now.cpus, before.get(position).map_or(0, |before| before.cpus)),
        };
        // A limit that was lowered below what runs lets nothing more start.
        assert!(
            now_used <= *limit || now_used <= then,
            "limit {position}: {limit} allowed, {now_used} used, {then} before"
        );
    }
    all.into_iter().map(|(_, now)| now).collect()
}

struct Random {
    account_cpus: u64,
    user_cpus: u64,
    qos_jobs: u64,
}

fn set_limits(stage: &mut Stage, numbers: &mut Numbers) -> Random {
    let mut pick = |bound: u32| u64::from(1 + numbers.below(bound));
    let limits = Random { account_cpus: pick(12), user_cpus: pick(6), qos_jobs: pick(5) };
    stage.limit("physics", tres(TresLimit::GrpTres, "cpu", Some(limits.account_cpus)));
    stage.limit_qos("high", tres(TresLimit::MaxTresPerUser, "cpu", Some(limits.user_cpus)));
    stage.limit_qos("high", counts(CountLimit::GrpJobs, Some(limits.qos_jobs)));
    limits
}

#[test]
fn limits_hold_at_all_times() {
    for seed in 0..u64::from(cases(25)) {
        let mut numbers = Numbers::new(seed);
        let mut stage = stage();
        let mut limits = set_limits(&mut stage, &mut numbers);
        let mut before = within(&stage, &limits, &[]);
        for _ in 0..60 {
            match numbers.below(10) {
                0..5 => {
                    let user = ["alice", "bob", "carol"][numbers.below(3) as usize];
                    let qos = [None, Some("high")][numbers.below(2) as usize];
                    let array = [None, None, Some("0-3")][numbers.below(3) as usize];
                    let cpus = 1 + numbers.below(4);
                    drop(stage.submit(user, Submit { cpus, qos, array, minutes: 30, account: None }));
                }
                5..8 => {
                    let running = stage.running();
                    if !running.is_empty() {
                        let job = &running[numbers.below(running.len() as u32) as usize];
                        stage.end(job);
                    }
                }
                8 => {
                    limits = set_limits(&mut stage, &mut numbers);
                    before = within(&stage, &limits, &before);
                }
                _ => {}
            }
            before = within(&stage, &limits, &before);
            stage.pass(if numbers.below(3) == 0 { Planner::plan } else { Planner::plan_changes });
            before = within(&stage, &limits, &before);
        }
    }
}
