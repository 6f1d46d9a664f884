//! The view that readers get, replaced as a whole after each commit.

use std::sync::Arc;

use muster_core::ReadView;
use tokio::sync::watch;

/// Readers take the newest view; the committer replaces it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    sender: Arc<watch::Sender<Arc<ReadView>>>,
}

impl Published {
    pub(crate) fn new(view: ReadView) -> Published {
        Published { sender: Arc::new(watch::Sender::new(Arc::new(view))) }
    }

    /// The view as of the last commit.
    pub(crate) fn view(&self) -> Arc<ReadView> {
        self.sender.borrow().clone()
    }

    pub(crate) fn replace(&self, view: ReadView) {
        self.sender.send_replace(Arc::new(view));
    }
}
