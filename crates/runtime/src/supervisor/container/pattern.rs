//! POSIX extended expressions, as sites write them in `oci.conf`: those of the C library, so that they mean what they mean to Slurm.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;

/// A compiled expression.
pub(super) struct Pattern {
    compiled: Box<libc::regex_t>,
}

impl Pattern {
    /// Compiles `text`.
    pub(super) fn new(text: &str) -> io::Result<Pattern> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("\"{text}\" is no regular expression"));
        let text = CString::new(text).map_err(|_| invalid())?;
        let mut compiled: Box<MaybeUninit<libc::regex_t>> = Box::new(MaybeUninit::zeroed());
        // SAFETY: the expression is NUL-terminated, and the memory is that of a `regex_t`.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) };
        if code != 0 {
            return Err(invalid());
        }
        // SAFETY: `regcomp` has filled it.
        Ok(Pattern { compiled: unsafe { Box::from_raw(Box::into_raw(compiled).cast()) } })
    }

    /// Whether it is found in `text`.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        // SAFETY: compiled, and the text is NUL-terminated; no place of a match is asked for.
        unsafe { libc::regexec(&*self.compiled, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: compiled, and freed only here.
        unsafe { libc::regfree(&mut *self.compiled) }
    }
}

/// `lines` without those in which the expression is found.
///
/// # Errors
/// When it is none.
pub(super) fn without(lines: &[String], expression: Option<&str>) -> io::Result<Vec<String>> {
    let Some(expression) = expression else { return Ok(lines.to_vec()) };
    let pattern = Pattern::new(expression)?;
    Ok(lines.iter().filter(|line| !pattern.is_in(line)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_left_out() {
        let lines = ["SLURM_CONF=/x", "A=SLURM_CONF=1", "HOME=/h"].map(str::to_owned);
        assert_eq!(without(&lines, Some("^(SLURM_CONF|HOME)=")).unwrap(), ["A=SLURM_CONF=1"]);
        assert_eq!(without(&lines, None).unwrap(), lines);
        assert_eq!(without(&lines, Some("(")).unwrap_err().to_string(), "\"(\" is no regular expression");
    }
}
