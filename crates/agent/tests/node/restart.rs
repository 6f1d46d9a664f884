//! Agents and connections come and go; units and what is known of them stay.

use crate::jobs::*;
use crate::node::Node;

fn names(units: &[muster_proto::UnitKey]) -> Vec<String> {
    units.iter().map(|key| format!("{}.{}.{}", key.job_id, key.restart, key.step)).collect()
}

const WAITS: &str = "touch ready-$SLURM_JOB_ID; while [ ! -e go ]; do sleep 0.05; done; exit 9";

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_leaves_jobs_running_and_the_next_one_takes_them_up() {
    let (mut node, mut session) = Node::start().await;
    let body = script(&WAITS.replace("$SLURM_JOB_ID", "5"));
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    session.launch(launch(41, &batch(&node, 5, &body))).await;
    session.started().await;
    node.wait_for("ready-5").await;
    node.stop_agent().await;

    let mut session = node.start_agent().await;
    assert_eq!(session.hello.launch_sequence_seen, 41);
    assert_eq!(names(&session.hello.units), ["5.0.batch", "5.0.extern"], "with what the job has to itself");
    // A late copy of the launch starts nothing; neither does one of a job that this agent never saw.
    session.launch(launch(41, &batch(&node, 5, &body))).await;
    session.launch(launch(40, &batch(&node, 4, &body))).await;
    std::fs::write(node.path("go"), "").unwrap();
    let end = session.ended().await;
    assert_eq!((end.key.as_ref().unwrap().job_id, end.tasks[0].code), (5, 9));
    session.acknowledge(&end).await;
    let body = script("exit 1");
    session.blob(&id_of(&body), &body).await;
    session.launch(launch(42, &batch(&node, 6, &body))).await;
    assert_eq!(session.ended().await.key.unwrap().job_id, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_loses_no_end() {
    let mut node = Node::new().await;
    let mut agent = node.spawn_agent();
    let mut session = node.controller.session().await;
    let body = script(&WAITS.replace("$SLURM_JOB_ID", "5"));
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    session.started().await;
    node.wait_for("ready-5").await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    // It ends while there is no agent.
    std::fs::write(node.path("go"), "").unwrap();

    for _ in 0..2 {
        let mut session = node.start_agent().await;
        assert_eq!(names(&session.hello.units), ["5.0.batch", "5.0.extern"], "with what the job has to itself");
        assert_eq!(session.hello.launch_sequence_seen, 1);
        let end = session.ended().await;
        assert_eq!(end.tasks[0].code, 9);
        // Not acknowledged the first time, it is told again by the next agent.
        node.abort_agent().await;
    }
    let mut session = node.start_agent().await;
    let end = session.ended().await;
    session.acknowledge(&end).await;
    // The acknowledgement has arrived when a later order has been carried out; who stops has passed it on.
    session.clean(muster_model::ids::JobId(99), muster_model::ids::RestartCount(0), None, "").await;
    session.cleaned().await;
    node.stop_agent().await;
    let session = node.start_agent().await;
    assert_eq!(names(&session.hello.units), ["5.0.extern"], "the job is not said to be over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_made_again_and_all_is_told_again() {
    let (mut node, mut session) = Node::start().await;
    let body = script("exit 2");
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    session.blob_needed().await;
    session.blob_needed().await;
    drop(session);

    let mut session = node.controller.session().await;
    assert_eq!(names(&session.hello.units), ["5.0.batch"], "it waits for its script");
    let mut wanted = vec![session.blob_needed().await, session.blob_needed().await];
    wanted.sort();
    wanted.dedup();
    assert_eq!(wanted.len(), 2, "the questions are asked again");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    let first = session.ended().await;
    drop(session);
    let mut session = node.controller.session().await;
    assert_eq!(session.ended().await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_replaced_and_its_units_are_not_named_any_more() {
    let (mut node, mut session) = Node::start().await;
    let body = script(&WAITS.replace("$SLURM_JOB_ID", "5"));
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    let pid = session.started().await.pids[0];
    node.kill_supervisor_of(pid);
    let mut session = node.controller.session().await;
    assert_eq!(names(&session.hello.units), ["5.0.extern"], "what the job had to itself is still there");
    assert_eq!(session.hello.launch_sequence_seen, 1, "so that the controller knows that it was here");
    let body = script("exit 3");
    session.blob(&id_of(&body), &body).await;
    session.launch(launch(2, &batch(&node, 6, &body))).await;
    assert_eq!(session.ended().await.tasks[0].code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_waits_for_the_spool_and_a_wrong_token_is_tried_again() {
    let mut node = Node::new().await;
    std::fs::write(node.path("token"), "wrong").unwrap();
    let mut agent = node.spawn_agent();
    // It is turned away until the token is right.
    std::fs::write(node.path("token.new"), crate::controller::TOKEN).unwrap();
    node.wait_for("spool/agent.lock").await;
    std::fs::rename(node.path("token.new"), node.path("token")).unwrap();
    let session = node.controller.session().await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent.id().cast_signed()), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert!(agent.wait().unwrap().success(), "TERM ends it in good order");
    drop(session);
    node.start_agent().await;
}
