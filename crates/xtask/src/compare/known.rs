//! Differences between real Slurm and Muster that are wanted or cannot be helped, each with its reason.

use std::fmt;

/// One difference at one checkpoint; 0 is the submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) checkpoint: usize,
    /// `submit`, `start`, `nodes` or `reason`.
    pub(super) class: &'static str,
    /// Whether it comes after a start or place that differs, and may be a consequence of it.
    pub(super) follows: bool,
    pub(super) job: String,
    /// How the job was submitted.
    pub(super) options: String,
    pub(super) theirs: String,
    pub(super) ours: String,
    /// The job before it for which Slurm keeps the nodes on which it runs in Muster.
    pub(super) kept_in_slurm: Option<String>,
    /// The job before it whose start is planned there in Slurm within the minute in which it would end in Muster.
    pub(super) kept_from_the_minute: Option<String>,
    /// It waited for the start of another job (`after:`), which has come at this checkpoint on both sides.
    pub(super) is_woken: bool,
    /// The job before it for which Muster keeps the nodes on which it runs in Slurm.
    pub(super) kept_in_muster: Option<String>,
}

impl Difference {
    /// Whether both sides did the same and only say different things.
    pub(super) fn is_reason(&self) -> bool {
        self.class == "reason"
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { checkpoint, job, options, theirs, ours, .. } = self;
        write!(f, "at {checkpoint} {job} ({options}): Slurm {theirs:?}, Muster {ours:?}")?;
        let kept = [
            ("Slurm keeps the place for", &self.kept_in_slurm),
            ("Slurm keeps the place from the minute on in which it is to start for", &self.kept_from_the_minute),
            ("Muster keeps the place for", &self.kept_in_muster),
        ];
        for (keeps, other) in kept.iter().filter_map(|(keeps, other)| Some((keeps, (*other).as_ref()?))) {
            write!(f, "; {keeps} {other}")?;
        }
        Ok(())
    }
}

/// A kind of difference that is known.
struct Known {
    is: fn(&Difference) -> bool,
    why: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        is: |difference| difference.is_reason() && difference.theirs == "Priority" && difference.ours == "Licenses",
        why: "Slurm does not look at licences of a job behind a blocked one; that it would have to wait for them even as the first tells its user more",
    },
    Known {
        is: |difference| difference.is_reason() && difference.theirs.starts_with("ReqNodeNotAvail"),
        why: "Slurm goes on saying that nodes are drained, as they are between checkpoints, until it looks at the job again",
    },
    Known {
        is: |difference| {
            difference.is_reason()
                && difference.theirs == "Dependency"
                && difference.ours == "DependencyNeverSatisfied"
                && difference.options.contains("afterok:")
        },
        why: "afterok of an array can never be satisfied once one task has failed; Slurm only says so when all tasks have ended",
    },
    Known {
        is: |difference| {
            difference.is_reason()
                && difference.theirs == "JobArrayTaskLimit"
                && (difference.ours == "Priority" || difference.ours == "Resources")
                && difference.options.contains('%')
        },
        why: "Slurm goes on saying that too many tasks of an array run when none runs any more, until one of them starts",
    },
    Known {
        is: |difference| {
            difference.is_reason()
                && difference.theirs == "Priority"
                && is_of_the_first(&difference.ours)
                && difference.options.contains("-p batch,high")
        },
        why: "Slurm tells what it found in the last partition of a job, Muster what it found in the one with the highest tier, where nobody is before it",
    },
    Known {
        is: |difference| !difference.is_reason() && difference.kept_in_slurm.is_some(),
        // Tried by itself with 22.05: on one node of 4 CPUs, of which 3 are in use for ten minutes, a job of 2 CPUs waits and is
        // planned for then. A job of 1 CPU for half an hour behind it, which would leave it the 2 CPUs, is planned for after its
        // end; the same for five minutes starts at once.
        why: "Slurm keeps whole nodes for a planned start, Muster what the job will take: the rest of the node is open to jobs behind it",
    },
    Known {
        is: |difference| !difference.is_reason() && difference.kept_from_the_minute.is_some(),
        // Its log has planned starts and ends of whole minutes behind the first of a node, also where limits and starts are
        // not: a job that starts at 09:36:39 for 45 minutes is followed by one at 10:21:00.
        why: "Slurm keeps nodes from the full minute before a planned start (bf_resolution); Muster counts seconds, so what ends within that minute starts",
    },
    Known {
        is: |difference| difference.class == "start" && difference.is_woken,
        // Its log shows the main scheduler starting the first jobs of a queue, then, since one of them had waited for, the other
        // in the next round, and only then those that are backfilled.
        why: "a start of the same moment lets this job into the queue; Slurm looks at it before it backfills others, Muster decides on all that were in the queue at once and looks at this one with what is left",
    },
    Known {
        is: |difference| !difference.is_reason() && difference.kept_in_muster.is_some(),
        why: "the place is kept for a job before it, to which Muster gives a planned start there; Slurm has planned it elsewhere or later",
    },
];

/// What the first job is told that lacks nodes in a partition: in short, or in the words for nodes that are kept for others.
fn is_of_the_first(reason: &str) -> bool {
    reason == "Resources" || reason.starts_with("Nodes required for job are DOWN, DRAINED or reserved")
}

/// Why a difference is right; `None` where it is ours to fix.
pub(super) fn why(difference: &Difference) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.is)(difference)).map(|known| known.why)
}
