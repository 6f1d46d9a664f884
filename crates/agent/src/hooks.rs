//! What prologs and epilogs print: it goes into the log where they fail.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use muster_proto as wire;
use muster_runtime::unit::UnitKey;

use crate::report;
use crate::spool::Spool;

/// How much of the end of an output is logged.
const TAIL_BYTES: u64 = 4096;

/// Logs a failure with the last that was printed, and takes the output away.
pub(crate) fn tell(spool: &Spool, key: UnitKey, end: &wire::UnitEnded) {
    let path = spool.hook_outputs().join(key.to_string());
    if let Some(failure) = report::hook_failure(end) {
        let output = tail(&path).unwrap_or_default();
        tracing::error!(unit = %key, failure, output, "a prolog or epilog failed");
    }
    // It may never have been made.
    let _ = fs::remove_file(&path);
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
