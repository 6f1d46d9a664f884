//! Reservations: resources kept for some for a time.
//!
//! The row is [`Reservation`]. What it means for a job is decided here and nowhere else, so that the scheduler, which
//! plans by it, and the core, which checks the plan, cannot disagree: who may use it ([`access`]), when it recurs
//! ([`calendar`]), and which nodes it closes to a job ([`claim`]).

pub mod access;
pub mod calendar;
pub mod changes;
pub mod claim;

use serde::{Deserialize, Serialize};

use crate::accounting::TresAmounts;
use crate::ids::{Name, NodeIndex};
use crate::licenses::Licenses;
use crate::resources::{GresShare, IndexSet};
use crate::time::{Span, Timestamp};
pub use access::{AccessList, Applicant};
pub use changes::{DurationChange, FlagChange, ListChange, ReservationChanges, SetOperation};
pub use claim::Claim;

/// `Flags=` of a reservation, spelled as Slurm spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each is the flag of that name in scontrol(1)")]
pub enum ReservationFlag {
    AllNodes,
    AnyNodes,
    Daily,
    FirstCores,
    Flex,
    ForceStart,
    Hourly,
    IgnoreJobs,
    Magnetic,
    Maint,
    NoHoldJobsAfter,
    Overlap,
    PartNodes,
    PurgeComp,
    Replace,
    ReplaceDown,
    SpecNodes,
    StaticAlloc,
    TimeFloat,
    UserDelete,
    Weekday,
    Weekend,
    Weekly,
}

/// What a reservation keeps of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedNode {
    /// The node.
    pub node: NodeIndex,
    /// CPUs kept, perhaps none; `None` for the whole node with all that is on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<IndexSet>,
    /// Units of generic resources kept, where the node is not kept as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresShare>,
}

impl ReservedNode {
    /// The whole node.
    pub fn whole(node: NodeIndex) -> ReservedNode {
        ReservedNode { node, cpus: None, gres: Vec::new() }
    }
}

/// The times as they were last set; every occurrence of a recurring reservation follows from them, so that days on which
/// the clock is changed leave no trace on later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Begin of the first occurrence.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

/// The current row of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Name.
    pub name: Name,
    /// Which one it was to be made: lists are in this order.
    #[serde(default)]
    pub number: u64,
    /// When an operator last changed it, or its nodes were last chosen. Jobs that ran then are left alone.
    #[serde(default)]
    pub changed: Timestamp,
    /// Begin of the present occurrence.
    pub start: Timestamp,
    /// End of the present occurrence.
    pub end: Timestamp,
    /// Times of the first occurrence, where it recurs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// `TIME_FLOAT`: how far in the future it always begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float: Option<Span>,
    /// Flags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<ReservationFlag>,
    /// What it keeps, ascending by node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<ReservedNode>,
    /// Names of these nodes as a host list; after a change of the configuration it tells which they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_list: Option<Name>,
    /// How many nodes it is to have, where they were counted and not named: what is replaced follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_wanted: Option<u32>,
    /// How many cores it is to have, likewise; on each of its nodes in turn, or over all of them where there is one number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores_wanted: Vec<u32>,
    /// Further resources asked for (`TRES=`, `Licenses=`): `gres/gpu`, `license/matlab`.
    #[serde(default, skip_serializing_if = "TresAmounts::is_empty")]
    pub tres: TresAmounts,
    /// Partition from which its nodes are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Name>,
    /// Features that its nodes must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Name>,
    /// Users.
    #[serde(default)]
    pub users: AccessList,
    /// Unix groups.
    #[serde(default)]
    pub groups: AccessList,
    /// Accounts.
    #[serde(default)]
    pub accounts: AccessList,
    /// QOS.
    #[serde(default)]
    pub qos: AccessList,
    /// Partitions whose jobs may use it.
    #[serde(default)]
    pub partitions: AccessList,
    /// `PURGE_COMP=`: how long it may be unused before it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_after: Option<Span>,
    /// `MaxStartDelay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_delay_max: Option<Span>,
    /// Remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Name>,
    /// Who made it.
    pub creator_uid: u32,
    /// Since when no job has been in it, for `purge_after`; `None` while one is, and before its begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
}

/// What stands before the name of a licence in [`Reservation::tres`].
pub const LICENSE_PREFIX: &str = "license/";

impl Reservation {
    /// Whether it has that flag.
    pub fn has(&self, flag: ReservationFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// Puts the flag in or takes it out.
    pub fn set(&mut self, flag: ReservationFlag, on: bool) {
        self.flags.retain(|have| *have != flag);
        if on {
            self.flags.push(flag);
            self.flags.sort_unstable();
        }
    }

    /// Begin and end of the present occurrence, seen at `now`: those of a floating reservation move with the time.
    pub fn window(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        match self.float {
            Some(ahead) => (now + ahead, now + ahead + self.end.since(self.start)),
            None => (self.start, self.end),
        }
    }

    /// Whether it is in force at `time`.
    pub fn is_active(&self, time: Timestamp) -> bool {
        let (start, end) = self.window(time);
        start <= time && time < end
    }

    /// What it keeps of `node`.
    pub fn on(&self, node: NodeIndex) -> Option<&ReservedNode> {
        self.nodes.binary_search_by_key(&node, |reserved| reserved.node).ok().map(|at| &self.nodes[at])
    }

    /// The licences it keeps.
    pub fn licenses(&self) -> impl Iterator<Item = (&str, u64)> {
        self.tres.0.iter().filter_map(|(name, count)| Some((name.strip_prefix(LICENSE_PREFIX)?, *count)))
    }

    /// What it keeps of its licences from others while jobs in it hold `used`.
    pub fn licenses_unused(&self, used: &Licenses) -> Licenses {
        let left =
            |(name, count): (&str, u64)| (Name::from(name), count.saturating_sub(used.get(name).copied().unwrap_or(0)));
        self.licenses().map(left).collect()
    }

    /// Whether its nodes were counted and not named, so that others may take their place.
    pub fn may_replace(&self) -> bool {
        let fixed = [ReservationFlag::SpecNodes, ReservationFlag::StaticAlloc, ReservationFlag::AllNodes];
        !fixed.iter().any(|flag| self.has(*flag)) && !self.nodes.is_empty()
    }
}
