//! Node counts: `-N 2`, `-N 2-4`, `-N 1k`.

use super::numbers;

/// Why a node count cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeCountError {
    /// This part is no count.
    NotACount(String),
    /// The greatest is below the least.
    Reversed {
        /// Least number of nodes.
        min: i64,
        /// Greatest number of nodes.
        max: i64,
    },
}

/// Least and greatest number of nodes. A single number is both. Zero is kept as it is: it asks for "as needed".
///
/// # Errors
/// As [`NodeCountError`] says; the text of the offending part is that of real `sbatch`.
pub fn parse(text: &str) -> Result<(u32, u32), NodeCountError> {
    let Some((low, high)) = text.split_once('-') else {
        let count = count(text).ok_or_else(|| NodeCountError::NotACount(text.to_owned()))?;
        return Ok((clamp(count), clamp(count)));
    };
    // Real Slurm takes a missing least count for 1 and a missing greatest one for -1.
    let part = |part: &str, missing: i64| match part {
        "" => Ok(missing),
        _ => count(part).ok_or_else(|| NodeCountError::NotACount(part.to_owned())),
    };
    let (min, max) = (part(low, 1)?, part(high, -1)?);
    if max < min {
        return Err(NodeCountError::Reversed { min, max });
    }
    Ok((clamp(min), clamp(max)))
}

fn count(text: &str) -> Option<i64> {
    let (value, suffix) = numbers::leading(text)?;
    let factor = match suffix {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        _ => return None,
    };
    Some(value.saturating_mul(factor))
}

fn clamp(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX).min(i32::MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_nodes() {
        let check = |text: &str, expected: &str| {
            let found = match parse(text) {
                Ok((min, max)) => format!("{min}-{max}"),
                Err(NodeCountError::NotACount(part)) => format!("bad {part:?}"),
                Err(NodeCountError::Reversed { min, max }) => format!("{max} below {min}"),
            };
            assert_eq!(found, expected, "{text:?}");
        };
        check("2", "2-2");
        check(" 2", "2-2");
        check("1-5", "1-5");
        check("0-3", "0-3");
        check("-1", "1-1");
        check("-5", "1-5");
        check("1k-2k", "1024-2048");
        check("2m", "2097152-2097152");
        check("9999999999", "2147483647-2147483647");
        check("2-1", "1 below 2");
        check("1-", "-1 below 1");
        check("-", "-1 below 1");
        check("1--2", "-2 below 1");
        check("abc", "bad \"abc\"");
        check("1x", "bad \"1x\"");
        check("1,2", "bad \"1,2\"");
        check("1-4:2", "bad \"4:2\"");
        check("", "bad \"\"");
        check("1.5", "bad \"1.5\"");
        check("0x2", "bad \"0x2\"");
    }
}
