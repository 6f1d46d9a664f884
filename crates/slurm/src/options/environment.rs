//! Environment variables that stand for options: `SBATCH_*`, `SALLOC_*`, and `SLURM_*` for `srun`.

use std::collections::BTreeMap;

use super::spec::{Argument, Command, Fault, Input, OptionSpec, Origin, World};
use super::values::SubmitOptions;
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
    if spec.argument == Argument::None && !enables(value) {
        return Ok(());
    }
    let given = spec.argument == Argument::Required || (spec.argument == Argument::Optional && !value.is_empty());
    let value = if given { value } else { "" };
    spec.apply(options, &Input { command, name: spec.name, value, given, origin: Origin::Environment, world })
}

/// Whether a variable switches a flag on: empty, `yes`, or a number other than 0.
fn enables(value: &str) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case("yes") || numbers::leading_or_zero(value) != 0
}
