//! Which file a task executes, found as Slurm finds it, and its words where that cannot be done.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::supervisor::files::UserRights;
use crate::system;
use crate::unit::LaunchUnit;

/// Where programs are searched when the environment has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What to execute.
pub(super) struct Program {
    /// Paths to try, in order.
    pub(super) candidates: Vec<CString>,
    pub(super) arguments: Vec<CString>,
    /// The name in messages.
    shown: String,
}

impl Program {
    /// `None` when there is no program, or something has a NUL byte.
    pub(super) fn find(command: &[String], script: Option<&Path>, work_dir: &Path, path: &[u8]) -> Option<Program> {
        let text = |path: PathBuf| CString::new(path.into_os_string().into_vec()).ok();
        let (candidates, shown, rest) = match (script, command.split_first()) {
            (Some(script), _) => (vec![text(script.to_owned())?], script.display().to_string(), command),
            (None, None) => return None,
            // No directory is searched for a program without a name: there is none.
            (None, Some((name, rest))) if name.is_empty() => (vec![CString::default()], String::new(), rest),
            (None, Some((name, rest))) if name.contains('/') => {
                let program = work_dir.join(name);
                (vec![text(program.clone())?], program.display().to_string(), rest)
            }
            (None, Some((name, rest))) => {
                let path = if path.is_empty() { PATH_DEFAULT } else { path };
                let dirs = path.split(|byte| *byte == b':').map(|dir| work_dir.join(OsStr::from_bytes(dir)));
                (dirs.map(|dir| text(dir.join(name))).collect::<Option<_>>()?, name.clone(), rest)
            }
        };
        let first = candidates.first()?.clone();
        let rest = rest.iter().map(|argument| CString::new(argument.as_bytes()).ok());
        let arguments = std::iter::once(Some(first)).chain(rest).collect::<Option<_>>()?;
        Some(Program { candidates, arguments, shown })
    }

    /// One that only ends with a code.
    pub(super) fn that_exits(code: u8) -> Option<Program> {
        let arguments = ["/bin/sh".to_owned(), "-c".to_owned(), format!("exit {code}")];
        Program::find(&arguments, None, Path::new("/"), b"")
    }

    /// The words of slurmstepd for a program that cannot be executed.
    pub(super) fn complaint(&self, errno: i32, unit: &LaunchUnit, is_inside: bool) -> String {
        let reason = system::error_text(errno);
        let interpreter = match (errno, self.candidates.as_slice()) {
            // Files in a container cannot be looked at from here.
            (libc::ENOENT, [program]) if !is_inside => {
                let _rights = UserRights::of(&unit.user);
                interpreter_of(Path::new(OsStr::from_bytes(program.as_bytes())))
            }
            _ => None,
        };
        match interpreter {
            Some(interpreter) => format!("execve(): bad interpreter({interpreter}): {reason}"),
            None => format!("execve(): {}: {reason}", self.shown),
        }
    }
}

/// What the first line of a script names, with its argument.
fn interpreter_of(script: &Path) -> Option<String> {
    use std::io::Read;
    let mut line = Vec::new();
    std::fs::File::open(script).ok()?.take(256).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let text = String::from_utf8_lossy(line);
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
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
}
