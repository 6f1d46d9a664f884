//! The interior of a container for the tasks of one step: the file systems of the container, copied, with what the user mounts
//! into them.
//!
//! It is made by a thread that enters the container and ends when all is made; tasks enter it by a descriptor.
//! Whoever made the image is not trusted: its links may lead anywhere, its programs may want to be root, it may hold devices. So
//! nothing is opened there in a way that could lead out, and nothing of it gives rights.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use muster_model::container::{ContainerMount, MountSource};

use super::kernel::{self, Way};
use crate::supervisor::files::UserRights;
use crate::unit::UnitUser;

/// Largest table of mounts that is read.
const MOUNT_TABLE_BYTES_MAX: u64 = 16 << 20;

/// Something to put into a container.
#[derive(Debug)]
pub(crate) struct Insert {
    what: What,
    target: String,
}

#[derive(Debug)]
enum What {
    Tree { tree: OwnedFd, is_directory: bool },
    Nothing,
}

/// A failure, in words.
pub(crate) type Words = String;

impl Insert {
    /// Opens what a user wants mounted; relative paths lie in `work_dir`. To be called with the rights of the user.
    pub(crate) fn of(mount: &ContainerMount, work_dir: &str) -> Result<Insert, Words> {
        let target = mount.target.clone();
        let what = match &mount.source {
            MountSource::Unmount => What::Nothing,
            MountSource::Memory => {
                let tree = kernel::memory_file_system(None).map_err(|error| format!("tmpfs: {error}"))?;
                restrict(&tree, mount).map_err(|error| format!("tmpfs: {error}"))?;
                What::Tree { tree, is_directory: true }
            }
            MountSource::Path(path) => {
                let path = if path.starts_with('/') { path.clone() } else { format!("{work_dir}/{path}") };
                let opened = open(&path, !mount.shallow).and_then(|what| {
                    if let What::Tree { tree, .. } = &what {
                        kernel::set_propagation(tree, mount.follows)?;
                        restrict(tree, mount)?;
                    }
                    Ok(what)
                });
                opened.map_err(|error| format!("failed to mount: {path} at {target}: {}", words(&error)))?
            }
        };
        Ok(Insert { what, target })
    }

    /// A file or directory of the node, to lie at the same place in the container.
    pub(crate) fn same_place(path: &str, target: &str) -> io::Result<Insert> {
        Ok(Insert { what: open(path, true)?, target: target.to_owned() })
    }

    /// The same, so that nothing can be written there.
    pub(crate) fn read_only(path: &str, target: &str) -> io::Result<Insert> {
        let insert = Insert::same_place(path, target)?;
        if let What::Tree { tree, .. } = &insert.what {
            kernel::set_attributes(tree.as_raw_fd(), &CString::default(), true, kernel::NO_SUID | kernel::READ_ONLY)?;
        }
        Ok(insert)
    }

    /// A new file system in memory of this size.
    pub(crate) fn memory(target: &str, megabytes: u64) -> io::Result<Insert> {
        let tree = kernel::memory_file_system(Some(megabytes))?;
        Ok(Insert { what: What::Tree { tree, is_directory: true }, target: target.to_owned() })
    }
}

fn open(path: &str, recursive: bool) -> io::Result<What> {
    let tree = kernel::open_tree(&CString::new(path)?, recursive)?;
    let is_directory = kernel::is_directory(&tree)?;
    Ok(What::Tree { tree, is_directory })
}

fn restrict(tree: &OwnedFd, mount: &ContainerMount) -> io::Result<()> {
    let read_only = if mount.read_only { kernel::READ_ONLY } else { 0 };
    let no_execute = if mount.no_execute { kernel::NO_EXECUTE } else { 0 };
    let set = kernel::NO_SUID | read_only | no_execute;
    kernel::set_attributes(tree.as_raw_fd(), &CString::default(), true, set)
}

/// The words for an error number alone.
pub(crate) fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), crate::system::error_text)
}

/// How the interior is to be.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// A process in the container.
    pub(crate) pid: i32,
    /// What is put into it, in order.
    pub(crate) inserts: Vec<Insert>,
    /// The file system of the image cannot be written to.
    pub(crate) read_only: bool,
    /// What the image has is not restricted.
    pub(crate) is_privileged: bool,
    /// Directory in which tasks start.
    pub(crate) work_dir: String,
    /// Whose tasks.
    pub(crate) user: UnitUser,
    /// The line for the user in the container's table of users, if it has none.
    pub(crate) user_line: Option<UserLine>,
}

/// A user for the container's table of users, and a file of the node that can be laid over the table.
#[derive(Debug)]
pub(crate) struct UserLine {
    line: String,
    file: File,
    insert: Insert,
}

/// The table of users.
const TABLE_OF_USERS: &str = "/etc/passwd";

impl UserLine {
    /// `line` is `name:x:uid:gid:…`. The file is made at `path`; it can be removed when the interior is made, not before.
    pub(crate) fn new(line: String, path: &Path) -> io::Result<UserLine> {
        let file = File::options().write(true).create(true).truncate(true).mode(0o644).open(path)?;
        let insert = Insert::same_place(&path.to_string_lossy(), TABLE_OF_USERS);
        Ok(UserLine { line, file, insert: insert? })
    }

    /// Completes the table of a container that has no such user; gives what is to be laid over it.
    fn complete(mut self, root: &OwnedFd) -> io::Result<Option<Insert>> {
        /// Largest table that is completed.
        const BYTES_MAX: u64 = 1 << 20;
        // An image without users gets none. No device is opened, whatever the image has there.
        let open = |way| kernel::open_inside(root, TABLE_OF_USERS, libc::O_RDONLY | libc::O_NONBLOCK, way);
        // That of the image, or one that Podman has laid over it. A link could lead into what the node shows of itself.
        let Ok(file) = open(Way::OneFileSystem).or_else(|_| open(Way::NoLinks)) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        File::from(file).take(BYTES_MAX).read_to_end(&mut text)?;
        let part = |line: &[u8], index| line.split(|byte| *byte == b':').nth(index).map(<[u8]>::to_vec);
        let number = part(self.line.as_bytes(), 2);
        // Podman gives one whom the image does not know his number for a name.
        let is_nameless = |line: &[u8]| part(line, 2) == number && part(line, 0) == number;
        if let Some(at) = text.split_inclusive(|byte| *byte == b'\n').position(is_nameless) {
            let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
            text = lines.filter(|(index, _)| *index != at).flat_map(|(_, line)| line.to_vec()).collect();
        }
        if text.split(|byte| *byte == b'\n').any(|line| part(line, 2) == number) {
            return Ok(None);
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{}\n", self.line).as_bytes());
        self.file.write_all(&text)?;
        Ok(Some(self.insert))
    }
}

/// An interior that is made.
#[derive(Debug)]
pub(crate) struct Interior {
    /// The mount namespace.
    pub(crate) mounts: OwnedFd,
    /// Directory in which tasks start.
    pub(crate) work_dir: OwnedFd,
}

/// Makes an interior.
pub(crate) fn make(wanted: Wanted) -> Result<Interior, Words> {
    let thread = std::thread::Builder::new().name("container".into()).spawn(move || make_here(wanted));
    let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
    thread.join().unwrap_or_else(|_| Err("the thread panicked".to_owned()))
}

/// On a thread that ends afterwards.
fn make_here(wanted: Wanted) -> Result<Interior, Words> {
    let doing = |what: &'static str| move |error: io::Error| format!("cannot {what}: {}", words(&error));
    // Opened before, since the container's own may be anything.
    let proc = kernel::open("/proc", libc::O_PATH | libc::O_DIRECTORY).map_err(doing("open /proc"))?;
    let namespace = kernel::open(&format!("/proc/{}/ns/mnt", wanted.pid), libc::O_RDONLY);
    let namespace = namespace.map_err(doing("find the container's mounts"))?;
    crate::supervisor::enter(&namespace).map_err(doing("enter the container's mounts"))?;
    kernel::copy_mounts().map_err(doing("copy the container's mounts"))?;
    let root = kernel::open("/", libc::O_PATH | libc::O_DIRECTORY).map_err(doing("open the container's root"))?;
    if !wanted.is_privileged {
        take_rights(&proc).map_err(doing("restrict the container's mounts"))?;
    }
    let users = wanted.user_line.map(|line| line.complete(&root)).transpose();
    let users = users.map_err(doing("write the table of users"))?.flatten();
    for insert in wanted.inserts.into_iter().chain(users) {
        let target = insert.target.clone();
        put(&root, insert, &wanted.user).map_err(|error| format!("failed to mount at {target}: {}", words(&error)))?;
    }
    if wanted.read_only {
        let set = kernel::READ_ONLY;
        let done = kernel::set_attributes(root.as_raw_fd(), &CString::default(), false, set);
        done.map_err(doing("make the container read-only"))?;
    }
    let work_dir = kernel::open_inside(&root, &wanted.work_dir, libc::O_PATH | libc::O_DIRECTORY, Way::Any);
    let work_dir = work_dir.map_err(|error| format!("chdir: {}: {}", wanted.work_dir, words(&error)))?;
    let mounts = kernel::open_at(proc.as_raw_fd(), "thread-self/ns/mnt", libc::O_RDONLY);
    Ok(Interior { mounts: mounts.map_err(doing("keep the container's mounts"))?, work_dir })
}

/// No file of the image makes anybody root, and no device in it can be used.
fn take_rights(proc: &OwnedFd) -> io::Result<()> {
    kernel::set_attributes(libc::AT_FDCWD, &CString::new("/")?, true, kernel::NO_SUID)?;
    let table = kernel::open_at(proc.as_raw_fd(), "thread-self/mountinfo", libc::O_RDONLY)?;
    let mut text = String::new();
    File::from(table).take(MOUNT_TABLE_BYTES_MAX).read_to_string(&mut text)?;
    for point in text.lines().filter_map(|line| line.split(' ').nth(4)) {
        // That one the daemon has filled itself.
        if point == "/dev" || point.starts_with("/dev/") {
            continue;
        }
        match kernel::set_attributes(libc::AT_FDCWD, &CString::new(unescaped(point))?, false, kernel::NO_DEVICES) {
            // Something else is mounted over it, and nobody gets there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// A path as the table of mounts has it, with `\040` for a space.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

fn put(root: &OwnedFd, insert: Insert, user: &UnitUser) -> io::Result<()> {
    let path = normal(&insert.target);
    match insert.what {
        What::Nothing => {
            let at = kernel::open_inside(root, &path, libc::O_PATH, Way::Any)?;
            kernel::unmount(&at)
        }
        What::Tree { tree, is_directory } => {
            let target = target(root, &path, is_directory, user)?;
            kernel::move_mount(&tree, &target)
        }
    }
}

/// Without `.`, `..` and doubled slashes; nothing leads above the root.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Opens a path in the container, and makes what is missing of it: in the image's own file system in any case, in what is
/// mounted there only with the rights of the user.
fn target(root: &OwnedFd, path: &str, is_directory: bool, user: &UnitUser) -> io::Result<OwnedFd> {
    let mut reached = String::new();
    let mut at = kernel::open_inside(root, "/", libc::O_PATH, Way::Any)?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        reached = format!("{reached}/{part}");
        at = match kernel::open_inside(root, &reached, libc::O_PATH, Way::Any) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_last = index + 1 == parts.len();
                let is_image = kernel::mount_number(&at)? == kernel::mount_number(root)?;
                let _rights = if is_image { None } else { Some(UserRights::of(user)?) };
                kernel::make_in(&at, part, is_directory || !is_last)?;
                kernel::open_inside(root, &reached, libc::O_PATH, Way::Any)?
            }
            result => result?,
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (path, expected) in
            [("/a//b/./c", "/a/b/c"), ("../../x", "/x"), ("/a/../../b", "/b"), ("/", "/"), ("", "/")]
        {
            assert_eq!(normal(path), expected);
        }
        assert_eq!(unescaped(r"/a\040b\134c"), b"/a b\\c");
        assert_eq!(unescaped(r"/a\0"), br"/a\0");
    }
}
