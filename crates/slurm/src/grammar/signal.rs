//! Signals by name and number, and `--signal=[R][B]:SIG[@SECONDS]`.

use muster_model::job::EarlySignal;
use muster_model::time::Span;

use super::numbers;

/// The names that Slurm knows, with their numbers on Linux.
const NAMES: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("ALRM", 14),
    ("TERM", 15),
    ("USR1", 10),
    ("USR2", 12),
    ("URG", 23),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("PIPE", 13),
    ("CHLD", 17),
    ("SEGV", 11),
    ("BUS", 7),
    ("FPE", 8),
    ("ILL", 4),
    ("TRAP", 5),
    ("XCPU", 24),
    ("XFSZ", 25),
];

/// How long before the end `--signal` acts when no time is given.
const SECONDS_DEFAULT: i64 = 60;

/// A signal as `scancel -s` and `--signal` take it: a name in any case with or without `SIG`, or a positive number.
pub fn parse(text: &str) -> Option<u8> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return numbers::whole(text).and_then(|number| u8::try_from(number).ok()).filter(|number| *number > 0);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The name of signal `number` without `SIG`, or the number as text.
pub fn name(number: u8) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => number.to_string(),
    }
}

/// The value of `--signal`. `batch_allowed`: whether `B:` makes sense for the command (only for `sbatch`).
/// The time is at most 65,535 seconds, Slurm's limit.
pub fn parse_early(text: &str, batch_allowed: bool) -> Option<EarlySignal> {
    let (mut batch_only, mut reservation) = (false, false);
    let mut rest = text;
    // `B10`, `BR:10` and `RB:10` are all taken; a letter only counts when no name of a signal begins there.
    while let Some(letter) = rest.chars().next().filter(|_| flag_follows(rest)) {
        match letter.to_ascii_uppercase() {
            'B' if batch_allowed => batch_only = true,
            'R' => reservation = true,
            _ => return None,
        }
        rest = &rest[1..];
        rest = rest.strip_prefix(':').unwrap_or(rest);
    }
    let (signal, seconds) = match rest.split_once('@') {
        Some((signal, "")) => (signal, SECONDS_DEFAULT),
        Some((signal, seconds)) => (signal, numbers::whole(seconds).filter(|value| (0..=65_535).contains(value))?),
        None => (rest, SECONDS_DEFAULT),
    };
    let signal = parse(signal)?;
    Some(EarlySignal { signal, before_end: Span::from_seconds(seconds), batch_only, reservation })
}

fn flag_follows(text: &str) -> bool {
    let end = text.find(|c: char| !matches!(c, 'B' | 'b' | 'R' | 'r')).unwrap_or(text.len());
    end > 0 && text[end..].starts_with(|c: char| c == ':' || c.is_ascii_digit())
}

/// `--signal` as Slurm prints it: the time only where it is not the default.
pub fn print_early(early: &EarlySignal) -> String {
    let flags = match (early.reservation, early.batch_only) {
        (true, true) => "RB:",
        (true, false) => "R:",
        (false, true) => "B:",
        (false, false) => "",
    };
    let seconds = early.before_end.seconds();
    let time = if seconds == SECONDS_DEFAULT { String::new() } else { format!("@{seconds}") };
    format!("{flags}{}{time}", name(early.signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_signals() {
        let check = |text: &str, expected: &str| {
            let found = parse_early(text, true).map(|early| print_early(&early));
            assert_eq!(found.as_deref().unwrap_or("bad"), expected, "{text:?}");
        };
        check("USR1", "USR1");
        check("USR1@", "USR1");
        check("USR1@60", "USR1");
        check("SIGUSR1@5", "USR1@5");
        check("usr1", "USR1");
        check("sigterm@10", "TERM@10");
        check("10", "USR1");
        check("10@300", "USR1@300");
        check("65", "65");
        check("B:USR1@60", "B:USR1");
        check("B:10", "B:USR1");
        check("B10", "B:USR1");
        check("R:10@5", "R:USR1@5");
        check("BR:10", "RB:USR1");
        check("RB:10@65535", "RB:USR1@65535");
        check("BUS", "BUS");
        for bad in [
            "bad",
            "B:",
            "USR1@abc",
            "USR1@999999",
            "USR1@-5",
            "0",
            "",
            "@60",
            "@",
            "10@65536",
            "RTMIN",
            "USR1@5x",
            "X:10",
        ] {
            check(bad, "bad");
        }
        assert_eq!(parse_early("B:USR1@5", false), None);
        assert!(parse_early("R:USR1@5", false).is_some());
    }
}
