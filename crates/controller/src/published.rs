//! The view that readers get, replaced as a whole after each commit.

use std::sync::{Arc, Mutex, PoisonError};

use muster_core::ReadView;
use tokio::sync::watch;

/// Readers take the newest view; the committer replaces it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    sender: Arc<watch::Sender<Arc<ReadView>>>,
    /// Why nothing has become durable for a while.
    standstill: Arc<Mutex<Option<String>>>,
}

impl Published {
    pub(crate) fn new(view: ReadView) -> Published {
        Published { sender: Arc::new(watch::Sender::new(Arc::new(view))), standstill: Arc::default() }
    }

    /// The view as of the last commit.
    pub(crate) fn view(&self) -> Arc<ReadView> {
        self.sender.borrow().clone()
    }

    pub(crate) fn replace(&self, view: ReadView) {
        self.sender.send_replace(Arc::new(view));
    }

    /// Why nothing has become durable for a while; `None` while all is well.
    pub(crate) fn standstill(&self) -> Option<String> {
        self.standstill.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_standstill(&self, why: Option<String>) {
        *self.standstill.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}
