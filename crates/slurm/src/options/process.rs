//! What the processes get: environment, limits, and things around them.

use super::affinity::keep;
use super::placement::keep_flag;
use super::spec::Argument::{None as NoValue, Optional, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, Line, OptionSpec};
use super::values::SubmitOptions;
use crate::conf::is_frequency;
use crate::grammar::rlimits;

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("export", Commands::SBATCH, Optional, |options, input| {
        let value = if input.given { input.value } else { "ALL" };
        options.process.export = Some(value.to_owned());
        Ok(value.to_owned())
    })
    .env(&[(Sbatch, "SBATCH_EXPORT")])
    .help("names", "variables of the environment that go along (ALL, NONE, A,B=2)"),
    OptionSpec::new("export", Commands::SRUN, Required, |options, input| {
        options.process.export = Some(input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .env(&[(Srun, "SLURM_EXPORT_ENV"), (Srun, "SRUN_EXPORT_ENV")])
    .help("names", "variables of the environment that go along (ALL, NONE, A,B=2)"),
    OptionSpec::new("export-file", Commands::SBATCH, Required, |options, input| {
        options.process.export_file = Some(input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .help("file|fd", "a file with the environment (NAME=value, ended by a NUL byte each)"),
    OptionSpec::new("get-user-env", Commands::SBATCH_SALLOC, Optional, |options, input| {
        // Seconds to wait and S or L for the kind of shell; both have sensible defaults.
        let fits = input.value.trim_start_matches(|c: char| c.is_ascii_digit());
        if !matches!(fits.to_ascii_uppercase().as_str(), "" | "S" | "L") {
            return Err(input.invalid());
        }
        options.process.get_user_env = Some(input.value.to_owned());
        Ok(if input.value.is_empty() { "0".to_owned() } else { input.value.to_owned() })
    })
    .env(&[(Sbatch, "SBATCH_GET_USER_ENV")])
    .help("", "load the environment of the user's login"),
    OptionSpec::new("propagate", Commands::SBATCH_SRUN, Optional, propagate)
        .env(&[(Sbatch, "SBATCH_PROPAGATE"), (Srun, "SLURM_PROPAGATE")])
        .help("limits", "resource limits that go along (ALL, NONE, names)"),
    OptionSpec::new("profile", ALL, Required, |options, input| {
        let shown = profile(input.value)
            .ok_or_else(|| Fault::error(255, format!("invalid --profile={} option", input.value)))?;
        options.others.insert("profile", shown.clone());
        Ok(shown)
    })
    .env(&[(Sbatch, "SBATCH_PROFILE"), (Srun, "SLURM_PROFILE"), (Salloc, "SALLOC_PROFILE")])
    .help("value", "detailed measurements (all, none, energy, lustre, network, task)")
    .not_yet(),
    OptionSpec::new("acctg-freq", ALL, Required, |options, input| {
        if !is_frequency(input.value) {
            return Err(Fault::error(255, format!("Invalid --acctg-freq specification: {}", input.value)));
        }
        keep(options, input)
    })
    .env(&[(Sbatch, "SBATCH_ACCTG_FREQ"), (Srun, "SLURM_ACCTG_FREQ"), (Salloc, "SALLOC_ACCTG_FREQ")])
    .help("type=secs", "how often to measure"),
    OptionSpec::new("bb", ALL, Required, keep)
        .env(&[(Sbatch, "SBATCH_BURST_BUFFER"), (Srun, "SLURM_BURST_BUFFER"), (Salloc, "SALLOC_BURST_BUFFER")])
        .sorted_as("bf")
        .help("spec", "burst buffer")
        .not_yet(),
    OptionSpec::new("bbf", ALL, Required, |options, input| {
        if input.command != Sbatch && !options.not_yet.contains(&input.name) {
            options.not_yet.push(input.name);
        }
        keep(options, input)
    })
    .sorted_as("bfa")
    .help("file", "file with burst buffers; its lines come behind the first of a batch script"),
    OptionSpec::new("container", ALL, Required, keep)
        .env(&[(Sbatch, "SBATCH_CONTAINER"), (Srun, "SRUN_CONTAINER"), (Salloc, "SALLOC_CONTAINER")])
        .help("path", "OCI bundle in which to run"),
    OptionSpec::new("network", ALL, Required, keep)
        .env(&[(Sbatch, "SBATCH_NETWORK"), (Srun, "SLURM_NETWORK"), (Salloc, "SALLOC_NETWORK")])
        .help("type", "network")
        .not_yet(),
    OptionSpec::new("reboot", ALL, NoValue, keep_flag).help("", "boot the nodes before the job").not_yet(),
    OptionSpec::new("wait-all-nodes", Commands::SBATCH_SALLOC, Required, |_, input| match input.value {
        // A job here starts only when all its nodes are ready.
        value @ ("0" | "1") => Ok(value.to_owned()),
        _ => Err(input.invalid()),
    })
    .env(&[(Sbatch, "SBATCH_WAIT_ALL_NODES"), (Salloc, "SALLOC_WAIT_ALL_NODES")])
    .help("0|1", "wait until all nodes are ready")
    .moot(),
];

fn propagate(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let value = if input.given { input.value } else { "ALL" };
    let limits = rlimits::parse(value).map_err(|name| {
        Fault::error(1, format!("--propagate={value} is not valid."))
            .after(Line::Error(format!("Bad rlimit name: {name}")))
    })?;
    options.process.propagate = Some(limits);
    Ok(value.to_owned())
}

fn profile(value: &str) -> Option<String> {
    const KINDS: &[&str] = &["Energy", "Lustre", "Network", "Task"];
    match value.to_ascii_lowercase().as_str() {
        "none" => return Some("None".to_owned()),
        "all" => return Some(KINDS.join(",")),
        _ => {}
    }
    let words: Vec<&str> = value.split(',').collect();
    let known = |word: &&str| KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(word));
    if !words.iter().all(known) {
        return None;
    }
    let chosen = KINDS.iter().filter(|kind| words.iter().any(|word| kind.eq_ignore_ascii_case(word)));
    Some(chosen.copied().collect::<Vec<_>>().join(","))
}
