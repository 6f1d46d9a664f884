//! How long submits, completions, reads and starts take while the planner works, and while it rests:
//! `plan_latency [NODES PENDING SHAPES SECONDS] [PHASE...]`, phases being `rests`, `usual`, `always` and `alone`.
//!
//! The controller is the real one with its database, in this process; the nodes are connections that say they run what
//! the database says they run. All nodes but a few are in use and everything waits, so each pass over everything is a long
//! one. Phases with different orders to the planner take turns, back and forth, so that whatever else changes meanwhile
//! changes for all; in all of them the same requests come, one after the other, and each is timed from when it was to be made.
//! They come at irregular times: a regular beat would fall in with the clock of the kernel, and show its best or worst side
//! for a whole phase. A start is timed from the submit of a job for one of the nodes that are kept free until its agent is
//! told.

mod agents;
mod cluster;
mod phases;
mod report;
mod samples;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use agents::Agents;
use muster_client::{Blobs, Client};
use muster_controller::Pace;
use muster_model::ids::Identity;
use muster_model::job::{ExecutionContext, JobKind, JobSpec};
use muster_model::planning::PlanView;
use muster_model::request::{Answer, Command, Query, Reply};
use muster_model::statistics::Statistics;
use muster_testkit::load::{self, Load, Numbers};
use phases::Phase;
use report::{Cpu, Effort, Others};
use samples::Samples;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Most microseconds between two requests, half of it on average: so that the controller is busy and not overrun.
const INTERVAL_US_MAX: u32 = 4000;
/// How long a phase is at a time.
const PHASE: Duration = Duration::from_millis(2500);
/// What others on this machine may use during a phase, of one processor, without its round being left out.
const OTHERS_MAX: f64 = 0.2;
/// So many requests of other kinds for each start.
const STARTS_EVERY: usize = 24;
/// All kinds of requests. Starts come last: what they take counts for no other.
const KINDS: [&str; 4] = ["submit", "completion", "read", "start"];

fn main() -> Result<(), Failure> {
    let (given, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.parse::<u32>().is_ok());
    let given: Vec<u32> = given.iter().filter_map(|word| word.parse().ok()).collect();
    let [nodes, pending, shapes, seconds] = given.try_into().unwrap_or([10_000, 100_000, 1000, 60]);
    let phases: Option<Vec<Phase>> = words.iter().map(|word| Phase::of(word)).collect();
    let mut phases = phases.ok_or("phases are rests, usual, always and alone")?;
    if phases.is_empty() {
        phases = vec![Phase::Rests, Phase::Always];
    }
    let view = load::make(&Load { nodes, pending, shapes, busy_percent: 100, seed: 1 });
    let directory = std::env::temp_dir().join(format!("muster-plan-latency-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let running = cluster::fill(&directory, &view)?;
    let pace = Pace::default();
    let options = cluster::options(&directory, &view, pace.clone())?;
    let (socket, listen) = (options.socket.clone(), options.listen.clone());
    let serving =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).thread_name("serve").enable_all().build()?;
    std::thread::Builder::new().name("serve".to_owned()).spawn(move || {
        serving.block_on(async { drop(muster_controller::run(options).await) });
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(async {
        let client = connected(&socket).await?;
        let names = view.nodes.iter().map(|node| node.name().to_string()).chain(cluster::spare_names());
        let names: Vec<String> = names.collect();
        let agents = Agents::connect(&listen, &names, running).await?;
        // Let the first passes, which learn what there is, go by.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let mut bench = Bench {
            client,
            agents,
            view,
            turn: 0,
            numbers: Numbers::new(1),
            samples: Samples::default(),
            efforts: BTreeMap::new(),
        };
        bench.run(&pace, &phases, seconds).await
    });
    drop(std::fs::remove_dir_all(&directory));
    // The controller, which waits to be told to stop, ends with this process.
    result
}

struct Bench {
    client: Client,
    agents: Agents,
    view: PlanView,
    turn: usize,
    numbers: Numbers,
    samples: Samples,
    efforts: BTreeMap<Phase, Effort>,
}

impl Bench {
    async fn run(&mut self, pace: &Pace, phases: &[Phase], seconds: u32) -> Result<(), Failure> {
        let began = Instant::now();
        let (mut order, mut round, mut disturbed) = (phases.to_vec(), 0, 0);
        while began.elapsed() < Duration::from_secs(seconds.into()) {
            let mut is_disturbed = false;
            for phase in &order {
                phase.begin(pace).await;
                let others = Others::now();
                self.phase(*phase, round).await?;
                let share = others.share_since();
                is_disturbed |= share > OTHERS_MAX;
                eprintln!("{round} {}: others used {share:.2} of a processor", phase.name());
            }
            if is_disturbed {
                self.samples.forget(round);
                disturbed += 1;
            }
            // Now the other way round, so that none is always the first.
            order.reverse();
            round += 1;
        }
        for (phase, effort) in &self.efforts {
            effort.print(*phase);
        }
        println!("{round} rounds, {disturbed} of them left out because something else was busy on this machine");
        self.samples.print(&KINDS);
        Ok(())
    }

    async fn phase(&mut self, phase: Phase, round: usize) -> Result<(), Failure> {
        let (began, cpu, statistics) = (Instant::now(), Cpu::now(), self.statistics().await?);
        let mut due = Instant::now();
        while began.elapsed() < PHASE {
            due += Duration::from_micros(self.numbers.below(INTERVAL_US_MAX).into());
            tokio::time::sleep_until(due.into()).await;
            // The clock of the reactor ticks once a millisecond; a request that had to wait for the last one waited longer.
            let asked = if due.elapsed() > Duration::from_millis(2) { due } else { Instant::now() };
            self.turn += 1;
            let kind = KINDS[self.turn % 3];
            if !self.request(kind).await? {
                continue;
            }
            self.samples.add(kind, phase, round, asked.elapsed().as_secs_f64() * 1e3);
            if phase.starts() && self.turn.is_multiple_of(STARTS_EVERY) {
                let took = self.start().await?;
                self.samples.add("start", phase, round, took.as_secs_f64() * 1e3);
                due = Instant::now();
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let after = self.statistics().await?;
        let effort = self.efforts.entry(phase).or_default();
        effort.add(seconds, (&cpu, &Cpu::now()), (&statistics, &after));
        Ok(())
    }

    /// Makes one request; `false` where there is nothing to ask for any more.
    async fn request(&mut self, kind: &str) -> Result<bool, Failure> {
        match kind {
            "submit" => submit(&self.client, None).await.map(|_| true),
            "read" => {
                let job = self.view.queue.keys().nth(self.turn % 1000).map(|key| key.job_id);
                let query = Query::Jobs { ids: job.map(|job| vec![job]), uids: None, active_only: false };
                self.client.query(&query).await?;
                Ok(true)
            }
            _ => self.agents.complete(self.turn % self.view.nodes.len()).await,
        }
    }

    /// How long it takes until a job that fits on free nodes starts.
    async fn start(&mut self) -> Result<Duration, Failure> {
        let began = Instant::now();
        let job = submit(&self.client, Some(cluster::SPARE)).await?;
        self.agents.started(job).await?;
        let took = began.elapsed();
        // Jobs of one CPU fill the first node, so that is where it runs.
        self.agents.tell_end(self.view.nodes.len(), job).await?;
        Ok(took)
    }

    async fn statistics(&self) -> Result<Statistics, Failure> {
        match self.client.query(&Query::Statistics).await?.pop() {
            Some(Reply::Statistics(statistics)) => Ok(*statistics),
            other => Err(format!("no statistics but {other:?}").into()),
        }
    }
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

async fn submit(client: &Client, partition: Option<&str>) -> Result<u32, Failure> {
    let identity = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
    let spec = JobSpec {
        work_dir: "/tmp".into(),
        submit_host: "bench".into(),
        partitions: partition.map(Into::into).into_iter().collect(),
        ..JobSpec::new(identity, "latency".into(), JobKind::Batch)
    };
    let context = ExecutionContext { environment: vec!["A=1".to_owned()], umask: 0o022, limits: Vec::new() };
    let blobs = Blobs { script: Some(b"#!/bin/sh\ntrue\n".to_vec()), context: Some(serde_json::to_vec(&context)?) };
    match client.command_with(&Command::Submit(Box::new(spec)), blobs).await? {
        Answer::Submitted(job) => Ok(job.0),
        other => Err(format!("not submitted but {other:?}").into()),
    }
}
