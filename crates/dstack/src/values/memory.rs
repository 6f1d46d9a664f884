//! Amounts of memory and disk: `16GB`, `512MB`, `1TB`, or a bare number of gigabytes.

use std::fmt;

use muster_model::resources::Megabytes;
use serde::{Serialize, Serializer};

use super::range::Bound;
use crate::document::{Node, Path, Problems, Read, Value};

/// Largest amount that is read: a million terabytes, so that no later arithmetic overflows.
const GIGABYTES_MAX: f64 = 1e9;

/// An amount in gigabytes (of 1024 MB), never negative. In JSON a number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Memory(f64);

impl Memory {
    /// So many gigabytes; negative counts as none.
    pub const fn gigabytes(gigabytes: f64) -> Memory {
        Memory(gigabytes.max(0.0))
    }

    /// The amount in Slurm's unit, rounded up.
    pub fn to_megabytes(self) -> Megabytes {
        // Within 0 and GIGABYTES_MAX × 1024, so that the cast is exact.
        Megabytes((self.0 * 1024.0).ceil() as u64)
    }

    /// An amount given in Slurm's unit.
    pub fn from_megabytes(amount: Megabytes) -> Memory {
        Memory(amount.0 as f64 / 1024.0)
    }

    /// To a tenth of a gigabyte, for tables of what nodes have.
    pub(crate) fn rounded(self) -> Memory {
        Memory((self.0 * 10.0).round() / 10.0)
    }

    fn checked(gigabytes: f64) -> Option<Memory> {
        (gigabytes.is_finite() && (0.0..=GIGABYTES_MAX).contains(&gigabytes)).then_some(Memory(gigabytes))
    }
}

impl Bound for Memory {
    fn parse_bound(text: &str) -> Result<Self, String> {
        let lower = text.replace(' ', "").to_ascii_lowercase();
        let units = [("tb", 1024.0), ("gb", 1.0), ("mb", 1.0 / 1024.0)];
        let (digits, factor) = units
            .iter()
            .find_map(|(unit, factor)| lower.strip_suffix(unit).map(|digits| (digits, *factor)))
            .unwrap_or((&lower, 1.0));
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = if plain { digits.parse::<f64>().ok() } else { None };
        number
            .and_then(|number| Memory::checked(number * factor))
            .ok_or_else(|| format!("{text:?} is no size such as 512MB, 16GB or 1TB"))
    }
}

impl Read for Memory {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match &node.value {
            Value::Integer(number) => Memory::checked(*number as f64),
            Value::Float(number) => Memory::checked(*number),
            Value::Text(text) => {
                return Memory::parse_bound(text).map_err(|message| node.problem(path, message));
            }
            _ => None,
        }
        .ok_or_else(|| node.unexpected(path, "a size such as 512MB, 16GB or 1TB"))
    }
}

/// Prints `16GB`, `0.5GB`.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 10_000.0).round() / 10_000.0;
        write!(f, "{rounded}GB")
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        let check = |text: &str, printed: &str, megabytes: u64| {
            let memory = Memory::parse_bound(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((memory.to_string().as_str(), memory.to_megabytes().0), (printed, megabytes), "{text}");
        };
        check("16GB", "16GB", 16 * 1024);
        check("300Gb", "300GB", 300 * 1024);
        check("512MB", "0.5GB", 512);
        check("1 TB", "1024GB", 1 << 20);
        check("1.5", "1.5GB", 1536);
        check("1MB", "0.001GB", 1);
        for bad in ["", "GB", "16G", "-1GB", "1e3GB", "infGB", "nan", "1.2.3GB", "9999999999TB"] {
            assert!(Memory::parse_bound(bad).is_err(), "{bad:?}");
        }
    }
}
