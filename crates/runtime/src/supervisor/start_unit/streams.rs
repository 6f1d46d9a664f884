//! The streams of tasks: files opened with the rights of their user, terminals, and pipes to the client's relay.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::{Problem, problem};
use crate::supervisor::files::{self, OpenFiles, UserRights, WorkDir};
use crate::supervisor::relay::TaskStreams;
use crate::supervisor::terminal;
use crate::system;
use crate::unit::{Input, LaunchUnit, Output, TaskLaunch};

/// The streams of a task, opened.
pub(super) struct Prepared {
    /// For the task: 0, 1, 2.
    pub(super) theirs: [Arc<OwnedFd>; 3],
    /// For the relay.
    pub(super) ours: TaskStreams,
    /// The task's error stream, where it is a file.
    pub(super) error_file: Option<Arc<OwnedFd>>,
}

/// Opens the directory and all streams with the rights of the user.
pub(super) fn open_streams(unit: &LaunchUnit) -> Result<(WorkDir, Vec<Prepared>), Problem> {
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

/// Room for what a task writes to its client while that is busy.
const WIDE_PIPE_BYTES: i32 = 256 << 10;

/// Of more tasks on a node the output keeps no single one waiting, and the room would add up.
const WIDE_PIPES_MAX: usize = 64;

fn open_task(unit: &LaunchUnit, task: &TaskLaunch, files: &mut OpenFiles) -> Result<Prepared, Problem> {
    let streams = task.streams.as_ref().unwrap_or(&unit.streams);
    let mut ours = TaskStreams::none(task.rank);
    // The relay writes them, and there is one where there is a client.
    let labels = streams.labels.filter(|_| unit.client.is_some());
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
        output => {
            let opened = open_output(output, streams.append, labels.is_some(), files)?;
            ours.output_file = opened.labelled;
            (opened.theirs, opened.ours)
        }
    };
    if unit.tasks.len() <= WIDE_PIPES_MAX {
        our_output.iter().for_each(|pipe| system::widen_pipe(pipe.as_raw_fd(), WIDE_PIPE_BYTES));
    }
    ours.output = our_output;
    let error = match &streams.error {
        None => Arc::clone(&output),
        Some(target) => {
            let opened = open_output(target, streams.append, labels.is_some(), files)?;
            (ours.error, ours.error_file) = (opened.ours, opened.labelled);
            opened.theirs
        }
    };
    ours.labels = labels;
    let error_target = streams.error.as_ref().unwrap_or(&streams.output);
    // A pipe must not be kept open by who only wants to write into the file.
    let labelled = if streams.error.is_some() { &ours.error_file } else { &ours.output_file };
    let error_file = matches!(error_target, Output::File(_)).then(|| Arc::clone(labelled.as_ref().unwrap_or(&error)));
    Ok(Prepared { theirs: [input, output, error], ours, error_file })
}

/// One output of a task.
struct Opened {
    theirs: Arc<OwnedFd>,
    /// For the relay, where it reads what the task writes.
    ours: Option<OwnedFd>,
    /// The file into which the relay writes that with labels.
    labelled: Option<Arc<OwnedFd>>,
}

fn open_output(target: &Output, keep: bool, has_labels: bool, files: &mut OpenFiles) -> Result<Opened, Problem> {
    let direct = |theirs| Opened { theirs, ours: None, labelled: None };
    let piped = |labelled| -> Result<Opened, Problem> {
        let (read, write) = system::pipe().map_err(problem("make pipe"))?;
        Ok(Opened { theirs: Arc::new(write), ours: Some(read), labelled })
    };
    match target {
        Output::Null => files.null().map(direct).map_err(problem("open /dev/null")),
        Output::File(name) => {
            let file = files.output(name, keep).map_err(problem(format!("open output file {name}")))?;
            if has_labels { piped(Some(file)) } else { Ok(direct(file)) }
        }
        Output::Client => piped(None),
    }
}
