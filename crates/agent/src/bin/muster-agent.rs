//! The agent and its supervisor as a program of its own, for packages that want nodes without the rest of `muster`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use lexopt::prelude::*;
use muster_agent::{AgentOptions, Overrides};
use muster_runtime::gpu::World;
use muster_runtime::supervisor::{self, CgroupUse};

const USAGE: &str = "\
usage: muster-agent --node-name=NAME --controller=HOST:PORT --token-file=FILE --spool-dir=DIR
                    [--slurm-conf=FILE] [--tmp-dir=DIR] [--cgroup=auto|off|required]
                    [--no-cpu-binding] [--no-hardware]
       muster-agent supervisor --dir DIR
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [command, option, dir] = arguments.as_slice()
        && command == "supervisor"
        && option == "--dir"
    {
        // Before any other thread is there: signals have to reach the supervisor's own.
        return supervisor::run(dir.as_ref()).into();
    }
    let options = match read(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("muster-agent: {error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muster-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: AgentOptions) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(muster_agent::run(options))
}

/// What the command line says.
#[derive(Default)]
struct Arguments {
    node_name: String,
    controller: String,
    token_file: PathBuf,
    spool_dir: PathBuf,
    slurm_conf: Option<PathBuf>,
    tmp_dir: Option<PathBuf>,
    cgroup: Option<CgroupUse>,
    no_cpu_binding: bool,
    no_hardware: bool,
}

/// `None` when only help is wanted.
fn read(arguments: Vec<OsString>) -> anyhow::Result<Option<AgentOptions>> {
    let mut found = Arguments::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("node-name") => found.node_name = parser.value()?.string()?,
            Long("controller") => found.controller = parser.value()?.string()?,
            Long("token-file") => found.token_file = PathBuf::from(parser.value()?),
            Long("spool-dir") => found.spool_dir = PathBuf::from(parser.value()?),
            Long("slurm-conf") => found.slurm_conf = Some(PathBuf::from(parser.value()?)),
            Long("tmp-dir") => found.tmp_dir = Some(PathBuf::from(parser.value()?)),
            Long("no-cpu-binding") => found.no_cpu_binding = true,
            Long("no-hardware") => found.no_hardware = true,
            Long("cgroup") => {
                found.cgroup = Some(match parser.value()?.string()?.as_str() {
                    "auto" => CgroupUse::Auto,
                    "off" => CgroupUse::Off,
                    "required" => CgroupUse::Required,
                    other => anyhow::bail!("--cgroup is auto, off or required, not {other:?}"),
                });
            }
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    for (is_missing, name) in [
        (found.node_name.is_empty(), "--node-name"),
        (found.controller.is_empty(), "--controller"),
        (found.token_file.as_os_str().is_empty(), "--token-file"),
        (found.spool_dir.as_os_str().is_empty(), "--spool-dir"),
    ] {
        anyhow::ensure!(!is_missing, "{name} is missing");
    }
    options(found).map(Some)
}

/// What slurm.conf and the files beside it say, and over that what the command line says.
fn options(found: Arguments) -> anyhow::Result<AgentOptions> {
    let name = found.node_name.clone();
    let mut options = AgentOptions::new(found.node_name, found.controller, found.token_file, found.spool_dir)
        .context("cannot find out where this program is")?;
    let Arguments { tmp_dir, no_cpu_binding, no_hardware, .. } = found;
    options.overrides = Overrides { tmp_dir, no_cpu_binding, no_hardware };
    if let Some(path) = &found.slurm_conf {
        let conf = muster_slurm::conf::load(path, &|path| std::fs::read_to_string(path))?;
        let node = conf.cluster.nodes.iter().find(|node| *node.name == *name);
        let node = node.with_context(|| format!("no node {name} in {}", path.display()))?;
        options.configure(&conf, node, path, World::default());
    }
    options.apply_overrides();
    options.supervisor_options.cgroup = found.cgroup.unwrap_or(options.supervisor_options.cgroup);
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_slurm_conf_count_and_the_command_line_over_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        file(
            "slurm.conf",
            "ClusterName=x\nSlurmctldHost=h\nTmpFS=/scratch\nTaskPlugin=task/cgroup\nNodeName=n1\nPartitionName=p Nodes=n1\n",
        );
        file("cgroup.conf", "ConstrainCores=yes\nCgroupMountpoint=/cg\n");
        let conf = format!("--slurm-conf={}", dir.path().join("slurm.conf").display());
        let read = |name: &str, more: &[&str]| {
            let node = format!("--node-name={name}");
            let needed = [node.as_str(), "--controller=h:1", "--token-file=/t", "--spool-dir=/s", conf.as_str()];
            super::read(needed.iter().chain(more).map(OsString::from).collect())
        };
        let found = read("n1", &["--no-hardware"]).unwrap().unwrap();
        assert!(found.cgroup.cores && found.task.cgroup && found.cpu_binding && !found.report_hardware);
        assert_eq!(found.supervisor_options.cgroup_place.mountpoint, Some("/cg".into()));
        assert_eq!(found.tmp_dir, PathBuf::from("/scratch"));
        let found = read("n1", &["--tmp-dir=/other", "--cgroup=off", "--no-cpu-binding"]).unwrap().unwrap();
        assert_eq!((found.tmp_dir, found.supervisor_options.cgroup), (PathBuf::from("/other"), CgroupUse::Off));
        assert!(!found.cpu_binding);
        let error = read("n9", &[]).unwrap_err().to_string();
        assert_eq!(error, format!("no node n9 in {}", dir.path().join("slurm.conf").display()));
        file("cgroup.conf", "ConstrainCores=perhaps\n");
        assert!(read("n1", &[]).is_err());
    }
}
