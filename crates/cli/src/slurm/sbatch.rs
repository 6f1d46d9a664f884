//! `sbatch`.

use std::ffi::OsString;
use std::process::ExitCode;

use muster_client::{Blobs, Client, ClientError};
use muster_model::ids::JobId;
use muster_model::request::Answer;
use muster_slurm::submit::CliExit;
use muster_slurm::submit::sbatch::{self, SbatchPlan};

use super::expectation;
use super::surroundings::Gathered;
use super::waiting::Patient;
use super::{ask, end};
use crate::runtime::block_on;

/// Runs `sbatch`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("sbatch", args);
    let plan = match sbatch::plan(&gathered.args, &gathered.surroundings()) {
        Ok(plan) => plan,
        Err(exit) => return end::print(&exit),
    };
    eprint!("{}", plan.stderr);
    match block_on(submit(plan)) {
        Ok(code) => code,
        Err(exit) => end::print(&exit),
    }
}

async fn submit(plan: SbatchPlan) -> Result<ExitCode, CliExit> {
    let failed = |error: &ClientError| match error {
        ClientError::Refused(refusal) => plan.refused(refusal, std::env::var("SLURM_EXIT_ERROR").ok().as_deref()),
        other => end::error("sbatch", &format!("Batch job submission failed: {}", ask::reason(other))),
    };
    let client = Client::connect().await.map_err(|error| failed(&error))?;
    let context = serde_json::to_vec(&plan.context).map_err(|error| end::error("sbatch", &error.to_string()))?;
    let blobs = Blobs { script: Some(plan.script.clone()), context: Some(context) };
    match client.submit(&plan.request(), blobs).await.map_err(|error| failed(&error))? {
        Answer::Submitted(job_id) => {
            print!("{}", plan.answer(job_id));
            if plan.wait { wait(&client, job_id).await } else { Ok(ExitCode::SUCCESS) }
        }
        Answer::Expected(expected) => {
            if !plan.quiet {
                eprintln!("{}", expectation::line("sbatch", &expected));
            }
            Ok(ExitCode::SUCCESS)
        }
        other => Err(end::error("sbatch", &format!("unexpected answer of the controller: {other:?}"))),
    }
}

/// Waits until the job, or every task of the array, has ended: its exit code, or 1 when a signal ended it.
async fn wait(client: &Client, job_id: JobId) -> Result<ExitCode, CliExit> {
    // The number is needed now by whoever reads our output.
    drop(std::io::Write::flush(&mut std::io::stdout()));
    let lost = |error: ClientError| end::error("sbatch", &format!("waiting for job {job_id}: {}", ask::reason(&error)));
    let mut news = Patient::listen(client, job_id, None).await.map_err(lost)?;
    let mut exit = muster_model::state::ExitStatus::SUCCESS;
    let mut cancelled = false;
    while let Some(piece) = news.next().await.map_err(lost)? {
        exit = piece.exit;
        let ended_badly = piece.job.state.is_final() && piece.job.state != muster_model::state::JobState::Completed;
        cancelled |= ended_badly && piece.job.exit.is_success();
        if piece.last {
            break;
        }
    }
    let code = if exit.signal > 0 || (cancelled && exit.code == 0) { 1 } else { exit.code };
    Ok(ExitCode::from(code))
}
