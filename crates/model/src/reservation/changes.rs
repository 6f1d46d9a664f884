//! What `scontrol create` and `scontrol update` say about a reservation.

use serde::{Deserialize, Serialize};

use super::{AccessList, ReservationFlag};
use crate::accounting::TresAmounts;
use crate::ids::Name;
use crate::time::{Span, Timestamp};

/// How a list or a set is changed: `=`, `+=`, `-=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetOperation {
    /// The new list takes the place of the old one.
    #[default]
    Replace,
    /// Added to what is there.
    Add,
    /// Taken out of what is there.
    Remove,
}

/// Names for an [`AccessList`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListChange {
    /// What to do with them.
    pub operation: SetOperation,
    /// The names, without a leading `-`.
    pub names: Vec<Name>,
    /// Whether they were written with a leading `-`: those who may not.
    pub denied: bool,
}

impl ListChange {
    /// Changes `list`. Names that are already as wanted are left alone.
    pub fn apply(&self, list: &mut AccessList) {
        // `Users-=a` of a list that denies means one more that is denied; where there is no list, a first one.
        let denies = self.denied
            || (self.operation == SetOperation::Remove && list.allowed.is_empty())
            || (self.operation == SetOperation::Add && !list.denied.is_empty());
        match (self.operation, denies) {
            (SetOperation::Replace, _) => {
                *list = AccessList::default();
                let place = if self.denied { &mut list.denied } else { &mut list.allowed };
                place.extend(self.names.iter().cloned());
            }
            // A name that was denied is so no longer.
            (SetOperation::Add, true) if !self.denied => list.denied.retain(|name| !self.names.contains(name)),
            (SetOperation::Add, _) | (SetOperation::Remove, true) => {
                let place = if denies { &mut list.denied } else { &mut list.allowed };
                let new: Vec<Name> = self.names.iter().filter(|name| !place.contains(name)).cloned().collect();
                place.extend(new);
            }
            (SetOperation::Remove, false) => list.allowed.retain(|name| !self.names.contains(name)),
        }
    }
}

/// `Flags=`, `Flags+=`, `Flags-=`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlagChange {
    /// What to do with them.
    pub operation: SetOperation,
    /// The flags.
    pub flags: Vec<ReservationFlag>,
    /// `PURGE_COMP=`.
    pub purge_after: Option<Span>,
}

/// `Duration=`, `Duration+=`, `Duration-=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationChange {
    /// So long.
    To(Span),
    /// So much longer.
    Longer(Span),
    /// So much shorter.
    Shorter(Span),
    /// As long as can be: a year, as Slurm has it.
    Unlimited,
}

/// What is to be changed, or how a new reservation is to be; `None` leaves it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field has the meaning of the field of that name in Reservation")]
pub struct ReservationChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<FlagChange>,
    /// A host list, or `ALL`; empty lets others be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Name>,
    /// How many nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_count: Option<u32>,
    /// How many cores, over all or on each node in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_counts: Option<Vec<u32>>,
    /// Generic resources, by the name of the trackable resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tres: Option<TresAmounts>,
    /// Licences by name; empty takes them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licenses: Option<TresAmounts>,
    /// Empty takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Name>,
    /// Empty takes them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<ListChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<ListChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<ListChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<ListChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<ListChange>,
    /// `Some(None)` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub start_delay_max: Option<Option<Span>>,
    /// Empty takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<Name>,
    /// Leave this occurrence out and wait for the next.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_and_shrink_as_in_slurm() {
        let mut list = AccessList::default();
        let mut check = |text: &str, expected: &str| {
            let (sign, names) = text.split_once('=').unwrap();
            let operation = match sign {
                "+" => SetOperation::Add,
                "-" => SetOperation::Remove,
                _ => SetOperation::Replace,
            };
            let denied = names.starts_with('-');
            let names = names.split(',').filter(|name| !name.is_empty());
            let names = names.map(|name| name.trim_start_matches('-').into()).collect();
            ListChange { operation, names, denied }.apply(&mut list);
            let shown: Vec<String> = list.allowed.iter().map(ToString::to_string).collect();
            let denied: Vec<String> = list.denied.iter().map(|name| format!("-{name}")).collect();
            assert_eq!([shown, denied].concat().join(","), expected, "{text}");
        };
        check("=root", "root");
        check("+=daemon", "root,daemon");
        check("+=root", "root,daemon");
        check("-=root", "daemon");
        check("-=bin", "daemon");
        check("=-eve", "-eve");
        check("-=bob", "-eve,-bob");
        check("+=eve", "-bob");
        check("=", "");
        check("-=root", "-root");
    }
}
