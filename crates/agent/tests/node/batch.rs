//! Batch scripts: what they need, what they see, where they write, how their end is told.

use crate::jobs::*;
use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_fetched_run_and_reported() {
    let (node, mut session) = Node::start().await;
    assert_eq!(session.hello.node_name, "n1");
    assert_eq!((session.hello.launch_sequence_seen, session.hello.units.len()), (0, 0));
    assert!(!session.hello.hardware_json.is_empty());

    let body = script("echo $GREETING $SLURM_JOB_ID $1; umask; exit 7");
    let job = with_spec(batch(&node, 5, &body), |spec| spec.arguments = vec!["an argument".into()]);
    session.launch(launch(1, &job)).await;
    let mut wanted = vec![session.blob_needed().await, session.blob_needed().await];
    wanted.sort();
    let mut expected = vec![id_of(&body).0.to_string(), id_of(&context()).0.to_string()];
    expected.sort();
    assert_eq!(wanted, expected);
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;

    assert_eq!(session.started().await.pids.len(), 1);
    let end = session.ended().await;
    assert_eq!((end.tasks[0].code, end.tasks[0].signal, end.failure.as_str()), (7, 0, ""));
    assert!(end.job_is_clean && end.end_time_ms > 0);
    assert_eq!(node.read("slurm-5.out"), "hi 5 an argument\n0027\n");
    session.acknowledge(&end).await;

    // Both are known now: the next task of the array starts at once.
    session.launch(launch(2, &batch(&node, 6, &body))).await;
    assert_eq!(session.ended().await.tasks[0].code, 7);
    assert!(session.heartbeat().await.agent_start_time_ms > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_goes_where_it_should() {
    let (node, mut session) = Node::start().await;
    let body = script("echo out; echo err >&2; cat");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    std::fs::write(node.path("in-7"), "from the file\n").unwrap();
    let job = with_spec(batch(&node, 7, &body), |spec| {
        spec.output = Some("%x-%j.%u.out".into());
        spec.error = Some("%4j.err".into());
        spec.input = Some("in-%j".into());
    });
    session.launch(launch(1, &job)).await;
    session.ended().await;
    assert_eq!(node.read("work-7.alice.out"), "out\nfrom the file\n");
    assert_eq!(node.read("0007.err"), "err\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_opened_is_the_jobs_fault() {
    let (node, mut session) = Node::start().await;
    let body = script("touch ran");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    let job = with_spec(batch(&node, 8, &body), |spec| spec.output = Some("missing/x".into()));
    session.launch(launch(1, &job)).await;
    let end = session.ended().await;
    assert!(!end.failure.is_empty() && !end.node_at_fault && end.job_is_clean, "{end:?}");
    assert!(!node.path("ran").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_make_no_sense_are_answered() {
    let (node, mut session) = Node::start().await;
    let body = script("true");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    let mut elsewhere = launch(1, &batch(&node, 9, &body));
    elsewhere.nodes[0].name = "other".into();
    session.launch(elsewhere).await;
    assert!(session.ended().await.failure.contains("no sense"));
    let job = with_spec(batch(&node, 10, &body), |spec| spec.script = None);
    session.launch(launch(2, &job)).await;
    assert!(session.ended().await.failure.contains("no script"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_run_know_their_place_and_log_to_the_spool() {
    let (node, mut session) = Node::start().await;
    let body = script("echo $DSTACK_RUN_NAME $DSTACK_NODE_RANK of $DSTACK_NODES_NUM at $DSTACK_MASTER_NODE_IP");
    session.blob(&id_of(&body), &body).await;
    session.blob(&id_of(&context()), &context()).await;
    session.launch(launch(1, &of_run(batch(&node, 11, &body)))).await;
    let end = session.ended().await;
    assert!(end.job_is_clean);
    assert_eq!(node.read("spool/logs/11.0.log"), "mine 0 of 1 at 10.0.0.1\n", "the user's own setting wins");
}
