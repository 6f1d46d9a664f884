//! A cluster as `slurm-up` builds it: nodes n1 to n4 of 16 CPUs and 2 GPUs, partitions `debug`, `batch` and `small`.

use std::sync::Arc;

use jiff::tz::TimeZone;
use muster_core::{AgentReport, Cluster, Effect, Event, NodeCommand, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::{Identity, JobId, NodeIndex};
use muster_model::job::{Job, JobKind, JobSpec};
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::request::{Answer, Command, Query, Refusal, Reply};
use muster_model::resources::{Gres, Megabytes};
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_sched::{Budget, Planner};
use muster_slurm::output::scontrol::{Action, parse, split_line, start};
use muster_slurm::output::sinfo::Sinfo;
use muster_slurm::output::{Answers, Context, Environment};
use muster_testkit::builders;

pub struct Stage {
    pub cluster: Cluster,
    planner: Planner,
    pub now: Timestamp,
    config: ClusterConfig,
}

/// Users and groups that exist.
fn number(name: &str) -> Option<u32> {
    match name {
        "root" => Some(0),
        "daemon" => Some(1),
        "bin" => Some(2),
        _ => None,
    }
}

pub fn identity(name: &str) -> Identity {
    let uid = number(name).unwrap_or(1000);
    Identity { uid, gid: uid, user: name.into(), group: name.into() }
}

/// A time of day on 2026-11-28.
pub fn at(text: &str) -> Timestamp {
    let parts: Vec<i64> = text.split(':').map(|part| part.parse().expect("a time of day")).collect();
    Timestamp::from_seconds(1_795_824_000 + parts[0] * 3600 + parts[1] * 60 + parts[2])
}

impl Stage {
    pub fn new(time: &str, change: impl FnOnce(&mut ClusterConfig)) -> Stage {
        let node = |name: &str| {
            let mut node = builders::node_config(name, 16);
            node.hardware.gres = vec![Gres { name: "gpu".into(), kind: None, count: 2 }];
            node.hardware.memory = Megabytes(64_000);
            node
        };
        let part = |name: &str, last: u32, limit: Option<i64>| Partition {
            time_max: limit.map_or(TimeLimit::Unlimited, TimeLimit::from_minutes),
            ..builders::partition(name, 0..last)
        };
        let mut config = ClusterConfig {
            nodes: ["n1", "n2", "n3", "n4"].map(node).to_vec(),
            partitions: vec![
                Partition { default: true, ..part("debug", 4, Some(60)) },
                part("batch", 4, None),
                part("small", 1, Some(480)),
            ],
            memory_is_consumed: false,
            shown: vec![("Licenses".to_owned(), "matlab:10,ansys:5".to_owned())],
            ..ClusterConfig::default()
        };
        change(&mut config);
        let now = at(time);
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config.clone(), StoredState::default(), now, &mut out);
        let mut stage = Stage { cluster, planner: Planner::new(), now, config };
        (0..4).for_each(|node| stage.connect(NodeIndex(node)));
        stage
    }

    fn connect(&mut self, node: NodeIndex) {
        let report = NodeReport::default();
        let connected =
            AgentReport::Connected { session: 1, hardware: None, report, launch_sequence_seen: 0, units: Vec::new() };
        self.step(Event::Agent(node, connected));
    }

    /// Takes in an event, with all that follows at once: plans, and nodes that clean up.
    pub fn step(&mut self, event: Event) -> Option<Result<Answer, Refusal>> {
        let mut answer = None;
        let mut events = vec![event];
        for _ in 0..100 {
            let Some(event) = events.pop() else { return answer };
            let mut out = Outcome::default();
            self.cluster.step(self.now, event, &mut out);
            assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
            for effect in out.effects {
                match effect {
                    Effect::Reply { result, .. } => answer = Some(result),
                    Effect::Send { node, command: NodeCommand::Clean { job_id, restart, step: None, .. } } => {
                        events.push(Event::Agent(node, AgentReport::JobCleaned { job_id, restart, epilog: None }));
                    }
                    Effect::Send { .. }
                    | Effect::News(_)
                    | Effect::Message { .. }
                    | Effect::Mail(_)
                    | Effect::RunHook { .. } => {}
                }
            }
            if out.plan_needed && events.is_empty() {
                // As the controller does: first over what has changed, then over everything.
                let view = self.cluster.plan_view(self.now);
                let mut plan = self.planner.plan_changes(&view, &Budget::default());
                if plan.is_partial && plan.starts.is_empty() {
                    plan = self.planner.plan(&view, &Budget::default());
                }
                events.push(Event::Plan(plan));
            }
        }
        let plan = self.planner.plan(&self.cluster.plan_view(self.now), &Budget::default());
        let context_free = muster_testkit::show::plan(&self.cluster.plan_view(self.now), &plan);
        panic!(
            "the core refuses what the scheduler proposes:\n{context_free}{}{}",
            self.jobs(),
            self.run("scontrol -o show reservation").0
        );
    }

    /// Lets time pass, timer by timer.
    pub fn wait_until(&mut self, time: Timestamp) {
        while let Some(next) = self.cluster.next_timer().filter(|next| *next <= time) {
            self.now = self.now.max(next);
            self.step(Event::Tick);
        }
        self.now = self.now.max(time);
    }

    /// A restart of the controller: only what was stored is left.
    pub fn restart(&mut self, facts: StoredState) {
        let mut out = Outcome::default();
        self.cluster = Cluster::restore(self.config.clone(), facts, self.now, &mut out);
        (0..4).for_each(|node| self.connect(NodeIndex(node)));
    }

    /// What is stored now.
    pub fn stored(&self) -> StoredState {
        let view = self.cluster.read_view();
        let documents = view.reservations.values().cloned().map(muster_model::document::Document::Reservation);
        StoredState {
            jobs: view.jobs.values().cloned().collect(),
            steps: view.steps.values().cloned().collect(),
            documents: documents.collect(),
            ..StoredState::default()
        }
    }

    pub fn command(&mut self, who: &str, command: Command) -> Result<Answer, Refusal> {
        let event = Event::Command { request: RequestId(1), identity: identity(who), command: Box::new(command) };
        self.step(event).expect("an answer")
    }

    fn answers(&self, queries: Vec<Query>) -> Answers {
        let view = self.cluster.read_view();
        Answers::gather(queries.into_iter().map(|query| match query {
            Query::Reservations => Reply::Reservations(view.reservations.values().cloned().collect()),
            Query::Jobs { .. } => Reply::Jobs(view.jobs.values().map(|job| view.outlook.told(job)).collect()),
            Query::Config => Reply::Config(view.config.shown.clone()),
            Query::Nodes => Reply::Nodes {
                nodes: view.nodes.iter().cloned().collect(),
                partitions: view.partitions.iter().cloned().collect(),
            },
            other => panic!("nobody answers {other:?}"),
        }))
    }

    /// What a line prints, standard output before standard error, and how it exits.
    pub fn run(&mut self, line: &str) -> (String, u8) {
        let words = split_line(line);
        let (who, words) = match words.first().map(String::as_str) {
            Some("setpriv") => {
                let at = words.iter().position(|word| word == "scontrol").expect("a command behind setpriv");
                ("daemon", &words[at..])
            }
            _ => ("root", &words[..]),
        };
        let environment = Environment::new();
        let mut context = Context::new(self.now, TimeZone::UTC, &environment, identity(who));
        (context.user_number, context.group_number) = (number, number);
        let outcome = match words[0].as_str() {
            "sinfo" => {
                let sinfo = Sinfo::new(&words[1..], &environment).expect("a good line");
                sinfo.render(&self.answers(sinfo.queries()), &context)
            }
            "scontrol" => {
                let start = start(&words[1..], &environment).expect("a good line");
                match parse(&start.words, start.flags, &environment, &context) {
                    Action::Print(outcome) => outcome,
                    Action::Show(show) => show.render(&self.answers(show.queries(start.flags)), &context, start.flags),
                    Action::Change(changes) => {
                        let mut told = String::new();
                        let mut refusals = Vec::new();
                        for change in &changes.list {
                            refusals.push(match &change.command {
                                Err(reason) => Some(reason.clone()),
                                Ok(command) => match self.command(who, command.clone()) {
                                    Ok(answer) => {
                                        told.push_str(&change.what.success(&answer));
                                        None
                                    }
                                    Err(refusal) => Some(refusal.to_string()),
                                },
                            });
                        }
                        let mut outcome = changes.outcome(&refusals);
                        outcome.stdout.insert_str(0, &told);
                        outcome
                    }
                    other => panic!("{line}: {other:?}"),
                }
            }
            other => panic!("unknown program {other}"),
        };
        (outcome.stdout + &outcome.stderr, outcome.code)
    }

    /// Submits a job described by words: `user=daemon t=10 N=1 c=16 part=batch resv=a,b L=matlab w=n1`.
    pub fn submit(&mut self, words: &str) -> Result<JobId, Refusal> {
        let mut spec = JobSpec::new(identity("root"), "job".into(), JobKind::Batch);
        spec.request.memory = None;
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "user" => spec.identity = identity(value),
                "t" => spec.time_limit = Some(TimeLimit::from_minutes(value.parse().expect("minutes"))),
                "N" => {
                    let nodes = value.parse().expect("a number");
                    (spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks) = (nodes, Some(nodes), nodes);
                }
                "c" => spec.request.cpus_per_task = value.parse().expect("a number"),
                "part" => spec.partitions = vec![value.into()],
                "resv" => spec.reservation = Some(value.into()),
                "L" => spec.request.licenses = Some(value.into()),
                "w" => spec.request.nodes_required = Some(value.into()),
                "borrows" => {
                    spec.early_signal = Some(muster_model::job::EarlySignal {
                        signal: 10,
                        before_end: Span::from_minutes(value.parse().expect("minutes")),
                        batch_only: false,
                        reservation: true,
                    });
                }
                other => panic!("unknown word {other}"),
            }
        }
        let who = spec.identity.user.to_string();
        Planner::new().check_feasible(&self.cluster.plan_view(self.now), &spec)?;
        match self.command(&who, Command::Submit(Box::new(spec)))? {
            Answer::Submitted(id) => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    /// One line for each job: number, state, nodes or reason, reservation.
    pub fn jobs(&self) -> String {
        let view = self.cluster.read_view();
        let line = |job: &Arc<Job>| {
            let (place, _) = muster_slurm::output::job_text::nodes_or_reason(job);
            let inside = job.reservation_shown().map_or(String::new(), |name| format!(" in {name}"));
            format!("{} {} {place}{inside}\n", job.id, muster_slurm::output::states::of(job).compact())
        };
        view.jobs.values().map(|job| line(&view.outlook.told(job))).collect()
    }
}
