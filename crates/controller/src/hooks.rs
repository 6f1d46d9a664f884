//! `PrologSlurmctld` and `EpilogSlurmctld`: programs of the site that run where the controller is, around each job.

use std::process::Stdio;
use std::sync::Arc;

use muster_core::Event;
use muster_core::event::HookEnd;
use muster_model::hooks::HookMoment;
use muster_model::job::Job;
use muster_slurm::environment::controller_hook_environment;
use tokio::process::Command;
use tokio::sync::{Semaphore, mpsc};

use crate::inbox::Inbox;
use crate::published::Published;

/// Programs that run at the same time. Others wait: a thousand jobs may start at once.
const RUNNING_MAX: usize = 64;

/// Where what is to be run comes in.
pub(crate) type Sender = mpsc::UnboundedSender<(HookMoment, Arc<Job>)>;

/// Runs what comes, until the controller ends.
pub(crate) async fn run(
    mut wanted: mpsc::UnboundedReceiver<(HookMoment, Arc<Job>)>,
    inbox: Inbox,
    published: Published,
) {
    let places = Arc::new(Semaphore::new(RUNNING_MAX));
    while let Some((moment, job)) = wanted.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (inbox, published) = (inbox.clone(), published.clone());
        tokio::spawn(async move {
            let failure = run_one(moment, &job, &published).await;
            if let Some(failure) = &failure {
                tracing::error!(job = job.id.0, ?moment, failure, "a prolog or epilog of the controller failed");
            }
            drop(place);
            if moment == HookMoment::Prolog {
                let event = Event::PrologEnded { job_id: job.id, restart: job.restart, end: HookEnd { failure } };
                // The controller ends; it will be run again.
                let _ = inbox.send(event.into()).await;
            }
        });
    }
}

/// Runs one program to its end; says why it failed.
async fn run_one(moment: HookMoment, job: &Job, published: &Published) -> Option<String> {
    let config = published.view().config.clone();
    let program = match moment {
        HookMoment::Prolog => config.hooks.controller_prolog.clone(),
        HookMoment::Epilog => config.hooks.controller_epilog.clone(),
    }?;
    let variables = controller_hook_environment(job, &config.cluster_name, moment);
    let mut command = Command::new(&*program);
    command.env_clear().envs(variables).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    let running = command.output();
    let ended = match config.hooks.node.timeout.and_then(|timeout| u64::try_from(timeout.0).ok()) {
        Some(limit_ms) => match tokio::time::timeout(std::time::Duration::from_millis(limit_ms), running).await {
            Ok(ended) => ended,
            Err(_) => return Some(format!("{program} took longer than PrologEpilogTimeout")),
        },
        None => running.await,
    };
    match ended {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            Some(format!("{program}: {}; it printed: {}", output.status, String::from_utf8_lossy(&printed).trim_end()))
        }
        Err(error) => Some(format!("cannot run {program}: {error}")),
    }
}
