//! Who may say something to a job, and who is told.

use muster_core::effect::NodeCommand;
use muster_core::{Cluster, Effect, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::JobId;
use muster_model::job::{JobKind, JobSpec};
use muster_model::partition::Partition;
use muster_model::request::{Answer, Command};
use muster_model::resources::ResourceRequest;
use muster_model::time::Timestamp;
use muster_testkit::builders;

const OWNER: u32 = 1001;

struct Stage {
    cluster: Cluster,
}

impl Stage {
    fn new() -> Stage {
        let config = ClusterConfig {
            nodes: vec![builders::node_config("n1", 4)],
            partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
            ..ClusterConfig::default()
        };
        let mut out = Outcome::default();
        Stage { cluster: Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut out) }
    }

    fn ask(&mut self, uid: u32, command: Command) -> Outcome {
        let mut out = Outcome::default();
        let identity = builders::identity(uid);
        let event = Event::Command { request: RequestId(1), identity, command: Box::new(command) };
        self.cluster.step(Timestamp::from_seconds(1), event, &mut out);
        out
    }

    fn submit(&mut self, change: impl Fn(&mut JobSpec)) -> u32 {
        let mut spec = builders::spec(ResourceRequest::default());
        spec.identity = builders::identity(OWNER);
        change(&mut spec);
        self.submitted(Command::Submit(Box::new(spec)))
    }

    fn submitted(&mut self, command: Command) -> u32 {
        let out = self.ask(OWNER, command);
        let id = out.effects.iter().find_map(|effect| match effect {
            Effect::Reply { result: Ok(Answer::Submitted(id)), .. } => Some(id.0),
            _ => None,
        });
        id.expect("it is submitted")
    }

    /// What comes of it: the refusal, or who is told what.
    #[track_caller]
    fn check(&mut self, uid: u32, job: u32, expected: &str) {
        let out = self.ask(uid, Command::Notify { job_id: JobId(job), message: "hello".to_owned() });
        let told = out.effects.iter().filter_map(|effect| match effect {
            Effect::Reply { result, .. } => result.as_ref().err().map(|refusal| refusal.code.text().to_owned()),
            Effect::Message { job, text } => Some(format!("holder of {}: {text}", job.id)),
            Effect::Send { command: NodeCommand::Say { job_id, text, .. }, .. } => Some(format!("{job_id}: {text}")),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>().join("; "), expected);
        assert!(out.facts.is_empty(), "nothing is kept of it");
    }
}

#[test]
fn owners_and_operators_may_speak_to_who_holds_a_job() {
    let mut stage = Stage::new();
    let held = stage.submit(|spec| spec.kind = JobKind::Allocation);
    stage.check(OWNER, held, &format!("holder of {held}: hello"));
    stage.check(0, held, &format!("holder of {held}: hello"));
    stage.check(OWNER + 1, held, "Invalid user id");
    stage.check(OWNER, 999, "Invalid job id specified");
    let left = stage.submit(|spec| (spec.kind, spec.unattended) = (JobKind::Allocation, true));
    stage.check(OWNER, left, "Requested operation is presently disabled");
    let script = stage.submit(|spec| spec.kind = JobKind::Batch);
    stage.check(OWNER, script, "Requested operation is presently disabled");
}

#[test]
fn who_holds_a_heterogeneous_job_is_told_of_each_component() {
    let mut stage = Stage::new();
    let component = || {
        let mut spec = builders::spec(ResourceRequest::default());
        (spec.identity, spec.kind) = (builders::identity(OWNER), JobKind::Allocation);
        spec
    };
    let leader = stage.submitted(Command::SubmitHet(vec![component(), component()]));
    stage.check(OWNER, leader, &format!("holder of {leader}: hello"));
    stage.check(OWNER, leader + 1, &format!("holder of {leader}: hello"));
}
