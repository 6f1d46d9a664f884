//! Ranges: `4` (exactly 4), `2..8`, `4..`, `..16`, `{min: 2, max: 8}`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read, Value};

/// A least and a greatest value, both included. At least one of them is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range<T> {
    /// The least.
    pub min: Option<T>,
    /// The greatest.
    pub max: Option<T>,
}

impl<T: Bound> Range<T> {
    /// From `min` up.
    pub fn at_least(min: T) -> Self {
        Range { min: Some(min), max: None }
    }

    /// Exactly `value`.
    pub fn exactly(value: T) -> Self {
        Range { min: Some(value), max: Some(value) }
    }

    /// Whether `value` is within.
    pub fn contains(&self, value: T) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    fn checked(self) -> Result<Self, String> {
        match (self.min, self.max) {
            (None, None) => Err("an empty range `..`".to_owned()),
            (Some(min), Some(max)) if min > max => Err(format!("the range {min}..{max} is reversed")),
            _ => Ok(self),
        }
    }
}

/// Prints `4`, `2..8`, `4..`, `..16`.
impl<T: fmt::Display + PartialEq> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(min), true) = (&self.min, self.min == self.max) {
            return min.fmt(f);
        }
        if let Some(min) = &self.min {
            min.fmt(f)?;
        }
        f.write_str("..")?;
        self.max.as_ref().map_or(Ok(()), |max| max.fmt(f))
    }
}

impl<T: Bound> FromStr for Range<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.replace(' ', "");
        let bound = |text: &str| {
            if text.is_empty() { Ok(None) } else { T::parse_bound(text).map(Some) }
        };
        match text.split_once("..") {
            Some((min, max)) => Range { min: bound(min)?, max: bound(max)? }.checked(),
            None => T::parse_bound(&text).map(Range::exactly),
        }
    }
}

impl<T: Read + Bound> Read for Range<T> {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match &node.value {
            Value::Text(text) => text.parse().map_err(|message: String| node.problem(path, message)),
            Value::Map(_) => {
                let mut fields = Fields::open(node, path)?;
                let range = Range { min: fields.optional("min"), max: fields.optional("max") };
                let range = fields.finish(Some(range))?;
                range.checked().map_err(|message| node.problem(path, message))
            }
            _ => T::read(node, path).map(Range::exactly),
        }
    }
}

/// What a range is over.
pub trait Bound: Copy + PartialOrd + fmt::Display {
    /// Reads one end of a range.
    ///
    /// # Errors
    /// Why it is no such value, for the user.
    fn parse_bound(text: &str) -> Result<Self, String>;
}

impl Bound for u32 {
    fn parse_bound(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is no whole number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Memory;

    #[test]
    fn ranges_read_and_print() {
        let check = |text: &str, expected: &str| {
            let shown = text.parse::<Range<u32>>().map_or_else(|error| error, |range| range.to_string());
            assert_eq!(shown, expected, "{text:?}");
        };
        check("4", "4");
        check("2..8", "2..8");
        check("4 ..", "4..");
        check("..16", "..16");
        check("3..3", "3");
        check("..", "an empty range `..`");
        check("8..2", "the range 8..2 is reversed");
        check("a..2", "\"a\" is no whole number");
        check("-1", "\"-1\" is no whole number");
        check("1..2..3", "\"2..3\" is no whole number");
    }

    #[test]
    fn memory_ranges_print_with_their_unit() {
        let range: Range<Memory> = "512MB..16".parse().unwrap();
        assert_eq!(range.to_string(), "0.5GB..16GB");
        assert!(range.contains(Memory::gigabytes(16.0)) && !range.contains(Memory::gigabytes(17.0)));
    }
}
