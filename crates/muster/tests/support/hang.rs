//! A file system whose files hang whoever asks for them so that nothing can kill him: a FUSE server that takes questions and
//! answers none.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `FUSE_INIT`, the one question that is answered.
const INIT: u32 = 26;

/// Version 7.31 of the protocol with nothing that can be chosen: `fuse_init_out` of the kernel's `fuse.h`.
const INIT_ANSWER: [u32; 16] = [7, 31, 65_536, 0, 12 | 9 << 16, 65_536, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// How often the server looks whether it is to end.
const LOOK_MS: u16 = 50;

/// The file system. With it who hangs in it is let go.
pub struct Hang {
    directory: PathBuf,
    is_over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Hang {
    /// Mounts it at a new directory; `None`, and words on stderr, where that cannot be done.
    pub fn mount(directory: &Path) -> Option<Hang> {
        std::fs::create_dir(directory).expect("a new directory");
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => return skipped(&format!("/dev/fuse: {error}")),
        };
        let options = format!("fd={},rootmode=40755,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        if let Err(error) = mount(Some("hang"), directory, Some("fuse"), MsFlags::empty(), Some(options.as_str())) {
            return skipped(&format!("mount: {error}"));
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let server = Some(std::thread::spawn(move || serve(device, &until)));
        Some(Hang { directory: directory.to_owned(), is_over, server })
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.server.take().map(JoinHandle::join);
        let _ = umount2(&self.directory, MntFlags::MNT_DETACH);
    }
}

fn skipped(why: &str) -> Option<Hang> {
    eprintln!("SKIPPED: no file system that hangs can be made here: {why}");
    None
}

/// What is taken out of the device cannot be taken back by who asked, whatever kills him.
fn serve(mut device: File, is_over: &AtomicBool) {
    let mut question = vec![0; 1 << 17];
    while !is_over.load(Ordering::SeqCst) {
        let mut polled = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut polled, PollTimeout::from(LOOK_MS)), Ok(1)) {
            continue;
        }
        let Ok(length) = device.read(&mut question) else { continue };
        let word = |at: usize| -> [u8; 4] { question[at..at + 4].try_into().expect("four bytes") };
        if length >= 16 && u32::from_ne_bytes(word(4)) == INIT {
            let body: Vec<u8> = INIT_ANSWER.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let mut answer = Vec::new();
            answer.extend_from_slice(&u32::try_from(16 + body.len()).expect("it is short").to_ne_bytes());
            answer.extend_from_slice(&0_i32.to_ne_bytes());
            answer.extend_from_slice(&question[8..16]);
            answer.extend_from_slice(&body);
            device.write_all(&answer).expect("the kernel takes the answer");
        }
    }
}
