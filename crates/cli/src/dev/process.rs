//! Processes of a development cluster: started in the background, found again by number and start time.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a condition is looked at while waiting for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Starts `command` in a session of its own with its output in `log`, and notes it in `pid_file`.
pub(super) fn start(command: &mut Command, log: &Path, pid_file: &Path) -> anyhow::Result<u32> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // SAFETY: setsid is async-signal-safe and touches nothing of this process.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into));
    }
    let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let pid = child.id();
    let text = format!("{pid} {}\n", start_time(pid).unwrap_or_default());
    std::fs::write(pid_file, text).with_context(|| format!("cannot write {}", pid_file.display()))?;
    Ok(pid)
}

/// The process noted in `pid_file`, if it is still the same one.
pub(super) fn alive(pid_file: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(pid_file).ok()?;
    let mut words = text.split_whitespace();
    let pid: u32 = words.next()?.parse().ok()?;
    let started = words.next().unwrap_or_default();
    (start_time(pid)? == started).then_some(pid)
}

/// When a process started, in clock ticks since boot; together with its number this names it for good. `None` when it
/// has ended, even if nobody has collected it yet.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(") ")?.1;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18).map(str::to_owned))?
}

/// Whether a process with that number exists and has not ended.
pub(super) fn exists(pid: u32) -> bool {
    start_time(pid).is_some()
}

/// Asks a process to end, waits, and kills it when it does not within `patience`.
pub(super) fn stop(pid: u32, patience: Duration) {
    let Ok(number) = i32::try_from(pid) else { return };
    let target = Pid::from_raw(number);
    let _ = kill(target, Signal::SIGTERM);
    if !wait_until(patience, || !exists(pid)) {
        let _ = kill(target, Signal::SIGKILL);
        wait_until(Duration::from_secs(5), || !exists(pid));
    }
}

/// Waits for `condition`; `false` when it did not come true within `limit`.
pub(super) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "the interval of a wait for a condition with a deadline")]
        std::thread::sleep(LOOK_INTERVAL);
    }
}
