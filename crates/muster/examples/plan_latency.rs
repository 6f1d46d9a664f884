//! How long submits, completions and reads take while the planner works, and while it rests:
//! `plan_latency [NODES PENDING SHAPES SECONDS]`.
//!
//! The controller is the real one with its database, in this process; the nodes are connections that say they run what
//! the database says they run. All nodes are in use and everything waits, so each pass is a long one. Requests are made
//! one after the other; what the planner does is read from the state of its thread before and after each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_client::{Blobs, Client};
use muster_controller::ControllerOptions;
use muster_model::config::ClusterConfig;
use muster_model::fact::Fact;
use muster_model::ids::{CommitSequence, Identity, JobId, SpecId};
use muster_model::job::{ExecutionContext, Job, JobKind, JobSpec};
use muster_model::planning::PlanView;
use muster_model::request::{Command, Query};
use muster_model::time::{Span, Timestamp};
use muster_proto::agent_link_client::AgentLinkClient;
use muster_proto::{self as wire, FromAgent, from_agent, to_agent};
use muster_store::{SqliteStore, Store};
use muster_testkit::builders;
use muster_testkit::load::{self, Load};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Agents that share one connection; servers take no more streams over one.
const AGENTS_PER_CONNECTION: usize = 100;
/// Pause between two requests, so that the controller is busy and not overrun.
const PAUSE: Duration = Duration::from_millis(4);
/// Facts of one commit while the database is filled.
const FACTS_PER_COMMIT: usize = 5000;
/// Least number of requests of a kind from which a percentile is told.
const SAMPLES_MIN: usize = 100;

fn main() -> Result<(), Failure> {
    let given: Vec<u32> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [nodes, pending, shapes, seconds] = given.try_into().unwrap_or([10_000, 100_000, 1000, 60]);
    let view = load::make(&Load { nodes, pending, shapes, busy_percent: 100, seed: 1 });
    let directory = std::env::temp_dir().join(format!("muster-plan-latency-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let running = fill(&directory, &view)?;
    let options = options(&directory, &view)?;
    let (socket, listen) = (options.socket.clone(), options.listen.clone());
    std::thread::spawn(move || match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(async { drop(muster_controller::run(options).await) }),
        Err(problem) => eprintln!("no reactor for the controller: {problem}"),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(measure(&socket, &listen, &view, running, seconds));
    drop(std::fs::remove_dir_all(&directory));
    // The controller, which waits to be told to stop, ends with this process.
    result
}

/// Writes the cluster down as if it had run until now. Gives the running jobs by node.
fn fill(directory: &Path, view: &PlanView) -> Result<BTreeMap<u32, Vec<JobId>>, Failure> {
    let mut store = SqliteStore::open(directory)?;
    let shift = now().since(builders::NOW);
    let later = |time: Option<Timestamp>| time.map(|time| time + shift);
    let (mut specs, mut facts) = (BTreeMap::new(), Vec::new());
    let mut running: BTreeMap<u32, Vec<JobId>> = BTreeMap::new();
    for job in view.running.values().chain(view.queue.values()) {
        let next = SpecId(specs.len() as u64 + 1);
        let spec_id = *specs.entry(Arc::as_ptr(&job.spec) as usize).or_insert(next);
        if spec_id == next {
            facts.push(Fact::Spec(spec_id, job.spec.clone()));
        }
        for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
            running.entry(share.node.0).or_default().push(job.id);
        }
        let row = Job {
            spec_id,
            submit_time: job.submit_time + shift,
            eligible_time: later(job.eligible_time),
            start_time: later(job.start_time),
            // Long enough for the measurement.
            end_time: later(job.end_time).map(|end| end + Span::from_minutes(60)),
            ..Job::clone(job)
        };
        facts.push(Fact::Job(Arc::new(row)));
    }
    for (number, part) in (1..).zip(facts.chunks(FACTS_PER_COMMIT)) {
        store.commit(CommitSequence(number), part)?;
    }
    Ok(running)
}

fn options(directory: &Path, view: &PlanView) -> Result<ControllerOptions, Failure> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = ClusterConfig {
        nodes: view.nodes.iter().map(|node| (*node.config).clone()).collect(),
        partitions: view.partitions.iter().map(|partition| (**partition).clone()).collect(),
        job_count_max: u32::MAX,
        ..(*view.config).clone()
    };
    Ok(ControllerOptions {
        config,
        state_directory: directory.to_owned(),
        socket: directory.join("muster.sock"),
        listen: format!("127.0.0.1:{port}"),
        agent_token: "bench".to_owned(),
        host: "bench".to_owned(),
    })
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A connection that plays an agent.
struct Agent {
    sender: mpsc::Sender<FromAgent>,
    running: Vec<JobId>,
}

async fn measure(
    socket: &Path,
    listen: &str,
    view: &PlanView,
    running: BTreeMap<u32, Vec<JobId>>,
    seconds: u32,
) -> Result<(), Failure> {
    let client = connected(socket).await?;
    let (acknowledged, mut ends) = mpsc::channel(1024);
    let mut agents = Vec::new();
    let mut channel: Option<Channel> = None;
    for (at, node) in view.nodes.iter().enumerate() {
        if at % AGENTS_PER_CONNECTION == 0 {
            channel = Some(Endpoint::from_shared(format!("http://{listen}"))?.connect().await?);
        }
        let Some(channel) = channel.clone() else { continue };
        let jobs = running.get(&(at as u32)).cloned().unwrap_or_default();
        agents.push(agent(channel, node.name(), jobs, acknowledged.clone()).await?);
    }
    let planner = planner_thread()?;
    // Let the first passes, which learn what there is, go by.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut samples: BTreeMap<(&'static str, bool), Vec<f64>> = BTreeMap::new();
    let began = Instant::now();
    let (mut turn, mut mixed) = (0_usize, 0_u32);
    while began.elapsed() < Duration::from_secs(seconds.into()) {
        turn += 1;
        let before = is_at_work(&planner);
        let start = Instant::now();
        let kind = match turn % 3 {
            0 => {
                submit(&client).await?;
                "submit"
            }
            1 => {
                let job = view.queue.keys().nth(turn % 1000).map(|key| key.job_id);
                client.query(&Query::Jobs { ids: job.map(|job| vec![job]), uids: None, active_only: false }).await?;
                "read"
            }
            _ => {
                complete(&mut agents, turn, &mut ends).await?;
                "completion"
            }
        };
        let took = start.elapsed().as_secs_f64() * 1e3;
        let after = is_at_work(&planner);
        if before == after {
            samples.entry((kind, after)).or_default().push(took);
        } else {
            mixed += 1;
        }
        tokio::time::sleep(PAUSE).await;
    }
    report(samples, mixed);
    Ok(())
}

async fn connected(socket: &Path) -> Result<Client, Failure> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match Client::connect_to(socket).await {
            Ok(client) if client.query(&Query::Ping).await.is_ok() => return Ok(client),
            _ if Instant::now() < end => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => return Err("the controller does not answer".into()),
        }
    }
}

async fn agent(
    channel: Channel,
    name: &str,
    running: Vec<JobId>,
    acknowledged: mpsc::Sender<u32>,
) -> Result<Agent, Failure> {
    let (sender, receiver) = mpsc::channel(16);
    let key = |job: &JobId| wire::UnitKey { job_id: job.0, restart: 0, step: "batch".to_owned() };
    let hello = wire::Hello {
        node_name: name.to_owned(),
        token: "bench".to_owned(),
        version: "bench".to_owned(),
        launch_sequence_seen: 0,
        units: running.iter().map(key).collect(),
        ..wire::Hello::default()
    };
    sender.send(FromAgent { message: Some(from_agent::Message::Hello(hello)) }).await?;
    let mut incoming = AgentLinkClient::new(channel).link(ReceiverStream::new(receiver)).await?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(message)) = incoming.message().await {
            if let Some(to_agent::Message::Acknowledge(key)) = message.message {
                // Nobody reads them any more at the end.
                let _ = acknowledged.send(key.job_id).await;
            }
        }
    });
    Ok(Agent { sender, running })
}

/// The end of one job, until the controller says that it is durable.
async fn complete(agents: &mut [Agent], turn: usize, ends: &mut mpsc::Receiver<u32>) -> Result<(), Failure> {
    let count = agents.len();
    let agent = agents.get_mut(turn % count).ok_or("no agents")?;
    let Some(job) = agent.running.pop() else { return Ok(()) };
    let key = wire::UnitKey { job_id: job.0, restart: 0, step: "batch".to_owned() };
    let end = wire::UnitEnded { key: Some(key), job_is_clean: true, ..wire::UnitEnded::default() };
    agent.sender.send(FromAgent { message: Some(from_agent::Message::UnitEnded(end)) }).await?;
    loop {
        let ended = tokio::time::timeout(Duration::from_secs(30), ends.recv()).await?;
        match ended {
            Some(id) if id == job.0 => return Ok(()),
            Some(_) => {}
            None => return Err("the connections of the agents are gone".into()),
        }
    }
}

async fn submit(client: &Client) -> Result<(), Failure> {
    let identity = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
    let spec = JobSpec {
        work_dir: "/tmp".into(),
        submit_host: "bench".into(),
        ..JobSpec::new(identity, "latency".into(), JobKind::Batch)
    };
    let context = ExecutionContext { environment: vec!["A=1".to_owned()], umask: 0o022, limits: Vec::new() };
    let blobs = Blobs { script: Some(b"#!/bin/sh\ntrue\n".to_vec()), context: Some(serde_json::to_vec(&context)?) };
    client.command_with(&Command::Submit(Box::new(spec)), blobs).await?;
    Ok(())
}

/// Where the system tells what the thread of the planner does.
fn planner_thread() -> Result<PathBuf, Failure> {
    for entry in std::fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "planner") {
            return Ok(path.join("stat"));
        }
    }
    Err("the planner has no thread".into())
}

fn is_at_work(stat: &Path) -> bool {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
}

fn report(mut samples: BTreeMap<(&'static str, bool), Vec<f64>>, mixed: u32) {
    let mut percentile = |kind: &'static str, at_work: bool, share: f64| {
        let times = samples.get_mut(&(kind, at_work))?;
        times.sort_by(f64::total_cmp);
        let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        (times.len() >= SAMPLES_MIN).then(|| (times[at], times.len()))
    };
    println!("request      planner  count  p50 ms  p99 ms");
    for kind in ["submit", "completion", "read"] {
        for (at_work, name) in [(false, "rests"), (true, "works")] {
            match (percentile(kind, at_work, 0.5), percentile(kind, at_work, 0.99)) {
                (Some((half, count)), Some((most, _))) => {
                    println!("{kind:<12} {name:<7} {count:>6} {half:>7.2} {most:>7.2}")
                }
                _ => println!("{kind:<12} {name:<7} too few"),
            }
        }
        if let (Some((rests, _)), Some((works, _))) = (percentile(kind, false, 0.99), percentile(kind, true, 0.99)) {
            println!("{kind:<12} p99 while it works: {:+.0} % (goal: within 10 %)", (works / rests - 1.0) * 100.0);
        }
    }
    println!("{mixed} requests during which it began or ended are not counted");
}
