//! `cargo xtask ci`: everything that CI runs, in the order CI runs it.
//!
//! Cheap steps come first, the run stops at the first failure, and a table at the end shows where
//! the time went. CI calls this and nothing else, so what passes here passes there. The first step
//! installs what the tests call where it is missing; no other needs the network once the
//! dependencies are downloaded, and the answer depends on the commit alone;
//! that is why advisories, which change under a commit, are not looked up here.

mod deny;
mod licence;
mod tools;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::tidy;
use crate::workspace::{call, cargo, has_cargo_subcommand};

struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", run: tools::run },
    Step { name: "tidy", run: tidy_step },
    Step { name: "fmt", run: || call(cargo().args(["fmt", "--all", "--check"])) },
    Step { name: "clippy", run: clippy },
    Step { name: "deny", run: deny::run },
    Step { name: "test", run: test },
    Step { name: "doctest", run: || call(cargo().args(["test", "--doc", "--workspace", "--locked"])) },
];

/// How a step ended.
enum Outcome {
    Passed(Duration),
    Failed(Duration, anyhow::Error),
    /// An earlier step failed.
    NotRun,
}

/// Runs the steps named in `args`, or all of them.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    for arg in args {
        ensure!(names.contains(&arg.as_str()), "there is no step {arg:?}; the steps are {}", names.join(", "));
    }
    let wanted = STEPS.iter().filter(|step| args.is_empty() || args.iter().any(|arg| arg == step.name));

    let mut outcomes: Vec<(&str, Outcome)> = Vec::new();
    for step in wanted {
        let failed = outcomes.iter().any(|(_, outcome)| !matches!(outcome, Outcome::Passed(_)));
        let outcome = if failed { Outcome::NotRun } else { run_step(step) };
        outcomes.push((step.name, outcome));
    }

    eprint!("\n{}", table(&outcomes));
    let failure = outcomes.iter().find_map(|(name, outcome)| match outcome {
        Outcome::Failed(_, error) => Some((name, error)),
        _ => None,
    });
    let Some((name, error)) = failure else {
        return Ok(ExitCode::SUCCESS);
    };
    eprintln!("\n{name}: {error:#}\nRun it alone with `cargo xtask ci {name}`.");
    Ok(ExitCode::FAILURE)
}

fn run_step(step: &Step) -> Outcome {
    eprintln!("\n==> {}", step.name);
    let start = Instant::now();
    match (step.run)() {
        Ok(()) => Outcome::Passed(start.elapsed()),
        Err(error) => Outcome::Failed(start.elapsed(), error),
    }
}

fn table(outcomes: &[(&str, Outcome)]) -> String {
    let mut text = String::new();
    let mut total = Duration::ZERO;
    for (name, outcome) in outcomes {
        let (word, took) = match outcome {
            Outcome::Passed(took) => ("passed", *took),
            Outcome::Failed(took, _) => ("FAILED", *took),
            Outcome::NotRun => ("not run", Duration::ZERO),
        };
        total += took;
        let _ = writeln!(text, "{name:<8} {word:<8} {:>8.1} s", took.as_secs_f64());
    }
    let _ = writeln!(text, "{:<17} {:>8.1} s", "total", total.as_secs_f64());
    text
}

fn tidy_step() -> Result<()> {
    let status = tidy::run(&[])?;
    ensure!(status == ExitCode::SUCCESS, "the findings above break house rules");
    Ok(())
}

fn clippy() -> Result<()> {
    call(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

/// Each test in a process of its own with nextest, which also stops a test that hangs; with plain
/// `cargo test` where nextest is missing.
fn test() -> Result<()> {
    if has_cargo_subcommand("nextest") {
        return call(cargo().args(["nextest", "run", "--workspace", "--locked", "--profile", "ci"]));
    }
    eprintln!("ci: cargo-nextest is not installed; using cargo test, which has no time limits");
    call(cargo().args(["test", "--workspace", "--locked", "--lib", "--bins", "--tests", "--examples"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_happened_to_each_step() {
        let outcomes = [
            ("tidy", Outcome::Passed(Duration::from_millis(340))),
            ("clippy", Outcome::Failed(Duration::from_secs(75), anyhow::anyhow!("x"))),
            ("test", Outcome::NotRun),
        ];
        let expected = "\
tidy     passed        0.3 s
clippy   FAILED       75.0 s
test     not run       0.0 s
total                 75.3 s
";
        assert_eq!(table(&outcomes), expected);
    }

    #[test]
    fn a_misspelt_step_is_refused() {
        let error = run(&["lint".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no step \"lint\"; the steps are tools, tidy, fmt, clippy, deny, test, doctest");
    }
}
