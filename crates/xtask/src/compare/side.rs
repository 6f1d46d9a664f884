//! One of the two clusters: how it is started, spoken to and stopped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::text_of;

/// First port of the real Slurm; several follow.
const PORT_BASE: u16 = 23_800;
/// Nodes of both clusters.
const NODES: u16 = 4;

/// What both are configured with besides their addresses: schedulers that act within seconds, priorities that only differ
/// by nice, and partitions that overlap.
const PARAMETERS: &[(&str, &str)] = &[
    ("SelectTypeParameters", "CR_Core_Memory"),
    (
        "SchedulerParameters",
        "bf_interval=2,bf_continue,sched_interval=2,sched_min_interval=0,batch_sched_delay=0,default_queue_depth=10000,bf_max_job_test=10000",
    ),
    ("PriorityWeightAge", "0"),
    ("PriorityWeightFairshare", "0"),
    ("PriorityWeightJobSize", "0"),
    ("PriorityWeightQOS", "0"),
    ("PriorityWeightPartition", "100000"),
    ("Licenses", "matlab:4"),
    ("MinJobAge", "3600"),
    ("DefMemPerCPU", "1000"),
    // Its log tells for whom Slurm keeps which nodes, and when.
    ("DebugFlags", "Backfill"),
    // And whom its main scheduler looks at.
    ("SlurmctldDebug", "debug3"),
];

const PARTITIONS: &str = "\
PartitionName=debug Nodes=n[1-4] Default=YES DefaultTime=00:10:00 MaxTime=01:00:00 State=UP
PartitionName=batch Nodes=n[1-4] DefaultTime=01:00:00 MaxTime=INFINITE State=UP
PartitionName=high Nodes=n[3-4] DefaultTime=00:30:00 MaxTime=04:00:00 PriorityTier=10 State=UP
PartitionName=small Nodes=n1 MaxNodes=1 DefaultTime=00:20:00 MaxTime=08:00:00 State=UP
";

/// How the clusters of one comparison are made.
pub(super) struct Setup<'a> {
    pub(super) nodes: u16,
    /// Whether there are accounts and QOS.
    pub(super) accounting: bool,
    /// The configuration, made of the one that was written for the real Slurm.
    pub(super) configured: &'a dyn Fn(&str) -> String,
    /// `topology.conf`; empty where there is none.
    pub(super) topology: String,
}

impl Setup<'_> {
    /// That of the two hundred submissions.
    pub(super) fn of_submissions() -> Setup<'static> {
        Setup { nodes: NODES, accounting: false, configured: &configured, topology: String::new() }
    }
}

/// A running cluster; stopped when it goes out of scope.
pub(super) struct Side {
    directory: PathBuf,
    bin: PathBuf,
    conf: PathBuf,
    stop: Vec<PathBuf>,
}

impl Side {
    /// Starts a real Slurm.
    pub(super) fn slurm(slurm_up: &Path, setup: &Setup<'_>) -> Result<Side> {
        let directory = fresh("slurm")?;
        let up = |conf_only: bool| -> Result<()> {
            let mut command = Command::new(slurm_up);
            command.arg(&directory).arg(setup.nodes.to_string()).env("PORT_BASE", PORT_BASE.to_string());
            command.env("NOREST", "1");
            if !setup.accounting {
                command.env("NODB", "1");
            }
            if conf_only {
                command.env("CONF_ONLY", "1");
            }
            // Daemons keep what they inherit open, so it must not be a pipe that somebody reads to its end.
            let log = std::fs::File::create(directory.join("up.log"))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let status = command.status().with_context(|| format!("cannot run {}", slurm_up.display()))?;
            ensure!(status.success(), "{} ended with {status}; see {}/up.log", slurm_up.display(), directory.display());
            Ok(())
        };
        let side = Side {
            bin: "/usr/bin".into(),
            conf: directory.join("etc/slurm.conf"),
            stop: vec![slurm_up.with_file_name("slurm-down"), directory.clone()],
            directory: directory.clone(),
        };
        up(true)?;
        let text = std::fs::read_to_string(&side.conf)?;
        std::fs::write(&side.conf, (setup.configured)(&text))?;
        if !setup.topology.is_empty() {
            std::fs::write(directory.join("etc/topology.conf"), &setup.topology)?;
        }
        if setup.accounting {
            // Before its controller comes, which is refused where the database does not know it.
            side.shell("sacctmgr -i add cluster peer", &[])?;
        }
        up(false)?;
        Ok(side)
    }

    /// Builds Muster and starts a development cluster with the configuration of the other.
    pub(super) fn muster(conf: &Path) -> Result<Side> {
        let built = Command::new("cargo").args(["build", "--locked", "--package", "muster"]).status()?;
        ensure!(built.success(), "the build failed");
        let metadata = Command::new("cargo").args(["metadata", "--format-version=1", "--no-deps"]).output()?;
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata")?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
        let program = Path::new(target).join("debug/muster");
        let directory = fresh("muster")?;
        let side = Side {
            bin: directory.join("bin"),
            conf: directory.join("slurm.conf"),
            stop: vec![program.clone(), "dev".into(), "down".into(), directory.clone()],
            directory: directory.clone(),
        };
        let log = std::fs::File::create(directory.join("up.log"))?;
        let up =
            Command::new(&program).args(["dev", "up"]).arg(&directory).arg("--conf").arg(conf).stderr(log).status();
        ensure!(up?.success(), "the cluster did not start; see {}/up.log", directory.display());
        Ok(side)
    }

    /// Its slurm.conf.
    pub(super) fn conf(&self) -> PathBuf {
        self.conf.clone()
    }

    /// The log of the controller, where it is a real Slurm.
    pub(super) fn log(&self) -> Option<String> {
        let bytes = std::fs::read(self.directory.join("log/slurmctld.log")).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .args(arguments)
            .env("SLURM_CONF", &self.conf)
            .env("MUSTER_SOCKET", self.directory.join("state/muster.sock"))
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and gives what it prints.
    pub(super) fn call(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.command(program, arguments).output();
        text_of(output.with_context(|| format!("cannot run {program}"))?, program)
    }

    /// What a line for the shell prints, errors too, however it ends. The commands of this side come first; `variables` are set.
    pub(super) fn shell(&self, line: &str, variables: &[(&str, &str)]) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let command = self.command("sh", &[]);
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {line}")])
            .envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))))
            .envs(variables.iter().copied())
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {line}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Submits a job that runs until it is told to end. What sbatch says, also when it refuses.
    pub(super) fn submit(&self, name: &str, arguments: &[String]) -> Result<String> {
        let ends = self.directory.join("ends");
        let script = format!(
            "#!/bin/sh\nend={}/$SLURM_JOB_NAME${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}\nwhile ! [ -e $end ]; do sleep 0.3; done\n",
            ends.display()
        );
        let body = self.directory.join("body.sh");
        std::fs::create_dir_all(&ends)?;
        std::fs::write(&body, script)?;
        let mut words = vec!["-J", name, "-o", "/dev/null"];
        words.extend(arguments.iter().map(String::as_str));
        let body = body.display().to_string();
        words.push(&body);
        let output = self.command("sbatch", &words).output().context("cannot run sbatch")?;
        let text = if output.status.success() { output.stdout } else { output.stderr };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Lets jobs end well.
    pub(super) fn end(&self, jobs: &BTreeSet<String>) -> Result<()> {
        for job in jobs {
            std::fs::write(self.directory.join("ends").join(job), "")?;
        }
        Ok(())
    }

    /// Cancels jobs by number.
    pub(super) fn cancel(&self, ids: Vec<String>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let words: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.call("scancel", &words).map(drop)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let [program, arguments @ ..] = self.stop.as_slice() else {
            return;
        };
        let stopped = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if stopped.is_ok_and(|status| status.success()) {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

/// An empty directory of its own.
fn fresh(name: &str) -> Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("muster-compare-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// The configuration that was written for the real Slurm, with our parameters, nodes and partitions.
fn configured(text: &str) -> String {
    let ours = |line: &&str| {
        let key = line.split('=').next().unwrap_or_default();
        key == "NodeName" || key == "PartitionName" || PARAMETERS.iter().any(|(name, _)| *name == key)
    };
    let mut lines: Vec<String> = text.lines().filter(|line| !ours(line)).map(str::to_owned).collect();
    lines.extend(PARAMETERS.iter().map(|(name, value)| format!("{name}={value}")));
    let old: Vec<&str> = text.lines().filter(|line| line.starts_with("NodeName=")).collect();
    for (at, line) in old.iter().enumerate() {
        let features = if at < 2 { "slow,disk" } else { "fast,disk" };
        let weight = if at == 3 { 10 } else { 1 };
        lines.push(format!("{line} Feature={features} Weight={weight}"));
    }
    lines.push(PARTITIONS.to_owned());
    lines.join("\n")
}
