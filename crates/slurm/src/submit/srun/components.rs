//! The parts of an `srun` that starts one step in several components of a heterogeneous job: `srun -n1 a : -n4 b`,
//! `srun --het-group=0,2 a`.

use std::collections::BTreeSet;

use crate::options::parse::{self, Found, SEPARATOR};
use crate::options::{Command, Fault, Origin, SubmitOptions};
use crate::submit::surroundings::Surroundings;

/// What is to run in one component.
pub(super) struct Part<'a> {
    /// Its options.
    pub(super) line: Vec<Found>,
    /// Program and arguments.
    pub(super) command: &'a [String],
    /// The component; `None` where nothing speaks of components.
    pub(super) group: Option<u32>,
}

/// Splits a command line. One that says nothing of its program runs that of the next which does.
///
/// # Errors
/// Options that cannot be read, a component without a program, or one that is named twice.
pub(super) fn read<'a>(arguments: &'a [String], around: &Surroundings<'_>) -> Result<Vec<Part<'a>>, Fault> {
    let mut lines: Vec<(Vec<Found>, &[String])> = Vec::new();
    let mut rest = arguments;
    loop {
        let (found, used) = parse::split(Command::Srun, rest)?;
        let after = rest.get(used..).unwrap_or_default();
        let end = after.iter().position(|word| word == SEPARATOR);
        lines.push((found, &after[..end.unwrap_or(after.len())]));
        match end {
            Some(at) => rest = &after[at + 1..],
            None => break,
        }
    }
    let mut command: &[String] = &[];
    for line in lines.iter_mut().rev() {
        command = if line.1.is_empty() { command } else { line.1 };
        line.1 = command;
    }
    let named: Vec<Option<Vec<u32>>> =
        lines.iter().map(|(found, _)| groups(found, around)).collect::<Result<_, Fault>>()?;
    let any_named = named.iter().any(Option::is_some);
    let several = lines.len() > 1;
    let mut seen = BTreeSet::new();
    let mut parts = Vec::new();
    for ((at, (found, command)), groups) in (0..).zip(lines).zip(named) {
        let groups = match groups {
            Some(groups) => groups,
            None if any_named => vec![0],
            None => vec![at],
        };
        for group in groups {
            if !seen.insert(group) {
                return Err(Fault::fatal("Duplicate het groups in single srun not supported"));
            }
            let group = (several || any_named).then_some(group);
            parts.push(Part { line: found.clone(), command, group });
        }
    }
    Ok(parts)
}

/// The components that `--het-group` names.
fn groups(found: &[Found], around: &Surroundings<'_>) -> Result<Option<Vec<u32>>, Fault> {
    let own = found.iter().filter(|option| option.spec.alias_of.unwrap_or(option.spec.name) == "het-group");
    let own: Vec<Found> = own.cloned().collect();
    let mut options = SubmitOptions::default();
    parse::apply(Command::Srun, &own, Origin::CommandLine, &around.world, &mut options)?;
    Ok(options.step.het_groups)
}
