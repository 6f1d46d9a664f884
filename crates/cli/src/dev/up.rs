//! `muster dev up DIR`: starts what is missing, and returns when all nodes are usable.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use muster_model::node::{Node, NodeHealth};

pub(crate) use super::arguments::Up;
use super::cluster::{self, CONTROLLER};
use super::layout::Layout;
use super::{configuration, links, process};
use crate::runtime::block_on;

/// How long the controller may take until it answers.
const CONTROLLER_PATIENCE: Duration = Duration::from_secs(30);
/// How long the nodes may take until they are usable.
const NODES_PATIENCE: Duration = Duration::from_secs(60);

/// Starts the cluster and says how to use it.
pub(super) fn run(up: &Up) -> anyhow::Result<ExitCode> {
    let layout = bring_up(up)?;
    let nodes = block_on(cluster::nodes(&layout))?;
    let cpus: u32 = nodes.iter().map(|node| node.config.hardware.cpus).sum();
    eprintln!("{} nodes with {cpus} CPUs are up. To use them:\n", nodes.len());
    eprintln!("    eval \"$(muster dev env {})\"", up.directory.display());
    Ok(ExitCode::SUCCESS)
}

/// Starts whatever of the cluster does not run, and waits until its nodes are usable.
pub(crate) fn bring_up(up: &Up) -> anyhow::Result<Layout> {
    let layout = Layout::create(&up.directory)?;
    layout.make_directories()?;
    links::make(&layout.bin())?;
    if !layout.slurm_conf().exists() {
        configuration::write(&layout, up)?;
    }
    start_controller(&layout)?;
    let nodes = block_on(cluster::nodes(&layout))?;
    for node in nodes.iter().filter(|node| node.health != NodeHealth::Future) {
        start_agent(&layout, node.name())?;
    }
    wait_for_nodes(&layout)?;
    Ok(layout)
}

fn start_controller(layout: &Layout) -> anyhow::Result<()> {
    let (pid_file, log) = (layout.pid_file(CONTROLLER), layout.log(CONTROLLER));
    if process::alive(&pid_file).is_none() {
        let mut command = Command::new(layout.bin().join("slurmctld"));
        command.arg("-D").arg("-f").arg(layout.slurm_conf()).current_dir(layout.root());
        process::start(&mut command, &log, &pid_file)?;
    }
    let mut died = false;
    let answers = process::wait_until(CONTROLLER_PATIENCE, || {
        died = process::alive(&pid_file).is_none();
        died || block_on(cluster::nodes(layout)).is_ok()
    });
    anyhow::ensure!(!died, "the controller ended at once; the end of {} says:\n{}", log.display(), tail(&log));
    anyhow::ensure!(
        answers,
        "the controller did not answer within {} s; see {}",
        CONTROLLER_PATIENCE.as_secs(),
        log.display()
    );
    Ok(())
}

fn start_agent(layout: &Layout, node: &str) -> anyhow::Result<()> {
    let pid_file = layout.pid_file(node);
    if process::alive(&pid_file).is_some() {
        return Ok(());
    }
    let spool = layout.spool(node);
    std::fs::create_dir_all(&spool).with_context(|| format!("cannot make the directory {}", spool.display()))?;
    let mut command = Command::new(layout.bin().join("slurmd"));
    command.arg("-D").arg("-N").arg(node).arg("-f").arg(layout.slurm_conf()).current_dir(layout.root());
    process::start(&mut command, &layout.log(node), &pid_file)?;
    Ok(())
}

fn wait_for_nodes(layout: &Layout) -> anyhow::Result<()> {
    let mut missing = String::new();
    let ready = process::wait_until(NODES_PATIENCE, || match block_on(cluster::nodes(layout)) {
        Ok(nodes) => {
            let waiting: Vec<&str> = nodes.iter().filter(|node| !is_there(node)).map(|node| &**node.name()).collect();
            missing = waiting.join(", ");
            waiting.is_empty()
        }
        Err(error) => {
            missing = error.to_string();
            false
        }
    });
    anyhow::ensure!(
        ready,
        "not all nodes came up within {} s: {missing}; see {}",
        NODES_PATIENCE.as_secs(),
        layout.log("NODE").display()
    );
    Ok(())
}

/// Its agent is connected, or the configuration does not want it to be used.
fn is_there(node: &Node) -> bool {
    !node.not_responding || matches!(node.health, NodeHealth::Down | NodeHealth::Future)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
