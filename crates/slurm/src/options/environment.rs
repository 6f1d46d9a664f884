//! Environment variables that stand for options: `SBATCH_*`, `SALLOC_*`, and `SLURM_*` for `srun`.

use std::collections::BTreeMap;

use super::spec::{Argument, Command, Fault, Input, OptionSpec, Origin, World};
use super::values::{Given, SubmitOptions};
use crate::grammar::numbers;

/// Puts the options that `environment` holds for `command` into `options`.
///
/// Within an allocation (`SLURM_JOB_ID` is set) `srun` passes over the name of the job: a step has its own.
///
/// # Errors
/// The first complaint of an option, as for the command line.
pub fn apply(
    command: Command,
    environment: &BTreeMap<String, String>,
    world: &World<'_>,
    options: &mut SubmitOptions,
) -> Result<(), Fault> {
    let within_job = command == Command::Srun && environment.contains_key("SLURM_JOB_ID");
    for spec in super::of(command) {
        for (_, variable) in spec.environment.iter().filter(|(whose, _)| *whose == command) {
            if within_job && *variable == "SLURM_JOB_NAME" {
                continue;
            }
            if let Some(value) = environment.get(*variable) {
                apply_one(command, spec, value, world, options)?;
            }
        }
    }
    Ok(())
}

fn apply_one(
    command: Command,
    spec: &'static OptionSpec,
    value: &str,
    world: &World<'_>,
    options: &mut SubmitOptions,
) -> Result<(), Fault> {
    if spec.name == "verbose" {
        return say_more(spec, value, options);
    }
    if spec.argument == Argument::None && !enables(value) {
        return Ok(());
    }
    let given = spec.argument == Argument::Required || (spec.argument == Argument::Optional && !value.is_empty());
    let value = if given { value } else { "" };
    spec.apply(options, &Input { command, name: spec.name, value, given, origin: Origin::Environment, world })
}

/// The variable says how much is told; the command line adds to it.
fn say_more(spec: &OptionSpec, value: &str, options: &mut SubmitOptions) -> Result<(), Fault> {
    let count: u32 = value
        .parse()
        .map_err(|_| Fault::error(1, format!("Invalid numeric value \"{value}\" for --{}.", spec.name)))?;
    options.client.verbose = count;
    if count > 0 {
        options.given.insert(spec.name, Given { origin: Origin::Environment, shown: count.to_string() });
    }
    Ok(())
}

/// Whether a variable switches a flag on: empty, `yes`, or a number other than 0.
pub(crate) fn enables(value: &str) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case("yes") || numbers::leading_or_zero(value) != 0
}
