//! A file that comes from a client (`sbcast`, `srun --bcast`) and is put in its place as the user.
//!
//! After the welcome the client sends the content as [`Frame::Stdin`] to all ranks, ended by an empty one, and this side
//! answers once: [`Frame::Ended`] for [`ALL_RANKS`] when the file is there, or [`Frame::Failed`] with the error number. What
//! cannot be written is read all the same, so that the client may send without listening.
//!
//! A step whose program comes so starts when the client has said welcome a second time, which it does once all nodes have the
//! file.
//!
//! The file appears as a whole or not at all: it is written under another name in the same directory and renamed, or
//! linked where it must not replace anything.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_model::node_call::FileReceipt;
use muster_model::state::ExitStatus;

use crate::supervisor::{Client, UserRights, call, enter};
use crate::system;
use crate::unit::UnitUser;
use crate::wire::{self, ALL_RANKS, Frame, NodeHello};

/// How long the client may be silent: it may have to serve many other nodes first.
const PATIENCE: Duration = Duration::from_secs(600);

/// One read from the client.
const READ_BYTES: usize = 4 * wire::PAYLOAD_BYTES_MAX;

/// Calls a client and takes a file from it. Blocks, for as long as the client sends. With `view`, a file of a mount namespace, the
/// calling thread goes over into that and stays there: then it has to be one of its own. Why there is no view is told to the client.
///
/// # Errors
/// When the client cannot be reached or the file cannot be put in its place; the client knows of the latter.
pub fn fetch(
    address: &str,
    hello: NodeHello,
    user: &UnitUser,
    receipt: &FileReceipt,
    view: io::Result<Option<PathBuf>>,
) -> io::Result<()> {
    let entered = view.and_then(|view| view.map_or(Ok(()), |view| enter(&File::open(view)?.into())));
    let mut client = call(address, hello)?;
    let taken = take(&mut client, user, receipt, entered);
    client.send(&Frame::Finished)?;
    taken
}

/// Takes a file from a client that has said welcome, and tells it how that went.
/// `entered` is whether the place can be seen at all.
pub(crate) fn take(
    client: &mut Client,
    user: &UnitUser,
    receipt: &FileReceipt,
    entered: io::Result<()>,
) -> io::Result<()> {
    client.stream.set_read_timeout(Some(PATIENCE))?;
    // What is written, and removed when it is not finished, needs the rights of the user; so these are given back last.
    let (_rights, mut place) = match entered.and_then(|()| UserRights::of(user)) {
        Ok(rights) => (Some(rights), Place::open(receipt)),
        Err(error) => (None, Err(error)),
    };
    loop {
        match client.next_frame()? {
            Frame::Stdin { bytes, .. } if bytes.is_empty() => break,
            Frame::Stdin { bytes, .. } => {
                if let Ok(open) = &mut place
                    && let Err(error) = open.file.write_all(&bytes)
                {
                    place = Err(error);
                }
            }
            _ => {}
        }
    }
    let finished = place.and_then(|place| place.finish(receipt));
    let answer = match &finished {
        Ok(()) => Frame::Ended { rank: ALL_RANKS, exit: ExitStatus::SUCCESS },
        Err(error) => Frame::Failed { errno: system::errno(error).unsigned_abs(), message: error.to_string() },
    };
    client.send(&answer)?;
    finished
}

/// Waits until the client says by a second welcome that all nodes have the file: no task is to start before.
pub(crate) fn wait_for_others(client: &mut Client) -> io::Result<()> {
    while client.next_frame()? != Frame::Welcome {}
    Ok(())
}

/// Calls a client and tells it `document`, in one piece.
///
/// # Errors
/// When the client cannot be reached or does not listen.
pub fn tell(address: &str, hello: NodeHello, document: &[u8]) -> io::Result<()> {
    let mut client = call(address, hello)?;
    client.send(&Frame::Report { bytes: document.to_vec() })?;
    client.send(&Frame::Finished)
}

impl Client {
    /// The connection alone, for bytes that are no frames.
    pub(crate) fn into_stream(self) -> std::net::TcpStream {
        self.stream
    }

    pub(crate) fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = Vec::new();
        wire::encode(frame, &mut bytes);
        self.stream.write_all(&bytes)
    }

    fn next_frame(&mut self) -> io::Result<Frame> {
        let mut buffer = Vec::new();
        loop {
            let next = self.decoder.next_frame();
            if let Some(frame) = next.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return Ok(frame);
            }
            buffer.resize(READ_BYTES, 0);
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.decoder.feed(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not the number that it comes with, which else says that the node lacks something.
                Err(error) if system::is_retry(&error) => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A file on its way. Dropped before it is finished, it is removed.
struct Place {
    file: File,
    path: PathBuf,
    is_finished: bool,
}

impl Place {
    fn open(receipt: &FileReceipt) -> io::Result<Place> {
        let target = Path::new(&receipt.path);
        if !receipt.force && fs::symlink_metadata(target).is_ok() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        if receipt.path.ends_with('/') || fs::metadata(target).is_ok_and(|there| there.is_dir()) {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let name = target.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))?;
        let mut own = std::ffi::OsString::from(".");
        // A long name must leave room for what is added.
        let room = name.as_bytes().len().min(180);
        own.push(std::ffi::OsStr::from_bytes(name.as_bytes().get(..room).unwrap_or_default()));
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        own.push(format!(".{}.{moment}", std::process::id()));
        let path = target.with_file_name(own);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Place { file, path, is_finished: false })
    }

    fn finish(mut self, receipt: &FileReceipt) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(receipt.mode & 0o777))?;
        if let Some((accessed, changed)) = receipt.times_ns {
            set_times(&self.file, accessed, changed)?;
        }
        let target = Path::new(&receipt.path);
        match receipt.force {
            true => fs::rename(&self.path, target)?,
            false => without_replacing(&self.path, target)?,
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nothing better can be done with a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives a file its name unless something has that name.
fn without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let (old, new) = (text(from)?, text(to)?);
    // SAFETY: both are strings ended by NUL.
    let renamed = system::check(unsafe {
        libc::renameat2(libc::AT_FDCWD, old.as_ptr(), libc::AT_FDCWD, new.as_ptr(), libc::RENAME_NOREPLACE)
    });
    match renamed {
        // File systems over the network do not know of it, but a link never replaces anything.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP)) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        result => result.map(drop),
    }
}

fn set_times(file: &File, accessed_ns: i64, changed_ns: i64) -> io::Result<()> {
    const SECOND: i64 = 1_000_000_000;
    let time = |ns: i64| libc::timespec { tv_sec: ns.div_euclid(SECOND), tv_nsec: ns.rem_euclid(SECOND) };
    let times = [time(accessed_ns), time(changed_ns)];
    // SAFETY: the descriptor is open and two times are given.
    system::check(unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// Sends `content` for `receipt` and gives the answer.
    fn send(receipt: &FileReceipt, content: &[u8], is_whole: bool) -> Option<Frame> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // SAFETY: neither can fail.
        let user = unsafe { UnitUser { uid: libc::geteuid(), gid: libc::getegid(), groups: Vec::new() } };
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let stream = listener.accept().unwrap().0;
                let mut client = Client { stream, decoder: wire::Decoder::default() };
                take(&mut client, &user, receipt, Ok(()))
            });
            let stream = TcpStream::connect(address).unwrap();
            let mut node = Client { stream, decoder: wire::Decoder::default() };
            node.send(&Frame::Stdin { rank: ALL_RANKS, bytes: content.to_vec() }).unwrap();
            if !is_whole {
                drop(node);
                assert!(taking.join().unwrap().is_err());
                return None;
            }
            node.send(&Frame::Stdin { rank: ALL_RANKS, bytes: Vec::new() }).unwrap();
            let answer = node.next_frame().unwrap();
            assert_eq!(taking.join().unwrap().is_ok(), matches!(answer, Frame::Ended { .. }));
            Some(answer)
        })
    }

    fn errno(answer: Option<Frame>) -> i32 {
        match answer {
            Some(Frame::Failed { errno, .. }) => errno as i32,
            Some(Frame::Ended { .. }) => 0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let mut receipt =
            FileReceipt { path: at("new"), mode: 0o754, force: false, times_ns: Some((5, 1_500_000_000)) };
        let large = vec![7; 300_000];
        assert_eq!(send(&receipt, b"cut", false), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of it");
        assert_eq!(errno(send(&receipt, &large, true)), 0);
        let metadata = fs::metadata(&receipt.path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.len()), (0o754, 300_000));
        let changed = metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(changed, Duration::from_millis(1500));
        assert_eq!(errno(send(&receipt, b"other", true)), libc::EEXIST);
        assert_eq!(fs::metadata(&receipt.path).unwrap().len(), 300_000);
        receipt.force = true;
        assert_eq!(errno(send(&receipt, b"other", true)), 0);
        assert_eq!(fs::read(&receipt.path).unwrap(), b"other");
        receipt.path = at("no/such");
        assert_eq!(errno(send(&receipt, b"x", true)), libc::ENOENT);
        receipt.path = dir.path().to_string_lossy().into_owned();
        assert_eq!(errno(send(&receipt, b"x", true)), libc::EISDIR);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_put_down_with_the_rights_of_its_user() {
        // SAFETY: cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let nobody = UnitUser { uid: 65534, gid: 65534, groups: Vec::new() };
        let receipt =
            FileReceipt { path: dir.path().join("x").to_string_lossy().into_owned(), ..FileReceipt::default() };
        let rights = UserRights::of(&nobody).unwrap();
        let refused = Place::open(&receipt).map(drop).unwrap_err();
        drop(rights);
        assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
        assert!(Place::open(&receipt).is_ok());
    }
}
