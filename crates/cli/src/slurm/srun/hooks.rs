//! What srun runs where it was called: `SrunProlog` and `SrunEpilog` of the site, or `--prolog` and `--epilog`.
//!
//! As in Slurm they get the words of the step's command, write where srun writes, and change nothing by failing.

use std::path::Path;

use muster_model::ids::JobId;
use muster_slurm::submit::srun::Hook;
use tokio::process::Command;

/// Runs one to its end, if there is one. `context` is what `SLURM_SCRIPT_CONTEXT` says.
pub(super) async fn run(hook: &Hook, of_site: Option<&str>, words: &[String], job_id: JobId, context: &str) {
    let program = match hook {
        Hook::OfSite => of_site,
        Hook::Own(own) => own.as_deref(),
    };
    let Some(program) = program.map(Path::new) else {
        return;
    };
    let mut command = Command::new(program);
    command.args(words).env("SLURM_SCRIPT_CONTEXT", context);
    command.env("SLURM_JOB_ID", job_id.to_string()).env("SLURM_JOBID", job_id.to_string());
    if let Err(error) = command.status().await {
        eprintln!("srun: error: can't run {}: {error}", program.display());
    }
}
