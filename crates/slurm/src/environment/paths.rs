//! The files of scripts and tasks, as the node opens them.

use muster_model::job::OpenMode;
use muster_model::step::{Step, StreamTarget};

use super::facts::LaunchFacts;
use crate::grammar::patterns::{PatternContext, batch_default, expand};

/// Where the streams of one process lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPaths {
    /// Standard input.
    pub stdin: Stream,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error; `None` joins it with standard output.
    pub stderr: Option<Stream>,
    /// Whether files are continued rather than emptied. A job that was put back into the queue empties them again.
    pub append: bool,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// `/dev/null`.
    Null,
    /// The file at this absolute path.
    File(String),
    /// The client that waits for it.
    Client,
}

/// The files of a job's script. `append_default` is `JobFileAppend`, for jobs without `--open-mode`.
pub fn output_paths(launch: &LaunchFacts<'_>, append_default: bool) -> OutputPaths {
    let job = launch.job;
    let spec = &job.spec;
    let context = context(launch, None, launch.position(), 0);
    let file = |pattern: &str| open(pattern, &spec.work_dir, &context);
    OutputPaths {
        stdin: spec.input.as_deref().map_or(Stream::Null, file),
        stdout: file(spec.output.as_deref().unwrap_or(batch_default(job.task_index().is_some()))),
        stderr: spec.error.as_deref().map(file),
        append: spec.open_mode.map_or(append_default, |mode| mode == OpenMode::Append),
    }
}

/// The files of the task with this `rank`; `None` where the step does not say how it is executed, or has no such task
/// on this node.
pub fn task_paths(launch: &LaunchFacts<'_>, step: &Step, rank: u32) -> Option<OutputPaths> {
    let how = step.launch.as_deref()?;
    let (position, node) = launch.step_node(step)?;
    node.ranks.binary_search(&rank).ok()?;
    let context = context(launch, Some(step), position, rank);
    let stream = |target: &StreamTarget| match target {
        StreamTarget::Client => Stream::Client,
        StreamTarget::Null => Stream::Null,
        StreamTarget::File(pattern) => open(pattern, &how.work_dir, &context),
    };
    let reads = how.input_rank.is_none_or(|only| only == rank);
    Some(OutputPaths {
        stdin: if reads { stream(&how.input) } else { Stream::Null },
        stdout: stream(&how.output),
        stderr: how.error.as_ref().map(stream),
        append: how.append,
    })
}

fn context<'a>(launch: &LaunchFacts<'a>, step: Option<&Step>, position: usize, rank: u32) -> PatternContext<'a> {
    let job = launch.job;
    PatternContext {
        job_id: job.id.0,
        array_job_id: job.array_job_id().map(|id| id.0),
        array_task: job.task_index(),
        step: step.map(|step| step.step_id),
        node_name: launch.node_name(),
        node_index: u32::try_from(position).unwrap_or(u32::MAX),
        rank,
        user: &job.spec.identity.user,
        job_name: &job.spec.name,
        restart: job.restart.0,
    }
}

fn open(pattern: &str, directory: &str, context: &PatternContext<'_>) -> Stream {
    let name = expand(pattern, context);
    match name.as_str() {
        "/dev/null" => Stream::Null,
        name if name.starts_with('/') => Stream::File(name.to_owned()),
        name => Stream::File(format!("{}/{name}", directory.trim_end_matches('/'))),
    }
}
