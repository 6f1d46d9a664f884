//! `muster links DIR`: each command under its own name.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::command::{ALL, Family};

/// Names of the daemons and of the two doors as a whole.
const OTHER_NAMES: &[&str] = &["muster", "dstack", "slurmctld", "slurmd"];

/// The program for the inside of containers, where it was installed.
const RUNNER: &str = "muster-runner";

/// Make hard links (or copies) of this program named sbatch, squeue, …, so that they are found on PATH.
#[derive(Debug, Parser)]
#[command(name = "muster links", version)]
struct Arguments {
    /// Directory for the links; made if it does not exist.
    directory: std::path::PathBuf,
}

/// `muster links DIR`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(std::iter::once(OsString::from("muster links")).chain(args)) {
        Ok(arguments) => arguments,
        Err(error) => return crate::native::arguments::refuse(&error),
    };
    match make(&arguments.directory) {
        Ok(names) => {
            println!("{names} commands in {}", arguments.directory.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("muster links: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the links and gives their number. Hard links, not symbolic ones: tools tell daemons apart by `/proc/PID/exe`.
pub(crate) fn make(directory: &Path) -> anyhow::Result<usize> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let slurm = ALL.iter().filter(|command| command.family == Family::Slurm).map(|command| command.name);
    let mut count = 0;
    for name in slurm.chain(OTHER_NAMES.iter().copied()) {
        link(&program, &directory.join(name))
            .with_context(|| format!("cannot make {}", directory.join(name).display()))?;
        count += 1;
    }
    // The supervisor looks for it beside its own program.
    let runner = program.with_file_name(RUNNER);
    if runner.exists() {
        link(&runner, &directory.join(RUNNER))
            .with_context(|| format!("cannot make {}", directory.join(RUNNER).display()))?;
    }
    Ok(count)
}

/// Puts a link, or a copy where the directory is on another file system, in place at once, so that a running command is
/// never cut short.
fn link(program: &Path, target: &Path) -> std::io::Result<()> {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".new{}", std::process::id()));
    let fresh = Path::new(&name);
    drop(std::fs::remove_file(fresh));
    if std::fs::hard_link(program, fresh).is_err() {
        std::fs::copy(program, fresh)?;
    }
    std::fs::rename(fresh, target)?;
    // Renaming one hard link of a file onto another of the same file leaves both.
    drop(std::fs::remove_file(fresh));
    Ok(())
}
