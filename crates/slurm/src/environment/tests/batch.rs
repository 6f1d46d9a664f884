//! What batch scripts see.

use muster_model::array::{ArraySpec, TaskSet};
use muster_model::dependency::{Dependency, DependencyKind, DependencyState};
use muster_model::ids::{Identity, JobId, NodeIndex, RestartCount};
use muster_model::job::{ArrayRole, Job, JobKind, JobSpec};
use muster_model::resources::{GresScope, Megabytes, MemoryRequest};
use muster_model::time::Timestamp;

use super::fixture::{CLIENT, USER, allocate, change, gpus, job, launch, nodes, rare};
use super::section;
use crate::environment::{
    ClientFacts, LoginFacts, batch_environment, batch_fallbacks, batch_removals, combine, login_environment,
    submit_environment, wants_login_environment,
};
use crate::grammar::export;

const ROOT: LoginFacts<'static> = LoginFacts { user: "root", uid: 0, home: "/root", shell: "/bin/bash" };

/// What the script of `job` prints, submitted from a shell with the environment `user`.
fn script(job: &Job, user: &[&str], client: &ClientFacts<'_>) -> Vec<String> {
    let of_user =
        user.iter().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let passed = export::parse(client.export.unwrap_or("ALL")).apply(&of_user.collect());
    let passed: Vec<String> = passed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let captured = combine(&passed, &[], &Vec::new(), &submit_environment(client, false));
    let nodes = nodes(job);
    let here = nodes[0].index.0;
    let launch = launch(job, &nodes, here);
    let mut fallbacks = batch_fallbacks(&launch);
    if wants_login_environment(&captured) {
        fallbacks.extend(login_environment(&ROOT));
    }
    combine(&captured, &batch_removals(&launch), &fallbacks, &batch_environment(&launch))
}

fn check(title: &str, job: &Job, user: &[&str], client: &ClientFacts<'_>) {
    let got = script(job, user, client);
    assert_eq!(got, section(include_str!("batch.txt"), title), "{title}");
}

/// A job with this number and these shares (node, CPUs, tasks, GPUs), with its specification changed.
fn of(id: u32, shares: &[(u32, u32, u32, u32)], with: impl FnOnce(&mut JobSpec)) -> Job {
    let mut job = job(id);
    allocate(&mut job, shares);
    change(&mut job, with);
    job
}

#[test]
fn nodes_tasks_and_cpus() {
    check("sbatch", &job(70), &USER, &CLIENT);
    let all = of(71, &[(0, 6, 3, 1), (1, 2, 1, 1)], |spec| {
        let request = &mut spec.request;
        (request.tasks, request.tasks_given) = (4, true);
        (request.cpus_per_task, request.cpus_per_task_given) = (2, true);
        request.memory = Some(MemoryRequest::PerNode(Megabytes(1024)));
        request.gres = vec![gpus(GresScope::Node, 1)];
    });
    check("sbatch -N2 -n4 -c2 --mem=1G --gres=gpu:1", &all, &USER, &CLIENT);
    let per_node = of(73, &[(0, 2, 2, 0), (1, 2, 2, 0)], |spec| {
        (spec.request.tasks, spec.request.tasks_per_node) = (4, Some(2));
    });
    check("sbatch -N2 --ntasks-per-node=2", &per_node, &USER, &CLIENT);
    check("sbatch --exclusive", &of(74, &[(0, 16, 16, 2)], |_| {}), &USER, &CLIENT);
    let threads = of(86, &[(0, 4, 1, 0)], |spec| {
        (spec.request.cpus_per_task, spec.request.cpus_per_task_given) = (4, true);
        rare(spec, &[("threads-per-core", "1")]);
    });
    check("sbatch -c4 --threads-per-core=1", &threads, &USER, &CLIENT);
    let sockets = of(90, &[(0, 1, 1, 0), (1, 1, 1, 0), (2, 1, 1, 0)], |spec| {
        (spec.request.tasks, spec.request.tasks_given) = (3, true);
        rare(spec, &[("ntasks-per-core", "1"), ("ntasks-per-socket", "4")]);
    });
    check("sbatch -N1-3 -n3 --ntasks-per-core=1 --ntasks-per-socket=4", &sockets, &USER, &CLIENT);
}

#[test]
fn memory_and_gpus() {
    let per_cpu = of(72, &[(0, 4, 4, 0)], |spec| {
        (spec.request.tasks, spec.request.tasks_given) = (4, true);
        spec.request.memory = Some(MemoryRequest::PerCpu(Megabytes(500)));
    });
    check("sbatch -n4 --mem-per-cpu=500M", &per_cpu, &USER, &CLIENT);
    let whole = of(70, &[(0, 1, 1, 0)], |spec| spec.request.memory = Some(MemoryRequest::PerNode(Megabytes(0))));
    check("sbatch", &whole, &USER, &CLIENT);
    let two = of(83, &[(0, 1, 1, 2)], |spec| spec.request.gres = vec![gpus(GresScope::Job, 2)]);
    check("sbatch --gpus=2", &two, &USER, &CLIENT);
    let per_task = of(84, &[(0, 4, 2, 2)], |spec| {
        (spec.request.tasks, spec.request.tasks_given) = (2, true);
        spec.request.memory = Some(MemoryRequest::PerGpu(Megabytes(1024)));
        spec.request.gres = vec![gpus(GresScope::Task, 1)];
        rare(spec, &[("cpus-per-gpu", "2")]);
    });
    check("sbatch -n2 --gpus-per-task=1 --cpus-per-gpu=2 --mem-per-gpu=1G", &per_task, &USER, &CLIENT);
    let per_node = of(85, &[(0, 1, 1, 1), (1, 1, 1, 1)], |spec| {
        spec.request.gres = vec![gpus(GresScope::Node, 1)];
        rare(spec, &[("gpus-per-node", "1")]);
    });
    check("sbatch --gpus-per-node=1 -N2", &per_node, &USER, &CLIENT);
}

#[test]
fn other_options() {
    let options = of(87, &[(0, 1, 1, 0)], |spec| {
        spec.request.overcommit = true;
        rare(spec, &[("cpu-freq", "High"), ("distribution", "cyclic:block"), ("profile", "task")]);
    });
    let title = "sbatch --cpu-freq=high --distribution=cyclic:block --profile=task --overcommit";
    check(title, &options, &USER, &CLIENT);
    let chosen = of(93, &[(1, 1, 1, 0), (3, 1, 1, 0)], |spec| {
        let kind = DependencyKind::Singleton;
        let state = DependencyState::Unfulfilled;
        spec.dependencies.all =
            vec![Dependency { kind, job: None, task_index: None, delay_minutes: 0, of_array: false, state }];
    });
    check("sbatch -w n2,n4 -d singleton", &chosen, &USER, &CLIENT);
}

#[test]
fn arrays_and_other_users() {
    let mut task = of(98, &[(0, 1, 1, 0)], |spec| {
        spec.name = "arr".into();
        spec.array = TaskSet::parse("3-7:2", 1000).map(|tasks| ArraySpec { tasks, throttle: Some(1) });
    });
    task.array = Some(ArrayRole::Task { array_job_id: JobId(97), task_index: 3 });
    check("sbatch -J arr -a 3-7:2%1, task 3", &task, &USER, &CLIENT);
    let alices = of(102, &[(0, 1, 1, 0)], |spec| {
        spec.identity = Identity { uid: 1001, gid: 1001, user: "alice".into(), group: "alice".into() };
        spec.account = None;
    });
    let mut user = USER.to_vec();
    user[1] = "HOME=/home/alice";
    user.extend(["LOGNAME=alice", "USER=alice"]);
    check("alice: sbatch", &alices, &user, &CLIENT);
}

#[test]
fn export_fills_up_from_a_login() {
    // Changed by the shell that runs the script, so it is set in every transcript.
    let keeps_pwd = |mut lines: Vec<String>| {
        lines.retain(|line| !line.starts_with("PWD="));
        lines
    };
    let check = |id, export, title| {
        let client = ClientFacts { export: Some(export), ..CLIENT };
        let got = keeps_pwd(script(&job(id), &USER, &client));
        let mut expected = keeps_pwd(section(include_str!("batch.txt"), title));
        for line in &mut expected {
            // The profile of the recorded user put more before the path of a login.
            if export == "NONE" && line.starts_with("PATH=") {
                *line = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
            }
        }
        assert_eq!(got, expected, "{title}");
    };
    check(76, "NONE", "sbatch --export=NONE");
    check(78, "ALL,B=2", "sbatch --export=ALL,B=2");
    let all = ClientFacts { export: Some("all"), ..CLIENT };
    assert_eq!(submit_environment(&all, false), submit_environment(&CLIENT, false), "ALL is as if it were not given");
}

/// Seen with real Slurm: these were set in the shell that called `sbatch`.
#[test]
fn what_the_shell_had_of_other_jobs() {
    let user = [
        "TMPDIR=/var/tmp",
        "SLURM_JOB_NAME=zz",
        "SLURM_NTASKS=9",
        "SLURM_CLUSTER_NAME=foo",
        "SLURMD_NODENAME=q",
        "SLURM_PROCID=5",
        "SLURM_JOB_ID=3",
        "SLURM_STEP_ID=8",
        "SLURM_ARRAY_TASK_ID=3",
        "SLURM_MEM_PER_CPU=3",
        "SLURM_JOB_GPUS=3",
        "SLURM_SUBMIT_DIR=/x",
        "SLURM_PRIO_PROCESS=4",
        "CUDA_VISIBLE_DEVICES=7",
        "ROCR_VISIBLE_DEVICES=7",
        "HOSTNAME=hh",
        "ENVIRONMENT=e",
        "SLURM_CPUS_PER_TASK=4",
    ];
    let got = script(&job(1290), &user, &CLIENT);
    let check = |name: &str, expected: Option<&str>| {
        let value = got.iter().filter_map(|line| line.split_once('=')).find(|(known, _)| *known == name);
        assert_eq!(value.map(|(_, value)| value), expected, "{name}");
    };
    for (name, value) in [
        ("TMPDIR", "/var/tmp"),
        ("SLURM_NTASKS", "9"),
        ("SLURM_STEP_ID", "8"),
        ("SLURM_ARRAY_TASK_ID", "3"),
        ("SLURM_MEM_PER_CPU", "3"),
    ] {
        check(name, Some(value));
    }
    for (name, value) in [
        ("SLURM_JOB_NAME", "env.sh"),
        ("SLURM_CLUSTER_NAME", "peer"),
        ("SLURMD_NODENAME", "n1"),
        ("SLURM_PROCID", "0"),
        ("SLURM_JOB_ID", "1290"),
        ("SLURM_SUBMIT_DIR", "/tmp/w"),
        ("SLURM_PRIO_PROCESS", "0"),
        ("HOSTNAME", "n1"),
        ("ENVIRONMENT", "BATCH"),
    ] {
        check(name, Some(value));
    }
    for name in ["SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "SLURM_CPUS_PER_TASK"] {
        check(name, None);
    }
}

#[test]
fn restarts_and_times() {
    let mut again = job(1268);
    again.restart = RestartCount(1);
    again.start_time = Some(Timestamp::from_seconds(1000));
    again.end_time = Some(Timestamp::from_seconds(1600));
    let got = script(&again, &[], &CLIENT);
    for line in ["SLURM_RESTART_COUNT=1", "SLURM_JOB_START_TIME=1000", "SLURM_JOB_END_TIME=1600"] {
        assert!(got.iter().any(|known| known == line), "{line}");
    }
    again.end_time = None;
    assert!(!script(&again, &[], &CLIENT).iter().any(|line| line.starts_with("SLURM_JOB_END_TIME")));
}

#[test]
fn a_script_on_every_node_knows_its_place() {
    let job = of(9, &[(0, 2, 1, 0), (2, 1, 1, 0)], |spec| spec.kind = JobKind::EveryNode);
    let nodes = nodes(&job);
    let mut launch = launch(&job, &nodes, 2);
    let value = |list: Vec<(String, String)>, name: &str| {
        list.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    };
    for (name, expected) in [
        ("SLURM_NODEID", "1"),
        ("SLURM_PROCID", "1"),
        ("SLURM_LOCALID", "0"),
        ("SLURM_CPUS_ON_NODE", "1"),
        ("SLURMD_NODENAME", "n3"),
        ("SLURM_JOB_NODELIST", "n[1,3]"),
    ] {
        assert_eq!(value(batch_environment(&launch), name).as_deref(), Some(expected), "{name}");
    }
    // A node that is none of the job's is a mistake elsewhere; it must not stop this one.
    launch.here = NodeIndex(7);
    assert_eq!(value(batch_environment(&launch), "SLURM_CPUS_ON_NODE"), None);
}
