//! What the command itself does: talk, wait, answer.

use super::spec::Argument::{None as NoValue, Optional, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, Line, OptionSpec, Origin, Section};
use super::values::SubmitOptions;
use super::{VERSION_LINE, help};
use crate::grammar::signal;

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("verbose", ALL, NoValue, |options, input| {
        // A script cannot change how its own reading is talked about.
        if input.origin != Origin::Script {
            options.client.verbose = options.client.verbose.saturating_add(1);
        }
        Ok(options.client.verbose.to_string())
    })
    .short('v')
    .env(&[(Sbatch, "SBATCH_DEBUG"), (Srun, "SLURM_DEBUG"), (Salloc, "SALLOC_DEBUG")])
    .help("", "say more; several times for still more"),
    OptionSpec::new("quiet", ALL, NoValue, |options, input| {
        if input.origin != Origin::Script {
            options.client.quiet = true;
        }
        Ok("set".to_owned())
    })
    .short('Q')
    .help("", "say less"),
    OptionSpec::flag("parsable", Commands::SBATCH, |options| options.client.parsable = true)
        .help("", "print only the number of the job, with -M also the cluster behind a semicolon"),
    OptionSpec::new("test-only", Commands::SBATCH_SRUN, NoValue, |options, _| {
        options.client.test_only = true;
        Ok("set".to_owned())
    })
    .help("", "say when and where it would start, without submitting"),
    OptionSpec::flag("wait", Commands::SBATCH, |options| options.client.wait = true)
        .short('W')
        .env(&[(Sbatch, "SBATCH_WAIT")])
        .help("", "wait until the job has ended, and end as it did"),
    OptionSpec::new("wrap", Commands::SBATCH, Required, |options, input| {
        if input.origin != Origin::Script {
            options.client.wrap = Some(input.value.to_owned());
        }
        Ok(input.value.to_owned())
    })
    .help("command", "run this command line instead of a script"),
    OptionSpec::flag("ignore-pbs", Commands::SBATCH, |options| options.client.ignore_pbs = true)
        .env(&[(Sbatch, "SBATCH_IGNORE_PBS")])
        .help("", "pass over #PBS and #BSUB lines in silence"),
    OptionSpec::flag("bell", Commands::SALLOC, |options| options.client.bell = Some(true))
        .env(&[(Salloc, "SALLOC_BELL")])
        .help("", "ring the bell when the allocation is there"),
    OptionSpec::flag("no-bell", Commands::SALLOC, |options| options.client.bell = Some(false))
        .env(&[(Salloc, "SALLOC_NO_BELL")])
        .help("", "never ring the bell"),
    OptionSpec::flag("no-shell", Commands::SALLOC, |options| options.client.no_shell = true)
        .help("", "get the allocation and end at once, leaving it"),
    OptionSpec::new("kill-command", Commands::SALLOC, Optional, |options, input| {
        let signal = match input.given {
            true => signal::parse(input.value).ok_or_else(|| input.invalid())?,
            false => 15,
        };
        options.client.kill_command = Some(signal);
        Ok(signal.to_string())
    })
    .short('K')
    .env(&[(Salloc, "SALLOC_KILL_CMD")])
    .help("signal", "end the command when the allocation ends"),
    OptionSpec::new("help", ALL, NoValue, |_, input| answer(input, || help::help(input.command)))
        .short('h')
        .help("", "this text")
        .section(Section::Help),
    OptionSpec::new("usage", ALL, NoValue, |_, input| answer(input, || help::usage(input.command)))
        .sorted_as("uz")
        .help("", "a short text")
        .section(Section::Help),
    OptionSpec::new("version", ALL, NoValue, |_, input| answer(input, || VERSION_LINE.to_owned()))
        .short('V')
        .help("", "the version")
        .section(Section::Other),
];

/// Prints a text and ends the command; passed over in a script.
fn answer(input: &Input<'_>, text: impl Fn() -> String) -> Result<String, Fault> {
    match input.origin {
        Origin::Script => Ok(String::new()),
        _ => Err(Fault::answer(0, text())),
    }
}

/// `-v` and `-Q` together make no sense; exit 1.
///
/// # Errors
/// Where both were given.
pub fn check_talk(options: &SubmitOptions) -> Result<(), Fault> {
    if options.client.quiet && options.client.verbose > 0 {
        let line = Line::Error("don't specify both --verbose (-v) and --quiet (-Q)".to_owned());
        return Err(Fault { stdout: String::new(), lines: vec![line], code: 1 });
    }
    Ok(())
}
