//! `cargo xtask laws`: what must hold of every plan, tried on many more random cases than CI has time for.
//!
//! Each law is a property test that CI runs on a few cases. Here the number is given, and the build is optimised but keeps
//! the assertions by which the scheduler compares the books that it goes on from with ones that are read anew. A law that
//! is broken does not keep the others from being tried; the test prints the smallest case that it could find.

use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace::{call, capture, cargo};

/// One law.
struct Law {
    /// What to call it by.
    name: &'static str,
    says: &'static str,
    package: &'static str,
    /// The file of tests, or nothing for those inside the crate.
    file: Option<&'static str>,
    /// The test, or the part of its path that all tests of the law have in common.
    test: &'static str,
    /// How many cases it is tried on where the command was asked for [`CASES`]: what takes a millisecond is tried more often
    /// than what takes a second.
    cases: u32,
}

/// Cases where the command is not told how many.
const CASES: u32 = 10_000;

const LAWS: &[Law] = &[
    Law {
        name: "once",
        says: "no resource is given twice, and something is said of every job",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "properties::a_plan_can_be_carried_out",
        cases: 200_000,
    },
    Law {
        name: "detail",
        says: "sockets, cores, parts of GPUs, switches: given once, and as asked for",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "laws::",
        cases: 100_000,
    },
    Law {
        name: "warm",
        says: "a pass that goes on from the last one's books decides as one that begins anew",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "properties::warm_caches",
        cases: 50_000,
    },
    Law {
        name: "backfill",
        says: "backfill delays no planned start before it",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "properties::backfill_never_delays",
        cases: 20_000,
    },
    Law {
        name: "partial",
        says: "nor does a pass over what has changed",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "partial::partial_passes",
        cases: 200_000,
    },
    Law {
        name: "beside",
        says: "nor do quick passes beside a long one",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "beside::passes_beside_a_long_one_delay",
        cases: 200_000,
    },
    Law {
        name: "untold",
        says: "whether anybody is told when jobs start decides nothing",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "properties::expectations_decide",
        cases: 50_000,
    },
    Law {
        name: "feasible",
        says: "what is accepted as feasible starts on an empty cluster",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "properties::feasible",
        cases: 20_000,
    },
    Law {
        name: "together",
        says: "components of a heterogeneous job start and are expected together",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "heterogeneous::nothing",
        cases: 20_000,
    },
    Law {
        name: "blockers",
        says: "without exactly the named blockers a job starts in the next pass, with fewer gone it does not",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "explain::the_named_blockers",
        cases: CASES,
    },
    Law {
        name: "otherwise",
        says: "a job starts when it is told to, and otherwise when that is told: in a replay, to the second",
        package: "muster-sched",
        file: Some("scenarios"),
        test: "explain::other_starts",
        cases: CASES,
    },
    Law {
        name: "shortcuts",
        says: "what an explanation takes over from the plan is what it would find out itself",
        package: "muster-sched",
        file: None,
        test: "explain::tests::short_cuts",
        cases: 1_000,
    },
    Law {
        name: "replay",
        says: "replayed jobs start once, within capacity and as promised",
        package: "muster-replay",
        file: Some("replay"),
        test: "laws::",
        cases: 5_000,
    },
    Law {
        name: "limits",
        says: "limits of accounts and QOS hold at all times",
        package: "muster-sim",
        file: Some("limits"),
        test: "limits_hold_at_all_times",
        cases: 5_000,
    },
    Law {
        name: "simulation",
        says: "whatever fails, nothing is lost, started twice or given twice; the same seed, the same decisions",
        package: "muster-sim",
        file: Some("seeds"),
        test: "",
        cases: 2_000,
    },
    Law {
        name: "reservations",
        says: "nobody without rights is on what is reserved, and nobody waits for it when it is over",
        package: "muster-controller",
        file: Some("reservations"),
        test: "laws::",
        cases: 1_000,
    },
];

/// What was tried of a law.
struct Trial {
    law: &'static Law,
    cases: u32,
    took: Duration,
    holds: bool,
}

/// Tries the laws named in `args`, or all.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let (cases, laws) = read(args)?;
    let mut trials = Vec::new();
    for law in laws {
        let cases = scaled(law.cases, cases);
        eprintln!("\n==> {}: {}", law.name, law.says);
        let start = Instant::now();
        let outcome = attempt(law, cases);
        if let Err(error) = &outcome {
            eprintln!("{}: {error:#}", law.name);
        }
        trials.push(Trial { law, cases, took: start.elapsed(), holds: outcome.is_ok() });
    }
    print!("{}", table(&trials));
    Ok(if trials.iter().all(|trial| trial.holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The number of cases and the laws that the arguments ask for.
fn read(args: &[String]) -> Result<(u32, Vec<&'static Law>)> {
    let (mut cases, mut laws) = (CASES, Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--cases" {
            let number = words.next().context("--cases needs a number")?;
            cases = number.parse().with_context(|| format!("--cases {number}"))?;
            continue;
        }
        let law = LAWS.iter().find(|law| law.name == word);
        let names = || LAWS.iter().map(|law| law.name).collect::<Vec<_>>().join(", ");
        laws.push(law.with_context(|| format!("there is no law {word:?}; the laws are {}", names()))?);
    }
    ensure!(cases > 0, "--cases 0 would try nothing");
    Ok((cases, if laws.is_empty() { LAWS.iter().collect() } else { laws }))
}

/// As many of `usual` cases as `wanted` is of [`CASES`].
fn scaled(usual: u32, wanted: u32) -> u32 {
    let scaled = u64::from(usual) * u64::from(wanted) / u64::from(CASES);
    u32::try_from(scaled.max(1)).unwrap_or(u32::MAX)
}

fn attempt(law: &Law, cases: u32) -> Result<()> {
    // A law that no test has any more must not look like one that holds.
    let listed = capture(tests_of(law).args(["--list", "--format=terse"]))?;
    ensure!(listed.lines().any(|line| line.ends_with(": test")), "no test is called {:?}", law.test);
    call(tests_of(law).arg("--test-threads=1").env("MUSTER_TEST_CASES", cases.to_string()))
}

/// The command that runs the tests of a law; arguments of the tests may follow.
fn tests_of(law: &Law) -> Command {
    let mut command = cargo();
    command.args(["test", "--quiet", "--locked", "--profile", "laws", "--package", law.package]);
    match law.file {
        Some(file) => command.args(["--test", file]),
        None => command.arg("--lib"),
    };
    command.args(["--", law.test]);
    command
}

fn table(trials: &[Trial]) -> String {
    let mut text = String::from("\nlaw             cases   seconds\n");
    for trial in trials {
        let word = if trial.holds { "holds " } else { "BROKEN" };
        let (name, cases, seconds) = (trial.law.name, trial.cases, trial.took.as_secs());
        let _ = writeln!(text, "{name:<12} {cases:>8} {seconds:>9}  {word}  {}", trial.law.says);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn arguments_choose_laws_and_cases() {
        let chosen = |text| read(&words(text)).map(|(cases, laws)| (cases, laws.len()));
        assert_eq!(chosen("").unwrap(), (CASES, LAWS.len()));
        assert_eq!(chosen("blockers --cases 50 limits").unwrap(), (50, 2));
        let message = |text| format!("{:#}", chosen(text).unwrap_err());
        assert!(message("ohm").starts_with("there is no law \"ohm\"; the laws are once, "), "{}", message("ohm"));
        assert_eq!(message("--cases"), "--cases needs a number");
        assert_eq!(message("--cases x"), "--cases x: invalid digit found in string");
        assert_eq!(message("--cases 0"), "--cases 0 would try nothing");
    }

    #[test]
    fn dear_laws_are_tried_less_often() {
        assert_eq!([scaled(200_000, CASES), scaled(200_000, 100), scaled(1_000, 5)], [200_000, 2_000, 1]);
    }

    #[test]
    fn the_table_tells_what_was_tried() {
        let trial = |at: usize, holds| Trial { law: &LAWS[at], cases: 12, took: Duration::from_secs(3), holds };
        let expected = "
law             cases   seconds
once               12         3  holds   no resource is given twice, and something is said of every job
warm               12         3  BROKEN  a pass that goes on from the last one's books decides as one that begins anew
";
        assert_eq!(table(&[trial(0, true), trial(2, false)]), expected);
    }
}
