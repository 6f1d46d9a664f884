//! One session: a shell, a command or a file server, and the streams between it and the client.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty, Sig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy};
use tokio::process::{Child, Command};

use crate::account::Account;
use crate::process::{self, Streams};
use crate::terminal::{self, Size, Terminal};

/// Number of the stream of errors in a channel (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// What a client wants to be started.
pub(super) enum Wish {
    Shell,
    Command(Vec<u8>),
    Files,
}

/// The terminal that a client asked for.
pub(super) struct WantedTerminal {
    pub(super) term: String,
    pub(super) size: Size,
    pub(super) modes: Vec<(Pty, u32)>,
}

/// What the connection keeps of a started session.
pub(super) struct Live {
    pub(super) terminal: Option<Terminal>,
    pid: Option<u32>,
    has_ended: Arc<AtomicBool>,
}

impl Live {
    /// The leader of the session's processes, while its number is surely still its own.
    pub(super) fn running_pid(&self) -> Option<u32> {
        if self.has_ended.load(Ordering::Acquire) { None } else { self.pid }
    }
}

/// What carries a session's streams.
pub(super) struct Carried {
    child: Child,
    terminal: Option<Terminal>,
    has_ended: Arc<AtomicBool>,
}

/// Starts what is wished, as `account`.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(
    account: &Account,
    wish: Wish,
    mut environment: BTreeMap<String, String>,
    wanted: Option<WantedTerminal>,
) -> Result<(Live, Carried)> {
    let mut terminal = None;
    let streams = match wanted {
        Some(wanted) => {
            let (ours, theirs) = terminal::open(wanted.size, account.uid).context("cannot make a terminal")?;
            terminal::set_modes(theirs.as_fd(), &wanted.modes).context("cannot set the terminal's modes")?;
            environment.insert("TERM".to_owned(), wanted.term);
            environment.extend(terminal::name(ours.as_fd()).map(|name| ("SSH_TTY".to_owned(), name)));
            terminal = Some(Terminal::new(ours).context("cannot use the terminal")?);
            Streams::Terminal(theirs)
        }
        None => Streams::Pipes,
    };
    let shell = account.usable_shell();
    let mut command = match wish {
        Wish::Files => {
            let own = std::env::current_exe().context("cannot find the runner's own program")?;
            let mut command = Command::new(own);
            command.arg("sftp");
            command
        }
        Wish::Shell => {
            let name = shell.file_name().unwrap_or(shell.as_os_str());
            let mut login = OsString::from("-");
            login.push(name);
            let mut command = Command::new(shell);
            command.arg0(login);
            command
        }
        Wish::Command(text) => {
            let mut command = Command::new(shell);
            command.arg("-c").arg(OsString::from_vec(text));
            command
        }
    };
    command.env_clear().envs(environment);
    let home = Some(account.home.as_path()).filter(|home| home.is_dir());
    let child = process::start(&mut command, account, home, streams)
        .with_context(|| format!("cannot start {:?} as {}", command.as_std().get_program(), account.name))?;
    let has_ended = Arc::new(AtomicBool::new(false));
    let live = Live { terminal: terminal.clone(), pid: child.id(), has_ended: Arc::clone(&has_ended) };
    Ok((live, Carried { child, terminal, has_ended }))
}

/// Carries streams until the process has ended and its output has, then tells the client how it ended.
pub(super) async fn carry(mut carried: Carried, channel: Channel<Msg>, handle: Handle) {
    let (reader, writer) = channel.split();
    let pid = carried.child.id();
    let (input, output, error): (Box<dyn AsyncWrite + Send + Unpin>, Box<dyn AsyncRead + Send + Unpin>, _) =
        match (carried.terminal.take(), carried.child.stdin.take(), carried.child.stdout.take()) {
            (Some(terminal), ..) => (Box::new(terminal.clone()), Box::new(terminal), None),
            (None, Some(input), Some(output)) => (Box::new(input), Box::new(output), carried.child.stderr.take()),
            // Pipes that were asked for are there.
            (None, ..) => return,
        };
    let has_ended = Arc::clone(&carried.has_ended);
    let fed = tokio::spawn(async move {
        feed(reader, input).await;
        // The client has gone: as when a line is cut, whoever still runs on it is told.
        if !has_ended.load(Ordering::Acquire) {
            process::signal_group(pid, libc::SIGHUP);
        }
    });
    let status = drain(&mut carried.child, &writer, output, error, &carried.has_ended).await;
    if let Some(status) = status {
        tell_end(status, &writer, &handle).await;
    }
    let _ = writer.eof().await;
    let _ = writer.close().await;
    fed.abort();
}

/// Passes output on until there is none left and the process has ended. Output that a process in the background still holds
/// open is waited for too, as OpenSSH's server does, unless it is a terminal, which then hangs up.
async fn drain(
    child: &mut Child,
    writer: &ChannelWriteHalf<Msg>,
    mut output: Box<dyn AsyncRead + Send + Unpin>,
    error: Option<tokio::process::ChildStderr>,
    has_ended: &AtomicBool,
) -> Option<ExitStatus> {
    let is_terminal = error.is_none();
    let (mut to_output, mut to_error) = (writer.make_writer(), writer.make_writer_ext(Some(STDERR)));
    let passed = async {
        let error = async {
            if let Some(mut error) = error {
                let _ = copy(&mut error, &mut to_error).await;
            }
        };
        tokio::join!(async { copy(&mut output, &mut to_output).await.map(|_| ()) }, error)
    };
    tokio::pin!(passed);
    let mut is_passed = false;
    let status = loop {
        tokio::select! {
            // Output first: what was written before the end is passed on before it.
            biased;
            _ = &mut passed, if !is_passed => is_passed = true,
            status = child.wait() => break status.ok(),
        }
    };
    has_ended.store(true, Ordering::Release);
    match (is_passed, is_terminal) {
        (true, _) => {}
        // Whoever stays on the terminal keeps it open; what is there already is taken.
        (false, true) => drop(tokio::time::timeout(TERMINAL_REST, passed).await),
        (false, false) => drop(passed.await),
    }
    status
}

/// How long the rest of a terminal's output is waited for when its leader has ended.
const TERMINAL_REST: std::time::Duration = std::time::Duration::from_millis(200);

/// Hands what the client sends to the process. Returns when the client has closed the channel.
async fn feed(mut reader: ChannelReadHalf, input: Box<dyn AsyncWrite + Send + Unpin>) {
    let mut input = Some(input);
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                let failed = match &mut input {
                    Some(input) => input.write_all(&data).await.is_err(),
                    None => false,
                };
                if failed {
                    input = None;
                }
            }
            ChannelMsg::Eof => input = None,
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

async fn tell_end(status: ExitStatus, writer: &ChannelWriteHalf<Msg>, handle: &Handle) {
    let signal = status.signal().and_then(signal_name);
    match signal {
        Some(signal) => {
            let is_dumped = status.core_dumped();
            let _ = handle.exit_signal_request(writer.id(), signal, is_dumped, String::new(), String::new()).await;
        }
        None => {
            let _ = writer.exit_status(u32::from(process::exit_code(status))).await;
        }
    }
}

/// Tells a client on its stream of errors why nothing was started, and ends the session as a shell would.
pub(super) async fn tell_failure(text: String, channel: Channel<Msg>) {
    let (_, writer) = channel.split();
    let _ = writer.extended_data_bytes(STDERR, text.into_bytes()).await;
    let _ = writer.exit_status(126).await;
    let _ = writer.eof().await;
    let _ = writer.close().await;
}

/// Signals by the protocol's names (RFC 4254, 6.10).
const SIGNALS: &[(Sig, libc::c_int)] = &[
    (Sig::ABRT, libc::SIGABRT),
    (Sig::ALRM, libc::SIGALRM),
    (Sig::FPE, libc::SIGFPE),
    (Sig::HUP, libc::SIGHUP),
    (Sig::ILL, libc::SIGILL),
    (Sig::INT, libc::SIGINT),
    (Sig::KILL, libc::SIGKILL),
    (Sig::PIPE, libc::SIGPIPE),
    (Sig::QUIT, libc::SIGQUIT),
    (Sig::SEGV, libc::SIGSEGV),
    (Sig::TERM, libc::SIGTERM),
    (Sig::USR1, libc::SIGUSR1),
];

/// The number of a signal that a client sends.
pub(super) fn number(signal: &Sig) -> Option<libc::c_int> {
    let is_same = |known: &Sig| std::mem::discriminant(known) == std::mem::discriminant(signal);
    SIGNALS.iter().find(|(name, _)| is_same(name)).map(|(_, number)| *number)
}

fn signal_name(number: libc::c_int) -> Option<Sig> {
    SIGNALS.iter().find(|(_, known)| *known == number).map(|(name, _)| name.clone())
}
