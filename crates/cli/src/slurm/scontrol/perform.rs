//! Carries out what a keyword of `scontrol` means.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use muster_client::{Client, ClientError};
use muster_model::job::Job;
use muster_model::request::{JobTarget, Query};
use muster_model::state::JobState;
use muster_runtime::detect;
use muster_slurm::output::scontrol::{
    Action, Changes, Flags, Machine, ShellFile, Show, config_file, down, host_list_of_text, shell_files, slurmd,
    slurmd_queries,
};
use muster_slurm::output::{Outcome, unknown_cluster};
use nix::errno::Errno;

use super::super::ask::{Call, ask, failure, reason};
use super::{pids, silent};

/// How often `wait_job` looks.
const WAIT_INTERVAL: Duration = Duration::from_millis(500);

/// Does `action` and tells what to print.
pub(super) async fn perform(action: Action, flags: Flags, call: &Call) -> Outcome {
    let outcome = match action {
        Action::Lookup(lookup) => match ask(vec![lookup.query.clone()]).await {
            Ok(answers) => match lookup.resume(&answers, &call.context) {
                Action::Change(changes) => change(changes).await,
                Action::Resize(changes, target) => resize(changes, &target, call).await,
                Action::Print(outcome) => outcome,
                _ => silent(),
            },
            Err(error) => failure("scontrol", "slurm_load_jobs error", &error),
        },
        Action::Print(outcome) => outcome,
        Action::Show(show) => present(&show, flags, call).await,
        Action::Change(changes) => change(changes).await,
        Action::Resize(changes, target) => resize(changes, &target, call).await,
        Action::HostListOfFile { path, sorted } => match std::fs::read_to_string(&path) {
            Ok(text) => host_list_of_text(&text, sorted),
            Err(error) => Outcome::failure(format!("scontrol: error: {path}: {error}\n"), 1),
        },
        Action::Pids(wanted) => pids::tell(&wanted, call).await,
        Action::WaitJob(target) => wait_job(&target).await,
        Action::WriteScript { target, name, file } => write_script(&target, &name, file).await,
        Action::ShowSlurmd(node) => show_slurmd(node, call).await,
        Action::WriteConfig(file) => write_config(file.as_deref(), call).await,
        Action::Repeat => Outcome::failure("invalid keyword: !!\n", 1),
        Action::Set(_) | Action::Quit => silent(),
    };
    if flags.quiet { Outcome { stderr: String::new(), ..outcome } } else { outcome }
}

/// The complaint where `wanted` is not the cluster that answers.
pub(super) async fn wrong_cluster(wanted: &str) -> Option<Outcome> {
    match ask(vec![Query::Ping]).await {
        Ok(answers) if answers.cluster.name.as_deref() == Some(wanted) => None,
        Ok(_) => Some(unknown_cluster("scontrol", wanted)),
        Err(error) => Some(failure("scontrol", "slurm_load_ctl_conf error", &error)),
    }
}

async fn present(show: &Show, flags: Flags, call: &Call) -> Outcome {
    match ask(show.queries(flags)).await {
        Ok(answers) => show.render(&answers, &call.context, flags),
        Err(ClientError::Unreachable { .. } | ClientError::Broken(_)) if *show == Show::Ping => {
            let host = nix::unistd::gethostname().unwrap_or_default();
            down(host.to_string_lossy().split('.').next().unwrap_or_default())
        }
        Err(error) => failure("scontrol", show.complaint_prefix(), &error),
    }
}

async fn change(changes: Changes) -> Outcome {
    // A job that puts itself back into the queue is ended at once, this program with it; it still has to learn that its
    // request was granted. Once a handler is there, TERM ends nothing.
    let is_in_job = std::env::var_os("SLURM_JOB_ID").is_some();
    let _deaf = is_in_job.then(|| tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()));
    let mut refusals = Vec::with_capacity(changes.list.len());
    let mut client: Option<Client> = None;
    let mut told = String::new();
    for wanted in &changes.list {
        let refusal = match &wanted.command {
            Err(reason) => Some(reason.clone()),
            Ok(command) => {
                if client.is_none() {
                    match Client::connect().await {
                        Ok(connected) => client = Some(connected),
                        Err(error @ ClientError::Unconfigured) => return failure("scontrol", "", &error),
                        Err(error) => {
                            refusals.push(Some(reason(&error)));
                            continue;
                        }
                    }
                }
                match &client {
                    Some(client) => match client.command(command).await {
                        Ok(answer) => {
                            told.push_str(&wanted.what.success(&answer));
                            None
                        }
                        Err(error) => Some(reason(&error)),
                    },
                    None => None,
                }
            }
        };
        refusals.push(refusal);
    }
    let mut outcome = changes.outcome(&refusals);
    outcome.stdout.insert_str(0, &told);
    outcome
}

/// Changes the size of a job. A shell in that job is given files from which it learns of that.
async fn resize(changes: Changes, target: &JobTarget, call: &Call) -> Outcome {
    let mut outcome = change(changes).await;
    if outcome.code != 0 || !call.environment.contains_key("SLURM_JOBID") {
        return outcome;
    }
    let found = match Client::connect().await {
        Ok(client) => find(&client, target).await,
        Err(error) => Err(error),
    };
    let job = match found {
        Ok(job) => job,
        Err(error) => return failure("scontrol", "slurm_load_jobs error", &error),
    };
    let Some((files, said)) = job.and_then(|job| shell_files(&job, &call.environment)) else { return outcome };
    for ShellFile { name, content } in files {
        if let Err(error) = write_executable(&name, content.as_bytes()) {
            let reason = error.raw_os_error().map_or("unknown error", |number| Errno::from_raw(number).desc());
            outcome.stderr.push_str(&format!("Could not create file {name}: {reason}\n"));
            return outcome;
        }
    }
    outcome.stdout.push_str(&said);
    outcome
}

fn write_executable(path: &str, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o700).open(path).and_then(|mut file| file.write_all(content))
}

async fn find(client: &Client, target: &JobTarget) -> Result<Option<std::sync::Arc<Job>>, ClientError> {
    let jobs = client.jobs_numbered(target.job_id).await?;
    Ok(jobs.into_iter().find(|job| muster_slurm::output::ids::matches(target, job)))
}

async fn wait_job(target: &JobTarget) -> Outcome {
    let problem = || Outcome::failure(format!("scontrol: Problem running job {}\n", target.job_id), 1);
    let client = match Client::connect().await {
        Ok(client) => client,
        Err(error) => return failure("scontrol", "slurm_job_node_ready error", &error),
    };
    loop {
        match find(&client, target).await {
            Ok(Some(job)) if matches!(job.state, JobState::Running | JobState::Suspended) => {
                return Outcome::failure(format!("scontrol: Nodes are ready for job {}\n", target.job_id), 0);
            }
            Ok(Some(job)) if job.state == JobState::Pending => tokio::time::sleep(WAIT_INTERVAL).await,
            Ok(_) | Err(ClientError::Refused(_)) => return problem(),
            Err(error) => return failure("scontrol", "slurm_job_node_ready error", &error),
        }
    }
}

/// Tells of the agent of this machine.
async fn show_slurmd(node: Option<String>, call: &Call) -> Outcome {
    let answers = match ask(slurmd_queries()).await {
        Ok(answers) => answers,
        Err(error) => return failure("scontrol", "slurm_load_slurmd_status", &error),
    };
    let tmp_fs = answers.cluster.parameter("TmpFS").unwrap_or("/tmp");
    let first_number = |path: &str| std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok();
    let machine = Machine {
        node: node.or_else(|| call.environment.get("SLURMD_NODENAME").cloned()),
        host: detect::system().host_name,
        hardware: detect::hardware(Path::new(tmp_fs)),
        first_number,
    };
    slurmd(&machine, &answers, &call.context)
}

/// Writes what is in force to a new file, so that nothing that is there is lost.
async fn write_config(file: Option<&str>, call: &Call) -> Outcome {
    let answers = match ask(vec![Query::Config, Query::Nodes]).await {
        Ok(answers) => answers,
        Err(error) => return failure("scontrol", "slurm_load_ctl_conf error", &error),
    };
    let (path, text) = config_file(file, &answers, &call.context);
    match std::fs::write(&path, text) {
        Ok(()) => Outcome::success(format!("Slurm config saved to {path}\n")),
        Err(error) => {
            let reason = error.raw_os_error().map_or("unknown error", |number| Errno::from_raw(number).desc());
            Outcome::failure(format!("scontrol: error: {path} could not be written: {reason}\n"), 1)
        }
    }
}

async fn write_script(target: &JobTarget, name: &str, file: Option<String>) -> Outcome {
    let failed = |reason: &str| Outcome::failure(format!("job script retrieval failed: {reason}\n"), 0);
    let client = match Client::connect().await {
        Ok(client) => client,
        Err(error) => return failure("scontrol", "job script retrieval failed", &error),
    };
    let job = match find(&client, target).await {
        Ok(Some(job)) => job,
        Ok(None) => return failed(muster_model::request::RefusalCode::InvalidJobId.text()),
        Err(error) => return failed(&reason(&error)),
    };
    let Some(blob) = &job.spec.script else {
        return failed("Job has no batch script");
    };
    let script = match client.fetch_blob(blob, job.id).await {
        Ok(script) => script,
        Err(error) => return failed(&reason(&error)),
    };
    let path = file.unwrap_or_else(|| format!("slurm-{}.sh", job.id));
    if path == "-" {
        return Outcome::success(String::from_utf8_lossy(&script).into_owned());
    }
    match write_executable(&path, &script) {
        Ok(()) => Outcome::success(format!("batch script for job {name} written to {path}\n")),
        Err(error) => Outcome::failure(format!("scontrol: error: failed to open file `{path}`: {error}\n"), 1),
    }
}
