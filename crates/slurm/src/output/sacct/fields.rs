//! The columns of `sacct`: each name of `--format` is one entry. Rows are jobs (one start of each) and their steps.
//!
//! What is not known is printed as Slurm prints it when its sampling has seen nothing: mostly as an empty text.

use muster_model::ids::StepId;
use muster_model::job::Job;
use muster_model::state::{ExitStatus, Reason};
use muster_model::step::Step;
use muster_model::time::{TimeLimit, format_days_hours};

use super::super::context::Context;
use super::super::job_text;
use super::super::measured::Of::{self, Max, Mean, Min, Total};
use super::super::measured::{self, Figures, IN, Kind, OUT};
use super::super::units;
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

/// How `sacct` shows an end: as if a code of 128 and more stood for a signal, which it takes away. `scontrol` shows it whole.
fn exit_code(exit: ExitStatus) -> String {
    ExitStatus { code: if exit.code >= 128 { exit.code - 128 } else { exit.code }, ..exit }.to_string()
}

fn state(row: &Row, _: &Context) -> String {
    if row.step.is_none() && row.was_requeued() {
        return "REQUEUED".to_owned();
    }
    match row.state() {
        (state, true) => match row.step.as_ref().map_or(row.job.cancelled_by, |step| step.cancelled_by) {
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

/// What was measured of a step; empty for a job, and where nothing was.
fn measured(row: &Row, text: impl FnOnce(&Figures<'_>) -> String) -> String {
    let memory = |bytes: u64| row.memory_bytes(bytes);
    row.of_step(|step| {
        measured::of_step(step)
            .map(|measured| text(&Figures::new(measured, &step.node_list, &memory)))
            .unwrap_or_default()
    })
}

/// Energy of a step, 0 where none was measured; of a job that has ended what its steps took, where it had any. A job that never
/// started took none.
fn energy(row: &Row, text: impl FnOnce(&Figures<'_>) -> String, of_job: impl FnOnce(u64) -> String) -> String {
    let has_steps = || row.steps.iter().any(|step| matches!(step.step_id, StepId::Number(_)));
    if row.step.is_some() || row.job.allocation.is_none() {
        return Some(measured(row, text)).filter(|text| !text.is_empty()).unwrap_or_else(|| "0".to_owned());
    }
    if row.end().is_some() && has_steps() { of_job(row.job.energy_joules) } else { String::new() }
}

/// Bytes read or written.
fn transferred(row: &Row, kind: Kind, of: Of) -> String {
    measured(row, |figures| figures.amount(kind, of).map(units::transferred).unwrap_or_default())
}

/// The greatest resident set of any process: of each step that ended, whatever was measured.
fn rss(row: &Row, _: &Context) -> String {
    let text = measured(row, |figures| figures.text(Kind::Rss, Max));
    if !text.is_empty() {
        return text;
    }
    row.of_step(|step| match step.usage.rss_kb_max {
        0 => String::new(),
        peak => row.memory_bytes(peak.saturating_mul(1024)),
    })
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
    field("AveCPU", 10, |row, _| measured(row, |of| of.text(Kind::Cpu, Mean))),
    field("AveCPUFreq", 10, |row, _| row.of_step(|_| "0".to_owned())),
    field("AveDiskRead", 14, |row, _| transferred(row, Kind::Read, Mean)),
    field("AveDiskWrite", 14, |row, _| transferred(row, Kind::Written, Mean)),
    field("AvePages", 10, |row, _| measured(row, |of| of.text(Kind::Pages, Mean))),
    field("AveRSS", 10, |row, _| measured(row, |of| of.text(Kind::Rss, Mean))),
    field("AveVMSize", 10, |row, _| measured(row, |of| of.text(Kind::Vm, Mean))),
    field("BlockID", 16, nothing),
    field("Cluster", 10, |row, _| row.cluster.name.as_deref().unwrap_or_default().to_owned()),
    field("Comment", 14, |row, _| row.of_job(|job| job_text::comment(job).unwrap_or_default().to_owned())),
    field("Constraints", 19, |row, _| {
        row.of_job(|job| job.spec.request.constraint.as_deref().unwrap_or_default().to_owned())
    }),
    field("ConsumedEnergy", 14, |row, _| energy(row, |of| of.energy(), measured::energy_text)),
    field("ConsumedEnergyRaw", 17, |row, _| {
        energy(row, |of| of.text(Kind::Energy, Total), |joules| joules.to_string())
    }),
    field("Container", 19, |row, _| {
        let of_step = row.step.as_ref().map(|step| job_text::bundle_of_step(step, &row.job));
        of_step.unwrap_or_else(|| job_text::rare(&row.job, "container")).unwrap_or_default().to_owned()
    }),
    field("CPUTime", 10, |row, context| format_days_hours(row.elapsed(context).saturating_mul(i64::from(row.cpus())))),
    field("CPUTimeRAW", 10, |row, context| row.elapsed(context).saturating_mul(i64::from(row.cpus())).to_string()),
    field("DBIndex", -10, |row, _| (u64::from(row.job.id.0) << 16 | u64::from(row.job.restart.0 & 0xffff)).to_string()),
    field("DerivedExitCode", 15, |row, _| row.of_job(|job| exit_code(job.derived_exit))),
    field("Elapsed", 10, |row, context| format_days_hours(row.elapsed(context))),
    field("ElapsedRaw", 10, |row, context| row.elapsed(context).to_string()),
    field("Eligible", 19, |row, context| {
        let time = if row.step.is_some() { row.start() } else { job_text::eligible_time(&row.job) };
        job_text::time(time, "Unknown", context)
    }),
    field("End", 19, end),
    field("ExitCode", 8, |row, _| exit_code(row.exit())),
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
    field("MaxDiskRead", 12, |row, _| transferred(row, Kind::Read, Max)),
    field("MaxDiskReadNode", 15, |row, _| measured(row, |of| of.node(Kind::Read, Max))),
    field("MaxDiskReadTask", 15, |row, _| measured(row, |of| of.task(Kind::Read, Max))),
    field("MaxDiskWrite", 12, |row, _| transferred(row, Kind::Written, Max)),
    field("MaxDiskWriteNode", 16, |row, _| measured(row, |of| of.node(Kind::Written, Max))),
    field("MaxDiskWriteTask", 16, |row, _| measured(row, |of| of.task(Kind::Written, Max))),
    field("MaxPages", 8, |row, _| measured(row, |of| of.text(Kind::Pages, Max))),
    field("MaxPagesNode", 12, |row, _| measured(row, |of| of.node(Kind::Pages, Max))),
    field("MaxPagesTask", 14, |row, _| measured(row, |of| of.task(Kind::Pages, Max))),
    field("MaxRSS", 10, rss),
    field("MaxRSSNode", 10, |row, _| measured(row, |of| of.node(Kind::Rss, Max))),
    field("MaxRSSTask", 10, |row, _| measured(row, |of| of.task(Kind::Rss, Max))),
    field("MaxVMSize", 10, |row, _| measured(row, |of| of.text(Kind::Vm, Max))),
    field("MaxVMSizeNode", 14, |row, _| measured(row, |of| of.node(Kind::Vm, Max))),
    field("MaxVMSizeTask", 14, |row, _| measured(row, |of| of.task(Kind::Vm, Max))),
    field("McsLabel", 12, |row, _| row.of_job(|job| job_text::rare(job, "mcs-label").unwrap_or_default().to_owned())),
    field("MinCPU", 10, |row, _| measured(row, |of| of.text(Kind::Cpu, Min))),
    field("MinCPUNode", 10, |row, _| measured(row, |of| of.node(Kind::Cpu, Min))),
    field("MinCPUTask", 10, |row, _| measured(row, |of| of.task(Kind::Cpu, Min))),
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
    field("SystemComment", 15, |row, _| row.of_job(|job| job_text::system_comment(job).unwrap_or_default().to_owned())),
    field("SystemCPU", 10, |row, _| cpu_time(row.usage().system_cpu_us)),
    field("Timelimit", 10, |row, _| row.of_job(|job| job.time_limit.to_string())),
    field("TimelimitRaw", 10, |row, _| {
        row.of_job(|job| match job.time_limit {
            TimeLimit::Limited(span) => span.minutes_rounded_up().to_string(),
            TimeLimit::Unlimited => "UNLIMITED".to_owned(),
        })
    }),
    field("TotalCPU", 10, |row, _| cpu_time(row.usage().user_cpu_us + row.usage().system_cpu_us)),
    field("TRESUsageInAve", 14, |row, _| measured(row, |of| of.list(IN, Mean))),
    field("TRESUsageInMax", 14, |row, _| measured(row, |of| of.list(IN, Max))),
    field("TRESUsageInMaxNode", 18, |row, _| measured(row, |of| of.node_list(IN, Max))),
    field("TRESUsageInMaxTask", 18, |row, _| measured(row, |of| of.task_list(IN, Max))),
    field("TRESUsageInMin", 14, |row, _| measured(row, |of| of.list(IN, Min))),
    field("TRESUsageInMinNode", 18, |row, _| measured(row, |of| of.node_list(IN, Min))),
    field("TRESUsageInMinTask", 18, |row, _| measured(row, |of| of.task_list(IN, Min))),
    field("TRESUsageInTot", 14, |row, _| measured(row, |of| of.list(IN, Total))),
    field("TRESUsageOutAve", 15, |row, _| measured(row, |of| of.list(OUT, Mean))),
    field("TRESUsageOutMax", 15, |row, _| measured(row, |of| of.list(OUT, Max))),
    field("TRESUsageOutMaxNode", 19, |row, _| measured(row, |of| of.node_list(OUT, Max))),
    field("TRESUsageOutMaxTask", 19, |row, _| measured(row, |of| of.task_list(OUT, Max))),
    field("TRESUsageOutMin", 15, |row, _| measured(row, |of| of.list(OUT, Min))),
    field("TRESUsageOutMinNode", 19, |row, _| measured(row, |of| of.node_list(OUT, Min))),
    field("TRESUsageOutMinTask", 19, |row, _| measured(row, |of| of.task_list(OUT, Min))),
    field("TRESUsageOutTot", 15, |row, _| measured(row, |of| of.list(OUT, Total))),
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
