//! `--bcast`: the program, as it is sent to the nodes.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_model::node_call::FileReceipt;
use muster_slurm::submit::CliExit;

use super::Part;
use crate::slurm::end;
use crate::slurm::streams::broadcast::Source;
use crate::slurm::surroundings::Gathered;

/// Bytes read at a time.
const BLOCK_BYTES: u64 = 8 << 20;

/// How long a node may make no progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens the program of the step where it is to be sent, and lets the nodes know its mode and times. All parts run one.
pub(super) fn open(parts: &mut [Part], gathered: &Gathered) -> Result<Option<(Source, String)>, CliExit> {
    let mut opened: Option<(Source, String)> = None;
    for part in parts.iter_mut() {
        let Some(receipt) = &mut part.plan.launch.broadcast else { continue };
        let name = part.plan.launch.command.first().cloned().unwrap_or_default();
        let (source, path) =
            find(&name, gathered.work_dir()).and_then(|path| source(&path, receipt)).ok_or_else(|| {
                let mut exit = end::error("srun", "");
                exit.stderr = format!("srun: fatal: Can not execute {name}\n");
                exit
            })?;
        if opened.as_ref().is_some_and(|(_, first)| *first != path) {
            return Err(end::error(
                "srun",
                "--bcast sends one program: components of a step must not run different ones",
            ));
        }
        opened.get_or_insert((source, path));
    }
    Ok(opened)
}

/// Where the program is: here, or in `PATH`.
fn find(name: &str, work_dir: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(Path::new(work_dir).join(name)).filter(|path| is_program(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn source(path: &Path, receipt: &mut FileReceipt) -> Option<(Source, String)> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    receipt.mode = metadata.mode() & 0o777;
    receipt.times_ns = Some(times_ns(&metadata));
    let source = Source { file: Arc::new(file), size: metadata.len(), block_bytes: BLOCK_BYTES, patience: PATIENCE };
    Some((source, path.display().to_string()))
}

/// Times of last access and change.
pub(in crate::slurm) fn times_ns(metadata: &std::fs::Metadata) -> (i64, i64) {
    let time = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    (time(metadata.atime(), metadata.atime_nsec()), time(metadata.mtime(), metadata.mtime_nsec()))
}
