//! Lengths of time: `90` (seconds), `30s`, `5m`, `2h`, `1d`, `1w`, and `off` where that is allowed.

use serde::{Serialize, Serializer};

use crate::document::{Node, Path, Problems, Read, Value};

/// Longest time that is read: a century, so that no later arithmetic overflows.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// A length of time in seconds. In JSON a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Duration(pub u64);

impl Duration {
    /// Reads the grammar above; `None` when malformed or far too long.
    pub fn parse(text: &str) -> Option<Duration> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_end);
        let amount: u64 = digits.parse().ok()?;
        let factor = match unit.trim_start_matches(' ') {
            "" if unit.is_empty() => 1,
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return None,
        };
        amount.checked_mul(factor).filter(|seconds| *seconds <= SECONDS_MAX).map(Duration)
    }
}

impl Read for Duration {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match &node.value {
            Value::Integer(number) => {
                u64::try_from(*number).ok().filter(|seconds| *seconds <= SECONDS_MAX).map(Duration)
            }
            Value::Float(number) if (0.0..=SECONDS_MAX as f64).contains(number) => Some(Duration(*number as u64)),
            Value::Text(text) => Duration::parse(text.trim()),
            _ => None,
        }
        .ok_or_else(|| match node.scalar_text() {
            Some(text) => node.problem(path, format!("{text:?} is no duration such as 30s, 5m, 2h, 1d or 1w")),
            None => node.unexpected(path, "a duration such as 30s, 5m, 2h, 1d or 1w"),
        })
    }
}

/// Prints in the largest unit that fits exactly: `2h`, `90s`, `5m`, `1d`.
impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

/// Seconds in the largest unit that fits exactly.
pub fn format_duration(seconds: u64) -> String {
    let units = [(7 * 86_400, "w"), (86_400, "d"), (3600, "h"), (60, "m")];
    match units.iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length)) {
        Some((length, unit)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
}

/// A length of time that can be switched off. In JSON a number or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffDuration {
    /// No limit.
    Off,
    /// So long.
    Limited(Duration),
}

impl OffDuration {
    /// Reads the value of a property; `true` asks for the default and counts as not given.
    pub(crate) fn read_optional(node: &Node, path: &Path<'_>) -> Result<Option<OffDuration>, Problems> {
        match (&node.value, node.scalar_text().as_deref()) {
            (Value::Bool(true), _) | (_, Some("on" | "yes")) => Ok(None),
            (Value::Bool(false), _) | (_, Some("off" | "no")) => Ok(Some(OffDuration::Off)),
            (Value::Integer(number), _) if *number < 0 => {
                Err(node.problem(path, "a duration cannot be negative; `off` is no limit"))
            }
            _ => Duration::read(node, path).map(|duration| Some(OffDuration::Limited(duration))),
        }
    }
}

impl Serialize for OffDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            OffDuration::Off => serializer.serialize_str("off"),
            OffDuration::Limited(duration) => duration.serialize(serializer),
        }
    }
}

/// How long an idle instance is kept. In JSON a number, −1 for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleDuration(pub Option<Duration>);

impl IdleDuration {
    /// Reads the value of a property; `off`, false and negative numbers are "for ever", `true` counts as not given.
    pub(crate) fn read_optional(node: &Node, path: &Path<'_>) -> Result<Option<IdleDuration>, Problems> {
        let is_negative = |text: String| text.trim().parse().is_ok_and(|number: i64| number < 0);
        if node.scalar_text().is_some_and(is_negative) {
            return Ok(Some(IdleDuration(None)));
        }
        let duration = OffDuration::read_optional(node, path)?;
        Ok(duration.map(|duration| match duration {
            OffDuration::Off => IdleDuration(None),
            OffDuration::Limited(duration) => IdleDuration(Some(duration)),
        }))
    }
}

impl Serialize for IdleDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_i64(-1),
            Some(duration) => duration.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Duration::parse(text).map(|duration| duration.to_string()).as_deref(), expected, "{text:?}");
        };
        check("90", Some("90s"));
        check("30s", Some("30s"));
        check("5 m", Some("5m"));
        check("120m", Some("2h"));
        check("24h", Some("1d"));
        check("48h", Some("2d"));
        check("7d", Some("1w"));
        check("0", Some("0s"));
        for bad in ["", "h", "2hh", "2 ", "1.5h", "-5m", "99999999999999999999s", "9999999w"] {
            check(bad, None);
        }
    }
}
