//! How fast steps start and how fast their output flows; beside real Slurm where a slurm.conf of one is given.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::support::{Commands, beside_slurm, figure, median_ms};

/// Runs of a timed command.
const RUNS: usize = 11;
/// Runs of a command that takes seconds.
const RUNS_LONG: usize = 3;
/// Steps in one allocation, one after the other.
const STEPS: usize = 20;
/// Bytes through the standard output of `srun`.
const OUTPUT_BYTES: u64 = 1 << 30;
/// Tasks of a large step.
const TASKS: &str = "-n2000";

/// `cargo xtask bench steps [--slurm-conf FILE]`.
pub(super) fn run(args: &[String]) -> Result<()> {
    beside_slurm("steps", args, measure)
}

fn measure(command: &Commands<'_>) -> Result<()> {
    for (what, value) in figures(command) {
        let value = value?;
        figure(what.words, format!("{value:.*} {}", what.decimals, what.unit), what.goal);
    }
    Ok(())
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct What {
    pub(super) words: &'static str,
    pub(super) unit: &'static str,
    pub(super) decimals: usize,
    pub(super) goal: &'static str,
}

/// All figures of one cluster, each by itself: a real Slurm refuses more than `MaxTasksPerNode` tasks on a node.
pub(super) fn figures(command: &Commands<'_>) -> Vec<(What, Result<f64>)> {
    let srun = |arguments: &[&str]| {
        let mut srun = command("srun");
        srun.args(arguments);
        srun
    };
    let ms = |words, decimals, goal| What { words, unit: "ms", decimals, goal };
    let rate = |words, goal| What { words, unit: "GiB/s", decimals: 2, goal };
    vec![
        (ms("srun -n1 true, median", 1, "under 30 ms"), median_ms(RUNS, || srun(&["-n1", "true"]))),
        (ms("a step in an allocation, mean of many", 1, "under 15 ms"), step_ms(command)),
        (ms("srun -N4 -n64 true, median", 0, "under 150 ms"), median_ms(RUNS, || srun(&["-N4", "-n64", "true"]))),
        (ms("srun -O -N4 -n2000 true, median", 0, ""), median_ms(RUNS_LONG, || srun(&["-O", "-N4", TASKS, "true"]))),
        (ms("srun -O -N1 -n2000 true, median", 0, ""), median_ms(RUNS_LONG, || srun(&["-O", "-N1", TASKS, "true"]))),
        (rate("1 GiB by head through a pipe", ""), flow(command("head"))),
        (rate("1 GiB through the standard output of srun", "near the pipe"), flow(srun(&["-n1", "head"]))),
    ]
}

/// Mean time of a step, from a loop of the shell within one allocation.
fn step_ms(command: &Commands<'_>) -> Result<f64> {
    let mut salloc = command("salloc");
    let own = command("srun").get_program().to_string_lossy().into_owned();
    let line = format!("time for i in $(seq {STEPS}); do {own} -n1 true; done");
    let output = salloc
        .args(["-Q", "-n1", "bash", "-c", &format!("TIMEFORMAT=%R; {line}")])
        .stdin(Stdio::null())
        .output()
        .context("cannot run salloc")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "salloc ended with {}: {text}", output.status);
    let seconds: f64 =
        text.lines().last().and_then(|line| line.trim().parse().ok()).context("no time in the output")?;
    Ok(seconds * 1000.0 / STEPS as f64)
}

/// Gibibytes per second that come out of a command which is given `-c BYTES /dev/zero`.
fn flow(mut command: Command) -> Result<f64> {
    let began = Instant::now();
    let mut child = command
        .args(["-c", &OUTPUT_BYTES.to_string(), "/dev/zero"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run the command that writes")?;
    let mut output = child.stdout.take().context("no pipe")?;
    let bytes = std::io::copy(&mut output, &mut std::io::sink())?;
    ensure!(child.wait()?.success() && bytes == OUTPUT_BYTES, "only {bytes} bytes came");
    Ok(bytes as f64 / f64::from(1 << 30) / began.elapsed().as_secs_f64())
}
