//! How a command ends when it does not do what it was asked to.

use muster_model::request::{Refusal, RefusalCode};

use crate::options::{Command, Fault, Line};

/// What to print, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliExit {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Exit code.
    pub code: u8,
}

impl CliExit {
    /// From a fault found after `notices` had been collected. `exit_error` is the value of `SLURM_EXIT_ERROR`, which
    /// replaces the code of an error.
    pub fn new(command: Command, notices: &[Line], fault: &Fault, exit_error: Option<&str>) -> CliExit {
        let notices: String = notices.iter().map(|line| line.print(command.name()) + "\n").collect();
        let replaced =
            exit_error.and_then(|value| value.parse::<u8>().ok()).filter(|code| *code != 0 && fault.code != 0);
        CliExit {
            stdout: fault.stdout.clone(),
            stderr: notices + &fault.stderr(command.name()),
            code: replaced.unwrap_or(fault.code),
        }
    }
}

/// Explanations of the controller that real Slurm prints as a line of its own.
const EXPLANATIONS: &[&str] = &[
    "CPU count per node can not be satisfied",
    "Memory specification can not be satisfied",
    "Socket, core and/or thread specification can not be satisfied",
    "Temporary disk specification can not be satisfied",
    "Step requested GRES but job doesn't have GRES",
];

/// The explanation of a refusal that real Slurm prints as a line of its own, if there is one.
pub fn explanation(refusal: &Refusal) -> Option<&str> {
    if refusal.code == RefusalCode::AccountingPolicy {
        // The word of the limit; the numbers behind it are our own.
        return refusal.detail.split(':').next().filter(|word| !word.is_empty());
    }
    Some(refusal.detail.as_str()).filter(|detail| EXPLANATIONS.contains(detail))
}

/// What `command` says to a refusal of the controller: the lines of real Slurm; with `verbose` also an explanation
/// that real Slurm does not give. `test_only` is for `--test-only`.
pub fn refused(command: Command, refusal: &Refusal, test_only: bool, verbose: bool) -> Fault {
    let text = refusal.code.text();
    let last = match command {
        _ if test_only => Line::Plain(format!("allocation failure: {text}")),
        Command::Sbatch => Line::Error(format!("Batch job submission failed: {text}")),
        Command::Srun => Line::Error(format!("Unable to allocate resources: {text}")),
        Command::Salloc => Line::Error(format!("Job submit/allocate failed: {text}")),
    };
    let mut lines = Vec::new();
    let detail = refusal.detail.as_str();
    if let Some(name) = detail.strip_prefix("no partition ").filter(|_| refusal.code == RefusalCode::InvalidPartition) {
        lines.push(Line::Error(format!("invalid partition specified: {name}")));
    } else if let Some(line) = explanation(refusal) {
        lines.push(Line::Error(line.to_owned()));
        let rest = detail.strip_prefix(line).and_then(|rest| rest.strip_prefix(": "));
        lines.extend(rest.filter(|_| verbose).map(|rest| Line::Info(rest.to_owned())));
    } else if verbose && !detail.is_empty() {
        lines.push(Line::Info(detail.to_owned()));
    }
    lines.push(last);
    Fault { stdout: String::new(), lines, code: 1 }
}
