//! `salloc`.

mod terminal;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use muster_client::{Client, ClientError};
use muster_model::job::Job;
use muster_model::node::Node;
use muster_model::request::{Query, Reply};
use muster_model::state::{ExitStatus, JobState};
use muster_slurm::environment::{self, NodeFacts};
use muster_slurm::options;
use muster_slurm::submit::CliExit;
use muster_slurm::submit::salloc::{self, SallocPlan};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

use super::allocate::{self, Held, Wanted, give_back, is_ignored};
use super::surroundings::Gathered;
use super::waiting::Patient;
use super::{ask, end};
use crate::runtime::block_on;

/// Runs `salloc`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("salloc", args);
    let plan = match salloc::plan(&gathered.args, &gathered.surroundings()) {
        Ok(plan) => plan,
        Err(exit) => return end::print(&exit),
    };
    eprint!("{}", plan.stderr);
    // Before anything is asked for: a command that has no directory would only give the allocation back.
    if let Err(error) = std::env::set_current_dir(&plan.work_dir) {
        let words = end::words(error.raw_os_error().unwrap_or(0));
        return end::print(&end::error("salloc", &format!("chdir({}): {words}", plan.work_dir)));
    }
    match block_on(allocate(&plan, &gathered)) {
        Ok(code) => ExitCode::from(code),
        Err(exit) => end::print(&exit),
    }
}

async fn allocate(plan: &SallocPlan, gathered: &Gathered) -> Result<u8, CliExit> {
    let failed =
        |error: ClientError| end::error("salloc", &format!("Job submit/allocate failed: {}", ask::reason(&error)));
    let client = Client::connect().await.map_err(failed)?;
    let wanted = Wanted {
        command: options::Command::Salloc,
        spec: &plan.spec,
        led: &plan.led,
        context: &plan.context,
        immediate: plan.immediate,
        quiet: plan.quiet,
        verbose: plan.verbose > 0,
    };
    // The words by which real salloc tells that it listens for what becomes of its job.
    let debug = |text: &str| {
        if plan.verbose > 1 && !plan.quiet {
            eprintln!("salloc: debug:  {text}");
        }
    };
    debug("Entering _msg_thr_internal");
    let Held { job, news } = wanted.get(&client).await?;
    let say = |text: String| {
        if !plan.quiet {
            eprintln!("salloc: {text}");
        }
    };
    say(format!("Granted job allocation {}", job.id));
    if plan.bell == Some(true) && std::io::stdout().is_terminal() {
        print!("\x07");
    }
    if plan.no_shell {
        return Ok(0);
    }
    let nodes = nodes(&client).await.map_err(failed)?;
    let components = allocate::components(&client, &job).await.map_err(failed)?;
    let result = run_command(plan, gathered, &components, &nodes, news).await;
    if !matches!(&result, Ok(Ended::Revoked(_))) {
        say(format!("Relinquishing job allocation {}", job.id));
    }
    let (code, exit) = match &result {
        Ok(Ended::Command(exit) | Ended::Revoked(exit)) => (code_of(*exit), *exit),
        Ok(Ended::HungUp) => (1, ExitStatus::default()),
        Err(_) => (1, ExitStatus::exited(1)),
    };
    give_back(&client, job.id, exit).await;
    debug("Leaving _msg_thr_internal");
    result.map(|_| code)
}

async fn nodes(client: &Client) -> Result<Vec<Arc<Node>>, ClientError> {
    match client.inquire(&Query::Nodes).await?.pop() {
        Some(Reply::Nodes { nodes, .. }) => Ok(nodes),
        _ => Err(ClientError::Protocol("no nodes in the answer".to_owned())),
    }
}

/// How it ended that the user's command ran within the allocation.
enum Ended {
    /// The command ended.
    Command(ExitStatus),
    /// The allocation was taken away before the command ended like this.
    Revoked(ExitStatus),
    /// The user has gone. The command was told, and is not waited for.
    HungUp,
}

/// Runs the user's command here, with the allocation in its environment, until it or the allocation ends.
async fn run_command(
    plan: &SallocPlan,
    gathered: &Gathered,
    components: &[Arc<Job>],
    nodes: &[Arc<Node>],
    news: Patient,
) -> Result<Ended, CliExit> {
    let job = components.first().ok_or_else(|| end::error("salloc", "the allocation is gone"))?;
    let held = job.allocation.iter().flat_map(|allocation| &allocation.shares);
    let facts: Vec<NodeFacts<'_>> = held
        .filter_map(|share| {
            let node = nodes.get(share.node.0 as usize)?;
            Some(NodeFacts {
                index: share.node,
                name: &node.config.name,
                address: &node.config.address,
                topology: None,
            })
        })
        .collect();
    let (cluster, client) = (gathered.cluster_name(), gathered.client_facts());
    let added = match job.het {
        None => environment::allocation_environment(job, &facts, cluster, &client),
        Some(_) => {
            let all: Vec<Job> = components.iter().map(|component| (**component).clone()).collect();
            environment::het_allocation_environment(&all, cluster, &client)
        }
    };
    let shell = vec![std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())];
    let words = if plan.command.is_empty() { &shell } else { &plan.command };
    let (program, arguments) = words.split_first().ok_or_else(|| end::error("salloc", "no command"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&plan.work_dir).env_clear().kill_on_drop(false);
    command.envs(plan.environment.iter().filter_map(|line| line.split_once('=')));
    command.envs(added);
    // The command and what it started get signals and keys as one group.
    command.process_group(0);
    let hung_up = hung_up();
    ignore_terminal_signals();
    terminal::prepare();
    let Ok(mut child) = command.spawn() else {
        eprintln!("salloc: error: _fork_command: Unable to find command \"{program}\"");
        return Ok(Ended::Command(ExitStatus::exited(1)));
    };
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let terminal = group.and_then(terminal::hand_to);
    let tell = |group: Option<Pid>, signal: Option<u8>| {
        if let (Some(group), Some(signal)) = (group, signal) {
            let _ = killpg(group, Signal::try_from(i32::from(signal)).ok());
        }
    };
    let revoked = allocation_ended(news);
    let ended = tokio::select! {
        status = child.wait() => Ok(Ended::Command(exit_of(status))),
        () = revoked => {
            eprintln!("salloc: Job allocation {} has been revoked.", job.id);
            // The command is left alone unless the user said otherwise; what its shell runs in front has nothing left to do.
            tell(terminal.as_ref().and_then(terminal::Terminal::foreign_group), Some(HANG_UP));
            tell(group, plan.kill_command);
            Ok(Ended::Revoked(exit_of(child.wait().await)))
        }
        () = hung_up => {
            tell(group, Some(HANG_UP));
            tell(group, plan.kill_command);
            Ok(Ended::HungUp)
        }
    };
    terminal.into_iter().for_each(terminal::Terminal::take_back);
    ended
}

/// The number of SIGHUP.
const HANG_UP: u8 = 1;

/// Waits from now on for the user to go: to log out, or to say so with HUP. Never under `nohup`.
fn hung_up() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kind = SignalKind::hangup();
    let stream = if is_ignored(kind) { None } else { signal(kind).ok() };
    async move {
        match stream {
            Some(mut stream) => drop(stream.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Ctrl-C is for the command; salloc itself goes on until the command ends.
fn ignore_terminal_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ] {
        if let Ok(mut stream) = signal(kind) {
            tokio::spawn(async move { while stream.recv().await.is_some() {} });
        }
    }
}

async fn allocation_ended(mut news: Patient) {
    loop {
        match news.next().await {
            // It gave all that it had to another job, as was asked for here: the command goes on without.
            Ok(Some(piece)) if piece.job.state == JobState::Completed && gives_away(&piece.job) => {
                return std::future::pending().await;
            }
            Ok(Some(piece)) if piece.job.state.is_final() => return,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return std::future::pending().await,
        }
    }
}

fn gives_away(job: &Job) -> bool {
    job.spec.dependencies.expanded().is_some()
}

/// With what salloc ends. A command that its user ended by HUP, INT, QUIT or KILL has not failed, as with real Slurm.
fn code_of(exit: ExitStatus) -> u8 {
    match exit.signal {
        0 => exit.code,
        1 | 2 | 3 | 9 => 0,
        _ => 1,
    }
}

fn exit_of(status: std::io::Result<std::process::ExitStatus>) -> ExitStatus {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => {
            let byte = |value: Option<i32>| value.and_then(|value| u8::try_from(value).ok()).unwrap_or(0);
            ExitStatus { code: byte(status.code()), signal: byte(status.signal()) }
        }
        Err(_) => ExitStatus::exited(1),
    }
}
