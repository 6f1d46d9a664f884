//! `--distribution=arbitrary`: one task for each name of a list of nodes, in its order. `SLURM_HOSTFILE` names a file with
//! such a list, and asks for this distribution by itself.

use muster_model::hostlist;

use super::resolve::{Counts, Problem};
use super::surroundings::{ReadError, Surroundings};
use crate::grammar::distribution::Nodes;
use crate::options::{Fault, Line, SubmitOptions};

/// Reads the file that `SLURM_HOSTFILE` names, where no list is given. `srun` only.
///
/// # Errors
/// In Slurm's words: it cannot be read, or has too few names.
pub(super) fn read_hostfile(options: &mut SubmitOptions, around: &Surroundings<'_>) -> Result<(), Problem> {
    let Some(path) = around.variable("SLURM_HOSTFILE").filter(|path| !path.is_empty()) else { return Ok(()) };
    if options.placement.nodelist.is_some() {
        return Ok(());
    }
    let failed = |why: String| {
        Problem::from(Fault::error(1, why).after(Line::Error("Failure getting NodeNames from hostfile".to_owned())))
    };
    let opening = |why: &str| failed(format!("slurm_allocate_resources error opening file {path}, {why}"));
    let text = match around.world.host.read(path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(ReadError::Missing) => return Err(opening("No such file or directory")),
        Err(ReadError::Directory) => return Err(opening("Is a directory")),
        Err(ReadError::Other(why)) => return Err(opening(&why)),
    };
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut names = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        names.extend(entry(line).ok_or_else(|| failed(format!("Invalid node names in {path}: {line}")))?);
    }
    // What an allocation around says of its tasks says nothing of this list.
    let written = options.resources.ntasks.filter(|_| options.has_written("ntasks"));
    let wanted = written.map_or(names.len(), |tasks| tasks as usize);
    if names.len() < wanted || names.is_empty() {
        return Err(failed("Too few NodeNames in Slurm Hostfile".to_owned()));
    }
    names.truncate(wanted);
    options.placement.nodelist = Some(names.join(","));
    options.placement.distribution = crate::grammar::distribution::parse("arbitrary").ok();
    Ok(())
}

/// `n1`, `n[1-3]`, `n1*4`.
fn entry(line: &str) -> Option<Vec<String>> {
    /// More tasks than any machine runs.
    const REPEATS_MAX: usize = 65_536;
    let (list, times) = match line.split_once('*') {
        Some((list, times)) => (list, times.trim().parse().ok().filter(|times| (1..=REPEATS_MAX).contains(times))?),
        None => (line, 1),
    };
    let names = hostlist::expand(list.trim()).ok()?;
    Some(names.into_iter().flat_map(|name| std::iter::repeat_n(name, times)).collect())
}

/// The node of each task, where that is asked for; with the number of tasks that follows.
///
/// # Errors
/// Another number of tasks is asked for.
pub(super) fn apply(options: &SubmitOptions, counts: &mut Counts) -> Result<(), Problem> {
    let is_wanted = options.placement.distribution.as_ref().is_some_and(|chosen| chosen.nodes == Nodes::Arbitrary);
    let Some(list) = counts.nodes_required.as_deref().filter(|_| is_wanted) else { return Ok(()) };
    let Ok(names) = hostlist::expand(list) else { return Ok(()) };
    let length = u32::try_from(names.len()).unwrap_or(u32::MAX);
    if options.has_written("ntasks") && counts.tasks != length {
        let text =
            format!("--distribution=arbitrary needs one node for each task: {length} nodes, {} tasks", counts.tasks);
        return Err(Fault::error(1, text).into());
    }
    counts.tasks = length;
    counts.tasks_given = true;
    counts.task_nodes = names;
    Ok(())
}

/// Tasks of the node that has most of them.
pub(super) fn tasks_on_one(counts: &Counts) -> Option<u32> {
    let mut each = std::collections::BTreeMap::<&str, u32>::new();
    counts.task_nodes.iter().for_each(|name| *each.entry(name).or_default() += 1);
    each.into_values().max()
}
