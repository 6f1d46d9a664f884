//! Intel's GPUs from what the kernel tells of graphics devices. It knows no names, only numbers of models.

use std::path::Path;

use super::{Gpu, numbered, text};

pub(super) fn find(root: &Path) -> Vec<Gpu> {
    let gpu = |(minor, dir): &(u32, std::path::PathBuf)| {
        let device = dir.join("device");
        if text(&device.join("vendor")) != "0x8086" {
            return None;
        }
        let model = text(&device.join("device"));
        let uevent = text(&device.join("uevent"));
        let bus = uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME=")).unwrap_or_default().to_owned();
        Some(Gpu {
            kind: format!("intel_gpu_{}", model.trim_start_matches("0x")),
            files: vec![format!("/dev/dri/renderD{minor}")],
            bus,
            ..Gpu::default()
        })
    };
    let mut gpus: Vec<Gpu> = numbered(&root.join("sys/class/drm"), "renderD").iter().filter_map(gpu).collect();
    gpus.sort_by(|a, b| a.bus.cmp(&b.bus));
    gpus
}
