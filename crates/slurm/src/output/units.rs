//! Amounts with a unit: `62.50G`, `5000M`, `0`.

/// Units in ascending order; a value is printed in the largest one that it fills to a half exactly.
const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];

/// Prints an amount of bytes in the same way as [`kilobytes`]; what is no whole number of them has no unit: `3245397`.
pub fn bytes(amount: u64) -> String {
    match amount.is_multiple_of(512) && amount >= 1024 {
        true if amount.is_multiple_of(1024) => kilobytes(amount / 1024),
        true => format!("{}.50K", amount / 1024),
        false => amount.to_string(),
    }
}

/// Prints an amount of bytes in mebibytes or more, with two decimals unless it is whole, as `sacct` does for what was read and
/// written: `57.24M`, `0.01M`, `2M`, `1.50G`.
pub fn transferred(amount: u64) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let (mut value, mut unit) = (amount as f64 / f64::from(1 << 20), 1);
    while value > 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let letter = UNITS[unit.min(UNITS.len() - 1)];
    if value.fract() == 0.0 { format!("{value:.0}{letter}") } else { format!("{value:.2}{letter}") }
}

/// Prints an amount of mebibytes as Slurm does: `1G`, `62.50G`, `5000M`; zero has no unit.
pub fn megabytes(amount: u64) -> String {
    scaled(amount, 1)
}

/// Prints an amount of kibibytes in the same way: `1344K`, `2M`.
pub fn kilobytes(amount: u64) -> String {
    scaled(amount, 0)
}

fn scaled(amount: u64, mut unit: usize) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let (mut whole, mut half) = (amount, false);
    // Only halves survive, so that what is printed is exact.
    while !half && whole >= 1024 && whole.is_multiple_of(512) && unit + 1 < UNITS.len() {
        half = !whole.is_multiple_of(1024);
        whole /= 1024;
        unit += 1;
    }
    let letter = UNITS[unit.min(UNITS.len() - 1)];
    if half { format!("{whole}.50{letter}") } else { format!("{whole}{letter}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_exact_unit() {
        let check = |amount: u64, text: &str| assert_eq!(megabytes(amount), text);
        check(0, "0");
        check(100, "100M");
        check(1024, "1G");
        check(2500, "2500M");
        check(5000, "5000M");
        check(64_000, "62.50G");
        check(256_000, "250G");
        check(999_999, "999999M");
        check(1 << 20, "1T");
        let check = |amount: u64, text: &str| assert_eq!(bytes(amount), text);
        check(0, "0");
        check(3_245_397, "3245397");
        check(23_535_616, "22984K");
        check(1536, "1.50K");
        check(2 << 30, "2G");
        let check = |amount: u64, text: &str| assert_eq!(transferred(amount), text);
        check(0, "0");
        check(81, "0.00M");
        check(60_024_909, "57.24M");
        check(2 << 20, "2M");
        check(3 << 29, "1.50G");
        assert_eq!((kilobytes(1344).as_str(), kilobytes(2048).as_str()), ("1344K", "2M"));
    }
}
