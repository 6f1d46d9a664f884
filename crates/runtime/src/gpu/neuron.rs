//! Neuron devices from what the kernel tells of them.

use std::path::Path;

use super::{Gpu, kind, numbered, text};

const DEVICES: &str = "sys/devices/virtual/neuron_device";

pub(super) fn find(root: &Path) -> Vec<Gpu> {
    let devices = numbered(&root.join(DEVICES), "neuron");
    let numbers: Vec<u32> = devices.iter().map(|(number, _)| *number).collect();
    let gpu = |(own, dir): &(u32, std::path::PathBuf)| {
        let of = |name: &str| text(&dir.join("info/architecture").join(name));
        let name =
            [of("instance_type"), of("arch_type"), "neuron".to_owned()].into_iter().find(|name| !name.is_empty());
        let connected = text(&dir.join("connected_devices"));
        let connected: Vec<u32> = connected.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        let link = |other: &u32| if other == own { -1 } else { i32::from(connected.contains(other)) };
        Gpu {
            kind: kind(&name.unwrap_or_default()),
            files: vec![format!("/dev/neuron{own}")],
            links: numbers.iter().map(link).collect(),
            ..Gpu::default()
        }
    };
    devices.iter().map(gpu).collect()
}
