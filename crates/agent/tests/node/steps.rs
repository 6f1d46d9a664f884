//! Steps: tasks with their own files, programs and variables.

use std::sync::Arc;

use crate::jobs::*;
use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn each_task_has_its_rank_and_its_file() {
    let (node, mut session) = Node::start().await;
    let job = batch(&node, 5, &script("true"));
    let print = "echo $SLURM_PROCID $SLURM_JOB_ID; exit $SLURM_PROCID";
    let step = step(&job, 0, 3, &["sh", "-c", print], "%j.%s.%t");
    session.launch(launch_step(1, &job, &step)).await;
    let end = session.ended().await;
    assert_eq!(end.tasks.iter().map(|task| task.code).collect::<Vec<_>>(), [0, 1, 2]);
    for rank in 0..3 {
        assert_eq!(node.read(&format!("5.0.{rank}")), format!("{rank} 5\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_may_run_different_programs_into_one_file() {
    let (node, mut session) = Node::start().await;
    let job = batch(&node, 5, &script("true"));
    let mut step = step(&job, 1, 2, &["echo", "others"], "all");
    if let Some(how) = step.launch.as_mut().and_then(Arc::get_mut) {
        how.programs = vec![(1, vec!["echo".into(), "one".into()])];
    }
    session.launch(launch_step(1, &job, &step)).await;
    session.ended().await;
    let text = node.read("all");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "others"]);
}
