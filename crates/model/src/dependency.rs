//! What a job waits for: other jobs, in one of several ways.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::JobId;

/// In what way one job waits for another. Meaning as in `sbatch --dependency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyKind {
    /// Until it has started (or was cancelled), plus a delay.
    After,
    /// Until it has ended in any way.
    AfterAny,
    /// Until it has ended with exit code 0.
    AfterOk,
    /// Until it has ended in another way.
    AfterNotOk,
    /// Until the task with the same index has ended with exit code 0.
    AfterCorr,
    /// Until its data has been staged out.
    AfterBurstBuffer,
    /// Until no other job of the same user and name is ahead.
    Singleton,
    /// Until it runs, to give it then what this one has got.
    Expand,
}

impl DependencyKind {
    /// The word used on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            DependencyKind::After => "after",
            DependencyKind::AfterAny => "afterany",
            DependencyKind::AfterOk => "afterok",
            DependencyKind::AfterNotOk => "afternotok",
            DependencyKind::AfterCorr => "aftercorr",
            DependencyKind::AfterBurstBuffer => "afterburstbuffer",
            DependencyKind::Singleton => "singleton",
            DependencyKind::Expand => "expand",
        }
    }
}

/// What is known of one dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyState {
    /// Neither satisfied nor hopeless.
    #[default]
    Unfulfilled,
    /// Can never be satisfied; stays so even if the other job is requeued.
    Failed,
}

/// One dependency on one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// In what way.
    pub kind: DependencyKind,
    /// The other job, or the whole array; `None` for [`DependencyKind::Singleton`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// One task of the array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_index: Option<u32>,
    /// `after:job+minutes`.
    #[serde(default)]
    pub delay_minutes: u32,
    /// Whether the other job was seen to be an array, of which all tasks count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_array: bool,
    /// What is known of it.
    #[serde(default)]
    pub state: DependencyState,
}

/// All dependencies of a job that are not yet satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dependencies {
    /// The single ones.
    pub all: Vec<Dependency>,
    /// `?` between them: one is enough. Otherwise all are needed.
    #[serde(default)]
    pub any_is_enough: bool,
}

impl Dependencies {
    /// The job that is to get what this one gets.
    pub fn expanded(&self) -> Option<&Dependency> {
        self.all.iter().find(|dependency| dependency.kind == DependencyKind::Expand)
    }

    /// Whether nothing is waited for.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Prints as Slurm does: `afterok:12(unfulfilled),afterany:7_*(failed)`.
impl fmt::Display for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.any_is_enough { "?" } else { "," };
        for (position, dependency) in self.all.iter().enumerate() {
            if position > 0 {
                f.write_str(separator)?;
            }
            f.write_str(dependency.kind.as_str())?;
            if let Some(job) = dependency.job {
                write!(f, ":{job}")?;
            }
            match dependency.task_index {
                Some(index) => write!(f, "_{index}")?,
                None if dependency.of_array => f.write_str("_*")?,
                None => {}
            }
            if dependency.delay_minutes > 0 {
                write!(f, "+{}", dependency.delay_minutes)?;
            }
            f.write_str(match dependency.state {
                DependencyState::Unfulfilled => "(unfulfilled)",
                DependencyState::Failed => "(failed)",
            })?;
        }
        Ok(())
    }
}
