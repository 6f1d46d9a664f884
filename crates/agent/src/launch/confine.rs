//! What control groups hold a unit to, where the site has `TaskPlugin=task/cgroup` or `ProctrackType=proctrack/cgroup`.
//!
//! Without a `TaskPlugin` nothing is insisted on: memory and CPUs are held to where that can be done. With plugins that
//! are not `task/cgroup`, they are not, as in Slurm.

use std::collections::BTreeSet;

use muster_model::resources::{GresShare, Megabytes, NodeShare};
use muster_runtime::confinement::{Confinement, MemoryBounds};
use muster_runtime::measure::{EnergySource, MeasureHow, MemoryCount};
use muster_runtime::unit::LaunchUnit;
use muster_slurm::conf::{self, CgroupSettings, EnergySensor, GresFile, MeasureSettings, TaskSettings};
use muster_slurm::environment::GpuFacts;

use crate::options::AgentOptions;

/// What the site wants enforced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    task: TaskSettings,
    cgroup: CgroupSettings,
    /// Device files of the generic resources of this node.
    devices: Vec<GresFile>,
    gpus: GpuFacts,
    /// Memory of this node.
    memory: Megabytes,
    measure: MeasureSettings,
    /// A directory that stands for the machine.
    root: Option<String>,
}

impl Rules {
    /// From what the agent was told.
    pub(crate) fn new(options: &AgentOptions) -> Rules {
        Rules {
            task: options.task.clone(),
            cgroup: options.cgroup.clone(),
            devices: options.gres.files(),
            gpus: options.gpu_facts(),
            memory: options.memory,
            measure: options.measure,
            root: options.machine_root(),
        }
    }

    /// Adds to `unit` what it is held to. `share` is what its job holds here, `memory` and `gres` what it holds of that.
    pub(super) fn apply(&self, unit: &mut LaunchUnit, share: &NodeShare, memory: Megabytes, gres: &[GresShare]) {
        unit.measure_how = self.measure_how(memory, gres).map(Box::new);
        if !self.task.given && !self.task.tracked {
            unit.memory_limit = limit(memory);
            return;
        }
        let mut confinement = Confinement { tracked: self.task.tracked, ..Confinement::default() };
        if self.task.cgroup {
            let bounds = |memory| self.cgroup.memory(memory, self.memory).map(bounds);
            confinement.cpus = self.cgroup.cores;
            confinement.memory = bounds(memory);
            confinement.job_memory = bounds(share.memory);
            if self.cgroup.devices {
                (confinement.devices_allowed, confinement.devices_denied) = self.devices_of(gres);
            }
        }
        confinement.limits_as_possible = !self.task.given;
        // Also for a supervisor that knows only this.
        unit.memory_limit = match self.task.given {
            true => confinement.memory.map(|memory| memory.hard),
            false => limit(memory),
        };
        unit.confinement = Some(Box::new(confinement));
    }

    /// How it is measured, where that is not as usual.
    fn measure_how(&self, memory: Megabytes, gres: &[GresShare]) -> Option<MeasureHow> {
        if !self.measure.is_on {
            return None;
        }
        let how = MeasureHow {
            memory: match self.measure.memory {
                conf::MemoryCount::Resident => MemoryCount::Resident,
                conf::MemoryCount::Unshared => MemoryCount::Unshared,
                conf::MemoryCount::Proportional => MemoryCount::Proportional,
            },
            memory_kill: limit(memory).filter(|_| self.measure.over_memory_kill),
            energy: self.measure.energy.map(energy_source),
            gpus: self.measure.gpus && !self.gpus.gpus_of(gres).is_empty(),
            ..MeasureHow::default()
        };
        if how == MeasureHow::default() {
            return None;
        }
        let gpu_files = match how.energy {
            Some(EnergySource::Gpu) => self.devices_of(gres).0,
            _ => Vec::new(),
        };
        // Who has no GPU uses none of their energy.
        let energy = how.energy.filter(|source| *source == EnergySource::Rapl || !gpu_files.is_empty());
        Some(MeasureHow { gpu_files, energy, root: self.root.clone(), ..how })
    }

    /// Files that belong to `gres`, and those that do not.
    fn devices_of(&self, gres: &[GresShare]) -> (Vec<String>, Vec<String>) {
        let mut held: BTreeSet<(&str, u32)> =
            gres.iter().flat_map(|share| share.units.iter().map(|unit| (&*share.name, unit))).collect();
        // Who has a part of a GPU opens that GPU.
        held.extend(self.gpus.gpus_of(gres).iter().map(|gpu| ("gpu", gpu)));
        let (own, others): (Vec<&GresFile>, Vec<&GresFile>) =
            self.devices.iter().partition(|file| held.contains(&(&*file.name, file.unit)));
        let paths = |files: Vec<&GresFile>| files.into_iter().map(|file| file.path.clone()).collect();
        (paths(own), paths(others))
    }
}

/// The sensor in the words of who reads it.
pub(crate) fn energy_source(sensor: EnergySensor) -> EnergySource {
    match sensor {
        EnergySensor::Rapl => EnergySource::Rapl,
        EnergySensor::Gpu => EnergySource::Gpu,
    }
}

fn bounds(bounds: muster_slurm::conf::MemoryBounds) -> MemoryBounds {
    let muster_slurm::conf::MemoryBounds { hard, soft, with_swap, swappiness } = bounds;
    MemoryBounds { hard, soft, with_swap, swappiness }
}

/// Memory limit in bytes; `None` for what holds none.
fn limit(memory: Megabytes) -> Option<u64> {
    (memory.0 > 0).then(|| memory.0.saturating_mul(1 << 20))
}

#[cfg(test)]
mod tests {
    use muster_model::resources::IndexSet;

    use super::*;

    /// What a unit that holds 50 of its job's 100 megabytes and one of two GPUs is held to.
    fn check(task: TaskSettings, cgroup: CgroupSettings, expected: &str) {
        let file = |unit: u32| GresFile { name: "gpu".into(), unit, path: format!("/dev/g{unit}") };
        let rules = Rules {
            task,
            cgroup,
            devices: vec![file(0), file(1)],
            gpus: GpuFacts::UNKNOWN,
            memory: Megabytes(1000),
            ..Rules::default()
        };
        let share: NodeShare =
            serde_json::from_value(serde_json::json!({"node": 0, "cpus": [1], "memory": 100, "tasks": 1}))
                .expect("a share");
        let mut units = IndexSet::default();
        units.insert(1);
        let gres = [GresShare { name: "gpu".into(), kind: None, units }];
        let unit = serde_json::json!({
            "key": {"j": 1, "s": "batch"}, "user": {"uid": 0, "gid": 0}, "work_dir": "/", "umask": 0, "tasks": [],
        });
        let mut unit: LaunchUnit = serde_json::from_value(unit).expect("a unit");
        rules.apply(&mut unit, &share, Megabytes(50), &gres);
        let megabytes = |bounds: &Option<MemoryBounds>| bounds.map_or(0, |bounds| bounds.hard >> 20);
        let shown = match &unit.confinement {
            None => format!("as possible {:?}", unit.memory_limit.map(|limit| limit >> 20)),
            Some(held) => format!(
                "tracked {} as possible {} cpus {} memory {} of {} devices {:?} not {:?}",
                held.tracked,
                held.limits_as_possible,
                held.cpus,
                megabytes(&held.memory),
                megabytes(&held.job_memory),
                held.devices_allowed,
                held.devices_denied
            ),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_site_says_what_is_enforced() {
        let plugins = |given, cgroup, tracked| TaskSettings { given, cgroup, tracked, ..TaskSettings::default() };
        let mut all = CgroupSettings::default();
        (all.ram, all.cores, all.devices) = (true, true, true);
        let nothing = "cpus false memory 0 of 0 devices [] not []";
        check(plugins(false, false, false), all.clone(), "as possible Some(50)");
        check(plugins(false, false, true), all.clone(), &format!("tracked true as possible true {nothing}"));
        // As in Slurm: other plugins than task/cgroup hold nobody to anything.
        check(plugins(true, false, false), all.clone(), &format!("tracked false as possible false {nothing}"));
        check(
            plugins(true, true, true),
            all,
            "tracked true as possible false cpus true memory 50 of 100 devices [\"/dev/g1\"] not [\"/dev/g0\"]",
        );
        check(
            plugins(true, true, false),
            CgroupSettings::default(),
            &format!("tracked false as possible false {nothing}"),
        );
    }
}
