//! Launching jobs, beside real Slurm in one run: one command starts both with as many nodes, measures one after the other, and prints
//! both with their ratio. What daemons and running steps cost in memory is measured in the same way, before anything else has left
//! its traces in it.

mod memory;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::memory::{Daemons, Memory};
use super::steps::{What, figures};
use super::support::{Cluster, Commands, build, output_of};

/// Names the program that starts a real Slurm: it is given a directory and a number of nodes; `slurm-down` stands beside it.
const SLURM_UP: &str = "MUSTER_PEER_SLURM_UP";
/// First port of the real Slurm, where it is not to be looked for.
const PORT_BASE: &str = "PORT_BASE";
/// Ports that it takes, from the first one.
const PORTS: u16 = 20;
const NODES: u32 = 4;
/// Steps that run at once while it is measured what they cost.
const STEPS: usize = 32;
/// How long they may take to be there.
const STEPS_PATIENCE: Duration = Duration::from_secs(60);

/// `cargo xtask bench launch [--slurm-up FILE]`.
pub(super) fn run(args: &[String]) -> Result<()> {
    let slurm_up = match args {
        [] => std::env::var_os(SLURM_UP).map(PathBuf::from),
        [flag, file] if flag == "--slurm-up" => Some(PathBuf::from(file)),
        _ => anyhow::bail!("usage: cargo xtask bench launch [--slurm-up FILE]"),
    };
    let release = build(&[])?;
    let ours = {
        let cluster = Cluster::start(&release, NODES, "launch")?;
        let daemons = Daemons::ours(cluster.directory());
        measure(&|program| cluster.command(program), &daemons)?
    };
    if let Some((what, _)) = ours.iter().find(|(_, value)| value.is_nan()) {
        anyhow::bail!("not measured: {}", what.words);
    }
    let theirs = slurm_up.as_deref().map(measure_slurm).transpose()?;
    if theirs.is_none() {
        eprintln!("real Slurm is not measured: name the program that starts one with --slurm-up or {SLURM_UP}");
    }
    println!("{:<46} {:>14} {:>14} {:>8}   goal", "", "muster", "Slurm", "ratio");
    for (at, (what, value)) in ours.iter().enumerate() {
        let other = theirs.as_ref().and_then(|theirs| theirs.get(at)).map(|(_, value)| *value);
        let shown = |value: f64| match value.is_nan() {
            true => "refused".to_owned(),
            false => format!("{value:.*} {}", what.decimals, what.unit),
        };
        let ratio = other.filter(|other| *value > 0.0 && !other.is_nan()).map(|other| format!("{:.2}", other / value));
        let (other, ratio) = (other.map(shown).unwrap_or_default(), ratio.unwrap_or_default());
        println!("{:<46} {:>14} {other:>14} {ratio:>8}   {}", what.words, shown(*value), what.goal);
    }
    Ok(())
}

fn measure_slurm(slurm_up: &Path) -> Result<Vec<(What, f64)>> {
    let peer = Peer::start(slurm_up)?;
    let command = |program: &str| {
        let mut command = Command::new(format!("/usr/bin/{program}"));
        command.env("SLURM_CONF", peer.directory.join("etc/slurm.conf")).current_dir(std::env::temp_dir());
        command
    };
    measure(&command, &Daemons::slurms(&peer.directory))
}

/// The figures of one cluster with these daemons on its nodes; what it refuses is told and is no number.
fn measure(command: &Commands<'_>, daemons: &Daemons) -> Result<Vec<(What, f64)>> {
    let mut all = memory_figures(command, daemons)?;
    for (what, value) in figures(command) {
        let value = value.inspect_err(|problem| eprintln!("{}: {problem:#}", what.words));
        all.push((what, value.unwrap_or(f64::NAN)));
    }
    Ok(all)
}

fn memory_figures(command: &Commands<'_>, daemons: &Daemons) -> Result<Vec<(What, f64)>> {
    let idle = daemons.memory();
    ensure!(idle.agents.count == NODES as usize, "{} daemons of nodes run, not {NODES}", idle.agents.count);
    let steps = Steps::start(command)?;
    let with = daemons.memory();
    drop(steps);
    let megabytes = |words, goal| What { words, unit: "MiB", decimals: 1, goal };
    let of_node = |kb: u64| kb as f64 / 1024.0 / f64::from(NODES);
    let of_step = |kb: fn(&Memory) -> u64| kb(&with).saturating_sub(kb(&idle)) as f64 / 1024.0 / STEPS as f64;
    Ok(vec![
        (megabytes("agent of an idle node, resident", "under 20 MB"), of_node(idle.agents.resident_kb)),
        (megabytes("the same, its part of shared pages", ""), of_node(idle.agents.proportional_kb)),
        (megabytes("supervisor of an idle node, resident", ""), of_node(idle.supervisors.resident_kb)),
        (megabytes("the same, its part of shared pages", ""), of_node(idle.supervisors.proportional_kb)),
        (megabytes("a running step adds, resident", "under 3 MB"), of_step(Memory::resident_kb)),
        (megabytes("the same, its part of shared pages", ""), of_step(Memory::proportional_kb)),
    ])
}

/// Steps that run until they are dropped.
struct Steps {
    sruns: Vec<Child>,
    directory: PathBuf,
}

impl Steps {
    fn start(command: &Commands<'_>) -> Result<Steps> {
        let directory = std::env::temp_dir().join(format!("muster-bench-steps-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let mut steps = Steps { sruns: Vec::new(), directory };
        for number in 0..STEPS {
            let line = format!("touch {}/{number}; exec sleep 600", steps.directory.display());
            let mut srun = command("srun");
            srun.args(["-n1", "sh", "-c", &line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            steps.sruns.push(srun.spawn().context("cannot run srun")?);
        }
        let deadline = Instant::now() + STEPS_PATIENCE;
        while std::fs::read_dir(&steps.directory)?.count() < STEPS {
            ensure!(Instant::now() < deadline, "not all steps run");
            std::thread::yield_now();
        }
        Ok(steps)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        for srun in &mut self.sruns {
            // TERM ends the step; KILL would leave it to the cluster to notice.
            drop(Command::new("kill").arg(srun.id().to_string()).status());
        }
        self.sruns.iter_mut().for_each(|srun| drop(srun.wait()));
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// A first port from which on enough are free. Below those that the kernel gives to connections.
fn free_ports() -> Result<u16> {
    let is_free =
        |first: &u16| (*first..first + PORTS).all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
    (20_000..30_000).step_by(100).find(is_free).context("no ports are free for the real Slurm")
}

/// A real Slurm that is stopped at the end.
struct Peer {
    directory: PathBuf,
    stop: PathBuf,
}

impl Peer {
    fn start(slurm_up: &Path) -> Result<Peer> {
        let directory = std::env::temp_dir().join(format!("muster-bench-slurm-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let peer = Peer { directory, stop: slurm_up.with_file_name("slurm-down") };
        // Daemons keep what they inherit open, so it must not be a pipe that somebody reads to its end.
        let log = std::fs::File::create(peer.directory.join("up.log"))?;
        let mut up = Command::new(slurm_up);
        up.arg(&peer.directory).arg(NODES.to_string());
        if std::env::var_os(PORT_BASE).is_none() {
            up.env(PORT_BASE, free_ports()?.to_string());
        }
        up.env("NODB", "1").env("NOREST", "1").env("GPUS", "0");
        let status = up.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status();
        let status = status.with_context(|| format!("cannot run {}", slurm_up.display()))?;
        let said = std::fs::read_to_string(peer.directory.join("up.log")).unwrap_or_default();
        ensure!(status.success(), "{} ended with {status}:\n{said}", slurm_up.display());
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if output_of(Command::new(&self.stop).arg(&self.directory)).is_ok() {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}
