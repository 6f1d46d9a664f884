//! Texts about one job that several tables share: identifiers, times, counts, files, reasons.

use muster_model::accounting::Ageing;
use muster_model::dependency::Dependencies;
use muster_model::heterogeneous::HetRole;
use muster_model::ids::{JobId, StepId};
use muster_model::job::{ArrayRole, Job, JobKind};
use muster_model::partition::{MemoryDefault, OverSubscribe};
use muster_model::resources::{MemoryRequest, Sharing};
use muster_model::state::{JobState, Reason};
use muster_model::step::Step;
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::context::{Cluster, Context};
use super::format::truncate;
use super::time_text;
use crate::grammar::patterns;

/// What Slurm prints for most things that are not set.
pub const NULL: &str = "(null)";

/// The text, or `(null)`.
pub fn or_null(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or(NULL).to_owned()
}

/// The waiting tasks of an array as shown: `2-3%1`, cut with `...` when longer than the environment allows.
pub fn waiting_tasks(job: &Job, context: &Context) -> Option<String> {
    let Some(ArrayRole::Waiting { tasks }) = &job.array else {
        return None;
    };
    let mut text = tasks.to_string();
    let limit = context.task_list_len_max;
    // Slurm keeps one place for the end of the string and overwrites the last three characters.
    if limit > 4 && text.len() > limit - 3 {
        text = format!("{}...", truncate(&text, limit - 4));
    }
    if let Some(throttle) = throttle(job) {
        text.push_str(&format!("%{throttle}"));
    }
    Some(text)
}

/// `--array=…%N`.
pub fn throttle(job: &Job) -> Option<u32> {
    job.spec.array.as_ref().and_then(|array| array.throttle)
}

/// `12`, `12_3`, `12_[2-3%1]`. `task` names one of the waiting tasks.
pub fn array_id(job: &Job, task: Option<u32>, context: &Context) -> String {
    match (&job.array, task) {
        (Some(ArrayRole::Task { array_job_id, task_index }), _) => format!("{array_job_id}_{task_index}"),
        (Some(ArrayRole::Waiting { .. }), Some(task)) => format!("{}_{task}", job.id),
        (Some(ArrayRole::Waiting { .. }), None) => {
            format!("{}_[{}]", job.id, waiting_tasks(job, context).unwrap_or_default())
        }
        (None, _) => job.id.to_string(),
    }
}

/// As [`array_id`], and `12+1` for a component of a heterogeneous job.
pub fn shown_id(job: &Job, task: Option<u32>, context: &Context) -> String {
    match job.het {
        Some(role) => format!("{}+{}", role.leader, role.offset),
        None => array_id(job, task, context),
    }
}

/// The numbers of all components as real Slurm lists them: `12-14`.
pub fn het_set(role: HetRole) -> String {
    let (first, last) = role.range().into_inner();
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The array's number, or its own.
pub fn array_job_id(job: &Job) -> JobId {
    job.array_job_id().unwrap_or(job.id)
}

/// The option kept under `name` among the rare ones.
pub fn rare<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    let rare = job.spec.rare.as_ref()?;
    rare.others.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.as_ref())
}

/// The bundle of the job and what its container is called, as lines of `scontrol` have them behind `Container=`.
pub fn container(job: &Job) -> Option<String> {
    let asked = |name| rare(job, name).filter(|text| !text.is_empty());
    container_text(asked("container"), asked("container-id"))
}

/// The same of a step.
pub fn container_of_step(step: &Step, job: &Job) -> Option<String> {
    container_text(bundle_of_step(step, job), bundle_id_of_step(step, job))
}

fn container_text(path: Option<&str>, id: Option<&str>) -> Option<String> {
    match (path, id) {
        (None, None) => None,
        (Some(path), None) => Some(path.to_owned()),
        (path, Some(id)) => Some(format!("{} ContainerID={id}", path.unwrap_or(NULL))),
    }
}

/// The bundle in which the tasks of a step run, or the script.
pub fn bundle_of_step<'a>(step: &'a Step, job: &'a Job) -> Option<&'a str> {
    match step.step_id {
        StepId::Batch => rare(job, "container"),
        _ => step.bundle.as_deref(),
    }
    .filter(|path| !path.is_empty())
}

/// What the container of that bundle is called, while the step is there.
pub fn bundle_id_of_step<'a>(step: &'a Step, job: &'a Job) -> Option<&'a str> {
    match step.step_id {
        StepId::Batch => rare(job, "container-id"),
        _ => step.launch.as_ref().and_then(|launch| launch.bundle_id.as_deref()),
    }
    .filter(|id| !id.is_empty())
}

/// Comment of the user.
pub fn comment(job: &Job) -> Option<&str> {
    job.spec.rare.as_ref().and_then(|rare| rare.comment.as_deref())
}

/// Comment of an operator.
pub fn admin_comment(job: &Job) -> Option<&str> {
    job.spec.rare.as_ref().and_then(|rare| rare.admin_comment.as_deref())
}

/// Comment of the system: why a job could not be started on its node.
pub fn system_comment(job: &Job) -> Option<&str> {
    job.reason_detail.as_deref().filter(|_| job.state.is_final() && job.reason == Reason::JobLaunchFailure)
}

/// `--wckey`.
pub fn wckey(job: &Job) -> Option<&str> {
    job.spec.rare.as_ref().and_then(|rare| rare.wckey.as_deref())
}

/// Why it waits or how it ended, in its long form where there is one.
pub fn reason(job: &Job) -> String {
    let started = matches!(job.state, JobState::Running | JobState::Suspended);
    match &job.reason_detail {
        // Why a launch failed is told elsewhere; clients look for Slurm's word.
        Some(detail) if !started && job.reason != Reason::JobLaunchFailure => detail.to_string(),
        _ if started && !matches!(job.reason, Reason::JobHeldUser | Reason::JobHeldAdmin) => Reason::None.to_string(),
        // Slurm 22.05 tells the end by a signal in the words of a failed launch.
        _ if job.reason == Reason::RaisedSignal => Reason::JobLaunchFailure.to_string(),
        _ => job.reason.to_string(),
    }
}

/// Its nodes, or in parentheses the reason, as `squeue` shows them in one column.
pub fn nodes_or_reason(job: &Job) -> (String, bool) {
    let explains = matches!(
        job.state,
        JobState::Pending | JobState::Timeout | JobState::OutOfMemory | JobState::Deadline | JobState::Failed
    );
    if explains && !job.completing { (format!("({})", reason(job)), true) } else { (nodes(job), false) }
}

/// Its nodes; empty before it starts.
pub fn nodes(job: &Job) -> String {
    match job.state {
        JobState::Pending if !job.completing => String::new(),
        _ => job.node_list.as_deref().unwrap_or_default().to_owned(),
    }
}

/// When it started or is expected to.
pub fn start_time(job: &Job, now: Timestamp) -> Option<Timestamp> {
    match job.state {
        JobState::Pending => job.start_time.or(job.begin_time.filter(|begin| *begin > now)),
        // One that never started has no other time than its end; its expected start is no longer of interest.
        _ if !has_started(job) => job.end_time,
        _ => job.start_time,
    }
}

/// When it ended or will at the latest.
pub fn end_time(job: &Job, now: Timestamp) -> Option<Timestamp> {
    match (job.state, job.time_limit) {
        (JobState::Pending, TimeLimit::Limited(span)) => start_time(job, now).map(|start| start + span),
        (JobState::Pending, TimeLimit::Unlimited) => None,
        (JobState::Running | JobState::Suspended, TimeLimit::Limited(span)) => {
            job.end_time.or(job.start_time.map(|start| start + span))
        }
        _ => job.end_time,
    }
}

/// When it was last suspended or went on, and how many seconds it had run by the time it was suspended.
pub fn suspension(job: &Job) -> (Option<Timestamp>, i64) {
    let changed = job.suspend_time.or(job.resume_time);
    let ran = changed.zip(job.start_time).map(|(changed, start)| (changed.since(start).0 - job.suspended.0).max(0));
    (changed, ran.unwrap_or(0) / 1000)
}

/// How long it has been suspended, the present time included.
pub fn stood(job: &Job, now: Timestamp) -> Span {
    let since = job.suspend_time.filter(|_| job.state == JobState::Suspended);
    Span(job.suspended.0 + since.map_or(0, |since| now.since(since).0.max(0)))
}

/// From when it could start.
pub fn eligible_time(job: &Job) -> Option<Timestamp> {
    job.eligible_time.or_else(|| job.begin_time.filter(|begin| *begin > job.submit_time))
}

/// Since when it gathers age: from being eligible, once the scheduler has looked at it.
pub fn accrue_time(job: &Job, now: Timestamp) -> Option<Timestamp> {
    let looked_at = |eligible: Timestamp| job.last_evaluated.is_some_and(|time| time > eligible);
    let since = match job.ageing {
        Ageing::SinceEligible => job.eligible_time,
        Ageing::Since(since) => Some(since),
        Ageing::Not => None,
    };
    since.filter(|eligible| {
        *eligible <= now && (job.state != JobState::Pending || (job.hold.is_none() && looked_at(*eligible)))
    })
}

/// Whether it has ever been given nodes in this start.
pub fn has_started(job: &Job) -> bool {
    job.allocation.is_some() || job.node_list.is_some()
}

/// Seconds it has run.
pub fn seconds_used(job: &Job, now: Timestamp) -> i64 {
    job.run_time(now).seconds()
}

/// The node that runs the script.
pub fn batch_host(job: &Job) -> Option<&str> {
    if job.state == JobState::Pending && !job.completing { None } else { job.batch_host.as_deref() }
}

/// CPUs asked for.
pub fn cpus_requested(job: &Job) -> u32 {
    let request = &job.spec.request;
    let tasks = if request.overcommit { request.nodes_min } else { request.tasks.max(request.nodes_min) };
    let whole_nodes = request.nodes_min.saturating_mul(request.cpus_per_node_min.unwrap_or(0));
    tasks.saturating_mul(request.cpus_per_task).max(whole_nodes)
}

/// CPUs held, or asked for while it waits.
pub fn cpus(job: &Job) -> u32 {
    match &job.allocation {
        Some(allocation) if job.state != JobState::Pending || job.completing => allocation.cpus(),
        _ => cpus_requested(job),
    }
}

/// Nodes held, or those that it needs while it waits: more than it asks for where fewer do not hold it.
pub fn node_count(job: &Job) -> u32 {
    match &job.allocation {
        Some(allocation) if job.state != JobState::Pending || job.completing => allocation.shares.len() as u32,
        _ => job.spec.request.nodes_min.max(job.spec.nodes_when_empty.unwrap_or(0)),
    }
}

/// Least CPUs on each node.
pub fn cpus_per_node_min(job: &Job) -> u32 {
    let request = &job.spec.request;
    let of_tasks = request.cpus_per_task.saturating_mul(request.tasks_per_node.unwrap_or(1));
    of_tasks.max(request.cpus_per_node_min.unwrap_or(1))
}

/// Memory asked for, or what the partition gives to jobs that ask for none.
pub fn memory_in_force(job: &Job, cluster: &Cluster) -> Option<MemoryRequest> {
    job.spec.request.memory.or_else(|| {
        let name = job.partition.split(',').next().unwrap_or_default();
        cluster.partition(name)?.memory_default.map(|default| match default {
            MemoryDefault::PerNode(memory) => MemoryRequest::PerNode(memory),
            MemoryDefault::PerCpu(memory) => MemoryRequest::PerCpu(memory),
        })
    })
}

/// Whether it lets others onto its nodes: `OK`, `NO`, `YES`, `USER`. What its partition forces goes before what it asks for.
/// Where whole nodes are given, a job that has been looked at shares them only where both say so.
pub fn over_subscribe(job: &Job, cluster: &Cluster) -> &'static str {
    let partition = cluster.partition(job.partition.split(',').next().unwrap_or_default());
    match partition.map(|partition| partition.over_subscribe) {
        Some(OverSubscribe::Exclusive) => return "NO",
        Some(OverSubscribe::Force(_)) => return "YES",
        Some(OverSubscribe::No | OverSubscribe::Yes(_)) | None => {}
    }
    let by_whole_nodes = cluster.parameter("SelectType").is_some_and(|plugin| plugin.ends_with("linear"));
    let may_share = matches!(partition.map(|partition| partition.over_subscribe), Some(OverSubscribe::Yes(_)));
    let was_looked_at = job.state != JobState::Pending || job.eligible_time.is_some();
    match job.spec.request.sharing {
        Sharing::Exclusive => "NO",
        Sharing::Default | Sharing::Oversubscribe if by_whole_nodes && was_looked_at => {
            if may_share && job.spec.request.sharing == Sharing::Oversubscribe { "YES" } else { "NO" }
        }
        _ if partition.is_some_and(|partition| partition.exclusive_user) => "USER",
        Sharing::Default => "OK",
        Sharing::Oversubscribe => "YES",
        Sharing::ExclusiveUser => "USER",
        Sharing::ExclusiveMcs => "MCS",
    }
}

/// Sockets, cores and threads asked for, each `None` where any will do (`-B`, `--sockets-per-node`, …).
pub fn sockets_cores_threads(job: &Job) -> [Option<u32>; 3] {
    let layout = &job.spec.request.layout;
    [layout.sockets_per_node, layout.cores_per_socket, layout.threads_per_core]
}

/// Its tasks. Once it has nodes, there is one for each of them at the least, and what `--ntasks-per-node` makes of them: so
/// Slurm 22.05 shows it.
pub fn tasks(job: &Job) -> u32 {
    let request = &job.spec.request;
    let Some(allocation) = &job.allocation else { return request.tasks };
    let nodes = u32::try_from(allocation.shares.len()).unwrap_or(u32::MAX);
    request.tasks_per_node.map_or(request.tasks.max(nodes), |each| each.saturating_mul(nodes))
}

/// `--dependency` as far as it is not yet satisfied, or `(null)`.
pub fn dependency(dependencies: &Dependencies) -> String {
    if dependencies.is_empty() { NULL.to_owned() } else { dependencies.to_string() }
}

/// The script with its arguments.
pub fn command(job: &Job) -> String {
    match &job.spec.command {
        None => NULL.to_owned(),
        Some(command) => {
            std::iter::once(command).chain(&job.spec.arguments).map(|word| word.as_ref()).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Whether it may be put back into the queue.
pub fn requeue(job: &Job) -> bool {
    job.spec.requeue.unwrap_or(job.spec.kind != JobKind::Allocation)
}

/// Standard output, error and input as paths; empty for a job without a script. `task` names a waiting task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
    /// Standard input.
    pub input: String,
}

/// Where the streams of the script of `job` go to and come from.
pub fn files(job: &Job, task: Option<u32>) -> Files {
    let default = patterns::batch_default(job.array.is_some());
    let output = job.spec.output.as_deref().unwrap_or(default);
    let error = job.spec.error.as_deref().unwrap_or(output);
    let input = job.spec.input.as_deref().unwrap_or("/dev/null");
    let full = |pattern: &str| absolute(&expand(pattern, job, task), &job.spec.work_dir);
    Files { output: full(output), error: full(error), input: full(input) }
}

fn absolute(path: &str, directory: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", directory.trim_end_matches('/')) }
}

/// Puts the parts of a file name in that are known before it is opened.
fn expand(pattern: &str, job: &Job, task: Option<u32>) -> String {
    let context = patterns::PatternContext {
        job_id: job.id.0,
        array_job_id: job.array_job_id().map(|id| id.0),
        array_task: job.task_index().or(task),
        step: None,
        node_name: batch_host(job).unwrap_or_default(),
        node_index: 0,
        rank: 0,
        user: &job.spec.identity.user,
        job_name: &job.spec.name,
        restart: job.restart.0,
    };
    patterns::expand(pattern, &context)
}

/// A time, or `unset` where there is none.
pub fn time(time: Option<Timestamp>, unset: &str, context: &Context) -> String {
    match time {
        Some(time) => time_text::print(time, context.now, &context.zone, &context.time_format),
        None => unset.to_owned(),
    }
}
