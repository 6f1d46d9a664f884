//! Times of a schedule: cron lines of five fields (minute, hour, day of month, month, day of week). Days of the week count
//! from 0 for Monday, as dstack counts them, not from Sunday.

use serde::Serialize;

use crate::document::{Node, Path, Problems, Read};

/// A cron line that has been checked. In JSON its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cron(String);

impl Cron {
    /// The line as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(format!("{text:?} has {} fields instead of 5", fields.len()));
        }
        for (field, kind) in fields.iter().zip(FIELDS) {
            if !field.split(',').all(|part| kind.accepts(part)) {
                return Err(format!("{field:?} is no {}", kind.name));
            }
        }
        Ok(Cron(text.to_owned()))
    }
}

/// What one field may hold.
struct Field {
    name: &'static str,
    least: u32,
    greatest: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, greatest: 59, words: &[] },
    Field { name: "hour", least: 0, greatest: 23, words: &[] },
    Field { name: LAST_DAY_FIELD, least: 1, greatest: 31, words: &[] },
    Field { name: "month", least: 1, greatest: 12, words: MONTHS },
    Field { name: "day of the week", least: 0, greatest: 6, words: WEEKDAYS },
];
/// The field in which `last` stands for the last day of the month.
const LAST_DAY_FIELD: &str = "day of the month";
const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Field {
    /// `*`, `a`, `a-b`, each also with `/step`.
    fn accepts(&self, part: &str) -> bool {
        if part == "last" && self.name == LAST_DAY_FIELD {
            return true;
        }
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        if step.is_some_and(|step| step.parse().map_or(true, |step: u32| step == 0)) {
            return false;
        }
        match range.split_once('-') {
            _ if range == "*" => true,
            Some((from, to)) => {
                matches!((self.value(from), self.value(to)), (Some(from), Some(to)) if from <= to)
            }
            None => self.value(range).is_some(),
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let from_word = self.words.iter().position(|word| *word == lower);
        let word = from_word.and_then(|position| u32::try_from(position).ok()).map(|position| position + self.least);
        word.or_else(|| text.parse().ok().filter(|value| (self.least..=self.greatest).contains(value)))
    }
}

impl Read for Cron {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let text = String::read(node, path)?;
        Cron::parse(&text).map_err(|message| node.problem(path, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_lines_are_checked() {
        for good in ["0 8 * * mon-fri", "15 23 * * *", "*/5 0-6/2 1,15 jan-mar 0", "0 0 last * sat-sun"] {
            assert!(Cron::parse(good).is_ok(), "{good}");
        }
        let check = |text: &str, expected: &str| assert_eq!(Cron::parse(text), Err(expected.to_owned()), "{text}");
        check("0 8 * *", "\"0 8 * *\" has 4 fields instead of 5");
        check("60 8 * * *", "\"60\" is no minute");
        check("0 8 * * fri-mon", "\"fri-mon\" is no day of the week");
        check("0 8 * * 7", "\"7\" is no day of the week");
        check("*/0 8 * * *", "\"*/0\" is no minute");
    }
}
