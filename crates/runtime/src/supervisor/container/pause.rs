//! The program that holds a container open while tasks run in it.
//!
//! An image need not have any program that only waits, and one of the node may find none of its libraries there. So this one
//! is made here: an ELF file with one system call that never returns.

/// Where its code lies in memory.
const ADDRESS: u64 = 0x40_0000;

/// Sizes of the ELF header and of its one program header.
const HEADERS_BYTES: u64 = 64 + 56;

/// The machine's number in an ELF file, and the code.
#[cfg(target_arch = "x86_64")]
const MACHINE: Option<(u16, &[u8])> = Some((
    62,
    &[
        0xb8, 0x22, 0, 0, 0, // mov eax, 34 (pause)
        0x0f, 0x05, // syscall
        0xeb, 0xf7, // jmp to the beginning
    ],
));

/// The machine's number in an ELF file, and the code.
#[cfg(target_arch = "aarch64")]
const MACHINE: Option<(u16, &[u8])> = Some((
    183,
    &[
        0x00, 0x00, 0x80, 0xd2, // mov x0, 0
        0x01, 0x00, 0x80, 0xd2, // mov x1, 0
        0x02, 0x00, 0x80, 0xd2, // mov x2, 0
        0x03, 0x00, 0x80, 0xd2, // mov x3, 0
        0x04, 0x00, 0x80, 0xd2, // mov x4, 0
        0x28, 0x09, 0x80, 0xd2, // mov x8, 73 (ppoll of nothing)
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0xf9, 0xff, 0xff, 0x17, // b to the beginning
    ],
));

/// Not known for this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINE: Option<(u16, &[u8])> = None;

/// The file; `None` on a processor for which there is none.
pub(crate) fn program() -> Option<Vec<u8>> {
    let (machine, code) = MACHINE?;
    let size = HEADERS_BYTES + code.len() as u64;
    let mut file = Vec::new();
    // Magic, 64 bits, little endian, version 1; an executable file.
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    // Entry, program headers, no section headers.
    file.extend((ADDRESS + HEADERS_BYTES).to_le_bytes());
    file.extend(64u64.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    [64u16, 56, 1, 0, 0, 0].iter().for_each(|field| file.extend(field.to_le_bytes()));
    // All of the file is loaded, to be read and executed.
    file.extend(1u32.to_le_bytes());
    file.extend(5u32.to_le_bytes());
    [0, ADDRESS, ADDRESS, size, size, 0x1000].iter().for_each(|field: &u64| file.extend(field.to_le_bytes()));
    file.extend(code);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn it_waits_until_it_is_killed() {
        let Some(file) = program() else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, file).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        // It sleeps in the kernel, and so did not crash.
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let mut state = stat();
        while !state.contains("(pause) S") {
            assert!(!state.contains(") Z"), "{state}");
            std::thread::yield_now();
            state = stat();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
