//! Jobs in every common state.

use std::sync::Arc;

use muster_model::dependency::{Dependencies, Dependency, DependencyKind, DependencyState};
use muster_model::ids::{JobId, StepId};
use muster_model::job::{Hold, Job, JobSpec, RareOptions};
use muster_model::resources::{GresRequest, GresScope, Megabytes, MemoryRequest, NodeShare, Sharing};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::step::Step;
use muster_model::time::TimeLimit;

use super::scene_nodes;
use super::scenes::{Scene, alice, at, end, gpu, hold, job, run, share, step, task, waiting};

fn dependency(kind: DependencyKind, id: u32, state: DependencyState) -> Dependency {
    Dependency { kind, job: Some(JobId(id)), task_index: None, delay_minutes: 0, of_array: false, state }
}

fn waits(job: &mut Job, reason: Reason) {
    job.reason = reason;
}

fn gpus(spec: &mut JobSpec, count: u64) {
    spec.request.gres = vec![GresRequest { scope: GresScope::Node, gres: gpu(count) }];
}

/// The cluster. Without `completing_step`, the script of the completing job has gone.
pub fn busy(completing_step: bool) -> Scene {
    let mut scene = scene_nodes::mixed();
    scene.jobs =
        [started(), started_later(), waiting_for_others(), waiting_for_other_things(), held(), special()].concat();
    scene.steps =
        steps().into_iter().filter(|step| completing_step || step.job_id != JobId(29)).map(Arc::new).collect();
    scene
}

fn batch(job: u32, start: &str, place: NodeShare) -> Step {
    step(job, StepId::Batch, "batch", start, 1, vec![place])
}

fn steps() -> Vec<Step> {
    vec![
        step(4, StepId::Number(0), "sleep", "07:53:27", 4, vec![share(3, &[0, 1, 2], &[]), share(4, &[0], &[])]),
        batch(4, "07:53:27", share(3, &[0, 1, 2], &[])),
        batch(5, "07:53:27", share(3, &[5], &[])),
        batch(1, "07:53:27", share(3, &[6], &[])),
        batch(3, "07:53:27", share(2, &[0, 1], &[])),
        batch(6, "07:53:27", share(3, &[7], &[])),
        batch(7, "07:53:27", share(3, &[8], &[])),
        batch(19, "07:54:16", share(3, &[9], &[])),
        batch(29, "07:54:46", share(1, &[0], &[])),
        batch(30, "07:55:16", share(1, &[1], &[])),
    ]
}

fn started() -> Vec<Arc<Job>> {
    vec![
        job(1, "running", "07:53:26", |job, _| run(job, "07:53:27", vec![share(3, &[6], &[])])),
        job(2, "arr", "07:53:26", |job, spec| {
            waiting(job, spec, "2-3", Some(2));
            waits(job, Reason::JobArrayTaskLimit);
            job.priority = 10233;
            job.last_evaluated = Some(at("07:53:27"));
        }),
        job(3, "gres", "07:53:26", |job, spec| {
            spec.request.cpus_per_task = 2;
            spec.request.memory = Some(MemoryRequest::PerNode(Megabytes(1024)));
            spec.request.nodes_required = Some("n2".into());
            gpus(spec, 1);
            job.priority = 10240;
            run(job, "07:53:27", vec![share(2, &[0, 1], &[0])]);
        }),
        job(4, "multinode", "07:53:26", |job, spec| {
            (spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks) = (2, Some(2), 4);
            spec.request.memory = Some(MemoryRequest::PerCpu(Megabytes(100)));
            spec.request.nodes_required = Some("n[3-4]".into());
            spec.rare = Some(Box::new(RareOptions { comment: Some("a comment".into()), ..RareOptions::default() }));
            job.time_limit = TimeLimit::from_minutes(26 * 60 + 4);
            job.partition = "batch".into();
            job.priority = 11281;
            run(job, "07:53:27", vec![share(3, &[0, 1, 2], &[]), share(4, &[0], &[])]);
        }),
        job(5, "a very long job name", "07:53:26", |job, spec| {
            spec.identity = alice();
            spec.account = None;
            job.time_limit = TimeLimit::from_minutes(30);
            job.partition = "batch".into();
            job.priority = 1132;
            run(job, "07:53:27", vec![share(3, &[5], &[])]);
        }),
        job(6, "arr", "07:53:26", |job, spec| {
            task(job, spec, 2, 0, "0-3", Some(2));
            run(job, "07:53:27", vec![share(3, &[7], &[])]);
        }),
        job(7, "arr", "07:53:26", |job, spec| {
            task(job, spec, 2, 1, "0-3", Some(2));
            run(job, "07:53:27", vec![share(3, &[8], &[])]);
        }),
    ]
}

fn started_later() -> Vec<Arc<Job>> {
    vec![
        job(15, "wrap", "07:53:28", |job, _| {
            run(job, "07:53:29", vec![share(1, &[0], &[])]);
            end(job, "07:53:29", JobState::Failed, ExitStatus::exited(1));
        }),
        job(19, "lic0", "07:54:16", |job, spec| {
            spec.request.licenses = Some("matlab:4".into());
            run(job, "07:54:16", vec![share(3, &[9], &[])]);
        }),
        job(29, "complet", "07:54:16", |job, _| {
            run(job, "07:54:46", vec![share(1, &[0], &[])]);
            end(job, "07:55:51", JobState::Cancelled, ExitStatus::signaled(15));
            job.completing = true;
        }),
        job(30, "suspended", "07:54:16", |job, _| {
            run(job, "07:55:16", vec![share(1, &[1], &[])]);
            job.state = JobState::Suspended;
            job.suspend_time = Some(at("07:55:16"));
            job.priority = 0;
        }),
    ]
}

/// A job that waits for `reason`.
fn pending(id: u32, name: &str, submit: &str, reason: Reason, change: impl FnOnce(&mut Job, &mut JobSpec)) -> Arc<Job> {
    job(id, name, submit, |job, spec| {
        waits(job, reason);
        change(job, spec);
    })
}

fn waiting_for_others() -> Vec<Arc<Job>> {
    vec![
        pending(8, "resources", "07:53:27", Reason::Resources, |job, spec| {
            (spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks) = (4, Some(4), 4);
            spec.request.sharing = Sharing::Exclusive;
            job.priority = 11100;
            job.start_time = Some(at("22 09:57:27"));
        }),
        pending(9, "priority", "07:53:28", Reason::Priority, |job, spec| {
            (spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks) = (4, Some(4), 4);
            spec.request.sharing = Sharing::Exclusive;
            job.priority = 11000;
            job.start_time = Some(at("22 09:57:27"));
        }),
        pending(12, "begin", "07:53:28", Reason::BeginTime, |job, _| job.begin_time = Some(at("10:53:28"))),
        pending(13, "depend", "07:53:28", Reason::Dependency, |job, _| {
            job.eligible_time = None;
            job.dependencies.all = vec![dependency(DependencyKind::AfterOk, 1, DependencyState::Unfulfilled)];
        }),
        pending(14, "depend2", "07:53:28", Reason::Dependency, |job, _| {
            job.eligible_time = None;
            job.dependencies.all = vec![
                dependency(DependencyKind::AfterOk, 1, DependencyState::Unfulfilled),
                dependency(DependencyKind::AfterAny, 3, DependencyState::Unfulfilled),
            ];
        }),
    ]
}

fn waiting_for_other_things() -> Vec<Arc<Job>> {
    vec![
        pending(16, "never", "07:53:29", Reason::DependencyNeverSatisfied, |job, _| {
            job.eligible_time = None;
            let all = vec![dependency(DependencyKind::AfterOk, 15, DependencyState::Failed)];
            job.dependencies = Dependencies { all, any_is_enough: false };
        }),
        pending(17, "parttime", "07:53:29", Reason::PartitionTimeLimit, |job, _| {
            job.time_limit = TimeLimit::from_minutes(300);
            job.priority = 10233;
        }),
        pending(18, "partnode", "07:53:29", Reason::PartitionDown, |job, spec| {
            (spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks) = (2, Some(2), 2);
            job.time_limit = TimeLimit::from_minutes(480);
            job.partition = "small".into();
            job.priority = 10990;
        }),
        pending(20, "lic", "07:54:16", Reason::Priority, |_, spec| spec.request.licenses = Some("matlab:1,foo".into())),
        pending(21, "gpuwait", "07:54:16", Reason::Priority, |job, spec| {
            spec.request.nodes_required = Some("n2".into());
            gpus(spec, 2);
            job.start_time = Some(at("08:03:27"));
            job.planned_nodes = Some("n2".into());
        }),
        pending(27, "partdown", "07:54:16", Reason::PartitionDown, |job, _| {
            job.time_limit = TimeLimit::from_minutes(480);
            job.partition = "small".into();
        }),
        pending(28, "inresv", "07:54:16", Reason::Reservation, |_, spec| spec.reservation = Some("resv1".into())),
    ]
}

fn held() -> Vec<Arc<Job>> {
    vec![
        job(10, "heldjob", "07:53:28", |job, _| hold(job, Hold::User)),
        job(11, "heldadm", "07:53:28", |job, spec| {
            spec.identity = alice();
            spec.account = None;
            hold(job, Hold::Admin);
        }),
        job(22, "arrheld", "07:54:16", |job, spec| {
            waiting(job, spec, "1,3,5,7,9,20-40", Some(3));
            hold(job, Hold::User);
        }),
        job(23, "bigarr", "07:54:16", |job, spec| {
            waiting(job, spec, "0-1000", None);
            hold(job, Hold::User);
        }),
        job(25, "noname", "07:54:16", |job, _| hold(job, Hold::User)),
    ]
}

fn special() -> Vec<Arc<Job>> {
    vec![
        job(24, "feat", "07:54:16", |job, spec| {
            spec.request.constraint = Some("fast&ssd".into());
            spec.request.nodes_required = Some("n2".into());
            spec.request.nodes_excluded = Some("n1".into());
            hold(job, Hold::User);
        }),
        job(26, "sockets", "07:54:16", |job, spec| {
            let request = &mut spec.request;
            (request.nodes_min, request.nodes_max, request.tasks, request.cpus_per_task) = (2, Some(3), 4, 3);
            request.tasks_per_node = Some(2);
            request.memory = Some(MemoryRequest::PerNode(Megabytes(2500)));
            request.tmp_disk_min = Some(Megabytes(10));
            request.nodes_excluded = Some("n4".into());
            request.contiguous = true;
            spec.nice = 7;
            let layout = &mut spec.request.layout;
            (layout.sockets_per_node, layout.cores_per_socket, layout.threads_per_core) = (Some(1), Some(2), Some(1));
            hold(job, Hold::User);
        }),
    ]
}

/// Three jobs that have ended.
pub fn ended() -> Scene {
    let mut scene = scene_nodes::idle();
    scene.jobs = vec![
        job(47, "wrap", "07:59:11", |job, _| {
            run(job, "07:59:12", vec![share(1, &[0], &[])]);
            end(job, "07:59:12", JobState::Completed, ExitStatus::SUCCESS);
        }),
        job(48, "wrap", "07:59:11", |job, _| {
            run(job, "07:59:12", vec![share(1, &[1], &[])]);
            end(job, "07:59:12", JobState::Failed, ExitStatus::exited(3));
        }),
        job(49, "wrap", "07:59:11", |job, _| {
            run(job, "07:59:12", vec![share(1, &[2], &[])]);
            end(job, "07:59:13", JobState::Cancelled, ExitStatus::signaled(15));
        }),
    ];
    scene
}
