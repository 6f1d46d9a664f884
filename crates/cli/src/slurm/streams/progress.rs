//! What `srun -v` tells of tasks that start and end, in the words of Slurm 22.05.

use std::collections::BTreeMap;

use muster_model::resources::IndexSet;
use muster_model::state::ExitStatus;

/// The steps whose tasks are told of.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The step of each node, `12.0`.
    steps: BTreeMap<String, String>,
    /// Tasks of each node that have started.
    started: BTreeMap<String, usize>,
}

impl Progress {
    /// Of the nodes of these steps.
    pub(crate) fn new(steps: BTreeMap<String, String>) -> Progress {
        Progress { steps, started: BTreeMap::new() }
    }

    /// Takes in the start of one of `tasks` tasks of a node; something is to be said with the last.
    pub(super) fn started(&mut self, node: &str, tasks: usize) -> Option<String> {
        let started = self.started.entry(node.to_owned()).or_default();
        *started += 1;
        (*started == tasks).then(|| format!("launch/slurm: _task_start: Node {node}, {tasks} tasks started"))
    }

    /// What is said before the end of tasks is told.
    pub(super) fn ended(&self, node: &str, ranks: &IndexSet, exit: ExitStatus) -> String {
        let step = self.steps.get(node).map_or("", String::as_str);
        let (count, tasks) = (ranks.len(), if ranks.len() == 1 { "task" } else { "tasks" });
        let status = u32::from(exit.code) << 8 | u32::from(exit.signal);
        format!(
            "launch/slurm: _task_finish: Received task exit notification for {count} {tasks} of StepId={step} (status=0x{status:04x})."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_told_for_each_node_at_once_and_ends_with_their_status() {
        let mut progress = Progress::new([("n1".to_owned(), "12.0".to_owned())].into());
        assert_eq!(progress.started("n1", 2), None);
        let told = progress.started("n1", 2);
        assert_eq!(told.as_deref(), Some("launch/slurm: _task_start: Node n1, 2 tasks started"));
        let told = progress.ended("n1", &[0, 1].into_iter().collect(), ExitStatus::exited(3));
        let text =
            "launch/slurm: _task_finish: Received task exit notification for 2 tasks of StepId=12.0 (status=0x0300).";
        assert_eq!(told, text);
        let told = progress.ended("n1", &[0].into_iter().collect(), ExitStatus::signaled(9));
        assert!(told.ends_with("for 1 task of StepId=12.0 (status=0x0009)."), "{told}");
    }
}
