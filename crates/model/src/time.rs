//! Points in time, durations and time limits, with Slurm's grammar for reading and printing them.
//!
//! Nothing here reads a clock: "now" is always an argument.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The point `seconds` after 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Timestamp(seconds * 1000)
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Time from `earlier` to this point; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Span {
        Span((self.0 - earlier.0).max(0))
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A length of whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Span(seconds.saturating_mul(1000))
    }

    /// A length of whole minutes.
    pub const fn from_minutes(minutes: i64) -> Self {
        Span::from_seconds(minutes.saturating_mul(60))
    }

    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole minutes, rounded up, as Slurm keeps time limits.
    pub const fn minutes_rounded_up(self) -> i64 {
        (self.seconds() + 59).div_euclid(60)
    }
}

/// How long a job may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    /// Ended when it has run for this long.
    Limited(Span),
    /// Never ended for its run time.
    Unlimited,
}

impl TimeLimit {
    /// A limit of whole minutes.
    pub const fn from_minutes(minutes: i64) -> Self {
        TimeLimit::Limited(Span::from_minutes(minutes))
    }

    /// The limit as a span; `None` when unlimited.
    pub const fn span(self) -> Option<Span> {
        match self {
            TimeLimit::Limited(span) => Some(span),
            TimeLimit::Unlimited => None,
        }
    }

    /// Reads Slurm's grammar: `MIN`, `MIN:SEC`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`, `UNLIMITED`, `INFINITE`, `-1`.
    ///
    /// Parts may exceed their usual range (`0:300` is five minutes). Seconds are rounded up to whole minutes,
    /// as `sbatch --time` does. `None` for anything else.
    pub fn parse(text: &str) -> Option<TimeLimit> {
        if text.eq_ignore_ascii_case("unlimited") || text.eq_ignore_ascii_case("infinite") || text == "-1" {
            return Some(TimeLimit::Unlimited);
        }
        let seconds = parse_seconds(text)?;
        Some(TimeLimit::from_minutes((seconds + 59) / 60))
    }
}

/// Prints as Slurm does: `[D-]HH:MM:SS`, or `UNLIMITED`.
impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeLimit::Limited(span) => f.write_str(&format_days_hours(span.seconds())),
            TimeLimit::Unlimited => f.write_str("UNLIMITED"),
        }
    }
}

/// Reads `MIN`, `MIN:SEC`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S` as seconds; `None` when malformed.
pub fn parse_seconds(text: &str) -> Option<i64> {
    const PART_MAX: i64 = u32::MAX as i64; // far above any real limit, small enough that no product overflows
    let number = |part: &str| -> Option<i64> {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        part.parse().ok().filter(|value| *value <= PART_MAX)
    };
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let parts: Vec<i64> = rest.split(':').map(number).collect::<Option<_>>()?;
    let seconds = match (days, parts.as_slice()) {
        (None, [minutes]) => minutes * 60,
        (None, [minutes, seconds]) => minutes * 60 + seconds,
        (Some(_), [hours]) => hours * 3600,
        (Some(_), [hours, minutes]) => hours * 3600 + minutes * 60,
        (_, [hours, minutes, seconds]) => hours * 3600 + minutes * 60 + seconds,
        _ => return None,
    };
    Some(days.unwrap_or(0) * 86_400 + seconds)
}

/// `[D-]HH:MM:SS`, the long form used by `scontrol` and `sacct`.
pub fn format_days_hours(seconds: i64) -> String {
    let (days, hours, minutes, rest) = split_seconds(seconds);
    if days > 0 {
        format!("{days}-{hours:02}:{minutes:02}:{rest:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{rest:02}")
    }
}

/// `[D-][H:]MM:SS` with leading zeros dropped, the short form used by `squeue` (`0:07`, `1:02:03`, `2-00:00:00`).
pub fn format_short(seconds: i64) -> String {
    let (days, hours, minutes, rest) = split_seconds(seconds);
    if days > 0 {
        format!("{days}-{hours:02}:{minutes:02}:{rest:02}")
    } else if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

fn split_seconds(seconds: i64) -> (i64, i64, i64, i64) {
    let seconds = seconds.max(0);
    (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_sbatch_reads_them() {
        let minutes = |text: &str| TimeLimit::parse(text).and_then(TimeLimit::span).map(|span| span.seconds() / 60);
        assert_eq!(minutes("5"), Some(5));
        assert_eq!(minutes("3:00"), Some(3));
        assert_eq!(minutes("0:300"), Some(5));
        assert_eq!(minutes("0:30"), Some(1), "seconds round up");
        assert_eq!(minutes("00:03:00"), Some(3));
        assert_eq!(minutes("0-0:2:0"), Some(2));
        assert_eq!(minutes("1-0"), Some(24 * 60));
        assert_eq!(minutes("0:18000"), Some(300));
        assert_eq!(TimeLimit::parse("UNLIMITED"), Some(TimeLimit::Unlimited));
        for bad in ["", "abc", "1:2:3:4", "1-", "-5", "1:", "1.5", "99999999999"] {
            assert_eq!(TimeLimit::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn durations_print_in_both_forms() {
        assert_eq!(format_short(7), "0:07");
        assert_eq!(format_short(3723), "1:02:03");
        assert_eq!(format_short(172_800), "2-00:00:00");
        assert_eq!(format_days_hours(7), "00:00:07");
        assert_eq!(TimeLimit::from_minutes(1440).to_string(), "1-00:00:00");
    }
}
