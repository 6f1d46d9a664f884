//! Points and lengths of time.

use muster_model::time::{Span, TimeLimit, Timestamp};

use super::affinity::keep;
use super::spec::Argument::{Optional, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, Line, OptionSpec, Section};
use crate::grammar::{numbers, time_point};

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("time", ALL, Required, |options, input| limit(input, &mut options.times.time))
        .short('t')
        .env(&[(Sbatch, "SBATCH_TIMELIMIT"), (Srun, "SLURM_TIMELIMIT"), (Salloc, "SALLOC_TIMELIMIT")])
        .help("minutes", "time limit (also M:S, H:M:S, D-H, D-H:M, D-H:M:S)"),
    OptionSpec::new("time-min", ALL, Required, |options, input| limit(input, &mut options.times.time_min))
        .help("minutes", "least time limit, where the job may be given less"),
    OptionSpec::new("begin", ALL, Required, |options, input| point(input, &mut options.times.begin))
        .short('b')
        .help("time", "not before this time"),
    OptionSpec::new("deadline", ALL, Required, |options, input| point(input, &mut options.times.deadline))
        .help("time", "remove the job if it cannot end before this time"),
    OptionSpec::new("immediate", Commands::SRUN_SALLOC, Optional, |options, input| {
        let seconds = match input.value {
            "" => 1,
            value => numbers::positive(value)
                .ok_or_else(|| Fault::error(1, format!("Invalid numeric value \"{value}\" for immediate.")))?,
        };
        // One second is what Slurm takes for "at once".
        options.times.immediate = Some(if seconds == 1 { Span::ZERO } else { Span::from_seconds(seconds.into()) });
        Ok(seconds.to_string())
    })
    .short('I')
    .env(&[(Srun, "SLURM_IMMEDIATE"), (Salloc, "SALLOC_IMMEDIATE")])
    .help("secs", "give up if resources are not free within this time"),
    OptionSpec::new("delay-boot", ALL, Required, |options, input| {
        let Some(limit) = TimeLimit::parse(input.value) else {
            return Err(input.invalid());
        };
        keep(options, input).map(|_| limit.to_string())
    })
    .env(&[(Sbatch, "SBATCH_DELAY_BOOT"), (Srun, "SLURM_DELAY_BOOT"), (Salloc, "SALLOC_DELAY_BOOT")])
    .help("mins", "wait before nodes are booted into other features")
    .section(Section::Run)
    .not_yet(),
];

/// A time limit. Nothing but zeros means no limit.
fn limit(input: &Input<'_>, slot: &mut Option<TimeLimit>) -> Result<String, Fault> {
    let limit = match TimeLimit::parse(input.value).ok_or_else(|| input.invalid())? {
        TimeLimit::Limited(Span::ZERO) => TimeLimit::Unlimited,
        limit => limit,
    };
    *slot = Some(limit);
    Ok(limit.to_string())
}

fn point(input: &Input<'_>, slot: &mut Option<Timestamp>) -> Result<String, Fault> {
    if input.value.is_empty() {
        return Err(input.invalid());
    }
    let time = time_point::parse(input.value, input.world.now, &input.world.zone).map_err(|wrong| {
        let line = format!("Invalid time specification (pos={}): {}", wrong.0, input.value);
        input.invalid().after(Line::Plain(line))
    })?;
    *slot = Some(time);
    let shown = jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Ok(shown.to_zoned(input.world.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string())
}
