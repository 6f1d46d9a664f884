//! Signals that `srun` gets are for its tasks. One Ctrl-C only shows how they do; two within a second reach them.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::slurm::streams::Wish;

/// Two Ctrl-C within this time mean it.
const INTERRUPT_WINDOW: Duration = Duration::from_secs(1);
const INTERRUPT: u8 = 2;
const KILL: u8 = 9;

/// Passes signals on until it is aborted. With `at_once` a single Ctrl-C reaches the tasks.
pub(super) async fn pass_on(wishes: mpsc::Sender<Wish>, step_name: String, tasks: u32, at_once: bool, pty: bool) {
    let kinds = [
        (SignalKind::hangup(), 1),
        (SignalKind::quit(), 3),
        (SignalKind::user_defined1(), 10),
        (SignalKind::user_defined2(), 12),
        (SignalKind::alarm(), 14),
    ];
    for (kind, number) in kinds {
        let Ok(mut stream) = signal(kind) else { continue };
        let wishes = wishes.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if wishes.send(Wish::Signal(number)).await.is_err() {
                    return;
                }
            }
        });
    }
    tokio::spawn(end_when_asked(wishes.clone()));
    tokio::spawn(tell_of_continuation());
    if pty {
        tokio::spawn(follow_window(wishes.clone()));
    }
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else {
        return std::future::pending().await;
    };
    let mut last: Option<Instant> = None;
    let mut sent = 0;
    while interrupts.recv().await.is_some() {
        let twice = last.is_some_and(|last| last.elapsed() < INTERRUPT_WINDOW);
        last = Some(Instant::now());
        if !twice && !at_once {
            eprintln!("srun: interrupt (one more within 1 sec to abort)");
            let range = if tasks == 1 { "task 0".to_owned() } else { format!("tasks 0-{}", tasks - 1) };
            eprintln!("srun: StepId={step_name} {range}: running");
            continue;
        }
        eprintln!("srun: sending Ctrl-C to StepId={step_name}");
        eprintln!("srun: forcing job termination");
        sent += 1;
        let number = if sent > 1 { KILL } else { INTERRUPT };
        if wishes.send(Wish::End(number)).await.is_err() {
            return;
        }
    }
}

/// Whoever terminates `srun` terminates its tasks at once.
async fn end_when_asked(wishes: mpsc::Sender<Wish>) {
    let Ok(mut requests) = signal(SignalKind::terminate()) else {
        return;
    };
    while requests.recv().await.is_some() {
        eprintln!("srun: forcing job termination");
        if wishes.send(Wish::End(KILL)).await.is_err() {
            return;
        }
    }
}

async fn tell_of_continuation() {
    let Ok(mut continuations) = signal(SignalKind::from_raw(libc::SIGCONT)) else {
        return;
    };
    while continuations.recv().await.is_some() {
        eprintln!("srun: got SIGCONT");
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
