//! The container of a task that names an image: what runs in it is started by the runner.
//!
//! Only `image` makes one. dstack's own images (`python`, `docker`) are not fetched here: such a task is a process of its node.

use muster_model::container::{ContainerMount, ContainerRequest, MountSource, RunnerRequest};
use muster_model::ids::Identity;

use crate::configuration::Task;
use crate::values::Mount;

/// Variables that the image knows better, unless the task sets them.
const OF_ACCOUNT: [&str; 4] = ["HOME", "SHELL", "USER", "LOGNAME"];

/// The container of `task`; `None` where it has none. `environment` has its variables.
pub(super) fn container(task: &Task, identity: &Identity, environment: &[String]) -> Option<ContainerRequest> {
    let base = &task.base;
    let image = base.image.clone()?;
    let mounts = base.volumes.iter().filter_map(|mount| match mount {
        Mount::Instance(mount) => Some(ContainerMount {
            source: MountSource::Path(mount.instance_path.clone()),
            target: mount.path.clone(),
            read_only: false,
            no_execute: false,
            shallow: false,
            follows: false,
        }),
        Mount::Volume(_) => None,
    });
    let is_of_account = |line: &&String| OF_ACCOUNT.contains(&line.split('=').next().unwrap_or_default());
    let names = environment.iter().filter_map(|line| line.split('=').next());
    Some(ContainerRequest {
        image: Some(image),
        mounts: mounts.collect(),
        work_dir: base.working_dir.clone(),
        // Whoever has all devices has the node.
        privileged: base.privileged && identity.uid == 0,
        // As in dstack, what the task sets wins over what the image sets.
        environment: names.map(str::to_owned).collect(),
        runner: Some(Box::new(RunnerRequest {
            user: other_user(task, identity).filter(|_| identity.uid == 0),
            shm_megabytes: base.resources.shm_size.map(|size| size.to_megabytes().0),
            authorized_keys: Vec::new(),
            account_variables: environment.iter().filter(is_of_account).cloned().collect(),
        })),
        ..ContainerRequest::default()
    })
}

/// The `user` of a task, where it is not who applies it.
pub(super) fn other_user(task: &Task, identity: &Identity) -> Option<String> {
    let user = task.base.user.as_ref()?;
    let is_other = *user.user() != *identity.user && user.user() != identity.uid.to_string();
    is_other.then(|| user.as_str().to_owned())
}
