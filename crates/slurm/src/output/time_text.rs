//! How points in time are printed, after `SLURM_TIME_FORMAT`, and how `sacct` reads them.

use jiff::Zoned;
use jiff::tz::TimeZone;
use muster_model::time::Timestamp;

use crate::grammar::time_point::{self, BadPosition};

/// `SLURM_TIME_FORMAT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// `2026-11-21T07:53:26`.
    #[default]
    Standard,
    /// Short for days near today: `07:53:26`, `Tomorr 07:53`, `Sun 07:53`, `21 Dec 07:53`.
    Relative,
    /// A `strftime` pattern.
    Pattern(String),
}

impl TimeFormat {
    /// The format that the value of the environment variable asks for.
    pub fn from_environment(value: Option<&str>) -> TimeFormat {
        match value {
            None | Some("" | "standard") => TimeFormat::Standard,
            Some("relative") => TimeFormat::Relative,
            Some(pattern) if pattern.contains('%') => TimeFormat::Pattern(pattern.to_owned()),
            // No pattern at all.
            Some(_) => TimeFormat::Standard,
        }
    }
}

const STANDARD: &str = "%Y-%m-%dT%H:%M:%S";

fn zoned(time: Timestamp, zone: &TimeZone) -> Zoned {
    jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}

fn write(pattern: &str, time: &Zoned) -> Option<String> {
    jiff::fmt::strtime::format(pattern, time).ok()
}

/// `time` as `format` wants it.
pub fn print(time: Timestamp, now: Timestamp, zone: &TimeZone, format: &TimeFormat) -> String {
    let time = zoned(time, zone);
    let text = match format {
        TimeFormat::Standard => None,
        TimeFormat::Relative => write(relative_pattern(&time, &zoned(now, zone)), &time),
        // A pattern that this implementation cannot follow must not hide the time.
        TimeFormat::Pattern(pattern) => write(pattern, &time),
    };
    text.or_else(|| write(STANDARD, &time)).unwrap_or_default()
}

fn relative_pattern(time: &Zoned, now: &Zoned) -> &'static str {
    let days = time.date().since(now.date()).map_or(i32::MAX, |span| span.get_days());
    match days {
        -1 => "Ystday %H:%M",
        0 => "%H:%M:%S",
        1 => "Tomorr %H:%M",
        -6..=6 => "%a %H:%M",
        _ if time.year() == now.year() => "%-d %b %H:%M",
        _ => "%-d %b %Y",
    }
}

/// The date line above long tables: `Sat Nov 21 07:53:25 2026`.
pub fn date_line(now: Timestamp, zone: &TimeZone) -> String {
    write("%a %b %d %H:%M:%S %Y", &zoned(now, zone)).unwrap_or_default()
}

/// `2026-11-21T07:53:26` whatever the environment says.
pub fn standard(time: Timestamp, zone: &TimeZone) -> String {
    write(STANDARD, &zoned(time, zone)).unwrap_or_default()
}

/// Reads a time as `sacct -S` does: as elsewhere, but a time of day or a day of the year without more means the one of
/// today or of this year, even when it has passed.
///
/// # Errors
/// Where the text stops making sense.
pub fn parse_past(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, BadPosition> {
    let lower = text.to_ascii_lowercase();
    let relative = ["now", "today", "tomorrow"].iter().any(|word| lower.contains(word));
    let year_given = lower.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= 6)
        || lower.split(['-', 't', ' ']).next().is_some_and(|year| year.len() == 4 && lower.matches('-').count() >= 2)
        || lower.split([' ', 't']).any(|part| part.matches(['/', '.']).count() == 2);
    if relative || year_given || lower.starts_with("uts") {
        return time_point::parse(text, now, zone);
    }
    // Seen from just before today, or from just before this year, the wanted point is the next one.
    let present = zoned(now, zone);
    let has_date =
        lower.contains(['/', '.']) || !lower.contains(':') && lower.starts_with(|c: char| c.is_ascii_digit());
    let day = if has_date { present.date().with().month(1).day(1).build().ok() } else { Some(present.date()) };
    let before = day
        .and_then(|day| day.to_zoned(zone.clone()).ok())
        .map_or(now, |start| Timestamp::from_seconds(start.timestamp().as_second() - 1));
    time_point::parse(text, before, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T08:00:00Z, a Saturday.
    const NOW: Timestamp = Timestamp::from_seconds(1_795_248_000);

    #[test]
    fn times_of_sacct_lie_in_the_past() {
        let check = |text: &str, expected: &str| {
            let found = parse_past(text, NOW, &TimeZone::UTC).map(|time| standard(time, &TimeZone::UTC));
            assert_eq!(found.as_deref().unwrap_or("bad"), expected, "{text}");
        };
        check("now", "2026-11-21T08:00:00");
        check("now-1day", "2026-11-20T08:00:00");
        check("2026-11-20", "2026-11-20T00:00:00");
        check("2026-11-20T02:00", "2026-11-20T02:00:00");
        check("2026-11-20-00:00:01", "2026-11-20T00:00:01");
        check("07:30", "2026-11-21T07:30:00");
        check("00:00", "2026-11-21T00:00:00");
        check("23:30", "2026-11-21T23:30:00");
        check("midnight", "2026-11-21T00:00:00");
        check("12/24", "2026-12-24T00:00:00");
        check("01/02", "2026-01-02T00:00:00");
        check("0102", "2026-01-02T00:00:00");
        check("01/02/25", "2025-01-02T00:00:00");
        check("010225", "2025-01-02T00:00:00");
        for bad in ["garbage", "", "bad", "25:00"] {
            check(bad, "bad");
        }
    }

    #[test]
    fn prints_as_the_environment_wants() {
        let check = |format: Option<&str>, seconds: i64, expected: &str| {
            let time = Timestamp::from_seconds(NOW.seconds() + seconds);
            assert_eq!(print(time, NOW, &TimeZone::UTC, &TimeFormat::from_environment(format)), expected);
        };
        check(None, 0, "2026-11-21T08:00:00");
        check(Some("%s"), 0, "1795248000");
        check(Some("relative"), 60, "08:01:00");
        check(Some("relative"), 86_400, "Tomorr 08:00");
        check(Some("%d.%m.%y %H:%M"), 0, "21.11.26 08:00");
        assert_eq!(date_line(NOW, &TimeZone::UTC), "Sat Nov 21 08:00:00 2026");
    }
}
