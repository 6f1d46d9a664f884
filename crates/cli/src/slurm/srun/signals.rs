//! Signals that `srun` gets: USR1 and USR2 are for its tasks; HUP, QUIT and TERM end them; ALRM means nothing, as with
//! Slurm. PIPE is left alone: it comes with each broken connection, and a reader that has gone shows when something is written. One Ctrl-C only shows how the tasks do; two within a second reach them.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::slurm::allocate::is_ignored;
use crate::slurm::streams::Wish;

/// Two Ctrl-C within this time mean it.
const INTERRUPT_WINDOW: Duration = Duration::from_secs(1);
const INTERRUPT: u8 = 2;
const KILL: u8 = 9;

/// What a single Ctrl-C does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// Shows how the tasks do; a second one within a second ends the step.
    Tells,
    /// `--quit-on-interrupt`: ends the step.
    Ends,
    /// `--disable-status`: reaches the tasks like any other signal; a second one within a second ends the step.
    Reaches,
}

/// Passes signals on until it is aborted.
pub(super) async fn pass_on(
    wishes: mpsc::Sender<Wish>,
    facts: (String, u32),
    interrupt: Interrupt,
    pty: bool,
    quiet: bool,
) {
    const SILENT: &[&str] = &[];
    const FORCING: &[&str] = &["forcing job termination"];
    const QUITTING: &[&str] = &["Quit", "forcing job termination"];
    for (kind, wish, words) in [
        (SignalKind::user_defined1(), Wish::Signal(10), SILENT),
        (SignalKind::user_defined2(), Wish::Signal(12), SILENT),
        (SignalKind::hangup(), Wish::End(KILL), FORCING),
        (SignalKind::quit(), Wish::End(KILL), QUITTING),
        (SignalKind::terminate(), Wish::End(KILL), FORCING),
    ] {
        if kind != SignalKind::hangup() || !is_ignored(kind) {
            tokio::spawn(wish_at(kind, wishes.clone(), wish, words, quiet));
        }
    }
    // Slurm's srun does not let it end itself, and tells nobody.
    let _alarms = signal(SignalKind::alarm());
    tokio::spawn(tell_of_continuation(quiet));
    if pty {
        tokio::spawn(follow_window(wishes.clone()));
    }
    follow_interrupts(&wishes, facts, interrupt, quiet).await;
}

async fn follow_interrupts(
    wishes: &mpsc::Sender<Wish>,
    (step_name, tasks): (String, u32),
    interrupt: Interrupt,
    quiet: bool,
) {
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else {
        return std::future::pending().await;
    };
    let mut last: Option<Instant> = None;
    let mut sent = 0;
    while interrupts.recv().await.is_some() {
        let twice = last.is_some_and(|last| last.elapsed() < INTERRUPT_WINDOW);
        last = Some(Instant::now());
        if !twice && interrupt == Interrupt::Tells {
            say(quiet, "interrupt (one more within 1 sec to abort)");
            let range = if tasks == 1 { "task 0".to_owned() } else { format!("tasks 0-{}", tasks - 1) };
            say(quiet, &format!("StepId={step_name} {range}: running"));
            continue;
        }
        say(quiet, &format!("sending Ctrl-C to StepId={step_name}"));
        if interrupt == Interrupt::Reaches && !twice {
            if wishes.send(Wish::Signal(INTERRUPT)).await.is_err() {
                return;
            }
            continue;
        }
        say(quiet, "forcing job termination");
        sent += 1;
        let number = if sent > 1 { KILL } else { INTERRUPT };
        if wishes.send(Wish::End(number)).await.is_err() {
            return;
        }
    }
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        eprintln!("srun: {text}");
    }
}

/// Each time the signal comes: says so, and wishes for what follows from it.
async fn wish_at(
    kind: SignalKind,
    wishes: mpsc::Sender<Wish>,
    wish: Wish,
    words: &'static [&'static str],
    quiet: bool,
) {
    let Ok(mut stream) = signal(kind) else { return };
    while stream.recv().await.is_some() {
        words.iter().for_each(|text| say(quiet, text));
        if wishes.send(wish).await.is_err() {
            return;
        }
    }
}

async fn tell_of_continuation(quiet: bool) {
    let Ok(mut continuations) = signal(SignalKind::from_raw(libc::SIGCONT)) else {
        return;
    };
    while continuations.recv().await.is_some() {
        say(quiet, "got SIGCONT");
    }
}

async fn follow_window(wishes: mpsc::Sender<Wish>) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else {
        return;
    };
    while changes.recv().await.is_some() {
        let (rows, columns) = super::terminal::size();
        if wishes.send(Wish::WindowSize(rows, columns)).await.is_err() {
            return;
        }
    }
}
