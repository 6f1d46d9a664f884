//! Differences between real Slurm and Muster that are wanted or cannot be helped, each with its reason.

use std::fmt;

/// One difference at one checkpoint; 0 is the submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) checkpoint: usize,
    /// `submit`, `start`, `nodes` or `reason`.
    pub(super) class: &'static str,
    pub(super) job: String,
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: Slurm {:?}, Muster {:?}", self.checkpoint, self.job, self.theirs, self.ours)
    }
}

/// A kind of difference that is known.
struct Known {
    is: fn(&Difference) -> bool,
    why: &'static str,
}

const KNOWN: &[Known] = &[];

/// Why a difference is right; `None` where it is ours to fix.
pub(super) fn why(difference: &Difference) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.is)(difference)).map(|known| known.why)
}
