//! Getting an allocation for `srun` and `salloc`: submit, wait in the queue, hold.

use std::sync::Arc;
use std::time::Duration;

use muster_client::{Blobs, Client, ClientError};
use muster_model::ids::JobId;
use muster_model::job::{ExecutionContext, Job, JobSpec};
use muster_model::request::{Answer, Cancel, Command, JobTarget, RefusalCode};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::time::Span;
use muster_slurm::options;
use muster_slurm::submit::{CliExit, refused};

use super::waiting::{Holder, Patient};
use super::{ask, end};

/// How long an allocation may take before the user is told that it waits. On a free cluster it takes milliseconds.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often that long is waited again, where the scheduler has not come to the job yet and there is no reason to tell.
const PATIENCE_FOR_REASON: u32 = 16;

/// What is asked for.
pub(super) struct Wanted<'a> {
    /// `srun` or `salloc`.
    pub command: options::Command,
    /// The job.
    pub spec: &'a JobSpec,
    /// The components that it leads; empty where it is a plain job.
    pub led: &'a [JobSpec],
    /// Its environment, umask and limits.
    pub context: &'a ExecutionContext,
    /// `--immediate`: give up after this long.
    pub immediate: Option<Span>,
    /// `--quiet`.
    pub quiet: bool,
    /// `-v` was given.
    pub verbose: bool,
}

/// An allocation that lives as long as this does.
pub(super) struct Held {
    /// The job as it was when it started.
    pub job: Arc<Job>,
    /// News about it.
    pub news: Patient,
}

impl Wanted<'_> {
    fn program(&self) -> &'static str {
        self.command.name()
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}: {text}", self.program());
        }
    }

    /// Submits the job and waits until it runs.
    pub(super) async fn get(&self, client: &Client) -> Result<Held, CliExit> {
        let (job_id, mut news) = self.submit(client).await?;
        let deadline = self.immediate.map(|span| Duration::from_millis(span.0.max(1000).unsigned_abs()));
        let waiting = self.wait_until_running(client, job_id, &mut news);
        let job = match deadline {
            None => tokio::select! {
                job = waiting => job?,
                () = interrupted() => return Err(self.give_up(client, job_id).await),
            },
            Some(limit) => match tokio::time::timeout(limit, waiting).await {
                Ok(job) => job?,
                Err(_) => {
                    drop(client.command(&Command::Cancel(cancel(job_id))).await);
                    let mut exit = end::error(self.program(), "Unable to allocate resources: Requested nodes are busy");
                    if self.command == options::Command::Salloc {
                        exit.stderr.push_str(&format!("salloc: Job allocation {job_id} has been revoked.\n"));
                    }
                    return Err(exit);
                }
            },
        };
        Ok(Held { job, news })
    }

    async fn submit(&self, client: &Client) -> Result<(JobId, Patient), CliExit> {
        let context =
            serde_json::to_vec(self.context).map_err(|error| end::error(self.program(), &error.to_string()))?;
        let blobs = Blobs { script: None, context: Some(context) };
        let command = match self.led {
            [] => Command::Submit(Box::new(self.spec.clone())),
            led => Command::SubmitHet(std::iter::once(self.spec).chain(led).cloned().collect()),
        };
        let job_id = match client.submit(&command, blobs).await.map_err(|error| self.failed(&error))? {
            Answer::Submitted(job_id) => job_id,
            other => {
                return Err(end::error(self.program(), &format!("unexpected answer of the controller: {other:?}")));
            }
        };
        let holder = Holder { program: self.program(), quiet: self.quiet };
        let news = Patient::listen(client, job_id, Some(holder)).await.map_err(|error| self.failed(&error))?;
        Ok((job_id, news))
    }

    async fn wait_until_running(
        &self,
        client: &Client,
        job_id: JobId,
        news: &mut Patient,
    ) -> Result<Arc<Job>, CliExit> {
        // Who cannot wait needs no telling.
        let mut told = self.immediate == Some(Span::ZERO);
        let mut looks = 0;
        loop {
            let next = if told {
                news.next().await
            } else {
                match tokio::time::timeout(PATIENCE, news.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        // What a plan says of waiting jobs is told to who asks, and is no news.
                        let latest = client.job(job_id).await.ok().flatten();
                        looks += 1;
                        if looks <= PATIENCE_FOR_REASON && latest.as_deref().is_none_or(is_unseen) {
                            continue;
                        }
                        told = true;
                        if let Some(text) = latest.as_deref().and_then(obstacle) {
                            self.say(text);
                        }
                        self.tell_that_it_waits(job_id);
                        continue;
                    }
                }
            };
            let piece = next.map_err(|error| self.failed(&error))?;
            match piece.map(|piece| piece.job) {
                Some(job) if job.state == JobState::Running => {
                    // In Slurm a heterogeneous job is always queued first, and scripts wait for these lines.
                    if !told && !self.led.is_empty() {
                        self.tell_that_it_waits(job_id);
                        told = true;
                    }
                    if told && self.immediate != Some(Span::ZERO) {
                        self.say(&format!("job {job_id} has been allocated resources"));
                    }
                    return Ok(job);
                }
                Some(job) if !job.state.is_final() => {}
                _ => {
                    self.say("Job has been cancelled");
                    if self.command == options::Command::Salloc {
                        self.say(&format!("Job allocation {job_id} has been revoked."));
                    }
                    let what = if self.command == options::Command::Srun {
                        "Unable to allocate resources"
                    } else {
                        "Job submit/allocate failed"
                    };
                    return Err(end::error(
                        self.program(),
                        &format!("{what}: Job/step already completing or completed"),
                    ));
                }
            }
        }
    }

    fn tell_that_it_waits(&self, job_id: JobId) {
        if self.command == options::Command::Salloc {
            self.say(&format!("Pending job allocation {job_id}"));
        }
        self.say(&format!("job {job_id} queued and waiting for resources"));
    }

    async fn give_up(&self, client: &Client, job_id: JobId) -> CliExit {
        drop(client.command(&Command::Cancel(cancel(job_id))).await);
        // Each of the two has its own words for it.
        let stderr = if self.command == options::Command::Srun {
            format!("srun: Job allocation {job_id} has been revoked\nsrun: Force Terminated JobId={job_id}\n")
        } else {
            format!("salloc: Job allocation {job_id} has been revoked.\nsalloc: Job aborted due to signal\n")
        };
        CliExit { stdout: String::new(), stderr, code: 1 }
    }

    /// What to say when the controller refuses or cannot be asked.
    fn failed(&self, error: &ClientError) -> CliExit {
        if let ClientError::Refused(refusal) = error {
            let fault = refused(self.command, refusal, false, self.verbose);
            let exit_error = std::env::var("SLURM_EXIT_ERROR").ok();
            return CliExit::new(self.command, &[], &fault, exit_error.as_deref());
        }
        let what = if self.command == options::Command::Srun {
            "Unable to allocate resources"
        } else {
            "Job submit/allocate failed"
        };
        end::error(self.program(), &format!("{what}: {}", ask::reason(error)))
    }
}

/// Whether the scheduler has not come to a job yet.
fn is_unseen(job: &Job) -> bool {
    job.reason == Reason::None && job.hold.is_none()
}

/// What keeps a job from being considered at all, told before anything else.
fn obstacle(job: &Job) -> Option<&'static str> {
    match job.reason {
        Reason::PartitionNodeLimit | Reason::PartitionTimeLimit | Reason::PartitionConfig => {
            Some(RefusalCode::PartitionConfigUnavailable.text())
        }
        Reason::PartitionDown => Some("Partition in DOWN state"),
        _ if job.hold.is_some() => Some("Job is in held state, pending scheduler release"),
        _ => None,
    }
}

/// A job with all components of its heterogeneous job, as they are now.
pub(super) async fn components(client: &Client, job: &Arc<Job>) -> Result<Vec<Arc<Job>>, ClientError> {
    if job.het.is_none() {
        return Ok(vec![job.clone()]);
    }
    let mut all = client.jobs_numbered(job.id).await?;
    all.retain(|other| other.het_job_id() == job.het_job_id());
    all.sort_by_key(|job| job.id);
    Ok(all)
}

/// Gives an allocation back. A controller that is being started again is waited for, so that the exit code is not lost;
/// one that stays away ends the job when it comes and nobody holds it.
pub(super) async fn give_back(client: &Client, job_id: JobId, exit: ExitStatus) {
    let command = Command::EndAllocation { job_id, exit };
    // It may have ended by itself; then there is nothing to give back.
    drop(client.insist(&command).await);
}

fn cancel(job_id: JobId) -> Cancel {
    Cancel { target: JobTarget::job(job_id), signal: None, batch_only: false, full: false, states: Vec::new() }
}

/// Returns when the user or the system asks this process to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let hang_up = async {
        // Whoever is started by `nohup` has it ignored, and stays so.
        match is_ignored(SignalKind::hangup()) {
            true => std::future::pending().await,
            false => match signal(SignalKind::hangup()) {
                Ok(mut hang_up) => hang_up.recv().await,
                Err(_) => std::future::pending().await,
            },
        }
    };
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut quit)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = quit.recv() => {}
        _ = hang_up => {}
    }
}

/// Whether whoever started this process wants the signal to do nothing, as `nohup` does.
pub(super) fn is_ignored(kind: tokio::signal::unix::SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(63);
    mask.unwrap_or(0).checked_shr(bit).unwrap_or(0) & 1 == 1
}
