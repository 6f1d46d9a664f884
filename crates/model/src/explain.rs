//! Why a job waits, what would let it start, and when it starts otherwise.
//!
//! Everything here is told with its numbers, and comes from the planner itself: no second opinion about the queue.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounting::Violation;
use crate::ids::{JobId, Name};
use crate::priority::PriorityLedger;
use crate::state::Reason;
use crate::time::{Span, TimeLimit, Timestamp};

/// Most reasons for which nodes are out of service that are written out: more would hide the rest.
const MISSING_SHOWN: usize = 5;

/// All that is to be said about one waiting job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The job.
    pub job_id: JobId,
    /// When this was true.
    pub time: Timestamp,
    /// The reason that Slurm's commands show; but never that others are before it where the nodes in service could not hold it
    /// anyway.
    pub reason: Reason,
    /// Each thing that keeps it from starting now.
    pub causes: Vec<Cause>,
    /// When it is to start, if that can be said. One that is after [`Explanation::latest_start`] is only when its turn would come.
    pub expected_start: Option<Timestamp>,
    /// By when it has to start to end by its deadline; it is given up then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_start: Option<Timestamp>,
    /// Where, if resources are kept for it.
    pub expected_nodes: Option<Name>,
    /// The time is a forecast over the whole queue.
    pub is_forecast: bool,
    /// How many jobs are looked at before it and wait too.
    pub ahead_count: u32,
    /// The first of them.
    pub ahead: Vec<Ahead>,
    /// If exactly these were gone, it would start in the next pass, and with any one of them still there it would not.
    /// Empty where nothing of that kind stands in its way, or more than is worth listing.
    pub blockers: Vec<Blocker>,
    /// When it would start if it asked for something else.
    pub alternatives: Vec<Alternative>,
    /// What its priority is made of, for each partition it asks for.
    #[serde(default)]
    pub priorities: Vec<PriorityLedger>,
}

impl Explanation {
    /// Whether its turn comes only when it is given up already for the sake of its deadline.
    pub fn is_too_late(&self) -> bool {
        self.latest_start.is_some_and(|latest| self.expected_start.is_some_and(|start| start > latest))
    }
}

/// A job that comes before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    /// The job.
    pub job_id: JobId,
    /// Its user.
    pub user: Name,
    /// Its priority.
    pub priority: u32,
    /// What that is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<PriorityLedger>,
    /// When it is to start.
    pub expected_start: Option<Timestamp>,
}

/// A job that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocker {
    /// It runs.
    Running(JobId),
    /// It waits, and comes before it.
    Waiting(JobId),
}

/// What a job could ask for instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// What would be different.
    pub change: Change,
    /// When it would start then.
    pub start: Timestamp,
    /// The time is an estimate beside what is expected of others; otherwise the queue has been played on until then.
    #[serde(default)]
    pub is_forecast: bool,
}

/// One difference in what a job asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// `--time`.
    TimeLimit(TimeLimit),
    /// `--partition`.
    Partition(Name),
    /// Without `--constraint`.
    NoConstraint,
    /// Without `--nodelist`.
    AnyNode,
    /// Without `--exclude`.
    NoExclusion,
    /// Without `--exclusive`.
    Shared,
    /// Without `--contiguous`.
    Scattered,
    /// `--nodes`: as many as this instead of more.
    Nodes(u32),
    /// Half of the memory.
    HalfMemory,
}

/// Prints the option that would be given.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::TimeLimit(limit) => write!(f, "with --time={limit}"),
            Change::Partition(name) => write!(f, "in partition {name}"),
            Change::NoConstraint => f.write_str("without --constraint"),
            Change::AnyNode => f.write_str("without --nodelist"),
            Change::NoExclusion => f.write_str("without --exclude"),
            Change::Shared => f.write_str("without --exclusive"),
            Change::Scattered => f.write_str("without --contiguous"),
            Change::Nodes(count) => write!(f, "with --nodes={count}"),
            Change::HalfMemory => f.write_str("with half of the memory"),
        }
    }
}

/// One thing that keeps a job from starting now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody holds it back.
    Held {
        /// An operator, whose hold only an operator releases.
        by_operator: bool,
    },
    /// Its begin time has not come.
    BeginTime(Timestamp),
    /// Jobs it depends on, as Slurm prints them.
    Dependency {
        /// The list.
        list: String,
        /// Whether it can still be satisfied.
        hopeless: bool,
    },
    /// Running jobs have been told to make room for it.
    MakingRoom {
        /// Which.
        jobs: Vec<JobId>,
    },
    /// Its array may not run more tasks at once.
    ArrayThrottle,
    /// Its partition starts no jobs, or none like it.
    Partition {
        /// Which.
        partition: Name,
        /// The reason that Slurm has for it.
        reason: Reason,
        /// What it allows and what is asked, where that is a matter of numbers.
        #[serde(default)]
        detail: String,
    },
    /// No set of nodes can ever satisfy it.
    Never {
        /// In which partition.
        partition: Name,
        /// What is wrong, as its submit would be told.
        message: String,
    },
    /// Licences are in use, reserved, or kept for others.
    Licence {
        /// Which.
        name: Name,
        /// How many it asks for.
        wanted: u64,
        /// How many are left to it beside those in use, reserved, and kept for jobs before it.
        free: u64,
        /// How many there are.
        total: u64,
    },
    /// A limit of an account, user or QOS.
    Limit {
        /// In which partition it asks to run.
        partition: Name,
        /// The limit, with its numbers.
        violation: Violation,
        /// When there is room under it, if that follows from the ends of those who run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<Room>,
        /// When enough of what counts against it is forgotten, where that is use in the past.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forgotten: Option<Forgotten>,
    },
    /// Another rule, with what it says.
    Rule {
        /// The reason that Slurm has for it.
        reason: Reason,
        /// The words.
        detail: String,
    },
    /// Too few nodes can take it.
    Nodes(Census),
}

/// When there is room under a limit, if all who run take all of their time and nobody before the job takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// How long until then.
    pub wait: Span,
    /// The running job whose end makes enough of it.
    pub job_id: JobId,
}

/// When past use under a limit on minutes is forgotten so far that the job may start, if no more is used until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgotten {
    /// Bit by bit.
    Decay {
        /// How long until then.
        wait: Span,
        /// After so long half of it is forgotten (`PriorityDecayHalfLife`).
        half_life: Span,
    },
    /// All at once, when the next period begins (`PriorityUsageResetPeriod`).
    Reset {
        /// How long until then.
        wait: Span,
    },
    /// Nobody knows: it is kept until an operator forgets it (`sacctmgr modify … set RawUsage=0`).
    Never,
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forgotten::Decay { wait, half_life } => {
                let half_life = half_life.minutes_rounded_up();
                write!(
                    f,
                    "enough of it is forgotten {}, if no more is used (half in {half_life} min, PriorityDecayHalfLife)",
                    distance(*wait)
                )
            }
            Forgotten::Reset { wait } => {
                write!(f, "all of it is forgotten {} (PriorityUsageResetPeriod)", distance(*wait))
            }
            Forgotten::Never => f.write_str(
                "no end is known, as use is never forgotten here (PriorityDecayHalfLife, PriorityUsageResetPeriod)",
            ),
        }
    }
}

/// The nodes of a partition, counted by what keeps each from taking part in a job now. Each is counted once, under the
/// first that applies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Census {
    /// The partition.
    pub partition: String,
    /// Nodes of it.
    pub nodes: u32,
    /// How many it needs at the least.
    pub needed: u32,
    /// Down, drained or silent.
    pub out_of_service: u32,
    /// Those of them that could take part if they were in service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Excluded by name or constraint.
    pub not_matching: u32,
    /// Do not have what it wants on one node even when idle; with what they lack.
    pub too_small: Vec<Shortage>,
    /// Have it, and others use it; with what is in use.
    pub in_use: Vec<Shortage>,
    /// Have it free, reserved while the job would run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<Reserved>,
    /// Have it free, kept for planned starts of jobs before it.
    pub kept: u32,
    /// Could take part of it now.
    pub able: u32,
}

/// Nodes that are out of service for one reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// A list of their names.
    pub nodes: String,
    /// What keeps them out: `down`, `drained`, `not responding`.
    pub state: String,
    /// The reason that was given, or empty.
    pub reason: String,
}

/// Nodes that one reservation keeps from the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Which reservation.
    pub reservation: Name,
    /// How long until it begins; nothing for one that has begun.
    pub wait: Span,
    /// How many nodes.
    pub nodes: u32,
}

/// Nodes that lack one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// What: `cpu`, `mem`, `gres/gpu:h100`.
    pub resource: String,
    /// How many nodes.
    pub nodes: u32,
}

/// Prints the cause as a sentence without a full stop.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Held { by_operator: false } => f.write_str("held by its user (release it with scontrol release)"),
            Cause::Held { by_operator: true } => f.write_str("held by an operator, who has to release it"),
            Cause::BeginTime(_) => f.write_str("its begin time has not come"),
            Cause::Dependency { list, hopeless: false } => write!(f, "waits for other jobs: {list}"),
            Cause::Dependency { list, hopeless: true } => {
                write!(f, "depends on what cannot come about any more: {list}")
            }
            Cause::MakingRoom { jobs } => {
                let jobs: Vec<String> = jobs.iter().map(JobId::to_string).collect();
                write!(f, "{} has been told to make room for it", jobs.join(", "))
            }
            Cause::ArrayThrottle => f.write_str("as many tasks of its array run as its throttle allows"),
            Cause::Partition { partition, reason, detail } if detail.is_empty() => {
                write!(f, "partition {partition}: {reason}")
            }
            Cause::Partition { partition, detail, .. } => write!(f, "partition {partition} {detail}"),
            Cause::Never { partition, message } => write!(f, "can never run in partition {partition}: {message}"),
            Cause::Licence { name, wanted, free, total } => {
                write!(f, "asks for {wanted} of licence {name}; {free} of {total} are left to it")
            }
            Cause::Limit { violation, room: Some(Room { wait, job_id }), .. } => {
                write!(f, "{violation}; room {} at the latest, when {job_id} ends", distance(*wait))
            }
            Cause::Limit { violation, forgotten: Some(forgotten), .. } => write!(f, "{violation}; {forgotten}"),
            Cause::Limit { violation, .. } if violation.may_pass() => write!(f, "{violation}"),
            Cause::Limit { violation, .. } => {
                write!(f, "{violation}: it cannot start unless one of the two is changed")
            }
            Cause::Rule { detail, reason } if detail.is_empty() => write!(f, "{reason}"),
            Cause::Rule { detail, .. } => f.write_str(detail),
            Cause::Nodes(census) => census.fmt(f),
        }
    }
}

/// Prints `partition p: needs 2 of 4 nodes; 1 out of service, 2 lack gres/gpu:h100, 1 in use (cpu)`.
impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}: needs {} of {} nodes", self.partition, self.needed, self.nodes)?;
        let mut parts: Vec<String> = Vec::new();
        let mut part = |count: u32, words: &str| {
            if count > 0 {
                parts.push(format!("{count} {words}"));
            }
        };
        part(self.out_of_service, &format!("out of service{}", missing_words(&self.missing)));
        part(self.not_matching, "not matching");
        for shortage in &self.too_small {
            part(shortage.nodes, &format!("too small ({})", shortage.resource));
        }
        for shortage in &self.in_use {
            part(shortage.nodes, &format!("in use ({})", shortage.resource));
        }
        for Reserved { reservation, wait, nodes } in &self.reserved {
            let begins = if wait.0 > 0 { format!(" {}", distance(*wait)) } else { String::new() };
            part(*nodes, &format!("reserved ({reservation}{begins})"));
        }
        part(self.kept, "kept for jobs before it");
        part(self.able, "could take part now");
        if parts.is_empty() { Ok(()) } else { write!(f, "; {}", parts.join(", ")) }
    }
}

/// ` (n[5-6] drained: bad fan; n7 down)`; nothing for none.
fn missing_words(missing: &[Missing]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let one = |Missing { nodes, state, reason }: &Missing| {
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        format!("{nodes} {state}{why}")
    };
    let mut all: Vec<String> = missing.iter().take(MISSING_SHOWN).map(one).collect();
    if missing.len() > MISSING_SHOWN {
        all.push("and others".to_owned());
    }
    format!(" ({})", all.join("; "))
}

/// How far ahead an expectation lies, for people: `now`, `in 12 min`, `in 3 h 05 min`, `in 2 d 4 h`.
pub fn distance(span: Span) -> String {
    let minutes = span.minutes_rounded_up();
    match minutes {
        ..=0 => "now".to_owned(),
        1..60 => format!("in {minutes} min"),
        60..1440 => format!("in {} h {:02} min", minutes / 60, minutes % 60),
        _ => format!("in {} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}
