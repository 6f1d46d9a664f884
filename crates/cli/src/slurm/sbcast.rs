//! `sbcast`: the nodes of a job call this command, and each takes the file straight from it.

mod progress;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use muster_client::Client;
use muster_model::hostlist;
use muster_model::node_call::{CallPurpose, FileReceipt, NodeCall, NodesCalled};
use muster_model::request::{Answer, Command};
use muster_slurm::output::Outcome;
use muster_slurm::output::sbcast::Sbcast;

use self::progress::Progress;
use super::ask::{Call, print, reason};
use super::end;
use super::srun::times_ns;
use super::streams::Streams;
use super::streams::broadcast::{Calls, Source};
use super::surroundings::Gathered;
use crate::runtime::block_on;

/// How long a node may make no progress where nothing else is said.
const PATIENCE_SECONDS: u64 = 60;

/// Runs `sbcast`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("sbcast", args.clone());
    let call = Call::new(args);
    let done = Sbcast::new(&call.args, &call.environment).and_then(|wanted| {
        eprint!("{}", wanted.notices);
        tell(wanted.verbose, &wanted.dump());
        let (source, receipt) = open(&wanted, gathered.work_dir())?;
        block_on(broadcast(&wanted, source, receipt, &gathered.client_host()))
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(outcome) => print(&outcome),
    }
}

fn tell(verbose: u32, text: &str) {
    if verbose > 0 {
        text.lines().for_each(|line| eprintln!("sbcast: {line}"));
    }
}

fn fail(text: &str) -> Outcome {
    Outcome::failure(format!("sbcast: error: {text}\n"), 255)
}

/// Opens the file, and says how it is to be put down.
fn open(wanted: &Sbcast, work_dir: &str) -> Result<(Source, FileReceipt), Outcome> {
    let name = &wanted.source;
    let words = |error: &std::io::Error| end::words(error.raw_os_error().unwrap_or(libc::EIO));
    let unopened = |error: std::io::Error| fail(&format!("Can't open `{name}`: {}", words(&error)));
    let file = File::open(Path::new(work_dir).join(name)).map_err(unopened)?;
    let metadata = file.metadata().map_err(unopened)?;
    tell(wanted.verbose, &describe(&metadata));
    if !metadata.is_file() {
        return Err(fail(&format!("Can't mmap file `{name}`, No such device.")));
    }
    if metadata.len() == 0 {
        eprintln!("sbcast: error: Warning: file `{name}` is empty.");
    }
    let receipt = FileReceipt {
        path: Path::new(work_dir).join(&wanted.destination).to_string_lossy().into_owned(),
        mode: metadata.mode() & 0o777,
        force: wanted.force,
        times_ns: wanted.preserve.then(|| times_ns(&metadata)),
    };
    let seconds = if wanted.timeout_seconds > 0 { wanted.timeout_seconds } else { PATIENCE_SECONDS };
    let source = Source {
        file: Arc::new(file),
        size: metadata.len(),
        block_bytes: wanted.block_bytes,
        patience: Duration::from_secs(seconds),
    };
    Ok((source, receipt))
}

/// What `-v` tells of the file.
fn describe(metadata: &Metadata) -> String {
    let time = |seconds: i64| {
        let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
    };
    format!(
        "modes    = {:o}\nuid      = {}\ngid      = {}\natime    = {}\nmtime    = {}\nctime    = {}\nsize     = {}\n",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        time(metadata.atime()),
        time(metadata.mtime()),
        time(metadata.ctime()),
        metadata.len()
    )
}

/// Has the nodes called and serves them; gives the exit code: that of the last error.
async fn broadcast(wanted: &Sbcast, source: Source, receipt: FileReceipt, host: &str) -> Result<u8, Outcome> {
    let problem = |error: anyhow::Error| fail(&format!("{error:#}"));
    let streams = Streams::open(host).await.map_err(problem)?;
    let port = streams.address().map_err(problem)?.port();
    let call = NodeCall {
        job_id: wanted.job_id,
        step: wanted.step,
        address: format!("{host}:{port}"),
        cookie: streams.cookie().to_owned(),
        purpose: CallPurpose::Receive(receipt),
    };
    let nodes = called(wanted, &call).await?;
    let names = nodes.called.iter().chain(&nodes.absent).map(String::as_str);
    let text = format!("jobid      = {}\nnode_list  = {}\n", wanted.target(), hostlist::compress(names));
    tell(wanted.verbose, &text);
    let mut code = 0;
    let mut complain = |node: &str, errno: i32| {
        eprintln!("sbcast: error: REQUEST_FILE_BCAST({node}): {}", end::words(errno));
        code = u8::try_from(errno).unwrap_or(1);
    };
    nodes.absent.iter().for_each(|node| complain(node, libc::EHOSTUNREACH));
    let counters: BTreeMap<String, Arc<AtomicU64>> =
        nodes.called.iter().map(|node| (node.clone(), Arc::default())).collect();
    let progress = Progress::show(source.size, counters.values().cloned().collect());
    let calls = Calls { nodes: counters, at_a_time: wanted.fanout };
    let failures = streams.serve(source, calls).await;
    drop(progress);
    failures.iter().for_each(|(node, errno)| complain(node, *errno));
    Ok(code)
}

async fn called(wanted: &Sbcast, call: &NodeCall) -> Result<NodesCalled, Outcome> {
    let client = Client::connect().await.map_err(|error| wanted.lookup_error(&reason(&error)))?;
    match client.command(&Command::CallNodes(call.clone())).await {
        Ok(Answer::NodesCalled(nodes)) => Ok(nodes),
        Ok(other) => Err(fail(&format!("unexpected answer of the controller: {other:?}"))),
        Err(error) => Err(wanted.lookup_error(&reason(&error))),
    }
}
