//! `muster ssh RUN`: into the container of a run, by the user's own `ssh`, and by `scp` and `rsync` with what `--config` prints.
//!
//! The node calls this command, as it calls `srun`, and connects it with the SSH server of the run's runner; so neither the
//! controller nor a port of the node lies between. `ssh` is given this command as its proxy.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use muster_client::Client;
use muster_dstack::run::status;
use muster_model::job::Job;
use muster_model::node_call::{CallPurpose, NodeCall, NodesCalled};
use muster_model::request::{Answer, Command};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::arguments::{check_replica, main, parse};
use super::terminal::{put, say};
use super::{keys, runs};
use crate::slurm::{Streams, client_host};

/// How long the node may take to call.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

/// Go into the container of a run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Node of the run, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    job: u32,
    /// Replica; a task has only number 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    replica: u32,
    /// Only among the runs of this project.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Print what a configuration of ssh needs, for scp and rsync: `scp -F FILE`, `rsync -e 'ssh -F FILE'`.
    #[arg(long)]
    config: bool,
    /// Connect standard input and output with the SSH server: what ssh calls.
    #[arg(long, conflicts_with = "config")]
    proxy: bool,
    /// Name of the run.
    run_name: String,
    /// A command, and options of ssh before it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// `muster ssh RUN`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("ssh", args) {
        Ok(arguments) => main(visit(arguments)),
        Err(code) => code,
    }
}

async fn visit(arguments: Arguments) -> anyhow::Result<ExitCode> {
    check_replica(arguments.replica)?;
    let client = Client::connect().await?;
    let project = runs::project(arguments.project.clone());
    let job = runs::find(&client, &arguments.run_name, project.as_deref()).await?;
    if arguments.proxy {
        proxy(&client, &job, arguments.job).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let container = job.spec.rare.as_ref().and_then(|rare| rare.container.as_ref());
    let runner = container.and_then(|container| container.runner.as_ref());
    ensure!(runner.is_some(), "run {} has no image, so it runs in no container", arguments.run_name);
    ensure!(!status(&job).is_finished(), "run {} is {}", arguments.run_name, status(&job));
    let options = options(&arguments)?;
    if arguments.config {
        say(&format!("Host {}", arguments.run_name));
        options.iter().for_each(|(name, value)| put(&format!("    {name} {value}\n")));
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = tokio::process::Command::new("ssh");
    for (name, value) in &options {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    // Options of ssh stand before its host.
    let is_option = |word: &&OsString| word.to_string_lossy().starts_with('-');
    let count = arguments.words.iter().take_while(is_option).count();
    let (before, behind) = arguments.words.split_at(count);
    command.args(before).arg(&arguments.run_name).args(behind);
    let status = command.status().await.context("cannot run ssh")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255)))
}

/// What ssh has to know of the run.
fn options(arguments: &Arguments) -> anyhow::Result<Vec<(&'static str, String)>> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let key = keys::private_key()?;
    ensure!(key.exists(), "{} is not there: the run was applied from another place", key.display());
    let mut proxy = format!("{} ssh --proxy --job {}", quoted(&program), arguments.job);
    if let Some(project) = &arguments.project {
        proxy.push_str(&format!(" --project '{}'", project.replace('\'', r"'\''")));
    }
    proxy.push_str(&format!(" {}", arguments.run_name));
    let text = |value: &str| value.to_owned();
    Ok(vec![
        ("ProxyCommand", proxy),
        ("IdentityFile", quoted(&key)),
        ("IdentitiesOnly", text("yes")),
        // Each container has a key of its own, and the way there is that of the cluster.
        ("StrictHostKeyChecking", text("no")),
        ("UserKnownHostsFile", text("/dev/null")),
        ("LogLevel", text("ERROR")),
        // Whoever has the key is the user of the run, whatever name is given.
        ("User", text("root")),
    ])
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// Connects the standard streams with the SSH server of the run on one of its nodes.
async fn proxy(client: &Client, job: &Job, rank: u32) -> anyhow::Result<()> {
    let host = client_host();
    let streams = Streams::open(&host).await?;
    let call = NodeCall {
        job_id: job.id,
        step: None,
        address: format!("{host}:{}", streams.address()?.port()),
        cookie: streams.cookie().to_owned(),
        purpose: CallPurpose::Visit,
    };
    let NodesCalled { called, absent } = match client.command(&Command::CallNodes(call)).await? {
        Answer::NodesCalled(nodes) => nodes,
        other => bail!("unexpected answer of the controller: {other:?}"),
    };
    ensure!(absent.is_empty(), "not reached now: {}", absent.join(", "));
    let wanted = called.get(rank as usize).with_context(|| format!("the run has {} nodes", called.len()))?;
    let called = tokio::time::timeout(CALL_PATIENCE, streams.visit(wanted)).await;
    let (from_node, to_node) = called.with_context(|| format!("{wanted} did not call"))??;
    pass(from_node, to_node).await
}

async fn pass(mut from_node: OwnedReadHalf, mut to_node: OwnedWriteHalf) -> anyhow::Result<()> {
    let there = async {
        tokio::io::copy(&mut tokio::io::stdin(), &mut to_node).await?;
        to_node.shutdown().await
    };
    let mut output = tokio::io::stdout();
    let back = async {
        tokio::io::copy(&mut from_node, &mut output).await?;
        output.flush().await
    };
    // When the server has gone, nobody takes what is still typed.
    tokio::select! {
        result = back => Ok(result?),
        result = async { there.await?; std::future::pending::<std::io::Result<()>>().await } => Ok(result?),
    }
}
