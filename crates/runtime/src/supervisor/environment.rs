//! The environment of a task, laid out as `execve` wants it without copying what many tasks share.

use std::collections::HashSet;
use std::sync::Arc;

use libc::c_char;

/// Set by the child itself, because only it knows its number before it runs.
const TASK_PID_PREFIX: &[u8] = b"SLURM_TASK_PID=";

/// Room for the digits of any process number and the closing NUL.
const PID_DIGITS_MAX: usize = 11;

/// A task's environment. Pointers given out stay valid while this value lives, even if it is moved: they lead into
/// heap blocks that are never changed in size.
pub(crate) struct Environment {
    /// Variables shared with other tasks, each ended by NUL.
    #[expect(dead_code, reason = "keeps the memory alive that `pointers` leads to")]
    base: Option<Arc<[u8]>>,
    /// Variables of this task alone, each ended by NUL, the process number last.
    #[expect(dead_code, reason = "keeps the memory alive that `pointers` leads to")]
    own: Box<[u8]>,
    pointers: Box<[*const c_char]>,
    pid_digits: *mut c_char,
    path: Vec<u8>,
}

impl Environment {
    /// Puts `additions` (later ones win) over the `NAME=value\0` strings of `base`. One without `=` takes the name out.
    pub(crate) fn new(base: Option<Arc<[u8]>>, additions: &[&[u8]]) -> Environment {
        let mut names: HashSet<&[u8]> = HashSet::from([name(TASK_PID_PREFIX)]);
        let mut path = Vec::new();
        let mut kept: Vec<&[u8]> = Vec::with_capacity(additions.len());
        for addition in additions.iter().rev() {
            if is_variable(addition) && names.insert(name(addition)) && addition.contains(&b'=') {
                kept.push(addition);
            }
        }
        let room = kept.iter().map(|variable| variable.len() + 1).sum::<usize>();
        let mut own = Vec::with_capacity(room + TASK_PID_PREFIX.len() + PID_DIGITS_MAX);
        let mut offsets = Vec::with_capacity(kept.len() + 1);
        for variable in kept.iter().rev() {
            offsets.push(own.len());
            own.extend_from_slice(variable);
            own.push(0);
            remember_path(&mut path, variable);
        }
        offsets.push(own.len());
        own.extend_from_slice(TASK_PID_PREFIX);
        let digits_at = own.len();
        own.extend_from_slice(&[0; PID_DIGITS_MAX]);

        let mut pointers = Vec::new();
        let mut own = own.into_boxed_slice();
        for variable in base.as_deref().unwrap_or_default().split_inclusive(|byte| *byte == 0) {
            // A last string without its NUL would let `execve` read on; it is left out.
            if variable.last() == Some(&0) && is_variable(&variable[..variable.len() - 1]) {
                let text = &variable[..variable.len() - 1];
                if !names.contains(name(text)) {
                    pointers.push(variable.as_ptr().cast());
                    remember_path(&mut path, text);
                }
            }
        }
        let start = own.as_mut_ptr();
        // SAFETY: all offsets are within `own`, which is not changed in size any more.
        let pid_digits = unsafe { start.add(digits_at).cast() };
        // SAFETY: as above.
        pointers.extend(offsets.iter().map(|offset| unsafe { start.add(*offset).cast_const().cast() }));
        pointers.push(std::ptr::null());
        Environment { base, own, pointers: pointers.into_boxed_slice(), pid_digits, path }
    }

    /// For `execve`.
    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// Where the child writes its process number in decimal; [`PID_DIGITS_MAX`] bytes of NUL.
    pub(crate) fn pid_digits(&self) -> *mut c_char {
        self.pid_digits
    }

    /// Value of `PATH`, empty where there is none.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }
}

fn name(variable: &[u8]) -> &[u8] {
    variable.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn is_variable(text: &[u8]) -> bool {
    !text.is_empty() && !text.contains(&0)
}

fn remember_path(path: &mut Vec<u8>, variable: &[u8]) {
    if let Some(value) = variable.strip_prefix(b"PATH=") {
        path.clear();
        path.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn check(base: &[u8], additions: &[&str], expected: &[&str]) {
        let additions: Vec<&[u8]> = additions.iter().map(|text| text.as_bytes()).collect();
        let environment = Environment::new(Some(base.into()), &additions);
        let mut seen = Vec::new();
        let mut at = environment.as_ptr();
        // SAFETY: the list ends with a null pointer and each string with NUL; that is what is tested.
        unsafe {
            environment.pid_digits().write(b'7' as c_char);
            while !(*at).is_null() {
                seen.push(CStr::from_ptr(*at).to_string_lossy().into_owned());
                at = at.add(1);
            }
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn additions_replace_what_is_there() {
        check(b"A=1\0B=2\0", &["B=3", "C=4"], &["A=1", "B=3", "C=4", "SLURM_TASK_PID=7"]);
        check(b"A=1\0SLURM_TASK_PID=99\0", &["X=1", "X=2"], &["A=1", "X=2", "SLURM_TASK_PID=7"]);
        check(b"\0A=1\0cut", &["", "bad\0one"], &["A=1", "SLURM_TASK_PID=7"]);
        check(b"A=x=y\0", &[], &["A=x=y", "SLURM_TASK_PID=7"]);
        check(b"A=1\0B=2\0", &["A=3", "A", "B", "B=4"], &["B=4", "SLURM_TASK_PID=7"]);
    }

    #[test]
    fn the_path_in_force_is_known() {
        let path = |base: &[u8], additions: &[&[u8]]| Environment::new(Some(base.into()), additions).path().to_vec();
        assert_eq!(path(b"PATH=/bin\0", &[]), b"/bin");
        assert_eq!(path(b"PATH=/bin\0", &[b"PATH=/usr/bin"]), b"/usr/bin");
        assert_eq!(path(b"A=1\0", &[]), b"");
    }
}
