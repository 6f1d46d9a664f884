//! How long submits, completions, reads and starts take while the planner works, and while it rests:
//! `plan_latency [NODES PENDING SHAPES SECONDS] [PHASE...]`, phases being `rests`, `taken`, `usual`, `always` and `alone`.
//!
//! The controller is the real one with its database, in a process of its own; the nodes are connections that say they run
//! what the database says they run. All nodes but a few are in use and everything waits, so each pass over everything is a
//! long one. Short phases with different orders to the planner take turns, in another order each time, so that whatever
//! else changes meanwhile changes for all.
//!
//! In all of them the same kinds of requests come at irregular times, whether or not those before have been answered, and
//! each is timed from the moment it was due. A regular beat would fall in with the clock of the kernel, and show its best or
//! worst side for a whole phase.
//!
//! Where there are few processors a plan takes one of them away, as any program would. So phases without planning come in
//! two kinds: with all processors free, and with one taken by a program that does nothing but count. The first says what a
//! plan costs, the second how much of that is for a processor less, and how much for what the planner does.
//!
//! A start is timed from the submit of a job for one of the nodes that are kept free until its agent is told; this comes
//! after each phase, apart from the other requests.

mod agents;
mod cluster;
mod helpers;
mod phases;
mod report;
mod requests;
mod samples;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agents::Agents;
use helpers::Helper;
use muster_client::Client;
use muster_model::planning::PlanView;
use muster_model::request::Query;
use muster_testkit::load::{self, Load, Numbers};
use phases::Phase;
use report::{Cpu, Effort, Others};
use requests::Requests;
use samples::Samples;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Most microseconds between two requests, half of it on average: a few tenths of one processor, for controller and
/// clients together.
const INTERVAL_US_MAX: u32 = 2000;
/// How long a phase is at a time.
const PHASE: Duration = Duration::from_millis(1200);
/// Starts that are timed after each phase.
const STARTS_PER_PHASE: usize = 10;
/// What others on this machine may use during a phase, of one processor, without its round being left out. The kernel does
/// some of the work of the requests in the name of nobody: about a quarter of a processor.
const OTHERS_MAX: f64 = 0.4;
/// All kinds of requests.
const KINDS: [&str; 4] = ["submit", "completion", "read", "start"];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((word, rest)) if word == helpers::SERVE => helpers::serve(rest),
        Some((word, _)) if word == helpers::COUNT => helpers::count(),
        _ => measure(&words),
    }
}

fn measure(words: &[String]) -> Result<(), Failure> {
    let (given, words): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| word.parse::<u32>().is_ok());
    let given: Vec<u32> = given.iter().filter_map(|word| word.parse().ok()).collect();
    let [nodes, pending, shapes, seconds] = given.try_into().unwrap_or([10_000, 100_000, 1000, 60]);
    let phases: Option<Vec<Phase>> = words.iter().map(|word| Phase::of(word)).collect();
    let mut phases = phases.ok_or("phases are rests, taken, usual, always and alone")?;
    if phases.is_empty() {
        phases = vec![Phase::Rests, Phase::Taken, Phase::Always];
    }
    let view = load::make(&Load { nodes, pending, shapes, busy_percent: 100, seed: 1 });
    let directory = parent_directory().join(format!("muster-plan-latency-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    println!("the database is in {}", directory.display());
    let result = measure_in(&directory, &view, [nodes, pending, shapes], &phases, Duration::from_secs(seconds.into()));
    drop(std::fs::remove_dir_all(&directory));
    result
}

/// Where the environment says, otherwise in memory: a disk that is shared with others is slow now and then for reasons of
/// its own.
fn parent_directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let is_asked_for = std::env::var_os("TMPDIR").is_some();
    if is_asked_for || !memory.is_dir() { std::env::temp_dir() } else { memory.to_owned() }
}

fn measure_in(
    directory: &Path,
    view: &PlanView,
    load: [u32; 3],
    phases: &[Phase],
    duration: Duration,
) -> Result<(), Failure> {
    let running = cluster::fill(directory, view)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let controller = Helper::controller(directory, port, load)?;
    let counter = Helper::counter()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (client, agents) = runtime.block_on(async {
        let client = connected(&cluster::socket(directory)).await?;
        let names = view.nodes.iter().map(|node| node.name().to_string()).chain(cluster::spare_names());
        let names: Vec<String> = names.collect();
        let agents = Agents::connect(port, &names, running).await?;
        // Let the first passes, which learn what there is, go by.
        tokio::time::sleep(Duration::from_secs(8)).await;
        Ok::<_, Failure>((client, agents))
    })?;
    let requests = Requests::new(client, agents, view);
    let mut bench = Bench {
        requests,
        controller,
        counter,
        runtime,
        numbers: Numbers::new(1),
        samples: Samples::default(),
        efforts: BTreeMap::new(),
    };
    bench.run(phases, duration)
}

struct Bench {
    requests: Requests,
    controller: Helper,
    counter: Helper,
    runtime: tokio::runtime::Runtime,
    numbers: Numbers,
    samples: Samples,
    efforts: BTreeMap<Phase, Effort>,
}

impl Bench {
    fn run(&mut self, phases: &[Phase], duration: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        let (mut order, mut round, mut disturbed) = (phases.to_vec(), 0, 0);
        while began.elapsed() < duration {
            let mut is_disturbed = false;
            for phase in &order {
                phase.begin(&mut self.controller, &mut self.counter)?;
                let share = self.phase(*phase, round)?;
                is_disturbed |= share > OTHERS_MAX;
                eprintln!("{round} {}: others used {share:.2} of a processor", phase.name());
            }
            if is_disturbed {
                self.samples.forget(round);
                disturbed += 1;
            }
            self.shuffle(&mut order);
            round += 1;
        }
        for (phase, effort) in &self.efforts {
            effort.print(*phase);
        }
        println!("{round} rounds, {disturbed} of them left out because something else was busy on this machine");
        self.samples.print(&KINDS, &[Phase::Rests, Phase::Taken]);
        Ok(())
    }

    /// So that no phase always comes after the same one.
    fn shuffle(&mut self, order: &mut [Phase]) {
        for at in (1..order.len()).rev() {
            order.swap(at, self.numbers.below(at as u32 + 1) as usize);
        }
    }

    /// Makes the requests of one phase and gives what others used of a processor meanwhile.
    fn phase(&mut self, phase: Phase, round: usize) -> Result<f64, Failure> {
        let before = self.runtime.block_on(self.requests.statistics())?;
        let (began, cpu, others) = (Instant::now(), self.cpu(), Others::now(self.cpu()));
        let (mut due, mut asked) = (began, Vec::new());
        while began.elapsed() < PHASE {
            due += Duration::from_micros(self.numbers.below(INTERVAL_US_MAX).into());
            sleep_until(due);
            let kind = KINDS[asked.len() % 3];
            let request = self.requests.next(kind);
            asked
                .push((kind, self.runtime.spawn(async move { request.await.map(|done| done.then(|| due.elapsed())) })));
        }
        for (kind, request) in asked {
            if let Some(took) = self.runtime.block_on(request)?? {
                self.samples.add(kind, phase, round, took.as_secs_f64() * 1e3);
            }
        }
        let share = others.share_since(self.cpu());
        let (seconds, cpu_after) = (began.elapsed().as_secs_f64(), self.cpu());
        let after = self.runtime.block_on(self.requests.statistics())?;
        self.efforts.entry(phase).or_default().add(seconds, (&cpu, &cpu_after), (&before, &after));
        for _ in 0..STARTS_PER_PHASE * usize::from(phase.starts()) {
            let took = self.runtime.block_on(self.requests.start())?;
            self.samples.add("start", phase, round, took.as_secs_f64() * 1e3);
        }
        Ok(share)
    }

    fn cpu(&self) -> Cpu {
        Cpu::now(self.controller.pid(), self.counter.pid())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "timers of the runtime tick once a millisecond, which is too coarse here"
)]
fn sleep_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
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
