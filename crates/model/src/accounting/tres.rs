//! Amounts of trackable resources, by name.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::Name;

/// Amounts by the name of the resource as Slurm writes it: `cpu`, `mem` (MiB), `node`, `billing`, `energy`, `gres/gpu`,
/// `gres/gpu:h100`, `license/matlab`. A resource that is not there is not limited, or zero, as the place of use says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TresAmounts(pub BTreeMap<Name, u64>);

impl TresAmounts {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The amount of `name`, if it is named.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Puts another amount of billing in the place of the present one; nothing where it is zero.
    pub fn set_billing(&mut self, billing: u64) {
        self.0.remove("billing");
        if billing > 0 {
            self.0.insert("billing".into(), billing);
        }
    }

    /// Adds to the amount of `name`.
    pub fn add(&mut self, name: &Name, amount: u64) {
        let entry = self.0.entry(name.clone()).or_insert(0);
        *entry = entry.saturating_add(amount);
    }
}

/// Prints `cpu=4,mem=1000,gres/gpu=2`.
impl fmt::Display for TresAmounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, amount)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}

/// Kinds of trackable resources, as far as Slurm has a reason of its own for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the resource of that name")]
pub enum TresClass {
    Cpu,
    Mem,
    Energy,
    Node,
    Billing,
    BurstBuffer,
    License,
    Gres,
    Unknown,
}

impl TresClass {
    /// The kind of the resource `name`. The order of kinds is that in which Slurm looks at limits.
    pub fn of(name: &str) -> TresClass {
        match name.split_once('/').map_or(name, |(kind, _)| kind) {
            "cpu" => TresClass::Cpu,
            "mem" => TresClass::Mem,
            "energy" => TresClass::Energy,
            "node" => TresClass::Node,
            "billing" => TresClass::Billing,
            "bb" => TresClass::BurstBuffer,
            "license" => TresClass::License,
            "gres" => TresClass::Gres,
            _ => TresClass::Unknown,
        }
    }
}

impl TresAmounts {
    /// Adds all amounts of `other`.
    pub fn add_all(&mut self, other: &TresAmounts) {
        for (name, amount) in &other.0 {
            self.add(name, *amount);
        }
    }

    /// Takes away all amounts of `other`; what is nothing then is not named any more.
    pub fn remove_all(&mut self, other: &TresAmounts) {
        for (name, amount) in &other.0 {
            if let Some(entry) = self.0.get_mut(name) {
                *entry = entry.saturating_sub(*amount);
                if *entry == 0 {
                    self.0.remove(name);
                }
            }
        }
    }
}
