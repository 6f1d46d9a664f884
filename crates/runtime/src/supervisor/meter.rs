//! What was seen of a unit's tasks so far. Shared by the main thread, which knows their ends, and the sampler, which looks at
//! them while they run; neither holds it for longer than it takes to write some numbers down. Energy is read by the sampler alone:
//! a driver that hangs hangs that thread, and the others tell what was read last.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_model::measure::{Measured, TaskMeasure};

use super::processes;
use crate::cgroup::UnitGroup;
use crate::energy;
use crate::measure::MeasureHow;
use crate::unit::UnitKey;

/// The figures of one unit that runs.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) key: UnitKey,
    /// Value of the variable by which processes are found that left their session.
    pub(crate) mark: String,
    /// Where its processes are listed; `None` without control groups.
    pub(crate) group: Option<PathBuf>,
    /// Rank and process number of each task.
    pub(crate) tasks: Vec<(u32, i32)>,
    /// When it was started.
    pub(crate) since: Instant,
    /// How often it is looked at; zero for once, at the end of each task. `None` for never by itself.
    pub(crate) interval: Option<Duration>,
    /// How it is looked at.
    pub(crate) how: MeasureHow,
    /// The counter of energy when it was read first, and last.
    energy_mj: Mutex<Option<(u64, u64)>>,
    seen: Mutex<Vec<TaskMeasure>>,
    /// Memory of the tasks that had processes at the last look.
    held_kb: AtomicU64,
}

impl Meter {
    /// For a unit that has just been started.
    pub(crate) fn new(
        key: UnitKey,
        mark: &str,
        group: Option<&UnitGroup>,
        tasks: Vec<(u32, i32)>,
        interval: Option<Duration>,
        how: MeasureHow,
    ) -> Meter {
        Meter {
            energy_mj: Mutex::new(None),
            how,
            key,
            mark: mark.to_owned(),
            group: group.map(|group| group.members_dir().to_owned()),
            seen: Mutex::new(vec![TaskMeasure::default(); tasks.len()]),
            tasks,
            since: Instant::now(),
            interval,
            held_kb: AtomicU64::new(0),
        }
    }

    /// Energy that its node, or its GPUs, used from its start until the counter was read last; `None` where nobody tells.
    pub(crate) fn energy_mj(&self) -> Option<u64> {
        let (first, last) = (*self.energy_mj.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(last.saturating_sub(first))
    }

    /// Whether its counter of energy is to be read.
    pub(crate) fn has_energy(&self) -> bool {
        self.interval.is_some() && self.how.energy.is_some()
    }

    /// Reads the counter. For the sampler only: it may take for ever.
    pub(crate) fn read_energy(&self) {
        if let Some(now) = self
            .how
            .energy
            .filter(|_| self.has_energy())
            .and_then(|source| energy::counter_mj(source, &self.how.world(), &self.how.gpu_files))
        {
            let mut known = self.energy_mj.lock().unwrap_or_else(PoisonError::into_inner);
            let (first, _) = known.unwrap_or((now, now));
            *known = Some((first, now));
        }
    }

    /// Whether somebody is to look at it from time to time.
    pub(crate) fn is_periodic(&self) -> bool {
        self.interval.is_some_and(|interval| !interval.is_zero())
    }

    /// Takes in a look at all tasks that have processes, by index.
    pub(crate) fn see_all(&self, looks: &HashMap<usize, TaskMeasure>) {
        let held = looks.values().filter_map(|look| look.rss_kb).map(|(_, last)| last).sum();
        self.held_kb.store(held, Ordering::Relaxed);
        self.see(looks.iter().map(|(index, look)| (*index, *look)));
    }

    /// Takes in a look at tasks, by index.
    pub(crate) fn see(&self, looks: impl IntoIterator<Item = (usize, TaskMeasure)>) {
        let mut seen = self.lock();
        for (index, look) in looks {
            if let Some(task) = seen.get_mut(index) {
                task.see(&look);
            }
        }
    }

    /// The last look at a task that has ended but was not waited for yet.
    pub(crate) fn see_ended(&self, index: usize) {
        let Some((_, pid)) = self.tasks.get(index).filter(|_| self.interval.is_some()) else { return };
        if let Some(io) = processes::io(*pid) {
            let look = TaskMeasure {
                read_bytes: Some(io.read_bytes),
                write_bytes: Some(io.write_bytes),
                ..TaskMeasure::default()
            };
            self.see([(index, look)]);
        }
    }

    /// Takes in what the kernel told with the end of a task, and gives all that is known of it.
    pub(crate) fn finish(&self, index: usize, told: &TaskMeasure) -> TaskMeasure {
        let mut seen = self.lock();
        let Some(task) = seen.get_mut(index) else { return *told };
        let mut told = *told;
        // A process begins with the peak of the one that it was forked from, so a small one says nothing where the task was seen;
        // and what the kernel tells at the end is no amount that was used last.
        told.rss_kb = match (task.rss_kb, told.rss_kb) {
            (Some((_, last)), Some((peak, _))) if peak > own_peak_kb() => Some((peak, last)),
            (Some(_), _) => None,
            (None, told) => told,
        };
        task.see(&told);
        *task
    }

    /// What its tasks had of memory when they were looked at last, where that is more than they may have; in bytes.
    pub(crate) fn over_memory(&self) -> Option<(u64, u64)> {
        let limit = self.how.memory_kill?;
        let used = self.held_kb.load(Ordering::Relaxed).saturating_mul(1024);
        (used > limit).then_some((used, limit))
    }

    /// What all its tasks used so far.
    pub(crate) fn measured(&self) -> Measured {
        let seen = self.lock();
        let mut measured = Measured::default();
        let mut energy_mj = self.energy_mj();
        for ((rank, _), task) in self.tasks.iter().zip(seen.iter()) {
            measured.add_task(*rank, &TaskMeasure { energy_mj: energy_mj.take(), ..*task });
        }
        measured
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TaskMeasure>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The peak of the supervisor itself.
fn own_peak_kb() -> u64 {
    // SAFETY: all-zero is a valid value of this plain structure, which is filled in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_maxrss.max(0) as u64
}

#[cfg(test)]
mod tests {
    use muster_model::ids::{JobId, RestartCount, StepId};

    use super::*;
    use crate::measure::EnergySource;

    #[test]
    fn nobody_but_the_sampler_waits_for_a_counter() {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("sys/class/powercap/intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("name"), "package-0\n").unwrap();
        // Who opens it waits for a writer.
        let path = std::ffi::CString::new(zone.join("energy_uj").into_os_string().into_encoded_bytes()).unwrap();
        // SAFETY: the path is NUL-terminated.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        let key = UnitKey { job_id: JobId(1), restart: RestartCount(0), step: StepId::Batch };
        let root = Some(root.path().display().to_string());
        let how = MeasureHow { energy: Some(EnergySource::Rapl), root, ..MeasureHow::default() };
        let meter = Meter::new(key, "m", None, vec![(0, -1)], Some(Duration::ZERO), how);
        assert!(meter.has_energy());
        meter.finish(0, &TaskMeasure::default());
        assert_eq!((meter.energy_mj(), meter.measured().energy_mj), (None, None));
    }

    #[test]
    fn the_end_completes_what_was_seen() {
        let key = UnitKey { job_id: JobId(1), restart: RestartCount(0), step: StepId::Batch };
        let meter = Meter::new(key, "m", None, vec![(0, -1), (1, -1)], Some(Duration::ZERO), MeasureHow::default());
        let look = TaskMeasure { cpu_us: Some(9), rss_kb: Some((80, 80)), ..TaskMeasure::default() };
        meter.see([(0, look), (7, look)]);
        let told = TaskMeasure { cpu_us: Some(5), rss_kb: Some((100, 100)), pages: Some(1), ..TaskMeasure::default() };
        // Less than this process itself has used.
        assert_eq!(meter.finish(0, &told), TaskMeasure { pages: Some(1), ..look });
        let large = TaskMeasure { rss_kb: Some((u64::MAX, u64::MAX)), ..told };
        assert_eq!(meter.finish(0, &large).rss_kb, Some((u64::MAX, 80)));
        assert_eq!(meter.finish(1, &told), told);
        let step = meter.measured();
        assert_eq!(
            (step.tasks, step.cpu_us.map(|cpu| cpu.total), step.rss_kb.map(|rss| rss.total)),
            (2, Some(14), Some(180))
        );
    }
}
