//! What a pass has learned, so that it asks each question once.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::time::{Span, Timestamp};

use super::wait::Withheld;
use super::{Case, Wait};
use crate::planner::AskId;

/// What is known of a group.
#[derive(Debug, Default)]
pub(super) enum Known {
    /// Its next member may start.
    #[default]
    Open,
    /// Its members wait for this, whatever becomes free.
    Waits(Wait),
    /// Resources are lacking in these partitions. Resources only become fewer during a pass, so this stays true.
    Lacks(Arc<[Case]>),
}

/// What is known of jobs that ask for the same thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// Jobs that take at least so long do not fit.
    pub(super) blocked_from: Option<Span>,
    /// Whether too few nodes are in service; `None` while not looked at.
    pub(super) out_of_service: Option<bool>,
    /// What of the nodes cannot be had, and of how many nodes others waited when that was looked at.
    pub(super) withheld: Option<(u32, Withheld)>,
}

/// Standings by request, and by user where that matters.
#[derive(Debug, Default)]
pub(super) struct Standings {
    /// By number of the ask, for all users alike.
    of_all: Vec<Standing>,
    /// By user and by what reservations mean to the job, where either matters.
    of_some: BTreeMap<(AskId, u32, u64), Standing>,
    /// Before this time no further job with this ask and duration starts: each is planned after the one before it.
    planned_from: BTreeMap<(AskId, Span, u32, u64), Timestamp>,
}

impl Standings {
    pub(super) fn get(&self, id: AskId, of: Option<(u32, u64)>) -> Option<&Standing> {
        match of {
            Some((uid, class)) => self.of_some.get(&(id, uid, class)),
            None => self.of_all.get(id as usize),
        }
    }

    pub(super) fn entry(&mut self, id: AskId, of: Option<(u32, u64)>) -> &mut Standing {
        if let Some((uid, class)) = of {
            return self.of_some.entry((id, uid, class)).or_default();
        }
        if self.of_all.len() <= id as usize {
            self.of_all.resize(id as usize + 1, Standing::default());
        }
        &mut self.of_all[id as usize]
    }

    pub(super) fn planned_from(&mut self, id: AskId, duration: Span, uid: u32, class: u64) -> &mut Timestamp {
        self.planned_from.entry((id, duration, uid, class)).or_insert(Timestamp(i64::MIN))
    }
}
