//! Which files the jobs of this node write to: the only files of jobs that the agent ever reads.
//!
//! The list outlives the agent, so that the output of an ended job can still be asked for. It is appended to without a
//! sync, once for each batch of launches: what a crash of the machine takes from it is only this convenience.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_model::ids::{JobId, RestartCount};
use muster_runtime::unit::UnitUser;
use serde::{Deserialize, Serialize};

/// Starts of jobs remembered.
const RECORDS_MAX: usize = 50_000;

/// Where one start of a job writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(rename = "j")]
    pub(crate) job_id: JobId,
    #[serde(rename = "r")]
    pub(crate) restart: RestartCount,
    /// With whose rights it is read.
    #[serde(rename = "u")]
    pub(crate) user: UnitUser,
    #[serde(rename = "o")]
    pub(crate) output: PathBuf,
    /// `None` where it is joined with the output.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<PathBuf>,
}

/// The list, shared with those who read output.
#[derive(Debug, Clone)]
pub(crate) struct Outputs {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    records: BTreeMap<(JobId, RestartCount), Record>,
    order: VecDeque<(JobId, RestartCount)>,
    /// Starts of jobs whose main unit has not ended here.
    live: BTreeSet<(JobId, RestartCount)>,
    /// Lines to be written.
    unwritten: Vec<u8>,
    file: Option<File>,
}

impl Outputs {
    /// Opens the list in the spool `dir` and writes it anew without what is too old.
    pub(crate) fn open(dir: &Path) -> Outputs {
        let mut inner = Inner {
            records: BTreeMap::new(),
            order: VecDeque::new(),
            live: BTreeSet::new(),
            unwritten: Vec::new(),
            file: None,
        };
        let path = dir.join("outputs.jsonl");
        if let Ok(file) = File::open(&path) {
            // A line may be torn, or of a newer version.
            let lines = BufReader::new(file).lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).for_each(|record| inner.remember(record));
        }
        match inner.rewrite(&path) {
            Ok(file) => inner.file = Some(file),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot keep the list of output files")
            }
        }
        Outputs { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Notes a start of a job. Written with the next [`Outputs::flush`].
    pub(crate) fn add(&self, record: Record) {
        let mut inner = self.lock();
        if serde_json::to_writer(&mut inner.unwritten, &record).is_ok() {
            inner.unwritten.push(b'\n');
        }
        inner.remember(record);
    }

    /// Writes what was noted.
    pub(crate) fn flush(&self) {
        let mut inner = self.lock();
        let lines = std::mem::take(&mut inner.unwritten);
        if lines.is_empty() {
            return;
        }
        if let Some(Err(error)) = inner.file.as_mut().map(|file| file.write_all(&lines)) {
            tracing::warn!(%error, "cannot keep the list of output files");
        }
    }

    /// Whether the main unit of a start of a job is still there.
    pub(crate) fn set_live(&self, job_id: JobId, restart: RestartCount, is_live: bool) {
        let mut inner = self.lock();
        if is_live {
            inner.live.insert((job_id, restart));
        } else {
            inner.live.remove(&(job_id, restart));
        }
    }

    /// What [`Outputs::set_live`] was last told.
    pub(crate) fn is_live(&self, job_id: JobId, restart: RestartCount) -> bool {
        self.lock().live.contains(&(job_id, restart))
    }

    /// Where a start of a job writes to.
    pub(crate) fn find(&self, job_id: JobId, restart: RestartCount) -> Option<Record> {
        self.lock().records.get(&(job_id, restart)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, record: Record) {
        let key = (record.job_id, record.restart);
        if self.records.insert(key, record).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > RECORDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.records.remove(&oldest);
        }
    }

    fn rewrite(&self, path: &Path) -> std::io::Result<File> {
        let unfinished = path.with_extension("new");
        let mut bytes = Vec::new();
        for record in self.order.iter().filter_map(|key| self.records.get(key)) {
            serde_json::to_writer(&mut bytes, record)?;
            bytes.push(b'\n');
        }
        std::fs::write(&unfinished, bytes)?;
        std::fs::rename(&unfinished, path)?;
        OpenOptions::new().append(true).open(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(job: u32, output: &str) -> Record {
        let user = UnitUser { uid: 1, gid: 2, groups: vec![2, 3] };
        Record { job_id: JobId(job), restart: RestartCount(0), user, output: output.into(), error: None }
    }

    #[test]
    fn the_list_outlives_the_agent_and_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        let outputs = Outputs::open(dir.path());
        outputs.add(record(1, "/a"));
        outputs.add(record(2, "/b"));
        outputs.add(record(1, "/c"));
        outputs.flush();
        let path = dir.path().join("outputs.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"j\":3,\"r\"");
        std::fs::write(&path, bytes).unwrap();
        let outputs = Outputs::open(dir.path());
        assert_eq!(outputs.find(JobId(1), RestartCount(0)), Some(record(1, "/c")));
        assert_eq!(outputs.find(JobId(2), RestartCount(0)), Some(record(2, "/b")));
        assert_eq!(outputs.find(JobId(3), RestartCount(0)), None);
        outputs.add(record(4, "/d"));
        outputs.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3, "written anew, then continued");
    }
}
