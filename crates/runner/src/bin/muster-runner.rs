//! `muster-runner run --job FILE`: the first process of a container; `muster-runner sftp`: the file server of its SSH sessions.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use muster_runner::{init, job, run, sftp};

const USAGE: &str = "\
Usage: muster-runner run --job FILE
       muster-runner sftp

run    starts the command that the document FILE (JSON; - is the standard input) describes, serves its logs and SSH
       sessions as the document asks, and ends with the command's exit code. The file is removed once it is read,
       since it may hold secrets; --keep leaves it.
sftp   serves files on the standard streams; SSH sessions start it.
";

enum Called {
    Run { document: String, is_kept: bool },
    Sftp,
    Help,
}

fn arguments() -> Result<Called> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut parser = lexopt::Parser::from_env();
    let (mut verb, mut document, mut is_kept) = (None, None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Called::Help),
            Long("job") => document = Some(parser.value()?.string()?),
            Long("keep") => is_kept = true,
            Value(word) if verb.is_none() => verb = Some(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    match (verb.as_deref(), document) {
        (Some("run"), Some(document)) => Ok(Called::Run { document, is_kept }),
        (Some("sftp"), None) => Ok(Called::Sftp),
        (Some("run"), None) => bail!("run needs --job FILE"),
        _ => bail!("say run or sftp; --help tells more"),
    }
}

fn main() -> ExitCode {
    match arguments() {
        Ok(Called::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Called::Sftp) => finish(sftp::serve_standard_streams().map(|()| 0)),
        Ok(Called::Run { document, is_kept }) => finish(start(&document, is_kept)),
        Err(error) => {
            eprintln!("muster-runner: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn start(document: &str, is_kept: bool) -> Result<u8> {
    let job = job::read(document, is_kept)?;
    // Before any thread exists, since the first process is left behind by a fork.
    if let Some(code) = init::stand_in_front().context("cannot start the runner behind the first process")? {
        return Ok(code);
    }
    let format = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time();
    format.with_max_level(tracing::Level::WARN).init();
    run::run(job)
}

/// What cannot be run at all ends as a shell would end: 127 is "not found", 126 "found, and not to be run".
fn finish(result: Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("muster-runner: error: {error:#}");
            ExitCode::from(126)
        }
    }
}
