//! From one connection to another that the controller names, under what runs.

use std::net::TcpListener;

use muster_proto::{self as wire, signal_unit, to_agent};

use crate::controller::Controller;
use crate::jobs::*;
use crate::node::Node;

fn redirect(address: String) -> to_agent::Message {
    to_agent::Message::Redirect(wire::Redirect { address })
}

fn signal(number: u32) -> to_agent::Message {
    let scope = signal_unit::Scope::Batch.into();
    to_agent::Message::Signal(wire::SignalUnit { job_id: 5, restart: 0, step: String::new(), signal: number, scope })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_the_moment_is_heard_over_both_connections() {
    let (node, session) = Node::start().await;
    assert!(session.hello.takes_redirect && session.hello.relay.is_empty());
    let body = script("trap 'touch one' USR1; trap 'exit 4' USR2; touch ready; while :; do sleep 0.05; done");
    give(&session, &body).await;
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    node.wait_for("ready").await;

    // The new one is made while the old one stands, and says by which way it comes.
    let mut relay = Controller::start().await;
    let address = relay.address.to_string();
    session.send(redirect(address.clone())).await;
    let mut moved = relay.session().await;
    assert_eq!(moved.hello.relay, address);
    session.send(signal(10)).await;
    node.wait_for("one").await;
    drop(session);
    moved.send(signal(12)).await;
    assert_eq!(moved.ended().await.tasks[0].code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_cannot_be_reached_changes_nothing() {
    let (mut node, mut session) = Node::start().await;
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    session.send(redirect(closed.clone())).await;
    // A live connection stays.
    for _ in 0..15 {
        session.heartbeat().await;
    }
    drop(session);
    // Where it is named instead of a welcome, the agent says that it could not reach it.
    let unwelcome = node.controller.unwelcome_session().await;
    assert!(unwelcome.hello.unreachable_relay.is_empty());
    unwelcome.send(redirect(closed.clone())).await;
    let session = node.controller.session().await;
    assert_eq!((session.hello.relay.as_str(), &session.hello.unreachable_relay), ("", &closed));
}
