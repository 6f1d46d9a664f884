//! What a configuration asks for and this version does not do: said once at each apply, never dropped in silence.

use muster_model::ids::Identity;

use super::Applicant;
use super::container::other_user;
use super::directory::resolve;
use crate::configuration::{RetryEvent, SpotPolicy, StartupOrder, StopCriteria, Task};
use crate::values::{Mount, OffDuration, RepoSource};

/// The notices about `task`, in the order of the documentation.
pub(super) fn notices(task: &Task, applicant: &Applicant<'_>, directory: &str) -> Vec<String> {
    let mut notices = Vec::new();
    container(task, applicant.identity, &mut notices);
    data(task, applicant, directory, &mut notices);
    nodes(task, &mut notices);
    retries(task, &mut notices);
    provider(task, &mut notices);
    notices
}

/// Only an image makes a container; else the run is a process of its user on the node.
fn container(task: &Task, identity: &Identity, notices: &mut Vec<String>) {
    let base = &task.base;
    let has_image = base.image.is_some();
    let unused = match (has_image, base.python, base.docker) {
        (true, ..) => None,
        (false, Some(python), _) => Some(format!("python: {python} is not provided; the node's own is used")),
        (false, None, Some(true)) => Some("docker: none is provided".to_owned()),
        (false, None, _) => None,
    };
    if let Some(unused) = unused {
        notices.push(format!("runs as a process, since there is no image; {unused}"));
    }
    if base.nvcc == Some(true) {
        notices.push("nvcc: not provided; the node's own is used".to_owned());
    }
    if base.registry_auth.is_some() && !has_image {
        notices.push("registry_auth: not used, since no image is pulled".to_owned());
    }
    if base.privileged && !(has_image && identity.uid == 0) {
        let what = if has_image { "container" } else { "process" };
        notices.push(format!("privileged: not done; the {what} has the rights of its user"));
    }
    if let Some(user) = other_user(task, identity).filter(|_| !has_image || identity.uid != 0) {
        notices.push(format!("user: runs as {}, not as {user}", identity.user));
    }
    if !base.setup.is_empty() {
        notices.push("setup: has no effect on tasks".to_owned());
    }
    let without = [("single_branch", base.single_branch.is_some()), ("home_dir", base.home_dir.is_some())];
    let without: Vec<&str> = without.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    if !without.is_empty() {
        notices.push(format!("{}: no effect on tasks", without.join(", ")));
    }
    if base.dstack {
        notices.push("dstack: the server is not reachable from within the run".to_owned());
    }
    if !task.ports.is_empty() {
        notices.push("ports: not forwarded; they are those of the node".to_owned());
    }
}

fn data(task: &Task, applicant: &Applicant<'_>, directory: &str, notices: &mut Vec<String>) {
    for repo in &task.base.repos {
        let at_root = matches!(repo.path.trim_end_matches('/'), "." | "");
        match &repo.source {
            RepoSource::Url(url) => notices.push(format!("repos: {url} is not cloned")),
            RepoSource::LocalPath(path) if task.base.image.is_some() => {
                notices.push(format!("repos: {path} is not copied into the container"));
            }
            RepoSource::LocalPath(path) if task.base.working_dir.is_some() || !at_root => {
                notices.push(format!("repos: {path} is not copied; the run starts in {directory}"));
            }
            RepoSource::LocalPath(_) => {
                notices.push(format!(
                    "repos: not copied; the run starts in {directory}, which must be there on the nodes"
                ));
            }
        }
        if repo.branch.is_some() || repo.hash.is_some() {
            notices.push("repos: branch and hash are not checked out".to_owned());
        }
    }
    for file in &task.base.files {
        let source = resolve(&file.local_path, applicant).filter(|_| task.base.image.is_none());
        let target = if file.path.starts_with(['/', '~']) {
            resolve(&file.path, applicant)
        } else {
            resolve(&format!("{directory}/{}", file.path), applicant)
        };
        if source.is_none() || source != target {
            notices.push(format!("files: {} is not copied to {}", file.local_path, file.path));
        }
    }
    for mount in &task.base.volumes {
        match mount {
            Mount::Instance(mount) if mount.instance_path == mount.path || task.base.image.is_some() => {}
            Mount::Instance(mount) => {
                notices.push(format!("volumes: {} is not mounted at {}", mount.instance_path, mount.path));
            }
            Mount::Volume(mount) => notices.push(format!("volumes: nothing is mounted at {}", mount.path)),
        }
    }
}

fn nodes(task: &Task, notices: &mut Vec<String>) {
    if task.nodes_total() > 1 {
        match task.profile.startup_order {
            Some(order @ (StartupOrder::MasterFirst | StartupOrder::WorkersFirst)) => {
                notices.push(format!("startup_order: {order} is not kept; all nodes start together"));
            }
            Some(StartupOrder::Any) | None => {}
        }
        if task.profile.stop_criteria == Some(StopCriteria::MasterDone) {
            notices.push("stop_criteria: master-done is not done; the run ends when all nodes are done".to_owned());
        }
    }
    if task.profile.stop_duration.is_some() {
        notices.push("stop_duration: not used; the cluster's KillWait is".to_owned());
    }
    if task.profile.utilization_policy.is_some() {
        notices.push("utilization_policy: the use of GPUs is not watched".to_owned());
    }
}

fn retries(task: &Task, notices: &mut Vec<String>) {
    let Some((events, duration)) = task.profile.retry.as_ref().and_then(|retry| retry.terms()) else {
        return;
    };
    if events.contains(&RetryEvent::NoCapacity) {
        notices.push(format!("retry: the run waits in the queue until there is room, not only for {duration}"));
    }
    if events.contains(&RetryEvent::Error) {
        notices.push("retry: a run that fails is not started again".to_owned());
    }
}

/// Properties that choose among the offers of providers, of which a cluster of own nodes has none.
fn provider(task: &Task, notices: &mut Vec<String>) {
    let profile = &task.profile;
    let given = [
        ("backends", profile.backends.is_some()),
        ("regions", profile.regions.is_some()),
        ("availability_zones", profile.availability_zones.is_some()),
        ("instance_types", profile.instance_types.is_some()),
        ("reservation", profile.reservation.is_some()),
        ("spot_policy", profile.spot_policy.is_some_and(|policy| policy == SpotPolicy::Spot)),
        ("max_price", profile.max_price.is_some()),
        ("idle_duration", profile.idle_duration.is_some()),
        ("tags", profile.tags.is_some()),
        ("backend_options", profile.backend_options.is_some()),
    ];
    let given: Vec<&str> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    if !given.is_empty() {
        notices.push(format!("{}: no effect on a cluster's own nodes", given.join(", ")));
    }
    if profile.max_duration == Some(OffDuration::Off) {
        notices.push("max_duration: off goes as far as the partition allows".to_owned());
    }
}
