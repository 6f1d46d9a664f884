//! Prints how long it takes to calculate the priorities of many waiting jobs anew, and the longest that one event of it
//! takes: `cargo run --release -p muster-sim --example priorities [JOBS]`.

use std::time::Instant;

use muster_core::{Cluster, Event, Outcome};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::partition::Partition;
use muster_model::priority::{PriorityConfig, PriorityType, Weight};
use muster_model::resources::ResourceRequest;
use muster_model::time::{Span, Timestamp};
use muster_testkit::builders;

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(100_000);
    let priority = PriorityConfig {
        kind: PriorityType::Multifactor,
        weight_age: 1_000_000,
        weight_fair_share: 1000,
        weight_job_size: 1000,
        weight_partition: 1000,
        weight_qos: 1000,
        weight_tres: vec![("cpu".into(), Weight(1000.0))],
        ..PriorityConfig::default()
    };
    let config = ClusterConfig {
        nodes: (0..1000).map(|node| builders::node_config(&format!("n{node}"), 64)).collect(),
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1000) }],
        job_count_max: count + 1,
        priority,
        ..ClusterConfig::default()
    };
    let jobs = (1..=count).map(|id| {
        let spec = builders::spec(ResourceRequest { tasks: 1 + id % 64, ..ResourceRequest::default() });
        std::sync::Arc::new(builders::pending(id, spec, "main"))
    });
    let stored = StoredState { jobs: jobs.collect(), ..StoredState::default() };
    let mut now = builders::NOW;
    let mut cluster = Cluster::restore(config, stored, now, &mut Outcome::default());
    for round in 0..3 {
        let (mut events, mut whole, mut longest) = (0, 0.0, 0.0_f64);
        while let Some(due) = cluster.next_timer().filter(|due| *due <= now + Span::from_seconds(1)) {
            let before = Instant::now();
            cluster.step(due.max(now), Event::Tick, &mut Outcome::default());
            let took = before.elapsed().as_secs_f64() * 1e3;
            (events, whole, longest) = (events + 1, whole + took, longest.max(took));
            now = due.max(now);
        }
        println!("round {round}: {count} jobs in {whole:.1} ms, {events} events, the longest {longest:.3} ms");
        now = Timestamp(now.0 + 300_000);
    }
}
