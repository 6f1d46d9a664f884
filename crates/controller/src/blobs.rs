//! Scripts and execution contexts by content address, with the recent ones at hand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use muster_model::fact::Fact;
use muster_model::ids::BlobId;
use muster_store::{History, StoreError};

/// Bytes of recent contents kept in memory.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// Contents that were just submitted or launched.
pub(crate) struct Blobs {
    history: Arc<dyn History>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    contents: HashMap<BlobId, Arc<[u8]>>,
    /// In order of arrival; the oldest goes first.
    order: VecDeque<BlobId>,
    bytes: usize,
}

impl Blobs {
    pub(crate) fn new(history: Arc<dyn History>) -> Blobs {
        Blobs { history, cache: Mutex::default() }
    }

    /// The address of `content`, which is kept at hand, and the fact that makes it durable.
    pub(crate) fn add(&self, content: Vec<u8>) -> (BlobId, Fact) {
        let id = BlobId(blake3::hash(&content).to_hex().as_str().into());
        let content: Arc<[u8]> = {
            let mut cache = self.lock();
            match cache.contents.get(&id) {
                Some(known) => known.clone(),
                None => cache.insert(id.clone(), content.into()),
            }
        };
        (id.clone(), Fact::Blob { id, content })
    }

    /// The content at `id`; `None` when it was never stored. Reads the store when it is not at hand, so call it where
    /// blocking is allowed.
    pub(crate) fn get(&self, id: &BlobId) -> Result<Option<Arc<[u8]>>, StoreError> {
        if let Some(content) = self.lock().contents.get(id) {
            return Ok(Some(content.clone()));
        }
        Ok(self.history.blob(id)?.map(|content| self.lock().insert(id.clone(), content.into())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Cache {
    fn insert(&mut self, id: BlobId, content: Arc<[u8]>) -> Arc<[u8]> {
        self.bytes += content.len();
        self.contents.insert(id.clone(), content.clone());
        self.order.push_back(id);
        while self.bytes > CACHE_BYTES_MAX && self.order.len() > 1 {
            if let Some(old) = self.order.pop_front().and_then(|oldest| self.contents.remove(&oldest)) {
                self.bytes -= old.len();
            }
        }
        content
    }
}
