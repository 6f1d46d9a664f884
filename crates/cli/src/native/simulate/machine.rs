//! What the jobs are replayed on: a slurm.conf, the size that was given, or that of the trace; and the same with changes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_replay::{Machine, Workload};
use muster_slurm::conf;

use super::Arguments;
use super::settings;

/// The machine as it is, and with what `--set` changes.
pub(super) struct Machines {
    pub(super) present: Machine,
    pub(super) changed: Option<Machine>,
}

/// The file that stands for a machine that has none, in messages.
const UNWRITTEN: &str = "slurm.conf";

/// What the arguments ask for.
pub(super) fn of(arguments: &Arguments, workload: &Workload) -> anyhow::Result<Machines> {
    if let Some(path) = conf_path(arguments) {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        return from_conf(arguments, &path, &text);
    }
    let (nodes, cpus) = size(arguments, workload)?;
    let present = Machine::of_size(nodes, cpus, arguments.whole_nodes)?;
    if arguments.set.is_empty() {
        return Ok(Machines { present, changed: None });
    }
    anyhow::ensure!(!arguments.whole_nodes, "--set with --whole-nodes: use --set SelectType=select/linear instead");
    from_conf(arguments, Path::new(UNWRITTEN), &written(nodes, cpus))
}

/// Processors for a made-up workload, whose jobs are as large as the machine allows.
pub(super) fn cpus_for_synthetic(arguments: &Arguments) -> anyhow::Result<u32> {
    match (conf_path(arguments), arguments.nodes, arguments.cpus) {
        (Some(path), _, _) => {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(load(&path, &text)?.cpus())
        }
        (None, Some(nodes), Some(cpus)) => total(nodes, cpus),
        _ => anyhow::bail!("made-up jobs need a machine: --nodes and --cpus, or --conf"),
    }
}

/// The configuration to go by, if any.
fn conf_path(arguments: &Arguments) -> Option<PathBuf> {
    let of_cluster = || arguments.history.then(|| std::env::var_os("SLURM_CONF").map(PathBuf::from)).flatten();
    match arguments.nodes {
        Some(_) => None,
        None => arguments.conf.clone().or_else(of_cluster),
    }
}

fn from_conf(arguments: &Arguments, path: &Path, text: &str) -> anyhow::Result<Machines> {
    let present = load(path, text)?;
    if arguments.set.is_empty() {
        return Ok(Machines { present, changed: None });
    }
    let changed = load(path, &settings::apply(text, &arguments.set)?).context("with what --set changes")?;
    for name in settings::without_effect(&arguments.set) {
        eprintln!("--set: {name} is not acted on by this version, or not in a replay");
    }
    Ok(Machines { present, changed: Some(changed) })
}

/// Reads a configuration whose main file has this text.
fn load(path: &Path, text: &str) -> anyhow::Result<Machine> {
    let read = |wanted: &Path| if wanted == path { Ok(text.to_owned()) } else { std::fs::read_to_string(wanted) };
    let loaded = conf::load(path, &read)?;
    Ok(Machine::of_config(loaded.cluster))
}

/// Nodes and processors, without a configuration.
fn size(arguments: &Arguments, workload: &Workload) -> anyhow::Result<(u32, u32)> {
    if let (Some(nodes), Some(cpus)) = (arguments.nodes, arguments.cpus) {
        return Ok((nodes, total(nodes, cpus)?));
    }
    let cpus = workload.cpus.context("the size of the machine is not known: give --nodes and --cpus, or --conf")?;
    Ok((workload.nodes.unwrap_or(1).clamp(1, cpus), cpus))
}

fn total(nodes: u32, cpus: u32) -> anyhow::Result<u32> {
    nodes.checked_mul(cpus).with_context(|| format!("{nodes} nodes with {cpus} processors each are too many"))
}

/// The configuration of a machine without one, so that it can be changed.
fn written(nodes: u32, cpus: u32) -> String {
    let (each, more) = (cpus / nodes, cpus % nodes);
    let mut text = String::from(
        "ClusterName=replay\nSlurmctldHost=localhost\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n",
    );
    let mut line = |first: u32, last: u32, cpus: u32| {
        if first <= last {
            text.push_str(&format!("NodeName=n[{first}-{last}] CPUs={cpus} RealMemory={cpus}\n"));
        }
    };
    line(1, more, each + 1);
    line(more + 1, nodes, each);
    text.push_str("PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n");
    text
}
