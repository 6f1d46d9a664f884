//! Files and directory of the processes.

use muster_model::job::OpenMode;

use super::spec::Argument::Required;
use super::spec::Command::{Sbatch, Srun};
use super::spec::{Commands, Fault, Input, OptionSpec};

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("chdir", Commands::ALL, Required, |options, input| {
        let path = absolute(input.world.work_dir, input.value);
        options.files.chdir = Some(path.clone());
        Ok(path)
    })
    .short('D')
    .env(&[(Srun, "SLURM_REMOTE_CWD"), (Srun, "SLURM_WORKING_DIR")])
    .help("path", "directory in which the processes start"),
    OptionSpec::new("input", Commands::SBATCH_SRUN, Required, |options, input| file(input, &mut options.files.input))
        .short('i')
        .env(&[(Sbatch, "SBATCH_INPUT"), (Srun, "SLURM_STDINMODE")])
        .help("file", "standard input"),
    OptionSpec::new("output", Commands::SBATCH_SRUN, Required, |options, input| file(input, &mut options.files.output))
        .short('o')
        .env(&[(Sbatch, "SBATCH_OUTPUT"), (Srun, "SLURM_STDOUTMODE")])
        .help("file", "standard output (%j, %x, %A, %a, %t, %N, ... stand for numbers and names)"),
    OptionSpec::new("error", Commands::SBATCH_SRUN, Required, |options, input| file(input, &mut options.files.error))
        .short('e')
        .env(&[(Sbatch, "SBATCH_ERROR"), (Srun, "SLURM_STDERRMODE")])
        .help("file", "standard error"),
    OptionSpec::new("open-mode", Commands::SBATCH_SRUN, Required, |options, input| {
        let (mode, shown) = match input.value.chars().next() {
            Some('a' | 'A') => (OpenMode::Append, "a"),
            Some('t' | 'T') => (OpenMode::Truncate, "t"),
            _ => return Err(input.invalid()),
        };
        options.files.open_mode = Some(mode);
        Ok(shown.to_owned())
    })
    .env(&[(Sbatch, "SBATCH_OPEN_MODE"), (Srun, "SLURM_OPEN_MODE")])
    .help("append|truncate", "continue output files or empty them"),
];

/// `none` is the null device for every command.
fn file(input: &Input<'_>, slot: &mut Option<String>) -> Result<String, Fault> {
    let value = if input.value.eq_ignore_ascii_case("none") { "/dev/null" } else { input.value };
    *slot = Some(value.to_owned());
    Ok(value.to_owned())
}

/// `path` seen from `directory`.
pub fn absolute(directory: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", directory.trim_end_matches('/')) }
}
