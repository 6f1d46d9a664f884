//! Jobs, steps and nodes as `scontrol show` was asked about them.

use std::sync::Arc;

use muster_model::dependency::{Dependency, DependencyKind, DependencyState};
use muster_model::ids::{JobId, Name, StepId};
use muster_model::job::{Hold, Job, RareOptions};
use muster_model::node::NodeReason;
use muster_model::resources::{GresRequest, GresScope, IndexSet, Megabytes, MemoryRequest, Sharing};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::step::StepLaunch;
use muster_model::time::{TimeLimit, Timestamp};

use serde_json::json;

use super::scene_nodes;
use super::scenes::{Scene, at, document, end, gpu, hold, job, run, share, step, task, waiting};

/// The scene.
pub fn records() -> Scene {
    let mut scene = scene_nodes::idle();
    scene.jobs = vec![
        scripted(),
        steps(),
        ended(53, "done"),
        ended(54, "fails"),
        ended(55, "sig"),
        ended(56, "canc"),
        array(),
        full(),
        gpus(),
    ];
    scene.jobs.extend(tasks());
    scene.steps = job_steps();
    nodes(&mut scene);
    scene.parameters = vec![("SlurmdPort".to_owned(), "6818".to_owned())];
    scene
}

fn scripted() -> Arc<Job> {
    job(51, "scripted", "08:01:07", |job, spec| {
        job.time_limit = TimeLimit::from_minutes(30);
        spec.command = Some("/tmp/w/job.sh".into());
        spec.arguments = vec!["600".into()];
        spec.rare = Some(Box::new(RareOptions { comment: Some("from script".into()), ..RareOptions::default() }));
        run(job, "08:01:08", vec![share(1, &[7], &[])]);
    })
}

fn steps() -> Arc<Job> {
    job(52, "steps", "08:01:07", |job, spec| {
        let request = &mut spec.request;
        (request.nodes_min, request.nodes_max, request.tasks, request.cpus_per_task) = (2, Some(2), 4, 2);
        request.memory = Some(MemoryRequest::PerNode(Megabytes(1024)));
        request.gres = vec![GresRequest { scope: GresScope::Node, gres: gpu(1) }];
        job.priority = 10412;
        run(job, "08:01:08", vec![share(1, &[0, 1, 2, 3, 4, 5], &[0]), share(2, &[0, 1], &[0])]);
    })
}

fn ended(id: u32, name: &str) -> Arc<Job> {
    let submit = if id == 53 { "08:01:07" } else { "08:01:08" };
    job(id, name, submit, |job, _| {
        run(job, "08:01:08", vec![share(1, &[8], &[])]);
        let (state, exit) = match id {
            53 => (JobState::Completed, ExitStatus::SUCCESS),
            54 => (JobState::Failed, ExitStatus::exited(7)),
            55 => (JobState::Failed, ExitStatus::signaled(9)),
            _ => (JobState::Cancelled, ExitStatus::signaled(15)),
        };
        end(job, "08:01:08", state, exit);
        if id == 55 {
            job.reason = Reason::JobLaunchFailure;
        }
    })
}

/// Recorded a moment before its first tasks started.
fn array() -> Arc<Job> {
    job(57, "arr", "08:01:08", |job, spec| {
        waiting(job, spec, "1-4", Some(2));
        spec.output = Some("o-%A_%a".into());
        job.eligible_time = Some(at("08:01:09"));
    })
}

fn tasks() -> Vec<Arc<Job>> {
    // A single job and a task that are not asked about, so that they must not show.
    vec![
        job(60, "crash", "08:01:09", |job, spec| {
            job.time_limit = TimeLimit::from_minutes(5);
            spec.request.gres = vec![GresRequest { scope: GresScope::Job, gres: gpu(2) }];
        }),
        job(70, "other", "08:01:09", |job, spec| {
            task(job, spec, 69, 1, "1-2", None);
            hold(job, Hold::User);
        }),
    ]
}

fn full() -> Arc<Job> {
    job(58, "full", "08:01:09", |job, spec| {
        let request = &mut spec.request;
        (request.nodes_min, request.nodes_max, request.tasks, request.cpus_per_task) = (2, Some(2), 8, 2);
        request.tasks_per_node = Some(4);
        request.memory = Some(MemoryRequest::PerCpu(Megabytes(500)));
        request.gres = vec![GresRequest { scope: GresScope::Node, gres: gpu(1) }];
        request.tmp_disk_min = Some(Megabytes(5 << 10));
        request.constraint = Some("fast&ssd".into());
        request.nodes_required = Some("n[1-2]".into());
        request.nodes_excluded = Some("n3".into());
        request.sharing = Sharing::Exclusive;
        request.contiguous = true;
        request.licenses = Some("matlab:2".into());
        spec.nice = 5;
        spec.requeue = Some(false);
        spec.time_limit_min = Some(TimeLimit::from_minutes(60));
        spec.deadline = Some(Timestamp::from_seconds(1_801_440_000));
        spec.work_dir = "/tmp".into();
        spec.error = Some("err-%j".into());
        let layout = &mut spec.request.layout;
        (layout.sockets_per_node, layout.cores_per_socket, layout.threads_per_core) = (Some(1), Some(8), Some(1));
        let wait = Some(muster_model::time::Span::from_minutes(5));
        spec.request.preference.switches = Some(muster_model::resources::SwitchLimit { count: 1, wait });
        let others = [("reboot", ""), ("switches", "1@00:05:00"), ("profile", "Task")];
        spec.rare = Some(Box::new(RareOptions {
            comment: Some("a comment".into()),
            mail_type: Some("INVALID_DEPEND,BEGIN,END,FAIL,REQUEUE,STAGE_OUT".into()),
            mail_user: Some("a@b.c".into()),
            others: others.iter().map(|(key, value)| (Name::from(*key), Name::from(*value))).collect(),
            ..RareOptions::default()
        }));
        hold(job, Hold::User);
        job.begin_time = Some(Timestamp::from_seconds(1_798_859_045));
        job.time_limit = TimeLimit::from_minutes(1440);
        job.partition = "batch".into();
        job.dependencies.all = vec![Dependency {
            kind: DependencyKind::AfterAny,
            job: Some(JobId(51)),
            task_index: None,
            delay_minutes: 0,
            of_array: false,
            state: DependencyState::Unfulfilled,
        }];
    })
}

fn gpus() -> Arc<Job> {
    job(61, "gpt", "08:01:09", |job, _| {
        hold(job, Hold::User);
        job.reason = Reason::JobHeldUser;
    })
}

fn job_steps() -> Vec<Arc<muster_model::step::Step>> {
    let launch: StepLaunch = document(json!({
        "command": ["sleep"], "work_dir": "/tmp/w", "environment": [], "umask": 18, "input": "null", "output": "null",
        "client_address": "vm:27553", "client_cookie": "",
    }));
    let launch = Arc::new(launch);
    let mut first = step(
        52,
        StepId::Number(0),
        "sleep",
        "08:01:08",
        4,
        vec![share(1, &[0, 1, 2, 3, 4, 5], &[0]), share(2, &[0, 1], &[0])],
    );
    let mut second = step(52, StepId::Number(1), "sleep", "08:01:08", 1, vec![share(1, &[0, 1, 2, 3, 4, 5], &[0])]);
    first.launch = Some(launch.clone());
    second.launch = Some(launch);
    let batch = step(52, StepId::Batch, "batch", "08:01:08", 1, vec![share(1, &[0, 1, 2, 3, 4, 5], &[0])]);
    vec![Arc::new(first), Arc::new(second), Arc::new(batch)]
}

fn nodes(scene: &mut Scene) {
    let told: [(u32, u32, u64, &str, &str); 4] = [
        (11, 31, 23_734, "07:44:32", "07:59:13"),
        (2, 29, 23_721, "07:44:31", "07:59:10"),
        (1, 31, 23_734, "07:44:32", "07:59:10"),
        (0, 29, 23_721, "07:44:31", "07:59:10"),
    ];
    for (node, (cpus, load, free, boot, busy)) in scene.nodes.iter_mut().zip(told) {
        let node = Arc::make_mut(node);
        node.used.cpus = IndexSet::first_n(cpus);
        node.used.jobs_running = u32::from(cpus > 0);
        node.report.load_hundredths = load;
        node.report.memory_free = Megabytes(free);
        node.report.boot_time = at(boot);
        node.last_busy = Some(at(busy));
    }
    let n1 = Arc::make_mut(&mut scene.nodes[0]);
    n1.used.gres = share(1, &[0], &[0]).gres;
    let n4 = Arc::make_mut(&mut scene.nodes[3]);
    n4.drain = true;
    n4.reason = Some(NodeReason { text: "bad disk".into(), user: "root".into(), uid: 0, time: at("08:01:11") });
}
