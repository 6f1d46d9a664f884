//! `scontrol show partition`: one record for each partition.

use muster_model::ids::Name;
use muster_model::licenses;
use muster_model::partition::{MemoryDefault, OverSubscribe, Partition, PartitionState};
use muster_model::preemption::PreemptMode;
use muster_model::resources::Megabytes;
use muster_model::time::Span;

use super::super::billing;
use super::super::context::Cluster;
use super::super::job_text::NULL;
use super::super::tres::Amounts;
use super::record::Record;
use crate::conf::partitions::OVER_TIME_UNLIMITED;

/// The records of all partitions, or of the one called `name`; with whether it was found.
pub fn print(cluster: &Cluster, name: Option<&str>, one_line: bool, all: bool) -> (String, bool) {
    let wanted = |partition: &&std::sync::Arc<Partition>| match name {
        Some(name) => *partition.name == *name,
        None => all || !partition.hidden,
    };
    let text: String =
        cluster.partitions.iter().filter(wanted).map(|partition| record(cluster, partition, one_line)).collect();
    match name {
        Some(name) if text.is_empty() => (format!("Partition {name} not found\n"), false),
        None if text.is_empty() => ("No partitions in the system\n".to_owned(), true),
        _ => (text, true),
    }
}

/// The words of `State=`.
pub fn state_word(state: PartitionState) -> &'static str {
    match state {
        PartitionState::Up => "UP",
        PartitionState::Down => "DOWN",
        PartitionState::Drain => "DRAIN",
        PartitionState::Inactive => "INACTIVE",
    }
}

/// The words of `OverSubscribe=`.
pub fn over_subscribe_word(value: OverSubscribe) -> String {
    match value {
        OverSubscribe::Exclusive => "EXCLUSIVE".to_owned(),
        OverSubscribe::No => "NO".to_owned(),
        OverSubscribe::Yes(count) => format!("YES:{count}"),
        OverSubscribe::Force(count) => format!("FORCE:{count}"),
    }
}

/// The words of `PreemptMode=`: of a partition that has none of its own those of the cluster, if that is known.
pub fn preempt_mode_word(partition: &Partition, cluster: Option<&Cluster>) -> String {
    let of_cluster =
        || cluster.and_then(|cluster| cluster.parameter("PreemptMode")).unwrap_or("OFF").to_ascii_uppercase();
    match partition.preempt_mode {
        None => of_cluster(),
        Some(PreemptMode::Off) => "OFF".to_owned(),
        Some(PreemptMode::Cancel) => "CANCEL".to_owned(),
        Some(PreemptMode::Requeue) => "REQUEUE".to_owned(),
        Some(PreemptMode::Suspend) => "SUSPEND".to_owned(),
    }
}

fn over_time_limit(limit: Option<Span>) -> String {
    match limit {
        None => "NONE".to_owned(),
        Some(limit) if limit >= OVER_TIME_UNLIMITED => "UNLIMITED".to_owned(),
        Some(limit) => limit.minutes_rounded_up().to_string(),
    }
}

fn yes(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

/// Another key of the configuration line, or `unset`.
fn other(partition: &Partition, key: &str, unset: &str) -> String {
    let found = partition.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map_or(unset.to_owned(), |(_, value)| value.to_string())
}

/// As [`other`] for words that are shown in capitals.
fn other_word(partition: &Partition, key: &str, unset: &str) -> String {
    other(partition, key, unset).to_ascii_uppercase()
}

/// The line of a `slurm.conf` that says the same, for these nodes. What is left out is as when nobody says anything.
pub fn partition_line(partition: &Partition, nodes: &str) -> String {
    /// Values by which these records show that nothing is said.
    const UNSAID: &[&str] = &["", "NONE", "N/A", "(null)", "UNLIMITED"];
    let mut record = Record::new(true);
    record.line(format!("PartitionName={} Nodes={nodes}", partition.name));
    access(&mut record, partition);
    limits(&mut record, partition);
    policy(&mut record, partition, None);
    record.line(format!("State={}", state_word(partition.state)));
    record.line(memory("Def", partition.memory_default));
    record.line(memory("Max", partition.memory_max));
    for key in ["DefCpuPerGPU", "DefMemPerGPU", "TRESBillingWeights", "SelectTypeParameters"] {
        record.optional(key, Some(&other(partition, key, "")));
    }
    let text = record.finish(false);
    let said = text.split_whitespace().filter(|word| {
        word.split_once('=').is_some_and(|(key, value)| match key {
            "MaxTime" => true,
            // Of one that has none of its own that of the cluster is shown.
            "PreemptMode" => partition.preempt_mode.is_some(),
            _ => !UNSAID.contains(&value),
        })
    });
    said.collect::<Vec<_>>().join(" ")
}

fn record(cluster: &Cluster, partition: &Partition, one_line: bool) -> String {
    let mut record = Record::new(one_line);
    record.line(format!("PartitionName={}", partition.name));
    access(&mut record, partition);
    limits(&mut record, partition);
    let nodes = if partition.node_list.is_empty() { NULL } else { &partition.node_list };
    record.line(format!("Nodes={nodes}"));
    policy(&mut record, partition, Some(cluster));
    let amounts = amounts(cluster, partition);
    record.line(format!(
        "State={} TotalCPUs={} TotalNodes={} SelectTypeParameters={}",
        state_word(partition.state),
        amounts.cpus,
        amounts.nodes,
        other(partition, "SelectTypeParameters", "NONE")
    ));
    record.line(format!("JobDefaults={}", job_defaults(partition)));
    let (default, most) = (memory("Def", partition.memory_default), memory("Max", partition.memory_max));
    record.line(format!("{default} {most}"));
    record.line(format!("TRES={}", amounts.text()));
    record.optional("TRESBillingWeights", Some(&other(partition, "TRESBillingWeights", "")));
    record.finish(false)
}

fn access(record: &mut Record, partition: &Partition) {
    let names = |list: &[Name]| {
        if list.is_empty() { "ALL".to_owned() } else { list.join(",") }
    };
    let accounts = match partition.accounts_denied.as_slice() {
        [] => format!("AllowAccounts={}", names(&partition.accounts_allowed)),
        denied => format!("DenyAccounts={}", names(denied)),
    };
    let qos = match partition.qos_denied.as_slice() {
        [] => format!("AllowQos={}", names(&partition.qos_allowed)),
        denied => format!("DenyQos={}", names(denied)),
    };
    record.line(format!("AllowGroups={} {accounts} {qos}", names(&partition.groups_allowed)));
    record.optional("Alternate", Some(&other(partition, "Alternate", "")));
    record.line(format!(
        "AllocNodes={} Default={} QoS={}",
        other(partition, "AllocNodes", "ALL"),
        yes(partition.default),
        partition.qos.as_deref().unwrap_or("N/A")
    ));
}

fn limits(record: &mut Record, partition: &Partition) {
    record.line(format!(
        "DefaultTime={} DisableRootJobs={} ExclusiveUser={} GraceTime={} Hidden={}",
        partition.time_default.map_or("NONE".to_owned(), |limit| limit.to_string()),
        other_word(partition, "DisableRootJobs", "NO"),
        yes(partition.exclusive_user),
        partition.grace_time.seconds(),
        yes(partition.hidden)
    ));
    let count = |count: Option<u32>| count.map_or("UNLIMITED".to_owned(), |count| count.to_string());
    record.line(format!(
        "MaxNodes={} MaxTime={} MinNodes={} LLN={} MaxCPUsPerNode={}",
        count(partition.nodes_max),
        partition.time_max,
        partition.nodes_min,
        yes(partition.least_loaded),
        count(partition.cpus_per_node_max)
    ));
}

fn policy(record: &mut Record, partition: &Partition, cluster: Option<&Cluster>) {
    record.line(format!(
        "PriorityJobFactor={} PriorityTier={} RootOnly={} ReqResv={} OverSubscribe={}",
        partition.priority_job_factor,
        partition.priority_tier,
        yes(partition.root_only),
        yes(partition.reservation_required),
        over_subscribe_word(partition.over_subscribe)
    ));
    record.line(format!(
        "OverTimeLimit={} PreemptMode={}",
        over_time_limit(partition.over_time_limit),
        preempt_mode_word(partition, cluster)
    ));
}

fn job_defaults(partition: &Partition) -> String {
    let set = ["DefCpuPerGPU", "DefMemPerGPU"].map(|key| (key, other(partition, key, "")));
    let parts: Vec<String> =
        set.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key}={value}")).collect();
    if parts.is_empty() { NULL.to_owned() } else { parts.join(",") }
}

fn memory(prefix: &str, value: Option<MemoryDefault>) -> String {
    match value {
        Some(MemoryDefault::PerNode(memory)) => format!("{prefix}MemPerNode={}", memory.0),
        Some(MemoryDefault::PerCpu(memory)) => format!("{prefix}MemPerCPU={}", memory.0),
        None => format!("{prefix}MemPerNode=UNLIMITED"),
    }
}

fn amounts(cluster: &Cluster, partition: &Partition) -> Amounts {
    let mut amounts = Amounts { nodes: partition.nodes.len() as u64, ..Amounts::default() };
    let tracked = cluster.tracked_gres();
    for node in partition.nodes.iter().filter_map(|index| cluster.nodes.get(index.0 as usize)) {
        let hardware = &node.config.hardware;
        amounts.cpus += u64::from(hardware.cpus);
        amounts.memory = Megabytes(amounts.memory.0.saturating_add(hardware.memory.0));
        for gres in &hardware.gres {
            amounts.add_gres(&gres.name, gres.kind.as_ref(), gres.count, &tracked);
        }
    }
    // Licences are those of the whole cluster.
    let licenses = cluster.parameter("Licenses").and_then(licenses::parse).unwrap_or_default();
    for name in cluster.tracked_licenses() {
        if let Some(count) = licenses.get(&name) {
            amounts.gres.insert(format!("license/{name}"), *count);
        }
    }
    amounts.billing = billing::in_partition(&amounts, &partition.name, cluster);
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Slurm 22.05 shows what `scontrol update PartitionName=` has changed.
    #[test]
    fn what_is_in_force_is_shown_however_it_came_about() {
        let shown = |change: &dyn Fn(&mut Partition)| {
            let mut partition = Partition::new("p".into(), Vec::new());
            change(&mut partition);
            let parameters = vec![("PreemptMode".to_owned(), "REQUEUE".to_owned())];
            let cluster = Cluster { parameters, partitions: vec![partition.into()], ..Cluster::default() };
            let text = print(&cluster, Some("p"), true, false).0;
            let of = |key: &str| text.split_whitespace().find(|word| word.starts_with(key)).unwrap_or("").to_owned();
            ["LLN=", "ReqResv=", "ExclusiveUser=", "GraceTime=", "OverTimeLimit=", "PreemptMode=", "JobDefaults="]
                .map(of)
                .join(" ")
        };
        assert_eq!(
            shown(&|_| ()),
            "LLN=NO ReqResv=NO ExclusiveUser=NO GraceTime=0 OverTimeLimit=NONE PreemptMode=REQUEUE JobDefaults=(null)"
        );
        let changed = shown(&|partition| {
            (partition.least_loaded, partition.reservation_required, partition.exclusive_user) = (true, true, true);
            partition.grace_time = Span::from_seconds(30);
            partition.over_time_limit = Some(Span::from_minutes(5));
            partition.preempt_mode = Some(PreemptMode::Off);
            partition.show_as("DefCPUPerGPU", "2");
        });
        assert_eq!(
            changed,
            "LLN=YES ReqResv=YES ExclusiveUser=YES GraceTime=30 OverTimeLimit=5 PreemptMode=OFF JobDefaults=DefCpuPerGPU=2"
        );
        let unlimited = shown(&|partition| partition.over_time_limit = Some(OVER_TIME_UNLIMITED));
        assert!(unlimited.contains("OverTimeLimit=UNLIMITED"), "{unlimited}");
    }
}
