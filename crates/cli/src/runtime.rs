//! The small asynchronous runtime of a command: one thread, started in well under a millisecond.

use std::future::Future;

/// Runs `future` to its end.
///
/// # Panics
/// When the system gives no event queue (out of file descriptors at start); nothing can be done then.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a command can open its event queue")
        .block_on(future)
}
