//! A small disk that a test can fill: a file system in memory, mounted by root.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system, mounted for as long as this lives.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one of `bytes` at a directory.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn mount(place: &Path, bytes: u64) -> Disk {
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).status();
        assert!(mounted.expect("mount runs").success(), "mount a file system at {}", place.display());
        Disk(place.to_owned())
    }

    /// Takes all room that is left.
    ///
    /// # Panics
    /// Where there is no room for a name.
    pub fn fill(&self) {
        let mut file = File::create(self.rest()).expect("a file");
        while file.write(&[b'x'; 4096]).is_ok_and(|count| count > 0) {}
    }

    /// Gives back what [`Disk::fill`] took.
    ///
    /// # Panics
    /// Where it has taken nothing.
    pub fn make_room(&self) {
        std::fs::remove_file(self.rest()).expect("the file that filled it");
    }

    fn rest(&self) -> PathBuf {
        self.0.join("rest")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
