//! What tasks use of their nodes: what is measured of each task, and what is kept of a step.
//!
//! Of a step only the greatest and the least amount with their places, and the sum over all tasks, are kept, so that what a step of
//! thousands of tasks leaves behind is as small as that of one. The rules are those seen in Slurm 22.05: the amount of a task
//! is its peak (also where the least over tasks is looked for), and sums and means are of what tasks used last.

use serde::{Deserialize, Serialize};

/// What one task used, with all processes that it started. What was never seen is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskMeasure {
    /// CPU time, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// Resident memory, KiB: peak and last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<(u64, u64)>,
    /// Virtual memory, KiB: peak and last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_kb: Option<(u64, u64)>,
    /// Page faults that needed the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// Bytes read by system calls, wherever from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes written by system calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_bytes: Option<u64>,
    /// Energy that its node used meanwhile, millijoules: told with one task of each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<u64>,
    /// Use of GPUs, percent of one: peak and last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_percent: Option<(u64, u64)>,
    /// Memory of GPUs, KiB: peak and last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_kb: Option<(u64, u64)>,
}

impl TaskMeasure {
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        *self == TaskMeasure::default()
    }

    /// Takes in a later look: what only grows keeps its greatest value, since a look may miss a process that has just gone.
    pub fn see(&mut self, later: &TaskMeasure) {
        let grow = |kept: &mut Option<u64>, seen: Option<u64>| *kept = (*kept).max(seen);
        grow(&mut self.cpu_us, later.cpu_us);
        grow(&mut self.pages, later.pages);
        grow(&mut self.read_bytes, later.read_bytes);
        grow(&mut self.write_bytes, later.write_bytes);
        grow(&mut self.energy_mj, later.energy_mj);
        let follow = |kept: &mut Option<(u64, u64)>, seen: Option<(u64, u64)>| {
            if let Some((peak, last)) = seen {
                *kept = Some((kept.map_or(peak, |(before, _)| before.max(peak)), last));
            }
        };
        follow(&mut self.rss_kb, later.rss_kb);
        follow(&mut self.vm_kb, later.vm_kb);
        follow(&mut self.gpu_percent, later.gpu_percent);
        follow(&mut self.gpu_memory_kb, later.gpu_memory_kb);
    }
}

/// One amount over the tasks of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SpreadRow", into = "SpreadRow")]
pub struct Spread {
    /// The greatest peak of a task.
    pub max: u64,
    /// Whose that is; of several the first.
    pub max_at: Place,
    /// The least peak of a task.
    pub min: u64,
    /// Whose that is; of several the first.
    pub min_at: Place,
    /// Sum of what the tasks used last.
    pub total: u64,
}

/// One task of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Its node: the position among the nodes of the step.
    pub node: u32,
    /// Its global rank.
    pub task: u32,
}

/// A spread as it is stored: shorter than with the names of its parts, for there are several in each row of a step.
type SpreadRow = (u64, u32, u32, u64, u32, u32, u64);

impl From<SpreadRow> for Spread {
    fn from((max, max_node, max_task, min, min_node, min_task, total): SpreadRow) -> Spread {
        let (max_at, min_at) = (Place { node: max_node, task: max_task }, Place { node: min_node, task: min_task });
        Spread { max, max_at, min, min_at, total }
    }
}

impl From<Spread> for SpreadRow {
    fn from(spread: Spread) -> SpreadRow {
        let Spread { max, max_at, min, min_at, total } = spread;
        (max, max_at.node, max_at.task, min, min_at.node, min_at.task, total)
    }
}

impl Spread {
    fn of(peak: u64, last: u64, at: Place) -> Spread {
        Spread { max: peak, max_at: at, min: peak, min_at: at, total: last }
    }

    fn merge(&mut self, other: &Spread) {
        if (other.max, std::cmp::Reverse(other.max_at)) > (self.max, std::cmp::Reverse(self.max_at)) {
            (self.max, self.max_at) = (other.max, other.max_at);
        }
        if (other.min, other.min_at) < (self.min, self.min_at) {
            (self.min, self.min_at) = (other.min, other.min_at);
        }
        self.total = self.total.saturating_add(other.total);
    }
}

/// What the tasks of a step, or of a part of it, used. What was seen of no task is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Tasks of which something was seen.
    pub tasks: u32,
    /// CPU time, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<Spread>,
    /// Resident memory, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<Spread>,
    /// Virtual memory, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_kb: Option<Spread>,
    /// Page faults that needed the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<Spread>,
    /// Bytes read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<Spread>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_bytes: Option<Spread>,
    /// Energy, millijoules: of one task of each node that of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<Spread>,
    /// Use of GPUs, percent of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_percent: Option<Spread>,
    /// Memory of GPUs, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_kb: Option<Spread>,
}

impl Measured {
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.tasks == 0
    }

    /// Adds the task with this rank, on the first node.
    pub fn add_task(&mut self, rank: u32, task: &TaskMeasure) {
        if task.is_empty() {
            return;
        }
        let at = Place { node: 0, task: rank };
        let grown = |amount: Option<u64>| amount.map(|amount| Spread::of(amount, amount, at));
        let peaked = |amount: Option<(u64, u64)>| amount.map(|(peak, last)| Spread::of(peak, last, at));
        self.merge(&Measured {
            tasks: 1,
            cpu_us: grown(task.cpu_us),
            rss_kb: peaked(task.rss_kb),
            vm_kb: peaked(task.vm_kb),
            pages: grown(task.pages),
            read_bytes: grown(task.read_bytes),
            write_bytes: grown(task.write_bytes),
            energy_mj: grown(task.energy_mj),
            gpu_percent: peaked(task.gpu_percent),
            gpu_memory_kb: peaked(task.gpu_memory_kb),
        });
    }

    /// Adds what was measured on one node, which has `position` among the nodes of the step.
    pub fn add_node(&mut self, position: u32, node: &Measured) {
        let placed = |spread: Option<Spread>| {
            spread.map(|spread| Spread {
                max_at: Place { node: position, ..spread.max_at },
                min_at: Place { node: position, ..spread.min_at },
                ..spread
            })
        };
        self.merge(&Measured {
            tasks: node.tasks,
            cpu_us: placed(node.cpu_us),
            rss_kb: placed(node.rss_kb),
            vm_kb: placed(node.vm_kb),
            pages: placed(node.pages),
            read_bytes: placed(node.read_bytes),
            write_bytes: placed(node.write_bytes),
            energy_mj: placed(node.energy_mj),
            gpu_percent: placed(node.gpu_percent),
            gpu_memory_kb: placed(node.gpu_memory_kb),
        });
    }

    fn merge(&mut self, other: &Measured) {
        let merge = |kept: &mut Option<Spread>, other: &Option<Spread>| match (kept.as_mut(), other) {
            (Some(kept), Some(other)) => kept.merge(other),
            (None, other) => *kept = *other,
            (Some(_), None) => {}
        };
        self.tasks = self.tasks.saturating_add(other.tasks);
        merge(&mut self.cpu_us, &other.cpu_us);
        merge(&mut self.rss_kb, &other.rss_kb);
        merge(&mut self.vm_kb, &other.vm_kb);
        merge(&mut self.pages, &other.pages);
        merge(&mut self.read_bytes, &other.read_bytes);
        merge(&mut self.write_bytes, &other.write_bytes);
        merge(&mut self.energy_mj, &other.energy_mj);
        merge(&mut self.gpu_percent, &other.gpu_percent);
        merge(&mut self.gpu_memory_kb, &other.gpu_memory_kb);
    }
}

/// What one unit uses on a node now, as the node tells a client that asks (`sstat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitMeasure {
    /// Which step.
    pub step: crate::ids::StepId,
    /// What its tasks on this node used so far.
    pub measured: Measured,
    /// Its processes, ascending.
    pub pids: Vec<u32>,
    /// Rank and process of each task that has not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<(u32, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(cpu_us: u64, rss: (u64, u64)) -> TaskMeasure {
        TaskMeasure { cpu_us: Some(cpu_us), rss_kb: Some(rss), ..TaskMeasure::default() }
    }

    #[test]
    fn places_of_extremes_are_the_first() {
        let mut first = Measured::default();
        first.add_task(1, &task(7, (100, 50)));
        first.add_task(0, &task(7, (90, 90)));
        first.add_task(5, &TaskMeasure::default());
        let mut second = Measured::default();
        second.add_task(2, &task(9, (100, 10)));
        let check = |step: &Measured| {
            let (cpu, rss) = (step.cpu_us.unwrap(), step.rss_kb.unwrap());
            let at = |node, task| Place { node, task };
            assert_eq!((cpu.max, cpu.max_at, cpu.min, cpu.min_at, cpu.total), (9, at(1, 2), 7, at(0, 0), 23));
            assert_eq!((rss.max, rss.max_at, rss.min, rss.min_at, rss.total), (100, at(0, 1), 90, at(0, 0), 150));
            assert_eq!((step.tasks, step.vm_kb), (3, None));
        };
        let mut step = Measured::default();
        step.add_node(0, &first);
        step.add_node(1, &second);
        check(&step);
        // Whichever node reports first.
        let mut step = Measured::default();
        step.add_node(1, &second);
        step.add_node(0, &first);
        check(&step);
    }

    #[test]
    fn what_grows_never_shrinks_and_peaks_stay() {
        let mut seen = task(10, (100, 100));
        seen.see(&task(8, (60, 60)));
        seen.see(&TaskMeasure { vm_kb: Some((5, 5)), ..TaskMeasure::default() });
        assert_eq!(seen, TaskMeasure { vm_kb: Some((5, 5)), ..task(10, (100, 60)) });
    }

    #[test]
    fn rows_are_short_and_grow_by_fields() {
        let mut step = Measured::default();
        step.add_task(3, &task(1, (2, 2)));
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(text, r#"{"tasks":1,"cpu_us":[1,0,3,1,0,3,1],"rss_kb":[2,0,3,2,0,3,2]}"#);
        assert_eq!(serde_json::from_str::<Measured>(&text).unwrap(), step);
        assert!(serde_json::from_str::<Measured>("{}").unwrap().is_empty());
    }
}
