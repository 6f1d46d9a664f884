//! `PartitionName=` lines.

use std::collections::BTreeMap;

use muster_model::hostlist;
use muster_model::ids::{Name, NodeIndex};
use muster_model::partition::{MemoryDefault, OverSubscribe, Partition, PartitionState};
use muster_model::resources::Megabytes;
use muster_model::time::{Span, TimeLimit};

use super::lines::Line;
use super::nodes::{check_keys, number};
use super::{ConfError, preemption};

/// Keys that a partition line may have. Those marked `false` are read, shown and not acted on.
const KEYS: &[(&str, bool)] = &[
    ("PartitionName", true),
    ("Nodes", true),
    ("Default", true),
    ("DefaultTime", true),
    ("MaxTime", true),
    ("State", true),
    ("MinNodes", true),
    ("MaxNodes", true),
    ("MaxCPUsPerNode", true),
    ("PriorityTier", true),
    ("PriorityJobFactor", true),
    ("Priority", true),
    ("OverSubscribe", true),
    ("Shared", true),
    ("DefMemPerCPU", true),
    ("DefMemPerNode", true),
    ("MaxMemPerCPU", true),
    ("MaxMemPerNode", true),
    ("Hidden", true),
    ("RootOnly", true),
    ("AllowGroups", true),
    ("AllowAccounts", true),
    ("AllocNodes", false),
    ("AllowQos", true),
    ("Alternate", false),
    ("CpuBind", false),
    ("DefCPUPerGPU", true),
    ("DefMemPerGPU", true),
    ("DenyAccounts", true),
    ("DenyQos", true),
    ("DisableRootJobs", false),
    ("Exclusive", false),
    ("ExclusiveUser", true),
    ("ExclusiveTopo", false),
    ("GraceTime", true),
    ("LLN", true),
    ("MaxCPUsPerSocket", true),
    ("OverTimeLimit", true),
    ("PowerDownOnIdle", false),
    ("PreemptMode", true),
    ("QOS", true),
    ("ReqResv", true),
    ("ResumeTimeout", false),
    ("SelectTypeParameters", false),
    ("SuspendTime", false),
    ("SuspendTimeout", false),
    ("Topology", false),
    ("TRESBillingWeights", true),
];

/// Nodes and node sets that partitions may name.
pub(super) struct Known<'a> {
    pub nodes: &'a BTreeMap<Name, NodeIndex>,
    pub sets: &'a BTreeMap<String, Vec<NodeIndex>>,
    /// Memory defaults and limits of the cluster, for partitions without their own.
    pub memory_default: Option<MemoryDefault>,
    pub memory_max: Option<MemoryDefault>,
    /// `DefCpuPerGPU` and `DefMemPerGPU` of the cluster.
    pub cpus_per_gpu: Option<u32>,
    pub memory_per_gpu: Option<Megabytes>,
}

impl Known<'_> {
    fn names_of(&self, nodes: &[NodeIndex]) -> Name {
        let mut names: Vec<(&NodeIndex, &Name)> = self.nodes.iter().map(|(name, index)| (index, name)).collect();
        names.sort_unstable();
        let names = names.iter().filter(|(index, _)| nodes.binary_search(index).is_ok()).map(|(_, name)| &***name);
        hostlist::compress(names).into()
    }
}

/// The partitions of one line, with the defaults of `PartitionName=DEFAULT` lines before it.
pub(super) fn read(
    line: &Line,
    default: &Line,
    known: &Known<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Partition>, ConfError> {
    check_keys(line, KEYS, warnings)?;
    let get = |key: &str| line.get(key).or_else(|| default.get(key));
    let names = get("PartitionName").unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let node_list = get("Nodes").unwrap_or_default();
    let nodes = resolve(line, node_list, known)?;
    let number = |key: &str| number(line, default, key);
    let limit = |key: &str| -> Result<Option<TimeLimit>, ConfError> {
        let Some(text) = get(key).filter(|text| !text.eq_ignore_ascii_case("none")) else {
            return Ok(None);
        };
        TimeLimit::parse(text).map(Some).ok_or_else(|| line.error(format!("Bad value \"{text}\" for {key}")))
    };
    let both = number("Priority")?;
    let tier = number("PriorityTier")?.or(both).unwrap_or(1);
    let factor = number("PriorityJobFactor")?.or(both).unwrap_or(1);
    let short =
        |value: u32, key: &str| u16::try_from(value).map_err(|_| line.error(format!("{key} must be at most 65535")));
    let list = |key: &str| -> Vec<Name> {
        let text = get(key).filter(|text| !text.eq_ignore_ascii_case("all")).unwrap_or_default();
        text.split(',').filter(|word| !word.is_empty()).map(Into::into).collect()
    };
    let base = Partition {
        name: "".into(),
        node_list: match node_list.eq_ignore_ascii_case("all") {
            // Shown by name.
            true => known.names_of(&nodes),
            false => node_list.into(),
        },
        nodes,
        default: yes(line, get("Default"), "Default")?,
        state: state(line, get("State"))?,
        time_default: limit("DefaultTime")?,
        time_max: limit("MaxTime")?.unwrap_or(TimeLimit::Unlimited),
        nodes_min: number("MinNodes")?.unwrap_or(0),
        nodes_max: count(line, get("MaxNodes"), "MaxNodes")?,
        cpus_per_node_max: count(line, get("MaxCPUsPerNode"), "MaxCPUsPerNode")?,
        priority_tier: short(tier, "PriorityTier")?,
        priority_job_factor: short(factor, "PriorityJobFactor")?,
        over_subscribe: over_subscribe(line, get("OverSubscribe").or_else(|| get("Shared")))?,
        memory_default: memory(line, default, "Def")?.or(known.memory_default),
        memory_max: memory(line, default, "Max")?.or(known.memory_max),
        cpus_per_gpu_default: number("DefCPUPerGPU")?.or(known.cpus_per_gpu).filter(|cpus| *cpus > 0),
        memory_per_gpu_default: memory_per_gpu(line, get("DefMemPerGPU"))?.or(known.memory_per_gpu),
        cpus_per_socket_max: count(line, get("MaxCPUsPerSocket"), "MaxCPUsPerSocket")?,
        least_loaded: yes(line, get("LLN"), "LLN")?,
        exclusive_user: yes(line, get("ExclusiveUser"), "ExclusiveUser")?,
        preempt_mode: get("PreemptMode").map(|word| preemption::mode(line, word)).transpose()?,
        grace_time: Span::from_seconds(number("GraceTime")?.unwrap_or(0).into()),
        hidden: yes(line, get("Hidden"), "Hidden")?,
        root_only: yes(line, get("RootOnly"), "RootOnly")?,
        reservation_required: yes(line, get("ReqResv"), "ReqResv")?,
        over_time_limit: get("OverTimeLimit").map(|text| extra_minutes(line, text)).transpose()?,
        groups_allowed: list("AllowGroups"),
        accounts_allowed: list("AllowAccounts"),
        accounts_denied: list("DenyAccounts"),
        qos_allowed: list("AllowQos"),
        qos_denied: list("DenyQos"),
        qos: get("QOS").filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("n/a")).map(Into::into),
        others: others(line, default),
    };
    Ok(names.map(|name| Partition { name: name.into(), ..base.clone() }).collect())
}

/// Values that are shown as they are written; most of them are only shown.
fn others(line: &Line, default: &Line) -> Vec<(Name, Name)> {
    const SHOWN_TOO: &[&str] = &["DefCPUPerGPU", "DefMemPerGPU", "MaxCPUsPerSocket", "TRESBillingWeights"];
    let unused = KEYS.iter().filter(|(key, used)| !used || SHOWN_TOO.contains(key));
    unused.filter_map(|(key, _)| Some(((*key).into(), line.get(key).or_else(|| default.get(key))?.into()))).collect()
}

/// Nodes of a list that may hold `ALL` and names of node sets.
pub(super) fn resolve(line: &Line, list: &str, known: &Known<'_>) -> Result<Vec<NodeIndex>, ConfError> {
    let mut nodes: Vec<NodeIndex> = Vec::new();
    for name in hostlist::expand(list).map_err(|problem| line.error(problem.to_string()))? {
        if name.eq_ignore_ascii_case("all") {
            nodes.extend(known.nodes.values());
        } else if let Some(set) = known.sets.get(&name) {
            nodes.extend(set);
        } else {
            let index =
                known.nodes.get(name.as_str()).ok_or_else(|| line.error(format!("no node {name} is defined")))?;
            nodes.push(*index);
        }
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

pub(super) fn yes(line: &Line, text: Option<&str>, key: &str) -> Result<bool, ConfError> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("no" | "0" | "false" | "down" | "off") => Ok(false),
        Some("yes" | "1" | "true" | "up" | "on") => Ok(true),
        Some(other) => Err(line.error(format!("\"{other}\" is not a valid option for \"{key}\""))),
    }
}

/// An `OverTimeLimit` without an end: as many minutes as Slurm counts.
pub(crate) const OVER_TIME_UNLIMITED: Span = Span::from_minutes(u16::MAX as i64);

/// `OverTimeLimit`: minutes, or without an end.
pub(crate) fn over_time_limit(text: &str) -> Option<Span> {
    if ["unlimited", "infinite"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(OVER_TIME_UNLIMITED);
    }
    text.parse::<u16>().ok().map(|minutes| Span::from_minutes(minutes.into()))
}

fn extra_minutes(line: &Line, text: &str) -> Result<Span, ConfError> {
    over_time_limit(text).ok_or_else(|| line.error(format!("Bad value \"{text}\" for OverTimeLimit")))
}

fn count(line: &Line, text: Option<&str>, key: &str) -> Result<Option<u32>, ConfError> {
    match text {
        None => Ok(None),
        Some(text)
            if text.eq_ignore_ascii_case("unlimited") || text.eq_ignore_ascii_case("infinite") || text == "-1" =>
        {
            Ok(None)
        }
        Some(text) => {
            text.parse().map(Some).map_err(|_| line.error(format!("{key} value \"{text}\" is not a valid number")))
        }
    }
}

fn state(line: &Line, text: Option<&str>) -> Result<PartitionState, ConfError> {
    match text.unwrap_or("UP").to_ascii_uppercase().as_str() {
        "UP" => Ok(PartitionState::Up),
        "DOWN" => Ok(PartitionState::Down),
        "DRAIN" => Ok(PartitionState::Drain),
        "INACTIVE" => Ok(PartitionState::Inactive),
        other => Err(line.error(format!("Bad value \"{other}\" for State"))),
    }
}

fn over_subscribe(line: &Line, text: Option<&str>) -> Result<OverSubscribe, ConfError> {
    /// Jobs on a core where no number is given, as Slurm has it.
    const DEFAULT_COUNT: u32 = 4;
    let text = text.unwrap_or("NO").to_ascii_uppercase();
    let (word, number) = text.split_once(':').map_or((text.as_str(), None), |(word, number)| (word, Some(number)));
    let bad = || line.error(format!("Bad value \"{text}\" for OverSubscribe"));
    let number = number.map(|number| number.parse::<u32>().map_err(|_| bad())).transpose()?.unwrap_or(DEFAULT_COUNT);
    match word {
        "NO" => Ok(OverSubscribe::No),
        "EXCLUSIVE" => Ok(OverSubscribe::Exclusive),
        "YES" => Ok(OverSubscribe::Yes(number)),
        "FORCE" => Ok(OverSubscribe::Force(number)),
        _ => Err(bad()),
    }
}

/// `DefMemPerGPU`: MiB, 0 for none.
pub(super) fn memory_per_gpu(line: &Line, text: Option<&str>) -> Result<Option<Megabytes>, ConfError> {
    let Some(text) = text else { return Ok(None) };
    let amount = Megabytes::parse(text)
        .ok_or_else(|| line.error(format!("DefMemPerGPU value \"{text}\" is not a valid number")))?;
    Ok((amount.0 > 0).then_some(amount))
}

/// `DefMemPerNode`, `DefMemPerCPU`, `MaxMemPerNode`, `MaxMemPerCPU`: MiB, 0 or UNLIMITED for none.
pub(super) fn memory(line: &Line, default: &Line, prefix: &str) -> Result<Option<MemoryDefault>, ConfError> {
    for (suffix, make) in
        [("PerNode", MemoryDefault::PerNode as fn(Megabytes) -> MemoryDefault), ("PerCPU", MemoryDefault::PerCpu)]
    {
        let key = format!("{prefix}Mem{suffix}");
        let Some(text) = line.get(&key).or_else(|| default.get(&key)) else {
            continue;
        };
        if text.eq_ignore_ascii_case("unlimited") {
            return Ok(None);
        }
        let amount = Megabytes::parse(text)
            .ok_or_else(|| line.error(format!("{key} value \"{text}\" is not a valid number")))?;
        return Ok((amount.0 > 0).then(|| make(amount)));
    }
    Ok(None)
}
