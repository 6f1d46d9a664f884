//! What both measurements start.

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::{LaunchUnit, Streams, TaskHooks, UnitKey, UnitUser};

/// A unit of this user that runs `command` and nothing around it, without any task yet.
pub(crate) fn unit(command: &[&str]) -> LaunchUnit {
    LaunchUnit {
        key: UnitKey { job_id: JobId(0), restart: RestartCount(0), step: StepId::Batch },
        // SAFETY: neither call can fail.
        user: unsafe { UnitUser { uid: libc::geteuid(), gid: libc::getegid(), groups: Vec::new() } },
        work_dir: "/tmp".into(),
        umask: 0o022,
        limits: Vec::new(),
        environment: None,
        variables: Vec::new(),
        script: None,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        broadcast: None,
        streams: Streams::default(),
        tasks: Vec::new(),
        affinity: Vec::new(),
        memory_limit: None,
        confinement: None,
        space: None,
        client: None,
        pty: None,
        pmi: None,
        pmix: None,
        message_name: String::new(),
        after: None,
        task_hooks: TaskHooks::default(),
        time_limit_ms: None,
        container: None,
        bundle: None,
        refusal: None,
        measure_ms: Some(30_000),
        measure_how: None,
        sequence: 0,
        verbosity: 0,
        unkillable: None,
    }
}
