//! What it costs to start one job on all nodes of a large cluster, with the tree of relays and without it:
//! `fan_out [NODES RUNS]`.
//!
//! The controller is the real one with its database in memory, in a process of its own. The nodes are the links and relays of real
//! agents, with nothing behind them (see `bare.rs` of the agent), in a few processes on this machine. All of them share its
//! processors, so times are those of the work of all nodes together, one after the other; on a cluster each node does its own.
//! What the controller sends, receives and computes is what it would be there.

mod helpers;
mod network;

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use helpers::{Helper, Word};
use muster_client::{Blobs, Client};
use muster_model::ids::{Identity, JobId};
use muster_model::job::{ExecutionContext, JobKind, JobSpec};
use muster_model::request::{Answer, Command, Query};
use muster_model::resources::ResourceRequest;
use network::Traffic;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `TreeWidth` of the two clusters: Slurm's default, and none.
const WIDTHS: [u32; 2] = [50, 0];
/// Processes that the nodes are spread over.
const PROCESSES: u32 = 4;
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The tree has grown when the controller has had as many connections for so long.
const SETTLED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((word, rest)) if word == helpers::SERVE => helpers::serve(rest),
        Some((word, rest)) if word == helpers::NODES => helpers::nodes(rest),
        _ => measure(&words),
    }
}

fn measure(words: &[String]) -> Result<(), Failure> {
    let numbers: Vec<u32> = words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [nodes, runs] = numbers.try_into().unwrap_or([2000, 5]);
    println!(
        "{:<10} {:>6} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "TreeWidth", "nodes", "connections", "told all ms", "ended ms", "sent kB", "received kB", "CPU ms"
    );
    for width in WIDTHS {
        let directory = parent_directory().join(format!("muster-fan-out-{}-{width}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let result = measure_in(&directory, nodes, width, runs);
        drop(std::fs::remove_dir_all(&directory));
        result?;
    }
    Ok(())
}

/// In memory where there is such a place: a disk is slow now and then for reasons of its own.
fn parent_directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn measure_in(directory: &Path, nodes: u32, width: u32, runs: u32) -> Result<(), Failure> {
    std::fs::write(helpers::token_file(directory), helpers::TOKEN)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let controller = Helper::controller(directory, port, nodes, width)?;
    let (told, words) = std::sync::mpsc::channel();
    let size = nodes.div_ceil(PROCESSES);
    let parts = (0..nodes).step_by(size as usize).map(|from| from..nodes.min(from + size));
    let helpers =
        parts.map(|part| Helper::nodes(directory, port, part, told.clone())).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(connected(&helpers::socket(directory)))?;
    let bench = Bench { runtime, client, words, processes: helpers.len(), nodes };
    // It starts when all nodes are there.
    bench.job()?;
    let connections = settled(port)?;
    let mut all = Vec::new();
    for _ in 0..runs {
        let (before, cpu) = (Traffic::now(port)?, controller.cpu_ms()?);
        let times = bench.job()?;
        let (after, cpu) = (Traffic::now(port)?, controller.cpu_ms()? - cpu);
        let kilobytes = |later: u64, earlier: u64| later.saturating_sub(earlier) as f64 / 1e3;
        all.push([
            times.told.as_secs_f64() * 1e3,
            times.ended.as_secs_f64() * 1e3,
            kilobytes(after.sent, before.sent),
            kilobytes(after.received, before.received),
            cpu,
        ]);
    }
    let median = |at: usize| {
        let mut values: Vec<f64> = all.iter().map(|run| run[at]).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    println!(
        "{width:<10} {nodes:>6} {connections:>12} {:>12.0} {:>12.0} {:>12.0} {:>12.0} {:>12.0}",
        median(0),
        median(1),
        median(2),
        median(3),
        median(4)
    );
    Ok(())
}

/// How many connections the controller has when that no longer changes.
fn settled(port: u16) -> Result<usize, Failure> {
    let (mut count, mut since, began) = (Traffic::now(port)?.connections, Instant::now(), Instant::now());
    while since.elapsed() < SETTLED {
        if began.elapsed() > PATIENCE {
            return Err("the tree does not come to rest".into());
        }
        helpers::pause(Duration::from_millis(100));
        let now = Traffic::now(port)?.connections;
        if now != count {
            (count, since) = (now, Instant::now());
        }
    }
    Ok(count)
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    client: Client,
    words: Receiver<Word>,
    processes: usize,
    nodes: u32,
}

struct Times {
    /// Until the last node was told.
    told: Duration,
    /// Until the job had ended.
    ended: Duration,
}

impl Bench {
    /// Runs a job on all nodes to its end.
    fn job(&self) -> Result<Times, Failure> {
        let began = Instant::now();
        let job = self.runtime.block_on(submit(&self.client, self.nodes))?;
        let mut told = 0;
        while told < self.processes {
            let Word(number) = self.words.recv_timeout(PATIENCE)?;
            told += usize::from(number == job.0);
        }
        let told = began.elapsed();
        while began.elapsed() < PATIENCE {
            let seen = self.runtime.block_on(self.client.job(job))?;
            if seen.is_none_or(|job| job.state.is_final()) {
                return Ok(Times { told, ended: began.elapsed() });
            }
            helpers::pause(Duration::from_millis(1));
        }
        Err(format!("job {} does not end", job.0).into())
    }
}

async fn submit(client: &Client, nodes: u32) -> Result<JobId, Failure> {
    let identity = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
    let request =
        ResourceRequest { nodes_min: nodes, nodes_max: Some(nodes), tasks: nodes, ..ResourceRequest::default() };
    let spec = JobSpec {
        work_dir: "/tmp".into(),
        submit_host: "bench".into(),
        request,
        ..JobSpec::new(identity, "fan-out".into(), JobKind::EveryNode)
    };
    let context = ExecutionContext { environment: vec!["A=1".to_owned()], umask: 0o022, limits: Vec::new() };
    let blobs = Blobs { script: Some(b"#!/bin/sh\ntrue\n".to_vec()), context: Some(serde_json::to_vec(&context)?) };
    match client.command_with(&Command::Submit(Box::new(spec)), blobs).await? {
        Answer::Submitted(job) => Ok(job),
        other => Err(format!("not submitted but {other:?}").into()),
    }
}

async fn connected(socket: &Path) -> Result<Client, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match Client::connect_to(socket).await {
            Ok(client) if client.query(&Query::Ping).await.is_ok() => return Ok(client),
            _ if Instant::now() < end => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => return Err("the controller does not answer".into()),
        }
    }
}
