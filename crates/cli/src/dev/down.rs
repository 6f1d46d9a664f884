//! `muster dev down DIR`: stops by process number, and leaves nothing running.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use muster_runtime::protocol::Request;

use super::cluster::{self, CONTROLLER};
use super::layout::Layout;
use super::process;

/// How long a process may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(directory: &Path) -> anyhow::Result<ExitCode> {
    let layout = Layout::existing(directory)?;
    let stopped = take_down(&layout);
    eprintln!("{stopped} processes stopped; the state stays in {}", layout.root().display());
    Ok(ExitCode::SUCCESS)
}

/// Stops agents first, then their supervisors with all that runs under them, then the controller, so that nothing is
/// taken for a failure. Gives the number of daemons that ran.
pub(crate) fn take_down(layout: &Layout) -> usize {
    let names = cluster::node_names_on_disk(layout);
    let mut stopped = 0;
    for name in &names {
        stopped += stop(&layout.pid_file(name));
    }
    for name in &names {
        retire_supervisor(&layout.spool(name));
    }
    stopped + stop(&layout.pid_file(CONTROLLER))
}

fn stop(pid_file: &Path) -> usize {
    let Some(pid) = process::alive(pid_file) else {
        return 0;
    };
    process::stop(pid, PATIENCE);
    drop(std::fs::remove_file(pid_file));
    1
}

/// Asks the supervisor of a node to kill what runs under it and to end.
fn retire_supervisor(spool: &Path) {
    let Ok((requests, _, hello)) = muster_runtime::client::connect(spool) else {
        return;
    };
    drop(requests.send(&Request::Retire { kill: true }));
    if !process::wait_until(PATIENCE, || !process::exists(hello.pid)) {
        process::stop(hello.pid, PATIENCE);
    }
}
