//! Completions per second of tasks that do nothing, each end durable.

use std::time::Instant;

use anyhow::Result;

use super::support::{Cluster, build, figure, output_of};

/// Tasks of the array.
const TASKS: u32 = 5000;

pub(super) fn run(_args: &[String]) -> Result<()> {
    let release = build(&[])?;
    figure(
        "bare fork, exec and wait of true",
        format!("{:.0}/s", spawn_limit()?),
        "the limit of this machine, one core",
    );
    let cluster = Cluster::start(&release, 4, "completions")?;
    let began = Instant::now();
    let array = format!("--array=0-{}", TASKS - 1);
    output_of(cluster.command("sbatch").args(["--wait", &array, "--output=/dev/null", "--wrap=true"]))?;
    let rate = f64::from(TASKS) / began.elapsed().as_secs_f64();
    let goal = "floor 600/s, goal ahead of HyperQueue's 1,400/s; Slurm 22.05: 18 to 27";
    figure(&format!("completions/s of {TASKS} tasks on 4 nodes of 16 CPUs"), format!("{rate:.0}/s"), goal);
    Ok(())
}

/// How many processes one thread starts and collects in a second.
fn spawn_limit() -> Result<f64> {
    const PROCESSES: u32 = 1000;
    let began = Instant::now();
    for _ in 0..PROCESSES {
        std::process::Command::new("/bin/true").status()?;
    }
    Ok(f64::from(PROCESSES) / began.elapsed().as_secs_f64())
}
