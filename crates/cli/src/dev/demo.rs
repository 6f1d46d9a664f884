//! `muster demo`: a cluster at work, in a minute. Everything in it is done by the real commands on real jobs.

mod jobs;
mod progress;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use muster_client::Client;
use muster_model::ids::JobId;

use super::layout::Layout;
use super::{down, up};
use crate::runtime::block_on;
use jobs::Shell;

/// See a cluster at work: starts one on this machine, runs jobs through both doors, and shows what became of them.
#[derive(Debug, Parser)]
#[command(name = "muster demo", version)]
struct Arguments {
    /// Leave the cluster running and say what to try.
    #[arg(long)]
    keep: bool,
    /// Directory of the cluster; by default one in the temporary directory.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// `muster demo`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(std::iter::once(OsString::from("muster demo")).chain(args)) {
        Ok(arguments) => arguments,
        Err(error) => return crate::native::arguments::refuse(&error),
    };
    let default = || std::env::temp_dir().join(format!("muster-demo-{}", std::process::id()));
    let directory = arguments.dir.clone().unwrap_or_else(default);
    match show(&directory, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muster demo: {error:#}");
            eprintln!("muster demo: logs are in {}/log", directory.display());
            if let Ok(layout) = Layout::open(&directory) {
                down::take_down(&layout);
            }
            ExitCode::FAILURE
        }
    }
}

fn show(directory: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    heading("A cluster of four nodes, each pretending to have 16 CPUs");
    let size = up::Up { directory: directory.to_owned(), nodes: 4, cpus: 16, memory_mb: 64_000, gpus: 0, conf: None };
    let layout = progress::spinner("starting one controller and four agents", || up::bring_up(&size))?;
    let shell = Shell::new(&layout)?;
    shell.show("sinfo")?;

    heading("Through Slurm's door: an array, a job that waits for it, and a job over two nodes");
    let sweep = shell.submit("sbatch --parsable sweep.sh")?;
    let report = shell.submit(&format!("sbatch --parsable --dependency=afterok:{sweep} report.sh"))?;
    let ranks = shell.submit("sbatch --parsable ranks.sh")?;
    shell.show("squeue")?;

    heading("Through dstack's door: a task on two nodes");
    shell.show("dstack apply -f task.dstack.yml -y -d")?;

    heading("Until all of it is done");
    block_on(async {
        let client = Client::connect_to(&layout.socket()).await?;
        let task = jobs::newest_job(&client).await.context("the task is not in the queue")?;
        let watched = [("sweep", sweep), ("report", report), ("ranks", ranks), ("task", task)];
        progress::follow(&client, &watched).await
    })?;

    heading("What they printed");
    for file in ["report.out", "ranks.out"] {
        shell.show(&format!("cat {file}"))?;
    }
    shell.show("dstack logs pair")?;
    heading("What became of them");
    shell.show("sacct -X --format=JobID,JobName,Partition,AllocCPUS,NodeList,Elapsed,State,ExitCode")?;
    finish(&layout, directory, arguments)
}

fn finish(layout: &Layout, directory: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.keep {
        heading("The cluster stays up. Try");
        println!("    eval \"$(muster dev env {})\"", directory.display());
        println!("    sbatch --wrap 'hostname; sleep 30' && squeue");
        println!("    srun -N2 -n4 -l hostname");
        println!("    muster dev down {}", directory.display());
        return Ok(());
    }
    let stopped = progress::spinner("stopping the cluster", || Ok(down::take_down(layout)))?;
    anyhow::ensure!(stopped > 0, "nothing was left to stop");
    if arguments.dir.is_none() {
        std::fs::remove_dir_all(layout.root()).with_context(|| format!("cannot remove {}", layout.root().display()))?;
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}\n");
}

/// A number printed by `sbatch --parsable`.
fn job_number(text: &str) -> anyhow::Result<JobId> {
    let number = text.trim().split(';').next().unwrap_or_default();
    number.parse().map(JobId).with_context(|| format!("sbatch printed no job number but {text:?}"))
}
