//! What is told about the order of the queue and about shares: the answers behind `sprio` and `sshare`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FairShare, PriorityConfig, PriorityLedger};
use crate::accounting::{AssociationId, AssociationKey, Shares, TresAmounts};
use crate::ids::Name;

/// Priorities of waiting jobs with their parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriorityReport {
    /// How they are calculated.
    pub config: PriorityConfig,
    /// One row for each job and partition, by job.
    pub rows: Vec<PriorityRow>,
}

/// One job in one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriorityRow {
    /// Whose job.
    pub user: Name,
    /// The user's number.
    pub uid: u32,
    /// The parts.
    pub ledger: PriorityLedger,
}

/// Shares and usage of associations.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ShareReport {
    /// Classic fair share rather than Fair Tree.
    pub classic: bool,
    /// Resources that are counted, in the order in which they are shown.
    pub tracked: Vec<Name>,
    /// The tree from its root, users of an account before the accounts below it, each by name.
    pub rows: Vec<ShareRow>,
}

/// One association.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareRow {
    /// Its number.
    pub id: AssociationId,
    /// What is above it.
    pub parent: Option<AssociationId>,
    /// Account, user and partition.
    pub key: AssociationKey,
    /// Its shares as they are set.
    pub shares: Shares,
    /// What they come to; a fraction without an end (the level of one without usage) is left out.
    pub found: ShareFigures,
    /// Its limit of resource minutes.
    pub tres_minutes_max: TresAmounts,
    /// Resource seconds used.
    pub tres_seconds: BTreeMap<Name, f64>,
    /// Resource seconds that its running jobs may still use.
    pub tres_seconds_running: TresAmounts,
}

/// [`FairShare`] as it is sent: JSON has no infinity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShareFigures {
    /// [`FairShare::shares_norm`].
    pub shares_norm: f64,
    /// [`FairShare::usage_raw`].
    pub usage_raw: f64,
    /// [`FairShare::usage_norm`].
    pub usage_norm: f64,
    /// [`FairShare::usage_effective`].
    pub usage_effective: f64,
    /// [`FairShare::level`], if it is finite.
    pub level: Option<f64>,
    /// Whether the level has no end.
    pub level_is_infinite: bool,
    /// [`FairShare::factor`].
    pub factor: Option<f64>,
}

impl From<FairShare> for ShareFigures {
    fn from(found: FairShare) -> ShareFigures {
        ShareFigures {
            shares_norm: found.shares_norm,
            usage_raw: found.usage_raw,
            usage_norm: found.usage_norm,
            usage_effective: found.usage_effective,
            level: found.level.filter(|level| level.is_finite()),
            level_is_infinite: found.level.is_some_and(f64::is_infinite),
            factor: found.factor,
        }
    }
}
