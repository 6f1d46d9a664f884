//! Options to a [`JobSpec`].

use muster_model::array::ArraySpec;
use muster_model::dependency::Dependencies;
use muster_model::ids::{Identity, Name};
use muster_model::job::{JobKind, JobSpec, RareOptions};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::{
    CoreLayout, CoreOrder, GpuTerms, GresBinding, MemoryRequest, NodePreference, ResourceRequest, Sharing, SwitchLimit,
};
use muster_model::time::TimeLimit;

use super::arbitrary;
use super::gpus::{self, GpuCpus};
use super::resolve::{Counts, Problem};
use super::surroundings::Surroundings;
use crate::conf::task_seconds;
use crate::grammar::array;
use crate::grammar::dependency::{self, DependencyError};
use crate::options::{Fault, SubmitOptions};

/// Slurm's greatest `MaxArraySize`, for when the cluster's is not known here; the controller checks again.
const ARRAY_SIZE_MAX: u32 = 4_000_001;

/// What the job is, beside its options.
pub struct Subject<'a> {
    /// Batch or allocation.
    pub kind: JobKind,
    /// Name where none is given.
    pub default_name: &'a str,
    /// What is shown as its command.
    pub command: Option<&'a str>,
    /// Arguments of the script.
    pub arguments: &'a [String],
    /// The whole command line, for the history.
    pub submit_line: String,
}

/// The specification. Script and context are added once they have been stored.
///
/// # Errors
/// Values that the controller would refuse.
pub fn build(
    options: &SubmitOptions,
    counts: &Counts,
    subject: &Subject<'_>,
    around: &Surroundings<'_>,
) -> Result<JobSpec, Problem> {
    check_times(options, around)?;
    check_lengths(options)?;
    check_frequency(options, around)?;
    if options.queue.nice.is_some_and(|nice| nice < 0) && !around.identity.is_operator() {
        return Err(RefusalCode::InvalidNice.into());
    }
    let name = |text: &String| Name::from(text.as_str());
    let files = &options.files;
    Ok(JobSpec {
        identity: identity(options, around),
        name: options.names.job_name.as_deref().unwrap_or(subject.default_name).into(),
        kind: subject.kind,
        partitions: partitions(options)?,
        account: options.names.account.as_ref().filter(|text| !text.is_empty()).map(name),
        qos: options.names.qos.as_ref().filter(|text| !text.is_empty()).map(name),
        request: request(options, counts)?,
        nodes_when_empty: None,
        time_limit: options.times.time,
        time_limit_min: options.times.time_min,
        // A time that has passed waits for nothing.
        begin: options.times.begin.filter(|begin| *begin > around.world.now),
        deadline: options.times.deadline,
        array: array(options, around)?,
        dependencies: dependencies(options)?,
        hold: options.queue.hold || options.queue.priority == Some(0),
        requeue: options.queue.requeue,
        nice: options.queue.nice.unwrap_or(0),
        priority: options.queue.priority.filter(|priority| *priority > 0),
        site_factor: 0,
        reservation: options.names.reservation.as_ref().map(name),
        early_signal: options.queue.signal,
        kill_on_invalid_dependency: options.queue.kill_on_invalid_dep,
        no_kill: options.queue.no_kill == Some(true),
        unattended: options.client.no_shell,
        work_dir: files.chdir.as_deref().unwrap_or(around.world.work_dir).into(),
        output: files.output.as_ref().map(name),
        error: files.error.as_ref().map(name),
        input: files.input.as_ref().map(name),
        open_mode: files.open_mode,
        command: subject.command.map(Name::from),
        arguments: subject.arguments.iter().map(name).collect(),
        script: None,
        context: None,
        submit_host: around.host_name.into(),
        submit_session: around.session,
        submit_line: Some(subject.submit_line.as_str().into()),
        rare: rare(options),
        run: None,
        cron: None,
    })
}

/// Longest text of an option, in bytes, that a controller of Slurm takes.
const TEXT_BYTES_MAX: usize = 1024;
/// The same for paths.
const PATH_BYTES_MAX: usize = 4096;

fn check_lengths(options: &SubmitOptions) -> Result<(), Problem> {
    let (names, files) = (&options.names, &options.files);
    let texts = [
        &names.job_name,
        &names.account,
        &names.partition,
        &names.qos,
        &names.reservation,
        &names.wckey,
        &names.comment,
        &names.mail_user,
        &options.placement.constraint,
        &options.resources.licenses,
    ];
    let paths = [&files.chdir, &files.input, &files.output, &files.error];
    let longer = |text: &Option<String>, max: usize| text.as_ref().is_some_and(|text| text.len() >= max);
    let too_long =
        texts.iter().any(|text| longer(text, TEXT_BYTES_MAX)) || paths.iter().any(|path| longer(path, PATH_BYTES_MAX));
    if too_long { Err(RefusalCode::InvalidScript.into()) } else { Ok(()) }
}

fn identity(options: &SubmitOptions, around: &Surroundings<'_>) -> Identity {
    let mut identity = around.identity.clone();
    // Names that are not known here print as numbers, as everywhere.
    if let Some(uid) = options.names.uid.filter(|uid| *uid != identity.uid) {
        identity.uid = uid;
        identity.user = around.world.host.user_name(uid).unwrap_or_else(|| uid.to_string()).into();
    }
    if let Some(gid) = options.names.gid.filter(|gid| *gid != identity.gid) {
        identity.gid = gid;
        identity.group = around.world.host.group_name(gid).unwrap_or_else(|| gid.to_string()).into();
    }
    identity
}

fn partitions(options: &SubmitOptions) -> Result<Vec<Name>, Problem> {
    match options.names.partition.as_deref() {
        None => Ok(Vec::new()),
        Some("") => Err(Problem::Refusal(Refusal::new(RefusalCode::InvalidPartition, "no partition (null)"))),
        Some(list) => Ok(list.split(',').filter(|name| !name.is_empty()).map(Name::from).collect()),
    }
}

fn check_times(options: &SubmitOptions, around: &Surroundings<'_>) -> Result<(), Problem> {
    if options.times.deadline.is_some_and(|deadline| deadline <= around.world.now) {
        return Err(RefusalCode::InvalidTimeLimit.into());
    }
    if options.times.deadline.zip(options.times.begin).is_some_and(|(deadline, begin)| deadline < begin) {
        return Err(Problem::Fault(Fault::error(1, "Incompatible begin and deadline time specification")));
    }
    Ok(())
}

/// What decides where it can run.
pub fn request(options: &SubmitOptions, counts: &Counts) -> Result<ResourceRequest, Problem> {
    if options.given.get("gres").is_some_and(|given| given.shown.is_empty()) {
        return Err(RefusalCode::InvalidTres.into());
    }
    let resources = &options.resources;
    let text = |text: &Option<String>| text.as_deref().map(Name::from);
    let mut request = ResourceRequest {
        nodes_min: counts.nodes_min,
        nodes_max: counts.nodes_max,
        tasks: counts.tasks,
        tasks_given: counts.tasks_given,
        cpus_per_task: counts.cpus_per_task,
        cpus_per_task_given: counts.cpus_per_task_given,
        tasks_per_node: counts.tasks_per_node,
        cpus_per_node_min: resources.mincpus.max(arbitrary_cpus(counts)),
        memory: memory(options),
        tmp_disk_min: resources.tmp.filter(|size| size.0 > 0),
        gres: gpus::requests(options, counts.tasks, |_| true),
        constraint: text(&options.placement.constraint),
        nodes_required: text(&counts.nodes_required),
        nodes_excluded: text(&options.placement.exclude),
        sharing: resources.sharing.unwrap_or(Sharing::Default),
        contiguous: options.placement.contiguous,
        overcommit: resources.overcommit,
        licenses: text(&resources.licenses),
        layout: layout(options),
        preference: preference(options),
        gpu_terms: GpuTerms {
            cpus: resources.cpus_per_gpu,
            binding: match options.others.get("gres-flags").map(|flags| flags.to_ascii_lowercase()).as_deref() {
                Some("enforce-binding") => GresBinding::Enforced,
                Some("disable-binding") => GresBinding::Disabled,
                _ => GresBinding::Preferred,
            },
        },
        mcs_label: options.others.get("mcs-label").filter(|label| !label.is_empty()).map(|label| label.as_str().into()),
    };
    match gpus::cpus(options) {
        Some(GpuCpus::PerTask(cpus)) if !counts.cpus_per_task_given => request.cpus_per_task = cpus.max(1),
        Some(GpuCpus::PerNode(cpus)) => request.cpus_per_node_min = request.cpus_per_node_min.max(Some(cpus)),
        _ => {}
    }
    Ok(request)
}

/// What is asked of sockets, cores and threads. `--hint` stands for threads and tasks of a core, as in Slurm 22.05.
fn layout(options: &SubmitOptions) -> CoreLayout {
    let resources = &options.resources;
    let one_thread =
        matches!(options.placement.hint.as_deref(), Some("nomultithread" | "compute_bound" | "memory_bound"));
    let second = options.placement.distribution.as_ref().and_then(|distribution| {
        let levels = distribution.text.split(',').next().unwrap_or_default();
        levels.split(':').nth(1).map(str::to_owned)
    });
    CoreLayout {
        sockets_per_node: resources.sockets_per_node,
        cores_per_socket: resources.cores_per_socket,
        threads_per_core: resources.threads_per_core.or(one_thread.then_some(1)),
        tasks_per_socket: resources.ntasks_per_socket,
        tasks_per_core: resources.ntasks_per_core,
        cores_reserved: resources.cores_reserved,
        order: match second.as_deref() {
            Some("block") => CoreOrder::Block,
            Some("cyclic" | "fcyclic") => CoreOrder::Cyclic,
            _ => CoreOrder::Default,
        },
    }
}

/// Which nodes are liked better than others.
fn preference(options: &SubmitOptions) -> NodePreference {
    let other = |name: &str| options.others.get(name).map(String::as_str);
    let switches = other("switches").map(|text| text.split_once('@').map_or((text, None), |(n, t)| (n, Some(t))));
    NodePreference {
        spread: other("spread-job").is_some(),
        fewest_nodes: other("use-min-nodes").is_some(),
        features: other("prefer").filter(|text| !text.is_empty()).map(Name::from),
        batch_features: other("batch").filter(|text| !text.is_empty()).map(Name::from),
        switches: switches.and_then(|(count, wait)| {
            let wait = wait.and_then(TimeLimit::parse).and_then(TimeLimit::span);
            Some(SwitchLimit { count: count.parse().ok()?, wait })
        }),
        segment: other("segment").and_then(|text| text.parse().ok()),
    }
}

/// What watches the memory of a job is not turned off or slowed down by it. (As seen in Slurm 22.05.)
fn check_frequency(options: &SubmitOptions, around: &Surroundings<'_>) -> Result<(), Problem> {
    let asked = options.others.get("acctg-freq").and_then(|text| task_seconds(text));
    let (Some(asked), Some(most)) = (asked, around.measure_seconds_max) else { return Ok(()) };
    let is_limited = match memory(options) {
        Some(MemoryRequest::PerNode(memory) | MemoryRequest::PerCpu(memory)) => memory.0 > 0,
        Some(MemoryRequest::PerGpu(_)) => false,
        None => around.memory_by_default,
    };
    if is_limited && (asked == 0 || asked > most) { Err(RefusalCode::InvalidFrequency.into()) } else { Ok(()) }
}

/// The memory that is asked for.
pub fn memory(options: &SubmitOptions) -> Option<MemoryRequest> {
    let resources = &options.resources;
    let node = resources.mem.map(MemoryRequest::PerNode);
    node.or(resources.mem_per_cpu.map(MemoryRequest::PerCpu)).or(resources.mem_per_gpu.map(MemoryRequest::PerGpu))
}

fn array(options: &SubmitOptions, around: &Surroundings<'_>) -> Result<Option<ArraySpec>, Problem> {
    let Some(text) = options.queue.array.as_deref() else {
        return Ok(None);
    };
    let size_max = around.array_size_max.unwrap_or(ARRAY_SIZE_MAX);
    array::parse(text, size_max).map(Some).ok_or_else(|| RefusalCode::InvalidArray.into())
}

fn dependencies(options: &SubmitOptions) -> Result<Dependencies, Problem> {
    let text = options.queue.dependency.as_deref().unwrap_or_default();
    dependency::parse(text).map_err(|error| match error {
        DependencyError::Malformed => RefusalCode::Dependency.into(),
    })
}

fn rare(options: &SubmitOptions) -> Option<Box<RareOptions>> {
    let text = |text: &Option<String>| text.as_deref().map(Name::from);
    let names = &options.names;
    // Only shown once the tasks are counted.
    let per_gpu = options.resources.ntasks_per_gpu.map(|each| ("ntasks-per-gpu".into(), each.to_string().into()));
    let others = options.others.iter().map(|(name, value)| (Name::from(*name), Name::from(value.as_str())));
    let others = others.chain(per_gpu);
    let rare = RareOptions {
        comment: text(&names.comment),
        wckey: text(&names.wckey),
        mail_type: text(&names.mail_type).filter(|types| !types.is_empty()),
        mail_user: text(&names.mail_user).filter(|_| names.mail_type.as_ref().is_some_and(|types| !types.is_empty())),
        others: others.collect(),
        ..RareOptions::default()
    };
    (rare != RareOptions::default()).then(|| Box::new(rare))
}

/// Each node must have room for the tasks of the one that gets most.
fn arbitrary_cpus(counts: &Counts) -> Option<u32> {
    arbitrary::tasks_on_one(counts).map(|tasks| tasks.saturating_mul(counts.cpus_per_task))
}
