//! What srun says about tasks that ended badly: `n1: tasks 0-1: Exited with exit code 2`.

use std::collections::BTreeMap;

use muster_model::resources::IndexSet;
use muster_model::state::ExitStatus;
use muster_runtime::unit::{BINDING_REFUSED, OUT_OF_MEMORY, PROLOG_FAILED};

use super::progress::Progress;

/// Ends not yet told, equal ones of a node together.
#[derive(Debug, Default)]
pub(crate) struct EndMessages {
    ends: BTreeMap<(String, ExitStatus), IndexSet>,
    hides_signals: bool,
}

impl EndMessages {
    /// From now on nothing is said of tasks that a signal ended.
    pub(crate) fn hide_signals(&mut self) {
        self.hides_signals = true;
    }

    /// Takes in the end of one task.
    pub(crate) fn add(&mut self, node: &str, rank: u32, exit: ExitStatus) {
        if self.hides_signals && exit.signal > 0 {
            return;
        }
        self.ends.entry((node.to_owned(), exit)).or_default().insert(rank);
    }

    /// What is to be said, without `srun: `. Good ends are told where progress is.
    pub(crate) fn take_lines(&mut self, progress: Option<&Progress>) -> Vec<String> {
        let mut lines = Vec::new();
        for ((node, exit), ranks) in std::mem::take(&mut self.ends) {
            lines.extend(progress.map(|progress| progress.ended(&node, &ranks, exit)));
            let tasks = if ranks.len() == 1 { "task" } else { "tasks" };
            lines.push(match exit.is_success() {
                true => format!("launch/slurm: _task_finish: {node}: {tasks} {ranks}: Completed"),
                false => format!("error: {node}: {tasks} {ranks}: {}", describe(exit)),
            });
        }
        lines
    }
}

/// What is said about a node that could not start its tasks, without `srun: `. Of a prolog that failed in Slurm's words.
pub(crate) fn launch_failure(step: &str, node: &str, errno: u32, message: &str) -> Vec<String> {
    if i32::try_from(errno) == Ok(BINDING_REFUSED) {
        const WHY: &str = "Unable to satisfy cpu bind request";
        return vec![
            format!("error: {message}"),
            format!("error: Task launch for StepId={step} failed on node {node}: {WHY}"),
            format!("error: Application launch failed: {WHY}"),
            "Job step aborted".to_owned(),
        ];
    }
    if !is_prolog(errno) {
        return vec![format!("error: task launch on {node} failed: {message}")];
    }
    const WHY: &str = "Job prolog failed";
    vec![
        format!("error: Task launch for StepId={step} failed on node {node}: {WHY}"),
        format!("error: Application launch failed: {WHY}"),
        "Job step aborted".to_owned(),
    ]
}

/// With what srun ends when a node could not start its tasks: after a prolog the low byte of Slurm's error number.
pub(crate) fn code_of_failure(errno: u32) -> u8 {
    match is_prolog(errno) {
        true => errno.to_le_bytes()[0],
        false => 1,
    }
}

fn is_prolog(errno: u32) -> bool {
    i32::try_from(errno) == Ok(PROLOG_FAILED)
}

fn describe(exit: ExitStatus) -> String {
    match exit.signal {
        _ if exit == OUT_OF_MEMORY => "Out Of Memory".to_owned(),
        0 => format!("Exited with exit code {}", exit.code),
        signal => signal_words(signal).map_or_else(|| format!("Unknown signal {signal}"), str::to_owned),
    }
}

/// The C library's words for a signal.
fn signal_words(signal: u8) -> Option<&'static str> {
    Some(match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        5 => "Trace/breakpoint trap",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        16 => "Stack fault",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        26 => "Virtual timer expired",
        27 => "Profiling timer expired",
        29 => "I/O possible",
        30 => "Power failure",
        31 => "Bad system call",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_prolog_is_told_as_slurm_does() {
        let lines = launch_failure("3.0", "n2", 4022, "the prolog of the node failed");
        assert_eq!(lines[0], "error: Task launch for StepId=3.0 failed on node n2: Job prolog failed");
        assert_eq!((code_of_failure(4022), code_of_failure(2)), (182, 1));
    }

    #[test]
    fn equal_ends_of_a_node_make_one_line() {
        let mut messages = EndMessages::default();
        for rank in [0, 1, 3] {
            messages.add("n1", rank, ExitStatus::exited(2));
        }
        messages.add("n2", 2, ExitStatus::signaled(15));
        let told = messages.take_lines(None);
        assert_eq!(told, ["error: n1: tasks 0-1,3: Exited with exit code 2", "error: n2: task 2: Terminated"]);
        assert!(messages.take_lines(None).is_empty());
    }
}
