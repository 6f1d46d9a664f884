//! Everything a developer does to the repository, behind one door: `cargo xtask COMMAND`.
//!
//! Each command is one file and one line in [`COMMANDS`]; the help text is made from that list.
//! This program depends on none of the crates it looks after, so that it builds in seconds and
//! still works when they do not.

mod bench;
mod ci;
mod compare;
mod dist;
mod drill;
mod laws;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Context, Result};

/// One developer command.
struct Command {
    name: &'static str,
    /// Arguments as the help shows them.
    usage: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        usage: "[STEP...]",
        summary: "run all that CI runs, in the same order; or only the steps named",
        run: ci::run,
    },
    Command {
        name: "tidy",
        usage: "",
        summary: "check the house rules that the compiler does not know",
        run: tidy::run,
    },
    Command { name: "bench", usage: "NAME [ARG...]", summary: "measure; `all` runs each", run: bench::run },
    Command {
        name: "compare",
        usage: "slurm [--slurm-up FILE]",
        summary: "the same queue before real Slurm and before Muster, decision by decision",
        run: compare::run,
    },
    Command {
        name: "drill",
        usage: "[--count N] [--seed S] [WHO...]",
        summary: "kill agents, supervisors, controllers and clients under jobs of every kind",
        run: drill::run,
    },
    Command {
        name: "laws",
        usage: "[--cases N] [LAW...]",
        summary: "try the laws of scheduling on many random cases; or only those named",
        run: laws::run,
    },
    Command {
        name: "dist",
        usage: "[--partial]",
        summary: "build the release archive with completions and man pages into dist/",
        run: dist::run,
    },
];

/// The exit status for a command line that makes no sense, as most Unix programs use it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", help());
        return ExitCode::from(EXIT_USAGE);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprint!("xtask: there is no command {name:?}\n\n{}", help());
        return ExitCode::from(EXIT_USAGE);
    };
    let outcome = workspace::enter_root()
        .and_then(|()| (command.run)(rest))
        .with_context(|| format!("cargo xtask {name} failed"));
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn help() -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND\n\n");
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.usage);
        text.push_str(&format!("  {call:<22} {}\n", command.summary));
    }
    text
}
