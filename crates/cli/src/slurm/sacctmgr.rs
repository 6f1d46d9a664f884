//! `sacctmgr`.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use muster_client::{Client, ClientError};
use muster_slurm::output::Outcome;
use muster_slurm::output::sacctmgr::{Change, DISCARDED, Sacctmgr, Step, WrittenFile};

use super::ask::{Call, ask_with, failure, print, reason};
use crate::runtime::block_on;

/// Runs `sacctmgr`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let call = Call::new(args);
    let mut command = match Sacctmgr::new(&call.args) {
        Ok(command) => command,
        Err(outcome) => return print(&outcome),
    };
    if let Some(path) = command.file_to_read() {
        command.set_file(std::fs::read_to_string(path).map_err(|error| why(&error)));
    }
    block_on(async {
        let client = match Client::connect().await {
            Ok(client) => client,
            Err(error) => return print(&unreachable(&error)),
        };
        match ask_with(&client, command.queries()).await {
            Ok(answers) => match command.step(&answers, &call.context) {
                Step::Print(outcome) => print(&outcome),
                Step::Change(change) => carry_out(&command, &change, &client).await,
                Step::Write(file) => write(&file),
            },
            Err(error) => print(&unreachable(&error)),
        }
    })
}

fn unreachable(error: &ClientError) -> Outcome {
    failure("sacctmgr", "sacctmgr: error", error)
}

fn write(file: &WrittenFile) -> ExitCode {
    match std::fs::write(&file.path, &file.text) {
        Ok(()) => print(&file.outcome),
        Err(error) => print(&Outcome::failure(format!(" Can't open file {}: {}\n", file.path, why(&error)), 1)),
    }
}

/// The words of the system, without its number.
fn why(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

async fn carry_out(sacctmgr: &Sacctmgr, change: &Change, client: &Client) -> ExitCode {
    print(&Outcome::success(change.announcement.as_str()));
    if change.asks && !confirmed(change.question) {
        return print(&Outcome::success(DISCARDED));
    }
    for command in &change.commands {
        if let Err(error) = client.command(command).await {
            let detail = match &error {
                ClientError::Refused(refusal) if !refusal.detail.is_empty() => format!(" ({})", refusal.detail),
                _ => String::new(),
            };
            return print(&sacctmgr.refused(&format!("{}{detail}", reason(&error))));
        }
    }
    print(&change.outcome)
}

/// Asks until there is an answer. The end of the input is a no; there is nobody left to ask.
fn confirmed(question: &str) -> bool {
    let mut question = question.to_owned();
    loop {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(question.as_bytes()).and_then(|()| stdout.flush());
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {
                // Whoever types has ended the line.
                if !std::io::stdin().is_terminal() {
                    let _ = stdout.write_all(b"\n");
                }
                match line.trim().chars().next().map(|c| c.to_ascii_lowercase()) {
                    Some('y') => return true,
                    Some('n') | None => return false,
                    Some(_) => question = "Y or N please\n(N/y): ".to_owned(),
                }
            }
        }
    }
}
