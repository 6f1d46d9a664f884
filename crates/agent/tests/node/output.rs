//! Reading a job's output from afar.

use muster_proto::{self as wire, to_agent};

use crate::controller::Session;
use crate::jobs::*;
use crate::node::Node;

async fn ask(session: &Session, request_id: u64, job_id: u32, change: impl FnOnce(&mut wire::OutputWanted)) {
    let mut wanted = wire::OutputWanted { request_id, job_id, ..Default::default() };
    change(&mut wanted);
    session.send(to_agent::Message::OutputWanted(wanted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_followed_to_its_end_and_read_again_later() {
    let (mut node, mut session) = Node::start().await;
    let body = script("echo one; touch ready; while [ ! -e go ]; do sleep 0.05; done; echo two; echo bad >&2");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    // Asked before the job is there.
    ask(&session, 1, 5, |wanted| wanted.follow = true).await;
    let job = with_spec(batch(&node, 5, &body), |spec| spec.error = Some("err".into()));
    session.launch(launch(1, &job)).await;
    node.wait_for("ready").await;
    ask(&session, 2, 5, |wanted| wanted.offset = 2).await;
    assert_eq!(session.output(2).await, ("e\n".to_owned(), String::new()));
    std::fs::write(node.path("go"), "").unwrap();
    assert_eq!(session.output(1).await, ("one\ntwo\n".to_owned(), String::new()));

    node.stop_agent().await;
    let mut session = node.start_agent().await;
    ask(&session, 3, 5, |wanted| wanted.follow = true).await;
    assert_eq!(session.output(3).await.0, "one\ntwo\n");
    ask(&session, 4, 5, |wanted| wanted.standard_error = true).await;
    assert_eq!(session.output(4).await.0, "bad\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_output_of_a_job_is_not_read() {
    let (node, mut session) = Node::start().await;
    ask(&session, 1, 77, |wanted| wanted.path = "/etc/passwd".into()).await;
    let (bytes, error) = session.output(1).await;
    assert!(bytes.is_empty() && error.contains("77"), "{error}");
    let body = script("true");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    session.ended().await;
    ask(&session, 2, 5, |wanted| wanted.standard_error = true).await;
    assert!(session.output(2).await.1.contains("same file"));
}
