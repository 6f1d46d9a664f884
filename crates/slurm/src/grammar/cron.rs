//! Times of jobs that come again, as `scrontab` of Slurm 22.05 reads them.
//!
//! Five fields, or a word after `@`, then the command. What differs from other crons is Slurm's: a step counts from the
//! first value of the field and not from the first of the range (`9-17/2` are the even hours), it must be greater than 1,
//! and a name stands for one value only.

use muster_model::cron::{Field, Numbers, Schedule};

/// A line of a table that is about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronLine {
    /// When.
    pub schedule: Schedule,
    /// The times as they were written.
    pub written: String,
    /// What to run.
    pub command: String,
}

/// One field: its greatest value, which may stand for the least (`7` for Sunday), the first that a step counts, and names.
struct Kind {
    size: u32,
    wraps: bool,
    least: u32,
    names: &'static [(&'static str, u32)],
    bad_name: &'static str,
}

const PLAIN: Kind = Kind { size: 61, wraps: true, least: 0, names: &[], bad_name: "" };
const KINDS: [Kind; 5] = [
    PLAIN,
    Kind { size: 25, ..PLAIN },
    Kind { size: 32, wraps: false, least: 1, ..PLAIN },
    Kind { size: 13, wraps: false, least: 1, names: MONTHS, bad_name: "bad month specification" },
    Kind { size: 8, wraps: true, least: 1, names: DAYS, bad_name: "bad day specification" },
];
const MONTHS: &[(&str, u32)] = &[
    ("jan", 1),
    ("feb", 2),
    ("mar", 3),
    ("apr", 4),
    ("may", 5),
    ("jun", 6),
    ("jul", 7),
    ("aug", 8),
    ("sep", 9),
    ("oct", 10),
    ("nov", 11),
    ("dec", 12),
];
const DAYS: &[(&str, u32)] = &[("mon", 1), ("tue", 2), ("wed", 3), ("thu", 4), ("fri", 5), ("sat", 6), ("sun", 7)];

/// Words after `@`, and what they stand for.
const WORDS: &[(&str, &str)] = &[
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
    ("monthly", "0 0 1 * *"),
    ("weekly", "0 0 * * 0"),
    ("daily", "0 0 * * *"),
    ("midnight", "0 0 * * *"),
    ("hourly", "0 * * * *"),
];

/// Reads a line without the blanks before it.
///
/// # Errors
/// What Slurm's `scrontab` complains of, line by line.
pub fn parse(line: &str) -> Result<CronLine, Vec<&'static str>> {
    read(line).map_err(|complaint| complaint.into_iter().chain(["something is broken"]).collect())
}

fn read(line: &str) -> Result<CronLine, Option<&'static str>> {
    let (schedule, rest) = match line.strip_prefix('@') {
        Some(word) => {
            let known = |name: &str| word.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            let (_, fields) = WORDS.iter().find(|(name, _)| known(name)).ok_or(Some("invalid @ line"))?;
            (fields_of(fields)?.0, word.trim_start_matches(|c: char| c.is_ascii_alphabetic()))
        }
        None => fields_of(line)?,
    };
    let command = rest.trim_start_matches([' ', '\t']);
    if command.len() == rest.len() || !may_come(&schedule) {
        return Err(None);
    }
    let written = line[..line.len() - rest.len()].trim_end().to_owned();
    Ok(CronLine { schedule, written, command: command.to_owned() })
}

/// The five fields, and what follows them.
fn fields_of(line: &str) -> Result<(Schedule, &str), Option<&'static str>> {
    let mut rest = line;
    let mut fields = [Field::Any; 5];
    for (at, kind) in KINDS.iter().enumerate() {
        if at > 0 {
            let blanks = rest.trim_start_matches([' ', '\t']);
            if blanks.len() == rest.len() {
                return Err(None);
            }
            rest = blanks;
        }
        (fields[at], rest) = field(kind, rest)?;
    }
    let [minute, hour, day, month, weekday] = fields;
    Ok((Schedule { minute, hour, day, month, weekday }, rest))
}

fn field<'a>(kind: &Kind, text: &'a str) -> Result<(Field, &'a str), Option<&'static str>> {
    let mut numbers = Numbers::default();
    let mut rest;
    let is_any = text.starts_with('*');
    if text.is_empty() {
        return Err(Some("cronspec_to_bitstring: unexpected end of line"));
    } else if is_any {
        (0..kind.size).for_each(|number| numbers.insert(number));
        rest = &text[1..];
    } else if !kind.names.is_empty() && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let named = |(name, _): &&(&str, u32)| text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let (_, number) = kind.names.iter().find(named).ok_or(Some(kind.bad_name))?;
        numbers.insert(*number);
        rest = &text[3..];
    } else {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != ',').unwrap_or(text.len());
        for range in text[..end].split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first, kind)?, number(last, kind)?);
            if first > last {
                return Err(None);
            }
            (first..=last).for_each(|number| numbers.insert(number));
        }
        rest = &text[end..];
    }
    let mut is_plain_any = is_any;
    if let Some(step) = rest.strip_prefix('/') {
        let end = step.find(|c: char| !c.is_ascii_digit()).unwrap_or(step.len());
        let by = step[..end].parse::<u32>().ok().filter(|by| *by > 1 && *by < kind.size);
        let by = by.ok_or(Some("bad step value"))?;
        let counted: Vec<u32> = (kind.least..kind.size).step_by(by as usize).collect();
        let dropped: Vec<u32> = numbers.iter().filter(|number| !counted.contains(number)).collect();
        dropped.into_iter().for_each(|number| numbers.remove(number));
        rest = &step[end..];
        is_plain_any = false;
    }
    if kind.wraps && numbers.contains(kind.size - 1) {
        numbers.remove(kind.size - 1);
        numbers.insert(0);
    }
    if kind.least > 0 && !kind.wraps {
        numbers.remove(0);
    }
    Ok((if is_plain_any { Field::Any } else { Field::Of(numbers) }, rest))
}

fn number(text: &str, kind: &Kind) -> Result<u32, Option<&'static str>> {
    text.parse().ok().filter(|number| *number < kind.size).ok_or(None)
}

/// Whether no field is empty, and the days are in one of the months.
fn may_come(schedule: &Schedule) -> bool {
    let fields = [schedule.minute, schedule.hour, schedule.day, schedule.month, schedule.weekday];
    if fields.iter().any(|field| matches!(field, Field::Of(numbers) if numbers.iter().next().is_none())) {
        return false;
    }
    let Field::Of(days) = schedule.day else { return true };
    let month = |number: u32| match schedule.month {
        Field::Any => true,
        Field::Of(months) => months.contains(number),
    };
    match days.iter().next() {
        Some(31) => [1, 3, 5, 7, 8, 10, 12].into_iter().any(month),
        Some(30) => (1..=12).filter(|number| *number != 2).any(month),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schedule in numbers, `|` and the command; or the complaints.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match parse(line) {
            Ok(found) => format!("{}|{}", found.schedule, found.command),
            Err(complaints) => complaints.join("; "),
        };
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn fields_are_read_as_slurm_reads_them() {
        check("1-5,30 8-17/2 * * wed $DIR/x.job", "1-5,30 8,10,12,14,16 * * 3|$DIR/x.job");
        check("*/15 *\t* * *  run  it", "0,15,30,45 * * * *|run  it");
        check("0 9-17/2 * * * x", "0 10,12,14,16 * * *|x");
        check("60 24 1 jan 7 x", "0 0 1 1 0|x");
        check("0 0 * Dec SUN x", "0 0 * 12 0|x");
        check("0 0 */10 */4 */2 x", "0 0 1,11,21,31 1,5,9 0-1,3,5|x");
        check("0 0 30 2 * x", "something is broken");
        check("0 0 31 4,6 * x", "something is broken");
        check("0 0 29 2 * x", "0 0 29 2 *|x");
    }

    #[test]
    fn words_stand_for_fields() {
        check("@hourly $DIR/date.printer.job", "0 * * * *|$DIR/date.printer.job");
        check("@Yearly x", "0 0 1 1 *|x");
        check("@midnight x", "0 0 * * *|x");
        check("@weekly\tx", "0 0 * * 0|x");
        check("@reboot x", "invalid @ line; something is broken");
        check("@daily", "something is broken");
        assert_eq!(parse("@daily x").map(|line| line.written), Ok("@daily".to_owned()));
        assert_eq!(parse("1-5  2 * * *  x").map(|line| line.written), Ok("1-5  2 * * *".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        check("* * * *", "something is broken");
        check("* * * * ", "cronspec_to_bitstring: unexpected end of line; something is broken");
        check("* * * * *", "something is broken");
        check("*/1 * * * * x", "bad step value; something is broken");
        check("*/61 * * * * x", "bad step value; something is broken");
        check("61 * * * * x", "something is broken");
        check("5-1 * * * * x", "something is broken");
        check("a * * * * x", "something is broken");
        check("0 0 0 * * x", "something is broken");
        check("0 0 1 foo * x", "bad month specification; something is broken");
        check("0 0 1 jan-mar * x", "something is broken");
        check("0 0 1 1 bar x", "bad day specification; something is broken");
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in "[@*0-9a-z,/ \\-]{0,24}|\\PC{0,12}") {
            let _ = parse(&line);
        }
    }
}
