//! The states of jobs as shown: base states, and flags that are shown in their place.

use muster_model::job::Job;
use muster_model::state::JobState;

/// What a job's state is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Its base state.
    Base(JobState),
    /// Ended, and being cleaned.
    Completing,
    /// Started, and waiting for what the site runs before it.
    Configuring,
    /// Put back into the queue and held to be looked into.
    SpecialExit,
    /// Held since the reservation that it asked for is gone.
    ReservationGone,
    /// A flag of Slurm that no job here ever carries; asking for it finds nothing.
    Never(&'static str, &'static str),
}

/// Flags with their long and short words, in the order in which Slurm lists them after the base states.
const FLAGS: &[(&str, &str)] = &[
    ("COMPLETING", "CG"),
    ("CONFIGURING", "CF"),
    ("RESIZING", "RS"),
    ("RESV_DEL_HOLD", "RD"),
    ("REQUEUED", "RQ"),
    ("REQUEUE_FED", "RF"),
    ("REQUEUE_HOLD", "RH"),
    ("REVOKED", "RV"),
    ("SIGNALING", "SI"),
    ("SPECIAL_EXIT", "SE"),
    ("STAGE_OUT", "SO"),
    ("STOPPED", "ST"),
];

/// What `job` is shown as.
pub fn of(job: &Job) -> Shown {
    if job.completing {
        Shown::Completing
    } else if job.configuring {
        Shown::Configuring
    } else if job.special_exit && job.state == JobState::Pending {
        Shown::SpecialExit
    } else if job.reservation_gone.is_some() && job.state == JobState::Pending {
        Shown::ReservationGone
    } else {
        Shown::Base(job.state)
    }
}

impl Shown {
    /// The long word.
    pub const fn long(self) -> &'static str {
        match self {
            Shown::Base(state) => state.as_str(),
            Shown::Completing => "COMPLETING",
            Shown::Configuring => "CONFIGURING",
            Shown::SpecialExit => "SPECIAL_EXIT",
            Shown::ReservationGone => "RESV_DEL_HOLD",
            Shown::Never(long, _) => long,
        }
    }

    /// The short word.
    pub const fn compact(self) -> &'static str {
        match self {
            Shown::Base(state) => state.compact(),
            Shown::Completing => "CG",
            Shown::Configuring => "CF",
            Shown::SpecialExit => "SE",
            Shown::ReservationGone => "RD",
            Shown::Never(_, compact) => compact,
        }
    }

    /// Reads a long or short word in any case.
    pub fn parse(word: &str) -> Option<Shown> {
        let base = JobState::ALL
            .iter()
            .find(|state| word.eq_ignore_ascii_case(state.as_str()) || word.eq_ignore_ascii_case(state.compact()));
        if let Some(state) = base {
            return Some(Shown::Base(*state));
        }
        let (long, compact) = *FLAGS
            .iter()
            .find(|(long, compact)| word.eq_ignore_ascii_case(long) || word.eq_ignore_ascii_case(compact))?;
        Some(match long {
            "COMPLETING" => Shown::Completing,
            "CONFIGURING" => Shown::Configuring,
            "SPECIAL_EXIT" => Shown::SpecialExit,
            "RESV_DEL_HOLD" => Shown::ReservationGone,
            _ => Shown::Never(long, compact),
        })
    }
}

/// All long words, comma separated, as complaints list them.
pub fn all_words() -> String {
    // What is a state of its own here may be a flag there.
    let base =
        JobState::ALL.iter().map(|state| state.as_str()).filter(|word| FLAGS.iter().all(|(flag, _)| flag != word));
    base.chain(FLAGS.iter().map(|(long, _)| *long)).collect::<Vec<_>>().join(",")
}
