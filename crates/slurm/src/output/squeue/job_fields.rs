//! The columns of `squeue` over jobs: each letter of `-o` and each name of `-O` is one entry.

use std::sync::Arc;

use muster_model::heterogeneous::HetRole;
use muster_model::ids::Name;
use muster_model::job::{Job, JobKind};
use muster_model::resources::{CoreLayout, GresScope, Megabytes, MemoryRequest};
use muster_model::time::{TimeLimit, format_short};

use super::super::context::{Cluster, Context};
use super::super::format::{Field, field, whole_field};
use super::super::job_text::{self, NULL, or_null};
use super::super::tres::{self, Amounts};
use super::super::{states, units};

/// One line of the table.
#[derive(Clone)]
pub struct JobRow {
    /// The job.
    pub job: Arc<Job>,
    /// The waiting task that this line is about, where the tasks are shown one by one.
    pub task: Option<u32>,
    /// The partition that this line is about, where those of a pending job are shown one by one.
    pub partition: Option<Name>,
    /// The cluster.
    pub cluster: Arc<Cluster>,
}

impl JobRow {
    /// The partition as shown: while it waits, all that were asked for.
    pub fn partition(&self) -> String {
        match &self.partition {
            Some(partition) => partition.to_string(),
            None => partition_text(&self.job),
        }
    }

    fn layout(&self) -> &CoreLayout {
        &self.job.spec.request.layout
    }

    fn rare(&self, name: &str) -> Option<&str> {
        job_text::rare(&self.job, name)
    }
}

/// The partition of a job; all that were asked for while it waits.
pub fn partition_text(job: &Job) -> String {
    let waits = job.state == muster_model::state::JobState::Pending && job.spec.partitions.len() > 1;
    if waits { job.spec.partitions.join(",") } else { job.partition.to_string() }
}

/// The fraction of the greatest priority, as `%p` shows it.
fn priority_fraction(row: &JobRow) -> String {
    format!("{:.14}", f64::from(row.job.priority) / f64::from(u32::MAX))
}

/// What is known of its place in a heterogeneous job.
fn of_het(row: &JobRow, text: impl FnOnce(HetRole) -> String) -> String {
    row.job.het.map_or_else(|| "N/A".to_owned(), text)
}

fn limit(limit: Option<TimeLimit>) -> String {
    match limit {
        Some(TimeLimit::Limited(span)) => format_short(span.seconds()),
        Some(TimeLimit::Unlimited) => "UNLIMITED".to_owned(),
        None => format_short(0),
    }
}

fn time_left(row: &JobRow, context: &Context) -> String {
    match row.job.time_limit {
        TimeLimit::Limited(span) => format_short(span.seconds() - job_text::seconds_used(&row.job, context.now)),
        TimeLimit::Unlimited => "UNLIMITED".to_owned(),
    }
}

fn min_memory(row: &JobRow) -> String {
    match job_text::memory_in_force(&row.job, &row.cluster) {
        Some(MemoryRequest::PerNode(memory) | MemoryRequest::PerCpu(memory)) => units::megabytes(memory.0),
        Some(MemoryRequest::PerGpu(_)) | None => "0".to_owned(),
    }
}

fn or_not_there(value: Option<u32>) -> String {
    value.map_or("N/A".to_owned(), |value| value.to_string())
}

fn or_any(value: Option<u32>) -> String {
    value.map_or("*".to_owned(), |value| value.to_string())
}

fn sockets_cores_threads(row: &JobRow) -> String {
    job_text::sockets_cores_threads(&row.job).map(or_any).join(":")
}

fn tres_per(row: &JobRow, scope: GresScope) -> String {
    tres::requests(&row.job.spec.request.gres, scope).unwrap_or_else(|| "N/A".to_owned())
}

fn tres_alloc(row: &JobRow) -> String {
    let tracked = row.cluster.tracked_gres();
    match &row.job.allocation {
        Some(allocation) => Amounts::held(&row.job, allocation, &row.cluster).text(),
        None => Amounts::requested(&row.job, &row.cluster, &tracked).text(),
    }
}

fn pending_time(row: &JobRow, context: &Context) -> String {
    let until = if row.job.allocation.is_some() { row.job.start_time } else { None };
    until.unwrap_or(context.now).since(row.job.submit_time).seconds().to_string()
}

fn mem_per_tres(row: &JobRow) -> String {
    match row.job.spec.request.memory {
        Some(MemoryRequest::PerGpu(memory)) => format!("gres:gpu:{}", memory.0),
        _ => "N/A".to_owned(),
    }
}

fn flag(value: bool) -> String {
    if value { "1" } else { "0" }.to_owned()
}

fn constant(text: &str) -> String {
    text.to_owned()
}

/// The default format.
pub const DEFAULT: &str = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R";
/// The format of `-l`.
pub const LONG: &str = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R";
/// The format of `--start`.
pub const START: &str = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R";

/// All columns.
pub static FIELDS: &[Field<JobRow>] = &[
    // Who and what.
    field('a', &["account"], "ACCOUNT", |row, _| or_null(row.job.account_name())),
    field('A', &["jobid"], "JOBID", |row, _| row.job.id.to_string()),
    field('F', &["arrayjobid"], "ARRAY_JOB_ID", |row, _| job_text::array_job_id(&row.job).to_string()),
    field('g', &["groupname"], "GROUP", |row, _| row.job.spec.identity.group.to_string()),
    field('G', &["groupid"], "GROUP", |row, _| row.job.spec.identity.gid.to_string()),
    field('i', &["jobarrayid"], "JOBID", |row, context| job_text::shown_id(&row.job, row.task, context)),
    field('j', &["name"], "NAME", |row, _| row.job.spec.name.to_string()),
    field('k', &["comment"], "COMMENT", |row, _| or_null(job_text::comment(&row.job))),
    field('K', &["arraytaskid"], "ARRAY_TASK_ID", |row, context| match row.job.task_index().or(row.task) {
        Some(index) => index.to_string(),
        None => job_text::waiting_tasks(&row.job, context).unwrap_or_else(|| "N/A".to_owned()),
    }),
    field('o', &["command"], "COMMAND", |row, _| job_text::command(&row.job)),
    field('u', &["username"], "USER", |row, _| row.job.spec.identity.user.to_string()),
    field('U', &["userid"], "UID", |row, _| row.job.spec.identity.uid.to_string()),
    field('w', &["wckey"], "WCKEY", |row, _| or_null(job_text::wckey(&row.job))),
    field('Z', &["workdir"], "WORK_DIR", |row, _| row.job.spec.work_dir.to_string()),
    field('\0', &["admin_comment"], "ADMIN_COMMENT", |row, _| or_null(job_text::admin_comment(&row.job))),
    field('\0', &["system_comment"], "SYSTEM_COMMENT", |_, _| constant(NULL)),
    field('\0', &["allocnodes"], "ALLOC_NODES", |row, _| row.job.spec.submit_host.to_string()),
    field('\0', &["allocsid"], "ALLOC_SID", |row, _| row.job.spec.submit_session.to_string()),
    field('\0', &["associd"], "ASSOC_ID", |_, _| constant("0")),
    field('\0', &["batchflag"], "BATCH_FLAG", |row, _| flag(row.job.spec.kind == JobKind::Batch)),
    field('\0', &["cluster"], "CLUSTER", |row, _| or_null(row.cluster.name.as_deref())),
    field('\0', &["container"], "CONTAINER", |row, _| or_null(row.rare("container"))),
    field('\0', &["containerid"], "CONTAINER_ID", |row, _| or_null(row.rare("container-id"))),
    field('\0', &["hetjobid"], "HET_JOB_ID", |row, _| of_het(row, |role| role.leader.to_string())),
    field('\0', &["hetjobidset"], "HET_JOB_ID_SET", |row, _| of_het(row, job_text::het_set)),
    field('\0', &["hetjoboffset"], "HET_JOB_OFFSET", |row, _| of_het(row, |role| role.offset.to_string())),
    field('\0', &["mcslabel"], "MCSLABEL", |row, _| or_null(row.rare("mcs-label"))),
    field('\0', &["profile"], "PROFILE", |row, _| row.rare("profile").map_or("NotSet".to_owned(), str::to_owned)),
    field('\0', &["stderr"], "STDERR", |row, _| job_text::files(&row.job, row.task).error),
    field('\0', &["stdin"], "STDIN", |row, _| job_text::files(&row.job, row.task).input),
    field('\0', &["stdout"], "STDOUT", |row, _| job_text::files(&row.job, row.task).output),
    // Where and why.
    field('B', &["batchhost"], "EXEC_HOST", |row, _| job_text::batch_host(&row.job).unwrap_or("n/a").to_owned()),
    field('D', &["numnodes"], "NODES", |row, _| job_text::node_count(&row.job).to_string()),
    field('E', &["dependency"], "DEPENDENCY", |row, _| job_text::dependency(&row.job.dependencies)),
    whole_field('N', &["nodelist"], "NODELIST", |row, _| job_text::nodes(&row.job)),
    field('P', &["partition"], "PARTITION", |row, _| row.partition()),
    field('p', &["priority"], "PRIORITY", |row, _| priority_fraction(row)),
    field('q', &["qos"], "QOS", |row, _| row.job.qos_name().unwrap_or("normal").to_owned()),
    field('Q', &["prioritylong"], "PRIORITY", |row, _| row.job.priority.to_string()),
    field('r', &["reason"], "REASON", |row, _| job_text::reason(&row.job)),
    whole_field('R', &["reasonlist"], "NODELIST(REASON)", |row, _| job_text::nodes_or_reason(&row.job).0),
    field('s', &["selectjobinfo"], "", |_, _| String::new()),
    field('t', &["statecompact"], "ST", |row, _| states::of(&row.job).compact().to_owned()),
    field('T', &["state"], "STATE", |row, _| states::of(&row.job).long().to_owned()),
    field('v', &["reservation"], "RESERVATION", |row, _| or_null(row.job.reservation_shown().map(|name| &**name))),
    field('y', &["nice"], "NICE", |row, _| row.job.spec.nice.to_string()),
    whole_field('Y', &["schednodes"], "SCHEDNODES", |row, _| or_null(row.job.planned_nodes.as_deref())),
    field('\0', &["derivedec"], "DERIVED_EC", |row, _| row.job.derived_exit.code.to_string()),
    field('\0', &["exit_code"], "EXIT_CODE", |row, _| row.job.exit.code.to_string()),
    field('\0', &["origin"], "ORIGIN", |_, _| constant("NA")),
    field('\0', &["originraw"], "ORIGIN_RAW", |_, _| constant("NA")),
    field('\0', &["siblingsactive"], "ACTIVE_SIBLINGS", |_, _| constant("NA")),
    field('\0', &["siblingsactiveraw"], "ACTIVE_SIBLINGS_RAW", |_, _| constant("NA")),
    field('\0', &["siblingsviable"], "VIABLE_SIBLINGS", |_, _| constant("NA")),
    field('\0', &["siblingsviableraw"], "VIALBLE_SIBLINGS_RAW", |_, _| constant("NA")),
    field('\0', &["requeue"], "REQUEUE", |row, _| flag(job_text::requeue(&row.job))),
    field('\0', &["restartcnt"], "RESTART_COUNT", |row, _| row.job.restart.0.to_string()),
    // Resources.
    field('b', &["tres-per-node"], "TRES_PER_NODE", |row, _| tres_per(row, GresScope::Node)),
    field('c', &["mincpus"], "MIN_CPUS", |row, _| job_text::cpus_per_node_min(&row.job).to_string()),
    field('C', &["numcpus"], "CPUS", |row, _| job_text::cpus(&row.job).to_string()),
    field('d', &["mintmpdisk"], "MIN_TMP_DISK", |row, _| {
        units::megabytes(row.job.spec.request.tmp_disk_min.map_or(0, |Megabytes(size)| size))
    }),
    field('f', &["feature"], "FEATURES", |row, _| or_null(row.job.spec.request.constraint.as_deref())),
    field('h', &["oversubscribe"], "OVER_SUBSCRIBE", |row, _| {
        job_text::over_subscribe(&row.job, &row.cluster).to_owned()
    }),
    field('H', &["sockets"], "SOCKETS_PER_NODE", |row, _| or_any(job_text::sockets_cores_threads(&row.job)[0])),
    field('I', &["cores"], "CORES_PER_SOCKET", |row, _| or_any(job_text::sockets_cores_threads(&row.job)[1])),
    field('J', &["threads"], "THREADS_PER_CORE", |row, _| or_any(job_text::sockets_cores_threads(&row.job)[2])),
    field('m', &["minmemory"], "MIN_MEMORY", |row, _| min_memory(row)),
    field('n', &["reqnodes"], "REQ_NODES", |row, _| {
        row.job.spec.request.nodes_required.as_deref().unwrap_or_default().to_owned()
    }),
    field('O', &["contiguous"], "CONTIGUOUS", |row, _| flag(row.job.spec.request.contiguous)),
    field('W', &["licenses"], "LICENSES", |row, _| or_null(row.job.spec.request.licenses.as_deref())),
    field('x', &[], "EXC_NODES", |row, _| {
        row.job.spec.request.nodes_excluded.as_deref().unwrap_or_default().to_owned()
    }),
    field('X', &["corespec"], "CORE_SPEC", |row, _| or_not_there(row.layout().cores_reserved)),
    field('z', &["sct"], "S:C:T", |row, _| sockets_cores_threads(row)),
    field('\0', &["boardspernode"], "BOARDS_PER_NODE", |_, _| constant("0")),
    field('\0', &["burstbuffer"], "BURST_BUFFER", |row, _| or_null(row.rare("bb"))),
    field('\0', &["burstbufferstate"], "BURST_BUFFER_STATE", |_, _| constant(NULL)),
    field('\0', &["clusterfeature"], "CLUSTER_FEATURES", |row, _| or_null(row.rare("cluster-constraint"))),
    field('\0', &["cpus-per-task"], "CPUS_PER_TASK", |row, _| row.job.spec.request.cpus_per_task.to_string()),
    field('\0', &["cpus-per-tres"], "CPUS_PER_TRES", |row, _| {
        row.job.spec.request.gpu_terms.cpus.map_or("N/A".to_owned(), |count| format!("gres:gpu:{count}"))
    }),
    field('\0', &["maxcpus"], "MAX_CPUS", |row, _| job_text::cpus(&row.job).to_string()),
    field('\0', &["maxnodes"], "MAX_NODES", |row, _| {
        job_text::node_count(&row.job).max(row.job.spec.request.nodes_max.unwrap_or(0)).to_string()
    }),
    field('\0', &["mem-per-tres"], "MEM_PER_TRES", |row, _| mem_per_tres(row)),
    field('\0', &["network"], "NETWORK", |row, _| or_null(row.rare("network"))),
    field('\0', &["ntperboard"], "NTASKS_PER_BOARD", |_, _| constant("0")),
    field('\0', &["ntpercore"], "NTASKS_PER_CORE", |row, _| or_not_there(row.layout().tasks_per_core)),
    field('\0', &["ntpernode"], "NTASKS_PER_NODE", |row, _| {
        row.job.spec.request.tasks_per_node.unwrap_or(0).to_string()
    }),
    field('\0', &["ntpersocket"], "NTASKS_PER_SOCKET", |row, _| or_not_there(row.layout().tasks_per_socket)),
    field('\0', &["numtasks"], "TASKS", |row, _| job_text::tasks(&row.job).to_string()),
    field('\0', &["prefer"], "PREFER", |row, _| or_null(row.rare("prefer"))),
    field('\0', &["reboot"], "REBOOT", |row, _| flag(row.rare("reboot").is_some())),
    field('\0', &["reqswitch"], "REQ_SWITCH", |row, _| {
        row.rare("switches").and_then(|text| text.split('@').next()).unwrap_or("0").to_owned()
    }),
    field('\0', &["sperboard"], "SOCKETS_PER_BOARD", |_, _| constant("0")),
    field('\0', &["tres-alloc"], "TRES_ALLOC", |row, _| tres_alloc(row)),
    field('\0', &["tres-bind"], "TRES_BIND", |row, _| {
        row.rare("gpu-bind").map_or("N/A".to_owned(), |bind| format!("gpu:{bind}"))
    }),
    field('\0', &["tres-freq"], "TRES_FREQ", |row, _| {
        row.rare("gpu-freq").map_or("N/A".to_owned(), |freq| format!("gpu:{freq}"))
    }),
    field('\0', &["tres-per-job"], "TRES_PER_JOB", |row, _| tres_per(row, GresScope::Job)),
    field('\0', &["tres-per-socket"], "TRES_PER_SOCKET", |row, _| tres_per(row, GresScope::Socket)),
    field('\0', &["tres-per-task"], "TRES_PER_TASK", |row, _| tres_per(row, GresScope::Task)),
    // When.
    field('e', &["endtime"], "END_TIME", |row, context| {
        job_text::time(job_text::end_time(&row.job, context.now), "N/A", context)
    }),
    whole_field('l', &["timelimit"], "TIME_LIMIT", |row, _| limit(Some(row.job.time_limit))),
    whole_field('L', &["timeleft"], "TIME_LEFT", time_left),
    whole_field('M', &["timeused"], "TIME", |row, context| format_short(job_text::seconds_used(&row.job, context.now))),
    field('S', &["starttime"], "START_TIME", |row, context| {
        job_text::time(job_text::start_time(&row.job, context.now), "N/A", context)
    }),
    field('V', &["submittime"], "SUBMIT_TIME", |row, context| {
        job_text::time(Some(row.job.submit_time), "N/A", context)
    }),
    field('\0', &["accruetime"], "ACCRUE_TIME", |row, context| {
        job_text::time(job_text::accrue_time(&row.job, context.now), "N/A", context)
    }),
    field('\0', &["deadline"], "DEADLINE", |row, context| job_text::time(row.job.spec.deadline, "N/A", context)),
    field('\0', &["delayboot"], "DELAY_BOOT", |_, _| constant("0:00")),
    field('\0', &["eligibletime"], "ELIGIBLE_TIME", |row, context| {
        job_text::time(job_text::eligible_time(&row.job), "N/A", context)
    }),
    field('\0', &["lastschedeval"], "LAST_SCHED_EVAL", |row, context| {
        job_text::time(row.job.last_evaluated, "N/A", context)
    }),
    field('\0', &["mintime"], "TIME_MIN", |row, _| limit(row.job.spec.time_limit_min)),
    field('\0', &["pendingtime"], "PENDING_TIME", pending_time),
    field('\0', &["preempttime"], "PREEMPT_TIME", |_, _| constant("N/A")),
    field('\0', &["resizetime"], "RESIZE_TIME", |row, context| {
        job_text::time(row.job.resize.as_ref().map(|resize| resize.time), "N/A", context)
    }),
];
