//! `cargo xtask bench`: the measurements, each by name.
//!
//! A benchmark is one file under `bench/` and one line in [`BENCHES`]. It runs the release build of
//! the program or the simulator as a process of its own, so that this front depends on neither, and
//! prints its figures to standard output. `all` runs each in turn.

mod api;
mod commands;
mod completions;
mod fan_out;
mod latency;
mod launch;
pub(crate) mod replay;
mod sched;
mod steps;
mod support;

use std::process::ExitCode;

use anyhow::{Result, ensure};

/// One measurement.
struct Bench {
    name: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const BENCHES: &[Bench] = &[
    Bench { name: "api", summary: "durable submits per second, memory of the controller", run: api::run },
    Bench {
        name: "commands",
        summary: "sbatch and srun as processes; --slurm-conf FILE for real Slurm beside",
        run: commands::run,
    },
    Bench { name: "completions", summary: "ends of tasks per second, each durable", run: completions::run },
    Bench {
        name: "fan-out",
        summary: "a job on thousands of nodes: time, bytes and work of the controller, with the tree of relays and without",
        run: fan_out::run,
    },
    Bench {
        name: "latency",
        summary: "submits, completions, reads and starts while the planner works, and while it rests",
        run: latency::run,
    },
    Bench {
        name: "launch",
        summary: "starts of jobs and steps, output and memory; with --slurm-up FILE beside a real Slurm, with ratios",
        run: launch::run,
    },
    Bench {
        name: "replay",
        summary: "replayed jobs per second; the planner beside other policies on a real trace",
        run: replay::run,
    },
    Bench {
        name: "steps",
        summary: "starts of steps, large steps, output through srun; --slurm-conf FILE for real Slurm beside",
        run: steps::run,
    },
    Bench { name: "sched", summary: "passes of the scheduler, over queue length and cluster size", run: sched::run },
];

/// The name that stands for every benchmark.
const ALL: &str = "all";

/// Runs the benchmark named by the first argument and passes it the others.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", help());
        return Ok(ExitCode::from(2));
    };
    if name == ALL {
        ensure!(rest.is_empty(), "`{ALL}` takes no arguments, but got {rest:?}: benchmarks differ in theirs");
    }
    let chosen: Vec<&Bench> = BENCHES.iter().filter(|bench| name == ALL || name == bench.name).collect();
    ensure!(!chosen.is_empty(), "there is no benchmark {name:?}\n\n{}", help());

    for bench in chosen {
        (bench.run)(rest)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn help() -> String {
    let mut text = String::from("Usage: cargo xtask bench NAME [ARG...]\n\n");
    for bench in BENCHES {
        text.push_str(&format!("  {:<12} {}\n", bench.name, bench.summary));
    }
    text.push_str(&format!("  {ALL:<12} each of them\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_benchmark_is_refused() {
        let error = run(&["shed".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("there is no benchmark \"shed\""), "{error}");
    }
}
