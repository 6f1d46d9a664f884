//! From a [`LaunchUnit`] to running processes: streams, environment, program, and words for what went wrong.

use std::borrow::Cow;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_model::resources::IndexSet;

use super::client_link;
use super::environment::Environment;
use super::files::{self, OpenFiles, UserRights, WorkDir};
use super::launcher::{Context, Launch, Launched, StartedTask};
use super::processes::MARK_NAME;
use super::relay::{self, Client, TaskStreams};
use super::spawn::{self, Failure, Plan, Stack};
use super::task_hooks::{self, Setting, TaskEpilog};
use super::terminal;
use crate::pmi;
use crate::receipt;
use crate::system;
use crate::unit::{BINDING_REFUSED, Input, LaunchUnit, Output, PROLOG_FAILED, TaskLaunch};

/// Where programs are searched when the environment has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// Name that begins messages where the unit gives none.
const MESSAGE_NAME: &str = "slurmstepd";

/// What is to be done failed: in words, with the error.
struct Problem {
    doing: String,
    error: io::Error,
}

fn problem(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Problem {
    let doing = doing.into();
    move |error| Problem { doing, error }
}

/// Starts the unit as far as possible. What was started is in the result even if something failed.
pub(crate) fn launch(context: &Context, launch: Launch, stack: &mut Stack) -> Launched {
    let mut launched = Launched::new(launch.unit.key);
    let pmi = launch.unit.pmi.clone();
    let mut client = None;
    let mut ours = Vec::new();
    let connected = connect(&launch.unit, &mut client);
    // The client sends it in any case.
    let connected = connected.and_then(|()| take_program(&launch.unit, client.as_mut()));
    if connected.is_ok() && launch.prolog_failed {
        launched.problem = Some(("the prolog of the node failed".to_owned(), PROLOG_FAILED));
        return with_relay(context, launched, client, ours, pmi);
    }
    if let (Ok(()), Some(reason)) = (&connected, &launch.unit.refusal) {
        launched.problem = Some((reason.clone(), BINDING_REFUSED));
        return with_relay(context, launched, client, ours, pmi);
    }
    let result = connected.and_then(|()| start_tasks(context, &launch, stack, &mut launched, &mut ours));
    if let Err(Problem { doing, error }) = result {
        launched.problem = Some((format!("{doing}: {error}"), system::errno(&error)));
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
        match relay::start(launched.key, client, ours, pmi, Arc::clone(&context.main)) {
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

/// Takes the program of the tasks from the client.
fn take_program(unit: &LaunchUnit, client: Option<&mut Client>) -> Result<(), Problem> {
    match (&unit.broadcast, client) {
        (Some(receipt), Some(client)) => {
            let taken = receipt::take(client, &unit.user, receipt).and_then(|()| receipt::wait_for_others(client));
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
    group_files: Vec<CString>,
    user_groups: Vec<libc::gid_t>,
    limits: Vec<(u32, u64)>,
    mark: String,
    message_name: String,
}

fn start_tasks(
    context: &Context,
    launch: &Launch,
    stack: &mut Stack,
    launched: &mut Launched,
    ours: &mut Vec<TaskStreams>,
) -> Result<(), Problem> {
    let unit = &launch.unit;
    let script = match &launch.script {
        Some(bytes) => {
            let written = files::write_script(&context.spool, unit.key, &unit.user, bytes);
            Some(written.map_err(problem("write batch script"))?)
        }
        None => None,
    };
    let (work_dir, prepared) = open_streams(unit)?;
    if let Some(cgroups) = &context.cgroups {
        let cpus = cpu_list(&unit.affinity, &context.cpus).to_string();
        let group = cgroups.create(&unit.key.to_string(), unit.memory_limit, &cpus);
        launched.group = Some(group.map_err(problem("make control group"))?);
    }
    launched.error_file = prepared.first().and_then(|streams| streams.error_file.clone());
    let message_name = if unit.message_name.is_empty() { MESSAGE_NAME } else { &unit.message_name };
    let common = Common {
        script,
        work_dir,
        group_files: launched.group.as_ref().map(|group| group.join_files()).unwrap_or_default(),
        user_groups: files::all_groups(&unit.user),
        limits: context.limits.iter().chain(&unit.limits).copied().collect(),
        mark: format!("{MARK_NAME}={}{}", unit.key, context.mark_suffix),
        message_name: message_name.to_owned(),
    };
    report_work_dir(unit, &common, &prepared);
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
    let before = before_task(launch, common, task, streams, &affinity, stack);
    let additions: Vec<&[u8]> = before.additions.iter().map(|addition| &**addition).collect();
    let environment = Environment::new(launch.environment.clone(), &additions);
    let command = task.command.as_ref().unwrap_or(&unit.command);
    let program = match before.refused {
        Some(code) => Program::that_exits(code),
        None => Program::find(command, common.script.as_deref(), &common.work_dir.path, environment.path()),
    };
    let program =
        program.ok_or_else(|| Problem { doing: "find program".into(), error: io::ErrorKind::InvalidInput.into() })?;
    let identity =
        files::must_switch(&unit.user).then_some((unit.user.uid, unit.user.gid, common.user_groups.as_slice()));
    let plan = Plan {
        programs: &program.candidates,
        arguments: &program.arguments,
        environment: &environment,
        streams: [0, 1, 2].map(|index: usize| streams.theirs[index].as_raw_fd()),
        terminal: streams.ours.terminal.is_some(),
        pmi: pmi.map(AsRawFd::as_raw_fd),
        work_dir: common.work_dir.fd.as_raw_fd(),
        umask: unit.umask,
        identity,
        limits: &common.limits,
        affinity: &affinity,
        announcement: task.announcement.as_ref().map(|(before, behind)| (before.as_str(), behind.as_str())),
        groups: &common.group_files,
        supervisor: std::process::id() as i32,
    };
    let reaps_before = context.reaps_now();
    let child = spawn::spawn(&plan, stack).map_err(problem("start process"))?;
    launched.tasks.push(StartedTask { rank: task.rank, pid: child.pid, reaps_before, epilog: before.epilog });
    match child.failure {
        None => {}
        Some(Failure::Setup(errno)) => {
            let error = io::Error::from_raw_os_error(errno);
            return Err(Problem { doing: "prepare process".into(), error });
        }
        Some(Failure::Execute(errno)) => complain(common, streams, &program.complaint(errno, unit)),
    }
    Ok(child.pid)
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
    let own = unit.variables.iter().chain(&task.variables).chain([&common.mark]);
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
    let epilog = (!programs.is_empty() && refused.is_none()).then(|| Box::new(TaskEpilog { setting, programs }));
    Before { additions, epilog, refused }
}

/// What to execute.
struct Program {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    /// The name in messages.
    shown: String,
}

impl Program {
    /// `None` when there is no program, or something has a NUL byte.
    fn find(command: &[String], script: Option<&Path>, work_dir: &Path, path: &[u8]) -> Option<Program> {
        let text = |path: PathBuf| CString::new(path.into_os_string().into_vec()).ok();
        let (candidates, shown, rest) = match (script, command.split_first()) {
            (Some(script), _) => (vec![text(script.to_owned())?], script.display().to_string(), command),
            (None, None) => return None,
            (None, Some((name, rest))) if name.contains('/') => {
                let program = work_dir.join(name);
                (vec![text(program.clone())?], program.display().to_string(), rest)
            }
            (None, Some((name, rest))) => {
                let path = if path.is_empty() { PATH_DEFAULT } else { path };
                let dirs = path.split(|byte| *byte == b':').map(|dir| work_dir.join(std::ffi::OsStr::from_bytes(dir)));
                (dirs.map(|dir| text(dir.join(name))).collect::<Option<_>>()?, name.clone(), rest)
            }
        };
        let first = candidates.first()?.clone();
        let rest = rest.iter().map(|argument| CString::new(argument.as_bytes()).ok());
        let arguments = std::iter::once(Some(first)).chain(rest).collect::<Option<_>>()?;
        Some(Program { candidates, arguments, shown })
    }

    /// One that only ends with a code.
    fn that_exits(code: u8) -> Option<Program> {
        let arguments = ["/bin/sh".to_owned(), "-c".to_owned(), format!("exit {code}")];
        Program::find(&arguments, None, Path::new("/"), b"")
    }

    /// The words of slurmstepd for a program that cannot be executed.
    fn complaint(&self, errno: i32, unit: &LaunchUnit) -> String {
        let reason = system::error_text(errno);
        let interpreter = match (errno, self.candidates.as_slice()) {
            (libc::ENOENT, [program]) => {
                let _rights = UserRights::of(&unit.user);
                interpreter_of(Path::new(std::ffi::OsStr::from_bytes(program.as_bytes())))
            }
            _ => None,
        };
        match interpreter {
            Some(interpreter) => format!("execve(): bad interpreter({interpreter}): {reason}"),
            None => format!("execve(): {}: {reason}", self.shown),
        }
    }
}

/// What the first line of a script names.
fn interpreter_of(script: &Path) -> Option<String> {
    use std::io::Read;
    let mut line = Vec::new();
    std::fs::File::open(script).ok()?.take(256).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let text = String::from_utf8_lossy(line);
    text.split_whitespace().next().map(str::to_owned)
}

/// The streams of a task, opened.
struct Prepared {
    /// For the task: 0, 1, 2.
    theirs: [Arc<OwnedFd>; 3],
    /// For the relay.
    ours: TaskStreams,
    error_file: Option<Arc<OwnedFd>>,
}

/// Opens the directory and all streams with the rights of the user.
fn open_streams(unit: &LaunchUnit) -> Result<(WorkDir, Vec<Prepared>), Problem> {
    let _rights = UserRights::of(&unit.user).map_err(problem("take the user's rights"))?;
    let work_dir = WorkDir::open(&unit.work_dir).map_err(problem("open working directory"))?;
    let mut files = OpenFiles::new(Path::new(&unit.work_dir), unit.umask);
    let mut prepared = Vec::with_capacity(unit.tasks.len());
    for (index, task) in unit.tasks.iter().enumerate() {
        let streams = match (unit.pty, index) {
            (Some(size), 0) => open_terminal(unit, task, size).map_err(problem("open terminal"))?,
            _ => open_task(unit, task, &mut files)?,
        };
        prepared.push(streams);
    }
    Ok((work_dir, prepared))
}

fn open_terminal(unit: &LaunchUnit, task: &TaskLaunch, (rows, columns): (u16, u16)) -> io::Result<Prepared> {
    let owner = files::must_switch(&unit.user).then_some(unit.user.uid);
    let (ours, theirs) = terminal::open(rows, columns, owner)?;
    let theirs = Arc::new(theirs);
    let ours = TaskStreams { terminal: Some(ours), ..TaskStreams::none(task.rank) };
    Ok(Prepared { theirs: [0; 3].map(|_| Arc::clone(&theirs)), ours, error_file: None })
}

fn open_task(unit: &LaunchUnit, task: &TaskLaunch, files: &mut OpenFiles) -> Result<Prepared, Problem> {
    let streams = task.streams.as_ref().unwrap_or(&unit.streams);
    let mut ours = TaskStreams::none(task.rank);
    let input = match &streams.input {
        Input::Null => files.null().map_err(problem("open /dev/null"))?,
        Input::File(name) => files.input(name).map_err(problem(format!("open input file {name}")))?,
        Input::Client => {
            let (read, write) = system::pipe().map_err(problem("make pipe"))?;
            ours.input = Some(write);
            Arc::new(read)
        }
    };
    let (output, our_output) = match &streams.output {
        Output::Client if streams.unbuffered => {
            let owner = files::must_switch(&unit.user).then_some(unit.user.uid);
            let (ours, theirs) = terminal::open_raw(owner).map_err(problem("open terminal"))?;
            (Arc::new(theirs), Some(ours))
        }
        output => open_output(output, streams.append, files)?,
    };
    ours.output = our_output;
    let error = match &streams.error {
        None => Arc::clone(&output),
        Some(target) => {
            let (error, our_error) = open_output(target, streams.append, files)?;
            ours.error = our_error;
            error
        }
    };
    let error_target = streams.error.as_ref().unwrap_or(&streams.output);
    let error_file = matches!(error_target, Output::File(_)).then(|| Arc::clone(&error));
    Ok(Prepared { theirs: [input, output, error], ours, error_file })
}

type Opened = (Arc<OwnedFd>, Option<OwnedFd>);

fn open_output(target: &Output, keep: bool, files: &mut OpenFiles) -> Result<Opened, Problem> {
    match target {
        Output::Null => Ok((files.null().map_err(problem("open /dev/null"))?, None)),
        Output::File(name) => {
            let file = files.output(name, keep).map_err(problem(format!("open output file {name}")))?;
            Ok((file, None))
        }
        Output::Client => {
            let (read, write) = system::pipe().map_err(problem("make pipe"))?;
            Ok((Arc::new(write), Some(read)))
        }
    }
}

/// Those of `wanted` that this machine has.
fn cpu_list(wanted: &[u32], present: &[u32]) -> IndexSet {
    let mut set = IndexSet::default();
    wanted.iter().filter(|cpu| present.contains(cpu)).for_each(|cpu| set.insert(*cpu));
    set
}

/// The mask for the kernel, in whole words; empty for any CPU.
fn affinity_mask(wanted: &[u32], present: &[u32]) -> Vec<u8> {
    let cpus = cpu_list(wanted, present);
    let Some(last) = cpus.iter().last() else {
        return Vec::new();
    };
    let mut words = vec![0usize; last as usize / usize::BITS as usize + 1];
    for cpu in cpus.iter() {
        if let Some(word) = words.get_mut(cpu as usize / usize::BITS as usize) {
            *word |= 1 << (cpu % usize::BITS);
        }
    }
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_slurm_finds_them() {
        let check = |command: &[&str], script: Option<&str>, expected: &[&str], shown: &str| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let found = Program::find(&command, script.map(Path::new), Path::new("/w"), b"/a:rel").unwrap();
            let candidates: Vec<_> = found.candidates.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!((candidates.as_slice(), found.shown.as_str()), (expected, shown));
        };
        check(&["prog", "x"], None, &["/a/prog", "/w/rel/prog"], "prog");
        check(&["./prog"], None, &["/w/./prog"], "/w/./prog");
        check(&["/bin/true"], None, &["/bin/true"], "/bin/true");
        check(&["x", "y"], Some("/s/slurm_script"), &["/s/slurm_script"], "/s/slurm_script");
        assert!(Program::find(&[], None, Path::new("/w"), b"").is_none());
        assert!(Program::find(&["a\0".into()], None, Path::new("/w"), b"").is_none());
    }

    #[test]
    fn masks_have_whole_words() {
        assert_eq!(affinity_mask(&[0, 2, 99], &[0, 1, 2]), 5usize.to_ne_bytes());
        assert_eq!(affinity_mask(&[64], &[64]).len(), 16);
        assert!(affinity_mask(&[7], &[0]).is_empty());
    }
}
