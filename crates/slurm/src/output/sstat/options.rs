//! The command line of `sstat`.

use muster_model::ids::StepId;
use muster_model::request::JobTarget;

use super::super::context::Outcome;
use super::super::getopt::{self, Item, Opt, Value, opt};
use super::super::sacct::format::Style;
use super::super::{VERSION_LINE, ids};
use super::format::{DEFAULT, Format, PIDS, help_format};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    AllSteps,
    HelpFormat,
    Help,
    PidFormat,
    Jobs,
    NoHeader,
    NoConvert,
    Format,
    Parsable,
    Parsable2,
    Usage,
    Verbose,
    Version,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::AllSteps, 'a', "allsteps", Value::None),
    opt(Key::HelpFormat, 'e', "helpformat", Value::None),
    opt(Key::Help, 'h', "help", Value::None),
    opt(Key::PidFormat, 'i', "pidformat", Value::None),
    opt(Key::Jobs, 'j', "jobs", Value::Needed),
    opt(Key::NoHeader, 'n', "noheader", Value::None),
    opt(Key::NoConvert, '\0', "noconvert", Value::None),
    opt(Key::Format, 'o', "format", Value::Needed),
    opt(Key::Format, '\0', "fields", Value::Needed),
    opt(Key::Parsable, 'p', "parsable", Value::None),
    opt(Key::Parsable2, 'P', "parsable2", Value::None),
    opt(Key::Usage, '\0', "usage", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
];

const USAGE: &str = "Usage: sstat [options] -j <job(.stepid)>\n\tUse --help for help\n";

/// What is asked for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) targets: Vec<JobTarget>,
    pub(super) all_steps: bool,
    pub(super) by_node: bool,
    pub(super) header: bool,
    pub(super) convert: bool,
    pub(super) style: Style,
    pub(super) format: Format,
}

/// Reads the command line.
///
/// # Errors
/// What to print instead.
pub(super) fn read(args: &[String]) -> Result<Options, Outcome> {
    let parsed = getopt::parse(args, OPTIONS);
    let (mut jobs, mut format, mut style) = (Vec::new(), None, Style::Table);
    let (mut all_steps, mut by_node, mut header, mut convert) = (false, false, true, true);
    for item in parsed.items {
        let (key, value) = match item {
            Item::Error(text) => return Err(Outcome::failure(format!("sstat: {text}\n"), 1)),
            Item::Option(key, value) => (key, value.unwrap_or_default()),
        };
        match key {
            Key::AllSteps => all_steps = true,
            Key::PidFormat => by_node = true,
            Key::Jobs => jobs.push(value),
            Key::NoHeader => header = false,
            Key::NoConvert => convert = false,
            Key::Format => format = Some(value),
            Key::Parsable => style = Style::Ended("|".to_owned()),
            Key::Parsable2 => style = Style::Separated("|".to_owned()),
            Key::Verbose => {}
            Key::HelpFormat => return Err(Outcome::success(help_format())),
            Key::Help => return Err(Outcome::success(include_str!("help.txt"))),
            Key::Usage => return Err(Outcome::success(USAGE)),
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
        }
    }
    // Of further words only the first counts, as in Slurm.
    jobs.extend(parsed.rest.into_iter().next());
    let targets = targets(&jobs)?;
    if targets.is_empty() {
        return Err(Outcome::failure("sstat: error: You didn't give me any jobs to stat.\n", 1));
    }
    let wanted = if by_node { PIDS } else { format.as_deref().unwrap_or(DEFAULT) };
    let format = Format::read(wanted)
        .map_err(|name| Outcome::failure(format!("sstat: error: Invalid field requested: \"{name}\"\n"), 1))?;
    Ok(Options { targets, all_steps, by_node, header, convert, style, format })
}

fn targets(lists: &[String]) -> Result<Vec<JobTarget>, Outcome> {
    let parts = lists.iter().flat_map(|list| ids::split(list));
    parts
        .map(|part| {
            target(part).ok_or_else(|| Outcome::failure(format!("sstat: fatal: Bad job/step specified: {part}\n"), 1))
        })
        .collect()
}

/// What follows the number of a step is passed over, as in Slurm.
fn target(text: &str) -> Option<JobTarget> {
    if let Some(target) = ids::target(text) {
        return Some(target);
    }
    let (job, step) = text.split_once('.')?;
    let digits: String = step.chars().take_while(char::is_ascii_digit).collect();
    let step = StepId::Number(digits.parse().ok()?);
    Some(JobTarget { step: Some(step), ..ids::target(job)? })
}
