//! Jobs that come again and again at times of the calendar: schedules, and the tables in which users keep them.
//!
//! Times are those of the calendar of the cluster's zone. Where the clock is put forward, a job of the hour that is left
//! out comes right after it; where it is put back, a job with a fixed hour comes once and one of every hour in both.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::time::Timestamp;

/// Days looked at for the next time: the 29th of February comes again after eight years at the most.
const DAYS_MAX: usize = 8 * 366 + 2;

/// A set of small numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Numbers(pub u64);

impl Numbers {
    /// Whether `number` is one of them.
    pub fn contains(self, number: u32) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }

    /// Adds one; none above 63.
    pub fn insert(&mut self, number: u32) {
        if number < 64 {
            self.0 |= 1 << number;
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, number: u32) {
        if number < 64 {
            self.0 &= !(1 << number);
        }
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |number| self.contains(*number))
    }
}

/// Prints `0,10-14`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| *next == last + 1) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?
            } else {
                write!(f, "{separator}{first}-{last}")?
            }
            separator = ",";
        }
        Ok(())
    }
}

/// One field of a schedule: some values, or any (`*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Whatever it is.
    Any,
    /// One of these.
    Of(Numbers),
}

impl Field {
    fn takes(self, number: u32) -> bool {
        match self {
            Field::Any => true,
            Field::Of(numbers) => numbers.contains(number),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Any => f.write_str("*"),
            Field::Of(numbers) => numbers.fmt(f),
        }
    }
}

/// At which minutes a job comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// 0 to 59.
    pub minute: Field,
    /// 0 to 23.
    pub hour: Field,
    /// 1 to 31.
    pub day: Field,
    /// 1 to 12.
    pub month: Field,
    /// 0 (Sunday) to 6. Where days of both kinds are given, either will do.
    pub weekday: Field,
}

impl Schedule {
    /// The first time after the minute of `after`; `None` for one that never comes.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = jiff::Timestamp::from_millisecond(after.0).ok()?.to_zoned(zone.clone()).date();
        let days = std::iter::successors(Some(start), |day| day.tomorrow().ok());
        days.take(DAYS_MAX).filter(|day| self.is_on(*day)).find_map(|day| self.next_on(day, after, zone))
    }

    fn is_on(&self, date: Date) -> bool {
        let number = |value: i8| u32::from(value.unsigned_abs());
        let weekday = self.weekday.takes(number(date.weekday().to_sunday_zero_offset()));
        let day = self.day.takes(number(date.day()));
        let is_day = match (self.day, self.weekday) {
            (Field::Of(_), Field::Of(_)) => day || weekday,
            _ => day && weekday,
        };
        is_day && self.month.takes(number(date.month()))
    }

    fn next_on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        for hour in (0..24_i8).filter(|hour| self.hour.takes(u32::from(hour.unsigned_abs()))) {
            for minute in (0..60_i8).filter(|minute| self.minute.takes(u32::from(minute.unsigned_abs()))) {
                let wall = zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
                let again = self.hour == Field::Any && matches!(wall.offset(), AmbiguousOffset::Fold { .. });
                let twice = [wall.compatible().ok(), again.then(|| wall.later().ok()).flatten()];
                let times = twice.into_iter().flatten().map(|time| Timestamp(time.as_millisecond()));
                let next = times.filter(|time| time.0.div_euclid(60_000) > after.0.div_euclid(60_000)).min();
                best = match (best, next) {
                    (Some(best), Some(next)) => Some(best.min(next)),
                    (best, next) => best.or(next),
                };
            }
            if best.is_some() && self.hour != Field::Any {
                break;
            }
        }
        best
    }
}

/// Prints the five fields, values as numbers (Slurm's `CrontabSpec`).
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.minute, self.hour, self.day, self.month, self.weekday)
    }
}

/// What makes a job one that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CronEntry {
    /// When.
    pub schedule: Schedule,
    /// The first line of the table that is about it, from 0.
    pub line_first: u32,
    /// The last one.
    pub line_last: u32,
}

/// The table of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crontab {
    /// The user's number.
    pub uid: u32,
    /// The table as it was written.
    pub text: String,
    /// Lines, first and last, whose jobs were cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<(u32, u32)>,
}

impl Crontab {
    /// What the row is found by.
    pub fn key(&self) -> Name {
        self.uid.to_string().as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field {
        if text == "*" {
            return Field::Any;
        }
        let mut numbers = Numbers::default();
        text.split(',').for_each(|number| numbers.insert(number.parse().expect("a number")));
        Field::Of(numbers)
    }

    fn schedule(text: &str) -> Schedule {
        let fields: Vec<Field> = text.split(' ').map(field).collect();
        let [minute, hour, day, month, weekday] = fields.try_into().expect("five fields");
        Schedule { minute, hour, day, month, weekday }
    }

    fn time(text: &str, zone: &TimeZone) -> Timestamp {
        let civil: jiff::civil::DateTime = text.parse().expect("a date and a time");
        Timestamp(zone.to_timestamp(civil).expect("a time").as_millisecond())
    }

    /// The next times after `after`, in `zone`.
    #[track_caller]
    fn check(zone: &TimeZone, text: &str, after: &str, expected: &[&str]) {
        let schedule = schedule(text);
        let mut now = time(after, zone);
        let mut found = Vec::new();
        for _ in expected {
            let Some(next) = schedule.next(now, zone) else { break };
            found.push(
                jiff::Timestamp::from_millisecond(next.0)
                    .unwrap()
                    .to_zoned(zone.clone())
                    .strftime("%F %H:%M%z")
                    .to_string(),
            );
            now = next;
        }
        assert_eq!(found, expected, "{text} after {after}");
    }

    #[test]
    fn times_come_in_order() {
        let utc = &TimeZone::UTC;
        let at = |text: &str| format!("2026-{text}+0000");
        let times = |texts: &[&str]| texts.iter().map(|text| at(text)).collect::<Vec<String>>();
        let check = |text: &str, after: &str, expected: &[&str]| {
            let expected = times(expected);
            check(utc, text, after, &expected.iter().map(String::as_str).collect::<Vec<_>>());
        };
        check("* * * * *", "2026-11-28T21:34:59", &["11-28 21:35", "11-28 21:36"]);
        check("0 * * * *", "2026-11-28T21:00:00", &["11-28 22:00", "11-28 23:00", "11-29 00:00"]);
        check(
            "1,2,30 8,10 * * 3",
            "2026-11-28T21:00:00",
            &["12-02 08:01", "12-02 08:02", "12-02 08:30", "12-02 10:01"],
        );
        check("0 0 31 * *", "2026-08-31T00:00:00", &["10-31 00:00", "12-31 00:00"]);
        // Either kind of day will do.
        check("0 5 1 * 0", "2026-11-28T21:00:00", &["11-29 05:00", "12-01 05:00", "12-06 05:00"]);
        assert_eq!(schedule("0 0 30 2 *").next(time("2026-01-01T00:00:00", utc), utc), None);
        let leap = schedule("0 0 29 2 *").next(time("2097-01-01T00:00:00", utc), utc);
        assert_eq!(leap, Some(time("2104-02-29T00:00:00", utc)));
    }

    #[test]
    fn the_clock_may_be_put_forward_and_back() {
        let zone = &TimeZone::get("Europe/Berlin").expect("a zone");
        let spring = ["2026-03-28 02:30+0100", "2026-03-29 03:30+0200", "2026-03-30 02:30+0200"];
        check(zone, "30 2 * * *", "2026-03-28T01:00:00", &spring);
        let autumn = ["2026-10-25 02:30+0200", "2026-10-26 02:30+0100"];
        check(zone, "30 2 * * *", "2026-10-25T01:00:00", &autumn);
        let hourly = ["2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-25 03:00+0100"];
        check(zone, "0 * * * *", "2026-10-25T01:00:00", &hourly);
    }

    #[test]
    fn schedules_are_printed_as_numbers() {
        for text in ["* * * * *", "0-4,30 8,10,12,14,16 * * 3", "0 0 1 1 *"] {
            let plain = text.replace("0-4", "0,1,2,3,4");
            assert_eq!(schedule(&plain).to_string(), text);
        }
    }
}
