//! Energy that this machine has used: counters of the kernel for processors (RAPL), and of GPUs.
//!
//! The kernel's counters are small and begin anew when they are full, within minutes under load. They are added up here, for the
//! process; so a difference is right as long as they are read often enough.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::gpu::{World, usage};
use crate::measure::EnergySource;

/// Millijoules since some moment; `None` where the machine does not tell. `gpu_files` are the GPUs that count; empty for all.
pub fn counter_mj(source: EnergySource, world: &World, gpu_files: &[String]) -> Option<u64> {
    match source {
        EnergySource::Rapl => rapl_mj(&world.root),
        EnergySource::Gpu => usage::energy_mj(world, gpu_files),
    }
}

/// One counter as it was read last.
#[derive(Debug, Default)]
struct Seen {
    last_uj: u64,
    total_uj: u64,
}

/// All counters that were read, by their directory.
static SEEN: Mutex<BTreeMap<PathBuf, Seen>> = Mutex::new(BTreeMap::new());

fn rapl_mj(root: &Path) -> Option<u64> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut total_uj = None;
    for zone in zones(&root.join("sys/class/powercap")) {
        let number = |name: &str| fs::read_to_string(zone.join(name)).ok()?.trim().parse::<u64>().ok();
        // Kernels tell it to root alone.
        let Some(now) = number("energy_uj") else { continue };
        let entry = seen.entry(zone.clone()).or_insert(Seen { last_uj: now, total_uj: 0 });
        let more = match now.checked_sub(entry.last_uj) {
            Some(more) => more,
            None => number("max_energy_range_uj").unwrap_or(0).saturating_sub(entry.last_uj).saturating_add(now),
        };
        (entry.last_uj, entry.total_uj) = (now, entry.total_uj.saturating_add(more));
        total_uj = Some(total_uj.unwrap_or(0u64).saturating_add(entry.total_uj));
    }
    total_uj.map(|uj| uj / 1000)
}

/// Packages, and the memory beside them. What is inside a package is counted with it.
fn zones(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let name = |zone: &Path| fs::read_to_string(zone.join("name")).unwrap_or_default().trim().to_owned();
    let counts = |zone: &PathBuf| {
        let file = zone.file_name().and_then(|file| file.to_str()).unwrap_or_default().to_owned();
        let Some(place) = file.strip_prefix("intel-rapl:") else { return false };
        // The other interface to the same counters (`intel-rapl-mmio`) has another prefix.
        !place.contains(':') && name(zone).starts_with("package") || place.contains(':') && name(zone) == "dram"
    };
    let mut zones: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(counts).collect();
    zones.sort();
    zones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_up_over_their_ends() {
        let root = tempfile::tempdir().unwrap();
        let world = World::below(root.path());
        let read = || counter_mj(EnergySource::Rapl, &world, &[]);
        assert_eq!(read(), None);
        let zone = |place: &str, name: &str, energy: &str| {
            let dir = root.path().join("sys/class/powercap").join(place);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("name"), name).unwrap();
            fs::write(dir.join("energy_uj"), energy).unwrap();
            fs::write(dir.join("max_energy_range_uj"), "10000000\n").unwrap();
        };
        zone("intel-rapl:0", "package-0\n", "9000000\n");
        zone("intel-rapl:0:0", "core\n", "5000000\n");
        zone("intel-rapl:0:1", "dram\n", "100\n");
        zone("intel-rapl-mmio:0", "package-0\n", "9000000\n");
        assert_eq!(read(), Some(0));
        zone("intel-rapl:0", "package-0\n", "9500000\n");
        zone("intel-rapl:0:1", "dram\n", "1100100\n");
        assert_eq!(read(), Some(1600));
        zone("intel-rapl:0", "package-0\n", "200000\n");
        assert_eq!(read(), Some(2300), "one was full at 10 joules");
    }
}
