//! `scancel`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use muster_client::{Client, ClientError};
use muster_model::request::{Command, Query};
use muster_slurm::output::scancel::{Kill, Scancel};
use muster_slurm::output::{Answers, Outcome};
use tokio::task::JoinHandle;

use super::ask::{Call, ask_with, failure, print};
use crate::runtime::block_on;

/// Most requests on their way at once: enough to fill the controller's batches.
const IN_FLIGHT_MAX: usize = 64;

/// Runs `scancel`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let call = Call::new(args);
    let scancel = match Scancel::new(&call.args, &call.environment, &call.context) {
        Ok(scancel) => scancel,
        Err(outcome) => return print(&outcome),
    };
    block_on(async { print(&end_all(&scancel, &call).await) })
}

async fn end_all(scancel: &Scancel, call: &Call) -> Outcome {
    let client = match Client::connect().await {
        Ok(client) => client,
        Err(error) if scancel.queries().is_empty() && !matches!(error, ClientError::Unconfigured) => {
            return nobody(scancel, call);
        }
        Err(error) => return failure("scancel", "slurm_load_jobs error", &error),
    };
    if let Some(outcome) = wrong_cluster(scancel, &client).await {
        return outcome;
    }
    let answers = match ask_with(&client, scancel.queries()).await {
        Ok(answers) => answers,
        Err(error) => return failure("scancel", "slurm_load_jobs error", &error),
    };
    let kills = scancel.kills(&answers, &call.context);
    let mut result = scancel.unmatched(&answers);
    if kills.is_empty() {
        result.stderr.push_str(&scancel.nothing_matches());
        return result;
    }
    let mut on_their_way: VecDeque<(Kill, JoinHandle<Result<(), ClientError>>)> = VecDeque::new();
    for kill in kills {
        if kill.question.as_ref().is_some_and(|question| !confirmed(question)) {
            continue;
        }
        result.stderr.push_str(&kill.announcement);
        if on_their_way.len() >= IN_FLIGHT_MAX {
            settle(scancel, &mut on_their_way, &mut result).await;
        }
        let (client, command) = (client.clone(), Command::Cancel(kill.request.clone()));
        on_their_way.push_back((kill, tokio::spawn(async move { client.command(&command).await.map(|_| ()) })));
    }
    while !on_their_way.is_empty() {
        settle(scancel, &mut on_their_way, &mut result).await;
    }
    result
}

/// Waits for the oldest request.
async fn settle(
    scancel: &Scancel,
    on_their_way: &mut VecDeque<(Kill, JoinHandle<Result<(), ClientError>>)>,
    result: &mut Outcome,
) {
    let Some((kill, handle)) = on_their_way.pop_front() else {
        return;
    };
    let (text, code) = match handle.await {
        Ok(Ok(())) => return,
        Ok(Err(ClientError::Refused(refusal))) => scancel.refused(&kill, refusal.code),
        Ok(Err(_)) | Err(_) => scancel.unreachable(&kill),
    };
    result.stderr.push_str(&text);
    result.code = result.code.max(code);
}

/// Nobody answers: each request says so.
fn nobody(scancel: &Scancel, call: &Call) -> Outcome {
    let mut result = Outcome::default();
    for kill in scancel.kills(&Answers::default(), &call.context) {
        let (text, code) = scancel.unreachable(&kill);
        result.stderr.push_str(&text);
        result.code = code;
    }
    result
}

async fn wrong_cluster(scancel: &Scancel, client: &Client) -> Option<Outcome> {
    let wanted = scancel.cluster()?;
    match ask_with(client, vec![Query::Ping]).await {
        Ok(answers) if answers.cluster.name.as_deref() == Some(wanted) => None,
        Ok(_) => Some(muster_slurm::output::unknown_cluster("scancel", wanted)),
        Err(error) => Some(failure("scancel", "slurm_load_jobs error", &error)),
    }
}

/// Asks until there is an answer; the end of the input is a no.
fn confirmed(question: &str) -> bool {
    loop {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(question.as_bytes()).and_then(|()| stdout.flush());
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) => match line.trim().chars().next().map(|c| c.to_ascii_lowercase()) {
                Some('y') => return true,
                Some('n') => return false,
                _ => {}
            },
        }
    }
}
