//! What of a configuration can change while the daemons run (`scontrol reconfigure`), as slurm.conf(5) and real Slurm have it.

use muster_model::request::{Refusal, RefusalCode};

use super::Loaded;

/// Parameters that name how the cluster is built: with another value of one of them the whole file is refused.
const BUILT_IN: &[(&str, RefusalCode)] = &[
    ("AuthType", RefusalCode::AuthTypeChange),
    ("SchedulerType", RefusalCode::SchedulerTypeChange),
    ("SelectType", RefusalCode::SelectTypeChange),
    ("SelectTypeParameters", RefusalCode::SelectTypeChange),
    ("SwitchType", RefusalCode::SwitchTypeChange),
];

/// Parameters that a daemon looks at only when it starts.
const AT_START: &[&str] = &[
    "SlurmctldHost[0]",
    "SlurmctldPort",
    "StateSaveLocation",
    "SlurmdSpoolDir",
    "JobContainerType",
    "ProctrackType",
    "CgroupPlugin",
    "CgroupMountpoint",
    "CgroupAutomount",
    "AcctGatherEnergyType",
];

/// Whether daemons that run by `old` can go on by `new`, and what is to be said in the log of what takes a restart.
///
/// # Errors
/// With what only a restart can change: other nodes, another cluster, and parameters that name how the cluster is built.
pub fn can_take_over(old: &Loaded, new: &Loaded) -> Result<Vec<String>, Refusal> {
    let value = |loaded: &Loaded, name: &str| {
        let found = loaded.cluster.shown.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let is_changed = |name: &str| value(old, name) != value(new, name);
    if let Some((name, code)) = BUILT_IN.iter().find(|(name, _)| is_changed(name)) {
        return Err(Refusal::new(*code, format!("{name} was {} and is {}", value(old, name), value(new, name))));
    }
    let invalid = |text: String| Err(Refusal::new(RefusalCode::InvalidConfiguration, text));
    if old.cluster.cluster_name != new.cluster.cluster_name {
        return invalid(format!(
            "ClusterName has changed ({}->{}) during reconfig, slurmctld must be restarted",
            old.cluster.cluster_name, new.cluster.cluster_name
        ));
    }
    let (before, after) = (&old.cluster.nodes, &new.cluster.nodes);
    if before.len() != after.len() {
        return invalid(format!(
            "MaxNodeCount has changed ({}->{}) during reconfig, slurmctld must be restarted",
            before.len(),
            after.len()
        ));
    }
    if let Some((before, after)) = before.iter().zip(after).find(|(before, after)| before.name != after.name) {
        return invalid(format!(
            "node {} stands where {} stood during reconfig, slurmctld must be restarted",
            after.name, before.name
        ));
    }
    let at_start = AT_START.iter().filter(|name| is_changed(name));
    Ok(at_start.map(|name| format!("{name} has changed, which takes effect when the daemons are restarted")).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::conf::load;

    const BASE: &str = "ClusterName=c\nSlurmctldHost=h\nNodeName=n[1-2]\nPartitionName=p Nodes=ALL\n";

    /// What is said when the configuration with `old` is to give way to that with `new`.
    fn check(old: &str, new: &str, expected: &str) {
        let read = |text: &str| {
            let whole = if text.contains("NodeName") { text.to_owned() } else { format!("{BASE}{text}") };
            let file = move |path: &Path| match path.ends_with("slurm.conf") {
                true => Ok(whole.clone()),
                false => Err(std::io::ErrorKind::NotFound.into()),
            };
            load(Path::new("/c/slurm.conf"), &file).unwrap()
        };
        let said = match can_take_over(&read(old), &read(new)) {
            Ok(notes) => notes.join("; "),
            Err(refusal) => format!("{refusal} ({})", refusal.detail),
        };
        assert_eq!(said, expected, "{old} -> {new}");
    }

    #[test]
    fn what_can_change_and_what_takes_a_restart() {
        check("KillWait=5", "KillWait=9\nPriorityType=priority/multifactor\nLicenses=a:2", "");
        check(
            "SelectType=select/cons_tres",
            "SelectType=select/linear",
            "SelectType change requires restart of the slurmctld daemon to take effect \
             (SelectType was select/cons_tres and is select/linear)",
        );
        check(
            "",
            "SchedulerType=sched/builtin",
            "SchedulerType change requires restart of the slurmctld daemon to take effect \
             (SchedulerType was sched/backfill and is sched/builtin)",
        );
        check(
            "",
            "StateSaveLocation=/x\nSlurmctldPort=7000",
            "SlurmctldPort has changed, which takes effect when the daemons are restarted; \
             StateSaveLocation has changed, which takes effect when the daemons are restarted",
        );
        let other =
            |nodes: &str| format!("ClusterName=c\nSlurmctldHost=h\nNodeName={nodes}\nPartitionName=p Nodes=ALL\n");
        check("", &other("n[1-2] Weight=3 CPUs=4"), "");
        let prefix = "Unable to process configuration file (";
        check(
            "",
            &other("n[1-3]"),
            &format!("{prefix}MaxNodeCount has changed (2->3) during reconfig, slurmctld must be restarted)"),
        );
        check(
            "",
            &other("n[2-3]"),
            &format!("{prefix}node n2 stands where n1 stood during reconfig, slurmctld must be restarted)"),
        );
    }
}
