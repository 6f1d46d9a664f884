//! How fast the everyday commands are, as processes; beside real Slurm where a slurm.conf of one is given.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::support::{Commands, beside_slurm, figure, median_ms, output_of};

/// `sbatch` processes of one measurement.
const SBATCHES: usize = 400;
/// How many of them run at once.
const SBATCHES_AT_ONCE: usize = 8;
/// Runs of a timed command.
const RUNS: usize = 15;

/// `cargo xtask bench commands [--slurm-conf FILE]`.
pub(super) fn run(args: &[String]) -> Result<()> {
    beside_slurm("commands", args, measure)
}

fn measure(command: &Commands<'_>) -> Result<()> {
    let rate = sbatch_rate(command)?;
    figure("sbatch processes/s", format!("{rate:.0}/s"), "goal 5 times Slurm's 50 to 100");
    output_of(command("scancel").args(["--name=bench-held"]))?;
    let wait = median_ms(RUNS, || {
        let mut sbatch = command("sbatch");
        sbatch.args(["--wait", "--output=/dev/null", "--wrap=true"]);
        sbatch
    })?;
    figure("sbatch --wait --wrap=true, median", format!("{wait:.1} ms"), "goal under 60 ms; Slurm 2,100 ms");
    let srun = median_ms(RUNS, || {
        let mut srun = command("srun");
        srun.args(["-n1", "true"]);
        srun
    })?;
    figure("srun -n1 true, median", format!("{srun:.1} ms"), "goal under 40 ms; Slurm 250 ms");
    Ok(())
}

fn sbatch_rate(command: &Commands<'_>) -> Result<f64> {
    let began = Instant::now();
    let mut running = Vec::with_capacity(SBATCHES_AT_ONCE);
    for _ in 0..SBATCHES {
        if running.len() == SBATCHES_AT_ONCE {
            finish(running.remove(0))?;
        }
        let child = command("sbatch")
            .args(["--hold", "--job-name=bench-held", "--output=/dev/null", "--wrap=true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run sbatch")?;
        running.push(child);
    }
    for child in running {
        finish(child)?;
    }
    Ok(SBATCHES as f64 / began.elapsed().as_secs_f64())
}

fn finish(mut child: std::process::Child) -> Result<()> {
    let status = child.wait()?;
    ensure!(status.success(), "sbatch ended with {status}");
    Ok(())
}
