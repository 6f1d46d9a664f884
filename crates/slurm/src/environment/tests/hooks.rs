//! What prologs and epilogs see.

use muster_model::hooks::HookMoment;
use muster_model::ids::NodeIndex;
use muster_model::state::ExitStatus;

use super::fixture;
use crate::environment::{LaunchFacts, NodeFacts, Variables, controller_hook_environment, node_hook_environment};

fn text(variables: Variables) -> String {
    let mut lines: Vec<String> = variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn hooks_get_what_real_slurm_gave_them_and_nothing_else() {
    let mut job = fixture::job(5);
    job.exit = ExitStatus::exited(5);
    let nodes = [NodeFacts { index: NodeIndex(0), name: "n1", address: "10.0.0.1", topology: None }];
    let facts = LaunchFacts {
        job: &job,
        cluster_name: "peer",
        controller: None,
        nodes: &nodes,
        here: NodeIndex(0),
        components: &[],
        slurm_conf: Some("/etc/slurm/slurm.conf"),
        gpus: &fixture::GPUS,
    };
    let prolog = text(node_hook_environment(&facts, HookMoment::Prolog));
    for line in ["SLURMD_NODENAME=n1", "SLURM_SCRIPT_CONTEXT=prolog_slurmd", "SLURM_JOB_ID=5", "SLURM_JOBID=5"] {
        assert!(prolog.lines().any(|found| found == line), "{line} is missing:\n{prolog}");
    }
    for absent in ["PATH=", "SLURM_JOB_EXIT_CODE", "HOME="] {
        assert!(!prolog.lines().any(|found| found.starts_with(absent)), "{absent} is there:\n{prolog}");
    }
    let epilog = text(node_hook_environment(&facts, HookMoment::Epilog));
    let ends = ["SLURM_JOB_EXIT_CODE=1280", "SLURM_JOB_EXIT_CODE2=5:0", "SLURM_JOB_DERIVED_EC=0"];
    assert!(ends.iter().all(|line| epilog.lines().any(|found| found == *line)), "{epilog}");
    let controller = text(controller_hook_environment(&job, "peer", HookMoment::Epilog));
    assert!(controller.contains("SLURM_SCRIPT_CONTEXT=epilog_slurmctld"), "{controller}");
    assert!(!controller.contains("SLURMD_NODENAME") && controller.contains("SLURM_JOB_NAME="), "{controller}");
}
