//! `muster man DIR`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, Parser};

use super::arguments::refuse;
use super::description;

/// Write the man pages of `muster` and its commands.
#[derive(Debug, Parser)]
#[command(name = "muster man", version)]
struct Arguments {
    /// Directory for the pages; made if it does not exist.
    directory: PathBuf,
}

/// `muster man DIR`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(std::iter::once(OsString::from("muster man")).chain(args)) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    match write(&arguments.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muster man: cannot write to {}: {error}", arguments.directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let whole = description::whole();
    write_page(directory, &whole, "muster")?;
    for command in whole.get_subcommands() {
        write_page(directory, command, &format!("muster-{}", command.get_name()))?;
    }
    Ok(())
}

fn write_page(directory: &Path, command: &Command, name: &str) -> std::io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().name(name.to_owned())).render(&mut page)?;
    std::fs::write(directory.join(format!("{name}.1")), page)
}
