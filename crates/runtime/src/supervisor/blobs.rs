//! Scripts and environments that launches name by content. Bounded: the least recently used are forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use muster_model::ids::BlobId;

use super::BLOB_BYTES_MAX;

/// The store. Launches in progress keep what they use alive by themselves.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    entries: HashMap<BlobId, Entry>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: Arc<[u8]>,
    last_use: u64,
}

impl Blobs {
    /// Keeps `bytes` as `id`; replaces what had that name.
    pub(crate) fn put(&mut self, id: BlobId, bytes: Vec<u8>) {
        self.clock += 1;
        self.bytes += bytes.len();
        let entry = Entry { bytes: bytes.into(), last_use: self.clock };
        if let Some(old) = self.entries.insert(id, entry) {
            self.bytes -= old.bytes.len();
        }
        // The newest stays even if it alone is too large: the launch that needs it comes next.
        while self.bytes > BLOB_BYTES_MAX && self.entries.len() > 1 {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.last_use).map(|(id, _)| id.clone())
            else {
                break;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes.len();
            }
        }
    }

    /// What is kept as `id`.
    pub(crate) fn get(&mut self, id: &BlobId) -> Option<Arc<[u8]>> {
        self.clock += 1;
        let entry = self.entries.get_mut(id)?;
        entry.last_use = self.clock;
        Some(Arc::clone(&entry.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let id = |name: &str| BlobId(name.into());
        let mut blobs = Blobs::default();
        let third = vec![0; BLOB_BYTES_MAX / 3];
        for name in ["a", "b", "c"] {
            blobs.put(id(name), third.clone());
        }
        assert!(blobs.get(&id("a")).is_some());
        blobs.put(id("d"), third);
        assert!(blobs.get(&id("b")).is_none() && blobs.get(&id("a")).is_some() && blobs.get(&id("d")).is_some());
        blobs.put(id("huge"), vec![0; BLOB_BYTES_MAX + 1]);
        assert_eq!((blobs.entries.len(), blobs.bytes), (1, BLOB_BYTES_MAX + 1));
        blobs.put(id("huge"), Vec::new());
        assert_eq!(blobs.bytes, 0);
    }
}
