//! What the controller had to do, for `sdiag`.

use muster_core::ReadView;
use muster_model::ids::Identity;
use muster_model::request::{Refusal, RefusalCode, Reply};
use muster_model::statistics::Statistics;

use super::ApiService;

impl ApiService {
    pub(super) fn statistics(&self, view: &ReadView) -> Statistics {
        let waiting = |batches: tokio::sync::mpsc::Sender<_>| batches.max_capacity() - batches.capacity();
        Statistics {
            outgoing: self.dispatch.sessions.outgoing(view),
            batches_waiting: self.batches.upgrade().map_or(0, waiting).try_into().unwrap_or(u32::MAX),
            ..self.meters.tell(view)
        }
    }

    pub(super) fn reset_statistics(&self, caller: &Identity) -> Reply {
        if !caller.is_operator() {
            return Reply::Refused(Refusal::new(RefusalCode::AccessDenied, "only operators may reset the statistics"));
        }
        self.meters.reset();
        Reply::Done
    }
}
