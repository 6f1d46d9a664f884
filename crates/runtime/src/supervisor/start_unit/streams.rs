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
    if unit.tasks.len() <= WIDE_PIPES_MAX {
        our_output.iter().for_each(|pipe| system::widen_pipe(pipe.as_raw_fd(), WIDE_PIPE_BYTES));
    }
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
