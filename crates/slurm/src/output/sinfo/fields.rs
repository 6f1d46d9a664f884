//! The columns of `sinfo` over groups of nodes: each letter of `-o` and each name of `-O` is one entry.

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::Name;
use muster_model::node::Node;
use muster_model::partition::{Partition, PartitionState};
use muster_model::time::{TimeLimit, format_short};

use super::super::context::Context;
use super::super::format::{Field, field, star_field, whole_field};
use super::super::job_text;
use super::super::node_text::{Base, NodeState};
use super::super::scontrol::over_subscribe_word;
use super::super::tres;

/// Nodes of one partition that are shown on one line.
#[derive(Clone)]
pub struct Group {
    /// The partition; of several that are shown together, the first.
    pub partition: Arc<Partition>,
    /// Its place in the configuration.
    pub partition_index: usize,
    /// What becomes of its jobs when they are preempted, in Slurm's word.
    pub preempt_mode: Name,
    /// The nodes; empty for a partition without nodes to show.
    pub nodes: Vec<Arc<Node>>,
}

impl Group {
    /// The state of the first node.
    pub fn state(&self) -> Option<NodeState> {
        self.nodes.first().map(|node| NodeState::of(node))
    }

    fn first<T>(&self, value: impl Fn(&Node) -> T, unset: T) -> T {
        self.nodes.first().map_or(unset, |node| value(node))
    }

    fn bounds(&self, value: impl Fn(&Node) -> u64) -> (u64, u64) {
        let least = self.nodes.iter().map(|node| value(node)).min().unwrap_or(0);
        (least, self.nodes.iter().map(|node| value(node)).max().unwrap_or(0))
    }

    /// Nodes that work, are idle, and are neither.
    pub fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for node in &self.nodes {
            let state = NodeState::of(node);
            let place = match state.base {
                Base::Allocated | Base::Mixed => 0,
                _ if node.used.jobs_completing > 0 => 0,
                Base::Idle if !state.drains() => 1,
                _ => 2,
            };
            counts[place] += 1;
        }
        counts
    }

    /// CPUs given away, idle, and neither.
    fn cpus(&self) -> [u32; 3] {
        let mut counts = [0; 3];
        for node in &self.nodes {
            let state = NodeState::of(node);
            let used = node.used.cpus.len();
            let usable = !state.drains() && matches!(state.base, Base::Idle | Base::Allocated | Base::Mixed);
            counts[0] += used;
            counts[if usable { 1 } else { 2 }] += node.cpus_free();
        }
        counts
    }
}

/// `16`, or `16+` when others have more.
fn at_least((least, most): (u64, u64)) -> String {
    if least == most { least.to_string() } else { format!("{least}+") }
}

/// `23670-23708`; `N/A` when no node has told yet.
fn range(group: &Group, value: impl Fn(&Node) -> u64, print: impl Fn(u64) -> String) -> String {
    let known: Vec<u64> =
        group.nodes.iter().filter(|node| !node.report.version.is_empty()).map(|node| value(node)).collect();
    match (known.iter().min(), known.iter().max()) {
        (Some(least), Some(most)) if least == most => print(*least),
        (Some(least), Some(most)) => format!("{}-{}", print(*least), print(*most)),
        _ => "N/A".to_owned(),
    }
}

fn limit(limit: Option<TimeLimit>) -> String {
    match limit {
        Some(TimeLimit::Limited(span)) => format_short(span.seconds()),
        Some(TimeLimit::Unlimited) => "infinite".to_owned(),
        None => "n/a".to_owned(),
    }
}

fn job_size(group: &Group) -> String {
    let least = group.partition.nodes_min.max(1);
    match group.partition.nodes_max {
        None => format!("{least}-infinite"),
        Some(most) if most == least => least.to_string(),
        Some(most) => format!("{least}-{most}"),
    }
}

fn available(group: &Group) -> String {
    match group.partition.state {
        PartitionState::Up => "up",
        PartitionState::Down => "down",
        PartitionState::Drain => "drain",
        PartitionState::Inactive => "inact",
    }
    .to_owned()
}

fn name_with_star(group: &Group) -> String {
    format!("{}{}", group.partition.name, if group.partition.default { "*" } else { "" })
}

fn features(group: &Group) -> String {
    group.first(
        |node| {
            if node.config.features.is_empty() { job_text::NULL.to_owned() } else { node.config.features.join(",") }
        },
        String::new(),
    )
}

fn active_features(group: &Group) -> String {
    group.first(
        |node| match node.config.features_inactive.is_empty() {
            true if node.config.features.is_empty() => job_text::NULL.to_owned(),
            _ => node.config.active_features().map(|name| &**name).collect::<Vec<_>>().join(","),
        },
        String::new(),
    )
}

fn other(group: &Group, key: &str, unset: &str) -> String {
    let found = group.partition.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map_or(unset.to_owned(), |(_, value)| value.to_string())
}

fn reason(group: &Group) -> String {
    group.first(
        |node| node.reason.as_ref().map_or("none".to_owned(), |reason| reason.text.to_string()),
        "none".to_owned(),
    )
}

fn reason_user(group: &Group, with_number: bool) -> String {
    let user = |node: &Node| {
        let reason = node.reason.as_ref()?;
        Some(if with_number { format!("{}({})", reason.user, reason.uid) } else { reason.user.to_string() })
    };
    group.nodes.first().and_then(|node| user(node)).unwrap_or_else(|| "Unknown".to_owned())
}

fn reason_time(group: &Group, context: &Context) -> String {
    let time = group.nodes.first().and_then(|node| node.reason.as_ref()).map(|reason| reason.time);
    job_text::time(time, "Unknown", context)
}

fn list(group: &Group, name: impl Fn(&Node) -> &str) -> String {
    hostlist::compress_sorted(group.nodes.iter().map(|node| name(node)))
}

/// As [`list`], each name once.
fn unique(group: &Group, name: impl Fn(&Node) -> &str) -> String {
    let names: std::collections::BTreeSet<&str> = group.nodes.iter().map(|node| name(node)).collect();
    hostlist::compress_sorted(names)
}

fn load(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn state(group: &Group, print: fn(NodeState) -> String) -> String {
    group.state().map_or("n/a".to_owned(), print)
}

/// All columns.
pub static FIELDS: &[Field<Group>] = &[
    // The partition.
    field('a', &["available"], "AVAIL", |group, _| available(group)),
    field('B', &["maxcpuspernode"], "MAX_CPUS_PER_NODE", |group, _| {
        group.partition.cpus_per_node_max.map_or("UNLIMITED".to_owned(), |count| count.to_string())
    }),
    field('g', &["groups"], "GROUPS", |group, _| match group.partition.groups_allowed.as_slice() {
        [] => "all".to_owned(),
        groups => groups.join(","),
    }),
    field('h', &["oversubscribe"], "OVERSUBSCRIBE", |group, _| over_subscribe_word(group.partition.over_subscribe)),
    field('I', &["priorityjobfactor"], "PRIO_JOB_FACTOR", |group, _| group.partition.priority_job_factor.to_string()),
    field('l', &["time"], "TIMELIMIT", |group, _| limit(Some(group.partition.time_max))),
    field('L', &["defaulttime"], "DEFAULTTIME", |group, _| limit(group.partition.time_default)),
    field('M', &["preemptmode"], "PREEMPT_MODE", |group, _| group.preempt_mode.to_string()),
    field('p', &["prioritytier"], "PRIO_TIER", |group, _| group.partition.priority_tier.to_string()),
    star_field('P', &["partition"], "PARTITION", |group, _| name_with_star(group)),
    field('r', &["root"], "ROOT", |group, _| if group.partition.root_only { "yes" } else { "no" }.to_owned()),
    field('R', &["partitionname"], "PARTITION", |group, _| group.partition.name.to_string()),
    field('s', &["size"], "JOB_SIZE", |group, _| job_size(group)),
    field('S', &["allocnodes"], "ALLOCNODES", |group, _| other(group, "AllocNodes", "all")),
    // The nodes, one by one.
    whole_field('N', &["nodelist"], "NODELIST", |group, _| list(group, |node| node.name())),
    field('n', &["nodehost"], "HOSTNAMES", |group, _| unique(group, |node| &node.config.host_name)),
    field('o', &["nodeaddr"], "NODE_ADDR", |group, _| unique(group, |node| &node.config.address)),
    field('b', &["features_act"], "ACTIVE_FEATURES", |group, _| active_features(group)),
    field('f', &["features"], "AVAIL_FEATURES", |group, _| features(group)),
    field('G', &["gres"], "GRES", |group, _| {
        group.first(|node| tres::node_gres_of(&node.config.hardware), String::new())
    }),
    field('\0', &["gresused"], "GRES_USED", |group, _| {
        group.first(|node| tres::node_gres_used(&node.config.hardware.gres, &node.used.gres, false), String::new())
    }),
    field('E', &["reason"], "REASON", |group, _| reason(group)),
    field('H', &["timestamp"], "TIMESTAMP", reason_time),
    field('u', &["user"], "USER", |group, _| reason_user(group, false)),
    field('U', &["userlong"], "USER", |group, _| reason_user(group, true)),
    field('t', &["statecompact"], "STATE", |group, _| state(group, NodeState::compact)),
    field('T', &["statelong"], "STATE", |group, _| state(group, NodeState::long)),
    field('\0', &["statecomplete"], "STATECOMPLETE", |group, _| {
        state(group, |state| state.complete().to_ascii_lowercase())
    }),
    field('v', &["version"], "VERSION", |group, _| {
        group.first(
            |node| {
                if node.report.version.is_empty() { "N/A".to_owned() } else { super::super::VERSION.to_owned() }
            },
            String::new(),
        )
    }),
    field('V', &["cluster"], "CLUSTER", |_, _| "N/A".to_owned()),
    field('\0', &["comment"], "COMMENT", |_, _| job_text::NULL.to_owned()),
    field('\0', &["extra"], "EXTRA", |_, _| job_text::NULL.to_owned()),
    field('\0', &["port"], "PORT", |group, _| {
        group
            .first(
                |node| {
                    if node.config.port == 0 { 6818 } else { node.config.port }
                },
                0,
            )
            .to_string()
    }),
    // Amounts.
    field('A', &["nodeai"], "NODES(A/I)", |group, _| {
        let [works, idle, _] = group.counts();
        format!("{works}/{idle}")
    }),
    field('F', &["nodeaiot"], "NODES(A/I/O/T)", |group, _| {
        let [works, idle, other] = group.counts();
        format!("{works}/{idle}/{other}/{}", group.nodes.len())
    }),
    field('C', &["cpusstate"], "CPUS(A/I/O/T)", |group, _| {
        let [used, idle, other] = group.cpus();
        format!("{used}/{idle}/{other}/{}", used + idle + other)
    }),
    field('c', &["cpus"], "CPUS", |group, _| at_least(group.bounds(|node| u64::from(node.config.hardware.cpus)))),
    field('d', &["disk"], "TMP_DISK", |group, _| at_least(group.bounds(|node| node.config.hardware.tmp_disk.0))),
    field('D', &["nodes"], "NODES", |group, _| group.nodes.len().to_string()),
    field('e', &["freemem"], "FREE_MEM", |group, _| {
        range(group, |node| node.report.memory_free.0, |amount| amount.to_string())
    }),
    field('m', &["memory"], "MEMORY", |group, _| at_least(group.bounds(|node| node.config.hardware.memory.0))),
    field('O', &["cpusload"], "CPU_LOAD", |group, _| range(group, |node| u64::from(node.report.load_hundredths), load)),
    field('w', &["weight"], "WEIGHT", |group, _| at_least(group.bounds(|node| u64::from(node.config.weight)))),
    field('X', &["sockets"], "SOCKETS", |group, _| {
        at_least(group.bounds(|node| u64::from(node.config.hardware.sockets)))
    }),
    field('Y', &["cores"], "CORES", |group, _| {
        at_least(group.bounds(|node| u64::from(node.config.hardware.cores_per_socket)))
    }),
    field('Z', &["threads"], "THREADS", |group, _| {
        at_least(group.bounds(|node| u64::from(node.config.hardware.threads_per_core)))
    }),
    field('z', &["socketcorethread"], "S:C:T", |group, _| {
        let sockets = at_least(group.bounds(|node| u64::from(node.config.hardware.sockets)));
        let cores = at_least(group.bounds(|node| u64::from(node.config.hardware.cores_per_socket)));
        let threads = at_least(group.bounds(|node| u64::from(node.config.hardware.threads_per_core)));
        format!("{sockets}:{cores}:{threads}")
    }),
    field('\0', &["allocmem"], "ALLOCMEM", |group, _| group.first(|node| node.used.memory.0, 0).to_string()),
];

/// Letters of columns about the partition.
const OF_PARTITION: &str = "aBghIlLMpPrRsS";
/// Letters of columns that nodes on one line must have in common.
const OF_NODE: &str = "nobfGEHuUtT";
/// Letters of columns that they must have in common with `-e`; otherwise the least is shown.
const OF_NODE_EXACTLY: &str = "cdemOwXYZzv";
/// Names of columns without a letter that they must have in common.
const NAMES_OF_NODE: &[&str] = &["gresused", "statecomplete", "comment", "extra", "port", "allocmem"];

/// Whether the column is about the partition.
pub fn is_of_partition(field: &Field<Group>) -> bool {
    field.letter.is_some_and(|letter| OF_PARTITION.contains(letter))
}

/// Whether what is on one line must have the same text here.
pub fn is_distinct(field: &Field<Group>, exact: bool) -> bool {
    is_of_partition(field)
        || field.letter.is_some_and(|letter| OF_NODE.contains(letter) || (exact && OF_NODE_EXACTLY.contains(letter)))
        || field.names.iter().any(|name| NAMES_OF_NODE.contains(name))
}
