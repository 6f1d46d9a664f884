//! The program by which a group of version 2 is kept from devices (`BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! It compares what is to be opened with a list and allows all else. The kernel has no other way, and its loaders are large
//! libraries; what is needed here are a dozen instructions and two system calls.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::devices::Device;

// Numbers of linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_DEVCG_DEV_BLOCK: i32 = 1;
const BPF_DEVCG_DEV_CHAR: i32 = 2;

/// Offsets in `struct bpf_cgroup_dev_ctx`: kind (the low half) with access, major, minor.
const KIND_AT: i16 = 0;
const MAJOR_AT: i16 = 4;
const MINOR_AT: i16 = 8;

/// One instruction, as the kernel has it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high one.
    registers: u8,
    offset: i16,
    number: i32,
}

const fn instruction(code: u8, registers: u8, offset: i16, number: i32) -> Instruction {
    Instruction { code, registers, offset, number }
}

/// `register = *(u32 *)(r1 + offset)`.
const fn load(register: u8, offset: i16) -> Instruction {
    instruction(0x61, 0x10 | register, offset, 0)
}

/// `w0 = number`.
const fn answer(number: i32) -> Instruction {
    instruction(0xb4, 0, 0, number)
}

/// `if register != number, pass over so many`.
const fn unless(register: u8, number: i32, over: i16) -> Instruction {
    instruction(0x55, register, over, number)
}

const EXIT: Instruction = instruction(0x95, 0, 0, 0);

/// The program that denies `devices`.
fn program(devices: &[Device]) -> Vec<Instruction> {
    // `w2 &= 0xffff` leaves the kind without the access.
    let mut program = vec![load(2, KIND_AT), instruction(0x54, 2, 0, 0xffff), load(3, MAJOR_AT), load(4, MINOR_AT)];
    for device in devices {
        let kind = if device.is_block { BPF_DEVCG_DEV_BLOCK } else { BPF_DEVCG_DEV_CHAR };
        let (major, minor) = (device.major.cast_signed(), device.minor.cast_signed());
        program.extend([unless(2, kind, 4), unless(3, major, 3), unless(4, minor, 2), answer(0), EXIT]);
    }
    program.extend([answer(1), EXIT]);
    program
}

/// Attaches the program to the group `dir`; it goes with the group.
pub(super) fn attach(dir: &Path, devices: &[Device]) -> io::Result<()> {
    /// The part of `union bpf_attr` for loading that is needed.
    #[repr(C)]
    struct Load {
        program_type: u32,
        instructions_count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Attach {
        target: i32,
        program: i32,
        kind: u32,
        flags: u32,
    }
    let group = File::open(dir)?;
    let program = program(devices);
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instructions_count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let program = call(BPF_PROG_LOAD, &load)?;
    // SAFETY: a new descriptor, ours alone.
    let program = unsafe { OwnedFd::from_raw_fd(program) };
    let attach = Attach {
        target: group.as_raw_fd(),
        program: program.as_raw_fd(),
        kind: BPF_CGROUP_DEVICE,
        // Beside those of whoever made the groups above.
        flags: BPF_F_ALLOW_MULTI,
    };
    call(BPF_PROG_ATTACH, &attach).map(drop)
}

fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads as many bytes as told, and what they point to lives until it returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(libc::c_int::try_from(result).unwrap_or(-1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_compares_kind_and_numbers() {
        let none = program(&[]);
        assert_eq!(none[none.len() - 2..], [answer(1), EXIT]);
        let one = program(&[Device { is_block: true, major: 8, minor: 1 }]);
        assert_eq!(one.len(), none.len() + 5);
        // Each comparison that fails leads behind the answer for this device.
        let passed: Vec<i16> = one.iter().filter(|line| line.code == 0x55).map(|line| line.offset).collect();
        assert_eq!(passed, [4, 3, 2]);
    }
}
