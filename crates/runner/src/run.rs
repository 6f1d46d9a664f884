//! The life of one job in a container.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::account::Account;
use crate::job::Job;
use crate::logs::Logs;
use crate::{command, ssh, web};

/// How long readers of the logs may take for what is left when the command has ended.
const READERS_WAIT: Duration = Duration::from_secs(5);

/// Runs `job` to its end; returns the exit code of its command.
///
/// # Errors
/// When it could not be started, or what it wants around it cannot be had: a user, an address, a key.
pub fn run(job: Job) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(live(job));
    // Sessions end with the container; nobody waits for a thread that still reads for one.
    runtime.shutdown_background();
    code
}

/// Tells where one comes in.
fn announce(file: Option<&Path>, ssh: Option<SocketAddr>, logs: Option<SocketAddr>) -> Result<()> {
    let told = [("ssh", ssh), ("logs", logs)];
    match file {
        Some(file) => {
            let text = serde_json::to_string(&std::collections::BTreeMap::from(told))?;
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
        }
        None => {
            let taken = told.into_iter().filter_map(|(name, address)| Some((name, address?)));
            taken.for_each(|(name, address)| eprintln!("muster-runner: {name} on {address}"));
            Ok(())
        }
    }
}

async fn live(job: Job) -> Result<u8> {
    let account = Account::here(job.user.as_deref())?;
    let logs = Arc::new(Logs::default());
    // Both doors are open before the command can end, so that whoever waits for a port sees one.
    let visits = match &job.ssh {
        Some(wanted) => Some(ssh::serve(wanted, &account, &job.environment).await?),
        None => None,
    };
    let readers = match job.logs {
        Some(address) => {
            let (address, readers) = web::serve(address, Arc::clone(&logs)).await?;
            Some((address, readers))
        }
        None => None,
    };
    let (log_address, readers) = readers.unzip();
    announce(job.announce.as_deref(), visits, log_address)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let running = command::start(&job, &account, &logs)?;
    let stop = async || {
        tokio::select! {
            _ = terminate.recv() => libc::SIGTERM,
            _ = interrupt.recv() => libc::SIGINT,
            _ = hangup.recv() => libc::SIGHUP,
        }
    };
    let code = running.end(stop).await;
    logs.end();
    if let Some(readers) = readers {
        // Late readers lose the rest, but nobody can keep a container alive by not reading.
        let _ = tokio::time::timeout(READERS_WAIT, readers.all_gone()).await;
    }
    code
}
