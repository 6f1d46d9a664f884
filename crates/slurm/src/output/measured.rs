//! What was measured of a step, as `sacct` and `sstat` print it: single amounts, and lists over all kinds
//! (`cpu=00:00:01,energy=0,fs/disk=11087,mem=3140K,pages=0,vmem=5512K`). Kinds that were not seen are left out.
//!
//! Energy is a kind of each list, and zero where no sensor of it is read, as in Slurm without such a plugin. It is that of nodes: one
//! task of each has it.

use std::borrow::Cow;

use muster_model::hostlist;
use muster_model::measure::{Measured, Place, Spread};
use muster_model::step::Step;
use muster_model::time::format_days_hours;

/// A kind of amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// CPU time.
    Cpu,
    /// Energy.
    Energy,
    /// Bytes read.
    Read,
    /// Bytes written.
    Written,
    /// Resident memory.
    Rss,
    /// Page faults.
    Pages,
    /// Virtual memory.
    Vm,
    /// Memory of GPUs.
    GpuMemory,
    /// Use of GPUs, percent of one.
    GpuUse,
}

/// Which amount of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The mean over the tasks.
    Mean,
    /// The greatest of a task.
    Max,
    /// The least of a task.
    Min,
    /// The sum over the tasks.
    Total,
}

/// Kinds of the lists `TRESUsageIn…` with their names, in order.
pub(crate) const IN: &[(&str, Kind)] = &[
    ("cpu", Kind::Cpu),
    ("energy", Kind::Energy),
    ("fs/disk", Kind::Read),
    ("mem", Kind::Rss),
    ("pages", Kind::Pages),
    ("vmem", Kind::Vm),
    ("gres/gpumem", Kind::GpuMemory),
    ("gres/gpuutil", Kind::GpuUse),
];

/// Kinds of the lists `TRESUsageOut…`.
pub(crate) const OUT: &[(&str, Kind)] = &[("energy", Kind::Energy), ("fs/disk", Kind::Written)];

/// The figures of one step.
pub(crate) struct Figures<'a> {
    measured: Cow<'a, Measured>,
    nodes: Vec<String>,
    /// How an amount of bytes of memory is printed.
    memory: &'a dyn Fn(u64) -> String,
}

impl<'a> Figures<'a> {
    /// What was measured on the nodes of `node_list`.
    pub(crate) fn new(measured: Cow<'a, Measured>, node_list: &str, memory: &'a dyn Fn(u64) -> String) -> Figures<'a> {
        Figures { measured, nodes: hostlist::expand(node_list).unwrap_or_default(), memory }
    }

    fn spread(&self, kind: Kind) -> Option<Spread> {
        match kind {
            Kind::Cpu => self.measured.cpu_us,
            Kind::Read => self.measured.read_bytes,
            Kind::Written => self.measured.write_bytes,
            Kind::Rss => self.measured.rss_kb,
            Kind::Pages => self.measured.pages,
            Kind::Vm => self.measured.vm_kb,
            Kind::GpuMemory => self.measured.gpu_memory_kb,
            Kind::GpuUse => self.measured.gpu_percent,
            Kind::Energy => self.measured.energy_mj,
        }
    }

    /// The amount, memory in bytes; `None` where the kind was not seen.
    pub(crate) fn amount(&self, kind: Kind, of: Of) -> Option<u64> {
        let Some(spread) = self.spread(kind) else { return (kind == Kind::Energy).then_some(0) };
        let scaled = |amount: u64| match kind {
            Kind::Rss | Kind::Vm | Kind::GpuMemory => amount.saturating_mul(1024),
            // Millijoules are printed as joules.
            Kind::Energy => amount / 1000,
            _ => amount,
        };
        Some(match of {
            Of::Mean => scaled(spread.total) / u64::from(self.measured.tasks.max(1)),
            Of::Max => scaled(spread.max),
            Of::Min => scaled(spread.min),
            Of::Total => scaled(spread.total),
        })
    }

    /// The amount as text; empty where the kind was not seen.
    pub(crate) fn text(&self, kind: Kind, of: Of) -> String {
        self.amount(kind, of).map(|amount| self.print(kind, amount)).unwrap_or_default()
    }

    fn print(&self, kind: Kind, amount: u64) -> String {
        match kind {
            Kind::Cpu => format_days_hours(i64::try_from(amount / 1_000_000).unwrap_or(i64::MAX)),
            Kind::Rss | Kind::Vm | Kind::GpuMemory => (self.memory)(amount),
            Kind::Energy | Kind::GpuUse | Kind::Read | Kind::Written | Kind::Pages => amount.to_string(),
        }
    }

    fn place(&self, kind: Kind, of: Of) -> Option<Place> {
        let spread = self.spread(kind)?;
        Some(if of == Of::Min { spread.min_at } else { spread.max_at })
    }

    /// Name of the node where the greatest or least amount is; energy is that of the first.
    pub(crate) fn node(&self, kind: Kind, of: Of) -> String {
        let place = self.place(kind, of).or((kind == Kind::Energy).then(Place::default));
        place.and_then(|place| self.nodes.get(place.node as usize).cloned()).unwrap_or_default()
    }

    /// Rank of the task whose amount is the greatest or least; no task has energy.
    pub(crate) fn task(&self, kind: Kind, of: Of) -> String {
        let place = if kind == Kind::Energy { None } else { self.place(kind, of) };
        place.map(|place| place.task.to_string()).unwrap_or_default()
    }

    /// All energy, in joules with Slurm's suffix.
    pub(crate) fn energy(&self) -> String {
        energy_text(self.amount(Kind::Energy, Of::Total).unwrap_or(0))
    }

    /// All amounts of `kinds`.
    pub(crate) fn list(&self, kinds: &[(&str, Kind)], of: Of) -> String {
        join(kinds, |kind| self.text(kind, of))
    }

    /// Nodes of all amounts.
    pub(crate) fn node_list(&self, kinds: &[(&str, Kind)], of: Of) -> String {
        join(kinds, |kind| self.node(kind, of))
    }

    /// Ranks of all amounts.
    pub(crate) fn task_list(&self, kinds: &[(&str, Kind)], of: Of) -> String {
        join(kinds, |kind| self.task(kind, of))
    }

    /// As [`Figures::task_list`] by `sstat`, which prints the rank as milliseconds of CPU time.
    pub(crate) fn task_list_of_sstat(&self, kinds: &[(&str, Kind)], of: Of) -> String {
        join(kinds, |kind| match (kind, self.place(kind, of)) {
            (Kind::Cpu, Some(place)) => format_days_hours(i64::from(place.task / 1000)),
            _ => self.task(kind, of),
        })
    }
}

fn join(kinds: &[(&str, Kind)], text: impl Fn(Kind) -> String) -> String {
    let texts = kinds.iter().map(|(name, kind)| (name, text(*kind))).filter(|(_, text)| !text.is_empty());
    texts.map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(",")
}

/// Joules with Slurm's suffix: `700`, `1.50K`.
pub(crate) fn energy_text(joules: u64) -> String {
    let (mut amount, mut suffix) = (joules as f64, "");
    for next in ["K", "M", "G", "T"] {
        if amount < 1000.0 {
            break;
        }
        (amount, suffix) = (amount / 1000.0, next);
    }
    if amount.fract() == 0.0 { format!("{amount}{suffix}") } else { format!("{amount:.2}{suffix}") }
}

/// What was measured of an ended step. Of one that ended before more was kept, what the kernel told of its only task.
pub(crate) fn of_step(step: &Step) -> Option<Cow<'_, Measured>> {
    if let Some(measured) = step.measured.as_deref().filter(|measured| !measured.is_empty()) {
        return Some(Cow::Borrowed(measured));
    }
    if step.tasks != 1 || step.usage.rss_kb_max == 0 {
        return None;
    }
    let only = |amount: u64| {
        let at = Place::default();
        Some(Spread { max: amount, max_at: at, min: amount, min_at: at, total: amount })
    };
    Some(Cow::Owned(Measured {
        tasks: 1,
        cpu_us: only(step.usage.user_cpu_us.saturating_add(step.usage.system_cpu_us)),
        rss_kb: only(step.usage.rss_kb_max),
        ..Measured::default()
    }))
}

#[cfg(test)]
mod tests {
    use muster_model::measure::TaskMeasure;

    use super::super::units;
    use super::*;

    /// The amounts of a step of three tasks on two nodes, as real Slurm 22.05 measured and printed them.
    #[test]
    fn lists_are_those_of_slurm() {
        let task = |rss: u64, cpu_us: u64| TaskMeasure {
            cpu_us: Some(cpu_us),
            rss_kb: Some((rss, rss)),
            vm_kb: Some((25_044, 25_044)),
            pages: Some(0),
            read_bytes: Some(60_024_909),
            write_bytes: Some(40_000_001),
            ..TaskMeasure::default()
        };
        let (mut first, mut second) = (Measured::default(), Measured::default());
        first.add_task(0, &task(22_796, 420_000));
        first.add_task(1, &task(22_824, 380_000));
        second.add_task(2, &task(22_984, 450_000));
        let mut step = Measured::default();
        step.add_node(0, &first);
        step.add_node(1, &second);
        let figures = Figures::new(Cow::Owned(step), "n[1-2]", &units::bytes);
        let check = |text: String, expected: &str| assert_eq!(text, expected);
        let mean = "cpu=00:00:00,energy=0,fs/disk=60024909,mem=22868K,pages=0,vmem=25044K";
        check(figures.list(IN, Of::Mean), mean);
        let total = "cpu=00:00:01,energy=0,fs/disk=180074727,mem=68604K,pages=0,vmem=75132K";
        check(figures.list(IN, Of::Total), total);
        check(figures.node_list(IN, Of::Max), "cpu=n2,energy=n1,fs/disk=n1,mem=n2,pages=n1,vmem=n1");
        check(figures.task_list(IN, Of::Min), "cpu=1,fs/disk=0,mem=0,pages=0,vmem=0");
        check(figures.list(OUT, Of::Total), "energy=0,fs/disk=120000003");
        check(figures.node_list(OUT, Of::Max), "energy=n1,fs/disk=n1");
        check(figures.task_list(OUT, Of::Max), "fs/disk=0");
        assert_eq!(figures.energy(), "0");
        let task = TaskMeasure {
            energy_mj: Some(1_500_900),
            gpu_percent: Some((90, 40)),
            gpu_memory_kb: Some((2048, 1024)),
            ..TaskMeasure::default()
        };
        let mut step = Measured::default();
        step.add_task(0, &task);
        step.add_task(1, &TaskMeasure { energy_mj: None, ..task });
        let figures = Figures::new(Cow::Owned(step), "n1", &units::bytes);
        check(figures.list(IN, Of::Max), "energy=1500,gres/gpumem=2M,gres/gpuutil=90");
        check(figures.list(IN, Of::Total), "energy=1500,gres/gpumem=2M,gres/gpuutil=80");
        check(figures.task_list(IN, Of::Max), "gres/gpumem=0,gres/gpuutil=0");
        check(figures.energy(), "1.50K");
        let nothing = Figures::new(Cow::Owned(Measured::default()), "n1", &units::bytes);
        check(nothing.list(IN, Of::Mean), "energy=0");
        check(nothing.text(Kind::Rss, Of::Max), "");
    }
}
