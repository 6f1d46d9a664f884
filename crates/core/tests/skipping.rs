//! `scontrol update ReservationName= skip`: the next occurrence is left out unless somebody wants it.

use muster_core::{Cluster, Effect, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::Name;
use muster_model::job::JobKind;
use muster_model::partition::Partition;
use muster_model::request::{Command, RefusalCode};
use muster_model::reservation::{FlagChange, ListChange, ReservationChanges, ReservationFlag, SetOperation};
use muster_model::resources::ResourceRequest;
use muster_model::time::Timestamp;
use muster_testkit::builders;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn ask(cluster: &mut Cluster, command: Command) -> Result<(), RefusalCode> {
    let event = Event::Command { request: RequestId(1), identity: builders::identity(0), command: Box::new(command) };
    let mut out = Outcome::default();
    cluster.step(at(10), event, &mut out);
    let reply = out.effects.into_iter().find_map(|effect| match effect {
        Effect::Reply { result, .. } => Some(result),
        _ => None,
    });
    reply.expect("a reply").map(drop).map_err(|refusal| refusal.code)
}

#[test]
fn an_occurrence_that_a_job_waits_for_is_not_skipped() {
    let config = ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
        ..ClusterConfig::default()
    };
    let mut cluster = Cluster::restore(config, StoredState::default(), at(0), &mut Outcome::default());
    let name = || Name::from("daily");
    let changes = ReservationChanges {
        start: Some(at(3600)),
        end: Some(at(7200)),
        nodes: Some("n1".into()),
        users: Some(ListChange {
            operation: SetOperation::Replace,
            names: vec![builders::identity(0).user],
            denied: false,
        }),
        flags: Some(FlagChange {
            operation: SetOperation::Replace,
            flags: vec![ReservationFlag::Daily],
            purge_after: None,
        }),
        ..ReservationChanges::default()
    };
    ask(&mut cluster, Command::CreateReservation { name: Some(name()), changes: Box::new(changes) }).expect("made");
    let skip = || ReservationChanges { skip: true, ..ReservationChanges::default() };
    let update =
        |cluster: &mut Cluster| ask(cluster, Command::UpdateReservation { name: name(), changes: Box::new(skip()) });
    assert_eq!(update(&mut cluster), Ok(()));
    let mut spec = builders::spec(ResourceRequest::default());
    spec.kind = JobKind::Batch;
    spec.identity = builders::identity(0);
    spec.reservation = Some(name());
    ask(&mut cluster, Command::Submit(Box::new(spec))).expect("accepted");
    assert_eq!(update(&mut cluster), Err(RefusalCode::ReservationInUse));
}
