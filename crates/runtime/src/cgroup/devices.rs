//! Which devices a group may open: in version 1 by a list of the kernel's, in version 2 by a small program that is asked at
//! each opening.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::device_filter;
use super::write_text;

/// A device as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Device {
    pub(super) is_block: bool,
    pub(super) major: u32,
    pub(super) minor: u32,
}

/// Forbids the devices of `denied` that are not also in `allowed`.
pub(super) fn deny(dir: &Path, is_v2: bool, denied: &[String], allowed: &[String]) -> io::Result<()> {
    let devices = denied_devices(denied, allowed);
    match (devices.is_empty(), is_v2) {
        (true, _) => Ok(()),
        (false, true) => device_filter::attach(dir, &devices).map_err(super::at("filter devices of", dir)),
        (false, false) => devices.iter().try_for_each(|device| {
            let kind = if device.is_block { 'b' } else { 'c' };
            write_text(dir, "devices.deny", &format!("{kind} {}:{} rwm", device.major, device.minor))
        }),
    }
}

/// What is no device, or not there, cannot be opened as one.
fn denied_devices(denied: &[String], allowed: &[String]) -> Vec<Device> {
    let allowed: Vec<Device> = allowed.iter().filter_map(|path| device(path)).collect();
    let mut devices: Vec<Device> =
        denied.iter().filter_map(|path| device(path)).filter(|device| !allowed.contains(device)).collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}

fn device(path: &str) -> Option<Device> {
    let metadata = fs::metadata(path).ok()?;
    let (kind, number) = (metadata.file_type(), metadata.rdev());
    let is_device = kind.is_block_device() || kind.is_char_device();
    is_device.then(|| Device {
        is_block: kind.is_block_device(),
        major: libc::major(number),
        minor: libc::minor(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_by_their_numbers() {
        let path = |name: &str| name.to_owned();
        let denied = [path("/dev/zero"), path("/dev/null"), path("/dev/full"), path("/no/such"), path("/etc/passwd")];
        let found = denied_devices(&denied, &[path("/dev/full")]);
        let numbers: Vec<(u32, u32)> = found.iter().map(|device| (device.major, device.minor)).collect();
        assert_eq!(numbers, [(1, 3), (1, 5)]);
    }

    #[test]
    fn version_one_has_a_list() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("devices.deny"), "").unwrap();
        deny(dir.path(), false, &["/dev/full".to_owned()], &[]).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("devices.deny")).unwrap(), "c 1:7 rwm");
    }
}
