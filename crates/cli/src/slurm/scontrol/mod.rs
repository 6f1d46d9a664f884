//! `scontrol`: one keyword from the command line, or many from a prompt.

mod perform;
mod pids;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use muster_slurm::output::Outcome;
use muster_slurm::output::scontrol::{Action, Flags, parse, split_line, start};

use super::ask::{Call, print};
use crate::runtime::block_on;
use perform::perform;

/// Runs `scontrol`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let mut call = Call::new(args);
    let start = match start(&call.args, &call.environment) {
        Ok(start) => start,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        if let Some(wanted) = &start.cluster
            && let Some(outcome) = perform::wrong_cluster(wanted).await
        {
            return print(&outcome);
        }
        if start.words.is_empty() {
            return prompt(&mut call, start.flags).await;
        }
        let action = parse(&start.words, start.flags, &call.environment, &call.context);
        print(&perform(action, start.flags, &call).await)
    })
}

/// Reads keywords line by line until `exit` or the end of the input.
async fn prompt(call: &mut Call, mut flags: Flags) -> ExitCode {
    let shown = std::io::stdin().is_terminal();
    let (mut last, mut code) = (Vec::new(), 0);
    loop {
        say("scontrol: ");
        let mut line = String::new();
        let count = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
        if count == 0 {
            say("\n");
            return ExitCode::from(code);
        }
        if !shown {
            // What a person would see on a terminal.
            say(&format!("{}\n", line.trim_end_matches('\n')));
        }
        call.refresh();
        let mut words = split_line(&line);
        let mut action = parse(&words, flags, &call.environment, &call.context);
        if action == Action::Repeat {
            words = last.clone();
            action = parse(&words, flags, &call.environment, &call.context);
        }
        if !words.is_empty() {
            last = words;
        }
        match action {
            Action::Quit => return ExitCode::from(code),
            Action::Set(new) => flags = new,
            action => {
                let outcome = perform(action, flags, call).await;
                print(&outcome);
                code = code.max(outcome.code);
            }
        }
    }
}

fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// What a command without an answer prints: nothing.
fn silent() -> Outcome {
    Outcome::default()
}
