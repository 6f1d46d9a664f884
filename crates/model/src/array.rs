//! Job arrays: which task indices an array has, kept as runs so that a million tasks cost a few bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What `--array` asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArraySpec {
    /// All indices of the array.
    pub tasks: TaskSet,
    /// At most this many tasks at once (`%N`); `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u32>,
}

/// A set of task indices as ascending runs with a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskSet {
    runs: Vec<Run>,
}

/// `first, first + step, …, last`; `last` is always reached exactly. A single index has step 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    first: u32,
    last: u32,
    step: u32,
}

impl Run {
    fn new(first: u32, last: u32, step: u32) -> Run {
        let last = last - (last - first) % step;
        Run { first, last, step: if first == last { 1 } else { step } }
    }

    fn len(&self) -> u32 {
        (self.last - self.first) / self.step + 1
    }

    fn contains(&self, index: u32) -> bool {
        index >= self.first && index <= self.last && (index - self.first).is_multiple_of(self.step)
    }
}

impl TaskSet {
    /// Reads `0-9`, `1,3,5-7`, `0-15:4`, with or without surrounding brackets. `None` when malformed,
    /// reversed, with step 0, or when an index is above `index_max`.
    pub fn parse(text: &str, index_max: u32) -> Option<TaskSet> {
        let inner = match text.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None => text,
        };
        let number = |part: &str| -> Option<u32> {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            part.parse().ok().filter(|value| *value <= index_max)
        };
        let mut runs = Vec::new();
        for part in inner.split(',') {
            let (range, step) = match part.split_once(':') {
                Some((range, step)) => (range, number(step).filter(|step| *step > 0)?),
                None => (part, 1),
            };
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None if part.contains(':') => return None,
                None => (number(range)?, number(range)?),
            };
            if first > last {
                return None;
            }
            runs.push(Run::new(first, last, step));
        }
        Some(TaskSet::from_runs(runs))
    }

    /// The set of the given indices, in any order; duplicates count once.
    pub fn from_indices(indices: impl IntoIterator<Item = u32>) -> TaskSet {
        TaskSet::from_runs(indices.into_iter().map(|index| Run::new(index, index, 1)).collect())
    }

    fn from_runs(mut runs: Vec<Run>) -> TaskSet {
        runs.sort_by_key(|run| run.first);
        let overlapping = runs.windows(2).any(|pair| pair[1].first <= pair[0].last);
        if overlapping {
            let mut indices: Vec<u32> =
                runs.iter().flat_map(|run| (run.first..=run.last).step_by(run.step as usize)).collect();
            indices.sort_unstable();
            indices.dedup();
            runs = indices.into_iter().map(|index| Run::new(index, index, 1)).collect();
        }
        let mut merged: Vec<Run> = Vec::with_capacity(runs.len());
        for run in runs {
            match merged.last_mut() {
                Some(previous)
                    if previous.step == 1 && run.step == 1 && previous.last.checked_add(1) == Some(run.first) =>
                {
                    previous.last = run.last;
                }
                _ => merged.push(run),
            }
        }
        TaskSet { runs: merged }
    }

    /// Number of indices in the set.
    pub fn len(&self) -> u32 {
        self.runs.iter().map(Run::len).sum()
    }

    /// Whether the set has no index.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: u32) -> bool {
        self.runs.iter().any(|run| run.contains(index))
    }

    /// The lowest index.
    pub fn first(&self) -> Option<u32> {
        self.runs.first().map(|run| run.first)
    }

    /// The highest index.
    pub fn last(&self) -> Option<u32> {
        self.runs.iter().map(|run| run.last).max()
    }

    /// The step between indices where the set is one run, else 1 (`SLURM_ARRAY_TASK_STEP`).
    pub fn step(&self) -> u32 {
        match self.runs.as_slice() {
            [run] => run.step,
            _ => 1,
        }
    }

    /// All indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|run| (run.first..=run.last).step_by(run.step as usize))
    }

    /// Takes `index` out; `false` when it was not in the set.
    pub fn remove(&mut self, index: u32) -> bool {
        let Some(position) = self.runs.iter().position(|run| run.contains(index)) else {
            return false;
        };
        let Run { first, last, step } = self.runs[position];
        let mut parts = Vec::with_capacity(2);
        if index > first {
            parts.push(Run::new(first, index - step, step));
        }
        if index < last {
            parts.push(Run::new(index + step, last, step));
        }
        self.runs.splice(position..=position, parts);
        true
    }

    /// Puts `index` in; `false` when it was there already.
    pub fn insert(&mut self, index: u32) -> bool {
        if self.contains(index) {
            return false;
        }
        let mut runs = std::mem::take(&mut self.runs);
        runs.push(Run::new(index, index, 1));
        *self = TaskSet::from_runs(runs);
        true
    }
}

/// Prints as Slurm does: `0-9`, `1,3,5-7`, `0-15:4`. A step is told only where it is that of the whole set.
/// Sets that reach less far are printed index by index.
const STEP_SPAN_MIN: u32 = 10;

impl fmt::Display for TaskSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, run) in self.runs.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match run {
                Run { first, last, .. } if first == last => write!(f, "{first}")?,
                Run { first, last, step: 1 } => write!(f, "{first}-{last}")?,
                // Slurm writes short ones out.
                Run { first, last, step } if self.runs.len() == 1 && last - first > STEP_SPAN_MIN => {
                    write!(f, "{first}-{last}:{step}")?;
                }
                Run { first, last, step } => {
                    let each: Vec<String> =
                        (*first..=*last).step_by(*step as usize).map(|index| index.to_string()).collect();
                    f.write_str(&each.join(","))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let check = |text: &str, printed: &str, count: u32| {
            let set = TaskSet::parse(text, 1_000_000).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((set.to_string().as_str(), set.len()), (printed, count), "{text}");
        };
        check("0-3", "0-3", 4);
        check("[0-4]", "0-4", 5);
        check("3,5", "3,5", 2);
        check("0-15:4", "0-12:4", 4);
        check("1-5:2", "1,3,5", 3);
        check("0-10:5", "0,5,10", 3);
        check("0-11:11", "0-11:11", 2);
        check("5,1-3,4", "1-5", 5);
        check("1,1,1", "1", 1);
        for bad in ["", "a", "3-1", "1-5:0", "1:2", "-1", "1-", "0-2000000", "[1", "1,,2"] {
            assert_eq!(TaskSet::parse(bad, 1_000_000), None, "{bad:?}");
        }
    }

    #[test]
    fn a_million_tasks_are_one_run() {
        let mut set = TaskSet::parse("0-999999", 4_000_000).unwrap();
        for index in 0..1000 {
            assert!(set.remove(index));
        }
        assert!(!set.remove(5));
        assert_eq!((set.runs.len(), set.first(), set.len()), (1, Some(1000), 999_000));
    }

    #[test]
    fn removing_within_a_stepped_run_keeps_the_rest() {
        let mut set = TaskSet::parse("0-20:5", 100).unwrap();
        assert!(set.remove(10) && !set.remove(11));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 15, 20]);
        assert!(set.insert(10));
        assert_eq!(set.len(), 5);
    }
}
