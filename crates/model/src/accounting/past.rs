//! What was used in the past, for limits on minutes ever used.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{Holder, TresAmounts};

/// Resource minutes and run time that ended and running jobs have used so far, decayed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PastUse {
    /// By who is charged.
    pub holders: OrdMap<Holder, Used>,
}

/// What one holder has used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Used {
    /// Resource minutes.
    pub tres_minutes: TresAmounts,
    /// Run time, minutes.
    pub wall_minutes: u64,
}

/// What `holder` has used: resource minutes of one resource, or run time where none is named. Nothing for who is not
/// listed.
pub fn past_use(past: &PastUse, holder: &Holder, tres: Option<&str>) -> u64 {
    let Some(used) = past.holders.get(holder) else { return 0 };
    match tres {
        Some(name) => used.tres_minutes.get(name).unwrap_or(0),
        None => used.wall_minutes,
    }
}
