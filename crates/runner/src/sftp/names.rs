//! How files are shown to a client: attributes, and the line that `ls -l` would print.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh_sftp::protocol::{File, FileAttributes};

/// What the protocol says of a file.
pub(super) fn attributes(metadata: &Metadata) -> FileAttributes {
    FileAttributes {
        size: Some(metadata.len()),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        permissions: Some(metadata.mode()),
        atime: Some(seconds(metadata.atime())),
        mtime: Some(seconds(metadata.mtime())),
        ..FileAttributes::empty()
    }
}

/// The protocol's times end in 2106.
fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// A file with its long line.
pub(super) fn entry(name: String, metadata: &Metadata) -> File {
    let longname = format!(
        "{}{} {:>4} {:<8} {:<8} {:>8} {} {name}",
        kind(metadata),
        permissions(metadata.permissions().mode()),
        metadata.nlink(),
        metadata.uid(),
        metadata.gid(),
        metadata.len(),
        date(metadata.mtime()),
    );
    File { filename: name, longname, attrs: attributes(metadata) }
}

fn kind(metadata: &Metadata) -> char {
    let file_type = metadata.file_type();
    match () {
        () if file_type.is_dir() => 'd',
        () if file_type.is_symlink() => 'l',
        () if file_type.is_fifo() => 'p',
        () if file_type.is_socket() => 's',
        () if file_type.is_block_device() => 'b',
        () if file_type.is_char_device() => 'c',
        () => '-',
    }
}

fn permissions(mode: u32) -> String {
    (0..9).rev().zip("rwxrwxrwx".chars()).map(|(bit, letter)| if mode >> bit & 1 == 1 { letter } else { '-' }).collect()
}

fn date(time: i64) -> String {
    let timestamp = jiff::Timestamp::from_second(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    timestamp.strftime("%b %e %Y").to_string()
}

/// Brings the attributes that are given to the file at `path`.
///
/// # Errors
/// Of the system.
pub(super) fn set(path: &Path, wanted: &FileAttributes) -> std::io::Result<()> {
    if let Some(size) = wanted.size {
        fs::OpenOptions::new().write(true).open(path)?.set_len(size)?;
    }
    if wanted.uid.is_some() || wanted.gid.is_some() {
        chown(path, wanted.uid, wanted.gid)?;
    }
    if let Some(mode) = wanted.permissions {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(times) = times(wanted) {
        // A directory can be opened for reading only, and that is enough to set its times.
        fs::File::open(path)?.set_times(times)?;
    }
    Ok(())
}

/// The same for an open file.
///
/// # Errors
/// Of the system.
pub(super) fn set_open(file: &fs::File, wanted: &FileAttributes) -> std::io::Result<()> {
    if let Some(size) = wanted.size {
        file.set_len(size)?;
    }
    if wanted.uid.is_some() || wanted.gid.is_some() {
        std::os::unix::fs::fchown(file, wanted.uid, wanted.gid)?;
    }
    if let Some(mode) = wanted.permissions {
        file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(times) = times(wanted) {
        file.set_times(times)?;
    }
    Ok(())
}

fn times(wanted: &FileAttributes) -> Option<fs::FileTimes> {
    let at = |seconds: u32| -> SystemTime { UNIX_EPOCH + Duration::from_secs(u64::from(seconds)) };
    let (accessed, modified) = (wanted.atime?, wanted.mtime?);
    Some(fs::FileTimes::new().set_accessed(at(accessed)).set_modified(at(modified)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_ls_prints_them() {
        assert_eq!(permissions(0o100_640), "rw-r-----");
        assert_eq!(permissions(0o755), "rwxr-xr-x");
        assert_eq!(date(1_700_000_000), "Nov 14 2023");
    }
}
