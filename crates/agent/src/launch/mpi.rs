//! How the tasks of a step find each other: what their MPI library is told of it.

use muster_model::step::{Step, StepLaunch};
use muster_runtime::{pmi, pmix};

use super::{Launch, LaunchError, Site};

/// What the name of a certain version of PMIx begins with.
const PMIX_VERSION: &str = "pmix_v";

/// Name of the step as its tasks know it: `12.0`.
fn step_name(launch: &Launch, step: &Step) -> String {
    format!("{}.{}", step.het.as_deref().map_or(launch.job.id, |common| common.leader), step.step_id)
}

/// What the MPI library of each task is told, where the step speaks PMI with them.
pub(super) fn pmi(launch: &Launch, step: &Step, how: &StepLaunch) -> Option<pmi::StepFacts> {
    if how.mpi != "pmi2" {
        return None;
    }
    let common = step.het.as_deref();
    let mut nodes_of_ranks = vec![0; step.tasks as usize];
    for (position, node) in (0..).zip(&step.layout) {
        for rank in &node.ranks {
            if let Some(place) = nodes_of_ranks.get_mut(*rank as usize) {
                *place = position;
            }
        }
    }
    Some(pmi::StepFacts {
        step_name: step_name(launch, step),
        tasks: common.map_or(step.tasks, |common| common.tasks),
        // Of a step in several components one part does not know how the ranks of the others are dealt; libraries then ask
        // each other for the names of their hosts.
        process_mapping: if common.is_some() { String::new() } else { pmi::process_mapping(&nodes_of_ranks) },
    })
}

/// What the PMIx server of this node is told, where the step has one.
///
/// # Errors
/// The order says nothing of this node.
pub(super) fn pmix(
    launch: &Launch,
    step: &Step,
    how: &StepLaunch,
    site: &Site,
) -> Result<Option<pmix::StepFacts>, LaunchError> {
    let version = how.mpi.strip_prefix(PMIX_VERSION).and_then(|version| version.parse().ok());
    if how.mpi != "pmix" && version.is_none() {
        return Ok(None);
    }
    let (tasks, nodes): (u32, Vec<(String, Vec<u32>)>) = match step.het.as_deref() {
        Some(common) => {
            (common.tasks, common.ranks.iter().map(|(name, ranks)| (name.to_string(), ranks.clone())).collect())
        }
        None => {
            let names =
                step.layout.iter().map(|node| Some((launch.name_of(node.node)?.to_owned(), node.ranks.clone())));
            (step.tasks, names.collect::<Option<Vec<_>>>().ok_or(LaunchError::Senseless("a node has no name"))?)
        }
    };
    let node = nodes.iter().position(|(name, _)| *name == site.node_name);
    Ok(Some(pmix::StepFacts {
        step_name: step_name(launch, step),
        tasks,
        nodes,
        node: node.ok_or(LaunchError::Senseless("this node is not one of its nodes"))?,
        version,
        settings: site.pmix.clone(),
    }))
}
