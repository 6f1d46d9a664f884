//! How much the planner works. Always as usual, except where somebody measures what it costs others.

use tokio::sync::watch;

/// What the planner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planning {
    /// It plans what has changed when it has changed, and everything now and then.
    Usual,
    /// Nothing. What is under way is finished.
    Rests,
    /// One pass over everything after the other, beside what it does as usual.
    Always,
    /// The same, with nothing beside it.
    AlwaysAlone,
}

/// What the planner is told to do, by whoever keeps a clone.
#[derive(Debug, Clone)]
pub struct Pace {
    sender: watch::Sender<Planning>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { sender: watch::Sender::new(Planning::Usual) }
    }
}

impl Pace {
    /// From now on.
    pub fn set(&self, planning: Planning) {
        self.sender.send_replace(planning);
    }

    pub(crate) fn get(&self) -> Planning {
        *self.sender.borrow()
    }

    /// Waits until the planner is to work.
    pub(crate) async fn work(&self) {
        // Its own sender is there, so the channel is not closed.
        drop(self.sender.subscribe().wait_for(|planning| *planning != Planning::Rests).await);
    }
}
