//! Numbers with a fraction in configuration.

use serde::{Deserialize, Serialize};

/// A factor that is written with a fraction. Two are equal when their bits are, so that what holds them can be compared.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub f64);

impl PartialEq for Weight {
    fn eq(&self, other: &Weight) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Weight {}
