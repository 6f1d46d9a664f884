//! From a [`LaunchUnit`] to running processes: streams, environment, program, and words for what went wrong.

mod program;
mod streams;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use muster_model::container::ContainerRequest;

use self::program::Program;
use self::streams::{Prepared, open_streams};
use super::client_link;
use super::container::{Applicant, BundleTask, Call, Inside, Lease, environment_lines, runner_call};
use super::environment::Environment;
use super::files::{self, UserRights, WorkDir};
use super::launcher::{Context, Launch, Launched, StartedTask};
use super::masks::{affinity_mask, cpu_list, memory_policy};
use super::mpi_server;
use super::namespace::Visit;
use super::processes::MARK_NAME;
use super::relay::{self, Client, Mpi, TaskStreams};
use super::spaces::{Space, Spaces};
use super::spawn::{self, Failure, Plan, Stack};
use super::task_hooks::{self, Setting, TaskEpilog};
use crate::cgroup::{UnitGroup, Wanted};
use crate::confinement::Confinement;
use crate::pmi;
use crate::receipt;
use crate::system;
use crate::unit::{
    BINDING_REFUSED, CONFINEMENT_FAILED, LaunchUnit, MPI_FAILED, PROLOG_FAILED, SPACE_FAILED, SPOOL_UNUSABLE,
    TaskLaunch,
};
use crate::wire::{self, Frame};

/// Name that begins messages where the unit gives none.
const MESSAGE_NAME: &str = "slurmstepd";

/// What is to be done failed: in words, with the error number.
struct Problem {
    text: String,
    errno: i32,
}

/// A script cannot be put into the spool: nothing that its user could do anything about.
fn spool_problem(error: io::Error) -> Problem {
    Problem { errno: SPOOL_UNUSABLE, ..problem("write the batch script into SlurmdSpoolDir")(error) }
}

fn problem(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Problem {
    let doing = doing.into();
    move |error| Problem { text: format!("{doing}: {error}"), errno: system::errno(&error) }
}

/// Starts the unit as far as possible. What was started is in the result even if something failed.
pub(crate) fn launch(context: &Context, launch: Launch, stack: &mut Stack) -> Launched {
    let mut launched = Launched::new(launch.unit.key);
    let pmi = launch.unit.pmi.clone();
    let mut client = None;
    let mut ours = Vec::new();
    let connected = connect(&launch.unit, &mut client);
    let (connected, space) = match connected.and_then(|()| open_space(context, &launch.unit)) {
        Ok(space) => (Ok(()), space),
        Err(problem) => (Err(problem), None),
    };
    // The client sends it in any case.
    let connected = connected.and_then(|()| take_program(context, &launch.unit, space.as_ref(), client.as_mut()));
    if connected.is_ok() && launch.prolog_failed {
        launched.problem = Some(("the prolog of the node failed".to_owned(), PROLOG_FAILED));
        return with_relay(context, launched, client, ours, pmi);
    }
    if let (Ok(()), Some(reason)) = (&connected, &launch.unit.refusal) {
        launched.problem = Some((reason.clone(), BINDING_REFUSED));
        return with_relay(context, launched, client, ours, pmi);
    }
    let result =
        connected.and_then(|()| start_tasks(context, &launch, client.as_mut(), space, stack, &mut launched, &mut ours));
    if let Err(Problem { text, errno }) = result {
        launched.problem = Some((text, errno));
    }
    with_relay(context, launched, client, ours, pmi)
}

/// Gives the streams to a thread that talks with the client.
fn with_relay(
    context: &Context,
    mut launched: Launched,
    client: Option<Client>,
    ours: Vec<TaskStreams>,
    pmi: Option<pmi::StepFacts>,
) -> Launched {
    if let Some(client) = client {
        let mpi = Mpi { pmi, service: launched.mpi_service.take() };
        match relay::start(launched.key, client, ours, mpi, Arc::clone(&context.main)) {
            Ok(relay) => launched.relay = Some(relay),
            Err(error) => launched.problem = Some((format!("stream relay: {error}"), system::errno(&error))),
        }
    }
    launched
}

fn connect(unit: &LaunchUnit, client: &mut Option<Client>) -> Result<(), Problem> {
    if let Some(link) = &unit.client {
        let connected = client_link::connect(unit, link);
        *client = Some(connected.map_err(problem(format!("connect to client {}", link.address)))?);
    }
    Ok(())
}

/// What the job of the unit has to itself here.
fn open_space(context: &Context, unit: &LaunchUnit) -> Result<Option<Arc<Space>>, Problem> {
    let Some(wanted) = unit.space.as_deref() else {
        return Ok(None);
    };
    let space = context.spaces.of_job((unit.key.job_id, unit.key.restart), wanted, &unit.user);
    space.map(Some).map_err(no_space)
}

fn no_space(error: io::Error) -> Problem {
    Problem { text: format!("directories of the job cannot be made on this node: {error}"), errno: SPACE_FAILED }
}

/// While the result lives, this thread sees what the job sees.
fn enter<'a>(context: &'a Context, space: Option<&Arc<Space>>) -> Result<Option<Visit<'a>>, Problem> {
    space.map_or(Ok(None), |space| space.enter(&context.spaces)).map_err(no_space)
}

/// Takes the program of the tasks from the client.
fn take_program(
    context: &Context,
    unit: &LaunchUnit,
    space: Option<&Arc<Space>>,
    client: Option<&mut Client>,
) -> Result<(), Problem> {
    let _inside = enter(context, space)?;
    match (&unit.broadcast, client) {
        (Some(receipt), Some(client)) => {
            let taken =
                receipt::take(client, &unit.user, receipt, Ok(())).and_then(|()| receipt::wait_for_others(client));
            taken.map_err(problem(format!("put the program into {}", receipt.path)))
        }
        (Some(_), None) => Err(problem("take the program from a client")(io::ErrorKind::NotConnected.into())),
        (None, _) => Ok(()),
    }
}

/// What the tasks of a unit have in common.
struct Common {
    script: Option<PathBuf>,
    work_dir: WorkDir,
    /// The container in which they run.
    inside: Option<Inside>,
    /// What the PMIx server of the step wants in the environment of each rank.
    mpi_variables: BTreeMap<u32, Vec<String>>,
    /// The code with which all end at once, since they cannot run where they should.
    refused: Option<u8>,
    group_files: Vec<CString>,
    user_groups: Vec<libc::gid_t>,
    limits: Vec<(u32, u64)>,
    mark: String,
    /// `SLURM_TMPDIR`, where there is such a directory.
    scratch: Option<String>,
    message_name: String,
    space: Option<(Arc<Space>, Arc<Spaces>)>,
}

fn start_tasks(
    context: &Context,
    launch: &Launch,
    client: Option<&mut Client>,
    space: Option<Arc<Space>>,
    stack: &mut Stack,
    launched: &mut Launched,
    ours: &mut Vec<TaskStreams>,
) -> Result<(), Problem> {
    let unit = &launch.unit;
    let script = match &launch.script {
        Some(bytes) => {
            let written = files::write_script(&context.spool, unit.key, &unit.user, bytes);
            Some(written.map_err(spool_problem)?)
        }
        None => None,
    };
    // As in Slurm, files of the streams are those that all see.
    let (mut work_dir, prepared) = open_streams(unit)?;
    let inside = enter(context, space.as_ref())?;
    if inside.is_some() {
        let _rights = UserRights::of(&unit.user).map_err(problem("take the user's rights"))?;
        work_dir = WorkDir::open(&unit.work_dir).map_err(problem("open working directory"))?;
    }
    launched.group = make_group(context, unit)?;
    launched.error_file = prepared.first().and_then(|streams| streams.error_file.clone());
    let message_name = if unit.message_name.is_empty() { MESSAGE_NAME } else { &unit.message_name };
    let mut common = Common {
        script,
        work_dir,
        inside: None,
        mpi_variables: BTreeMap::new(),
        refused: None,
        group_files: launched.group.as_ref().map(|group| group.join_files()).unwrap_or_default(),
        user_groups: files::all_groups(&unit.user),
        limits: context.limits.iter().chain(&unit.limits).copied().collect(),
        mark: format!("{MARK_NAME}={}{}", unit.key, context.mark_suffix),
        scratch: space
            .as_ref()
            .and_then(|space| Some(format!("SLURM_TMPDIR={}", space.scratch.as_ref().ok()?.display()))),
        message_name: message_name.to_owned(),
        space: space.map(|space| (space, Arc::clone(&context.spaces))),
    };
    report_work_dir(unit, &common, &prepared);
    report_scratch(&common, &prepared);
    if let Some(request) = &unit.container {
        enter_container(context, launch, request, client, &mut common, &prepared, launched);
    }
    start_mpi_server(context, unit, &mut common, stack, launched)?;
    for (task, streams) in unit.tasks.iter().zip(prepared) {
        let (pmi, their_pmi) = match &unit.pmi {
            Some(_) => system::socket_pair()
                .map(|(ours, theirs)| (Some(ours), Some(theirs)))
                .map_err(problem("make socket"))?,
            None => (None, None),
        };
        let pid = start_task(context, launch, &common, task, &streams, their_pmi.as_ref(), stack, launched)?;
        ours.push(TaskStreams { pid: Some(pid as u32), pmi, ..streams.ours });
    }
    Ok(())
}

/// Where the step has one. Tasks in a container do not see its files.
fn start_mpi_server(
    context: &Context,
    unit: &LaunchUnit,
    common: &mut Common,
    stack: &mut Stack,
    launched: &mut Launched,
) -> Result<(), Problem> {
    let Some(facts) = &unit.pmix else { return Ok(()) };
    let sees_other_files = common.inside.is_some() || unit.bundle.is_some();
    let server = mpi_server::start(&context.spool, unit, facts, sees_other_files, stack);
    let server = server.map_err(|error| Problem { text: format!("mpi/pmix: {error}"), errno: MPI_FAILED })?;
    common.mpi_variables = server.variables;
    launched.mpi_service = Some(server.pipe);
    Ok(())
}

impl Common {
    /// What a task executes; in a container perhaps by the entry point of the image.
    fn program(&self, command: &[String], path: &[u8]) -> Option<Program> {
        let script = self.script.as_deref();
        match &self.inside {
            None => Program::find(command, script, &self.work_dir.path, path),
            Some(inside) if inside.entrypoint.is_empty() => Program::find(command, script, &inside.work_path, path),
            Some(inside) => {
                let script = script.map(|script| script.to_string_lossy().into_owned());
                let words: Vec<String> =
                    inside.entrypoint.iter().cloned().chain(script).chain(command.iter().cloned()).collect();
                Program::find(&words, None, &inside.work_path, path)
            }
        }
    }
}

/// Makes the container of a unit. Where that fails the tasks are told why and end at once, as with pyxis.
fn enter_container(
    context: &Context,
    launch: &Launch,
    request: &ContainerRequest,
    mut client: Option<&mut Client>,
    common: &mut Common,
    prepared: &[Prepared],
    launched: &mut Launched,
) {
    let Some(first) = prepared.first() else { return };
    let mut tell = |text: &str| {
        let line = format!("{}: {text}\n", speaker(request)).into_bytes();
        // Nobody reads a pipe before the step has been started; so its client is told at once. It may have gone: the step
        // ends soon then.
        let _ = match client.as_mut().filter(|_| first.error_file.is_none()) {
            Some(client) => client.say(&Frame::Stderr { rank: wire::ALL_RANKS, bytes: line.into() }),
            None => system::write(first.theirs[2].as_raw_fd(), &line).map(drop),
        };
    };
    let applicant = Applicant {
        unit: &launch.unit,
        environment: launch.environment.as_deref().unwrap_or_default(),
        script: common.script.as_deref(),
        space: common.space.as_ref().map(|(space, _)| &**space),
        cancelled: &launch.cancelled,
    };
    let mut lease = None;
    match context.containers.enter(&applicant, request, &mut lease, &mut tell) {
        Ok(inside) => common.inside = Some(inside),
        Err(words) => {
            common.refused = Some(1);
            if !launch.cancelled.load(Ordering::SeqCst) {
                let speaker = speaker(request);
                words.lines().for_each(|line| complain(common, first, &format!("{speaker}: {line}")));
                complain(common, first, &format!("{speaker}: couldn't start container"));
            }
        }
    }
    launched.container = lease.map(|lease| Box::new(Lease::Daemon(lease)));
}

/// Who tells of a container: pyxis where its options asked for one.
fn speaker(request: &ContainerRequest) -> &'static str {
    if request.runner.is_some() { "container" } else { "pyxis" }
}

/// Makes the control group. Where there can be none, only a site that insists on it keeps the unit from being started.
fn make_group(context: &Context, unit: &LaunchUnit) -> Result<Option<UnitGroup>, Problem> {
    let confinement = unit.confinement.as_deref();
    let refused = |reason: &str| Problem {
        text: format!("what cgroup.conf wants cannot be enforced on this node: {reason}"),
        errno: CONFINEMENT_FAILED,
    };
    let cgroups = match (&context.cgroups, confinement) {
        (Ok(cgroups), _) => cgroups,
        (Err(reason), Some(confinement)) if *confinement != Confinement::default() => return Err(refused(reason)),
        (Err(_), _) => return Ok(None),
    };
    let cpus = cpu_list(&unit.affinity, &context.cpus).to_string();
    let wanted = Wanted { memory_limit: unit.memory_limit, cpus: &cpus, confinement };
    match (cgroups.create(unit.key, &wanted), confinement) {
        (Ok(group), _) => Ok(Some(group)),
        (Err(error), Some(_)) => Err(refused(&error.to_string())),
        (Err(error), None) => Err(problem("make control group")(error)),
    }
}

/// Slurm says it once when it opens the streams and once for each task.
fn report_work_dir(unit: &LaunchUnit, common: &Common, prepared: &[Prepared]) {
    let Some(error) = &common.work_dir.problem else {
        return;
    };
    let reason = system::error_text(system::errno(error));
    let text = format!("couldn't chdir to `{}': {reason}: going to /tmp instead", unit.work_dir);
    for streams in prepared.first().into_iter().chain(prepared) {
        complain(common, streams, &text);
    }
}

/// A user who needs it has to know; others can do without.
fn report_scratch(common: &Common, prepared: &[Prepared]) {
    if let Some((Err(reason), streams)) = common.space.as_ref().map(|(space, _)| &space.scratch).zip(prepared.first()) {
        complain(common, streams, &format!("SLURM_TMPDIR is not set: {reason}"));
    }
}

/// Writes a message of the launcher into a task's error stream.
fn complain(common: &Common, streams: &Prepared, text: &str) {
    let line = format!("{}: error: {text}\n", common.message_name);
    // A full disk or a closed pipe must not keep the task from running.
    let _ = system::write(streams.theirs[2].as_raw_fd(), line.as_bytes());
}

#[expect(clippy::too_many_arguments, reason = "what a task is made of, each from another place")]
fn start_task(
    context: &Context,
    launch: &Launch,
    common: &Common,
    task: &TaskLaunch,
    streams: &Prepared,
    pmi: Option<&OwnedFd>,
    stack: &mut Stack,
    launched: &mut Launched,
) -> Result<i32, Problem> {
    let unit = &launch.unit;
    let affinity = affinity_mask(task.affinity.as_ref().unwrap_or(&unit.affinity), &context.cpus);
    task.refusal.iter().for_each(|line| complain(common, streams, line));
    let before = before_task(launch, common, task, streams, &affinity, stack);
    let of_container = common.inside.iter().flat_map(|inside| &inside.variables).map(String::as_bytes);
    let additions: Vec<&[u8]> = before.additions.iter().map(|addition| &**addition).chain(of_container).collect();
    let command = task.command.as_ref().unwrap_or(&unit.command);
    let refused = before.refused.or((!task.refusal.is_empty()).then_some(1)).or(common.refused);
    let call = match refused {
        None => container_call(context, launch, common, task, streams, &additions, launched)?,
        Some(_) => None,
    };
    let of_runtime: Vec<&[u8]> = call.iter().flat_map(|call| &call.environment).map(String::as_bytes).collect();
    let (base, variables) = call.as_ref().map_or((launch.environment.clone(), &additions), |_| (None, &of_runtime));
    let environment = Environment::new(base, variables);
    let program = match (refused, &call) {
        (Some(code), _) => Program::that_exits(code),
        (None, Some(call)) => Program::find(&call.command, None, Path::new("/"), b""),
        (None, None) => common.program(command, environment.path()),
    };
    let program = program.ok_or(()).map_err(|()| problem("find program")(io::ErrorKind::InvalidInput.into()))?;
    let identity =
        files::must_switch(&unit.user).then_some((unit.user.uid, unit.user.gid, common.user_groups.as_slice()));
    let input = call.as_ref().and_then(|call| call.input.as_ref()).unwrap_or(&streams.theirs[0]).as_raw_fd();
    let memory = task.memory.as_ref().and_then(memory_policy);
    let plan = Plan {
        programs: &program.candidates,
        arguments: &program.arguments,
        environment: &environment,
        streams: [input, streams.theirs[1].as_raw_fd(), streams.theirs[2].as_raw_fd()],
        terminal: streams.ours.terminal.is_some(),
        pmi: pmi.map(AsRawFd::as_raw_fd),
        mounts: common.inside.as_ref().map(|inside| inside.mounts.as_raw_fd()),
        work_dir: common.inside.as_ref().map_or(common.work_dir.fd.as_raw_fd(), |inside| inside.work_dir.as_raw_fd()),
        umask: unit.umask,
        identity,
        limits: &common.limits,
        affinity: &affinity,
        memory: memory.as_ref().map(|(policy, mask)| (*policy, mask.as_slice())),
        memory_announcement: task.memory.as_ref().and_then(|memory| memory.announcement.as_ref()).map(pair),
        announcement: task.announcement.as_ref().map(pair),
        notes: task.notes.as_bytes(),
        groups: &common.group_files,
        is_born_in_group: true,
        supervisor: std::process::id() as i32,
    };
    let reaps_before = context.reaps_now();
    let child = spawn::spawn(&plan, stack).map_err(problem("start process"))?;
    launched.tasks.push(StartedTask { rank: task.rank, pid: child.pid, reaps_before, epilog: before.epilog });
    match child.failure {
        None => {}
        Some(Failure::Setup(errno)) => {
            return Err(problem("prepare process")(io::Error::from_raw_os_error(errno)));
        }
        Some(Failure::Execute(errno)) => {
            complain(common, streams, &program.complaint(errno, unit, common.inside.is_some()));
        }
    }
    Ok(child.pid)
}

/// How a task is run in an OCI bundle, or by the runner of a container; `None` where it is started as it is.
fn container_call(
    context: &Context,
    launch: &Launch,
    common: &Common,
    task: &TaskLaunch,
    streams: &Prepared,
    additions: &[&[u8]],
    launched: &mut Launched,
) -> Result<Option<Call>, Problem> {
    let command = task.command.as_ref().unwrap_or(&launch.unit.command);
    let environment = || environment_lines(launch.environment.as_ref(), additions);
    if let Some(runner) = common.inside.as_ref().and_then(|inside| inside.runner.as_ref()) {
        let script = common.script.iter().map(|script| script.to_string_lossy().into_owned());
        let words: Vec<String> = script.chain(command.iter().cloned()).collect();
        let call = runner_call(runner, &words, &environment(), &common.mark);
        return call.map(Some).map_err(problem("tell the runner what to do"));
    }
    let Some(bundle) = &launch.unit.bundle else { return Ok(None) };
    let task = BundleTask {
        unit: &launch.unit,
        launch: bundle,
        rank: task.rank,
        command,
        environment: environment(),
        script: common.script.as_deref(),
        terminal: streams.ours.terminal.is_some(),
    };
    let call = task.prepare(&context.spool, &mut launched.bundle);
    call.map(Some).map_err(|(doing, error)| problem(doing)(error))
}

/// What the programs before a task left for it.
struct Before<'a> {
    /// What it gets over the environment of its unit.
    additions: Vec<Cow<'a, [u8]>>,
    /// What is to be run after it.
    epilog: Option<Box<TaskEpilog>>,
    /// The code with which it ends at once, since one of them failed.
    refused: Option<u8>,
}

/// Runs the programs before a task, if the site or the user has any.
fn before_task<'a>(
    launch: &'a Launch,
    common: &'a Common,
    task: &'a TaskLaunch,
    streams: &Prepared,
    affinity: &[u8],
    stack: &mut Stack,
) -> Before<'a> {
    let unit = &launch.unit;
    let pmi = unit.pmi.as_ref().map(|facts| pmi::variables(facts, task.rank, spawn::PMI_DESCRIPTOR));
    let pmi = pmi.into_iter().flatten().map(|variable| Cow::from(variable.into_bytes()));
    let mpi = common.mpi_variables.get(&task.rank).into_iter().flatten();
    let own = unit.variables.iter().chain(&task.variables).chain([&common.mark]).chain(&common.scratch).chain(mpi);
    let additions: Vec<Cow<'a, [u8]>> = own.map(|variable| Cow::from(variable.as_bytes())).chain(pmi).collect();
    if unit.task_hooks.is_empty() {
        return Before { additions, epilog: None, refused: None };
    }
    let mut setting = Setting {
        base: launch.environment.clone(),
        additions: additions.into_iter().map(Cow::into_owned).collect(),
        identity: files::must_switch(&unit.user).then(|| (unit.user.uid, unit.user.gid, common.user_groups.clone())),
        work_dir: Arc::clone(&common.work_dir.fd),
        umask: unit.umask,
        limits: common.limits.clone(),
        affinity: affinity.to_vec(),
        groups: common.group_files.clone(),
        error: Arc::clone(&streams.theirs[2]),
        message_name: common.message_name.clone(),
    };
    let (printed, refused) = task_hooks::before(&mut setting, &unit.task_hooks.prologs, stack);
    // Nobody may read it; the task runs all the same.
    let _ = system::write(streams.theirs[1].as_raw_fd(), &printed);
    let additions = setting.additions.iter().cloned().map(Cow::from).collect();
    let programs = unit.task_hooks.epilogs.clone();
    let epilog = (!programs.is_empty() && refused.is_none()).then(|| {
        let space = common.space.clone();
        Box::new(TaskEpilog { setting, programs, space })
    });
    Before { additions, epilog, refused }
}

fn pair((before, behind): &(String, String)) -> (&str, &str) {
    (before, behind)
}
