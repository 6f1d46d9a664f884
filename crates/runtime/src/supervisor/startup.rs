//! From nothing to a serving supervisor: the lock, what a predecessor left behind, the socket.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use muster_model::state::{ExitStatus, Usage};
use muster_model::time::Timestamp;

use super::container::Containers;
use super::inbox::Inbox;
use super::journal::{Journal, Known};
use super::launcher::{Context, Launcher, Work};
use super::sampler::Sampler;
use super::server::{Server, State};
use super::spaces::Spaces;
use super::{CgroupUse, Options, files, mpi_server, processes, signals};
use crate::cgroup::Cgroups;
use crate::client::SOCKET_NAME;
use crate::system;
use crate::unit::{Outcome, UnitEnd, UnitKey};

/// Name of the lock file: whoever holds it is the supervisor.
const LOCK_NAME: &str = "supervisor.lock";

/// Name of the file with the identity that marks processes and control groups.
const ID_NAME: &str = "supervisor.id";

/// How long to wait for killed leftovers to go. Longer only where processes hang in the kernel.
const CLEAN_PATIENCE: Duration = Duration::from_secs(10);

/// The lock of a spool directory.
pub(crate) struct Lock {
    #[expect(dead_code, reason = "held while it lives")]
    file: File,
}

/// Locks the directory; `None` when another supervisor has it.
pub(crate) fn lock(spool: &Path) -> io::Result<Option<Lock>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(spool.join(LOCK_NAME))?;
    // SAFETY: a plain system call on our own descriptor.
    match system::check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(Some(Lock { file })),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the spool directory if need be and gives its full path.
pub(crate) fn open_spool(dir: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    fs::canonicalize(dir)
}

/// Sets everything up. The caller holds the lock.
pub(crate) fn start(spool: PathBuf) -> io::Result<Server> {
    // Whoever started this process may have left files open that are none of the tasks' business.
    system::keep_from_children();
    let options = Options::load(&spool)?;
    let id = identity(&spool)?;
    let mark_suffix = format!("@{id}");
    let signal_fd = signals::take_over()?;
    // SAFETY: a plain system call on numbers.
    system::check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    let limits = raise_file_limit();
    let cgroups = find_cgroups(&options, &id)?.map(Arc::new);
    let mut journal = Journal::open(&spool)?;
    clear_leftovers(cgroups.as_deref().ok(), &mark_suffix);
    note_lost(&mut journal, &spool)?;
    let listener = listen(&spool.join(SOCKET_NAME))?;
    // Modes of users' files are computed for each unit; the mask of this process must not get between.
    // SAFETY: cannot fail.
    unsafe { libc::umask(0) };
    let inbox = Arc::new(Inbox::new()?);
    let containers = Containers::new(options.docker_host, &id, &spool);
    let has_containers = containers.is_used();
    let reaps = Arc::new(AtomicU64::new(0));
    let spaces = Arc::new(Spaces::open(&spool, &id)?);
    let launcher = Launcher::start(Context {
        spaces: Arc::clone(&spaces),
        spool: spool.clone(),
        mark_suffix: mark_suffix.clone(),
        cgroups: cgroups.clone(),
        limits,
        cpus: crate::detect::usable_cpus(),
        reaps: Arc::clone(&reaps),
        main: Arc::clone(&inbox),
        containers,
    })?;
    if has_containers {
        launcher.submit(Work::SweepContainers);
    }
    let sampler = Sampler::start(Arc::clone(&inbox))?;
    Ok(Server {
        sampler,
        spool,
        mark_suffix,
        signal_fd,
        listener,
        inbox,
        launcher,
        reaps,
        cgroups,
        spaces,
        journal,
        units: Default::default(),
        state: State::default(),
    })
}

/// Removes what shows that a supervisor serves here.
pub(crate) fn stop(server: &Server) {
    let _ = fs::remove_file(server.spool.join(SOCKET_NAME));
    if let Ok(cgroups) = &server.cgroups {
        cgroups.remove();
    }
}

/// A random number made once for each spool directory.
fn identity(spool: &Path) -> io::Result<String> {
    let path = spool.join(ID_NAME);
    if let Ok(id) = fs::read_to_string(&path)
        && id.len() == 16
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Ok(id);
    }
    let mut random = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let id = format!("{:016x}", u64::from_ne_bytes(random));
    fs::write(path, &id)?;
    Ok(id)
}

/// The groups, or why there are none.
type Found = Result<Cgroups, String>;

fn find_cgroups(options: &Options, id: &str) -> io::Result<Found> {
    if options.cgroup == CgroupUse::Off {
        return Ok(Err("control groups are switched off".to_owned()));
    }
    let found = Cgroups::detect(id, &options.cgroup_place);
    match &found {
        Err(reason) if options.cgroup == CgroupUse::Required => return Err(io::Error::other(reason.clone())),
        Err(reason) => tracing::info!(reason, "no control groups; processes are tracked by session and mark"),
        Ok(_) => {}
    }
    Ok(found)
}

/// Each live task needs up to three descriptors. Gives the limit for tasks: the one that was in force.
fn raise_file_limit() -> Vec<(u32, u64)> {
    // SAFETY: all-zero is a valid value; the structure is our own.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Vec::new();
        }
        let before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        vec![(libc::RLIMIT_NOFILE, before)]
    }
}

/// Tasks of a killed predecessor died with it, unless they changed identity; what they had started may live on.
fn clear_leftovers(cgroups: Option<&Cgroups>, mark_suffix: &str) {
    let deadline = Instant::now() + CLEAN_PATIENCE;
    loop {
        let groups = cgroups.map(Cgroups::leftovers).unwrap_or_default();
        groups.iter().for_each(|group| group.kill());
        let marked = processes::with_mark_suffix(mark_suffix);
        marked.iter().for_each(|pid| system::kill(*pid, libc::SIGKILL));
        let left = groups.iter().filter(|group| group.remove().is_err()).count() + marked.len();
        if left == 0 {
            return;
        }
        if Instant::now() > deadline {
            tracing::error!(left, "processes of an earlier supervisor do not go away");
            return;
        }
        // A short wait for the kernel to finish what was killed.
        let _ = system::poll(&mut [], 5);
    }
}

/// Units that were begun and have no end are lost: nobody waited for their processes.
fn note_lost(journal: &mut Journal, spool: &Path) -> io::Result<()> {
    let lost: Vec<(UnitKey, Timestamp)> = journal
        .known()
        .filter_map(|(key, known)| match known {
            Known::Begun(at) => Some((*key, *at)),
            Known::Ended(_) => None,
        })
        .collect();
    for (key, start_time) in lost {
        tracing::warn!(unit = %key, "lost with an earlier supervisor");
        files::remove_script(spool, key);
        mpi_server::remove_directory(spool, key);
        journal.end(UnitEnd {
            key,
            outcome: Outcome::Lost,
            exit: ExitStatus::signaled(libc::SIGKILL as u8),
            tasks: Vec::new(),
            usage: Usage::default(),
            start_time,
            end_time: system::now(),
            out_of_memory: false,
            terminated: false,
            over_memory: false,
            unkillable: None,
        });
    }
    journal.flush()
}

/// Listens on the socket; only root and the own user may connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = system::with_short_socket_path(path, UnixListener::bind)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Says on standard error why the supervisor cannot work. The log may not be set up yet.
pub(crate) fn complain(spool: &Path, error: &io::Error) {
    let _ = writeln!(io::stderr(), "muster supervisor: {}: {error}", spool.display());
}
