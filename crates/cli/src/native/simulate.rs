//! `muster simulate`: what would have happened to a queue under another policy or configuration.
//!
//! Here the jobs and the machine are read and the outcome is shown; what happens in between is in `muster_replay`.

mod machine;
mod settings;
mod source;
mod table;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgGroup, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use muster_replay::reference::{self, Note};
use muster_replay::{Figures, Machine, Passes, Plotted, Policy, Product, Schedule, Stuck, Workload};

use super::arguments::{main, parse};
use super::terminal::{put, say};
use settings::Setting;
use source::Source;

/// Replay jobs in virtual time: how long they would wait under the scheduler, under other policies, or with another
/// configuration.
///
/// Jobs come from a trace in the Standard Workload Format, from the history of the cluster, or are made up. They come when
/// they came and run as long as they ran.
#[derive(Debug, Parser)]
#[command(name = "muster simulate", version, group = ArgGroup::new("source").required(true))]
pub(super) struct Arguments {
    /// Replay a trace in the Standard Workload Format.
    #[arg(long, value_name = "FILE", group = "source")]
    swf: Option<PathBuf>,
    /// Replay the jobs that this cluster has run.
    #[arg(long, group = "source")]
    history: bool,
    /// Replay so many made-up jobs.
    #[arg(long, value_name = "COUNT", group = "source", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    synthetic: Option<u32>,
    /// Of the history, only what was active since then (2026-01-31, now-7days, ...).
    #[arg(long, value_name = "TIME", requires = "history")]
    since: Option<String>,
    /// Another number makes other jobs.
    #[arg(long, default_value_t = 1, requires = "synthetic")]
    seed: u64,
    /// Made-up work, in percent of what the machine can do.
    #[arg(long, value_name = "PERCENT", default_value_t = 90, requires = "synthetic",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    load: u32,
    /// Nodes, partitions and parameters of the cluster; for the history, by default those of SLURM_CONF.
    #[arg(long, value_name = "SLURM.CONF", conflicts_with = "nodes")]
    conf: Option<PathBuf>,
    /// Nodes of the machine, instead of what the trace says.
    #[arg(long, requires = "cpus", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    nodes: Option<u32>,
    /// Processors of each node.
    #[arg(long, requires = "nodes", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    cpus: Option<u32>,
    /// Give each job whole nodes.
    #[arg(long, conflicts_with = "conf")]
    whole_nodes: bool,
    /// Policies to compare, with commas between them: muster, fcfs, easy, conservative, sjf-easy, all.
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = policies)]
    policy: Policies,
    /// Replay also with this changed: a key of slurm.conf, a key of SchedulerParameters, or PARTITION.KEY. May be given
    /// several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = settings::read)]
    set: Vec<Setting>,
    /// All figures as JSON.
    #[arg(long)]
    json: bool,
    /// Also the so many users who waited longest.
    #[arg(long, value_name = "COUNT", default_value_t = 0, conflicts_with = "json")]
    users: usize,
    /// Write a line for each job.
    #[arg(long, value_name = "FILE.csv")]
    jobs: Option<PathBuf>,
    /// Draw use of the machine, length of the queue and waits.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What `--policy` names.
#[derive(Debug, Clone)]
struct Policies(Vec<Policy>);

fn policies(text: &str) -> Result<Policies, String> {
    let mut chosen = Vec::new();
    for name in text.split(',').map(str::trim) {
        if name == "all" {
            chosen.extend(Policy::ALL);
        } else {
            chosen.push(name.parse()?);
        }
    }
    let mut seen = Vec::new();
    chosen.retain(|policy| {
        !seen.contains(policy) && {
            seen.push(*policy);
            true
        }
    });
    Ok(Policies(chosen))
}

/// `muster simulate`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("simulate", args) {
        Ok(arguments) => main(simulate(arguments)),
        Err(code) => code,
    }
}

/// One replay that has been made.
pub(super) struct Replay {
    name: String,
    schedule: Schedule,
    figures: Figures,
}

async fn simulate(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let policies = &arguments.policy.0;
    if !arguments.set.is_empty() && !policies.contains(&Policy::Muster) {
        anyhow::bail!("--set changes the configuration of muster, which --policy does not name");
    }
    let source = Source::of(&arguments).await?;
    let (mut workload, name) = (source.workload, source.name);
    let machines = machine::of(&arguments, &workload)?;
    report_left_out(&mut workload, &machines);
    anyhow::ensure!(!workload.jobs.is_empty(), "{name} has no jobs to replay");

    let mut replays = Vec::new();
    for policy in policies {
        replays.push(replay(*policy, policy.name().to_owned(), &workload, &machines.present));
        if let (Policy::Muster, Some(changed)) = (policy, &machines.changed) {
            replays.push(replay(*policy, "changed".to_owned(), &workload, changed));
        }
    }
    write_files(&arguments, &name, &workload, &machines.present, &replays)?;
    if arguments.json {
        let figures: Vec<(String, Figures)> = replays.into_iter().map(|replay| (replay.name, replay.figures)).collect();
        say(&muster_replay::json(&name, &workload, machines.present.cpus(), &figures).to_string());
    } else {
        put(&table::head(&name, &workload, &machines.present));
        put(&table::figures(&replays));
        put(&table::users(&replays, arguments.users));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what is not replayed, or not as it was.
fn report_left_out(workload: &mut Workload, machines: &machine::Machines) {
    if workload.left_out > 0 {
        eprintln!("left out: {} records that did not run", workload.left_out);
    }
    if workload.limits_raised > 0 {
        eprintln!("{} jobs ran longer than their limit, which was raised to their run time", workload.limits_raised);
    }
    let cpus = machines.changed.iter().chain([&machines.present]).map(Machine::cpus).min().unwrap_or(0);
    let too_large = workload.leave_out_larger_than(cpus);
    if too_large > 0 {
        eprintln!("left out: {too_large} jobs that are larger than the machine of {cpus} processors");
    }
}

fn replay(policy: Policy, name: String, workload: &Workload, machine: &Machine) -> Replay {
    let bar = progress(&name, workload.jobs.len());
    let demands = workload.demands(machine.unit());
    let mut started = 0;
    let mut count = |note: Note| {
        if matches!(note, Note::Started { .. }) {
            started += 1;
            if started % 1000 == 0 {
                bar.set_position(started);
            }
        }
    };
    let schedule = match reference::run(policy, &demands, machine.units(), &mut count) {
        Some(schedule) => schedule,
        None => {
            let mut set = |ended: usize| bar.set_position(u64::try_from(ended).unwrap_or(u64::MAX));
            let product = Product::replay(workload, machine, Passes::Full, &mut set);
            bar.suspend(|| report_stuck(&name, &product.stuck));
            if product.evictions > 0 {
                bar.suspend(|| eprintln!("{name}: preemption is not replayed: victims run to their end"));
            }
            product.schedule
        }
    };
    bar.finish_and_clear();
    let figures = Figures::of(workload, &schedule, machine.cpus());
    Replay { name, schedule, figures }
}

fn report_stuck(name: &str, stuck: &[Stuck]) {
    for group in stuck {
        let (count, first, reason) = (group.count, group.first, group.reason);
        eprintln!("{name}: {count} jobs never start, the first of them job {first}: {reason}");
    }
}

/// A bar on stderr; nothing where stderr is no terminal.
fn progress(name: &str, jobs: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(jobs).unwrap_or(u64::MAX)).with_message(name.to_owned());
    // The template is a constant that is known to be well-formed; the default one is no disaster.
    let style = ProgressStyle::with_template("{msg:14} [{wide_bar}] {human_pos}/{human_len} jobs, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write_files(
    arguments: &Arguments,
    source: &str,
    workload: &Workload,
    machine: &Machine,
    replays: &[Replay],
) -> anyhow::Result<()> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &arguments.jobs {
        let schedules: Vec<(String, &Schedule)> =
            replays.iter().map(|replay| (replay.name.clone(), &replay.schedule)).collect();
        write(path, muster_replay::csv(workload, &schedules))?;
    }
    if let Some(path) = &arguments.plot {
        let plotted: Vec<Plotted<'_>> =
            replays.iter().map(|replay| Plotted { name: &replay.name, schedule: &replay.schedule }).collect();
        write(path, muster_replay::svg(source, workload, machine.cpus(), &plotted))?;
    }
    Ok(())
}
