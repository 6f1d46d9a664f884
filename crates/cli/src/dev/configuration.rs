//! The slurm.conf of a development cluster: written for a size, or made local from somebody else's.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

use anyhow::Context;

use super::arguments::Up;
use super::layout::Layout;

/// Keys that are replaced when somebody else's slurm.conf is made local: addresses, paths and users of another site.
const LOCAL_KEYS: &[&str] = &[
    "SlurmctldHost",
    "ControlMachine",
    "ControlAddr",
    "BackupController",
    "BackupAddr",
    "SlurmctldAddr",
    "SlurmctldPort",
    "SlurmdPort",
    "SlurmctldPidFile",
    "SlurmdPidFile",
    "SlurmctldLogFile",
    "SlurmdLogFile",
    "SlurmSchedLogFile",
    "StateSaveLocation",
    "SlurmdSpoolDir",
    "TmpFS",
    "SlurmUser",
    "SlurmdUser",
    "ReturnToService",
    "SlurmdParameters",
];

/// Writes the slurm.conf of a new cluster.
pub(super) fn write(layout: &Layout, up: &Up) -> anyhow::Result<()> {
    let mut text = local_part(layout)?;
    match &up.conf {
        Some(conf) => {
            text.push_str(&made_local(conf)?);
            copy_companions(conf, layout)?;
        }
        None => text.push_str(&for_size(up)),
    }
    let path = layout.slurm_conf();
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    if up.conf.is_none() && up.gpus > 0 {
        let path = layout.root().join("gres.conf");
        let text = format!("NodeName=n[1-{}] Name=gpu Count={}\n", up.nodes, up.gpus);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let port = free_port()?;
    std::fs::write(layout.rest_port_file(), port.to_string())?;
    Ok(())
}

/// Addresses and paths of this directory.
fn local_part(layout: &Layout) -> anyhow::Result<String> {
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned());
    let host = host.split('.').next().unwrap_or("localhost");
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::Uid::effective().to_string(), |user| user.name);
    let (root, port) = (layout.root().display(), free_port()?);
    Ok(format!(
        "SlurmctldHost={host}(127.0.0.1)\n\
         SlurmctldPort={port}\n\
         SlurmUser={user}\n\
         SlurmdUser={user}\n\
         StateSaveLocation={root}/state\n\
         SlurmdSpoolDir={root}/spool/%n\n\
         # Other clusters of this machine count their jobs from one too.\n\
         TmpFS={root}/tmp\n\
         SlurmctldPidFile={root}/run/controller.pid\n\
         SlurmdPidFile={root}/run/%n.pid\n\
         SlurmctldLogFile={root}/log/controller.log\n\
         SlurmdLogFile={root}/log/%n.log\n\
         ReturnToService=2\n\
         # Declared CPUs and memory may exceed what this machine has.\n\
         SlurmdParameters=config_overrides\n"
    ))
}

/// Nodes and partitions of the wanted size.
fn for_size(up: &Up) -> String {
    let mut text = String::from(
        "ClusterName=muster\n\
         AuthType=auth/none\n\
         SchedulerType=sched/backfill\n\
         PriorityType=priority/multifactor\n\
         PriorityWeightAge=1000\n\
         PriorityWeightFairshare=10000\n\
         PriorityWeightQOS=1000\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         JobAcctGatherType=jobacct_gather/linux\n\
         KillWait=5\n\
         SlurmdTimeout=30\n\
         MaxJobCount=1000000\n\
         MaxArraySize=1000001\n",
    );
    if up.gpus > 0 {
        text.push_str("GresTypes=gpu\n");
    }
    let gres = if up.gpus > 0 { format!(" Gres=gpu:{}", up.gpus) } else { String::new() };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "NodeName=n[1-{}] NodeAddr=127.0.0.1 CPUs={} Boards=1 SocketsPerBoard=1 CoresPerSocket={} ThreadsPerCore=1 RealMemory={}{gres} State=UNKNOWN",
        up.nodes, up.cpus, up.cpus, up.memory_mb
    );
    text.push_str("PartitionName=debug Nodes=ALL Default=YES DefaultTime=01:00:00 MaxTime=INFINITE State=UP\n");
    text.push_str("PartitionName=batch Nodes=ALL DefaultTime=01:00:00 MaxTime=INFINITE State=UP\n");
    text
}

/// The text of another slurm.conf without what belongs to its site.
fn made_local(conf: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(conf).with_context(|| format!("cannot read {}", conf.display()))?;
    let mut kept = String::new();
    // Continued lines are kept or dropped as a whole.
    let mut dropping = false;
    let mut continued = false;
    for line in text.lines() {
        if !continued {
            let key = line.split('=').next().unwrap_or_default().trim();
            dropping = LOCAL_KEYS.iter().any(|local| local.eq_ignore_ascii_case(key));
        }
        continued = line.trim_end().ends_with('\\');
        if !dropping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Ok(kept)
}

/// Files that a slurm.conf refers to by lying beside it.
fn copy_companions(conf: &Path, layout: &Layout) -> anyhow::Result<()> {
    let Some(directory) = conf.parent() else {
        return Ok(());
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let own = conf.file_name();
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_conf = Path::new(&name).extension().is_some_and(|extension| extension == "conf");
        if is_conf && Some(name.as_os_str()) != own && name != "slurm.conf" && entry.file_type()?.is_file() {
            let target = layout.root().join(&name);
            std::fs::copy(entry.path(), &target).with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// A port on which nobody listens now.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}
