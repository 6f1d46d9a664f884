//! What runs inside a container: it starts the user's command, keeps what it says, and lets people in.
//!
//! An image brings whatever its maker put there, often neither a terminal multiplexer nor an SSH server. So one static
//! program, `muster-runner`, is placed into the container and started as its first process. It needs nothing of the image
//! but what the user's own commands need. It speaks only the words of its [`job`] document and knows no other part of the system.
//!
//! Where to look:
//!
//! - [`job`]: the document that says what to run;
//! - [`run`]: the life of one job, from the document to the exit code;
//! - [`init`]: the duties of a first process;
//! - [`logs`]: what the command wrote, for whoever listens now or later;
//! - [`ssh`]: shells, commands, files and forwarded ports for who holds a key;
//! - [`sftp`]: the file server behind `scp`, a process of the user;
//! - [`web`]: live logs over a websocket.

pub mod account;
pub mod init;
pub mod job;
pub mod logs;
pub mod run;
pub mod sftp;
pub mod ssh;
pub mod web;

mod command;
mod process;
mod terminal;
