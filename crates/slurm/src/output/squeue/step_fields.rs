//! The columns of `squeue -s` over steps.

use std::sync::Arc;

use muster_model::ids::{Name, StepId};
use muster_model::job::Job;
use muster_model::state::JobState;
use muster_model::step::Step;
use muster_model::time::{TimeLimit, format_short};

use super::super::context::Context;
use super::super::format::{Field, field, whole_field};
use super::super::job_text::{self, NULL};

/// One line of the table.
#[derive(Clone)]
pub struct StepRow {
    /// The step.
    pub step: Arc<Step>,
    /// Its job.
    pub job: Arc<Job>,
    /// Name of the cluster, where it was asked for.
    pub cluster_name: Option<Name>,
}

impl StepRow {
    /// Seconds it has run.
    pub fn seconds_used(&self, context: &Context) -> i64 {
        let Some(start) = self.step.start_time else {
            return 0;
        };
        match self.job.state {
            JobState::Suspended => self.job.run_time(context.now).seconds(),
            _ => self.step.end_time.unwrap_or(context.now).since(start).seconds(),
        }
    }

    /// CPUs held; the script itself counts none.
    pub fn cpus(&self) -> u32 {
        match self.step.step_id {
            StepId::Number(_) => self.step.layout.iter().map(|node| node.cpus.len()).sum(),
            _ => 0,
        }
    }
}

fn null(_: &StepRow, _: &Context) -> String {
    NULL.to_owned()
}

/// The default format.
pub const DEFAULT: &str = "%.15i %.8j %.9P %.8u %.9M %N";

/// All columns.
pub static FIELDS: &[Field<StepRow>] = &[
    field('i', &["stepid"], "STEPID", |row, context| {
        format!("{}.{}", job_text::array_id(&row.job, None, context), row.step.step_id)
    }),
    field('A', &["numtasks"], "TASKS", |row, _| row.step.tasks.to_string()),
    field('b', &["tres-per-node"], "TRES_PER_JOB", null),
    field('j', &["stepname"], "NAME", |row, _| row.step.name.to_string()),
    whole_field('l', &["timelimit"], "TIME_LIMIT", |row, _| match row.step.time_limit {
        Some(TimeLimit::Limited(span)) => format_short(span.seconds()),
        Some(TimeLimit::Unlimited) | None => "UNLIMITED".to_owned(),
    }),
    whole_field('M', &["timeused"], "TIME", |row, context| format_short(row.seconds_used(context))),
    whole_field('N', &["nodes"], "NODELIST", |row, _| row.step.node_list.to_string()),
    field('P', &["partition"], "PARTITION", |row, _| row.job.partition.to_string()),
    field('S', &["starttime"], "START_TIME", |row, context| job_text::time(row.step.start_time, "N/A", context)),
    field('u', &["username"], "USER", |row, _| row.job.spec.identity.user.to_string()),
    field('U', &["userid"], "UID", |row, _| row.job.spec.identity.uid.to_string()),
    field('\0', &["arrayjobid"], "ARRAY_JOB_ID", |row, _| row.job.array_job_id().map_or(0, |id| id.0).to_string()),
    field('\0', &["arraytaskid"], "ARRAY_TASK_ID", |row, _| {
        row.job.task_index().map_or("N/A".to_owned(), |index| index.to_string())
    }),
    field('\0', &["cluster"], "CLUSTER", |row, _| row.cluster_name.as_deref().unwrap_or(NULL).to_owned()),
    field('\0', &["container"], "CONTAINER", |row, _| job_text::or_null(job_text::bundle_of_step(&row.step, &row.job))),
    field('\0', &["containerid"], "CONTAINER_ID", |row, _| {
        job_text::or_null(job_text::bundle_id_of_step(&row.step, &row.job))
    }),
    field('\0', &["cpufreq"], "CPU_FREQ", |row, _| match row.step.step_id {
        StepId::Number(_) => "Unknown-Unknown:Unknown".to_owned(),
        _ => "0-0:0".to_owned(),
    }),
    field('\0', &["cpus-per-tres"], "CPUS_PER_TRES", null),
    field('\0', &["jobid"], "JOB_ID", |row, _| row.step.job_id.to_string()),
    field('\0', &["mem-per-tres"], "MEM_PER_TRES", null),
    field('\0', &["network"], "NETWORK", null),
    field('\0', &["numcpus"], "NUM_CPUS", |row, _| row.cpus().to_string()),
    field('\0', &["resvports"], "RESERVED_PORTS", null),
    field('\0', &["stepstate"], "STATE", |row, _| row.step.state.to_string()),
    field('\0', &["tres-bind"], "TRES_BIND", null),
    field('\0', &["tres-freq"], "TRES_FREQ", null),
    field('\0', &["tres-per-job", "tres-per-step"], "TRES_PER_STEP", null),
    field('\0', &["tres-per-socket"], "TRES_PER_SOCKET", null),
    field('\0', &["tres-per-task"], "TRES_PER_TASK", null),
];
