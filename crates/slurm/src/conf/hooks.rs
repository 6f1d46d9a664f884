//! Prologs and epilogs: `slurm.conf(5)`.

use muster_model::hooks::{HookConfig, NodeHooks};
use muster_model::ids::Name;
use muster_model::time::Span;

use super::ConfError;
use super::lines::Line;

/// `UnkillableStepTimeout` where nothing is said, in seconds.
const UNKILLABLE_DEFAULT_S: u16 = 60;

/// `PrologEpilogTimeout` of a site that sets none: for ever.
const NO_TIMEOUT: u16 = 65_534;

/// The programs that run around jobs. `scheduler` says whether a word stands in `SchedulerParameters`.
///
/// # Errors
/// A program that is not an absolute path; a timeout that is no number.
pub(super) fn read<'a>(
    find: &impl Fn(&str) -> Option<(&'a Line, &'a str)>,
    scheduler: impl Fn(&str) -> bool,
) -> Result<HookConfig, ConfError> {
    let program = |key: &str| match find(key) {
        Some((line, path)) if !path.starts_with('/') => {
            Err(line.error(format!("{key} value \"{path}\" is not an absolute path")))
        }
        found => Ok(found.map(|(_, path)| -> Name { path.into() })),
    };
    Ok(HookConfig {
        node: NodeHooks {
            prolog: program("Prolog")?,
            epilog: program("Epilog")?,
            task_prolog: program("TaskProlog")?,
            task_epilog: program("TaskEpilog")?,
            timeout: timeout(find)?,
            unkillable: program("UnkillableStepProgram")?,
            unkillable_after: unkillable_after(find)?,
        },
        controller_prolog: program("PrologSlurmctld")?,
        controller_epilog: program("EpilogSlurmctld")?,
        requeue_unheld: scheduler("nohold_on_prolog_fail"),
    })
}

fn timeout<'a>(find: &impl Fn(&str) -> Option<(&'a Line, &'a str)>) -> Result<Option<Span>, ConfError> {
    let Some((line, text)) = find("PrologEpilogTimeout") else {
        return Ok(None);
    };
    let bad = |_| line.error(format!("PrologEpilogTimeout value \"{text}\" is not a valid number"));
    let seconds: u16 = text.parse().map_err(bad)?;
    Ok((seconds < NO_TIMEOUT).then(|| Span::from_seconds(seconds.into())))
}

/// `UnkillableStepTimeout`, where it is not what nodes take by themselves.
fn unkillable_after<'a>(find: &impl Fn(&str) -> Option<(&'a Line, &'a str)>) -> Result<Option<Span>, ConfError> {
    let Some((line, text)) = find("UnkillableStepTimeout") else {
        return Ok(None);
    };
    let bad = |_| line.error(format!("UnkillableStepTimeout value \"{text}\" is not a valid number"));
    let seconds: u16 = text.parse().map_err(bad)?;
    Ok((seconds != UNKILLABLE_DEFAULT_S).then(|| Span::from_seconds(seconds.into())))
}
