//! Talking to a person: the width of the terminal, questions, a sign that something is going on.
//!
//! Data goes to stdout, talk to stderr.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The name by which the program was called (`muster`, or `dstack` where a link has that name), for help and hints.
pub(crate) fn program() -> String {
    let called = std::env::args_os().next();
    let name = called.as_deref().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    match name {
        Some("dstack") => "dstack".to_owned(),
        _ => "muster".to_owned(),
    }
}

/// Columns of the terminal on stdout; `None` where stdout is none, and lines may be as long as they are.
pub(crate) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(|| comfy_table::Table::new().width().map(usize::from)).filter(|columns| *columns > 0)
}

/// Prints a line to stdout. A reader that has gone (`| head`) is no mistake.
pub(crate) fn say(line: &str) {
    put(&format!("{line}\n"));
}

/// As [`say`], without a line end.
pub(crate) fn put(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Nobody is there to answer.
    Nobody,
    /// Ctrl-C.
    Interrupted,
}

/// Asks a yes-or-no question until it is answered.
pub(crate) async fn ask(question: &str) -> Reply {
    loop {
        put(&format!("{question} [y/n]: "));
        let line = tokio::select! {
            line = read_line() => line,
            _ = tokio::signal::ctrl_c() => {
                say("");
                return Reply::Interrupted;
            }
        };
        match line.as_deref().map(str::trim).map(str::to_ascii_lowercase).as_deref() {
            Some("y" | "yes") => return Reply::Yes,
            Some("n" | "no") => return Reply::No,
            Some(_) => say("Please enter Y or N"),
            None => {
                say("");
                return Reply::Nobody;
            }
        }
    }
}

/// One line of stdin; `None` at its end. Read on a thread of its own, which nobody waits for when Ctrl-C comes first.
async fn read_line() -> Option<String> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        // The receiver is gone after Ctrl-C.
        drop(sender.send(read.ok().filter(|count| *count > 0).map(|_| line)));
    });
    receiver.await.ok().flatten()
}

/// A spinner on stderr while one waits; nothing where stderr is no terminal.
pub(crate) struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    /// Starts to spin beside `message`.
    pub(crate) fn start(message: impl Into<String>) -> Spinner {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        // The template is a constant that is known to be well-formed; the default one is no disaster.
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.set_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Spinner { bar }
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
