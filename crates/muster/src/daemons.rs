//! The daemons: what they read from slurm.conf and the command line before they start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use muster_agent::AgentOptions;
use muster_controller::{ControllerOptions, Pace, ReadConfig};
use muster_model::request::{Refusal, RefusalCode};
use muster_runtime::gpu::World;
use muster_slurm::conf::{self, NodeGres};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// Name of the file with the secret of agents, in the directory of the controller's state.
const TOKEN_FILE: &str = "agent.token";

/// Run the controller of a cluster. Options are those of slurmctld.
#[derive(Debug, Parser)]
#[command(name = "slurmctld", version, disable_version_flag = true)]
struct ControllerArguments {
    /// Stay in the foreground. This is always done; accepted for scripts that ask for it.
    #[arg(short = 'D')]
    foreground: bool,
    /// The configuration.
    #[arg(short = 'f', long = "conf", env = "SLURM_CONF", default_value = "/etc/slurm/slurm.conf")]
    conf: PathBuf,
    /// More messages; may be given several times.
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print the version.
    #[arg(short = 'V', long = "version")]
    version: bool,
}

/// Run the agent of one node. Options are those of slurmd.
#[derive(Debug, Parser)]
#[command(name = "slurmd", version, disable_version_flag = true)]
struct AgentArguments {
    /// Stay in the foreground. This is always done; accepted for scripts that ask for it.
    #[arg(short = 'D')]
    foreground: bool,
    /// The configuration.
    #[arg(short = 'f', long = "conf", env = "SLURM_CONF", default_value = "/etc/slurm/slurm.conf")]
    conf: PathBuf,
    /// Name of the node; by default the one whose host name is that of this machine.
    #[arg(short = 'N', long = "node")]
    node: Option<String>,
    /// File with the secret that the controller expects; by default agent.token in its state directory.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Print the generic resources that the node has, and end.
    #[arg(short = 'G')]
    print_gres: bool,
    /// A directory that stands for the machine where devices are looked for: with sys, proc and dev in it.
    #[arg(long, env = "MUSTER_MACHINE_ROOT", hide = true)]
    machine_root: Option<PathBuf>,
    /// More messages; may be given several times.
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print the version.
    #[arg(short = 'V', long = "version")]
    version: bool,
}

/// `muster controller`, `slurmctld`.
pub(crate) fn controller(args: Vec<OsString>) -> ExitCode {
    let arguments = match parse::<ControllerArguments>("slurmctld", args) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if arguments.version {
        return print_version();
    }
    log_to_stderr(arguments.verbose);
    finish("slurmctld", run_controller(&arguments.conf))
}

fn run_controller(path: &Path) -> anyhow::Result<()> {
    let conf = read_conf(path)?;
    for warning in &conf.warnings {
        warn!("{warning}");
    }
    let settings = conf.daemon.clone();
    std::fs::create_dir_all(&settings.state_save_location)
        .with_context(|| format!("cannot make StateSaveLocation {}", settings.state_save_location.display()))?;
    let options = ControllerOptions {
        agent_token: token(&settings.state_save_location.join(TOKEN_FILE))?,
        socket: settings.state_save_location.join("muster.sock"),
        state_directory: settings.state_save_location.clone(),
        listen: settings.controller_address(),
        host: settings.controller_host.clone(),
        config: conf.cluster.clone(),
        read_config: read_again(path.to_owned(), conf),
        pace: Pace::default(),
    };
    reactor(4)?.block_on(muster_controller::run(options))
}

/// How a controller that was started by `loaded` reads its configuration again. What takes a restart is what differs from that.
fn read_again(path: PathBuf, loaded: conf::Loaded) -> ReadConfig {
    ReadConfig::new(move || {
        let read = read_conf(&path)
            .map_err(|problem| Refusal::new(RefusalCode::InvalidConfiguration, format!("{problem:#}")))?;
        let notes = conf::can_take_over(&loaded, &read)?;
        for note in read.warnings.iter().chain(&notes) {
            warn!("{note}");
        }
        info!("configuration read again from {}", path.display());
        Ok(read.cluster)
    })
}

/// `muster agent`, `slurmd`.
pub(crate) fn agent(args: Vec<OsString>) -> ExitCode {
    let arguments = match parse::<AgentArguments>("slurmd", args) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if arguments.version {
        return print_version();
    }
    log_to_stderr(arguments.verbose);
    finish("slurmd", run_agent(&arguments))
}

fn run_agent(arguments: &AgentArguments) -> anyhow::Result<()> {
    let conf = read_conf(&arguments.conf)?;
    let host = host_name();
    let is_this_host = |node: &&muster_model::node::NodeConfig| *node.host_name == *host || *node.name == *host;
    let node = match &arguments.node {
        Some(name) => conf.cluster.nodes.iter().find(|node| *node.name == **name),
        None => conf.cluster.nodes.iter().find(is_this_host),
    };
    let name = arguments.node.as_deref().unwrap_or(&host);
    let node = node.with_context(|| format!("no node {name} in {}; name one with -N", arguments.conf.display()))?;
    let settings = &conf.daemon;
    let token_file = arguments.token_file.clone().unwrap_or_else(|| settings.state_save_location.join(TOKEN_FILE));
    let spool = settings.spool_directory(&node.name, &node.host_name);
    let mut options = AgentOptions::new(&*node.name, settings.controller_address(), token_file, spool)
        .context("cannot tell where this program is")?;
    let world = arguments.machine_root.as_deref().map_or_else(World::default, World::below);
    options.configure(&conf, node, &arguments.conf, world);
    for message in &options.gres.messages {
        warn!("{message}");
    }
    if arguments.print_gres {
        print_gres(&options.gres);
        return Ok(());
    }
    std::fs::create_dir_all(&options.spool_dir)
        .with_context(|| format!("cannot make SlurmdSpoolDir {}", options.spool_dir.display()))?;
    info!(node = &*node.name, controller = options.controller, spool = %options.spool_dir.display(), "agent starts");
    options.supervisor = supervisor_command()?;
    reactor(2)?.block_on(muster_agent::run(options))
}

/// What `slurmd -G` prints: a line for each unit, and one for what is only counted.
fn print_gres(gres: &NodeGres) {
    for unit in &gres.units {
        println!("{unit}");
    }
    for counted in gres.counts.iter().filter(|counted| gres.units.iter().all(|unit| unit.name != counted.name)) {
        let kind = counted.kind.as_deref().unwrap_or("(null)");
        println!("Gres Name={} Type={kind} Count={}", counted.name, counted.count);
    }
}

/// How the agent starts its supervisor: this program by its own name, whatever name the agent was called by.
fn supervisor_command() -> anyhow::Result<Vec<OsString>> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let beside = program.with_file_name("muster");
    let program = if beside.exists() { beside } else { program };
    Ok(vec![program.into_os_string(), "supervisor".into()])
}

/// `muster supervisor --dir SPOOL`, started by the agent.
pub(crate) fn supervisor(args: &[OsString]) -> ExitCode {
    match args {
        [option, directory] if option == "--dir" => {
            log_to_stderr(0);
            muster_runtime::supervisor::run(Path::new(directory)).into()
        }
        _ => {
            eprintln!("usage: muster supervisor --dir SPOOL");
            ExitCode::from(2)
        }
    }
}

fn parse<T: Parser>(name: &str, args: Vec<OsString>) -> Result<T, ExitCode> {
    T::try_parse_from(std::iter::once(OsString::from(name)).chain(args)).map_err(|error| {
        drop(error.print());
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

fn print_version() -> ExitCode {
    println!("muster {}", env!("CARGO_PKG_VERSION"));
    ExitCode::SUCCESS
}

fn read_conf(path: &Path) -> anyhow::Result<conf::Loaded> {
    let read = |path: &Path| std::fs::read_to_string(path);
    conf::load(path, &read).map_err(anyhow::Error::from)
}

/// The secret of agents; made at the first start of a controller.
fn token(path: &Path) -> anyhow::Result<String> {
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;
    if let Ok(text) = std::fs::read_to_string(path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write the agent token {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(text)
}

fn reactor(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().context("cannot start")
}

fn log_to_stderr(verbose: u8) {
    let level = ["info", "debug", "trace"][usize::from(verbose.min(2))];
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn finish(name: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: fatal: {error:#}");
            ExitCode::FAILURE
        }
    }
}
