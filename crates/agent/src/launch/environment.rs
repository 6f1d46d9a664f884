//! Environments: what was captured at submit, and what the dialects put under and over it.
//!
//! A captured environment goes to the supervisor once for all jobs that share it, without the names that they must
//! not see; the rest is some dozen variables of each unit.

use std::collections::HashSet;

use muster_dstack::environment::NodePlace;
use muster_model::resources::IndexSet;
use muster_model::step::{Step, StepLaunch};
use muster_slurm::environment::{self as slurm, LaunchFacts, LoginFacts, Variables};

use super::{Launch, Site};
use crate::users::Login;

/// What a main unit gets.
pub(super) struct MainEnvironment {
    /// Names of the captured environment that it must not see.
    pub(super) removals: Vec<&'static str>,
    /// What is put under (where a name is missing) and over the captured environment; a name may stand several times,
    /// and the last counts.
    pub(super) variables: Vec<String>,
}

/// The environment of a main unit. `captured` are the names that its execution context has.
pub(super) fn of_main_unit(
    launch: &Launch,
    facts: &LaunchFacts<'_>,
    site: &Site,
    captured: &HashSet<String>,
    login: Option<&Login>,
) -> MainEnvironment {
    let removals = slurm::batch_removals(facts);
    let is_missing = |name: &str| !captured.contains(name) || removals.contains(&name);
    let mut variables: Vec<String> = Vec::new();
    let mut fallbacks = login.map(|login| login_environment(launch, login)).unwrap_or_default();
    fallbacks.extend(slurm::batch_fallbacks(facts));
    fallbacks.extend(of_run(launch, site));
    variables.extend(lines(fallbacks.into_iter().filter(|(name, _)| is_missing(name)).collect()));
    variables.extend(lines(slurm::batch_environment(facts)));
    MainEnvironment { removals, variables }
}

fn login_environment(launch: &Launch, login: &Login) -> Variables {
    let identity = &launch.job.spec.identity;
    let (user, uid) = (&*identity.user, identity.uid);
    slurm::login_environment(&LoginFacts { user, uid, home: &login.home, shell: &login.shell })
}

/// `DSTACK_*`; the user's own setting of one wins.
fn of_run(launch: &Launch, site: &Site) -> Variables {
    let position = launch.node_position(&site.node_name).unwrap_or(0);
    let addresses: Vec<String> = launch.nodes.iter().map(|node| node.address.clone()).collect();
    let gpus_per_node = launch
        .share(&site.node_name)
        .map_or(0, |share| share.gres.iter().filter(|gres| &*gres.name == "gpu").map(|gres| gres.units.len()).sum());
    let rank = u32::try_from(position).unwrap_or(u32::MAX);
    muster_dstack::environment::task_environment(&launch.job, NodePlace { rank, addresses: &addresses, gpus_per_node })
}

/// The whole environment of the tasks of a step on this node.
pub(super) fn of_step(facts: &LaunchFacts<'_>, step: &Step, how: &StepLaunch) -> Vec<String> {
    let removals = slurm::step_removals(facts, step);
    let fallbacks = slurm::step_fallbacks(facts, step);
    slurm::combine(&how.environment, &removals, &fallbacks, &slurm::step_environment(facts, step))
}

/// What one task gets over that, which may run on `cores`; `None` for all.
pub(super) fn of_task(facts: &LaunchFacts<'_>, step: &Step, rank: u32, cores: Option<&IndexSet>) -> Vec<String> {
    lines(slurm::task_environment(facts, step, rank, cores))
}

pub(super) fn lines(variables: Variables) -> Vec<String> {
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
