//! The small cluster of the transcripts: four nodes with 16 CPUs and two GPUs each, all on one host.

use std::sync::Arc;

use muster_model::dependency::Dependencies;
use muster_model::ids::{Identity, JobId, NodeIndex, SpecId, StepId};
use muster_model::job::{Job, JobKind, JobSpec, RareOptions};
use muster_model::resources::{
    Allocation, Gres, GresRequest, GresScope, GresShare, IndexSet, Megabytes, NodeShare, ResourceRequest,
};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::{Step, StepLaunch, StepNode, StreamTarget};
use muster_model::time::{TimeLimit, Timestamp};

use crate::environment::{ClientFacts, GpuFacts, LaunchFacts, NodeFacts};

pub(crate) static GPUS: GpuFacts = GpuFacts::UNKNOWN;

pub(crate) const NAMES: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// Of the user's shell.
pub(crate) const USER: [&str; 10] = [
    "A=outer",
    "HOME=/root",
    "LANG=C.UTF-8",
    "MYVAR=mine",
    "OLDPWD=/tmp",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "PWD=/tmp/w",
    "SHELL=/bin/bash",
    "SLURM_CONF=/etc/slurm/slurm.conf",
    "TERM=xterm",
];

pub(crate) const CLIENT: ClientFacts<'static> =
    ClientFacts { work_dir: "/tmp/w", host_name: "vm", nice: 0, umask: 0o022, export: None };

/// A running job with one CPU of n1.
pub(crate) fn job(id: u32) -> Job {
    let mut job = Job {
        array: None,
        state: JobState::Running,
        begin_time: None,
        time_limit: TimeLimit::from_minutes(10),
        ..Job::new(JobId(id), SpecId(1), Arc::new(spec()), "debug".into(), Timestamp(0))
    };
    allocate(&mut job, &[(0, 1, 1, 0)]);
    job
}

fn spec() -> JobSpec {
    JobSpec {
        identity: Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() },
        name: "env.sh".into(),
        kind: JobKind::Batch,
        partitions: Vec::new(),
        account: Some("root".into()),
        qos: None,
        request: ResourceRequest::default(),
        nodes_when_empty: None,
        time_limit: None,
        time_limit_min: None,
        begin: None,
        deadline: None,
        array: None,
        dependencies: Dependencies::default(),
        hold: false,
        requeue: None,
        nice: 0,
        priority: None,
        site_factor: 0,
        reservation: None,
        early_signal: None,
        kill_on_invalid_dependency: None,
        no_kill: false,
        unattended: false,
        work_dir: "/tmp/w".into(),
        output: None,
        error: None,
        input: None,
        open_mode: None,
        command: None,
        arguments: Vec::new(),
        script: None,
        context: None,
        submit_host: "vm".into(),
        submit_session: 1,
        submit_line: None,
        rare: None,
        run: None,
        cron: None,
    }
}

pub(crate) fn change(job: &mut Job, with: impl FnOnce(&mut JobSpec)) {
    with(Arc::make_mut(&mut job.spec));
}

pub(crate) fn rare(spec: &mut JobSpec, others: &[(&str, &str)]) {
    let others = others.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    spec.rare = Some(Box::new(RareOptions { others, ..RareOptions::default() }));
}

pub(crate) fn gpus(scope: GresScope, count: u64) -> GresRequest {
    GresRequest { scope, gres: Gres { name: "gpu".into(), kind: None, count } }
}

/// Node, CPUs, tasks, GPUs; the lowest of each.
pub(crate) fn allocate(job: &mut Job, shares: &[(u32, u32, u32, u32)]) {
    let share = |&(node, cpus, tasks, gpus): &(u32, u32, u32, u32)| NodeShare {
        node: NodeIndex(node),
        cpus: IndexSet::first_n(cpus),
        memory: Megabytes(0),
        gres: held(gpus),
        tasks,
    };
    job.allocation = Some(Arc::new(Allocation::from(shares.iter().map(share).collect::<Vec<_>>())));
}

pub(crate) fn held(gpus: u32) -> Vec<GresShare> {
    let share = GresShare { name: "gpu".into(), kind: None, units: IndexSet::first_n(gpus) };
    if gpus == 0 { Vec::new() } else { vec![share] }
}

pub(crate) fn nodes(job: &Job) -> Vec<NodeFacts<'static>> {
    let shares = job.allocation.iter().flat_map(|allocation| &allocation.shares);
    shares
        .map(|share| NodeFacts {
            index: share.node,
            name: NAMES[share.node.0 as usize],
            address: "127.0.0.1",
            topology: None,
        })
        .collect()
}

pub(crate) fn launch<'a>(job: &'a Job, nodes: &'a [NodeFacts<'a>], here: u32) -> LaunchFacts<'a> {
    LaunchFacts {
        job,
        cluster_name: "peer",
        controller: Some(("127.0.0.1", 17000)),
        nodes,
        here: NodeIndex(here),
        components: &[],
        slurm_conf: Some("/etc/slurm/slurm.conf"),
        gpus: &GPUS,
    }
}

/// A step with these nodes: index, ranks, CPUs, GPUs.
pub(crate) fn step(
    job: &Job,
    number: u32,
    port: u16,
    environment: Vec<String>,
    layout: &[(u32, &[u32], u32, u32)],
) -> Step {
    let node = |&(node, ranks, cpus, gpus): &(u32, &[u32], u32, u32)| StepNode {
        node: NodeIndex(node),
        ranks: ranks.to_vec(),
        cpus: IndexSet::first_n(cpus),
        memory: Megabytes(0),
        gres: held(gpus),
        launch_sequence: 0,
    };
    let names = layout.iter().map(|(node, ..)| NAMES[*node as usize]);
    Step {
        job_id: job.id,
        step_id: StepId::Number(number),
        restart: job.restart,
        name: "env.sh".into(),
        state: JobState::Running,
        tasks: layout.iter().map(|(_, ranks, ..)| ranks.len() as u32).sum(),
        layout: layout.iter().map(node).collect(),
        node_list: muster_model::hostlist::compress(names).into(),
        start_time: None,
        end_time: None,
        time_limit: None,
        exit: ExitStatus::SUCCESS,
        usage: Usage::default(),
        measured: None,
        out_of_memory: false,
        kill_failed: false,
        cancelled_by: None,
        gres_given: false,
        bundle: None,
        het: None,
        nodes_left: Vec::new(),
        launch: Some(Arc::new(StepLaunch {
            command: vec!["./env.sh".to_owned()],
            programs: Vec::new(),
            work_dir: "/tmp/w".to_owned(),
            environment,
            umask: 0o022,
            limits: Vec::new(),
            input: StreamTarget::Client,
            input_rank: None,
            output: StreamTarget::Client,
            error: None,
            append: false,
            client_address: format!("127.0.0.1:{port}"),
            client_cookie: String::new(),
            client_process: (String::new(), 0),
            pty: None,
            kill_on_bad_exit: false,
            labels_files: false,
            measure_seconds: None,
            keeps_counts: false,
            node_verbosity: 0,
            unbuffered: false,
            mpi: String::new(),
            broadcast: None,
            task_prolog: None,
            task_epilog: None,
            binding: Default::default(),
            container: None,
            bundle_id: None,
            bundle: None,
        })),
    }
}
