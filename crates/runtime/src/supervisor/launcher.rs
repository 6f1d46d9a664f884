//! Threads that start units.
//!
//! Opening a file on a dead file server can hang for ever; so can executing a program there. Only a launcher thread hangs
//! then, and another takes its place. Launcher threads never end: the kernel kills a task when the *thread* that
//! started it ends (`PR_SET_PDEATHSIG`), which is how tasks die with the supervisor.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::client_link;
use super::container::{BundleLease, Containers, Lease, Released, Within};
use super::inbox::{Inbox, Mailbox, Message};
use super::relay::RelayCommand;
use super::spaces::Spaces;
use super::spawn::Stack;
use super::start_unit;
use super::task_hooks::TaskEpilog;
use super::unkillable;
use crate::cgroup::{Cgroups, UnitGroup};
use crate::space::{JobSpace, SpaceKey};
use crate::system;
use crate::unit::{LaunchUnit, UnitKey, UnitUser};
use crate::wire::{Frame, NodeHello};

/// Threads when nothing hangs. More do not start processes faster than the kernel does.
const THREADS_USUAL: usize = 4;

/// Threads when much hangs.
const THREADS_MAX: usize = 64;

/// A launch that waits this long waits for something that hangs.
const STUCK_AFTER: Duration = Duration::from_millis(100);

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Start a unit.
    Launch(Launch),
    /// Write a line to a unit's error file.
    Write {
        /// Which unit.
        key: UnitKey,
        /// Where.
        file: Arc<OwnedFd>,
        /// What.
        line: Vec<u8>,
    },
    /// Make what a job has to itself here, before any unit of it is started.
    OpenSpace {
        /// Whose.
        key: SpaceKey,
        /// What.
        wanted: Box<JobSpace>,
        /// To whom it belongs.
        user: Box<UnitUser>,
    },
    /// Remove what a job had to itself here.
    CloseSpace(SpaceKey),
    /// Call a further client of a unit, and hand it to its relay; without one, tell it that nothing runs.
    CallWatcher {
        /// Where it waits, and what it is told of this node.
        address: String,
        hello: NodeHello,
        /// The relay.
        relay: Option<Arc<Mailbox<RelayCommand>>>,
    },
    /// Run what comes after a task.
    TaskEpilog {
        /// Which unit.
        key: UnitKey,
        /// Index of the task within it.
        index: usize,
        /// What.
        epilog: Box<TaskEpilog>,
    },
    /// Give a container back of which nothing runs any more.
    Release {
        /// Which unit; `None` where its end has been told without waiting for this.
        key: Option<UnitKey>,
        /// Which.
        lease: Box<Lease>,
        /// Where programs run that are needed for that.
        within: Within,
    },
    /// Remove the containers of an earlier supervisor.
    SweepContainers,
    /// Run what the site wants run where a unit could not be killed.
    UnkillableProgram {
        /// Which unit.
        key: UnitKey,
        /// What, and its environment.
        program: String,
        variables: Vec<String>,
    },
}

/// A unit with the blobs that it names.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) unit: Box<LaunchUnit>,
    pub(crate) environment: Option<Arc<[u8]>>,
    pub(crate) script: Option<Arc<[u8]>>,
    /// What it had to wait for has failed, so that it must not be started.
    pub(crate) prolog_failed: bool,
    /// It was asked to end: what takes long in its launch is to be given up.
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// A started task.
#[derive(Debug)]
pub(crate) struct StartedTask {
    pub(crate) rank: u32,
    pub(crate) pid: i32,
    /// [`Context::reaps`] before it was started: an end counted after this may be its own.
    pub(crate) reaps_before: u64,
    /// What is to be run after it.
    pub(crate) epilog: Option<Box<TaskEpilog>>,
}

/// What became of a launch.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) key: UnitKey,
    pub(crate) tasks: Vec<StartedTask>,
    /// Why not all is as it should be: what was tried and the error.
    pub(crate) problem: Option<(String, i32)>,
    pub(crate) group: Option<UnitGroup>,
    pub(crate) relay: Option<Arc<Mailbox<RelayCommand>>>,
    /// The error file of the first task, for messages about the unit.
    pub(crate) error_file: Option<Arc<OwnedFd>>,
    /// To be given back when nothing of the unit is left.
    pub(crate) container: Option<Box<Lease>>,
    /// The same for what runs in a bundle.
    pub(crate) bundle: Option<BundleLease>,
    /// The pipe to the PMIx server of the step, on its way to the relay.
    pub(crate) mpi_service: Option<OwnedFd>,
}

impl Launched {
    pub(crate) fn new(key: UnitKey) -> Launched {
        Launched {
            key,
            tasks: Vec::new(),
            problem: None,
            group: None,
            relay: None,
            error_file: None,
            container: None,
            bundle: None,
            mpi_service: None,
        }
    }
}

/// What all launches share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) spool: PathBuf,
    /// `@ID`, behind the unit in the mark of its processes.
    pub(crate) mark_suffix: String,
    /// The control groups, or why there are none.
    pub(crate) cgroups: Result<Arc<Cgroups>, String>,
    /// What jobs have to themselves.
    pub(crate) spaces: Arc<Spaces>,
    /// Limits as they were before the supervisor raised its own.
    pub(crate) limits: Vec<(u32, u64)>,
    /// CPUs of this machine.
    pub(crate) cpus: Vec<u32>,
    /// Number of processes that the main thread has waited for.
    pub(crate) reaps: Arc<AtomicU64>,
    pub(crate) main: Arc<Inbox>,
    pub(crate) containers: Containers,
}

impl Context {
    /// The present count of ended processes.
    pub(crate) fn reaps_now(&self) -> u64 {
        self.reaps.load(Ordering::SeqCst)
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Launcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    context: Context,
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Instant, Work)>,
    idle: usize,
    threads: usize,
}

impl Launcher {
    /// Starts the usual threads.
    pub(crate) fn start(context: Context) -> io::Result<Launcher> {
        let shared = Arc::new(Shared { context, queue: Mutex::default(), ready: Condvar::new() });
        let launcher = Launcher { shared };
        for _ in 0..THREADS_USUAL.min(launcher.shared.context.cpus.len().max(2)) {
            launcher.add_thread()?;
        }
        Ok(launcher)
    }

    /// Has `work` done.
    pub(crate) fn submit(&self, work: Work) {
        self.shared.lock().waiting.push_back((Instant::now(), work));
        self.shared.ready.notify_one();
    }

    /// Adds a thread where work waits because all threads hang. To be called now and then while work is under way.
    pub(crate) fn relieve(&self) {
        let is_stuck = {
            let queue = self.shared.lock();
            let oldest = queue.waiting.front().map(|(since, _)| since.elapsed());
            queue.idle == 0 && queue.threads < THREADS_MAX && oldest.is_some_and(|age| age > STUCK_AFTER)
        };
        if is_stuck {
            self.add_thread().unwrap_or_else(|error| tracing::warn!(%error, "cannot add a launcher thread"));
        }
    }

    fn add_thread(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("launcher".into()).stack_size(512 << 10).spawn(move || shared.serve())?;
        self.shared.lock().threads += 1;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut stack = Stack::new();
        loop {
            match self.next() {
                Work::Launch(launch) => {
                    let key = launch.unit.key;
                    // A thread must not end, for its tasks would die with it.
                    let launched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        if launch.unit.bundle.is_some() {
                            let cgroups = self.context.cgroups.as_deref().ok();
                            self.context.containers.settle_bundles_left(cgroups, &mut stack);
                        }
                        start_unit::launch(&self.context, launch, &mut stack)
                    }));
                    let launched = launched.unwrap_or_else(|_| {
                        let mut launched = Launched::new(key);
                        launched.problem = Some(("launcher panicked".into(), 0));
                        launched
                    });
                    self.context.main.send(Message::Launched(Box::new(launched)));
                }
                Work::OpenSpace { key, wanted, user } => {
                    if let Err(error) = self.context.spaces.of_job(key, &wanted, &user) {
                        tracing::error!(job = %key.0, %error, "cannot make what a job has to itself");
                    }
                }
                Work::CloseSpace(key) => {
                    self.context.spaces.close(key);
                    if self.context.containers.has_of_job(key) {
                        self.release(None, Box::new(Lease::OfJob(key)), &Within::default(), &mut stack);
                    }
                }
                Work::TaskEpilog { key, index, epilog } => {
                    // A panic was printed when it happened; the task has ended in any case.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| epilog.run(&mut stack)));
                    self.context.main.send(Message::TaskEpilogEnded { key, index });
                }
                Work::CallWatcher { address, hello, relay } => call_watcher(&address, hello, relay.as_deref()),
                Work::Write { key, file, line } => {
                    use std::os::fd::AsRawFd;
                    if let Err(error) = system::write(file.as_raw_fd(), &line) {
                        tracing::info!(unit = %key, %error, "cannot write a message to the error file");
                    }
                    self.context.main.send(Message::Written { key });
                }
                Work::UnkillableProgram { key, program, variables } => {
                    unkillable::run(key, &program, &variables, &mut stack);
                }
                Work::Release { key, lease, within } => {
                    self.release(key, lease, &within, &mut stack);
                }
                Work::SweepContainers => {
                    let jobs = self.context.spaces.keys();
                    let cgroups = self.context.cgroups.as_deref().ok();
                    let is_done = self.context.containers.sweep(&jobs, cgroups, &mut stack);
                    if let Err(error) = &is_done {
                        tracing::warn!(%error, "cannot remove the containers of an earlier supervisor; it is tried again");
                    }
                    self.context.main.send(Message::Swept { is_done: is_done.is_ok() });
                }
            }
        }
    }

    /// What cannot be given back now is tried again.
    fn release(&self, key: Option<UnitKey>, lease: Box<Lease>, within: &Within, stack: &mut Stack) {
        // What a runtime keeps may lie where only the job sees it.
        let of_bundle = key.filter(|_| matches!(*lease, Lease::Bundle(_)));
        let space = of_bundle.and_then(|key| self.context.spaces.present((key.job_id, key.restart)));
        let visit = space.as_ref().map_or(Ok(None), |space| space.enter(&self.context.spaces));
        if let Err(error) = &visit {
            tracing::warn!(?key, %error, "what a runtime has in private directories of the job is not removed by it");
        }
        let result = self.context.containers.release(&lease, within, stack);
        drop(visit);
        let left = result.is_err().then_some(lease);
        match (result, key) {
            (Ok(Released::Done), _) => {}
            (Ok(Released::MayCome), _) => self.context.main.send(Message::ContainerMayCome),
            (Err(error), Some(key)) => {
                tracing::warn!(unit = %key, %error, "cannot remove its container; it is tried again");
            }
            (Err(error), None) => tracing::debug!(%error, ?left, "a container is still there"),
        }
        self.context.main.send(Message::Released { key, left });
    }

    fn next(&self) -> Work {
        let mut queue = self.lock();
        loop {
            if let Some((_, work)) = queue.waiting.pop_front() {
                return work;
            }
            queue.idle += 1;
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

/// A client that does not answer is no concern of the unit.
fn call_watcher(address: &str, hello: NodeHello, relay: Option<&Mailbox<RelayCommand>>) {
    let (job_id, step) = (hello.job_id, hello.step.clone());
    let called = client_link::call(address, hello).and_then(|mut client| match relay {
        Some(relay) => {
            relay.send(RelayCommand::Watch(client));
            Ok(())
        }
        None => client.send(&Frame::Finished),
    });
    if let Err(error) = called {
        tracing::info!(%error, address, job_id, step, "a client could not be called");
    }
}
