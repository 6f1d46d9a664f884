//! Points in time as `--begin` and `--deadline` take them: `now+2hours`, `16:00`, `tomorrow 10:00`, `2027-01-01T10:00`.
//!
//! Follows the behaviour seen in Slurm 22.05 with its positions of errors. A time of day that has passed means
//! tomorrow, a day of the year that has passed means next year.

use jiff::Zoned;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use muster_model::time::Timestamp;

/// Where the text stopped making sense: Slurm prints `Invalid time specification (pos=N): TEXT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPosition(pub usize);

/// What has been read so far.
#[derive(Default)]
struct Found {
    date: Option<Date>,
    year_given: bool,
    time: Option<Time>,
    absolute: Option<i64>,
}

/// The point that `text` names, seen from `now` in `zone`.
///
/// # Errors
/// The position of the first character that makes no sense; an empty text is bad at position 0.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, BadPosition> {
    let present = jiff::Timestamp::from_second(now.seconds()).map_err(|_| BadPosition(0))?.to_zoned(zone.clone());
    let mut reader = Reader { text, position: 0, present: &present };
    let mut found = Found::default();
    while let Some(byte) = reader.peek() {
        match byte {
            b' ' | b'\t' | b'\n' | b'-' | b'T' if reader.word().is_none() => reader.position += 1,
            b'0'..=b'9' => reader.digits(&mut found)?,
            _ => reader.named(&mut found)?,
        }
    }
    settle(&found, &present).ok_or(BadPosition(0))
}

fn settle(found: &Found, present: &Zoned) -> Option<Timestamp> {
    if let Some(seconds) = found.absolute {
        return Some(Timestamp::from_seconds(seconds));
    }
    let (date, time) = match (found.date, found.time) {
        (Some(date), time) => {
            let passed = !found.year_given && date < present.date();
            let date = if passed { date.checked_add(jiff::Span::new().years(1)).ok()? } else { date };
            (date, time.unwrap_or(Time::midnight()))
        }
        (None, Some(time)) => {
            let passed = time <= present.time();
            (if passed { present.date().tomorrow().ok()? } else { present.date() }, time)
        }
        (None, None) => return None,
    };
    let point = DateTime::from_parts(date, time).to_zoned(present.time_zone().clone()).ok()?;
    Some(Timestamp::from_seconds(point.timestamp().as_second()))
}

/// A word that stands for a day or a time of day.
enum Word {
    Today,
    Tomorrow,
    Now,
    Hour(i8),
    Epoch,
}

const WORDS: &[(&str, Word)] = &[
    ("today", Word::Today),
    ("tomorrow", Word::Tomorrow),
    ("midnight", Word::Hour(0)),
    ("noon", Word::Hour(12)),
    ("fika", Word::Hour(15)),
    ("teatime", Word::Hour(16)),
    ("now", Word::Now),
    ("uts", Word::Epoch),
];

/// The longer forms come first, since the first that the text begins with counts; there are no shorter ones.
const UNITS: &[(&str, i64)] = &[
    ("seconds", 1),
    ("second", 1),
    ("minutes", 60),
    ("minute", 60),
    ("hours", 3600),
    ("hour", 3600),
    ("days", 86_400),
    ("day", 86_400),
    ("weeks", 604_800),
    ("week", 604_800),
];

/// Greatest number that an offset may hold, so that no product overflows.
const OFFSET_MAX: i64 = 1 << 40;

struct Reader<'a> {
    text: &'a str,
    position: usize,
    present: &'a Zoned,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.position..).unwrap_or_default()
    }

    fn bad<T>(&self) -> Result<T, BadPosition> {
        Err(BadPosition(self.position))
    }

    fn word(&self) -> Option<&'static (&'static str, Word)> {
        WORDS.iter().find(|(word, _)| {
            self.rest().get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.position += 1;
        }
    }

    fn named(&mut self, found: &mut Found) -> Result<(), BadPosition> {
        let Some((text, word)) = self.word() else {
            return self.bad();
        };
        let day = |date: Result<Date, jiff::Error>| date.map_err(|_| BadPosition(0));
        match word {
            Word::Today => found.date = Some(self.present.date()),
            Word::Tomorrow => found.date = Some(day(self.present.date().tomorrow())?),
            Word::Hour(hour) => found.time = Some(Time::constant(*hour, 0, 0, 0)),
            Word::Now | Word::Epoch => {}
        }
        self.position += text.len();
        match word {
            Word::Now => found.absolute = Some(self.offset()?),
            Word::Epoch => {
                found.absolute =
                    Some(self.number().filter(|value| *value < OFFSET_MAX).ok_or(BadPosition(self.position))?)
            }
            _ => found.year_given = found.year_given || matches!(word, Word::Today | Word::Tomorrow),
        }
        Ok(())
    }

    /// `+N[unit]` or `-N[unit]` after `now`; nothing means now itself.
    fn offset(&mut self) -> Result<i64, BadPosition> {
        let present = self.present.timestamp().as_second();
        let start = self.position;
        let wrong = BadPosition(start);
        self.skip_blanks();
        let sign = match self.peek() {
            None => return Ok(present),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return Err(wrong),
        };
        self.position += 1;
        self.skip_blanks();
        let count = self.number().filter(|value| *value < OFFSET_MAX).ok_or(wrong)?;
        let factor = self.unit()?;
        count
            .checked_mul(factor)
            .and_then(|seconds| present.checked_add(sign * seconds))
            .filter(|point| point.abs() < OFFSET_MAX)
            .ok_or(wrong)
    }

    /// Seconds of the unit after a number; what stands there must be one or the end. Slurm 22.05 points to the character
    /// before what it does not know.
    fn unit(&mut self) -> Result<i64, BadPosition> {
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(1);
        }
        let begins =
            |name: &str| self.rest().get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name.as_bytes()));
        let (name, seconds) =
            UNITS.iter().find(|(name, _)| begins(name)).ok_or(BadPosition(self.position.saturating_sub(1)))?;
        self.position += name.len();
        Ok(*seconds)
    }

    fn number(&mut self) -> Option<i64> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(&self.rest()[..digits]).ok()?.parse().ok();
        self.position += digits;
        value
    }

    /// One or two digits.
    fn two_digits(&mut self) -> Option<i8> {
        let digits = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(&self.rest()[..digits]).ok()?.parse().ok()?;
        self.position += digits;
        Some(value)
    }

    fn digits(&mut self, found: &mut Found) -> Result<(), BadPosition> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let after = self.rest().get(digits).copied();
        match (digits, after) {
            (1 | 2, Some(b':')) => self.clock(found),
            (4, Some(b'-')) => self.iso_date(found),
            _ => self.month_day(found),
        }
    }

    fn clock(&mut self, found: &mut Found) -> Result<(), BadPosition> {
        let start = self.position;
        let mut hour = self.two_digits().unwrap_or(-1);
        let mut parts = [0i8; 2];
        for part in &mut parts {
            if self.peek() != Some(b':') {
                break;
            }
            self.position += 1;
            let Some(value) = self.two_digits().filter(|value| *value < 60) else {
                return self.bad();
            };
            *part = value;
        }
        let before_half = self.position;
        self.skip_blanks();
        let half = self.rest().get(..2).map(<[u8]>::to_ascii_lowercase);
        match half.as_deref() {
            Some(b"pm") => {
                self.position += 2;
                hour = if hour < 12 { hour + 12 } else { hour };
            }
            Some(b"am") => {
                self.position += 2;
                hour = if hour == 12 { 0 } else { hour };
            }
            _ => self.position = before_half,
        }
        found.time = Some(Time::new(hour, parts[0], parts[1], 0).map_err(|_| BadPosition(start))?);
        Ok(())
    }

    fn iso_date(&mut self, found: &mut Found) -> Result<(), BadPosition> {
        let Some(year) = self.number().and_then(|year| i16::try_from(year).ok()) else {
            return self.bad();
        };
        self.position += 1;
        let month_at = self.position;
        let Some(month) = self.two_digits().filter(|month| (1..=12).contains(month)) else {
            return Err(BadPosition(month_at));
        };
        if self.peek() != Some(b'-') {
            return self.bad();
        }
        self.position += 1;
        let day_at = self.position;
        let day = self.two_digits().unwrap_or(0);
        found.date = Some(Date::new(year, month, day).map_err(|_| BadPosition(day_at))?);
        found.year_given = true;
        Ok(())
    }

    /// `MMDD[YY]`, `MM/DD[/YY]`, `MM.DD[.YY]`.
    fn month_day(&mut self, found: &mut Found) -> Result<(), BadPosition> {
        let month_at = self.position;
        let Some(month) = self.two_digits().filter(|month| (1..=12).contains(month)) else {
            return Err(BadPosition(month_at));
        };
        let separator = self.peek().filter(|byte| matches!(byte, b'/' | b'.'));
        self.position += usize::from(separator.is_some());
        let day_at = self.position;
        let Some(day) = self.two_digits().filter(|day| (1..=31).contains(day)) else {
            return Err(BadPosition(day_at));
        };
        let year_follows = match separator {
            Some(_) => self.peek() == separator,
            None => self.peek().is_some_and(|byte| byte.is_ascii_digit()),
        };
        let mut year = self.present.year();
        if year_follows {
            self.position += usize::from(separator.is_some());
            let year_at = self.position;
            let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
            let Some(number) = self.number().and_then(|year| i16::try_from(year).ok()) else {
                return Err(BadPosition(year_at));
            };
            year = match digits {
                2 => 2000 + number,
                4 if separator.is_some() => number,
                _ => return Err(BadPosition(year_at)),
            };
            found.year_given = true;
        }
        found.date = Some(Date::new(year, month, day).map_err(|_| BadPosition(day_at))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T08:11:02Z.
    const NOW: Timestamp = Timestamp::from_seconds(1_795_248_662);

    #[test]
    fn points() {
        let check = |text: &str, expected: &str| {
            let found = match parse(text, NOW, &TimeZone::UTC) {
                Ok(time) => {
                    jiff::Timestamp::from_second(time.seconds()).unwrap().strftime("%Y-%m-%dT%H:%M:%S").to_string()
                }
                Err(BadPosition(position)) => format!("pos={position}"),
            };
            assert_eq!(found, expected, "{text:?}");
        };
        check("now", "2026-11-21T08:11:02");
        check("now+1", "2026-11-21T08:11:03");
        check("now+1hour", "2026-11-21T09:11:02");
        check("now+60seconds", "2026-11-21T08:12:02");
        check("now+3days", "2026-11-24T08:11:02");
        check("now+1weeks", "2026-11-28T08:11:02");
        check("now + 1 hour", "2026-11-21T09:11:02");
        check("now-1hour", "2026-11-21T07:11:02");
        check("16:00", "2026-11-21T16:00:00");
        check("07:00", "2026-11-22T07:00:00");
        check("10:00:30", "2026-11-21T10:00:30");
        check("9:30PM", "2026-11-21T21:30:00");
        check("12:15 am", "2026-11-22T00:15:00");
        check("noon", "2026-11-21T12:00:00");
        check("midnight", "2026-11-22T00:00:00");
        check("teatime", "2026-11-21T16:00:00");
        check("fika", "2026-11-21T15:00:00");
        check("today", "2026-11-21T00:00:00");
        check("tomorrow", "2026-11-22T00:00:00");
        check("Tomorrow 10:00", "2026-11-22T10:00:00");
        check("10:00 tomorrow", "2026-11-22T10:00:00");
        check("2027-01-01", "2027-01-01T00:00:00");
        check("2027-01-01T10:00", "2027-01-01T10:00:00");
        check("2027-01-01 10:00", "2027-01-01T10:00:00");
        check("2001-01-01", "2001-01-01T00:00:00");
        check("01/02/27", "2027-01-02T00:00:00");
        check("0102", "2027-01-02T00:00:00");
        check("010227", "2027-01-02T00:00:00");
        check("1/2", "2027-01-02T00:00:00");
        check("12.24.26-13:00", "2026-12-24T13:00:00");
        check("uts1795248662", "2026-11-21T08:11:02");
        check("bad", "pos=0");
        check("now+bad", "pos=3");
        check("now+2minutes", "2026-11-21T08:13:02");
        check("now+2HOUR", "2026-11-21T10:11:02");
        check("now+1min", "pos=4");
        check("now+12min", "pos=5");
        check("now+1 min", "pos=5");
        check("now+1m", "pos=4");
        check("now+1sec", "pos=4");
        check("now+1hou", "pos=4");
        check("now+01:00", "pos=5");
        check("now+1hourx", "pos=9");
        check("now+1minute+1", "pos=11");
        check("25:00", "pos=0");
        check("4pm", "pos=1");
        check("elevenses", "pos=0");
        check("2027-13-01", "pos=5");
        check("yesterday", "pos=0");
        check("1234567890", "pos=2");
        check("monday", "pos=0");
        check("", "pos=0");
        check("now+99999999999999999999hours", "pos=3");
        check("é", "pos=0");
    }
}
