//! Command lines, read as `getopt_long` of the C library reads them, with its messages.
//!
//! Reading stops at the first word that is no option (`sbatch -N2 script -N3`: `-N3` is for the script) or after
//! `--`. Long names may be cut to any unique beginning.

use super::spec::{Argument, Command, Fault, Input, Line, OptionSpec, Origin, World};
use super::values::SubmitOptions;

/// An option with its value, found on a command line.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entry.
    pub spec: &'static OptionSpec,
    /// Its value, if one was given.
    pub value: Option<String>,
}

/// The options at the front of `arguments`, and how many words they took.
///
/// # Errors
/// The message of `getopt_long` with the hint to `--help`; exit 255. What was found before it is lost.
pub fn split(command: Command, arguments: &[String]) -> Result<(Vec<Found>, usize), Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(word) = arguments.get(at) {
        if word == "--" {
            return Ok((found, at + 1));
        }
        if let Some(long) = word.strip_prefix("--") {
            at += 1;
            found.push(long_option(command, long, arguments, &mut at)?);
        } else if word.len() > 1 && word.starts_with('-') {
            at += 1;
            short_options(command, &word[1..], arguments, &mut at, &mut found)?;
        } else {
            break;
        }
    }
    Ok((found, at))
}

/// What stands between the components of a heterogeneous job.
pub const SEPARATOR: &str = ":";

/// The options of each component at the front of `arguments`, and how many words they took: one component where there is no
/// separator.
///
/// # Errors
/// As [`split`].
pub fn split_components(command: Command, arguments: &[String]) -> Result<(Vec<Vec<Found>>, usize), Fault> {
    let mut components = Vec::new();
    let mut at = 0;
    loop {
        let (found, used) = split(command, arguments.get(at..).unwrap_or_default())?;
        components.push(found);
        at += used;
        if arguments.get(at).is_none_or(|word| word != SEPARATOR) {
            return Ok((components, at));
        }
        at += 1;
    }
}

fn getopt_fault(command: Command, text: &str) -> Fault {
    let hint = Line::Plain(format!("Try \"{} --help\" for more information", command.name()));
    Fault { stdout: String::new(), lines: vec![Line::Info(text.to_owned()), hint], code: 255 }
}

fn long_option(command: Command, long: &str, arguments: &[String], at: &mut usize) -> Result<Found, Fault> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let spec = find_long(command, name, long)?;
    let value = match (spec.argument, value) {
        (Argument::None, Some(_)) => {
            return Err(getopt_fault(command, &format!("option '--{}' doesn't allow an argument", spec.name)));
        }
        (Argument::Required, None) => {
            let next = arguments.get(*at).cloned();
            let missing = || getopt_fault(command, &format!("option '--{}' requires an argument", spec.name));
            *at += 1;
            Some(next.ok_or_else(missing)?)
        }
        (_, value) => value,
    };
    Ok(Found { spec, value })
}

fn find_long(command: Command, name: &str, written: &str) -> Result<&'static OptionSpec, Fault> {
    if let Some(exact) = super::of(command).find(|spec| spec.name == name) {
        return Ok(exact);
    }
    let candidates: Vec<_> =
        super::of(command).filter(|spec| spec.abbreviates && spec.name.starts_with(name)).collect();
    match candidates.as_slice() {
        [] => Err(getopt_fault(command, &format!("unrecognized option '--{written}'"))),
        [only] => Ok(only),
        several => {
            let names: String = several.iter().map(|spec| format!(" '--{}'", spec.name)).collect();
            Err(getopt_fault(command, &format!("option '--{written}' is ambiguous; possibilities:{names}")))
        }
    }
}

fn short_options(
    command: Command,
    letters: &str,
    arguments: &[String],
    at: &mut usize,
    found: &mut Vec<Found>,
) -> Result<(), Fault> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let Some(spec) = super::of(command).find(|spec| spec.short == Some(letter)) else {
            return Err(getopt_fault(command, &format!("invalid option -- '{letter}'")));
        };
        let glued = (!rest.is_empty()).then(|| rest.to_owned());
        let value = match spec.argument {
            Argument::None => None,
            Argument::Optional => glued,
            Argument::Required => match glued {
                Some(glued) => Some(glued),
                None => {
                    let next = arguments.get(*at).cloned();
                    *at += 1;
                    let missing = || getopt_fault(command, &format!("option requires an argument -- '{letter}'"));
                    Some(next.ok_or_else(missing)?)
                }
            },
        };
        let takes_rest = spec.argument != Argument::None;
        found.push(Found { spec, value });
        if takes_rest {
            break;
        }
    }
    Ok(())
}

/// Puts what was found into `options`.
///
/// # Errors
/// The first complaint or answer of an option.
pub fn apply(
    command: Command,
    found: &[Found],
    origin: Origin,
    world: &World<'_>,
    options: &mut SubmitOptions,
) -> Result<(), Fault> {
    for Found { spec, value } in found {
        let input = Input {
            command,
            name: spec.alias_of.unwrap_or(spec.name),
            value: value.as_deref().unwrap_or_default(),
            given: value.is_some(),
            origin,
            world,
        };
        spec.apply(options, &input)?;
    }
    Ok(())
}
