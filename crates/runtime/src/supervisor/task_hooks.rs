//! Programs that are run as the user before and after a task: `TaskProlog` and `TaskEpilog`.
//!
//! The main thread waits for all children, so their exit codes come by another way: a shell around the program writes it behind
//! what the program printed. Slurm's rules, from what version 22.05 was seen to do: the program before a task sees the task's
//! environment and changes it by what it prints; where it fails, the task ends with its code and is not started. What the
//! program after a task prints is dropped, and its failure is only told.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::environment::Environment;
use super::spaces::{Space, Spaces};
use super::spawn::{self, Plan, Stack};
use crate::system;

/// How long a program may take before a task. A launcher thread waits for it.
const PROLOG_PATIENCE: Duration = Duration::from_secs(120);

/// How long a program may take after a task: "a few seconds", says srun(1).
const EPILOG_PATIENCE: Duration = Duration::from_secs(5);

/// Most bytes taken of what a program prints.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Most bytes that are printed before a task: what a pipe takes before anybody reads from it.
const PRINTED_BYTES_MAX: usize = 32 << 10;

/// Runs the program `$0` and writes its exit code behind its output: NUL, digits, end of line.
const AROUND: &str = r#""$0"; printf '\000%d\n' $?"#;

/// What a process started beside a task has in common with it.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) base: Option<Arc<[u8]>>,
    pub(crate) additions: Vec<Vec<u8>>,
    pub(crate) identity: Option<(libc::uid_t, libc::gid_t, Vec<libc::gid_t>)>,
    pub(crate) work_dir: Arc<OwnedFd>,
    pub(crate) umask: u32,
    pub(crate) limits: Vec<(u32, u64)>,
    pub(crate) affinity: Vec<u8>,
    pub(crate) groups: Vec<CString>,
    /// The task's error stream.
    pub(crate) error: Arc<OwnedFd>,
    /// Begins messages in it.
    pub(crate) message_name: String,
}

/// What is to be run after a task.
#[derive(Debug)]
pub(crate) struct TaskEpilog {
    pub(crate) setting: Setting,
    pub(crate) programs: Vec<String>,
    /// What the task saw of the file system, and the way back.
    pub(crate) space: Option<(Arc<Space>, Arc<Spaces>)>,
}

impl TaskEpilog {
    /// Runs all of it, one after the other.
    pub(crate) fn run(&self, stack: &mut Stack) {
        let inside = self.space.as_ref().map(|(space, spaces)| space.enter(spaces)).transpose();
        let _inside = match inside {
            Ok(inside) => inside,
            Err(error) => return self.setting.complain(&format!("--task-epilog: private directories: {error}")),
        };
        for program in &self.programs {
            match run(&self.setting, program, Some("epilog_task"), EPILOG_PATIENCE, stack) {
                Ok((0, _)) => {}
                // As wait(2) tells it.
                Ok((code, _)) => self.setting.complain(&format!("TaskEpilog failed status={}", status(code))),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.setting.complain(&format!("TaskEpilog failed status={}", libc::SIGKILL));
                }
                Err(error) => self.setting.complain(&format!("--task-epilog {program}: {error}")),
            }
        }
    }
}

/// The status that wait(2) gave the shell around a program, of which it tells signals as 128 and more.
fn status(code: u8) -> u32 {
    match code.checked_sub(128) {
        Some(signal @ 1..=64) => signal.into(),
        _ => u32::from(code) << 8,
    }
}

/// What the programs before a task make of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// `NAME=value`, or `NAME` for one that is taken out.
    pub(crate) variables: Vec<Vec<u8>>,
    /// For the task's output.
    pub(crate) printed: Vec<u8>,
}

impl Changes {
    /// Reads what a program printed; other lines are dropped.
    fn read(output: &[u8]) -> Changes {
        let mut changes = Changes::default();
        for line in output.split(|byte| *byte == b'\n') {
            if let Some(variable) = line.strip_prefix(b"export ") {
                if variable.contains(&b'=') {
                    changes.variables.push(variable.to_vec());
                }
            } else if let Some(name) = line.strip_prefix(b"unset ") {
                changes.variables.push(name.trim_ascii().to_vec());
            } else if let Some(text) = line.strip_prefix(b"print ") {
                changes.printed.extend_from_slice(text);
                changes.printed.push(b'\n');
            }
        }
        changes
    }
}

/// Runs `programs` before a task until one fails. What they change is added to `setting`; gives what they print, and the code
/// with which the task ends if one failed.
pub(crate) fn before(setting: &mut Setting, programs: &[String], stack: &mut Stack) -> (Vec<u8>, Option<u8>) {
    let mut printed = Vec::new();
    let mut refused = None;
    for program in programs {
        let failed = match run(setting, program, Some("prolog_task"), PROLOG_PATIENCE, stack) {
            Ok((code, output)) => {
                let changes = Changes::read(&output);
                setting.additions.extend(changes.variables);
                printed.extend(changes.printed);
                code
            }
            Err(error) => {
                let why = system::error_text(system::errno(&error));
                setting.complain(&format!("run_command: user task_prolog can not be executed ({program}) {why}"));
                1
            }
        };
        if failed != 0 {
            setting.complain(&format!("TaskProlog failed status={failed}"));
            refused = Some(failed);
            break;
        }
    }
    if printed.len() > PRINTED_BYTES_MAX {
        setting.complain(&format!("the task prolog prints {} bytes; only the first are shown", printed.len()));
        printed.truncate(PRINTED_BYTES_MAX);
    }
    (printed, refused)
}

impl Setting {
    /// For a program of the site that belongs to no task: it runs as the supervisor does, from `/`, and what it complains of is dropped.
    pub(crate) fn of_site(additions: Vec<Vec<u8>>) -> io::Result<Setting> {
        let root = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open("/")?;
        let error = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Setting {
            base: None,
            additions,
            identity: None,
            work_dir: Arc::new(root.into()),
            umask: 0o022,
            limits: Vec::new(),
            affinity: Vec::new(),
            groups: Vec::new(),
            error: Arc::new(error.into()),
            message_name: String::new(),
        })
    }

    fn complain(&self, text: &str) {
        // A full disk or a closed pipe changes nothing about the task.
        let _ = system::write(self.error.as_raw_fd(), format!("{}: error: {text}\n", self.message_name).as_bytes());
    }
}

/// Runs one program, with `context` as its `SLURM_SCRIPT_CONTEXT`; gives its exit code and what it printed.
pub(crate) fn run(
    setting: &Setting,
    program: &str,
    context: Option<&str>,
    patience: Duration,
    stack: &mut Stack,
) -> io::Result<(u8, Vec<u8>)> {
    let text = |text: &str| CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let arguments = [text("/bin/sh")?, text("-c")?, text(AROUND)?, text(program)?];
    let [.., path] = &arguments;
    // SAFETY: the path ends with NUL. Asked with the rights of the supervisor: others find out when it is executed.
    system::check(unsafe { libc::access(path.as_ptr(), libc::X_OK) })?;
    let context = context.map(|context| format!("SLURM_SCRIPT_CONTEXT={context}"));
    let context = context.as_ref().map(String::as_bytes);
    let additions: Vec<&[u8]> = setting.additions.iter().map(Vec::as_slice).chain(context).collect();
    let environment = Environment::new(setting.base.clone(), &additions);
    let null = std::fs::File::open("/dev/null")?;
    let (read, write) = system::pipe()?;
    let identity = setting.identity.as_ref().map(|(uid, gid, groups)| (*uid, *gid, groups.as_slice()));
    let streams = [null.as_raw_fd(), write.as_raw_fd(), setting.error.as_raw_fd()];
    let plan = Plan {
        identity,
        limits: &setting.limits,
        affinity: &setting.affinity,
        groups: &setting.groups,
        ..Plan::helper(&arguments, &environment, streams, setting.work_dir.as_raw_fd(), setting.umask)
    };
    let child = spawn::spawn(&plan, stack)?;
    drop(write);
    let result = collect(&read, Instant::now() + patience);
    if result.is_err() {
        system::kill(-child.pid, libc::SIGKILL);
    }
    result
}

/// Reads until the exit code has come.
fn collect(read: &OwnedFd, until: Instant) -> io::Result<(u8, Vec<u8>)> {
    let output = system::read_until(read, until, OUTPUT_BYTES_MAX, |output, _| split_code(output).is_some())?;
    let (text, code) = split_code(&output).ok_or_else(|| {
        // The shell itself was killed.
        io::Error::from(io::ErrorKind::UnexpectedEof)
    })?;
    Ok((code, text.to_vec()))
}

/// Takes the exit code from the end: NUL, digits, end of line.
fn split_code(output: &[u8]) -> Option<(&[u8], u8)> {
    let at = output.iter().rposition(|byte| *byte == 0)?;
    let (text, code) = output.split_at(at);
    let code = code.strip_prefix(b"\0")?.strip_suffix(b"\n")?;
    Some((text, std::str::from_utf8(code).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_lines_change_the_environment() {
        let changes = Changes::read(b"export A=1 2\nunset HOME \nprint hello  you\nexport broken\nnoise\nprint end");
        assert_eq!(changes.variables, [b"A=1 2".to_vec(), b"HOME".to_vec()]);
        assert_eq!(changes.printed, b"hello  you\nend\n");
    }

    #[test]
    fn the_end_of_an_epilog_is_told_as_wait_tells_it() {
        assert_eq!((status(3), status(137), status(143), status(255)), (768, 9, 15, 255 << 8));
    }

    #[test]
    fn the_code_comes_behind_the_output() {
        assert_eq!(split_code(b"text\n\x003\n"), Some((b"text\n".as_slice(), 3)));
        assert_eq!(split_code(b"\x00127\n"), Some((b"".as_slice(), 127)));
        for unfinished in [b"text\n".as_slice(), b"text\0", b"text\x0012", b"text\x00x\n", b""] {
            assert_eq!(split_code(unfinished), None);
        }
    }
}
