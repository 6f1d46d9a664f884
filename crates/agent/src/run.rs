//! Putting the agent together, and its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::engine::{EngineHandle, Input};
use crate::health::Health;
use crate::launch;
use crate::link::Link;
use crate::options::AgentOptions;
use crate::spool::Spool;

/// How long a starting agent waits for the one before it to leave the spool directory.
const PREDECESSOR_WAIT: Duration = Duration::from_secs(10);

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the agent of a node until it gets TERM or INT, or the controller asks it to end. Running jobs go on; the next
/// agent takes up where this one ended.
///
/// # Errors
/// When the spool directory cannot be used or another agent has it. That the controller or the supervisor cannot be
/// reached is no error: both are tried again for ever.
pub async fn run(options: AgentOptions) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for TERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for INT")?;
    run_until(options, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}

/// As [`run`], but until `stop` is ready, whatever signals come. Dropping the future ends the agent too.
///
/// # Errors
/// As [`run`].
pub async fn run_until(mut options: AgentOptions, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let spool = open_spool(&options).await?;
    options.keep_gres_numbers(spool.dir());
    let start_time = clock::now();
    let health = Health::watch(&options.gres_source, &options.gres);
    let sensor = options.measure.energy.map(launch::energy_source);
    let health = Arc::new(health.with_power(sensor, &options.gres_source.world));
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for HUP")?;
    let engine = EngineHandle::start(&options, spool, Arc::clone(&health), tokio::runtime::Handle::current())?;
    let link = Link {
        controller: options.controller.clone(),
        token_file: options.token_file.clone(),
        inputs: engine.inputs.clone(),
        wish: engine.wish.clone(),
        start_time,
        health,
    };
    let inputs = engine.inputs.clone();
    let reconfiguring = async move {
        while hangup.recv().await.is_some() && inputs.send(Input::Reconfigure).is_ok() {}
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        result = link.keep() => result,
        () = stop => Ok(()),
        () = reconfiguring => Ok(()),
    };
    tracing::info!("agent ends; what runs goes on");
    engine.stop().await;
    result
}

async fn open_spool(options: &AgentOptions) -> anyhow::Result<Spool> {
    let deadline = Instant::now() + PREDECESSOR_WAIT;
    loop {
        let dir = options.spool_dir.clone();
        if let Some(spool) = tokio::task::spawn_blocking(move || Spool::open(&dir)).await?? {
            return Ok(spool);
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "another agent uses {}; each node needs a spool directory of its own",
            options.spool_dir.display()
        );
        sleep(LOOK_INTERVAL).await;
    }
}
