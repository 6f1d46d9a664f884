//! `scontrol show slurmd` and `scontrol write config`: what is told of the daemon of one node, and of the configuration in force.

use muster_model::node::{Hardware, Node};
use muster_model::request::Query;

use super::super::context::{Answers, Context, Outcome};
use super::super::time_text;
use crate::conf;

/// The machine on which the command runs.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Name of the node (`SLURMD_NODENAME`, or what was named); `None` for that with the host name.
    pub node: Option<String>,
    /// Its host name.
    pub host: String,
    /// What it has.
    pub hardware: Hardware,
    /// Reads the first number of a file: that of the process which noted it there.
    pub first_number: fn(&str) -> Option<u32>,
}

/// What to ask for `show slurmd`.
pub fn slurmd_queries() -> Vec<Query> {
    vec![Query::Nodes, Query::Config, Query::Steps { job_id: None }]
}

/// The agent of this machine, in the form of real `scontrol show slurmd`. One whose connection to the controller is gone cannot be
/// told from one that does not run, and is told as such.
pub fn slurmd(machine: &Machine, answers: &Answers, context: &Context) -> Outcome {
    let is_this = |node: &&std::sync::Arc<Node>| match &machine.node {
        Some(name) => **node.name() == **name,
        None => *node.config.host_name == *machine.host || **node.name() == *machine.host,
    };
    let mut nodes = answers.cluster.nodes.iter().zip(0..);
    let Some((node, index)) = nodes.find(|(node, _)| is_this(node) && !node.not_responding) else {
        let reason = "Connection refused";
        return Outcome::failure(
            format!("scontrol: error: slurm_slurmd_info: {reason}\nslurm_load_slurmd_status: {reason}\n"),
            1,
        );
    };
    let here = answers.steps.iter().filter(|step| step.nodes_left.iter().any(|node| node.0 == index));
    let steps: Vec<String> = here.map(|step| format!("{}.{}", step.job_id, step.step_id)).collect();
    let parameter = |name: &str| {
        let said = answers.cluster.parameter(name).filter(|said| *said != "(null)").unwrap_or_default();
        said.replace("%n", node.name()).replace("%h", &node.config.host_name)
    };
    let (hardware, report) = (&machine.hardware, &node.report);
    let time = |time| time_text::standard(time, &context.zone);
    let pid = (machine.first_number)(&parameter("SlurmdPidFile"));
    let rows = [
        ("Active Steps", if steps.is_empty() { "NONE".to_owned() } else { steps.join(",") }),
        ("Actual CPUs", hardware.cpus.to_string()),
        ("Actual Boards", hardware.boards.to_string()),
        ("Actual sockets", hardware.sockets.to_string()),
        ("Actual cores", hardware.cores_per_socket.to_string()),
        ("Actual threads per core", hardware.threads_per_core.to_string()),
        ("Actual real memory", format!("{} MB", hardware.memory.0)),
        ("Actual temp disk space", format!("{} MB", hardware.tmp_disk.0)),
        ("Boot time", time(report.agent_start_time)),
        ("Hostname", node.name().to_string()),
        ("Last slurmctld msg time", time(node.last_response.unwrap_or_default())),
        ("Slurmd PID", pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())),
        ("Slurmd Debug", parameter("SlurmdDebug")),
        ("Slurmd Logfile", parameter("SlurmdLogFile")),
        ("Version", super::super::VERSION.to_owned()),
    ];
    Outcome::success(rows.iter().map(|(name, value)| format!("{name:<24} = {value}\n")).collect::<String>())
}

/// Name and text of the file that `write config` makes.
pub fn config_file(file: Option<&str>, answers: &Answers, context: &Context) -> (String, String) {
    let time = time_text::standard(context.now, &context.zone);
    let path = file.or_else(|| answers.cluster.parameter("SLURM_CONF")).unwrap_or("slurm.conf");
    let cluster = &answers.cluster;
    let (nodes, partitions) = (cluster.nodes.iter().map(AsRef::as_ref), cluster.partitions.iter().map(AsRef::as_ref));
    (format!("{path}.{time}"), conf::written(&cluster.parameters, nodes, partitions, &time))
}
