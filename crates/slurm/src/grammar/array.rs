//! `--array` lists with their throttle: `0-9`, `1,3,5-7`, `0-15:4%2`.

use muster_model::array::{ArraySpec, TaskSet};

use super::numbers;

/// Reads a list. `size_max` is `MaxArraySize`: indices must be below it. A `%` with what follows up to the next comma
/// is the throttle, wherever it stands; one that is not a positive number limits nothing. A throttle alone is index 0.
/// `None` when malformed.
pub fn parse(text: &str, size_max: u32) -> Option<ArraySpec> {
    let mut throttle = None;
    let mut parts = Vec::new();
    for part in text.split(',') {
        let (indices, limit) = part.split_once('%').map_or((part, None), |(indices, limit)| (indices, Some(limit)));
        if let Some(limit) = limit {
            let value = numbers::leading_or_zero(limit);
            throttle = throttle.or(u32::try_from(value).ok().filter(|value| *value > 0));
        }
        parts.push(indices);
    }
    let list = match parts.as_slice() {
        [""] => "0".to_owned(),
        parts => parts.join(","),
    };
    // A bracket may close before or after the throttle.
    let list = if list.starts_with('[') && !list.ends_with(']') { list + "]" } else { list };
    Some(ArraySpec { tasks: TaskSet::parse(&list, size_max.checked_sub(1)?)?, throttle })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |text: &str, expected: &str| {
            let found = parse(text, 1001).map(|spec| {
                format!("{}{}", spec.tasks, spec.throttle.map_or(String::new(), |limit| format!("%{limit}")))
            });
            assert_eq!(found.as_deref().unwrap_or("bad"), expected, "{text:?}");
        };
        check("0-3", "0-3");
        check("1,2,2", "1-2");
        check("0-1000", "0-1000");
        check("[1-3]", "1-3");
        check("[1-3%2]", "1-3%2");
        check("1-5%0", "1-5");
        check("1-5%", "1-5");
        check("1-5%-1", "1-5");
        check("1-5%abc", "1-5");
        check("1-3%2%3", "1-3%2");
        check("1-3,5%2,7", "1-3,5,7%2");
        check("%5", "0%5");
        check("07", "7");
        check("0-31:4", "0-28:4");
        for bad in [
            "abc",
            "1-",
            "1-2-3",
            "3-1",
            "-1",
            "0-1001",
            "1000-1001",
            "4000000000",
            "1-5:0",
            "1-5:",
            "1 2",
            "1;2",
            "1.5",
            ",",
        ] {
            check(bad, "bad");
        }
    }
}
