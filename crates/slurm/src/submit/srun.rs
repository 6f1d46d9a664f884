//! `srun`: a step in the allocation around it, or an allocation of its own with one step.

mod components;

use muster_model::ids::JobId;
use muster_model::job::{ExecutionContext, JobKind, JobSpec, OpenMode};
use muster_model::node_call::FileReceipt;
use muster_model::request::RefusalCode;
use muster_model::resources::MemoryRequest;
use muster_model::step::{Distribution, StepBinding, StepLaunch, StepRequest, StreamTarget};
use muster_model::time::Span;

use super::environment::StepAdditions;
use super::exit::{CliExit, refused};
use super::job_spec::{self, Subject};
use super::multi_prog::ProgramFile;
use super::resolve::{self, Counts, Problem};
use super::sbatch::{propagated, submit_line};
use super::surroundings::{ReadError, Surroundings};
use super::{arbitrary, environment, gpus, reading};
use crate::conf::task_seconds;
use crate::grammar::patterns;
use crate::options::{self, Command, Fault, Line, SubmitOptions, parse};

/// Where the allocation comes from.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one value per process")]
pub enum Allocation {
    /// It is there: the step runs in this job.
    Within(JobId),
    /// It has to be asked for first. `context` of the specification is empty: the caller stores the second value and
    /// puts its address in.
    New(JobSpec, ExecutionContext),
}

/// Where a stream of the tasks goes to or comes from, seen from `srun`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// The stream of `srun` itself.
    Own,
    /// The stream of `srun` itself, for this rank only.
    OwnOfRank(u32),
    /// A file that `srun` opens. The pattern is expanded once the numbers of job and step are known.
    File(String),
    /// A file for each task or node, opened there.
    NodeFile(String),
    /// Nothing.
    Null,
}

/// A program that srun itself runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hook {
    /// That of the site: `SrunProlog`, `SrunEpilog`.
    #[default]
    OfSite,
    /// None (`none`), or this one.
    Own(Option<String>),
}

/// A step to start, and how to watch it.
#[derive(Debug, Clone, PartialEq)]
pub struct SrunPlan {
    /// Its allocation.
    pub allocation: Allocation,
    /// What the step needs.
    pub request: StepRequest,
    /// How it is executed; `client_address` and `client_cookie` are empty and `pty` has no size yet: the caller fills
    /// them in.
    pub launch: StepLaunch,
    /// What is to be added to the environment in `launch` once the job is known.
    pub environment: StepAdditions,
    /// Standard input of the tasks.
    pub input: Stream,
    /// Standard output of the tasks.
    pub output: Stream,
    /// Standard error of the tasks; `None` joins it with output.
    pub error: Option<Stream>,
    /// `--label`.
    pub label: bool,
    /// `--unbuffered`.
    pub unbuffered: bool,
    /// `--pty`.
    pub pty: bool,
    /// `--wait`: how long the others may go on once one task has ended; `None` takes the cluster's `WaitTime`.
    pub wait: Option<Span>,
    /// `--immediate`: how long to wait for resources; zero for not at all.
    pub immediate: Option<Span>,
    /// `--kill-on-bad-exit`; `None` takes the cluster's `KillOnBadExit`.
    pub kill_on_bad_exit: Option<bool>,
    /// `--test-only`.
    pub test_only: bool,
    /// `--disable-status`: Ctrl-C goes to the tasks at once.
    pub disable_status: bool,
    /// `--quit-on-interrupt`: one Ctrl-C ends the step.
    pub quit_on_interrupt: bool,
    /// `--prolog`: what runs here before the step.
    pub prolog: Hook,
    /// `--epilog`: what runs here after the step.
    pub epilog: Hook,
    /// What to say on standard error first, with line feeds.
    pub stderr: String,
    /// `--quiet`.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u32,
    /// `--debugger-test`: the program whose tasks stand still at once, for a debugger.
    pub debugged: Option<String>,
    /// One task for each node of the allocation that is to be made: a range of nodes was asked for, and no number of tasks.
    pub fills_nodes: bool,
    /// The component of a heterogeneous job in which it runs, where one is named or there are several.
    pub group: Option<u32>,
    /// The same step in the other components, ascending.
    pub others: Vec<SrunPlan>,
}

impl SrunPlan {
    /// The same on an allocation that has so many nodes. Where their number was open, so was that of the tasks. (As seen in Slurm 22.05.)
    pub fn on_nodes(mut self, nodes: u32) -> SrunPlan {
        if self.fills_nodes && nodes > 0 {
            self.request.tasks = nodes;
            self.request.nodes = Some((nodes, nodes));
        }
        self
    }
}

/// Works out what `srun ARGUMENTS` is asked to do.
///
/// # Errors
/// What to print and the exit code, where nothing is to be started. `--mpi=list` ends here too.
pub fn plan(arguments: &[String], around: &Surroundings<'_>) -> Result<SrunPlan, CliExit> {
    let exit_error = around.variable("SLURM_EXIT_ERROR");
    let complain =
        |complaint: reading::Complaint| CliExit::new(Command::Srun, &complaint.notices, &complaint.fault, exit_error);
    let alone = |fault| complain(reading::Complaint { notices: Vec::new(), fault });
    let parts = components::read(arguments, around).map_err(alone)?;
    let environments: Vec<_> = parts.iter().map(|part| around.environment_of_group(part.group.unwrap_or(0))).collect();
    let lines: Vec<&[parse::Found]> = parts.iter().map(|part| part.line.as_slice()).collect();
    let mut all = reading::line_components(Command::Srun, &lines, &environments, around).map_err(complain)?;
    let mut options = SubmitOptions::default();
    let mut plan_all = || -> Result<SrunPlan, Problem> {
        let mut plans = Vec::with_capacity(parts.len());
        for ((part, environment), own) in parts.iter().zip(&environments).zip(&mut all) {
            let around = around.with_environment(environment);
            let planned = work_out(arguments, part.command, &around, own);
            options.clone_from(own);
            plans.push(SrunPlan { group: part.group, ..planned? });
        }
        plans.sort_by_key(|plan| plan.group);
        let mut plans = plans.into_iter();
        let first = plans.next().ok_or_else(|| Problem::from(Fault::fatal("No command given to execute.")))?;
        let others: Vec<SrunPlan> = plans.collect();
        let stderr = std::iter::once(&first).chain(&others).map(|plan| plan.stderr.as_str()).collect();
        Ok(SrunPlan { stderr, others, ..first })
    };
    plan_all().map_err(|problem| {
        let fault = match problem {
            Problem::Fault(fault) => fault,
            Problem::Refusal(refusal) => {
                refused(Command::Srun, &refusal, options.client.test_only, options.client.verbose > 0)
            }
        };
        CliExit::new(Command::Srun, &options.notices, &fault, exit_error)
    })
}

fn work_out(
    arguments: &[String],
    command: &[String],
    around: &Surroundings<'_>,
    options: &mut SubmitOptions,
) -> Result<SrunPlan, Problem> {
    check_mpi(options, around)?;
    if options.step.no_allocate && options.placement.nodelist.is_none() {
        return Err(Fault::error(1, "must specify a node list with -Z, --no-allocate.").into());
    }
    arbitrary::read_hostfile(options, around)?;
    let file = program_file(command, options, around)?;
    let counts = resolve::counts(Command::Srun, options)?;
    let Some(program) = command.first() else {
        return Err(Fault::fatal("No command given to execute.").into());
    };
    let base = program.rsplit('/').next().unwrap_or(program);
    let (allocation, job_name) = allocation(arguments, program, base, &counts, around, options)?;
    let within = matches!(allocation, Allocation::Within(_));
    let is_range = counts.nodes_max.is_some_and(|max| max > counts.nodes_min);
    let given_name = options.names.job_name.clone().filter(|name| !name.is_empty());
    let environment = StepAdditions::of(options, &counts, job_name.or_else(|| given_name.clone()));
    let name = given_name.unwrap_or_else(|| base.to_owned());
    let streams = Streams::of(options);
    Ok(SrunPlan {
        request: request(options, &counts, &name, within),
        launch: launch(options, &counts, (command, file), &streams, around)?,
        environment,
        allocation,
        input: streams.input,
        output: streams.output,
        error: streams.error,
        label: options.step.label,
        unbuffered: options.step.unbuffered,
        pty: options.step.pty,
        wait: options.step.wait.map(|seconds| Span::from_seconds(seconds.into())),
        immediate: options.times.immediate,
        kill_on_bad_exit: options.step.kill_on_bad_exit,
        test_only: options.client.test_only,
        disable_status: options.step.disable_status,
        quit_on_interrupt: options.step.quit_on_interrupt,
        prolog: client_hook(&options.step.prolog, around),
        epilog: client_hook(&options.step.epilog, around),
        stderr: reading::talk(Command::Srun, options),
        quiet: options.client.quiet,
        verbose: options.client.verbose,
        debugged: options.others.contains_key("debugger-test").then(|| program.clone()),
        fills_nodes: is_range && !within && !counts.tasks_given,
        group: None,
        others: Vec::new(),
    })
}

/// Ways in which MPI programs can find each other without anything that the nodes would have to have.
const MPI_TYPES: &[&str] = &["none", "pmi2"];

/// Ways that need libpmix on the nodes, which have the last word about it.
const MPI_TYPES_OF_LIBRARY: &[&str] = &["pmix", "pmix_v3", "pmix_v4", "pmix_v5"];

fn check_mpi(options: &SubmitOptions, around: &Surroundings<'_>) -> Result<(), Problem> {
    match options.step.mpi.as_deref() {
        None => Ok(()),
        Some("list") => {
            let mut names: String = MPI_TYPES.iter().map(|name| format!("\t{name}\n")).collect();
            if let Some(version) = around.world.host.pmix_version() {
                let versions = format!("\tpmix\nspecific pmix plugin versions available: pmix_v{version}\n");
                names.push_str(&versions);
            }
            Err(Fault::answer(0, format!("MPI plugin types are...\n{names}")).into())
        }
        Some(known) if MPI_TYPES.contains(&known) || known == "openmpi" => Ok(()),
        Some(known) if MPI_TYPES_OF_LIBRARY.contains(&known) => Ok(()),
        Some(other) => {
            let texts = [
                format!("Couldn't find the specified plugin name for mpi/{other} looking at all files"),
                format!("cannot find mpi plugin for mpi/{other}"),
                format!("MPI: Cannot create context for mpi/{other}"),
                "MPI: Unable to load any plugin".to_owned(),
                format!("Invalid MPI type '{other}', --mpi=list for acceptable types"),
            ];
            let lines = texts.into_iter().map(Line::Error).collect();
            Err(Fault { stdout: String::new(), lines, code: 1 }.into())
        }
    }
}

/// The job around, or a new one with its name.
fn allocation(
    arguments: &[String],
    program: &str,
    base: &str,
    counts: &Counts,
    around: &Surroundings<'_>,
    options: &SubmitOptions,
) -> Result<(Allocation, Option<String>), Problem> {
    if let Some(job_id) = options.step.jobid.filter(|_| !options.client.test_only) {
        check_against_allocation(options, counts, around)?;
        return Ok((Allocation::Within(JobId(job_id)), None));
    }
    if options.placement.relative.is_some() {
        return Err(Fault::fatal("--relative option invalid for job allocation request").into());
    }
    if options.resources.nodes.is_some_and(|(min, _)| min == 0) {
        return Err(RefusalCode::InvalidNodeCount.into());
    }
    let subject = Subject {
        kind: JobKind::Allocation,
        default_name: base,
        command: Some(program),
        arguments: &[],
        submit_line: submit_line(Command::Srun, arguments),
    };
    let spec = job_spec::build(options, counts, &subject, around)?;
    let job_name = spec.name.to_string();
    let context = ExecutionContext {
        environment: environment::of_allocation(options, &job_name, around),
        umask: around.umask,
        limits: propagated(options, around),
    };
    Ok((Allocation::New(spec, context), Some(job_name)))
}

/// What can be seen from here of a step that does not fit its allocation.
fn check_against_allocation(
    options: &SubmitOptions,
    counts: &Counts,
    around: &Surroundings<'_>,
) -> Result<(), Problem> {
    let same_job = around.variable("SLURM_JOB_ID").and_then(|id| id.parse().ok()) == options.step.jobid;
    let allocated = around.variable("SLURM_JOB_NUM_NODES").and_then(|count| count.parse::<u32>().ok());
    let Some(allocated) = allocated.filter(|_| same_job) else {
        return Ok(());
    };
    let asked = if options.has_written("nodes") { counts.nodes_min } else { 1 };
    match options.placement.relative {
        Some(relative) if u64::from(relative) + u64::from(asked) > u64::from(allocated) => {
            let text = format!(
                "--relative and --nodes option incompatible with count of allocated nodes ({relative}+{asked}>{allocated})"
            );
            Err(Fault::error(1, text).into())
        }
        None if asked > allocated => {
            Err(Fault::error(1, format!("Only allocated {allocated} nodes asked for {asked}")).into())
        }
        _ => Ok(()),
    }
}

fn request(options: &SubmitOptions, counts: &Counts, name: &str, within: bool) -> StepRequest {
    let resources = &options.resources;
    // What an outer job put into the environment describes the job; a step takes all of it unless it says otherwise.
    let written = |names: &[&str]| !within || names.iter().any(|name| options.has_written(name));
    let gres = gpus::requests(options, counts.tasks, |name| !within || options.has_written(name));
    let memory = job_spec::memory(options).filter(|_| written(&["mem", "mem-per-cpu", "mem-per-gpu"]));
    let nodes_given = resources.nodes.is_some() || counts.nodes_required.is_some();
    let dealing = options.placement.distribution.as_ref().map_or(Distribution::Block, |chosen| chosen.nodes.dealing());
    StepRequest {
        name: name.into(),
        tasks: counts.tasks,
        nodes: nodes_given
            .then(|| (counts.nodes_min, counts.nodes_max.unwrap_or(counts.nodes_min).max(counts.nodes_min))),
        cpus_per_task: counts.cpus_per_task,
        tasks_per_node: counts.tasks_per_node,
        memory: memory.filter(|memory| !asks_for_all(memory)),
        gres,
        nodes_required: counts.nodes_required.as_deref().map(Into::into),
        task_nodes: (!counts.task_nodes.is_empty()).then(|| counts.task_nodes.join(",").into()),
        nodes_excluded: options.placement.exclude.as_deref().map(Into::into),
        first_node: options.placement.relative.unwrap_or(0),
        exact: exact(options, within),
        overlap: options.step.overlap || options.step.interactive,
        overcommit: resources.overcommit,
        distribution: dealing,
        time_limit: options.times.time.filter(|_| written(&["time"])),
        immediate: options.times.immediate.is_some(),
    }
}

fn asks_for_all(memory: &MemoryRequest) -> bool {
    matches!(memory, MemoryRequest::PerNode(amount) if amount.0 == 0)
}

/// Whether the step takes only what its tasks need: asked for, or implied by `--exclusive` and `-c`.
fn exact(options: &SubmitOptions, within: bool) -> bool {
    if options.step.whole {
        return false;
    }
    let implied = within && (options.has_written("exclusive") || options.has("cpus-per-task"));
    options.step.exact || implied
}

/// The three streams.
struct Streams {
    input: Stream,
    input_rank: Option<u32>,
    output: Stream,
    error: Option<Stream>,
}

impl Streams {
    fn of(options: &SubmitOptions) -> Streams {
        let files = &options.files;
        let input = files.input.as_deref().map_or(Stream::Own, stream);
        let input_rank = match input {
            Stream::OwnOfRank(rank) => Some(rank),
            _ => None,
        };
        Streams {
            input,
            input_rank,
            output: files.output.as_deref().map_or(Stream::Own, stream),
            // Standard error follows output into a file unless it is named itself.
            error: match (files.error.as_deref(), files.output.as_deref()) {
                (Some(error), _) => Some(stream(error)),
                (None, Some(_)) => None,
                (None, None) => Some(Stream::Own),
            },
        }
    }
}

fn stream(value: &str) -> Stream {
    if value == "/dev/null" {
        return Stream::Null;
    }
    if value.eq_ignore_ascii_case("all") {
        return Stream::Own;
    }
    if let Ok(rank) = value.parse::<u32>() {
        return Stream::OwnOfRank(rank);
    }
    if patterns::is_per_task(value) || patterns::is_per_node(value) {
        return Stream::NodeFile(value.to_owned());
    }
    Stream::File(value.to_owned())
}

fn target(stream: &Stream) -> StreamTarget {
    match stream {
        Stream::Own | Stream::OwnOfRank(_) | Stream::File(_) => StreamTarget::Client,
        Stream::NodeFile(pattern) => StreamTarget::File(pattern.as_str().into()),
        Stream::Null => StreamTarget::Null,
    }
}

fn launch(
    options: &mut SubmitOptions,
    counts: &Counts,
    (command, file): (&[String], Option<ProgramFile>),
    streams: &Streams,
    around: &Surroundings<'_>,
) -> Result<StepLaunch, Problem> {
    let mut programs = file.map_or(Ok(Vec::new()), |file| file.programs(counts.tasks))?;
    let mut command = command.to_vec();
    if options.others.contains_key("debugger-test") {
        let all = programs.iter_mut().map(|(_, words)| words).chain([&mut command]);
        all.for_each(stand_still);
    }
    Ok(StepLaunch {
        command,
        programs,
        work_dir: options.files.chdir.clone().unwrap_or_else(|| around.world.work_dir.to_owned()),
        environment: environment::of_step(options, around),
        umask: around.umask,
        limits: propagated(options, around),
        input: target(&streams.input),
        input_rank: streams.input_rank,
        output: target(&streams.output),
        error: streams.error.as_ref().map(target),
        append: options.files.open_mode == Some(OpenMode::Append),
        client_address: String::new(),
        client_cookie: String::new(),
        client_process: (String::new(), 0),
        pty: None,
        kill_on_bad_exit: options.step.kill_on_bad_exit == Some(true),
        labels_files: options.step.label,
        unbuffered: options.step.unbuffered,
        mpi: options.step.mpi.clone().unwrap_or_default(),
        broadcast: broadcast(options)?,
        task_prolog: hook(&options.step.task_prolog, around),
        task_epilog: hook(&options.step.task_epilog, around),
        binding: StepBinding {
            cpus: options.others.get("cpu-bind").cloned(),
            memory: options.others.get("mem-bind").cloned(),
            distribution: options.placement.distribution.as_ref().map(|chosen| chosen.text.clone()),
            cpus_per_task: counts.cpus_per_task,
        },
        bundle: options.others.get("container").filter(|path| !path.is_empty()).cloned(),
        bundle_id: options.others.get("container-id").filter(|id| !id.is_empty()).cloned(),
        container: options::container_request(options, around.variable("PYXIS_CONTAINER_WRITABLE"))?,
        keeps_counts: options.step.preserve_env,
        node_verbosity: node_verbosity(options),
        measure_seconds: options.others.get("acctg-freq").and_then(|text| task_seconds(text)),
    })
}

/// Puts a shell before a program that stops itself, and becomes the program when a debugger lets it go on: with the number that
/// it had.
fn stand_still(words: &mut Vec<String>) {
    let shell = ["/bin/sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"];
    words.splice(0..0, shell.map(str::to_owned));
}

/// Where the program is put, where that is wanted. A path that does not begin at the root is passed over, as in Slurm.
fn broadcast(options: &SubmitOptions) -> Result<Option<FileReceipt>, Problem> {
    let Some(path) = options.step.bcast.as_deref() else { return Ok(None) };
    if options.step.multi_prog {
        return Err(Fault::error(1, "--bcast is not supported together with --multi-prog").into());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { String::new() };
    Ok(Some(FileReceipt { path, force: true, ..FileReceipt::default() }))
}

/// `--slurmd-debug`: a number or a word of `SlurmdDebug`. What is neither is much, as real srun has it, and more than it takes
/// from users is less.
fn node_verbosity(options: &mut SubmitOptions) -> u8 {
    const WORDS: [&str; 5] = ["quiet", "fatal", "error", "info", "verbose"];
    const MOST: u8 = 4;
    let Some(text) = options.others.get("slurmd-debug").map(|text| text.to_ascii_lowercase()) else { return 0 };
    let word = WORDS.iter().position(|word| *word == text).and_then(|place| u8::try_from(place).ok());
    let level = word.or_else(|| text.parse().ok()).unwrap_or(u8::MAX);
    if level > MOST {
        options.notices.push(Line::Info(format!("Using srun's max debug increment of {MOST}")));
    }
    level.min(MOST)
}

/// A program that was named, as an absolute path; `none` names none.
fn hook(named: &Option<String>, around: &Surroundings<'_>) -> Option<String> {
    let named = named.as_deref().filter(|name| !name.eq_ignore_ascii_case("none"))?;
    Some(options::absolute(around.world.work_dir, named))
}

fn client_hook(named: &Option<String>, around: &Surroundings<'_>) -> Hook {
    if named.is_some() { Hook::Own(hook(named, around)) } else { Hook::OfSite }
}

/// Reads the file of `--multi-prog`. Where nothing says how many tasks there are, it does, and that counts as said.
fn program_file(
    command: &[String],
    options: &mut SubmitOptions,
    around: &Surroundings<'_>,
) -> Result<Option<ProgramFile>, Problem> {
    let Some(name) = command.first().filter(|_| options.step.multi_prog) else { return Ok(None) };
    let path = options::absolute(around.world.work_dir, name);
    let bytes = around
        .world
        .host
        .read(&path)
        .map_err(|_: ReadError| Fault::error(1, format!("Could not open multi_prog config file {name}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let file = ProgramFile::read(&text, name, options.resources.ntasks, &mut options.notices)?;
    options.resources.ntasks.get_or_insert_with(|| file.tasks());
    Ok(Some(file))
}
