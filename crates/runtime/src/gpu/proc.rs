//! What NVIDIA's driver tells in `/proc`: names and files, no parts and no links.

use std::fs;
use std::path::Path;

use super::{Gpu, kind, pci};

/// Where the driver tells of each GPU, in a directory by its place on the bus.
const GPUS: &str = "proc/driver/nvidia/gpus";

pub(super) fn find(root: &Path) -> Vec<Gpu> {
    let Ok(entries) = fs::read_dir(root.join(GPUS)) else { return Vec::new() };
    let gpu = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("information")).ok()?;
        let bus = pci::place(entry.file_name().to_str()?)?;
        gpu(&text, bus)
    };
    let mut gpus: Vec<Gpu> = entries.flatten().filter_map(gpu).collect();
    gpus.sort_by(|a, b| a.bus.cmp(&b.bus));
    gpus
}

fn gpu(text: &str, bus: String) -> Option<Gpu> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
    let minor: u32 = value("Device Minor")?.trim().parse().ok()?;
    Some(Gpu { kind: kind(value("Model")?), files: vec![format!("/dev/nvidia{minor}")], bus, ..Gpu::default() })
}
