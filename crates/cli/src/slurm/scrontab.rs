//! `scrontab`: reads, edits and replaces the table of a user's jobs that come again.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use muster_client::{Client, ClientError};
use muster_model::cron::Crontab;
use muster_model::ids::Identity;
use muster_model::request::{Answer, Command, Query, Refusal, Reply};
use muster_slurm::output::getopt::{self, Item, Opt, Value, opt};
use muster_slurm::submit::crontab;
use nix::unistd::{Group, Uid, User};

use super::ask::reason;
use super::surroundings::Gathered;
use crate::caller;
use crate::runtime::block_on;

const USAGE: &str = "\
usage:\tscrontab [-u user] file | -
\tscrontab [-u user] [-e | -l | -r] [-v]
\t-e\tedit the table
\t-l\tprint the table
\t-r\ttake the table away
\t-u\tof this user
";

/// What an editor begins with where there is no table.
const FIRST_TABLE: &str = "\
# Jobs that come again, one on a line, at times of the controller's clock:
#
# minute hour day-of-month month day-of-week command
#
# Lines #SCRON before a job hold options of sbatch for it, and NAME=value sets a
# variable for the commands below. This would run each day at five:
#
# #SCRON --time=10
# 0 5 * * * /my/script
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Edit,
    List,
    Remove,
    User,
    Verbose,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Edit, 'e', "", Value::None),
    opt(Key::List, 'l', "", Value::None),
    opt(Key::Remove, 'r', "", Value::None),
    opt(Key::User, 'u', "", Value::Needed),
    opt(Key::Verbose, 'v', "", Value::None),
];

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Edit,
    List,
    Remove,
    /// Take the table from this file, or from standard input with `-`.
    Install(String),
}

/// Runs `scrontab`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("scrontab", args);
    match prepare(&gathered).and_then(|(action, owner)| block_on(perform(action, &gathered, owner))) {
        Ok(code) => code,
        Err(Stop::Usage) => {
            eprint!("{USAGE}");
            ExitCode::from(1)
        }
        Err(Stop::Fatal(text)) => {
            eprintln!("scrontab: fatal: {text}");
            ExitCode::from(1)
        }
    }
}

/// Why it ends early.
enum Stop {
    Usage,
    Fatal(String),
}

fn fatal<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fatal(text.into()))
}

/// Whose table it is.
struct Owner {
    identity: Identity,
    home: String,
}

fn prepare(gathered: &Gathered) -> Result<(Action, Owner), Stop> {
    let parsed = getopt::parse(&gathered.args, OPTIONS);
    let (mut action, mut user) = (None, None);
    for item in parsed.items {
        match item {
            Item::Option(Key::Edit, _) if !std::io::stdin().is_terminal() => {
                return fatal("Standard input is not a TTY");
            }
            Item::Option(Key::Edit, _) => action = Some(Action::Edit),
            Item::Option(Key::List, _) => action = Some(Action::List),
            Item::Option(Key::Remove, _) => action = Some(Action::Remove),
            Item::Option(Key::User, name) => user = name,
            Item::Option(Key::Verbose, _) => {}
            Item::Error(_) => return Err(Stop::Usage),
        }
    }
    let owner = owner(user.as_deref())?;
    let action = match (action, parsed.rest.as_slice()) {
        (Some(action), []) => action,
        (None, [file]) => Action::Install(file.clone()),
        (None, []) if std::io::stdin().is_terminal() => Action::Edit,
        (None, []) => Action::Install("-".to_owned()),
        _ => return Err(Stop::Usage),
    };
    if !gathered.cron() {
        return fatal("scrontab is disabled on this cluster");
    }
    Ok((action, owner))
}

fn owner(name: Option<&str>) -> Result<Owner, Stop> {
    let Some(name) = name else {
        let identity = caller::identity();
        let home = User::from_uid(Uid::from_raw(identity.uid)).ok().flatten().map(|user| user.dir);
        return Ok(Owner { identity, home: path_text(home) });
    };
    let by_number = || name.parse().ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    let Some(user) = User::from_name(name).ok().flatten().or_else(by_number) else {
        return fatal(format!("Could not find user {name}"));
    };
    let group = Group::from_gid(user.gid).ok().flatten().map_or_else(|| user.gid.to_string(), |group| group.name);
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let identity = Identity { uid, gid, user: user.name.as_str().into(), group: group.as_str().into() };
    Ok(Owner { identity, home: path_text(Some(user.dir)) })
}

fn path_text(path: Option<PathBuf>) -> String {
    path.map_or_else(|| "/".to_owned(), |path| path.display().to_string())
}

async fn perform(action: Action, gathered: &Gathered, owner: Owner) -> Result<ExitCode, Stop> {
    let uid = owner.identity.uid;
    match action {
        Action::Remove => {
            let command = Command::UpdateCrontab { uid, text: None, jobs: Vec::new() };
            match send(&command).await {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => fatal(format!("slurm_remove_crontab failed: {}", reason(&error))),
            }
        }
        Action::List => match present_table(uid).await? {
            Some(table) => {
                print!("{}", with_disabled_lines(&table));
                Ok(ExitCode::SUCCESS)
            }
            None => {
                println!("no crontab for {}", owner.identity.user);
                Ok(ExitCode::from(1))
            }
        },
        Action::Install(file) => install(&read_file(&file)?, gathered, &owner).await,
        Action::Edit => {
            let table = present_table(uid).await?;
            let text = table.map_or_else(|| FIRST_TABLE.to_owned(), |table| with_disabled_lines(&table));
            edit(text, gathered, &owner).await
        }
    }
}

fn with_disabled_lines(table: &Crontab) -> String {
    if table.disabled.is_empty() {
        return table.text.clone();
    }
    crontab::mark(&table.text, &table.disabled, "#DISABLED: ")
}

async fn present_table(uid: u32) -> Result<Option<std::sync::Arc<Crontab>>, Stop> {
    let failed = |why: String| Stop::Fatal(format!("slurm_request_crontab failed: {why}"));
    let client = Client::connect().await.map_err(|error| failed(reason(&error)))?;
    for reply in client.query(&Query::Crontab(uid)).await.map_err(|error| failed(reason(&error)))? {
        match reply {
            Reply::Crontab(table) => return Ok(table),
            Reply::Refused(refusal) => return Err(failed(refusal.to_string())),
            _ => {}
        }
    }
    Ok(None)
}

fn read_file(name: &str) -> Result<String, Stop> {
    let mut bytes = Vec::new();
    let read = if name == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(name).map(|content| bytes = content)
    };
    match read {
        Ok(()) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => fatal(format!("failed to open {name}")),
    }
}

/// What is wrong with a table: lines, first and last, and the words about them.
struct Trouble {
    lines: Vec<(u32, u32)>,
    words: String,
}

async fn install(text: &str, gathered: &Gathered, owner: &Owner) -> Result<ExitCode, Stop> {
    match try_table(text, gathered, owner).await? {
        None => Ok(ExitCode::SUCCESS),
        Some(trouble) => {
            print!("{}", trouble.words);
            Ok(ExitCode::from(1))
        }
    }
}

/// Puts the table in force, or tells what is wrong with it.
async fn try_table(text: &str, gathered: &Gathered, owner: &Owner) -> Result<Option<Trouble>, Stop> {
    let at_home = gathered.at_home(owner.identity.clone(), owner.home.clone());
    let (jobs, talk) = match crontab::read(text, &at_home.surroundings()) {
        Ok(read) => read,
        Err(bad) => {
            eprint!("{}", bad.stderr);
            let words = "There are errors in your crontab.\n".to_owned();
            return Ok(Some(Trouble { lines: vec![(bad.line, bad.line)], words }));
        }
    };
    eprint!("{talk}");
    let command = Command::UpdateCrontab { uid: owner.identity.uid, text: Some(text.to_owned()), jobs };
    match send(&command).await {
        Ok(()) => Ok(None),
        Err(ClientError::Refused(refusal)) => Ok(Some(refused(&refusal))),
        Err(error) => fatal(format!("slurm_update_crontab failed: {}", reason(&error))),
    }
}

/// A refusal says which lines it is about.
fn refused(refusal: &Refusal) -> Trouble {
    let (range, detail) = refusal.detail.split_once(' ').unwrap_or(("", &refusal.detail));
    let lines = range.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let detail = if lines.is_some() { detail } else { refusal.detail.as_str() };
    let said = if detail.is_empty() { "(null)" } else { detail };
    let range = if lines.is_some() { range } else { "(null)" };
    let words = format!(
        "There was an issue with the job submission on lines {range}\nThe error code return was: {refusal}\n\
         The error message was: {said}\n"
    );
    Trouble { lines: lines.into_iter().collect(), words }
}

async fn send(command: &Command) -> Result<(), ClientError> {
    match Client::connect().await?.command(command).await? {
        Answer::CrontabInstalled(_) => Ok(()),
        other => Err(ClientError::Protocol(format!("unexpected answer of the controller: {other:?}"))),
    }
}

/// Lets the user edit the table until it is in order or he has had enough.
async fn edit(mut text: String, gathered: &Gathered, owner: &Owner) -> Result<ExitCode, Stop> {
    loop {
        text = edited(&text)?;
        let Some(trouble) = try_table(&text, gathered, owner).await? else {
            return Ok(ExitCode::SUCCESS);
        };
        let marked = if trouble.lines.len() == 1 && trouble.words.starts_with("There are") {
            "The failed line(s) is commented out with #BAD:"
        } else {
            "The failed lines are commented out with #BAD:"
        };
        if !again(&format!("{}{marked}\nDo you want to retry the edit? (y/n) ", trouble.words)) {
            return Ok(ExitCode::SUCCESS);
        }
        text = crontab::mark(&text, &trouble.lines, "#BAD: ");
    }
}

/// Asks until the answer is yes or no; the end of the input is no.
fn again(question: &str) -> bool {
    loop {
        print!("{question}");
        drop(std::io::stdout().flush());
        let mut line = String::new();
        let count = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
        match line.trim_start().to_ascii_lowercase().chars().next() {
            Some('y') => return true,
            Some('n') => return false,
            _ if count == 0 => return false,
            _ => {}
        }
    }
}

/// The text as the user's editor leaves it.
fn edited(text: &str) -> Result<String, Stop> {
    let directory = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let path = directory.join(format!("scrontab-{}-{}", std::process::id(), super::ask::now().0));
    let result = edit_file(&path, text);
    drop(std::fs::remove_file(&path));
    result
}

fn edit_file(path: &Path, text: &str) -> Result<String, Stop> {
    let name = path.display();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| Stop::Fatal(format!("error creating temp crontab file '{name}': {error}")))?;
    let written = file.write_all(text.as_bytes());
    written.map_err(|error| Stop::Fatal(format!("error writing to temp crontab file '{name}': {error}")))?;
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let ended = std::process::Command::new(editor).arg(path).status();
    if !ended.is_ok_and(|status| status.success()) {
        return fatal("editor returned non-zero exit code");
    }
    let text = std::fs::read(path);
    let text = text.map_err(|error| Stop::Fatal(format!("error reopening temp crontab file '{name}': {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
