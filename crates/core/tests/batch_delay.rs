//! `batch_sched_delay`: passes that only batch jobs ask for are put off, so that those that come meanwhile are looked at together.

use muster_core::{Cluster, Event, Outcome, RequestId};
use muster_model::config::{ClusterConfig, SchedulingConfig};
use muster_model::fact::StoredState;
use muster_model::job::JobKind;
use muster_model::partition::Partition;
use muster_model::request::Command;
use muster_model::resources::ResourceRequest;
use muster_model::time::{Span, Timestamp};
use muster_testkit::builders;

/// The seconds at which a pass is asked for, when jobs of these kinds come at these seconds and time passes otherwise.
fn passes(delay: i64, submits: &[(i64, JobKind)]) -> Vec<i64> {
    let config = ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
        scheduling: SchedulingConfig { batch_delay: Span::from_seconds(delay), ..SchedulingConfig::default() },
        ..ClusterConfig::default()
    };
    let at = Timestamp::from_seconds;
    let mut cluster = Cluster::restore(config, StoredState::default(), at(0), &mut Outcome::default());
    let asked = |second: &i64| {
        let mut out = Outcome::default();
        for (_, kind) in submits.iter().filter(|(when, _)| when == second) {
            let mut spec = builders::spec(ResourceRequest::default());
            (spec.kind, spec.identity) = (*kind, builders::identity(0));
            // Nobody holds it here, and nobody has to.
            spec.unattended = true;
            let command = Box::new(Command::Submit(Box::new(spec)));
            let event = Event::Command { request: RequestId(1), identity: builders::identity(0), command };
            cluster.step(at(*second), event, &mut out);
        }
        if cluster.next_timer().is_some_and(|due| due <= at(*second)) {
            cluster.step(at(*second), Event::Tick, &mut out);
        }
        out.plan_needed
    };
    (1..=20).filter(asked).collect()
}

#[test]
fn batch_jobs_wait_for_each_other_and_others_for_nobody() {
    use JobKind::{Allocation, Batch};
    assert_eq!(passes(0, &[(1, Batch), (2, Batch), (3, Allocation)]), [1, 2, 3]);
    // The first after a quiet time is looked at at once.
    assert_eq!(passes(5, &[(1, Batch), (2, Batch), (3, Batch), (9, Batch)]), [1, 6, 11]);
    assert_eq!(passes(5, &[(1, Batch), (2, Batch), (3, Allocation), (12, Batch)]), [1, 3, 6, 12]);
}
