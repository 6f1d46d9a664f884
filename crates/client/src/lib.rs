//! Typed client of the controller: changes, questions, news about jobs, output of jobs.

mod connection;
mod error;
mod jobs;
mod patience;
mod streams;

pub use connection::{Blobs, Client, message_timeout_from_environment, socket_from_environment};
pub use error::ClientError;
pub use patience::{RETRY_PAUSE, outlast};
pub use streams::{NewsStream, OutputStream};
