//! Measures what looking at the tasks of a large step costs: `sample_cost SUPERVISOR [TASKS] [off|auto] [LOOKS]`.
//!
//! A step of `sleep` tasks is looked at time after time. Told are the time until the answer and the CPU time of the supervisor for
//! one look, and the share of one CPU that looks every thirty seconds take.

mod common;

use std::io;
use std::time::Instant;

use muster_runtime::client::{self, NoticeReader, RequestWriter};
use muster_runtime::protocol::{Notice, Request};
use muster_runtime::supervisor::{CgroupUse, Options};
use muster_runtime::unit::{LaunchUnit, TaskLaunch};

/// The usual interval.
const INTERVAL_SECONDS: f64 = 30.0;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let tasks: u32 = argument(1, "2000").parse().unwrap_or(2000);
    let cgroup = if argument(2, "auto") == "off" { CgroupUse::Off } else { CgroupUse::Auto };
    let looks: u32 = argument(3, "50").parse().unwrap_or(50);

    let dir = tempfile::tempdir()?;
    let program = [argument(0, "muster-supervisor").into()];
    let (requests, mut notices, hello) =
        client::connect_or_start(dir.path(), &program, &Options { cgroup, ..Options::default() })?;
    requests.send(&Request::Launch(Box::new(unit(tasks))))?;
    while !matches!(notices.next()?, Some(Notice::Started { .. })) {}
    look(&requests, &mut notices, 0)?;
    let (start, cpu_before) = (Instant::now(), cpu_ms(hello.pid));
    for number in 1..=looks {
        look(&requests, &mut notices, number.into())?;
    }
    let each = |total: f64| total / f64::from(looks.max(1));
    let (wall, cpu) = (each(start.elapsed().as_secs_f64() * 1000.0), each(cpu_ms(hello.pid) - cpu_before));
    let share = cpu / (INTERVAL_SECONDS * 1000.0) * 100.0;
    println!(
        "{tasks} tasks, {}: {wall:.1} ms and {cpu:.1} ms of CPU for one look; every {INTERVAL_SECONDS:.0} s {share:.2} % of a CPU",
        hello.tracking
    );
    requests.send(&Request::Retire { kill: true })
}

fn look(requests: &RequestWriter, notices: &mut NoticeReader, wanted: u64) -> io::Result<()> {
    requests.send(&Request::Sample { number: wanted, keys: Vec::new() })?;
    loop {
        match notices.next()? {
            Some(Notice::Sampled { number, .. }) if number == wanted => return Ok(()),
            Some(_) => {}
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// CPU time of a process, milliseconds; clock ticks are hundredths of a second.
fn cpu_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    rest.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

fn unit(tasks: u32) -> LaunchUnit {
    LaunchUnit {
        tasks: (0..tasks).map(|rank| TaskLaunch { rank, ..TaskLaunch::default() }).collect(),
        ..common::unit(&["/bin/sleep", "1000"])
    }
}
