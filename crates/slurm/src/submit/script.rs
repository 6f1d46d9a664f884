//! The batch script: where it is, whether it is one, and the one that `--wrap` makes.

use super::surroundings::{ReadError, Surroundings};
use crate::options::{Fault, Line, absolute};

/// A script that has been found and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its text.
    pub bytes: Vec<u8>,
    /// Where it was found; `None` for standard input and `--wrap`.
    pub path: Option<String>,
    /// Name of the job where none is given.
    pub name: String,
    /// How messages about its lines call it.
    pub shown_name: String,
}

/// The script that runs the command line `wrapped`.
pub fn wrapped(wrapped: &str) -> Script {
    Script {
        bytes: format!("#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{wrapped}\n").into_bytes(),
        path: None,
        name: "wrap".to_owned(),
        shown_name: "wrap".to_owned(),
    }
}

/// Finds and reads the script called `name`, or standard input where there is none, and checks it.
///
/// # Errors
/// The messages of real `sbatch`; exit 1.
pub fn read(name: Option<&str>, around: &Surroundings<'_>) -> Result<Script, Fault> {
    let script = match name {
        None => Script {
            bytes: around.world.host.standard_input().unwrap_or_default(),
            path: None,
            name: "sbatch".to_owned(),
            shown_name: "stdin".to_owned(),
        },
        Some(name) => find(name, around)?,
    };
    check(&script.bytes)?;
    Ok(script)
}

/// A name with a slash or a leading dot is a path; others are looked up in the directory, then along `PATH`.
fn find(name: &str, around: &Surroundings<'_>) -> Result<Script, Fault> {
    let unable = |name: &str| Fault::error(1, format!("Unable to open file {name}"));
    if name.is_empty() {
        return Err(unable(name));
    }
    let mut candidates = vec![absolute(around.world.work_dir, name)];
    if !name.starts_with('/') && !name.starts_with('.') {
        let path = around.variable("PATH").unwrap_or_default();
        candidates.extend(
            path.split(':').filter(|directory| !directory.is_empty()).map(|directory| format!("{directory}/{name}")),
        );
    }
    let base = name.rsplit('/').next().unwrap_or(name);
    let found = |bytes: Vec<u8>, path: &str| Script {
        bytes,
        path: Some(path.to_owned()),
        name: base.to_owned(),
        shown_name: base.to_owned(),
    };
    for candidate in &candidates {
        match around.world.host.read(candidate) {
            Ok(bytes) => return Ok(found(bytes, candidate)),
            // A directory opens, and has nothing to read.
            Err(ReadError::Directory) => return Ok(found(Vec::new(), candidate)),
            Err(ReadError::Missing) => {}
            Err(ReadError::Other(_)) => return Err(unable(candidate)),
        }
    }
    Err(unable(name))
}

/// The script with the lines of the file of `--bbf` behind its first one, as real `sbatch` puts them there.
///
/// # Errors
/// A file that cannot be read; exit 255.
pub fn with_file(bytes: &[u8], file: Option<&str>, around: &Surroundings<'_>) -> Result<Vec<u8>, Fault> {
    let Some(file) = file else { return Ok(bytes.to_vec()) };
    let path = absolute(around.world.work_dir, file);
    let lines =
        around.world.host.read(&path).map_err(|_| Fault::error(255, "Invalid --bbf specification".to_owned()))?;
    let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let (before, after) = bytes.split_at(first);
    let mut whole = before.to_vec();
    for part in [lines.as_slice(), after] {
        if !whole.ends_with(b"\n") {
            whole.push(b'\n');
        }
        whole.extend_from_slice(part);
    }
    Ok(whole)
}

/// Whether `bytes` can be a batch script.
///
/// # Errors
/// The messages of real `sbatch`; exit 1.
pub fn check(bytes: &[u8]) -> Result<(), Fault> {
    let complaint: &[&str] = if bytes.is_empty() {
        &["Batch script is empty!"]
    } else if !bytes.starts_with(b"#!") {
        &[
            "This does not look like a batch script.  The first",
            "line must start with #! followed by the path to an interpreter.",
            "For instance: #!/bin/sh",
        ]
    } else if bytes.contains(&0) {
        &["The Slurm controller does not allow scripts that", "contain a NULL character '\\0'."]
    } else if bytes.windows(2).any(|pair| pair == b"\r\n") {
        &["Batch script contains DOS line breaks (\\r\\n)", "instead of expected UNIX line breaks (\\n)."]
    } else {
        return Ok(());
    };
    let lines = complaint.iter().map(|line| Line::Error((*line).to_owned())).collect();
    Err(Fault { stdout: String::new(), lines, code: 1 })
}
