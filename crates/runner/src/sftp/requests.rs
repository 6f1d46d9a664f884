//! The requests of a client, each answered with the file system's own word.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use russh_sftp::protocol::{
    Attrs, Data, File, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode, Version,
};
use russh_sftp::server::{Handler, StatusReply};

use super::files::{Handles, Open};
use super::names;

/// Longest request in bytes: what OpenSSH's clients send at most.
pub(super) const PACKET_BYTES_MAX: u32 = 256 << 10;

/// Longest piece of a file given at once.
const READ_BYTES_MAX: u32 = 255 << 10;

/// Entries of a directory told at once.
const ENTRIES_MAX: usize = 100;

/// Extensions of OpenSSH that are answered.
const RENAME: &str = "posix-rename@openssh.com";
const HARDLINK: &str = "hardlink@openssh.com";
const FSYNC: &str = "fsync@openssh.com";

/// One client.
#[derive(Default)]
pub(super) struct Requests {
    handles: Handles,
}

type Answer<T> = Result<T, StatusReply>;

fn refused(error: &io::Error) -> StatusReply {
    let code = match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    };
    code.with_message(error.to_string())
}

fn done(id: u32, result: io::Result<()>) -> Answer<Status> {
    result.map_err(|error| refused(&error))?;
    Ok(Status { id, status_code: StatusCode::Ok, error_message: "Ok".to_owned(), language_tag: "en-US".to_owned() })
}

fn told(id: u32, result: io::Result<fs::Metadata>) -> Answer<Attrs> {
    let metadata = result.map_err(|error| refused(&error))?;
    Ok(Attrs { id, attrs: names::attributes(&metadata) })
}

fn named(id: u32, path: &Path) -> Name {
    Name { id, files: vec![File::dummy(path.to_string_lossy())] }
}

/// The path with its links resolved as far as it exists: clients ask for places that they are about to make.
fn real(path: &str) -> io::Result<std::path::PathBuf> {
    let asked = Path::new(if path.is_empty() { "." } else { path });
    match asked.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = asked.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = asked.file_name().ok_or(error)?;
            Ok(parent.canonicalize()?.join(name))
        }
        other => other,
    }
}

/// The texts in the data of an extension: each a length and bytes.
fn texts<const COUNT: usize>(mut data: &[u8]) -> Option<[String; COUNT]> {
    let mut found = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        found.push(String::from_utf8(text.to_vec()).ok()?);
        data = rest;
    }
    found.try_into().ok()
}

impl Handler for Requests {
    type Error = StatusReply;

    fn unimplemented(&self) -> StatusReply {
        StatusCode::OpUnsupported.into()
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Answer<Version> {
        let mut version = Version::new();
        let extensions = [(RENAME, "1"), (HARDLINK, "1"), (FSYNC, "1")];
        version.extensions.extend(extensions.map(|(name, number)| (name.to_owned(), number.to_owned())));
        Ok(version)
    }

    async fn open(&mut self, id: u32, path: String, flags: OpenFlags, wanted: FileAttributes) -> Answer<Handle> {
        let mut options = fs::OpenOptions::from(flags);
        if let Some(mode) = wanted.permissions {
            options.mode(mode & 0o7777);
        }
        let file = options.open(path).map_err(|error| refused(&error))?;
        let appends = flags.contains(OpenFlags::APPEND);
        Ok(Handle { id, handle: self.handles.add(Open::File { file, appends })? })
    }

    async fn close(&mut self, id: u32, handle: String) -> Answer<Status> {
        self.handles.close(&handle)?;
        done(id, Ok(()))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, length: u32) -> Answer<Data> {
        let (file, _) = self.handles.file(&handle)?;
        let mut data = vec![0; length.min(READ_BYTES_MAX) as usize];
        let count = file.read_at(&mut data, offset).map_err(|error| refused(&error))?;
        if count == 0 && length > 0 {
            return Err(StatusCode::Eof.into());
        }
        data.truncate(count);
        Ok(Data { id, data })
    }

    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Answer<Status> {
        let (mut file, appends) = self.handles.file(&handle)?;
        let written = if appends { io::Write::write_all(&mut file, &data) } else { file.write_all_at(&data, offset) };
        done(id, written)
    }

    async fn lstat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        told(id, fs::symlink_metadata(path))
    }

    async fn stat(&mut self, id: u32, path: String) -> Answer<Attrs> {
        told(id, fs::metadata(path))
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Answer<Attrs> {
        told(id, self.handles.file(&handle)?.0.metadata())
    }

    async fn setstat(&mut self, id: u32, path: String, wanted: FileAttributes) -> Answer<Status> {
        done(id, names::set(Path::new(&path), &wanted))
    }

    async fn fsetstat(&mut self, id: u32, handle: String, wanted: FileAttributes) -> Answer<Status> {
        done(id, names::set_open(self.handles.file(&handle)?.0, &wanted))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Answer<Handle> {
        let entries = fs::read_dir(&path).map_err(|error| refused(&error))?;
        Ok(Handle { id, handle: self.handles.add(Open::Directory(entries))? })
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Answer<Name> {
        let entries = self.handles.directory(&handle)?;
        let mut files = Vec::new();
        for entry in entries.by_ref().take(ENTRIES_MAX) {
            let entry = entry.map_err(|error| refused(&error))?;
            // A file that has gone meanwhile is no longer an entry.
            if let Ok(metadata) = entry.metadata() {
                files.push(names::entry(entry.file_name().to_string_lossy().into_owned(), &metadata));
            }
        }
        if files.is_empty() { Err(StatusCode::Eof.into()) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, path: String) -> Answer<Status> {
        done(id, fs::remove_file(path))
    }

    async fn mkdir(&mut self, id: u32, path: String, wanted: FileAttributes) -> Answer<Status> {
        let made = fs::create_dir(&path);
        let mode = wanted.permissions.map(|mode| fs::Permissions::from_mode(mode & 0o7777));
        done(id, made.and_then(|()| mode.map_or(Ok(()), |mode| fs::set_permissions(&path, mode))))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Answer<Status> {
        done(id, fs::remove_dir(path))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Answer<Name> {
        let path = real(&path).map_err(|error| refused(&error))?;
        Ok(named(id, &path))
    }

    /// The protocol's own rename replaces nothing.
    async fn rename(&mut self, id: u32, from: String, to: String) -> Answer<Status> {
        if fs::symlink_metadata(&to).is_ok() {
            return Err(StatusCode::Failure.with_message(format!("{to} is there already")));
        }
        done(id, fs::rename(from, to))
    }

    async fn readlink(&mut self, id: u32, path: String) -> Answer<Name> {
        let target = fs::read_link(path).map_err(|error| refused(&error))?;
        Ok(named(id, &target))
    }

    /// OpenSSH's clients and server name the target first, unlike the protocol's text, and so everybody does.
    async fn symlink(&mut self, id: u32, target: String, link: String) -> Answer<Status> {
        done(id, std::os::unix::fs::symlink(target, link))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Answer<Packet> {
        let bad = || StatusReply::from(StatusCode::BadMessage);
        let result = match request.as_str() {
            RENAME => texts(&data).map(|[from, to]: [String; 2]| fs::rename(from, to)).ok_or_else(bad)?,
            HARDLINK => texts(&data).map(|[from, to]: [String; 2]| fs::hard_link(from, to)).ok_or_else(bad)?,
            FSYNC => {
                let [handle] = texts(&data).ok_or_else(bad)?;
                self.handles.file(&handle)?.0.sync_all()
            }
            _ => return Err(self.unimplemented()),
        };
        done(id, result).map(Packet::Status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_an_extension_are_read_with_care() {
        assert_eq!(texts::<2>(b"\0\0\0\x01a\0\0\0\x02bc"), Some(["a".to_owned(), "bc".to_owned()]));
        assert_eq!(texts::<2>(b"\0\0\0\x01a\0\0\0\x09bc"), None);
        assert_eq!(texts::<1>(b"\xff\xff\xff\xff"), None);
        assert_eq!(texts::<1>(b""), None);
    }
}
