//! Places on the bus: how they are written, and which CPUs are near them.

use std::path::Path;

use super::text;
use crate::detect::parse_cpu_list;

/// `00000000:07:00.0` and `0000:07:00.0` as the kernel writes them; `None` for what is none.
pub(super) fn place(text: &str) -> Option<String> {
    let (domain, rest) = text.trim().split_once(':')?;
    let domain = u32::from_str_radix(domain, 16).ok()?;
    Some(format!("{domain:04x}:{}", rest.to_lowercase()))
}

/// CPUs near a device; `None` where the kernel does not say.
pub(super) fn local_cpus(root: &Path, bus: &str) -> Option<Vec<u32>> {
    let list = text(&root.join("sys/bus/pci/devices").join(bus).join("local_cpulist"));
    let cpus = parse_cpu_list(&list);
    (!cpus.is_empty()).then_some(cpus)
}
