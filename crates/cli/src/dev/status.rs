//! `muster dev status DIR`: which processes run.

use std::path::Path;
use std::process::ExitCode;

use muster_model::node::Node;
use serde::Serialize;

use super::cluster::{self, CONTROLLER};
use super::layout::Layout;
use super::process;
use crate::runtime::block_on;

/// What `--json` prints. Part of the contract that checks rely on.
#[derive(Debug, Serialize)]
struct Status {
    controller: Controller,
    nodes: Vec<NodeStatus>,
}

#[derive(Debug, Serialize)]
struct Controller {
    pid: Option<u32>,
    address: String,
}

#[derive(Debug, Serialize)]
struct NodeStatus {
    name: String,
    pid: Option<u32>,
    state: String,
}

pub(super) fn run(directory: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let layout = Layout::existing(directory)?;
    let nodes = block_on(cluster::nodes(&layout));
    let controller = Controller { pid: process::alive(&layout.pid_file(CONTROLLER)), address: address(&layout) };
    let nodes = match nodes {
        Ok(nodes) => nodes.iter().map(|node| node_status(&layout, node.name(), state(node))).collect(),
        Err(_) => cluster::node_names_on_disk(&layout)
            .iter()
            .map(|name| node_status(&layout, name, "unknown".to_owned()))
            .collect(),
    };
    let status = Status { controller, nodes };
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print_table(&status);
    }
    let all_alive = status.controller.pid.is_some() && status.nodes.iter().all(|node| node.pid.is_some());
    Ok(if all_alive { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_table(status: &Status) {
    let pid = |pid: Option<u32>| pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    println!("{:<12} {:>8}  STATE", "NAME", "PID");
    let state = if status.controller.pid.is_some() { "up" } else { "down" };
    println!("{:<12} {:>8}  {state} at {}", CONTROLLER, pid(status.controller.pid), status.controller.address);
    for node in &status.nodes {
        println!("{:<12} {:>8}  {}", node.name, pid(node.pid), node.state);
    }
}

fn node_status(layout: &Layout, name: &str, state: String) -> NodeStatus {
    NodeStatus { name: name.to_owned(), pid: process::alive(&layout.pid_file(name)), state }
}

/// The state as `sinfo` would show it.
fn state(node: &Node) -> String {
    muster_slurm::output::node_text::NodeState::of(node).long().to_lowercase()
}

/// Where agents reach the controller.
fn address(layout: &Layout) -> String {
    let text = std::fs::read_to_string(layout.slurm_conf()).unwrap_or_default();
    let port = text.lines().find_map(|line| line.strip_prefix("SlurmctldPort=")).unwrap_or("6817");
    format!("127.0.0.1:{}", port.trim())
}
