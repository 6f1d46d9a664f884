//! `scontrol show node`: one record for each node.

use std::collections::BTreeMap;

use muster_model::hostlist;
use muster_model::ids::NodeIndex;
use muster_model::node::{Node, NodeHealth};
use muster_model::resources::Megabytes;
use muster_model::time::Timestamp;

use super::super::billing;
use super::super::context::{Cluster, Context};
use super::super::job_text::{self, NULL};
use super::super::node_text::NodeState;
use super::super::tres::{self, Amounts};
use super::record::Record;

/// What is common to all records of one answer.
pub struct NodePrinter<'a> {
    /// Nodes and partitions.
    pub cluster: &'a Cluster,
    /// Clock, zone and formats.
    pub context: &'a Context,
    /// `-o`.
    pub one_line: bool,
    /// `-d`.
    pub details: bool,
}

impl NodePrinter<'_> {
    /// The records of all nodes, or of those in the host list `names`; with what is not found.
    pub fn print(&self, names: Option<&str>, future: bool) -> (String, bool) {
        let partitions = self.partitions();
        let mut text = String::new();
        let record = |index: usize, node: &Node| {
            self.record(node, partitions.get(&NodeIndex(index as u32)).map_or("", String::as_str))
        };
        let Some(names) = names else {
            if self.cluster.nodes.is_empty() {
                return ("No nodes in the system\n".to_owned(), true);
            }
            let shown =
                self.cluster.nodes.iter().enumerate().filter(|(_, node)| future || node.health != NodeHealth::Future);
            shown.for_each(|(index, node)| text.push_str(&record(index, node)));
            return (text, true);
        };
        let mut all_found = true;
        for name in hostlist::expand(names).unwrap_or_else(|_| vec![names.to_owned()]) {
            match self.cluster.nodes.iter().enumerate().find(|(_, node)| **node.name() == *name) {
                Some((index, node)) => text.push_str(&record(index, node)),
                None => {
                    text.push_str(&format!("Node {name} not found\n"));
                    all_found = false;
                }
            }
        }
        (text, all_found)
    }

    /// Names of the partitions of each node, each with a comma between.
    fn partitions(&self) -> BTreeMap<NodeIndex, String> {
        let mut found: BTreeMap<NodeIndex, String> = BTreeMap::new();
        for partition in &self.cluster.partitions {
            for index in &partition.nodes {
                let names = found.entry(*index).or_default();
                if !names.is_empty() {
                    names.push(',');
                }
                names.push_str(&partition.name);
            }
        }
        found
    }

    fn time(&self, time: Option<Timestamp>, unset: &str) -> String {
        job_text::time(time.filter(|time| time.0 > 0), unset, self.context)
    }

    fn record(&self, node: &Node, partitions: &str) -> String {
        let mut record = Record::new(self.one_line);
        self.machine(&mut record, node);
        self.state(&mut record, node);
        if !partitions.is_empty() {
            record.line(format!("Partitions={partitions} "));
        }
        self.times(&mut record, node);
        self.tres(&mut record, node, partitions);
        record.line("CapWatts=n/a");
        let power = node.report.power.unwrap_or_default();
        record.line(format!("CurrentWatts={} AveWatts={}", power.current_watts, power.average_watts));
        record.line("ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s");
        if let Some(extra) = &node.extra {
            record.line(format!("Extra={extra}"));
        }
        if let Some(comment) = &node.comment {
            record.line(format!("Comment={comment}"));
        }
        if let Some(reason) = &node.reason {
            let since = self.time(Some(reason.time), "Unknown");
            record.line(format!("Reason={} [{}@{since}]", reason.text, reason.user));
        }
        record.finish(false)
    }

    fn machine(&self, record: &mut Record, node: &Node) {
        let (config, hardware, report) = (&node.config, &node.config.hardware, &node.report);
        let architecture = match &*report.architecture {
            "" => String::new(),
            known => format!("Arch={known} "),
        };
        let (name, cores) = (&config.name, hardware.cores_per_socket);
        record.line(format!("NodeName={name} {architecture}CoresPerSocket={cores} "));
        let load = match is_known(node) {
            true => format!("{}.{:02}", report.load_hundredths / 100, report.load_hundredths % 100),
            false => "N/A".to_owned(),
        };
        let (used, cpus) = (node.used.cpus.len(), hardware.cpus);
        record.line(format!("CPUAlloc={used} CPUEfctv={cpus} CPUTot={cpus} CPULoad={load}"));
        let features = match config.features.as_slice() {
            [] => NULL.to_owned(),
            features => features.join(","),
        };
        record.line(format!("AvailableFeatures={features}"));
        let active = match config.features_inactive.is_empty() {
            true => features,
            false => config.active_features().map(|name| &**name).collect::<Vec<_>>().join(","),
        };
        record.line(format!("ActiveFeatures={active}"));
        record.line(format!("Gres={}", tres::node_gres_of(hardware)));
        if self.details {
            let used = tres::node_gres_used(&hardware.gres, &node.used.gres, false);
            record.line("GresDrain=N/A");
            record.line(format!("GresUsed={used}"));
        }
        record.line(self.address(node));
        if !report.operating_system.is_empty() {
            record.line(format!("OS={} ", report.operating_system.trim_end()));
        }
    }

    fn address(&self, node: &Node) -> String {
        let config = &node.config;
        let mut address = format!("NodeAddr={} NodeHostName={} ", config.address, config.host_name);
        let configured = self.cluster.parameter("SlurmdPort").and_then(|port| port.parse().ok());
        if config.port != 0 && config.port != configured.unwrap_or(6818) {
            address.push_str(&format!("Port={} ", config.port));
        }
        if is_known(node) {
            address.push_str(&format!("Version={}", super::super::VERSION));
        }
        address
    }

    fn state(&self, record: &mut Record, node: &Node) {
        let hardware = &node.config.hardware;
        let free = match is_known(node) {
            true => node.report.memory_free.0.to_string(),
            false => "N/A".to_owned(),
        };
        record.line(format!(
            "RealMemory={} AllocMem={} FreeMem={free} Sockets={} Boards={}",
            hardware.memory.0, node.used.memory.0, hardware.sockets, hardware.boards
        ));
        let label = node.used.exclusive_label.as_deref().filter(|label| !label.is_empty()).unwrap_or("N/A");
        let owner = node.used.exclusive_user.map_or("N/A".to_owned(), |uid| uid.to_string());
        record.line(format!(
            "State={} ThreadsPerCore={} TmpDisk={} Weight={} Owner={owner} MCS_label={label}",
            NodeState::of(node).complete(),
            hardware.threads_per_core,
            hardware.tmp_disk.0,
            node.config.weight
        ));
    }

    fn times(&self, record: &mut Record, node: &Node) {
        let started = Some(node.report.agent_start_time);
        let boot = self.time(Some(node.report.boot_time), "None");
        record.line(format!("BootTime={boot} SlurmdStartTime={}", self.time(started, "None")));
        let busy = self.time(node.last_busy.or(started), "Unknown");
        record.line(format!("LastBusyTime={busy}"));
    }

    fn tres(&self, record: &mut Record, node: &Node, partitions: &str) {
        let tracked = self.cluster.tracked_gres();
        let hardware = &node.config.hardware;
        let mut has = Amounts { cpus: u64::from(hardware.cpus), memory: hardware.memory, ..Amounts::default() };
        for gres in &hardware.gres {
            has.add_gres(&gres.name, gres.kind.as_ref(), gres.count, &tracked);
        }
        has.billing = billing::of_node(&has, partitions.split(','), self.cluster);
        record.line(format!("CfgTRES={}", has.text_of_node()));
        let memory =
            if node.used.cpus.is_empty() && node.used.jobs_suspended == 0 { Megabytes(0) } else { node.used.memory };
        let mut used = Amounts { cpus: u64::from(node.used.cpus.len()), memory, ..Amounts::default() };
        for share in &node.used.gres {
            used.add_gres(&share.name, share.kind.as_ref(), u64::from(share.units.len()), &tracked);
        }
        record.line(format!("AllocTRES={}", used.text_of_node_use()));
    }
}

/// Whether its agent has told about it.
fn is_known(node: &Node) -> bool {
    !node.report.version.is_empty()
}
