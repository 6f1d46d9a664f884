//! What the queue is told about a job.

use super::spec::Argument::{None as NoValue, Optional, Required};
use super::spec::Command::{self, Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, OptionSpec};
use crate::grammar::{numbers, signal};

const ALL: Commands = Commands::ALL;

/// Greatest distance of `--nice` from 0, Slurm's limit.
const NICE_MAX: i64 = 2_147_483_645;

/// What `--nice` without a value stands for.
const NICE_DEFAULT: i32 = 100;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("array", Commands::SBATCH, Required, |options, input| {
        options.queue.array = (!input.value.is_empty()).then(|| input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .short('a')
    .env(&[(Sbatch, "SBATCH_ARRAY_INX")])
    .help("indexes", "many jobs like this one, one for each index (0-9, 1,3,5, 0-15:4, %N at once)"),
    OptionSpec::new("dependency", ALL, Required, |options, input| {
        options.queue.dependency = (!input.value.is_empty()).then(|| input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .short('d')
    .env(&[(Sbatch, "SBATCH_DEPENDENCY"), (Srun, "SLURM_DEPENDENCY"), (Salloc, "SALLOC_DEPENDENCY")])
    .help("type:jobid[+time]", "wait for other jobs (after, afterany, afterok, afternotok, aftercorr, singleton)"),
    OptionSpec::flag("hold", ALL, |options| options.queue.hold = true)
        .short('H')
        .env(&[(Sbatch, "SBATCH_HOLD"), (Srun, "SLURM_HOLD"), (Salloc, "SALLOC_HOLD")])
        .help("", "submit the job held"),
    OptionSpec::new("requeue", Commands::SBATCH, NoValue, |options, _| {
        options.queue.requeue = Some(true);
        Ok("requeue".to_owned())
    })
    .env(&[(Sbatch, "SBATCH_REQUEUE")])
    .help("", "the job may be put back into the queue"),
    OptionSpec::new("no-requeue", Commands::SBATCH, NoValue, |options, _| {
        options.queue.requeue = Some(false);
        Ok("no-requeue".to_owned())
    })
    .env(&[(Sbatch, "SBATCH_NO_REQUEUE")])
    .help("", "the job must not be put back into the queue"),
    OptionSpec::new("nice", ALL, Optional, |options, input| {
        let nice = match input.given {
            false => NICE_DEFAULT,
            true => {
                let value = numbers::leading_or_zero(input.value);
                let out_of_range = || Fault::error(255, format!("Invalid --nice value, out of range (+/- {NICE_MAX})"));
                i32::try_from(value).ok().filter(|_| value.abs() <= NICE_MAX).ok_or_else(out_of_range)?
            }
        };
        options.queue.nice = Some(nice);
        Ok(nice.to_string())
    })
    .help("value", "lower the priority by this"),
    OptionSpec::new("priority", ALL, Required, |options, input| {
        let value = match input.value.eq_ignore_ascii_case("top") {
            true => u32::MAX - 2,
            false => {
                let value = numbers::leading_or_zero(input.value);
                if value < 0 {
                    return Err(Fault::error(255, "Priority must be >= 0".to_owned()));
                }
                let most = u32::MAX - 1;
                let too_large = || Fault::error(255, format!("Priority must be < {most}"));
                u32::try_from(value).ok().filter(|value| *value < most).ok_or_else(too_large)?
            }
        };
        options.queue.priority = Some(value);
        Ok(value.to_string())
    })
    .help("value", "the priority itself (operators only)"),
    OptionSpec::new("no-kill", ALL, Optional, |options, input| {
        let keep = match input.value.to_ascii_lowercase().as_str() {
            "" | "set" => true,
            "off" | "no" => false,
            _ => return Err(input.invalid()),
        };
        options.queue.no_kill = Some(keep);
        Ok(if keep { "set" } else { "unset" }.to_owned())
    })
    .short('k')
    .env(&[(Sbatch, "SBATCH_NO_KILL"), (Srun, "SLURM_NO_KILL"), (Salloc, "SALLOC_NO_KILL")])
    .help("off", "go on when a node fails"),
    OptionSpec::new("kill-on-invalid-dep", Commands::SBATCH, Required, |options, input| {
        let kill = match input.value.to_ascii_lowercase().as_str() {
            "yes" => true,
            "no" => false,
            _ => return Err(input.invalid()),
        };
        options.queue.kill_on_invalid_dep = Some(kill);
        Ok(input.value.to_ascii_lowercase())
    })
    .help("yes|no", "end the job when a dependency can never be satisfied"),
    OptionSpec::new("signal", ALL, Required, |options, input| {
        let early =
            signal::parse_early(input.value, input.command == Command::Sbatch).ok_or_else(|| input.invalid())?;
        options.queue.signal = Some(early);
        Ok(signal::print_early(&early))
    })
    .env(&[(Sbatch, "SBATCH_SIGNAL"), (Srun, "SLURM_SIGNAL"), (Salloc, "SALLOC_SIGNAL")])
    .help("[B:]SIG[@secs]", "send a signal so long before the time limit"),
];
