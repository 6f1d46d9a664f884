//! `cargo xtask drill`: many rounds of the kill drills, which the tests play a few of.
//!
//! A round starts jobs of every kind, kills one process at a random moment and looks at how all ends. Everything random comes
//! from its seed: a round that failed is played again with `--seed S --count 1`.
//!
//! `cargo xtask drill upgrade` has this program take over running jobs from an older one, which it builds or is given.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::cargo;

/// What can be killed; each is a test of that name.
const VICTIMS: &[&str] = &[
    "agent",
    "supervisor",
    "controller",
    "client",
    "docker",
    "podman",
    "agent_of_containers",
    "supervisor_of_containers",
    "controller_of_containers",
    "runner",
];

/// Rounds of each drill where nobody says how many.
const COUNT_DEFAULT: u64 = 100;

/// The drill in which a program takes over from an older one.
const UPGRADE: &str = "upgrade";

/// Runs the drills named, or all.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    if let Some((first, rest)) = args.split_first()
        && first == UPGRADE
    {
        return upgrade(rest);
    }
    let wanted = Wanted::parse(args)?;
    let mut command = cargo();
    command.args(["test", "--locked", "--package", "muster", "--test", "drills", "--", "--nocapture", "--exact"]);
    command.args(&wanted.victims);
    command.env("MUSTER_DRILL_COUNT", wanted.count.to_string()).env("MUSTER_DRILL_SEED", wanted.seed.to_string());
    let status = command.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `drill upgrade [--old PROGRAM | --commit REVISION]`: the test of that name, with the program of an earlier version. Without a word
/// it is that of the last tag, or of the first parent where nothing is tagged.
fn upgrade(args: &[String]) -> Result<ExitCode> {
    let old = match args {
        [] => build_of(&last_release()?)?,
        [flag, program] if flag == "--old" => PathBuf::from(program),
        [flag, revision] if flag == "--commit" => build_of(revision)?,
        _ => bail!("usage: cargo xtask drill upgrade [--old PROGRAM | --commit REVISION]"),
    };
    let old = old.canonicalize().with_context(|| format!("there is no program {}", old.display()))?;
    println!("the older program is {}", old.display());
    let mut command = cargo();
    command.args(["test", "--locked", "--package", "muster", "--test", UPGRADE]).env("MUSTER_OLD", old);
    let status = command.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn last_release() -> Result<String> {
    let tag = git(&["describe", "--tags", "--abbrev=0"]);
    tag.or_else(|_| git(&["rev-parse", "HEAD^"]))
}

/// Builds the program of a revision beside ours, once for each.
fn build_of(revision: &str) -> Result<PathBuf> {
    let commit = git(&["rev-parse", "--short=12", &format!("{revision}^{{commit}}")])?;
    let place = std::env::current_dir()?.join("target/upgrade").join(&commit);
    let program = place.join("target/debug/muster");
    if program.exists() {
        return Ok(program);
    }
    let source = place.join("source");
    if !source.exists() {
        std::fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        git(&["worktree", "add", "--detach", &source.display().to_string(), &commit])?;
    }
    let mut build = cargo();
    build.args(["build", "--locked", "--package", "muster", "--bin", "muster"]);
    let status = build.current_dir(&source).env("CARGO_TARGET_DIR", place.join("target")).status();
    ensure!(status.context("cannot run cargo")?.success(), "the program of {commit} cannot be built");
    git(&["worktree", "remove", "--force", &source.display().to_string()])?;
    Ok(program)
}

fn git(args: &[&str]) -> Result<String> {
    let output = Command::new("git").args(args).output().context("cannot run git")?;
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "git {}: {words}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    count: u64,
    seed: u64,
    victims: Vec<String>,
}

impl Wanted {
    fn parse(args: &[String]) -> Result<Wanted> {
        let mut wanted = Wanted { count: COUNT_DEFAULT, seed: 1, victims: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || -> Result<u64> {
                let value = args.next().with_context(|| format!("{arg} needs a number"))?;
                value.parse().with_context(|| format!("{arg} needs a number, not {value:?}"))
            };
            match arg.as_str() {
                "--count" => wanted.count = number()?,
                "--seed" => wanted.seed = number()?,
                victim if VICTIMS.contains(&victim) => wanted.victims.push(victim.to_owned()),
                other => bail!("{other:?} is no drill; there are {}", VICTIMS.join(", ")),
            }
        }
        if wanted.victims.is_empty() {
            wanted.victims.extend(VICTIMS.iter().map(|victim| (*victim).to_owned()));
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wanted> {
        Wanted::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines() {
        let wanted = parse("--count 5 client --seed 17 agent").unwrap();
        assert_eq!((wanted.count, wanted.seed, wanted.victims.join(" ").as_str()), (5, 17, "client agent"));
        let all = parse("").unwrap();
        assert_eq!((all.count, all.seed, all.victims.len()), (COUNT_DEFAULT, 1, VICTIMS.len()));
        for (line, problem) in [("--count", "--count needs a number"), ("printer", "\"printer\" is no drill")] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
