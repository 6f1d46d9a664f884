//! When a recurring reservation comes next.
//!
//! Days and weeks are those of the calendar of the cluster's time zone: a reservation from 8 to 10 is from 8 to 10 also when
//! the clock has been changed, even if one occurrence fell into the hour that was left out. So each occurrence is worked
//! out from the times as they were set, never from the occurrence before it.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

use super::{Anchor, Reservation, ReservationFlag};
use crate::time::{Span, Timestamp};

/// How often a reservation comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurrence {
    /// `HOURLY`.
    Hourly,
    /// `DAILY`.
    Daily,
    /// `WEEKDAY`: Monday to Friday.
    Weekdays,
    /// `WEEKEND`: Saturday and Sunday.
    Weekends,
    /// `WEEKLY`.
    Weekly,
}

const HOUR: i64 = 3_600_000;
/// Days looked at from a day near the wanted one: two weeks hold every kind of day twice.
const DAYS_LOOKED_AT_MAX: i64 = 21;

impl Recurrence {
    fn recurs_on(self, date: Date) -> bool {
        let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
        match self {
            Recurrence::Weekdays => !weekend,
            Recurrence::Weekends => weekend,
            Recurrence::Hourly | Recurrence::Daily | Recurrence::Weekly => true,
        }
    }
}

/// The first occurrence that ends after `moment`; `None` beyond the end of the calendar.
pub fn occurrence_after(anchor: Anchor, recurrence: Recurrence, zone: &TimeZone, moment: Timestamp) -> Option<Anchor> {
    if anchor.end > moment {
        return Some(anchor);
    }
    if recurrence == Recurrence::Hourly {
        let hours = (moment.0 - anchor.end.0).div_euclid(HOUR) + 1;
        let later = Span(hours.checked_mul(HOUR)?);
        return Some(Anchor { start: anchor.start + later, end: anchor.end + later });
    }
    let (start, end) = (civil(anchor.start, zone)?, civil(anchor.end, zone)?);
    let length = anchor.end.since(anchor.start);
    let today = civil(moment, zone)?.date();
    let passed = i64::from(today.since(end.date()).ok()?.get_days());
    let step = if recurrence == Recurrence::Weekly { 7 } else { 1 };
    let near = (passed - 2).max(0).div_euclid(step) * step;
    (near..=near + DAYS_LOOKED_AT_MAX).step_by(step as usize).find_map(|days| {
        let later = jiff::Span::new().try_days(days).ok()?;
        let (start, end) = (start.checked_add(later).ok()?, end.checked_add(later).ok()?);
        let occurrence = Anchor { start: instant(start, zone)?, end: instant(end, zone)? };
        // The hour that is left out once a year can swallow an end.
        let end = if occurrence.end > occurrence.start { occurrence.end } else { occurrence.start + length };
        (recurrence.recurs_on(start.date()) && end > moment).then_some(Anchor { end, ..occurrence })
    })
}

fn civil(time: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    Some(jiff::Timestamp::from_millisecond(time.0).ok()?.to_zoned(zone.clone()).datetime())
}

fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(Timestamp(time.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond()))
}

impl Reservation {
    /// How it recurs; the shortest period wins where several flags are set, as in Slurm.
    pub fn recurrence(&self) -> Option<Recurrence> {
        const BY_FLAG: [(ReservationFlag, Recurrence); 5] = [
            (ReservationFlag::Hourly, Recurrence::Hourly),
            (ReservationFlag::Daily, Recurrence::Daily),
            (ReservationFlag::Weekday, Recurrence::Weekdays),
            (ReservationFlag::Weekend, Recurrence::Weekends),
            (ReservationFlag::Weekly, Recurrence::Weekly),
        ];
        BY_FLAG.iter().find(|(flag, _)| self.has(*flag)).map(|(_, recurrence)| *recurrence)
    }

    /// The first occurrence that ends after `moment`, if it recurs.
    pub fn occurrence_after(&self, zone: &TimeZone, moment: Timestamp) -> Option<Anchor> {
        let anchor = self.anchor.unwrap_or(Anchor { start: self.start, end: self.end });
        occurrence_after(anchor, self.recurrence()?, zone, moment)
    }

    /// The part of its time, now or when it recurs, that a run from `from` until `until` would meet first.
    pub fn met_by(&self, zone: &TimeZone, now: Timestamp, from: Timestamp, until: Timestamp) -> Option<Anchor> {
        let meets = |occurrence: &Anchor| occurrence.start < until && from < occurrence.end;
        let (start, end) = self.window(now);
        let present = Anchor { start, end };
        if meets(&present) {
            return Some(present);
        }
        if self.float.is_some() || until <= end {
            return None;
        }
        self.occurrence_after(zone, from.max(end)).filter(meets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        // Central Europe, written out so that no database of zones is needed.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        instant(text.parse().unwrap(), &zone()).unwrap()
    }

    fn text(time: Timestamp) -> String {
        civil(time, &zone()).unwrap().to_string()
    }

    /// Occurrences from 2027-03-25 (a Thursday; the clock goes forward on Sunday 28 at 2), first at `hours`.
    fn check(recurrence: Recurrence, hours: (&str, &str), expected: &str) {
        let anchor =
            Anchor { start: at(&format!("2027-03-25T{}", hours.0)), end: at(&format!("2027-03-25T{}", hours.1)) };
        let mut lines = Vec::new();
        let mut moment = Timestamp(0);
        for _ in 0..6 {
            let next = occurrence_after(anchor, recurrence, &zone(), moment).unwrap();
            lines.push(format!("{} {}", text(next.start), &text(next.end)[11..]));
            moment = next.end;
        }
        assert_eq!(lines.join("\n"), expected.replace("         ", ""));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        check(
            Recurrence::Daily,
            ("01:00:00", "05:00:00"),
            "2027-03-25T01:00:00 05:00:00\n2027-03-26T01:00:00 05:00:00\n2027-03-27T01:00:00 05:00:00\n2027-03-28T01:00:00 05:00:00\n2027-03-29T01:00:00 05:00:00\n2027-03-30T01:00:00 05:00:00",
        );
        check(
            Recurrence::Weekdays,
            ("08:00:00", "10:00:00"),
            "2027-03-25T08:00:00 10:00:00\n2027-03-26T08:00:00 10:00:00\n2027-03-29T08:00:00 10:00:00\n2027-03-30T08:00:00 10:00:00\n2027-03-31T08:00:00 10:00:00\n2027-04-01T08:00:00 10:00:00",
        );
        check(
            Recurrence::Weekly,
            ("08:00:00", "10:00:00"),
            "2027-03-25T08:00:00 10:00:00\n2027-04-01T08:00:00 10:00:00\n2027-04-08T08:00:00 10:00:00\n2027-04-15T08:00:00 10:00:00\n2027-04-22T08:00:00 10:00:00\n2027-04-29T08:00:00 10:00:00",
        );
    }

    #[test]
    fn the_hour_left_out_moves_one_occurrence_only() {
        check(
            Recurrence::Daily,
            ("02:30:00", "03:00:00"),
            "2027-03-25T02:30:00 03:00:00\n2027-03-26T02:30:00 03:00:00\n2027-03-27T02:30:00 03:00:00\n2027-03-28T03:30:00 04:00:00\n2027-03-29T02:30:00 03:00:00\n2027-03-30T02:30:00 03:00:00",
        );
    }

    #[test]
    fn nothing_drifts_over_the_years() {
        // Every hour of the day as begin, over days on which the clock goes forward and back.
        for hour in 0..24 {
            let begin = format!("{hour:02}:30:00");
            let start = at(&format!("2027-01-01T{begin}"));
            let anchor = Anchor { start, end: start + Span::from_minutes(20) };
            let recurrences = [Recurrence::Daily, Recurrence::Weekdays, Recurrence::Weekends, Recurrence::Weekly];
            for recurrence in recurrences {
                let (mut moment, mut before) = (anchor.end, anchor);
                for _ in 0..800 {
                    let next = occurrence_after(anchor, recurrence, &zone(), moment).unwrap();
                    let shown = text(next.start);
                    // 02:30 does not exist on one day of the year.
                    let is_left_out = hour == 2 && shown.ends_with("T03:30:00");
                    assert!(shown.ends_with(&format!("T{begin}")) || is_left_out, "{recurrence:?} {shown}");
                    assert!(next.start >= before.end && next.end > next.start, "{recurrence:?} {shown}");
                    assert!(recurrence.recurs_on(civil(next.start, &zone()).unwrap().date()), "{recurrence:?} {shown}");
                    // Asking in the middle of an occurrence finds the same.
                    let again = occurrence_after(anchor, recurrence, &zone(), next.start).unwrap();
                    assert_eq!(again, next, "{recurrence:?} {shown}");
                    (moment, before) = (next.end, next);
                }
            }
        }
    }

    #[test]
    fn hours_are_hours() {
        check(
            Recurrence::Hourly,
            ("08:00:00", "08:10:00"),
            "2027-03-25T08:00:00 08:10:00\n2027-03-25T09:00:00 09:10:00\n2027-03-25T10:00:00 10:10:00\n2027-03-25T11:00:00 11:10:00\n2027-03-25T12:00:00 12:10:00\n2027-03-25T13:00:00 13:10:00",
        );
    }

    #[test]
    fn a_long_absence_is_jumped_over() {
        let anchor = Anchor { start: at("2027-03-25T08:00:00"), end: at("2027-03-25T10:00:00") };
        let next = |recurrence| {
            let found = occurrence_after(anchor, recurrence, &zone(), at("2036-11-06T09:59:59")).unwrap();
            (text(found.start), text(found.end))
        };
        assert_eq!(next(Recurrence::Daily), ("2036-11-06T08:00:00".into(), "2036-11-06T10:00:00".into()));
        assert_eq!(next(Recurrence::Weekly), ("2036-11-06T08:00:00".into(), "2036-11-06T10:00:00".into()));
        assert_eq!(next(Recurrence::Weekends), ("2036-11-08T08:00:00".into(), "2036-11-08T10:00:00".into()));
        assert!(occurrence_after(anchor, Recurrence::Daily, &zone(), Timestamp(i64::MAX)).is_none());
    }
}
