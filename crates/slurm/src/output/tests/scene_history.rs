//! Jobs of which `sacct` tells.

use std::sync::Arc;

use muster_model::ids::StepId;
use muster_model::job::{Hold, Job, JobKind, JobSpec, RareOptions};
use muster_model::request::HistoryRow;
use muster_model::resources::{Megabytes, MemoryRequest, NodeShare};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::Step;
use muster_model::time::TimeLimit;

use super::scene_nodes;
use super::scenes::{Scene, alice, at, end, hold, job, run, share, step, task, waiting};

const SUBMIT: &str = "08:23:43";
const START: &str = "08:23:45";

/// CPU time in microseconds (user, system) and the largest resident set in KiB.
type Used = (u64, u64, u64);

fn done(
    mut step: Step,
    end: &str,
    state: JobState,
    exit: ExitStatus,
    (user_cpu_us, system_cpu_us, rss_kb_max): Used,
) -> Step {
    step.end_time = Some(at(end));
    step.state = state;
    step.exit = exit;
    step.usage = Usage { user_cpu_us, system_cpu_us, rss_kb_max };
    step
}

fn batch(id: u32, start: &str, shares: Vec<NodeShare>) -> Step {
    step(id, StepId::Batch, "batch", start, 1, shares)
}

fn one(node: u32) -> Vec<NodeShare> {
    vec![share(node, &[0], &[])]
}

fn row(job: Arc<Job>, steps: Vec<Step>) -> HistoryRow {
    HistoryRow { job, steps }
}

/// A job with only a script, that ran from `start` to `time`.
fn simple(
    id: u32,
    name: &str,
    start: &str,
    time: &str,
    ended: (JobState, ExitStatus),
    used: Used,
    change: impl FnOnce(&mut Job, &mut JobSpec),
) -> HistoryRow {
    let job = job(id, name, SUBMIT, |job, spec| {
        run(job, start, one(1));
        end(job, time, ended.0, ended.1);
        change(job, spec);
    });
    let node = job.batch_host.as_deref().map_or(1, |host| if host == "n2" { 2 } else { 1 });
    let step_state = if ended.1.signal > 0 { JobState::Cancelled } else { ended.0 };
    row(job, vec![done(batch(id, start, one(node)), time, step_state, ended.1, used)])
}

/// The scene, in the order of the transcripts.
pub fn history() -> Scene {
    let mut scene = scene_nodes::idle();
    scene.history = [ended(), cancelled(), waiting_and_running(), array(), rest()].concat();
    scene
}

fn ended() -> Vec<HistoryRow> {
    let timeout = job(530, "tmo", SUBMIT, |job, _| {
        job.time_limit = TimeLimit::from_minutes(1);
        run(job, START, one(1));
        end(job, "08:25:12", JobState::Timeout, ExitStatus::signaled(15));
    });
    let signaled = ExitStatus::signaled(15);
    let timeout_steps = vec![
        done(batch(530, START, one(1)), "08:25:12", JobState::Cancelled, signaled, (0, 1100, 10_560)),
        done(
            step(530, StepId::Number(0), "sleep", START, 1, one(1)),
            "08:25:12",
            JobState::Cancelled,
            signaled,
            (900, 1900, 1780),
        ),
    ];
    vec![
        row(timeout, timeout_steps),
        simple(531, "good", START, START, (JobState::Completed, ExitStatus::SUCCESS), (0, 1000, 0), |_, spec| {
            spec.rare = Some(Box::new(RareOptions { comment: Some("my comment".into()), ..RareOptions::default() }));
        }),
        simple(532, "bad", START, START, (JobState::Failed, ExitStatus::exited(7)), (1000, 0, 0), |_, _| {}),
        simple(533, "sig", START, START, (JobState::Failed, ExitStatus::signaled(9)), (1000, 0, 0), |_, _| {}),
        several_steps(),
    ]
}

fn several_steps() -> HistoryRow {
    let steps = job(534, "steps", SUBMIT, |job, spec| {
        (spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks) = (2, Some(2), 4);
        spec.request.memory = Some(MemoryRequest::PerNode(Megabytes(1024)));
        job.partition = "batch".into();
        job.time_limit = TimeLimit::from_minutes(60);
        job.derived_exit = ExitStatus::exited(3);
        run(job, START, vec![share(1, &[0, 1, 2], &[]), share(2, &[0], &[])]);
        end(job, START, JobState::Completed, ExitStatus::SUCCESS);
    });
    let (first, both) = (|| vec![share(1, &[0, 1, 2], &[])], || vec![share(1, &[0, 1, 2], &[]), share(2, &[0], &[])]);
    let steps_steps = vec![
        done(batch(534, START, first()), START, JobState::Completed, ExitStatus::SUCCESS, (11_535, 16_487, 0)),
        done(
            step(534, StepId::Number(0), "true", START, 4, both()),
            START,
            JobState::Completed,
            ExitStatus::SUCCESS,
            (4496, 1371, 0),
        ),
        done(
            step(534, StepId::Number(1), "second", START, 1, first()),
            START,
            JobState::Failed,
            ExitStatus::exited(3),
            (2000, 0, 0),
        ),
        done(
            step(534, StepId::Number(2), "bash", START, 1, first()),
            START,
            JobState::Failed,
            ExitStatus::signaled(11),
            (2600, 0, 0),
        ),
    ];
    row(steps, steps_steps)
}

fn cancelled() -> Vec<HistoryRow> {
    let canc = job(535, "canc", SUBMIT, |job, _| {
        run(job, START, one(1));
        end(job, "08:23:47", JobState::Cancelled, ExitStatus::signaled(15));
        job.cancelled_by = Some(0);
    });
    let signaled = ExitStatus::signaled(15);
    let canc_steps = vec![
        done(batch(535, START, one(1)), "08:23:47", JobState::Cancelled, signaled, (0, 1200, 0)),
        done(
            step(535, StepId::Number(0), "sleep", START, 1, one(1)),
            "08:23:47",
            JobState::Cancelled,
            signaled,
            (1900, 0, 0),
        ),
    ];
    let pending = job(536, "cancpend", SUBMIT, |job, _| {
        hold(job, Hold::User);
        job.state = JobState::Cancelled;
        job.end_time = Some(at("08:23:47"));
        job.cancelled_by = Some(0);
    });
    vec![
        row(canc, canc_steps),
        row(pending, Vec::new()),
        simple(537, "cancbob", START, "08:23:47", (JobState::Cancelled, signaled), (0, 1000, 0), |job, spec| {
            spec.identity = alice();
            spec.account = None;
            job.cancelled_by = Some(0);
        }),
    ]
}

fn waiting_and_running() -> Vec<HistoryRow> {
    let pend = job(540, "pend", SUBMIT, |job, spec| {
        spec.request.constraint = Some("fast".into());
        job.time_limit = TimeLimit::from_minutes(5);
        hold(job, Hold::User);
    });
    let two = || vec![share(1, &[0, 1], &[])];
    let running = job(542, "run", SUBMIT, |job, spec| {
        spec.request.cpus_per_task = 2;
        run(job, START, two());
    });
    let running_steps = vec![batch(542, START, two()), step(542, StepId::Number(0), "sleep", START, 1, two())];
    let direct = job(543, "direct", SUBMIT, |job, spec| {
        spec.kind = JobKind::Allocation;
        run(job, START, one(1));
        end(job, START, JobState::Completed, ExitStatus::SUCCESS);
    });
    let direct_step = done(
        step(543, StepId::Number(0), "direct", START, 1, one(1)),
        START,
        JobState::Completed,
        ExitStatus::SUCCESS,
        (0, 2000, 0),
    );
    vec![row(pend, Vec::new()), row(running, running_steps), row(direct, vec![direct_step])]
}

fn array() -> Vec<HistoryRow> {
    let times: [(u32, u32, &str, &str, Used); 6] = [
        (544, 1, START, "08:23:47", (2000, 0, 0)),
        (545, 2, START, "08:23:49", (2000, 0, 0)),
        (549, 3, "08:23:47", "08:23:53", (1100, 1900, 3140)),
        (550, 4, "08:23:51", "08:23:59", (1000, 2000, 3124)),
        (551, 5, "08:23:54", "08:24:04", (1000, 1000, 3076)),
        (538, 6, "08:24:00", "08:24:12", (1500, 1500, 3244)),
    ];
    times
        .into_iter()
        .map(|(id, index, start, time, used)| {
            let ended = if index == 2 {
                (JobState::Failed, ExitStatus::exited(1))
            } else {
                (JobState::Completed, ExitStatus::SUCCESS)
            };
            simple(id, "arr", start, time, ended, used, |job, spec| {
                task(job, spec, 538, index, "1-6", Some(2));
                if index == 3 {
                    job.node_list = Some("n2".into());
                    job.batch_host = Some("n2".into());
                }
            })
        })
        .collect()
}

fn rest() -> Vec<HistoryRow> {
    let held = job(541, "parr", SUBMIT, |job, spec| {
        waiting(job, spec, "1,3,5-9", Some(2));
        hold(job, Hold::User);
    });
    let alloc = job(546, "alloc", START, |job, spec| {
        spec.kind = JobKind::Allocation;
        run(job, START, one(2));
        end(job, START, JobState::Completed, ExitStatus::SUCCESS);
    });
    let alloc_step = done(
        step(546, StepId::Number(0), "true", START, 1, one(2)),
        START,
        JobState::Completed,
        ExitStatus::SUCCESS,
        (600, 500, 0),
    );
    vec![
        row(held, Vec::new()),
        row(alloc, vec![alloc_step]),
        simple(547, "oom", START, START, (JobState::Completed, ExitStatus::SUCCESS), (0, 0, 0), |_, _| {}),
        simple(548, "alices", START, START, (JobState::Completed, ExitStatus::SUCCESS), (0, 0, 0), |_, spec| {
            spec.identity = alice();
            spec.account = None;
        }),
        simple(
            539,
            "requeued",
            "08:23:57",
            "08:23:57",
            (JobState::Completed, ExitStatus::SUCCESS),
            (0, 1000, 0),
            |_, _| {},
        ),
    ]
}
