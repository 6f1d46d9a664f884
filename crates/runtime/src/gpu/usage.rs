//! What GPUs are used for now: by which process, and how much energy they took.
//!
//! NVIDIA's library stays loaded and ready until nobody asks any more ([`close`]); of AMD's GPUs the kernel tells.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::nvml::Library;
use super::{World, numbered, text};

/// What a process uses of all GPUs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GpuUse {
    /// Percent of a GPU; more than 100 of several.
    pub(crate) percent: u64,
    /// Memory, KiB.
    pub(crate) memory_kb: u64,
}

/// The library of each machine, or when it failed last.
static LIBRARIES: Mutex<BTreeMap<PathBuf, Result<Library, Instant>>> = Mutex::new(BTreeMap::new());

/// How long a library that failed is left alone: its driver may be loaded later, or be loaded anew.
const RETRY: Duration = Duration::from_secs(60);

fn with_library<T>(world: &World, use_it: impl FnOnce(&Library) -> T) -> Option<T> {
    let mut libraries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let library = library_at(libraries.remove(&world.root), Instant::now(), || {
        let library = Library::open(&world.nvml)?;
        library.count().map(|_| library)
    });
    let result = library.as_ref().ok().map(use_it);
    libraries.insert(world.root.clone(), library);
    result
}

/// The library as it is to be used `now`: one that works stays, one that does not is opened anew when it was left alone for long
/// enough.
fn library_at(
    known: Option<Result<Library, Instant>>,
    now: Instant,
    open: impl FnOnce() -> Result<Library, String>,
) -> Result<Library, Instant> {
    let is_first = known.is_none();
    match known {
        Some(Ok(library)) if library.count().is_ok() => return Ok(library),
        Some(Err(failed)) if now.saturating_duration_since(failed) < RETRY => return Err(failed),
        _ => {}
    }
    open().map_err(|problem| {
        if is_first {
            tracing::info!(problem, "use of NVIDIA's GPUs is not measured");
        }
        now
    })
}

/// Ends the use of libraries until somebody asks again: an idle GPU sleeps only when nobody has it open.
pub(crate) fn close() {
    LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, library| library.is_err());
}

/// What each process uses.
pub(crate) fn by_process(world: &World) -> HashMap<u32, GpuUse> {
    let mut found: HashMap<u32, GpuUse> = HashMap::new();
    with_library(world, |library| {
        for device in library.devices() {
            for (pid, bytes) in library.memory_by_process(device) {
                found.entry(pid).or_default().memory_kb += bytes / 1024;
            }
            // Of each process the last that was seen.
            let mut last: HashMap<u32, (u64, u32)> = HashMap::new();
            for seen in library.use_by_process(device, 0) {
                let known = last.entry(seen.pid).or_default();
                *known = (*known).max((seen.time, seen.percent));
            }
            for (pid, (_, percent)) in last {
                found.entry(pid).or_default().percent += u64::from(percent);
            }
        }
    });
    amd(world, &mut found);
    found
}

/// The compute driver has a directory for each process that uses it.
fn amd(world: &World, found: &mut HashMap<u32, GpuUse>) {
    let kfd = world.root.join("sys/class/kfd/kfd");
    let processes = numbered(&kfd.join("proc"), "");
    if processes.is_empty() {
        return;
    }
    let nodes = numbered(&kfd.join("topology/nodes"), "");
    let units = nodes.iter().filter_map(|(_, dir)| {
        let properties = text(&dir.join("properties"));
        let value =
            |name: &str| properties.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let (simds, per_unit) = (value("simd_count ")?, value("simd_per_cu ")?);
        (simds > 0 && per_unit > 0).then(|| (text(&dir.join("gpu_id")), simds / per_unit))
    });
    let units: BTreeMap<String, u64> = units.collect();
    for (pid, dir) in processes {
        let mut used = GpuUse::default();
        for (gpu, compute_units) in &units {
            let number = |path: PathBuf| text(&path).parse::<u64>().unwrap_or(0);
            used.memory_kb += number(dir.join(format!("vram_{gpu}"))) / 1024;
            let busy = number(dir.join(format!("stats_{gpu}")).join("cu_occupancy"));
            used.percent += busy.saturating_mul(100) / (*compute_units).max(1);
        }
        if used != GpuUse::default() {
            let known = found.entry(pid).or_default();
            known.percent += used.percent;
            known.memory_kb += used.memory_kb;
        }
    }
}

/// Millijoules that the GPUs with these files used; all GPUs where none is named. `None` where none tells.
pub(crate) fn energy_mj(world: &World, files: &[String]) -> Option<u64> {
    let counts = |file: String| files.is_empty() || files.contains(&file);
    let nvidia = with_library(world, |library| {
        let of = |device| library.minor(device).is_ok_and(|minor| counts(format!("/dev/nvidia{minor}")));
        let devices = library.devices().into_iter().filter(|device| of(*device));
        devices.filter_map(|device| library.energy_mj(device)).reduce(u64::saturating_add)
    });
    let amd = numbered(&world.root.join("sys/class/drm"), "renderD")
        .into_iter()
        .filter(|(minor, _)| counts(format!("/dev/dri/renderD{minor}")))
        .filter_map(|(_, dir)| sensor_uj(&dir.join("device/hwmon")))
        .map(|uj| uj / 1000)
        .reduce(u64::saturating_add);
    [nvidia.flatten(), amd].into_iter().flatten().reduce(u64::saturating_add)
}

fn sensor_uj(dir: &std::path::Path) -> Option<u64> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().find_map(|entry| text(&entry.path().join("energy1_input")).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_failed_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let name = crate::gpu::tests::fake_library(root.path(), "broken\n");
        let mut opened = 0;
        let mut at = |known, now| {
            let library = library_at(known, now, || {
                opened += 1;
                Library::open(std::slice::from_ref(&name))
            });
            (library, opened)
        };
        let start = Instant::now();
        let (library, opened) = at(None, start);
        assert!(library.is_err() && opened == 1);
        std::fs::write(root.path().join("cards"), "card 0 A100|GPU-a|0:07:00.0\n").unwrap();
        let (library, opened) = at(Some(library), start + RETRY / 2);
        assert!(library.is_err() && opened == 1, "it is left alone for a while");
        let (library, opened) = at(Some(library), start + RETRY);
        assert!(library.is_ok() && opened == 2);
        let (library, opened) = at(Some(library), start + RETRY);
        assert!(library.is_ok() && opened == 2);
    }
}
