//! How fast units that do nothing are started, ended and reported. A measurement, not a test: run it in release with
//! `cargo test --release -p muster-agent --test node -- --ignored --nocapture throughput::measure`.

use std::time::Instant;

use muster_proto::from_agent;

use crate::jobs::*;
use crate::node::Node;

const UNITS: u32 = 3000;

/// Units in flight: as many as a node with this many CPUs would be given.
const WINDOW: u32 = 64;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure() {
    let (node, mut session) = Node::start().await;
    let body = b"#!/bin/true\n".to_vec();
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    let job = with_spec(batch(&node, 1, &body), |spec| spec.output = Some("/dev/null".into()));
    let begin = Instant::now();
    let mut launched = 0;
    for ended in 0..UNITS {
        while launched < UNITS && launched < ended + WINDOW {
            launched += 1;
            let job = muster_model::job::Job { id: muster_model::ids::JobId(launched), ..job.clone() };
            session.launch(launch(launched.into(), &job)).await;
        }
        let end = session
            .expect("an end", |message| match message {
                from_agent::Message::UnitEnded(end) => Some(end),
                _ => None,
            })
            .await;
        assert_eq!(end.failure, "");
        session.acknowledge(&end).await;
    }
    println!("{:.0} units/s", f64::from(UNITS) / begin.elapsed().as_secs_f64());
}
