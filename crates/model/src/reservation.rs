//! Reservations: resources kept for some for a time.

use serde::{Deserialize, Serialize};

use crate::accounting::TresAmounts;
use crate::ids::{Name, NodeIndex};
use crate::time::{Span, Timestamp};

/// `Flags=` of a reservation, spelled as Slurm spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each is the flag of that name in scontrol(1)")]
pub enum ReservationFlag {
    AllNodes,
    AnyNodes,
    Daily,
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

/// A list of names that may use a reservation, or of names that may not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessList {
    /// Who may; empty for all that are not denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Name>,
    /// Who may not (written with a leading `-`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Name>,
}

/// Cores of one node that a reservation keeps; all of them where `cores` is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedNode {
    /// The node.
    pub node: NodeIndex,
    /// CPUs kept; `None` for the whole node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<crate::resources::IndexSet>,
    /// Units of generic resources kept, where they are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<crate::resources::GresShare>,
}

/// The current row of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Name.
    pub name: Name,
    /// Begin of the present occurrence.
    pub start: Timestamp,
    /// End of the present occurrence.
    pub end: Timestamp,
    /// Flags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<ReservationFlag>,
    /// What it keeps, ascending by node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<ReservedNode>,
    /// How many nodes it is to have, where they were counted and not named: what is replaced follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_wanted: Option<u32>,
    /// How many cores it is to have, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores_wanted: Option<u32>,
    /// Further resources asked for (`TRES=`, `Licenses=`).
    #[serde(default, skip_serializing_if = "TresAmounts::is_empty")]
    pub tres: TresAmounts,
    /// Partition from which its nodes are taken, and whose jobs may use it.
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
    /// When it was last in use, for `purge_after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
}

impl Reservation {
    /// Whether it has that flag.
    pub fn has(&self, flag: ReservationFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether it is in force at `time`.
    pub fn is_active(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}
