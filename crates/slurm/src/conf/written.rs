//! A configuration in force as the text of a `slurm.conf` (`scontrol write config`): reading it again gives the same.

use muster_model::hostlist;
use muster_model::node::{InitialState, Node};
use muster_model::partition::Partition;
use muster_model::resources::{Gres, IndexSet};

use super::keys::Standing;
use super::table::SHOWN;
use crate::output::scontrol::partition_line;

/// The text; `parameters` are those of `scontrol show config`, and `time` is when it is written.
pub fn written<'a>(
    parameters: &[(String, String)],
    nodes: impl IntoIterator<Item = &'a Node>,
    partitions: impl IntoIterator<Item = &'a Partition>,
    time: &str,
) -> String {
    let mut text = format!("# slurm.conf as it was in force at {time}\n#\n");
    let hosts = parameters.iter().filter(|(key, _)| key.starts_with("SlurmctldHost["));
    hosts.for_each(|(_, host)| text.push_str(&format!("SlurmctldHost={host}\n")));
    for parameter in SHOWN.iter().filter(|parameter| parameter.standing != Standing::Computed) {
        let name = parameter.name;
        let Some((_, shown)) = parameters.iter().find(|(key, _)| key == name) else { continue };
        let value = shown.strip_suffix(parameter.unit).unwrap_or(shown);
        // Users are shown with their numbers.
        let value = match name {
            "SlurmUser" | "SlurmdUser" => value.split('(').next().unwrap_or(value),
            _ => value,
        };
        let line = match () {
            () if value.is_empty() || value.starts_with("(null") => format!("#{name}=\n"),
            () if !value.contains(char::is_whitespace) => format!("{name}={value}\n"),
            // Words in between would be taken for keys.
            () if value == parameter.default => format!("#{name}={value}\n"),
            () => format!("{name}=\"{value}\"\n"),
        };
        text.push_str(&line);
    }
    text.push_str("#\n# Nodes\n#\n");
    let nodes: Vec<&Node> = nodes.into_iter().collect();
    nodes.iter().for_each(|node| text.push_str(&node_line(node)));
    text.push_str("#\n# Partitions\n#\n");
    // By their names: a set of nodes is known only to the file that it stands in.
    let names = |partition: &Partition| {
        let found = partition.nodes.iter().filter_map(|index| nodes.get(index.0 as usize));
        hostlist::compress(found.map(|node| &*node.config.name))
    };
    for partition in partitions {
        text.push_str(&format!("{}\n", partition_line(partition, &names(partition))));
    }
    text
}

fn node_line(node: &Node) -> String {
    let (config, hardware) = (&node.config, &node.config.hardware);
    let mut line = format!("NodeName={} NodeHostname={} NodeAddr={}", config.name, config.host_name, config.address);
    let mut put = |key: &str, value: &dyn std::fmt::Display| line.push_str(&format!(" {key}={value}"));
    if config.port != 0 {
        put("Port", &config.port);
    }
    put("CPUs", &hardware.cpus);
    put("Boards", &hardware.boards);
    put("SocketsPerBoard", &(hardware.sockets / hardware.boards.max(1)));
    put("CoresPerSocket", &hardware.cores_per_socket);
    put("ThreadsPerCore", &hardware.threads_per_core);
    put("RealMemory", &hardware.memory.0);
    put("TmpDisk", &hardware.tmp_disk.0);
    let kept = |gres: &Gres| {
        let kind = gres.kind.as_deref().map(|kind| format!(":{kind}")).unwrap_or_default();
        format!("{}{kind}:no_consume:{}", gres.name, gres.count)
    };
    let gres: Vec<String> =
        hardware.gres.iter().map(Gres::to_string).chain(hardware.gres_unconsumed.iter().map(kept)).collect();
    if !gres.is_empty() {
        put("Gres", &gres.join(","));
    }
    if !config.features.is_empty() {
        put("Feature", &config.features.join(","));
    }
    if hardware.cpus_reserved != IndexSet::default() {
        put("CPUSpecList", &hardware.cpus_reserved);
    }
    if hardware.memory_reserved.0 > 0 {
        put("MemSpecLimit", &hardware.memory_reserved.0);
    }
    if hardware.cores_per_gpu_restricted > 0 {
        put("RestrictedCoresPerGPU", &hardware.cores_per_gpu_restricted);
    }
    put("Weight", &config.weight);
    let state = match config.initial_state {
        InitialState::Unknown => "UNKNOWN",
        InitialState::Down => "DOWN",
        InitialState::Drain => "DRAIN",
        InitialState::Future => "FUTURE",
        InitialState::Cloud => "CLOUD",
    };
    put("State", &state);
    if let Some(reason) = &config.reason {
        put("Reason", &format!("\"{reason}\""));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use muster_model::config::ClusterConfig;

    use super::*;
    use crate::conf::load;

    fn read(text: &str) -> ClusterConfig {
        let file = |path: &Path| match path.ends_with("slurm.conf") {
            true => Ok(text.to_owned()),
            false => Err(std::io::ErrorKind::NotFound.into()),
        };
        load(Path::new("/c/slurm.conf"), &file).unwrap_or_else(|error| panic!("{error}\n{text}")).cluster
    }

    /// The configuration of `text` is the same after it was written and read again.
    fn check(text: &str) {
        let before = read(&format!("ClusterName=c\nSlurmctldHost=h(127.0.0.1)\nSlurmUser=root\n{text}"));
        let nodes: Vec<Node> = before.nodes.iter().map(|node| Node::new(Arc::new(node.clone()))).collect();
        let again = written(&before.shown, &nodes, &before.partitions, "now");
        let after = read(&again);
        assert_eq!(after.nodes, before.nodes, "{again}");
        assert_eq!(after.shown, before.shown, "{again}");
        let shown = |config: &ClusterConfig| {
            config.partitions.iter().map(|partition| partition_line(partition, "")).collect::<Vec<_>>()
        };
        assert_eq!(shown(&after), shown(&before), "{again}");
        let nodes = |config: &ClusterConfig| config.partitions.iter().map(|row| row.nodes.clone()).collect::<Vec<_>>();
        assert_eq!(nodes(&after), nodes(&before), "{again}");
        assert_eq!(ClusterConfig { partitions: before.partitions.clone(), ..after }, before, "{again}");
    }

    #[test]
    fn what_is_written_reads_the_same() {
        check("NodeName=n[1-2]\nPartitionName=p Nodes=ALL\n");
        check("NodeName=n[1-3]\nNodeName=m Feature=x\nNodeSet=s Feature=x\nPartitionName=p Nodes=n2,s,n1\n");
        check(
            "KillWait=5\nMinJobAge=10\nSchedulerParameters=bf_window=60,nohold_on_prolog_fail\nLicenses=a:2,b:3\n\
             PriorityType=priority/multifactor\nPriorityMaxAge=2-0\nPriorityWeightAge=100\nProlog=/x/y\n\
             PreemptMode=SUSPEND,GANG\nPreemptType=preempt/partition_prio\nGresTypes=gpu\nMaxArraySize=99\n\
             NodeName=n1 Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 RealMemory=1000 Gres=gpu:a:2,foo:no_consume:3 \
             Feature=x,y Weight=7 MemSpecLimit=10 CoreSpecCount=1 State=DRAIN Reason=\"to be mended\"\n\
             NodeName=n2 NodeHostname=h NodeAddr=127.0.0.1 Port=17001 CPUs=4 TmpDisk=5\nGresTypes=gpu,foo\n\
             PartitionName=p Nodes=n1 Default=YES DefaultTime=10 MaxTime=1-0 State=DOWN OverSubscribe=FORCE:2 \
             PriorityTier=4 AllowGroups=root AllowAccounts=a,b MaxNodes=1 DefMemPerCPU=10 MaxMemPerNode=90\n\
             PartitionName=q Nodes=n[1-2] Hidden=YES RootOnly=YES GraceTime=5 ReqResv=YES PreemptMode=REQUEUE\n",
        );
    }
}
