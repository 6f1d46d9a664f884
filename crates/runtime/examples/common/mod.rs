//! What both measurements start.

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::{LaunchUnit, UnitKey, UnitUser};

/// A unit of this user that runs `command` and nothing around it, and is looked at as often as usual.
pub(crate) fn unit(command: &[&str]) -> LaunchUnit {
    let key = UnitKey { job_id: JobId(0), restart: RestartCount(0), step: StepId::Batch };
    // SAFETY: neither call can fail.
    let user = unsafe { UnitUser { uid: libc::geteuid(), gid: libc::getegid(), groups: Vec::new() } };
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    LaunchUnit { measure_ms: Some(30_000), ..LaunchUnit::new(key, user, "/tmp".to_owned(), command) }
}
