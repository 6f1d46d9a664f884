//! A load for benchmarks: `submit_storm CLIENTS JOBS [--eligible]` submits JOBS held jobs over CLIENTS connections and
//! prints how many were durable per second. With `--eligible` the jobs are not held, and the scheduler sees them all.
//! The cluster is that of the environment (`MUSTER_SOCKET` or `SLURM_CONF`).

use std::time::Instant;

use muster_client::{Blobs, Client};
use muster_model::ids::Identity;
use muster_model::job::{ExecutionContext, JobKind, JobSpec};
use muster_model::request::Command;
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(clients), Some(jobs)) = (number(0), number(1)) else {
        return Err("usage: submit_storm CLIENTS JOBS [--eligible]".into());
    };
    let hold = !args.iter().any(|arg| arg == "--eligible");
    let began = Instant::now();
    let mut storm = tokio::task::JoinSet::new();
    for client in 0..clients {
        let share = jobs / clients + u64::from(client < jobs % clients);
        storm.spawn(submit_all(share, hold));
    }
    let mut done = 0;
    while let Some(result) = storm.join_next().await {
        done += result??;
    }
    let took = began.elapsed().as_secs_f64();
    println!("{done} {took:.3} {:.0}", done as f64 / took);
    Ok(())
}

/// Submits `count` jobs over one connection, without waiting for each, and counts those that are durable.
async fn submit_all(count: u64, hold: bool) -> Result<u64, String> {
    let client = Client::connect().await.map_err(|error| error.to_string())?;
    let context = ExecutionContext {
        environment: std::env::vars().map(|(name, value)| format!("{name}={value}")).collect(),
        umask: 0o022,
        limits: Vec::new(),
    };
    let context = serde_json::to_vec(&context).map_err(|error| error.to_string())?;
    let spec = spec(hold);
    let commands = tokio_stream::iter(0..count).map(move |tag| {
        let blobs = Blobs { script: Some(b"#!/bin/sh\ntrue\n".to_vec()), context: Some(context.clone()) };
        (tag, Command::Submit(Box::new(spec.clone())), blobs)
    });
    let mut replies = client.command_stream(commands).await.map_err(|error| error.to_string())?;
    let mut done = 0;
    while let Some(reply) = replies.next().await {
        let (_, verdict) = reply.map_err(|error| error.to_string())?;
        verdict.map_err(|refusal| format!("{refusal}: {}", refusal.detail))?;
        done += 1;
    }
    Ok(done)
}

fn spec(hold: bool) -> JobSpec {
    let uid = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap_or(0);
    let identity = Identity { uid, gid: uid, user: "bench".into(), group: "bench".into() };
    JobSpec {
        hold,
        work_dir: "/tmp".into(),
        output: Some("/dev/null".into()),
        submit_host: "bench".into(),
        ..JobSpec::new(identity, "storm".into(), JobKind::Batch)
    }
}
