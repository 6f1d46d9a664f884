//! What a job has to itself on this node, as the site wants it.

use std::path::PathBuf;

use muster_runtime::space::{JobSpace, PrivateDirs};
use muster_slurm::conf::JobContainer;

use crate::options::AgentOptions;

/// From what the agent was told.
pub(crate) fn of_site(options: &AgentOptions) -> JobSpace {
    JobSpace { scratch_parent: options.tmp_dir.clone(), private: options.job_container.as_ref().map(private) }
}

fn private(container: &JobContainer) -> PrivateDirs {
    PrivateDirs {
        base: PathBuf::from(&container.base),
        makes_base: container.makes_base,
        dirs: container.dirs.iter().map(PathBuf::from).collect(),
        shared: container.shared,
        init_script: container.init_script.clone(),
        clone_script: container.clone_script.clone(),
        clone_epilog: container.clone_epilog.clone(),
    }
}
