//! The `DSTACK_*` variables of a task: how a process learns where it is in its run.
//!
//! Whoever starts the processes of a run calls [`task_environment`] once for each node, below the user's own `env`,
//! which wins. Names and meaning are those of dstack 0.22; where a value belongs to containers only (paths inside an
//! image), the place on the node is given instead.

use muster_model::job::Job;

use crate::run::identity::{job_submission_id, run_id};

/// Where one node stands among the nodes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePlace<'a> {
    /// Rank of the node, 0 for the master.
    pub rank: u32,
    /// Addresses of all nodes by rank.
    pub addresses: &'a [String],
    /// GPUs that the job holds on each node; 0 where it holds none.
    pub gpus_per_node: u32,
}

/// The `DSTACK_*` variables of the process on one node, in a fixed order. Empty for a job that is no dstack run.
///
/// `DSTACK_MPI_HOSTFILE` is not among them: the task's script writes that file and sets the variable itself
/// (see [`mpi_hostfile`] for its content).
pub fn task_environment(job: &Job, place: NodePlace<'_>) -> Vec<(String, String)> {
    let Some(run) = &job.spec.run else {
        return Vec::new();
    };
    let nodes = u32::try_from(place.addresses.len()).unwrap_or(u32::MAX).max(1);
    let gpus = u64::from(nodes) * u64::from(place.gpus_per_node);
    let container = job.spec.rare.as_ref().and_then(|rare| rare.container.as_ref());
    let work_dir = container.and_then(|container| container.work_dir.as_deref()).unwrap_or(&job.spec.work_dir);
    let pairs = [
        ("DSTACK_RUN_ID", run_id(job.id, run)),
        ("DSTACK_JOB_ID", job_submission_id(job.id, job.restart, place.rank, run)),
        ("DSTACK_RUN_NAME", run.run_name.to_string()),
        ("DSTACK_PROJECT", run.project.to_string()),
        ("DSTACK_REPO_ID", "none".to_owned()),
        ("DSTACK_REPO_DIR", work_dir.to_owned()),
        ("DSTACK_WORKING_DIR", work_dir.to_owned()),
        ("DSTACK_NODES_IPS", place.addresses.join("\n")),
        ("DSTACK_MASTER_NODE_IP", place.addresses.first().cloned().unwrap_or_default()),
        ("DSTACK_NODE_RANK", place.rank.to_string()),
        ("DSTACK_NODES_NUM", nodes.to_string()),
        ("DSTACK_GPUS_PER_NODE", place.gpus_per_node.to_string()),
        ("DSTACK_GPUS_NUM", gpus.to_string()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Content of the host file for `mpirun`: one line for each node, with its slots where it has GPUs.
pub fn mpi_hostfile(place: NodePlace<'_>) -> String {
    let line = |address: &String| match place.gpus_per_node {
        0 => format!("{address}\n"),
        slots => format!("{address} slots={slots}\n"),
    };
    place.addresses.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::samples::job;

    #[test]
    fn a_two_node_task_knows_its_place() {
        let addresses = ["10.0.0.5".to_owned(), "10.0.0.6".to_owned()];
        let place = NodePlace { rank: 1, addresses: &addresses, gpus_per_node: 4 };
        let job = job("train");
        let value = |name: &str| {
            let found = task_environment(&job, place).into_iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value).unwrap_or_else(|| panic!("{name} is missing"))
        };
        assert_eq!(value("DSTACK_RUN_NAME"), "train");
        assert_eq!(value("DSTACK_NODES_IPS"), "10.0.0.5\n10.0.0.6");
        assert_eq!(value("DSTACK_MASTER_NODE_IP"), "10.0.0.5");
        assert_eq!(value("DSTACK_NODE_RANK"), "1");
        assert_eq!(value("DSTACK_NODES_NUM"), "2");
        assert_eq!(value("DSTACK_GPUS_PER_NODE"), "4");
        assert_eq!(value("DSTACK_GPUS_NUM"), "8");
        assert_eq!(value("DSTACK_WORKING_DIR"), "/work");
        assert_ne!(value("DSTACK_RUN_ID"), value("DSTACK_JOB_ID"));
        assert_eq!(mpi_hostfile(place), "10.0.0.5 slots=4\n10.0.0.6 slots=4\n");
        assert_eq!(mpi_hostfile(NodePlace { gpus_per_node: 0, ..place }), "10.0.0.5\n10.0.0.6\n");
    }

    #[test]
    fn an_ordinary_job_has_none() {
        let mut job = job("train");
        let mut spec = (*job.spec).clone();
        spec.run = None;
        job.spec = std::sync::Arc::new(spec);
        let place = NodePlace { rank: 0, addresses: &[], gpus_per_node: 0 };
        assert_eq!(task_environment(&job, place), []);
    }
}
