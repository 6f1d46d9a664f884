//! Scripts and execution contexts by content, in memory and in the spool, so that each travels once to a node.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use muster_model::ids::BlobId;

/// Bytes kept in memory.
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Bytes kept in the spool; looked at when an agent starts.
const SPOOL_BYTES_MAX: u64 = 512 << 20;

/// The cache.
#[derive(Debug)]
pub(crate) struct Blobs {
    dir: PathBuf,
    memory: HashMap<BlobId, (Arc<[u8]>, u64)>,
    memory_bytes: usize,
    /// Counts uses, to know the least recent one.
    uses: u64,
}

impl Blobs {
    /// The cache in the spool `dir`. Old contents are removed when they are too many.
    pub(crate) fn open(dir: &Path) -> Blobs {
        let dir = dir.join("blobs");
        if let Err(error) = prune(&dir) {
            tracing::warn!(%error, dir = %dir.display(), "cannot tidy up the cache of scripts");
        }
        Blobs { dir, memory: HashMap::new(), memory_bytes: 0, uses: 0 }
    }

    /// The content, if it is here.
    pub(crate) fn get(&mut self, id: &BlobId) -> Option<Arc<[u8]>> {
        self.uses += 1;
        if let Some((content, used)) = self.memory.get_mut(id) {
            *used = self.uses;
            return Some(content.clone());
        }
        let path = self.path(id)?;
        let content: Arc<[u8]> = fs::read(&path).ok()?.into();
        // A crash of the machine may have left half of it.
        if blake3::hash(&content).to_hex().as_str() != &*id.0 {
            let _ = fs::remove_file(&path);
            return None;
        }
        self.remember(id, content.clone());
        Some(content)
    }

    /// Keeps a content that came from the controller.
    pub(crate) fn put(&mut self, id: &BlobId, content: &[u8]) {
        self.remember(id, content.into());
        let Some(path) = self.path(id).filter(|path| !path.exists()) else {
            return;
        };
        let unfinished = path.with_extension("new");
        let written = fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            // It is in memory; after a restart it is asked for again.
            tracing::warn!(%error, path = %path.display(), "cannot keep a script in the spool");
        }
    }

    fn remember(&mut self, id: &BlobId, content: Arc<[u8]>) {
        self.memory_bytes += content.len();
        if let Some((old, _)) = self.memory.insert(id.clone(), (content, self.uses)) {
            self.memory_bytes -= old.len();
        }
        while self.memory_bytes > MEMORY_BYTES_MAX && self.memory.len() > 1 {
            let oldest = self.memory.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| id.clone());
            if let Some((content, _)) = oldest.and_then(|id| self.memory.remove(&id)) {
                self.memory_bytes -= content.len();
            }
        }
    }

    /// Where a content is kept; `None` for a name that is no hash and could lead elsewhere.
    fn path(&self, id: &BlobId) -> Option<PathBuf> {
        let is_hash = id.0.len() == 64 && id.0.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| self.dir.join(&*id.0))
    }
}

/// Removes the oldest files until the rest is small enough.
fn prune(dir: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        files.push((facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), facts.len(), entry.path()));
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if bytes <= SPOOL_BYTES_MAX {
            break;
        }
        fs::remove_file(path)?;
        bytes -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(content: &[u8]) -> BlobId {
        BlobId(blake3::hash(content).to_hex().as_str().into())
    }

    #[test]
    fn contents_outlive_the_agent_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        let id = id_of(b"#!/bin/sh\n");
        assert_eq!(Blobs::open(dir.path()).get(&id), None);
        Blobs::open(dir.path()).put(&id, b"#!/bin/sh\n");
        assert_eq!(Blobs::open(dir.path()).get(&id).as_deref(), Some(&b"#!/bin/sh\n"[..]));
        fs::write(dir.path().join("blobs").join(&*id.0), "#!/b").unwrap();
        assert_eq!(Blobs::open(dir.path()).get(&id), None);
        assert!(!dir.path().join("blobs").join(&*id.0).exists());
    }

    #[test]
    fn names_cannot_lead_out_of_the_spool() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        let mut blobs = Blobs::open(dir.path());
        let evil = BlobId("../evil".into());
        blobs.put(&evil, b"x");
        assert!(!dir.path().join("evil").exists());
        assert!(blobs.get(&evil).is_some(), "it still serves from memory");
    }

    #[test]
    fn memory_is_limited() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        let mut blobs = Blobs::open(dir.path());
        let large = vec![0; MEMORY_BYTES_MAX / 2];
        for name in ["a", "b", "c"] {
            blobs.put(&BlobId(name.into()), &large);
            blobs.get(&BlobId("a".into()));
        }
        assert!(blobs.memory_bytes <= MEMORY_BYTES_MAX);
        assert!(blobs.get(&BlobId("a".into())).is_some() && blobs.get(&BlobId("b".into())).is_none());
    }
}
