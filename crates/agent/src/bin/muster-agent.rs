//! The agent and its supervisor as a program of its own, for packages that want nodes without the rest of `muster`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use lexopt::prelude::*;
use muster_agent::AgentOptions;
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

/// `None` when only help is wanted.
fn read(arguments: Vec<OsString>) -> anyhow::Result<Option<AgentOptions>> {
    let mut options = AgentOptions::new("", "", "", "").context("cannot find out where this program is")?;
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("node-name") => options.node_name = parser.value()?.string()?,
            Long("controller") => options.controller = parser.value()?.string()?,
            Long("token-file") => options.token_file = PathBuf::from(parser.value()?),
            Long("spool-dir") => options.spool_dir = PathBuf::from(parser.value()?),
            Long("slurm-conf") => options.slurm_conf = Some(PathBuf::from(parser.value()?)),
            Long("tmp-dir") => options.tmp_dir = PathBuf::from(parser.value()?),
            Long("no-cpu-binding") => options.cpu_binding = false,
            Long("no-hardware") => options.report_hardware = false,
            Long("cgroup") => {
                options.supervisor_options.cgroup = match parser.value()?.string()?.as_str() {
                    "auto" => CgroupUse::Auto,
                    "off" => CgroupUse::Off,
                    "required" => CgroupUse::Required,
                    other => anyhow::bail!("--cgroup is auto, off or required, not {other:?}"),
                }
            }
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    for (is_missing, name) in [
        (options.node_name.is_empty(), "--node-name"),
        (options.controller.is_empty(), "--controller"),
        (options.token_file.as_os_str().is_empty(), "--token-file"),
        (options.spool_dir.as_os_str().is_empty(), "--spool-dir"),
    ] {
        anyhow::ensure!(!is_missing, "{name} is missing");
    }
    Ok(Some(options))
}
