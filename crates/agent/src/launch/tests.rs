//! Orders in, units out, without a supervisor.

use std::sync::Arc;

use muster_model::array::ArraySpec;
use muster_model::hooks::NodeHooks;
use muster_model::ids::{BlobId, JobId, NodeIndex};
use muster_model::job::{ArrayRole, ExecutionContext, Job, JobKind, JobSpec};
use muster_model::resources::{Allocation, IndexSet, Megabytes, NodeShare};
use muster_model::step::Step;
use muster_proto::NodeAddress;
use muster_proto::document::encode;
use muster_runtime::unit::{Input, Output, UnitUser};
use muster_slurm::conf::MeasureSettings;

use super::{Binding, Caller, Contexts, Launch, LaunchError, Prepared, Rules, Site};
use crate::users::Login;

fn launch(nodes: u32) -> Launch {
    let spec = serde_json::json!({
        "identity": {"uid": 1000, "gid": 100, "user": "alice", "group": "users"},
        "name": "work", "kind": "batch", "request": {"nodes_min": 1, "tasks": 1, "cpus_per_task": 1},
        "work_dir": "/home/alice", "submit_host": "login", "script": "s", "context": "c",
    });
    let spec: Arc<JobSpec> = Arc::new(serde_json::from_value(spec).unwrap());
    let job = serde_json::json!({
        "id": 12, "spec_id": 1, "spec": &*spec, "state": "running", "reason": "none", "partition": "debug",
        "priority": 1, "time_limit": "unlimited", "submit_time": 1000, "start_time": 2000,
    });
    let job: Job = serde_json::from_value(job).unwrap();
    let share = |node| NodeShare {
        node: NodeIndex(node),
        cpus: IndexSet::first_n(2),
        memory: Megabytes(64),
        gres: Vec::new(),
        tasks: 2,
    };
    let shares: Vec<_> = (0..nodes).map(share).collect();
    let address = |index: u32| NodeAddress {
        index,
        name: format!("n{}", index + 1),
        address: format!("10.0.0.{index}"),
        ..NodeAddress::default()
    };
    Launch {
        hooks: NodeHooks::default(),
        sequence: 1,
        job: Job { allocation: Some(Arc::new(Allocation::from(shares))), ..job },
        step: None,
        nodes: (0..nodes).map(address).collect(),
        components: Vec::new(),
        cluster_name: "test".into(),
        controller: ("head".into(), 0),
    }
}

fn with_spec(mut launch: Launch, change: impl FnOnce(&mut JobSpec)) -> Launch {
    let mut spec = (*launch.job.spec).clone();
    change(&mut spec);
    launch.job.spec = Arc::new(spec);
    launch
}

fn with_step(mut launch: Launch, output: &str) -> Launch {
    let how = serde_json::json!({
        "command": ["a", "b"], "work_dir": "/w", "environment": ["PATH=/bin", "CUDA_VISIBLE_DEVICES=7"], "umask": 18,
        "input": "client", "input_rank": 2, "output": {"file": output}, "client_address": "10.0.0.9:77",
        "client_cookie": "c", "programs": [[3, ["other"]]],
    });
    let step = serde_json::json!({
        "job_id": 12, "step_id": {"number": 4}, "restart": 0, "name": "s", "state": "running", "tasks": 4,
        "node_list": "n[1-2]", "start_time": 3000, "launch": how,
        "layout": [{"node": 0, "ranks": [0, 1], "cpus": [3]}, {"node": 1, "ranks": [2, 3], "cpus": [3]}],
    });
    launch.step = Some(serde_json::from_value::<Step>(step).unwrap());
    launch
}

fn prepare_on(node_name: &str, launch: &Launch, environment: &[&str]) -> Result<Prepared, LaunchError> {
    let dir = tempfile::tempdir().unwrap();
    let site = Site {
        hook_outputs: "/spool/hooks".into(),
        node_name: node_name.to_owned(),
        binding: Binding::flat(),
        rules: Rules::default(),
        space: Default::default(),
        logs: dir.path().to_owned(),
        slurm_conf: Some("/etc/slurm/slurm.conf".into()),
        oci: None,
        pyxis: Default::default(),
        pmix: Default::default(),
        measure: MeasureSettings { is_on: true, seconds: 30, ..MeasureSettings::default() },
        gpus: Default::default(),
    };
    let environment = environment.iter().map(|line| (*line).to_owned()).collect();
    let document = encode(&ExecutionContext { environment, umask: 0o77, limits: vec![(7, 512)] });
    let context = Contexts::default().read(&BlobId("c".into()), &document).unwrap();
    let login = context.wants_login.then(|| Login { home: "/home/alice".into(), shell: "/bin/zsh".into() });
    let user = UnitUser { uid: 1000, gid: 100, groups: Vec::new() };
    super::prepare(launch.key(), launch, &site, Caller { user, login }, &context)
}

fn prepare(launch: &Launch, environment: &[&str]) -> Prepared {
    prepare_on("n1", launch, environment).unwrap()
}

/// The value that counts: the last.
fn value<'a>(variables: &'a [String], name: &str) -> Option<&'a str> {
    variables.iter().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn a_script_gets_what_its_submit_said() {
    let Prepared { unit, record, .. } = prepare(&launch(1), &["A=1"]);
    assert_eq!((unit.umask, unit.limits.as_slice(), unit.work_dir.as_str()), (0o77, &[(7, 512)][..], "/home/alice"));
    assert_eq!((unit.affinity.as_slice(), unit.memory_limit), (&[0, 1][..], Some(64 << 20)));
    assert_eq!(unit.streams.output, Output::File("/home/alice/slurm-12.out".into()));
    assert_eq!((&unit.streams.input, &unit.streams.error), (&Input::Null, &None));
    assert_eq!(record.unwrap().output.to_str(), Some("/home/alice/slurm-12.out"));
    let value = |name| value(&unit.variables, name);
    assert_eq!(value("SLURM_JOB_ID"), Some("12"));
    assert_eq!(value("SLURMD_NODENAME"), Some("n1"));
    assert_eq!(value("SLURM_SUBMIT_DIR"), Some("/home/alice"));
    assert_eq!(value("HOME"), None, "the captured environment is trusted");
}

#[test]
fn captured_names_are_kept_removed_or_filled_up() {
    let unit = prepare(&launch(1), &["SLURM_SUBMIT_HOST=mine", "SLURM_GET_USER_ENV=1", "SHELL=/bin/sh"]).unit;
    assert_eq!(value(&unit.variables, "SLURM_SUBMIT_HOST"), None, "there already");
    assert_eq!((value(&unit.variables, "HOME"), value(&unit.variables, "SHELL")), (Some("/home/alice"), None));

    let clean = prepare(&launch(1), &["A=1"]).environment.unwrap();
    let outer = prepare(&launch(1), &["A=1", "SLURM_CPUS_PER_TASK=4"]).environment.unwrap();
    assert!(outer.1.contains(&"SLURM_CPUS_PER_TASK"), "of an outer job");
    assert_ne!(clean.0, outer.0, "the supervisor keeps them apart");
}

#[test]
fn arrays_have_a_file_for_each_task() {
    let mut launch = with_spec(launch(1), |spec| {
        let tasks = muster_model::array::TaskSet::from_indices([3]);
        spec.array = Some(ArraySpec { tasks, throttle: None });
    });
    launch.job.array = Some(ArrayRole::Task { array_job_id: JobId(10), task_index: 3 });
    assert_eq!(prepare(&launch, &[]).unit.streams.output, Output::File("/home/alice/slurm-10_3.out".into()));
}

#[test]
fn only_a_jobs_only_main_unit_ends_it() {
    assert!(launch(1).ends_job() && launch(2).ends_job());
    let of_run = |nodes| with_spec(launch(nodes), |spec| spec.kind = JobKind::EveryNode);
    assert!(of_run(1).ends_job() && !of_run(2).ends_job());
    assert!(!with_step(launch(2), "x").ends_job());
}

#[test]
fn tasks_share_streams_where_they_are_alike() {
    let unit = prepare(&with_step(launch(2), "%j.out"), &[]).unit;
    assert_eq!(unit.key.to_string(), "12.0.4");
    assert_eq!(unit.streams.output, Output::File("/w/12.out".into()));
    assert_eq!(unit.streams.input, Input::Null, "only rank 2 gets it");
    assert!(unit.tasks.iter().all(|task| task.streams.is_none()));
    assert_eq!(value(&unit.variables, "PATH"), Some("/bin"));
    assert_eq!(value(&unit.variables, "CUDA_VISIBLE_DEVICES"), None);
    assert_eq!(unit.client.unwrap().address, "10.0.0.9:77");

    let unit = prepare_on("n2", &with_step(launch(2), "%j.%t"), &[]).unwrap().unit;
    let of = |at: usize| unit.tasks[at].streams.clone().unwrap();
    assert_eq!(of(0).output, Output::File("/w/12.2".into()));
    assert_eq!((of(0).input, of(1).input), (Input::Client, Input::Null));
    assert_eq!(unit.tasks[1].command, Some(vec!["other".to_owned()]));
    assert_eq!(value(&unit.tasks[1].variables, "SLURM_PROCID"), Some("3"));
    assert_eq!(value(&unit.tasks[1].variables, "SLURM_LOCALID"), Some("1"));
}

#[test]
fn contradictions_are_errors() {
    let check = |launch: &Launch, node: &str| {
        let error = prepare_on(node, launch, &[]).unwrap_err();
        assert!(matches!(error, LaunchError::Senseless(_)), "{error:?}");
    };
    check(&launch(1), "n7");
    check(&with_spec(launch(1), |spec| spec.script = None), "n1");
    let mut nothing_held = launch(1);
    nothing_held.job.allocation = None;
    check(&nothing_held, "n1");
    let mut no_tasks = with_step(launch(2), "x");
    no_tasks.step.as_mut().unwrap().layout.truncate(1);
    check(&no_tasks, "n2");
    no_tasks.step.as_mut().unwrap().launch = None;
    check(&no_tasks, "n1");
}
