//! Amounts with a unit: `62.50G`, `5000M`, `0`.

/// Units in ascending order; a value is printed in the largest one that it fills to a half exactly.
const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];

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
        assert_eq!((kilobytes(1344).as_str(), kilobytes(2048).as_str()), ("1344K", "2M"));
    }
}
