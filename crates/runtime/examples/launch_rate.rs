//! Measures launches per second through a supervisor:
//! `launch_rate SUPERVISOR [COUNT] [off|auto] [WINDOW] [script]`.
//!
//! Units of `/bin/true`, or of a small batch script, with a window of units under way, as an agent would have.

mod common;

use std::io;
use std::time::Instant;

use muster_model::ids::{BlobId, JobId};
use muster_runtime::client::{self, NoticeReader, RequestWriter};
use muster_runtime::protocol::{Notice, Request, environment_blob};
use muster_runtime::supervisor::{CgroupUse, Options};
use muster_runtime::unit::{LaunchUnit, Output, Streams};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let count: u32 = argument(1, "2000").parse().unwrap_or(2000);
    let cgroup = if argument(2, "off") == "off" { CgroupUse::Off } else { CgroupUse::Auto };
    let window: u32 = argument(3, "16").parse().unwrap_or(16);

    let dir = tempfile::tempdir()?;
    let program = [argument(0, "muster-supervisor").into()];
    let (requests, mut notices, hello) =
        client::connect_or_start(dir.path(), &program, &Options { cgroup, ..Options::default() })?;
    let environment = std::env::vars().map(|(name, value)| format!("{name}={value}"));
    requests.put(&BlobId("environment".into()), &environment_blob(environment))?;
    requests.put(&BlobId("script".into()), b"#!/bin/sh\nexit 0\n")?;
    let mut unit = unit(&dir.path().join("out").display().to_string());
    unit.script = (argument(4, "") == "script").then(|| BlobId("script".into()));

    println!("tracking: {}; idle: {}", hello.tracking, memory(hello.pid));
    let start = Instant::now();
    drive(&requests, &mut notices, &unit, count, window)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{count} launches in {seconds:.2} s: {:.0}/s", f64::from(count) / seconds);
    println!("afterwards: {}", memory(hello.pid));
    requests.send(&Request::Retire { kill: true })
}

/// Keeps `window` units under way until `count` have ended.
fn drive(
    requests: &RequestWriter,
    notices: &mut NoticeReader,
    unit: &LaunchUnit,
    count: u32,
    window: u32,
) -> io::Result<()> {
    let launch = |job: u32| {
        let mut unit = unit.clone();
        unit.key.job_id = JobId(job);
        unit.variables = (0..40).map(|index| format!("SLURM_VARIABLE_{index}={job}")).collect();
        requests.send(&Request::Launch(Box::new(unit)))
    };
    let first = window.min(count);
    (1..=first).try_for_each(launch)?;
    let mut next = first;
    let mut ended = 0;
    while ended < count {
        match notices.next()? {
            Some(Notice::Ended(end)) if end.exit.is_success() => {
                ended += 1;
                requests.send(&Request::Acknowledge { keys: vec![end.key] })?;
                if next < count {
                    next += 1;
                    launch(next)?;
                }
            }
            Some(Notice::Started { .. }) => {}
            other => return Err(io::Error::other(format!("unexpected: {other:?}"))),
        }
    }
    Ok(())
}

fn unit(output: &str) -> LaunchUnit {
    LaunchUnit {
        environment: Some(BlobId("environment".into())),
        streams: Streams { output: Output::File(output.into()), ..Streams::default() },
        ..common::unit(&["/bin/true"])
    }
}

/// Resident memory of a process, in words.
fn memory(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let lines = text.lines().filter(|line| ["VmRSS", "RssAnon", "Threads"].iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join(", ")
}
