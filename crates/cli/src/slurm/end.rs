//! How a submitting command ends when it does not do what it was asked to.

use std::io::Write;
use std::process::ExitCode;

use muster_slurm::submit::CliExit;

/// `PROGRAM: error: TEXT`, exit code 1.
pub(super) fn error(program: &str, text: &str) -> CliExit {
    CliExit { stdout: String::new(), stderr: format!("{program}: error: {text}\n"), code: 1 }
}

/// Prints what there is to say and gives the code.
pub(super) fn print(exit: &CliExit) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    // A reader that has gone away is no concern of ours.
    drop(stdout.write_all(exit.stdout.as_bytes()).and_then(|()| stdout.flush()));
    drop(std::io::stderr().lock().write_all(exit.stderr.as_bytes()));
    ExitCode::from(exit.code)
}

/// The C library's words for a system error, as all of Slurm's commands print them.
pub(super) fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
