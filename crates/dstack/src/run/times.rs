//! Times as dstack prints them.

use muster_model::time::Timestamp;

/// ISO 8601 in UTC with microseconds and `Z`, as dstack's API has it.
pub fn iso_time(time: Timestamp) -> String {
    let zoned = jiff::Timestamp::from_millisecond(time.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    zoned.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// How long ago: `now`, `12 sec ago`, `3 mins ago`, `yesterday`, `2 weeks ago`. Empty for the future.
pub fn time_ago(time: Timestamp, now: Timestamp) -> String {
    if time.seconds() > now.seconds() {
        return String::new();
    }
    let seconds = now.since(time).seconds();
    // Half units go to the even neighbour, as in dstack.
    let rounded = |unit: i64| {
        let (whole, rest) = (seconds / unit, seconds % unit);
        match (rest * 2).cmp(&unit) {
            std::cmp::Ordering::Less => whole,
            std::cmp::Ordering::Greater => whole + 1,
            std::cmp::Ordering::Equal => whole + whole % 2,
        }
    };
    const DAY: i64 = 86_400;
    let several = |count: i64, unit: &str| {
        if count == 1 { format!("1 {unit} ago") } else { format!("{count} {unit}s ago") }
    };
    match seconds {
        0..10 => "now".to_owned(),
        10..60 => format!("{seconds} sec ago"),
        60..120 => "1 min ago".to_owned(),
        120..3600 => several(rounded(60), "min"),
        3600..7200 => "1 hour ago".to_owned(),
        7200..DAY => several(rounded(3600), "hour"),
        _ => match seconds / DAY {
            1 => "yesterday".to_owned(),
            days @ 2..7 => format!("{days} days ago"),
            7..31 => several(rounded_days(seconds / DAY, 7), "week"),
            31..365 => several(rounded_days(seconds / DAY, 30), "month"),
            days => several(rounded_days(days, 365), "year"),
        },
    }
}

fn rounded_days(days: i64, unit: i64) -> i64 {
    let (whole, rest) = (days / unit, days % unit);
    match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_words() {
        let now = Timestamp::from_seconds(100_000_000);
        let check = |seconds: i64, expected: &str| {
            assert_eq!(time_ago(Timestamp::from_seconds(100_000_000 - seconds), now), expected, "{seconds}");
        };
        check(-5, "");
        check(0, "now");
        check(12, "12 sec ago");
        check(119, "1 min ago");
        check(150, "2 mins ago");
        check(200, "3 mins ago");
        check(3599, "60 mins ago");
        check(5000, "1 hour ago");
        check(9000, "2 hours ago");
        check(90_000, "yesterday");
        check(3 * 86_400, "3 days ago");
        check(8 * 86_400, "1 week ago");
        check(14 * 86_400, "2 weeks ago");
        check(60 * 86_400, "2 months ago");
        check(800 * 86_400, "2 years ago");
    }

    #[test]
    fn times_are_iso() {
        assert_eq!(iso_time(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123000Z");
    }
}
