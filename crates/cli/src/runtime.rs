//! The small asynchronous runtime of a command: one thread, started in well under a millisecond.

use std::future::Future;

/// Runs `future` to its end.
///
/// # Panics
/// When the system gives no event queue (out of file descriptors at start); nothing can be done then.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a command can open its event queue");
    let output = runtime.block_on(future);
    // One that still waits for a key on its terminal has nothing more to do.
    runtime.shutdown_background();
    output
}
