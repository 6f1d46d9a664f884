//! What the commands that ask and print have in common: who calls, the questions to the controller, the printing.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use muster_client::{Client, ClientError};
use muster_model::request::{Query, RefusalCode};
use muster_model::time::Timestamp;
use muster_slurm::output::{Answers, CONNECT_FAILURE, Context, Environment, Outcome};
use nix::unistd::{Gid, Group, Uid, User};

use crate::caller;

/// The surroundings of one command.
pub(super) struct Call {
    /// Arguments. Bytes that are no UTF-8 are replaced; no name that the controller knows has any.
    pub(super) args: Vec<String>,
    /// Environment variables.
    pub(super) environment: Environment,
    /// Clock, zone, caller.
    pub(super) context: Context,
}

impl Call {
    /// The surroundings of this process.
    pub(super) fn new(args: Vec<OsString>) -> Call {
        let text = |value: OsString| value.to_string_lossy().into_owned();
        let environment: Environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        let mut context = Context::new(now(), TimeZone::system(), &environment, caller::identity());
        context.user_number = user_number;
        context.group_number = group_number;
        Call { args: args.into_iter().map(text).collect(), environment, context }
    }

    /// Sets the clock anew, before asking again.
    pub(super) fn refresh(&mut self) {
        self.context.now = now();
    }
}

/// The present time.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn user_number(text: &str) -> Option<u32> {
    let by_name = || User::from_name(text).ok().flatten();
    let found = match text.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)).ok().flatten().or_else(by_name),
        Err(_) => by_name(),
    };
    found.map(|user| user.uid.as_raw())
}

fn group_number(text: &str) -> Option<u32> {
    let by_name = || Group::from_name(text).ok().flatten();
    let found = match text.parse() {
        Ok(number) => Group::from_gid(Gid::from_raw(number)).ok().flatten().or_else(by_name),
        Err(_) => by_name(),
    };
    found.map(|group| group.gid.as_raw())
}

/// Asks all questions over one connection.
///
/// # Errors
/// The first that cannot be answered.
pub(super) async fn ask(queries: Vec<Query>) -> Result<Answers, ClientError> {
    // Who asks whether the controller is there does not wait for it.
    let client = match queries.as_slice() {
        [Query::Ping] => Client::connect_at_once().await?,
        _ => Client::connect().await?,
    };
    ask_with(&client, queries).await
}

/// As [`ask`], over a connection that is there.
///
/// # Errors
/// The first that cannot be answered.
pub(super) async fn ask_with(client: &Client, queries: Vec<Query>) -> Result<Answers, ClientError> {
    let mut replies = Vec::new();
    for query in queries {
        replies.extend(client.query(&query).await?);
    }
    Ok(Answers::gather(replies))
}

/// Why something failed, in the words that stand behind `slurm_load_jobs error:`.
pub(super) fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { .. } | ClientError::Broken(_) => CONNECT_FAILURE.to_owned(),
        // Which line of which file it is, only the controller knows.
        ClientError::Refused(refusal) if refusal.code == RefusalCode::InvalidConfiguration => {
            format!("{}: {}", refusal.code.text(), refusal.detail)
        }
        ClientError::Refused(refusal) => refusal.code.text().to_owned(),
        ClientError::Unconfigured | ClientError::Random(_) | ClientError::Protocol(_) => error.to_string(),
    }
}

/// What `program` prints when its questions are not answered; `prefix` stands before the reason.
pub(super) fn failure(program: &str, prefix: &str, error: &ClientError) -> Outcome {
    match error {
        ClientError::Unconfigured => {
            let text =
                format!("{program}: error: {error}\n{program}: fatal: Could not establish a configuration source\n");
            Outcome::failure(text, 1)
        }
        _ => Outcome::failure(format!("{prefix}: {}\n", reason(error)), 1),
    }
}

/// Prints what a command has to say. A reader that has gone away is no concern of it.
pub(super) fn print(outcome: &Outcome) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(outcome.stdout.as_bytes()).and_then(|()| stdout.flush());
    let _ = std::io::stderr().lock().write_all(outcome.stderr.as_bytes());
    ExitCode::from(outcome.code)
}
