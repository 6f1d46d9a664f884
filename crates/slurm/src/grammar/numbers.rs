//! Plain numbers as C's `strtol` reads them: leading blanks and a sign are fine, trailing text is not.

use muster_model::resources::Megabytes;

/// A whole decimal number, or `None` when `text` is anything else. Values beyond `i64` stop at its ends.
pub fn whole(text: &str) -> Option<i64> {
    let (value, rest) = leading(text)?;
    rest.is_empty().then_some(value)
}

/// The number at the beginning of `text` and what follows it, as `strtol` splits them.
pub fn leading(text: &str) -> Option<(i64, &str)> {
    let trimmed = text.trim_start();
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let digits_end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(digits_end);
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some((if trimmed.starts_with('-') { -magnitude } else { magnitude }, rest))
}

/// As [`leading`], or 0 where there is no number, as `atoi` has it.
pub fn leading_or_zero(text: &str) -> i64 {
    leading(text).map_or(0, |(value, _)| value)
}

/// A count of at least 1. Slurm wraps counts beyond 32 bits; here they stop at the greatest one, which no cluster
/// can give either.
pub fn positive(text: &str) -> Option<u32> {
    whole(text).filter(|value| *value > 0).map(clamp)
}

/// A count of at least 0.
pub fn not_negative(text: &str) -> Option<u32> {
    whole(text).filter(|value| *value >= 0).map(clamp)
}

fn clamp(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX).min(i32::MAX as u32)
}

/// An amount of memory as the options of the commands take it: a number of mebibytes, or with `K`, `M`, `G`, `T`.
pub fn memory(text: &str) -> Option<Megabytes> {
    let text = text.trim_start();
    Megabytes::parse(text.strip_prefix('+').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let check = |text: &str, expected: Option<u32>| assert_eq!(positive(text), expected, "{text:?}");
        check("3", Some(3));
        check(" 3", Some(3));
        check("+3", Some(3));
        check("03", Some(3));
        check("9999999999", Some(i32::MAX as u32));
        for bad in ["", "0", "-1", "abc", "1.5", "2x", "0x3", "1k", "3 "] {
            check(bad, None);
        }
        assert_eq!(not_negative("0"), Some(0));
        assert_eq!(leading_or_zero("3x"), 3);
        assert_eq!(leading_or_zero("x"), 0);
    }

    #[test]
    fn amounts_of_memory() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(memory(text).map(|m| m.0), expected, "{text:?}");
        check("64000", Some(64_000));
        check(" 5", Some(5));
        check("+5", Some(5));
        check("1gb", Some(1024));
        check("1Kb", Some(1));
        check("1023K", Some(1));
        for bad in ["", "bad", "1X", "1.5G", "-1", "1 G", "0x10", "5b", "1P", "99999999999999999999"] {
            check(bad, None);
        }
    }
}
