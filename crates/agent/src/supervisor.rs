//! The connection to the supervisor, kept by a thread of its own: starts one where none is, hands over what it says,
//! and comes back when it is gone.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_runtime::client::{self, NoticeReader, RequestWriter};
use muster_runtime::protocol::{Hello, PROTOCOL_OLDEST, PROTOCOL_VERSION, Request};
use muster_runtime::supervisor::Options;

use crate::engine::Input;

/// First and longest time between attempts.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Where the supervisor is and how to start it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) program: Vec<OsString>,
    pub(crate) options: Options,
}

/// Ends the thread from outside, also while it waits for a notice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopper {
    shared: Arc<(Mutex<Stopping>, Condvar)>,
}

#[derive(Debug, Default)]
struct Stopping {
    is_wanted: bool,
    connection: Option<RequestWriter>,
}

impl Stopper {
    /// The thread ends soon; units go on.
    pub(crate) fn stop(&self) {
        let mut stopping = self.lock();
        stopping.is_wanted = true;
        if let Some(connection) = stopping.connection.take() {
            connection.close();
        }
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is to be closed; `false` when the end came before.
    fn connected(&self, connection: &RequestWriter) -> bool {
        let mut stopping = self.lock();
        stopping.connection = Some(connection.clone());
        !stopping.is_wanted
    }

    /// Waits for `time`; `false` when it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let waiting = self.shared.1.wait_timeout_while(self.lock(), time, |stopping| !stopping.is_wanted);
        !waiting.unwrap_or_else(PoisonError::into_inner).0.is_wanted
    }
}

/// Keeps a connection until stopped. Everything said comes as [`Input`]s.
pub(crate) fn keep_connected(place: &Place, stopper: &Stopper, inputs: &Sender<Input>) {
    let mut retry = RETRY_MIN;
    loop {
        match client::connect_or_start(&place.dir, &place.program, &place.options) {
            Ok((requests, notices, hello)) => {
                if !stopper.connected(&requests) {
                    return;
                }
                retry = RETRY_MIN;
                if (PROTOCOL_OLDEST..=PROTOCOL_VERSION).contains(&hello.protocol) {
                    serve(requests, notices, hello, inputs);
                } else {
                    replace(&requests, notices, &hello);
                }
            }
            Err(error) => {
                tracing::error!(%error, dir = %place.dir.display(), "cannot reach the supervisor, trying again");
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
        if !stopper.pause(retry) {
            return;
        }
    }
}

fn serve(requests: RequestWriter, mut notices: NoticeReader, hello: Hello, inputs: &Sender<Input>) {
    tracing::info!(pid = hello.pid, tracking = hello.tracking, running = hello.running.len(), "supervisor connected");
    let mut open = inputs.send(Input::SupervisorUp { requests, hello: Box::new(hello) }).is_ok();
    while open {
        open = match notices.next() {
            Ok(Some(notice)) => inputs.send(Input::Notice(notice)).is_ok(),
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, "cannot understand the supervisor");
                false
            }
        };
    }
    // Nobody is there to hear it when the agent itself ends.
    let _ = inputs.send(Input::SupervisorGone);
}

/// A supervisor of another version serves its units to their end; then one of this version is started.
fn replace(requests: &RequestWriter, mut notices: NoticeReader, hello: &Hello) {
    tracing::warn!(
        version = hello.version,
        running = hello.running.len(),
        "waiting for a supervisor of another version to retire"
    );
    // Its ends would be told again to us and we could not read them; it keeps them for its own kind.
    let asked = requests.send(&Request::Retire { kill: false });
    while asked.is_ok() && matches!(notices.next(), Ok(Some(_))) {}
}
