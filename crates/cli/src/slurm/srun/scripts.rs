//! What runs here, beside `srun`, before its tasks start and after they have ended (`--prolog`, `--epilog`, `SrunProlog`, `SrunEpilog`).

use std::process::Command;

/// Runs `program` with the command of the step as its arguments, and waits for it. How it ends changes nothing, as in real `srun`.
pub(super) fn run(program: Option<&str>, context: &str, environment: &[String], job: u32, command: &[String]) {
    let Some(program) = program.filter(|program| !program.eq_ignore_ascii_case("none")) else {
        return;
    };
    let variables = environment.iter().filter_map(|line| line.split_once('='));
    let ended = Command::new(program)
        .args(command)
        .env_clear()
        .envs(variables)
        .env("SLURM_JOB_ID", job.to_string())
        .env("SLURM_JOBID", job.to_string())
        .env("SLURM_SCRIPT_CONTEXT", context)
        .status();
    if let Err(error) = ended {
        eprintln!("srun: error: cannot run {program}: {error}");
    }
}
