//! `NodeName=` lines.

use muster_model::array::TaskSet;
use muster_model::hostlist;
use muster_model::ids::Name;
use muster_model::node::{Hardware, InitialState, NodeConfig};
use muster_model::resources::{Gres, IndexSet, Megabytes};

use super::ConfError;
use super::lines::Line;
use crate::grammar::gres;

/// Keys that a node line may have. Those marked `false` are read and not acted on.
const KEYS: &[(&str, bool)] = &[
    ("NodeName", true),
    ("NodeHostname", true),
    ("NodeAddr", true),
    ("Port", true),
    ("CPUs", true),
    ("Procs", true),
    ("Boards", true),
    ("Sockets", true),
    ("SocketsPerBoard", true),
    ("CoresPerSocket", true),
    ("ThreadsPerCore", true),
    ("RealMemory", true),
    ("TmpDisk", true),
    ("Feature", true),
    ("Features", true),
    ("Gres", true),
    ("Weight", true),
    ("State", true),
    ("Reason", true),
    ("BcastAddr", false),
    ("CoreSpecCount", true),
    ("CPUSpecList", true),
    ("CpuBind", false),
    ("GresConf", false),
    ("MemSpecLimit", true),
    ("Parameters", false),
    ("RestrictedCoresPerGPU", true),
    ("SuspendTime", false),
    ("Topology", false),
    ("TRESWeights", false),
];

/// Nodes of one line, with the defaults of `NodeName=DEFAULT` lines before it.
pub(super) fn read(line: &Line, default: &Line, warnings: &mut Vec<String>) -> Result<Vec<NodeConfig>, ConfError> {
    check_keys(line, KEYS, warnings)?;
    let get = |key: &str| line.get(key).or_else(|| default.get(key));
    let expand = |key: &str| -> Result<Option<Vec<String>>, ConfError> {
        get(key)
            .map(|list| hostlist::expand(list).map_err(|problem| line.error(format!("{key}: {problem}"))))
            .transpose()
    };
    let names = expand("NodeName")?.unwrap_or_default();
    let hosts = expand("NodeHostname")?;
    let addresses = expand("NodeAddr")?;
    let ports = expand("Port")?;
    for (key, list) in [("NodeHostname", &hosts), ("NodeAddr", &addresses), ("Port", &ports)] {
        let count = list.as_ref().map_or(1, Vec::len);
        if count != 1 && count != names.len() {
            return Err(
                line.error(format!("{key} names {count} values for {} nodes; give one, or one for each", names.len()))
            );
        }
    }
    let pick = |list: &Option<Vec<String>>, at: usize| -> Option<Name> {
        let list = list.as_ref()?;
        list.get(at).or_else(|| list.first()).map(|text| text.as_str().into())
    };
    let hardware = hardware(line, default)?;
    let features = get("Features").or_else(|| get("Feature")).unwrap_or_default();
    let features: Vec<Name> = features.split(',').filter(|feature| !feature.is_empty()).map(Into::into).collect();
    let weight = number(line, default, "Weight")?.unwrap_or(1);
    let initial_state = initial_state(line, get("State"))?;
    let mut nodes = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let name: Name = name.as_str().into();
        let host_name = pick(&hosts, at).unwrap_or_else(|| name.clone());
        let port = pick(&ports, at)
            .map(|port| port.parse())
            .transpose()
            .map_err(|_| line.error("Port is not a number from 1 to 65535"))?;
        nodes.push(NodeConfig {
            address: pick(&addresses, at).unwrap_or_else(|| host_name.clone()),
            host_name,
            port: port.unwrap_or(0),
            hardware: hardware.clone(),
            features: features.clone(),
            features_inactive: Vec::new(),
            weight,
            initial_state,
            reason: get("Reason").map(Into::into),
            name,
        });
    }
    Ok(nodes)
}

/// Refuses keys that nobody knows, and notes those not acted on.
pub(super) fn check_keys(line: &Line, keys: &[(&str, bool)], warnings: &mut Vec<String>) -> Result<(), ConfError> {
    for (key, _) in &line.pairs {
        match keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
            Some((_, true)) => {}
            Some((name, false)) => {
                let warning =
                    format!("{name} is not acted on by this version ({} line {})", line.file.display(), line.number);
                warnings.push(warning);
            }
            None => return Err(line.error(format!("unrecognized key: {key}"))),
        }
    }
    Ok(())
}

/// A number of a line or of its defaults.
pub(super) fn number(line: &Line, default: &Line, key: &str) -> Result<Option<u32>, ConfError> {
    let Some(text) = line.get(key).or_else(|| default.get(key)) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| line.error(format!("{key} value \"{text}\" is not a valid number")))
}

/// As Slurm completes what is not given: boards 1, and sockets, cores and CPUs from each other.
fn hardware(line: &Line, default: &Line) -> Result<Hardware, ConfError> {
    let number = |key: &str| number(line, default, key);
    let cpus_given = number("CPUs")?.or(number("Procs")?);
    let boards = number("Boards")?.unwrap_or(1).max(1);
    let sockets_given = match (number("Sockets")?, number("SocketsPerBoard")?) {
        (Some(_), Some(_)) => return Err(line.error("give Sockets or SocketsPerBoard, not both")),
        (Some(sockets), None) => Some(sockets),
        (None, per_board) => per_board.map(|per_board| per_board.saturating_mul(boards)),
    };
    let cores_given = number("CoresPerSocket")?;
    let threads_per_core = number("ThreadsPerCore")?.unwrap_or(1).max(1);
    let cores_per_socket = cores_given.unwrap_or(1).max(1);
    let sockets = sockets_given.unwrap_or_else(|| match (cpus_given, cores_given) {
        (Some(cpus), _) => (cpus / cores_per_socket.saturating_mul(threads_per_core).max(1)).max(1),
        (None, _) => 1,
    });
    let sockets = sockets.max(1);
    let product = sockets.saturating_mul(cores_per_socket).saturating_mul(threads_per_core);
    let cpus = cpus_given.filter(|cpus| *cpus > 0).unwrap_or(product);
    let megabytes = |key: &str, otherwise: u64| -> Result<Megabytes, ConfError> {
        let text = line.get(key).or_else(|| default.get(key));
        let value = text
            .map(|text| text.parse().map_err(|_| line.error(format!("{key} value ({text}) is not a valid number"))));
        Ok(Megabytes(value.transpose()?.unwrap_or(otherwise)))
    };
    let mut hardware = Hardware {
        boards,
        sockets,
        cores_per_socket,
        threads_per_core,
        memory: megabytes("RealMemory", 1)?,
        tmp_disk: megabytes("TmpDisk", 0)?,
        memory_reserved: megabytes("MemSpecLimit", 0)?,
        cores_per_gpu_restricted: number("RestrictedCoresPerGPU")?.unwrap_or(0),
        ..Hardware::of_cpus(cpus)
    };
    hardware.cpus_reserved = reserved(line, default, &hardware)?;
    let gres_text = line.get("Gres").or_else(|| default.get("Gres")).unwrap_or_default();
    (hardware.gres, hardware.gres_unconsumed) = gres_list(line, gres_text)?;
    Ok(hardware)
}

/// CPUs kept for the system: `CPUSpecList`, or `CoreSpecCount` cores from the last of the last socket, round the sockets.
fn reserved(line: &Line, default: &Line, hardware: &Hardware) -> Result<IndexSet, ConfError> {
    let mut cpus = IndexSet::default();
    let threads = hardware.cpus_per_core();
    if let Some(list) = line.get("CPUSpecList").or_else(|| default.get("CPUSpecList")) {
        let bad = || line.error(format!("CPUSpecList {list:?} is no list of CPUs of the node"));
        for cpu in index_list(list).ok_or_else(bad)?.iter() {
            if cpu >= hardware.cpus {
                return Err(bad());
            }
            // Cores are kept whole.
            let first = cpu - cpu % threads;
            (first..first + threads).for_each(|cpu| cpus.insert(cpu));
        }
        return Ok(cpus);
    }
    let count = number(line, default, "CoreSpecCount")?.unwrap_or(0);
    let cores = hardware.cpus / threads;
    if count > 0 && count >= cores {
        return Err(line.error(format!("CoreSpecCount {count} leaves none of {cores} cores")));
    }
    let (sockets, per_socket) = (hardware.sockets, hardware.cores_per_socket);
    let backwards = (0..per_socket).rev().flat_map(|core| (0..sockets).rev().map(move |at| at * per_socket + core));
    for core in backwards.filter(|core| *core < cores).take(count as usize) {
        (core * threads..(core + 1) * threads).for_each(|cpu| cpus.insert(cpu));
    }
    Ok(cpus)
}

/// `0-3,8`, at most [`INDEX_MAX`].
pub(super) fn index_list(text: &str) -> Option<IndexSet> {
    /// Most CPUs or cores of a node.
    const INDEX_MAX: u32 = 65_536;
    let mut set = IndexSet::default();
    TaskSet::parse(text, INDEX_MAX)?.iter().for_each(|index| set.insert(index));
    Some(set)
}

/// `gpu:2,gpu:h100:4(S:0)`: what stands in brackets is where they are, which `gres.conf` tells.
/// `no_consume` sets those apart that no job uses up.
fn gres_list(line: &Line, text: &str) -> Result<(Vec<Gres>, Vec<Gres>), ConfError> {
    let (mut all, mut unconsumed) = (Vec::new(), Vec::new());
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let part = part.split('(').next().unwrap_or(part);
        let is_kept = part.contains(":no_consume");
        let part = part.replace(":no_consume", "");
        let read = gres::parse_list(&part, None);
        let list: &mut Vec<Gres> = if is_kept { &mut unconsumed } else { &mut all };
        list.extend(read.map_err(|_| line.error(format!("Gres {part:?} is not NAME[:TYPE][:COUNT]")))?);
    }
    if let Some(gres) = all.iter().find(|gres| unconsumed.iter().any(|kept| kept.name == gres.name)) {
        return Err(line.error(format!("Gres {} is given with and without no_consume", gres.name)));
    }
    Ok((all, unconsumed))
}

fn initial_state(line: &Line, text: Option<&str>) -> Result<InitialState, ConfError> {
    Ok(match text.unwrap_or("UNKNOWN").to_ascii_uppercase().as_str() {
        "UNKNOWN" | "IDLE" | "UP" => InitialState::Unknown,
        "DOWN" => InitialState::Down,
        "DRAIN" | "FAIL" => InitialState::Drain,
        "FUTURE" => InitialState::Future,
        "CLOUD" => InitialState::Cloud,
        other => return Err(line.error(format!("Invalid node state specified: {other}"))),
    })
}
