//! `scontrol show job`: one record for each job.

use std::sync::Arc;

use muster_model::explain::Explanation;
use muster_model::hostlist;
use muster_model::job::{ArrayRole, Job, JobKind};
use muster_model::resources::{GresScope, Megabytes, MemoryRequest, NodeShare};
use muster_model::state::JobState;
use muster_model::time::{Span, TimeLimit, format_days_hours};

use super::super::context::{Cluster, Context};
use super::super::explanation;
use super::super::job_text::{self, or_null};
use super::super::tres::{self, Amounts};
use super::super::{states, units};
use super::record::Record;

/// How long a job waits for few switches where `max_switch_wait` is not set.
const SWITCH_WAIT_SECONDS: i64 = 300;

/// What is common to all records of one answer.
pub struct JobPrinter<'a> {
    /// Nodes, partitions and parameters.
    pub cluster: &'a Cluster,
    /// Clock, zone and formats.
    pub context: &'a Context,
    /// `-o`.
    pub one_line: bool,
    /// `-d`.
    pub details: bool,
    /// Why jobs wait, where that is asked for.
    pub explanations: &'a [Explanation],
}

impl JobPrinter<'_> {
    /// How long a job waits for few switches at most (`max_switch_wait`).
    fn switch_wait_seconds(&self) -> i64 {
        let list = self.cluster.parameter("SchedulerParameters").unwrap_or_default();
        let said = list.split(',').find_map(|word| word.trim().strip_prefix("max_switch_wait=")?.parse().ok());
        said.unwrap_or(SWITCH_WAIT_SECONDS)
    }

    /// The record of `job`; `task` names one of its waiting tasks.
    pub fn print(&self, job: &Arc<Job>, task: Option<u32>) -> String {
        let mut record = Record::new(self.one_line);
        self.identity(&mut record, job, task);
        self.state(&mut record, job);
        self.times(&mut record, job);
        self.place(&mut record, job);
        self.resources(&mut record, job);
        self.execution(&mut record, job, task);
        let explanations = self.explanations.iter().filter(|explanation| explanation.job_id == job.id);
        for line in explanations.flat_map(|explanation| explanation::lines(explanation, &self.context.zone)) {
            record.line(format!("Explain={line}"));
        }
        record.finish(true)
    }

    fn time(&self, time: Option<muster_model::time::Timestamp>, unset: &str) -> String {
        job_text::time(time, unset, self.context)
    }

    fn identity(&self, record: &mut Record, job: &Job, task: Option<u32>) {
        let mut first = format!("JobId={} ", job.id);
        if let Some(role) = &job.array {
            let index = match role {
                ArrayRole::Task { task_index, .. } => task_index.to_string(),
                ArrayRole::Waiting { .. } => match task {
                    Some(task) => task.to_string(),
                    None => job_text::waiting_tasks(job, self.context).unwrap_or_default(),
                },
            };
            first.push_str(&format!("ArrayJobId={} ArrayTaskId={index} ", job_text::array_job_id(job)));
            if let Some(throttle) = job_text::throttle(job) {
                first.push_str(&format!("ArrayTaskThrottle={throttle} "));
            }
        }
        if let Some(role) = job.het {
            first.push_str(&format!("HetJobId={} HetJobOffset={} ", role.leader, role.offset));
        }
        first.push_str(&format!("JobName={}", job.spec.name));
        record.line(first);
        if let Some(role) = job.het {
            record.line(format!("HetJobIdSet={}", job_text::het_set(role)));
        }
        let who = &job.spec.identity;
        let label = job_text::rare(job, "mcs-label").unwrap_or("N/A");
        record.line(format!("UserId={}({}) GroupId={}({}) MCS_label={label}", who.user, who.uid, who.group, who.gid));
        let account = or_null(job.account_name());
        let qos = job.qos_name().unwrap_or("normal");
        record.line(format!("Priority={} Nice={} Account={account} QOS={qos}", job.priority, job.spec.nice));
    }

    fn state(&self, record: &mut Record, job: &Job) {
        let state = states::of(job).long();
        let reason = job_text::reason(job).replace(' ', "_");
        record.line(format!("JobState={state} Reason={reason} Dependency={}", job_text::dependency(&job.dependencies)));
        record.line(format!(
            "Requeue={} Restarts={} BatchFlag={} Reboot={} ExitCode={}",
            u8::from(job_text::requeue(job)),
            job.restart.0,
            u8::from(job.spec.kind == JobKind::Batch),
            u8::from(job_text::rare(job, "reboot").is_some()),
            job.exit
        ));
        if self.details {
            record.line(format!("DerivedExitCode={}", job.derived_exit));
        }
    }

    fn times(&self, record: &mut Record, job: &Job) {
        let now = self.context.now;
        let run_time = format_days_hours(job_text::seconds_used(job, now));
        let least = job.spec.time_limit_min.map_or("N/A".to_owned(), |limit: TimeLimit| limit.to_string());
        record.line(format!("RunTime={run_time} TimeLimit={} TimeMin={least}", job.time_limit));
        let eligible = self.time(job_text::eligible_time(job), "Unknown");
        record.line(format!("SubmitTime={} EligibleTime={eligible}", self.time(Some(job.submit_time), "Unknown")));
        record.line(format!("AccrueTime={}", self.time(job_text::accrue_time(job, now), "Unknown")));
        if let Some(resize) = &job.resize {
            record.line(format!("ResizeTime={}", self.time(Some(resize.time), "Unknown")));
        }
        record.line(format!(
            "StartTime={} EndTime={} Deadline={}",
            self.time(job_text::start_time(job, now), "Unknown"),
            self.time(job_text::end_time(job, now), "Unknown"),
            self.time(job.spec.deadline, "N/A")
        ));
        if let Some(entry) = &job.spec.cron {
            let is_one = if job.cron().is_some() { "CronJob=Yes " } else { "" };
            record.line(format!("{is_one}CrontabSpec=\"{}\"", entry.schedule));
        }
        if let Some(from) = job.preemptable_from {
            let told = self.time(job.eviction.as_ref().map(|eviction| eviction.since), "None");
            record.line(format!("PreemptEligibleTime={} PreemptTime={told}", self.time(Some(from), "None")));
        }
        let (suspended, before_suspend) = job_text::suspension(job);
        record.line(format!(
            "SuspendTime={} SecsPreSuspend={before_suspend} LastSchedEval={} Scheduler=Main",
            self.time(suspended, "None"),
            self.time(job.last_evaluated, "Unknown")
        ));
    }

    fn place(&self, record: &mut Record, job: &Job) {
        let partition = super::super::squeue::partition_text(job);
        record
            .line(format!("Partition={partition} AllocNode:Sid={}:{}", job.spec.submit_host, job.spec.submit_session));
        let request = &job.spec.request;
        let hosts = |list: Option<&str>| {
            let names = list.and_then(|list| hostlist::expand(list).ok()).unwrap_or_default();
            or_null(Some(hostlist::compress(&names)).as_deref())
        };
        let [required, excluded] =
            [&request.nodes_required, &request.nodes_excluded].map(|list| hosts(list.as_deref()));
        record.line(format!("ReqNodeList={required} ExcNodeList={excluded}"));
        let mut nodes = format!("NodeList={}", job_text::nodes(job));
        if let Some(planned) = job.planned_nodes.as_deref().filter(|_| job.state == JobState::Pending) {
            nodes.push_str(&format!(" SchedNodeList={planned}"));
        }
        record.line(nodes);
        let host = job_text::batch_host(job);
        match (request.preference.batch_features.as_deref(), host) {
            (Some(features), host) => {
                record.line(format!(
                    "BatchFeatures={features}{}",
                    host.map_or(String::new(), |host| format!(" BatchHost={host}"))
                ));
            }
            (None, host) => record.optional("BatchHost", host),
        }
    }

    fn resources(&self, record: &mut Record, job: &Job) {
        let request = &job.spec.request;
        let waits = job.state == JobState::Pending && !job.completing;
        let most = request.nodes_max.filter(|_| waits).map_or(String::new(), |most| format!("-{most}"));
        let [sockets, cores, threads] = job_text::sockets_cores_threads(job).map(any);
        record.line(format!(
            "NumNodes={}{most} NumCPUs={} NumTasks={} CPUs/Task={} ReqB:S:C:T=0:0:{cores}:{threads}",
            job_text::node_count(job),
            job_text::cpus(job),
            job_text::tasks(job),
            request.cpus_per_task
        ));
        let tracked = self.cluster.tracked_gres();
        let amounts = match job.allocation.as_ref().filter(|_| !waits) {
            Some(allocation) => Amounts::held(job, allocation, self.cluster),
            None => Amounts::requested(job, self.cluster, &tracked),
        };
        record.line(format!("TRES={}", amounts.text()));
        let layout = &request.layout;
        let [per_socket, per_core, spec_cores] =
            [layout.tasks_per_socket, layout.tasks_per_core, layout.cores_reserved].map(any);
        let per_node = request.tasks_per_node.unwrap_or(0);
        record.line(format!(
            "Socks/Node={sockets} NtasksPerN:B:S:C={per_node}:0:{per_socket}:{per_core} CoreSpec={spec_cores}"
        ));
        if self.details && (job.holds_resources() || job.state.is_final()) {
            self.shares(record, job);
        }
        let memory = match job_text::memory_in_force(job, self.cluster) {
            Some(MemoryRequest::PerNode(memory)) => format!("MinMemoryNode={}", units::megabytes(memory.0)),
            Some(MemoryRequest::PerCpu(memory)) => format!("MinMemoryCPU={}", units::megabytes(memory.0)),
            Some(MemoryRequest::PerGpu(_)) | None => "MinMemoryNode=0".to_owned(),
        };
        let disk = units::megabytes(request.tmp_disk_min.map_or(0, |Megabytes(size)| size));
        record.line(format!("MinCPUsNode={} {memory} MinTmpDiskNode={disk}", job_text::cpus_per_node_min(job)));
        let delay = job_text::rare(job, "delay-boot").and_then(TimeLimit::parse).and_then(TimeLimit::span);
        let delay = format_days_hours(delay.map_or(0, Span::seconds));
        record.line(format!("Features={} DelayBoot={delay}", or_null(request.constraint.as_deref())));
        record.optional("Prefer", request.preference.features.as_deref());
        record.optional("Reservation", reservations(job));
        record.line(format!(
            "OverSubscribe={} Contiguous={} Licenses={} Network={}",
            job_text::over_subscribe(job, self.cluster),
            u8::from(request.contiguous),
            or_null(request.licenses.as_deref()),
            or_null(job_text::rare(job, "network"))
        ));
    }

    /// What it holds on each node; neighbours with the same are one line.
    fn shares(&self, record: &mut Record, job: &Job) {
        let Some(allocation) = &job.allocation else { return };
        let gres = |shares: &[NodeShare]| -> String {
            let mut totals: Vec<(String, u64)> = Vec::new();
            for share in shares.iter().flat_map(|share| &share.gres) {
                let name = match &share.kind {
                    Some(kind) => format!("{}:{kind}", share.name),
                    None => share.name.to_string(),
                };
                let count = u64::from(share.units.len());
                match totals.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, total)) => *total += count,
                    None => totals.push((name, count)),
                }
            }
            totals.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(",")
        };
        record.line(format!("JOB_GRES={}", or_null(Some(&gres(&allocation.shares)))));
        let rest_of = |share: &NodeShare| {
            let units = share.gres.iter().map(|part| match &part.kind {
                Some(kind) => format!("{}:{kind}:{}(IDX:{})", part.name, part.units.len(), part.units),
                None => format!("{}:{}(IDX:{})", part.name, part.units.len(), part.units),
            });
            format!("CPU_IDs={} Mem={} GRES={}", share.cpus, share.memory.0, units.collect::<Vec<_>>().join(","))
        };
        let mut groups: Vec<(Vec<String>, String)> = Vec::new();
        for share in &allocation.shares {
            let name = self
                .cluster
                .node_name(share.node)
                .map_or_else(|| format!("node{}", share.node.0), |name| name.to_string());
            let rest = rest_of(share);
            match groups.last_mut().filter(|(_, last)| *last == rest) {
                Some((names, _)) => names.push(name),
                None => groups.push((vec![name], rest)),
            }
        }
        for (names, rest) in groups {
            record.line(format!("  Nodes={} {rest}", hostlist::compress(&names)));
        }
    }

    fn execution(&self, record: &mut Record, job: &Job, task: Option<u32>) {
        record.line(format!("Command={}", job_text::command(job)));
        record.line(format!("WorkDir={}", job.spec.work_dir));
        for (key, comment) in [
            ("AdminComment", job_text::admin_comment(job)),
            ("SystemComment", job_text::system_comment(job)),
            ("Comment", job_text::comment(job)),
        ] {
            record.optional(key, comment.filter(|text| !text.is_empty()).map(|text| format!("{text} ")).as_deref());
        }
        if job.spec.kind != JobKind::Allocation {
            let files = job_text::files(job, task);
            record.line(format!("StdErr={}", files.error));
            record.line(format!("StdIn={}", files.input));
            record.line(format!("StdOut={}", files.output));
        }
        let most = self.switch_wait_seconds();
        let switches = job.spec.request.preference.switches.map(|limit| {
            let wait = limit.wait.map_or(most, |wait| wait.seconds().min(most));
            format!("{}@{}", limit.count, format_days_hours(wait))
        });
        record.optional("Switches", switches.as_deref());
        record.line("Power=");
        record.optional("Container", job_text::container(job).as_deref());
        let cpus_per_gpu = job.spec.request.gpu_terms.cpus;
        record.optional("CpusPerTres", cpus_per_gpu.map(|count| format!("gres:gpu:{count}")).as_deref());
        if let Some(MemoryRequest::PerGpu(memory)) = job.spec.request.memory {
            record.line(format!("MemPerTres=gres:gpu:{}", memory.0));
        }
        let scopes = [
            ("TresPerJob", GresScope::Job),
            ("TresPerNode", GresScope::Node),
            ("TresPerSocket", GresScope::Socket),
            ("TresPerTask", GresScope::Task),
        ];
        for (key, scope) in scopes {
            record.optional(key, tres::requests(&job.spec.request.gres, scope).as_deref());
        }
        let rare = job.spec.rare.as_deref();
        if let Some(kind) = rare.and_then(|rare| rare.mail_type.as_deref()).filter(|kind| *kind != "NONE") {
            let user = rare.and_then(|rare| rare.mail_user.as_deref()).unwrap_or(&job.spec.identity.user);
            record.line(format!("MailUser={user} MailType={kind}"));
        }
        record.optional("NtasksPerTRES", job_text::rare(job, "ntasks-per-gpu"));
    }
}

fn any(value: Option<u32>) -> String {
    value.map_or("*".to_owned(), |value| value.to_string())
}

/// Of several that it may run in all are shown, whichever it runs in, as observed with Slurm 22.05.
fn reservations(job: &Job) -> Option<&str> {
    let several = job.spec.reservation.as_ref().filter(|names| names.contains(','));
    several.or(job.reservation_shown()).map(|name| &**name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::scenes;

    #[test]
    fn all_reservations_that_were_asked_for_are_shown() {
        let job = |asked: Option<&str>, own: Option<&str>| {
            scenes::job(12, "reserved", "08:00:00", |job, spec| {
                spec.reservation = asked.map(Into::into);
                job.reservation = own.map(Into::into);
            })
        };
        assert_eq!(reservations(&job(Some("a,b"), Some("b"))), Some("a,b"));
        assert_eq!(reservations(&job(Some("a"), Some("a"))), Some("a"));
        assert_eq!(reservations(&job(None, Some("magnetic"))), Some("magnetic"));
        assert_eq!(reservations(&job(None, None)), None);
    }
}
