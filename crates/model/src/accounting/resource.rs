//! Resources that some server outside gives to several clusters (`sacctmgr add resource`): remote licences.
//!
//! A cluster may use the part of them that is allotted to it, in percent. Jobs ask for them as `name@server`. Nothing is
//! asked of the server: as in Slurm, the numbers are what an operator says they are.

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::time::Timestamp;

/// One such resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteResource {
    /// Number, in the order in which they were added.
    pub id: u32,
    /// Name, in lower case.
    pub name: Name,
    /// Name of the server that gives it, in lower case.
    pub server: Name,
    /// Description.
    pub description: Name,
    /// What kind of server it is (`flexlm`); empty where nobody has said.
    pub server_kind: Name,
    /// How many there are for all clusters together.
    pub count: u32,
    /// Percent of them that this cluster may use; `None` where none are allotted to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_allowed: Option<u32>,
    /// When the number that this cluster may use last changed.
    pub changed: Timestamp,
}

impl Default for RemoteResource {
    fn default() -> RemoteResource {
        RemoteResource {
            id: 0,
            name: "".into(),
            server: "".into(),
            description: "".into(),
            server_kind: "".into(),
            count: 0,
            percent_allowed: None,
            changed: Timestamp(0),
        }
    }
}

impl RemoteResource {
    /// What it is found by, and what jobs ask for: `name@server`.
    pub fn key(&self) -> Name {
        format!("{}@{}", self.name, self.server).as_str().into()
    }

    /// How many this cluster may use, parts of one left out; `None` where none are allotted to it.
    pub fn allotted(&self) -> Option<u64> {
        self.percent_allowed.map(|percent| u64::from(self.count) * u64::from(percent) / 100)
    }
}

/// What changes in a resource; `None` leaves a field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field has the meaning of the field of that name in RemoteResource")]
pub struct ResourceChanges {
    pub description: Option<Name>,
    pub server_kind: Option<Name>,
    pub count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub percent_allowed: Option<Option<u32>>,
}
