//! Ending, signalling and pausing what runs.

use muster_model::ids::{RestartCount, StepId};
use muster_proto::{self as wire, signal_unit, to_agent};

use crate::jobs::*;
use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_ended_with_a_word_and_called_clean() {
    let (node, mut session) = Node::start().await;
    let body = script("trap 'echo got TERM; exit 3' TERM; touch ready; while :; do sleep 0.05; done");
    give(&session, &body).await;
    let job = batch(&node, 5, &body);
    session.launch(launch(1, &job)).await;
    node.wait_for("ready").await;
    let line = "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-21T08:00:00 DUE TO TIME LIMIT ***";
    session.clean(job.id, job.restart, None, line).await;
    let end = session.ended().await;
    assert_eq!((end.tasks[0].code, end.job_is_clean), (3, true));
    assert_eq!(session.cleaned().await, wire::JobCleaned { job_id: 5, ..wire::JobCleaned::default() });
    // Between the two the shell may say that its child was terminated.
    let text = node.read("slurm-5.out");
    assert!(
        text.starts_with(&format!(
            "{line}
"
        )) && text.ends_with(
            "got TERM
"
        ),
        "{text}"
    );

    // Asked again, and about a job that was never here, the answer is the same.
    for (id, restart) in [(job.id, 0), (job.id, 1)] {
        session.clean(id, RestartCount(restart), None, "").await;
        assert_eq!(session.cleaned().await.restart, restart);
    }
    // A launch that comes late for a clean job is dropped: the next end is that of another job.
    session.launch(launch(2, &restarted(job.clone(), 1))).await;
    let other = script("exit 4");
    give(&session, &other).await;
    session.launch(launch(3, &batch(&node, 6, &other))).await;
    session.acknowledge(&end).await;
    assert_eq!(session.ended().await.key.unwrap().job_id, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_script_can_be_ended() {
    let (node, mut session) = Node::start().await;
    let body = script("touch ran");
    let job = batch(&node, 5, &body);
    session.launch(launch(1, &job)).await;
    session.blob_needed().await;
    session.clean(job.id, job.restart, None, "").await;
    let end = session.ended().await;
    assert_eq!((end.tasks[0].signal, end.job_is_clean), (15, true));
    session.cleaned().await;
    give(&session, &body).await;
    session.launch(launch(2, &batch(&node, 6, &script("exit 1")))).await;
    give(&session, &script("exit 1")).await;
    assert_eq!(session.ended().await.key.unwrap().job_id, 6);
    assert!(!node.path("ran").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_shell_of_the_script() {
    let (node, mut session) = Node::start().await;
    let body = script("trap 'echo got USR1; exit 0' USR1; touch ready; while :; do sleep 0.05; done");
    give(&session, &body).await;
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    node.wait_for("ready").await;
    let signal = |scope: signal_unit::Scope| {
        let scope = scope.into();
        to_agent::Message::Signal(wire::SignalUnit { job_id: 5, restart: 0, step: String::new(), signal: 10, scope })
    };
    // For steps only: the script does not notice.
    session.send(signal(signal_unit::Scope::Steps)).await;
    session.send(signal(signal_unit::Scope::Batch)).await;
    session.ended().await;
    assert_eq!(node.read("slurm-5.out"), "got USR1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_stands_still_and_goes_on() {
    let (node, mut session) = Node::start().await;
    let body = script("touch ready; while [ ! -e go ]; do sleep 0.05; done; echo done");
    give(&session, &body).await;
    session.launch(launch(1, &batch(&node, 5, &body))).await;
    let pid = session.started().await.pids[0];
    node.wait_for("ready").await;
    let pause = |resume| to_agent::Message::Pause(wire::Pause { job_id: 5, restart: 0, resume });
    session.send(pause(false)).await;
    let stopped = async {
        // `T` follows the name in parentheses.
        while !std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::controller::PATIENCE, stopped).await.expect("it is stopped");
    std::fs::write(node.path("go"), "").unwrap();
    session.send(pause(true)).await;
    assert_eq!(session.ended().await.tasks[0].code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_ended_alone_and_an_unknown_one_is_answered() {
    let (node, mut session) = Node::start().await;
    let job = batch(&node, 5, &script("true"));
    let long = step(&job, 0, 2, &["sleep", "600"], "step.out");
    session.launch(launch_step(1, &job, &long)).await;
    assert_eq!(session.started().await.pids.len(), 2);
    session.clean(job.id, job.restart, Some(StepId::Number(0)), "").await;
    let end = session.ended().await;
    assert_eq!(end.tasks.iter().map(|task| (task.rank, task.signal)).collect::<Vec<_>>(), [(0, 15), (1, 15)]);
    assert!(!end.job_is_clean, "another step may follow");
    session.clean(job.id, job.restart, Some(StepId::Number(4)), "").await;
    let end = session.ended().await;
    assert_eq!(end.key.as_ref().unwrap().step, "4");
    assert!(!end.failure.is_empty());
}
