//! The columns of `sacct`: each name of `--format` is one entry. Rows are jobs (one start of each) and their steps.
//!
//! What is not known is printed as Slurm prints it when its sampling has seen nothing: mostly as an empty text.

use muster_model::ids::StepId;
use muster_model::job::Job;
use muster_model::state::Reason;
use muster_model::step::Step;
use muster_model::time::{TimeLimit, format_days_hours};

use super::super::context::Context;
use super::super::job_text;
use super::row::Row;

/// One column.
pub struct Field {
    /// Its name and heading.
    pub name: &'static str,
    /// Default width; negative for text to the left.
    pub width: i32,
    /// The text of a row.
    pub text: fn(&Row, &Context) -> String,
}

const fn field(name: &'static str, width: i32, text: fn(&Row, &Context) -> String) -> Field {
    Field { name, width, text }
}

/// CPU time: `00:00.012` with thousandths while short, else `01:02:03`.
fn cpu_time(microseconds: u64) -> String {
    let (seconds, thousandths) = ((microseconds / 1_000_000) as i64, microseconds / 1000 % 1000);
    if seconds < 3600 && thousandths > 0 {
        format!("{:02}:{:02}.{thousandths:03}", seconds / 60, seconds % 60)
    } else {
        format_days_hours(seconds)
    }
}

fn state(row: &Row, _: &Context) -> String {
    if row.step.is_none() && row.was_requeued() {
        return "REQUEUED".to_owned();
    }
    match row.state() {
        (state, true) => match row.job.cancelled_by {
            Some(uid) => format!("{state} by {uid}"),
            None => state.to_string(),
        },
        (state, false) => state.to_string(),
    }
}

/// Why it waited; what ended it is told by its state.
fn reason(job: &Job) -> String {
    let started = job_text::has_started(job);
    if started { Reason::None.to_string() } else { job_text::reason(job) }
}

fn frequency(row: &Row, _: &Context) -> String {
    match &row.step {
        Some(step) if !matches!(step.step_id, StepId::Number(_)) => "0".to_owned(),
        _ => "Unknown".to_owned(),
    }
}

fn end(row: &Row, context: &Context) -> String {
    job_text::time(row.end(), "Unknown", context)
}

fn start(row: &Row, context: &Context) -> String {
    let unset = if row.step.is_none() && row.job.state.is_final() { "None" } else { "Unknown" };
    job_text::time(row.start(), unset, context)
}

fn first_node(step: &Step) -> String {
    muster_model::hostlist::expand(&step.node_list).ok().and_then(|names| names.into_iter().next()).unwrap_or_default()
}

fn layout(step: &Step) -> String {
    match step.step_id {
        StepId::Number(_) if step.tasks as usize <= step.layout.len() => "Cyclic",
        StepId::Number(_) => "Block",
        _ => "Unknown",
    }
    .to_owned()
}

fn submit_line(row: &Row, _: &Context) -> String {
    row.of_job(|job| job.spec.submit_line.as_deref().unwrap_or_default().to_owned())
}

fn rss(row: &Row, _: &Context) -> String {
    row.sampled(|step| row.kilobytes(step.usage.rss_kb_max))
}

fn rss_mean(row: &Row, _: &Context) -> String {
    row.sampled_task(|step| row.kilobytes(step.usage.rss_kb_max))
}

fn cpu_seconds(step: &Step) -> String {
    format_days_hours(((step.usage.user_cpu_us + step.usage.system_cpu_us) / 1_000_000) as i64)
}

fn usage_in(row: &Row, _: &Context) -> String {
    row.sampled_task(|step| format!("cpu={},mem={}", cpu_seconds(step), row.kilobytes(step.usage.rss_kb_max)))
}

fn usage_in_total(row: &Row, _: &Context) -> String {
    row.sampled(|step| format!("cpu={},mem={}", cpu_seconds(step), row.kilobytes(step.usage.rss_kb_max)))
}

fn usage_in_node(row: &Row, _: &Context) -> String {
    row.sampled_task(|step| format!("cpu={0},mem={0}", first_node(step)))
}

fn usage_in_task(row: &Row, _: &Context) -> String {
    row.sampled_task(|_| "cpu=0,mem=0".to_owned())
}

fn node_of_task(row: &Row, _: &Context) -> String {
    row.sampled_task(first_node)
}

fn rank_of_task(row: &Row, _: &Context) -> String {
    row.sampled_task(|_| "0".to_owned())
}

fn nothing(_: &Row, _: &Context) -> String {
    String::new()
}

fn zero(_: &Row, _: &Context) -> String {
    "0".to_owned()
}

/// All columns, in the order of `--helpformat`.
pub static FIELDS: &[Field] = &[
    field("Account", 10, |row, _| row.job.account_name().unwrap_or_default().to_owned()),
    field("AdminComment", 15, |row, _| row.of_job(|job| job_text::admin_comment(job).unwrap_or_default().to_owned())),
    field("AllocCPUS", 10, |row, _| row.cpus().to_string()),
    field("AllocNodes", 10, |row, _| if row.start().is_some() { row.nodes() } else { 0 }.to_string()),
    field("AllocTRES", 10, |row, _| row.allocated()),
    field("AssocID", 7, zero),
    field("AveCPU", 10, |row, _| row.sampled_task(cpu_seconds)),
    field("AveCPUFreq", 10, |row, _| row.of_step(|_| "0".to_owned())),
    field("AveDiskRead", 14, nothing),
    field("AveDiskWrite", 14, nothing),
    field("AvePages", 10, nothing),
    field("AveRSS", 10, rss_mean),
    field("AveVMSize", 10, nothing),
    field("BlockID", 16, nothing),
    field("Cluster", 10, |row, _| row.cluster.name.as_deref().unwrap_or_default().to_owned()),
    field("Comment", 14, |row, _| row.of_job(|job| job_text::comment(job).unwrap_or_default().to_owned())),
    field("Constraints", 19, |row, _| {
        row.of_job(|job| job.spec.request.constraint.as_deref().unwrap_or_default().to_owned())
    }),
    field("ConsumedEnergy", 14, |row, _| row.of_step(|_| "0".to_owned())),
    field("ConsumedEnergyRaw", 17, |row, _| row.of_step(|_| "0".to_owned())),
    field("Container", 19, |row, _| row.of_job(|job| job_text::rare(job, "container").unwrap_or_default().to_owned())),
    field("CPUTime", 10, |row, context| format_days_hours(row.elapsed(context).saturating_mul(i64::from(row.cpus())))),
    field("CPUTimeRAW", 10, |row, context| row.elapsed(context).saturating_mul(i64::from(row.cpus())).to_string()),
    field("DBIndex", -10, |row, _| (u64::from(row.job.id.0) << 16 | u64::from(row.job.restart.0 & 0xffff)).to_string()),
    field("DerivedExitCode", 15, |row, _| row.of_job(|job| job.derived_exit.to_string())),
    field("Elapsed", 10, |row, context| format_days_hours(row.elapsed(context))),
    field("ElapsedRaw", 10, |row, context| row.elapsed(context).to_string()),
    field("Eligible", 19, |row, context| {
        let time = if row.step.is_some() { row.start() } else { job_text::eligible_time(&row.job) };
        job_text::time(time, "Unknown", context)
    }),
    field("End", 19, end),
    field("ExitCode", 8, |row, _| row.exit().to_string()),
    field("Flags", 19, |row, _| {
        row.of_job(|_| if row.start().is_some() { "SchedMain,StartRecieved" } else { "StartRecieved" }.to_owned())
    }),
    field("GID", 6, |row, _| row.of_job(|job| job.spec.identity.gid.to_string())),
    field("Group", 9, |row, _| row.of_job(|job| job.spec.identity.group.to_string())),
    field("JobID", -12, |row, context| {
        let id = job_text::shown_id(&row.job, None, context);
        row.step.as_ref().map_or(id.clone(), |step| format!("{id}.{}", step.step_id))
    }),
    field("JobIDRaw", -12, |row, _| {
        let id = row.job.id;
        row.step.as_ref().map_or(id.to_string(), |step| format!("{id}.{}", step.step_id))
    }),
    field("JobName", 10, |row, _| row.step.as_ref().map_or(&row.spec().name, |step| &step.name).to_string()),
    field("Layout", 9, |row, _| row.of_step(layout)),
    field("MaxDiskRead", 12, nothing),
    field("MaxDiskReadNode", 15, nothing),
    field("MaxDiskReadTask", 15, nothing),
    field("MaxDiskWrite", 12, nothing),
    field("MaxDiskWriteNode", 16, nothing),
    field("MaxDiskWriteTask", 16, nothing),
    field("MaxPages", 8, nothing),
    field("MaxPagesNode", 12, nothing),
    field("MaxPagesTask", 14, nothing),
    field("MaxRSS", 10, rss),
    field("MaxRSSNode", 10, node_of_task),
    field("MaxRSSTask", 10, rank_of_task),
    field("MaxVMSize", 10, nothing),
    field("MaxVMSizeNode", 14, nothing),
    field("MaxVMSizeTask", 14, nothing),
    field("McsLabel", 12, |row, _| row.of_job(|job| job_text::rare(job, "mcs-label").unwrap_or_default().to_owned())),
    field("MinCPU", 10, |row, _| row.sampled_task(cpu_seconds)),
    field("MinCPUNode", 10, node_of_task),
    field("MinCPUTask", 10, rank_of_task),
    field("NCPUS", 10, |row, _| row.cpus().to_string()),
    field("NNodes", 8, |row, _| row.nodes().to_string()),
    field("NodeList", 15, |row, _| row.node_list().to_owned()),
    field("NTasks", 8, |row, _| row.of_step(|step| step.tasks.to_string())),
    field("Partition", 10, |row, _| row.of_job(super::super::squeue::partition_text)),
    field("Priority", 10, |row, _| row.of_job(|job| job.priority.to_string())),
    field("QOS", 10, |row, _| row.of_job(|job| job.qos_name().unwrap_or("normal").to_owned())),
    field("QOSRAW", 6, |row, _| {
        row.of_job(|job| if job.qos_name().unwrap_or("normal") == "normal" { "1" } else { "0" }.to_owned())
    }),
    field("Reason", 22, |row, _| row.of_job(reason)),
    field("ReqCPUFreq", 10, frequency),
    field("ReqCPUFreqGov", 13, frequency),
    field("ReqCPUFreqMax", 13, frequency),
    field("ReqCPUFreqMin", 13, frequency),
    field("ReqCPUS", 8, |row, _| {
        if row.step.is_some() { row.cpus() } else { job_text::cpus_requested(&row.job) }.to_string()
    }),
    field("ReqMem", 10, |row, _| row.of_job(|_| row.megabytes(row.requested().memory))),
    field("ReqNodes", 8, |row, _| {
        if row.step.is_some() { row.nodes() } else { row.spec().request.nodes_min as usize }.to_string()
    }),
    field("ReqTRES", 10, |row, _| row.of_job(|_| row.requested().text_sorted())),
    field("Reservation", 20, |row, _| {
        row.of_job(|job| job.reservation_shown().map(ToString::to_string).unwrap_or_default())
    }),
    field("ReservationId", 8, nothing),
    field("Reserved", 10, |row, context| row.of_job(|_| format_days_hours(row.waited(context)))),
    field("ResvCPU", 10, |row, context| {
        row.of_job(|job| {
            format_days_hours(row.waited(context).saturating_mul(i64::from(job_text::cpus_requested(job))))
        })
    }),
    field("ResvCPURAW", 10, |row, context| {
        row.of_job(|job| row.waited(context).saturating_mul(i64::from(job_text::cpus_requested(job))).to_string())
    }),
    field("Start", 19, start),
    field("State", 10, state),
    field("Submit", 19, |row, context| {
        let time = if row.step.is_some() { row.start() } else { Some(row.job.submit_time) };
        job_text::time(time, "Unknown", context)
    }),
    field("SubmitLine", 20, submit_line),
    field("Suspended", 10, |row, context| {
        let stood = job_text::stood(&row.job, context.now).seconds();
        format_days_hours(if row.step.is_some() { 0 } else { stood })
    }),
    field("SystemComment", 15, nothing),
    field("SystemCPU", 10, |row, _| cpu_time(row.usage().system_cpu_us)),
    field("Timelimit", 10, |row, _| row.of_job(|job| job.time_limit.to_string())),
    field("TimelimitRaw", 10, |row, _| {
        row.of_job(|job| match job.time_limit {
            TimeLimit::Limited(span) => span.minutes_rounded_up().to_string(),
            TimeLimit::Unlimited => "UNLIMITED".to_owned(),
        })
    }),
    field("TotalCPU", 10, |row, _| cpu_time(row.usage().user_cpu_us + row.usage().system_cpu_us)),
    field("TRESUsageInAve", 14, usage_in),
    field("TRESUsageInMax", 14, usage_in),
    field("TRESUsageInMaxNode", 18, usage_in_node),
    field("TRESUsageInMaxTask", 18, usage_in_task),
    field("TRESUsageInMin", 14, usage_in),
    field("TRESUsageInMinNode", 18, usage_in_node),
    field("TRESUsageInMinTask", 18, usage_in_task),
    field("TRESUsageInTot", 14, usage_in_total),
    field("TRESUsageOutAve", 15, nothing),
    field("TRESUsageOutMax", 15, nothing),
    field("TRESUsageOutMaxNode", 19, nothing),
    field("TRESUsageOutMaxTask", 19, nothing),
    field("TRESUsageOutMin", 15, nothing),
    field("TRESUsageOutMinNode", 19, nothing),
    field("TRESUsageOutMinTask", 19, nothing),
    field("TRESUsageOutTot", 15, nothing),
    field("UID", 6, |row, _| row.of_job(|job| job.spec.identity.uid.to_string())),
    field("User", 9, |row, _| row.of_job(|job| job.spec.identity.user.to_string())),
    field("UserCPU", 10, |row, _| cpu_time(row.usage().user_cpu_us)),
    field("WCKey", 10, |row, _| row.of_job(|job| job_text::wckey(job).unwrap_or_default().to_owned())),
    field("WCKeyID", 10, |row, _| row.of_job(|_| "0".to_owned())),
    field("WorkDir", 20, |row, _| row.of_job(|job| job.spec.work_dir.to_string())),
];

/// The column that `name` means: the first whose name begins so, in any case.
pub fn find(name: &str) -> Option<&'static Field> {
    let begins = |field: &&Field| {
        field.name.len() >= name.len() && field.name.as_bytes()[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    FIELDS.iter().find(begins).filter(|_| !name.is_empty())
}

/// What `--helpformat` prints: all names, four on a line, padded.
pub fn help_format() -> String {
    let line =
        |chunk: &[Field]| chunk.iter().map(|field| format!("{:<19}", field.name)).collect::<Vec<_>>().join(" ") + "\n";
    FIELDS.chunks(4).map(line).collect()
}
