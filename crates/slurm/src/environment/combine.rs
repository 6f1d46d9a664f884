//! Putting the lists of an environment together.

use std::collections::BTreeMap;

use super::Variables;

/// The environment of a process as `NAME=value` lines, sorted by name. In this order: what was `captured` (lines
/// without `=` or with an empty name are dropped; of doubles the last counts), without the names in `removals`, with
/// those of `fallbacks` that are then missing, and with `winners` over all.
pub fn combine<S: AsRef<str>>(
    captured: &[S],
    removals: &[&str],
    fallbacks: &Variables,
    winners: &Variables,
) -> Vec<String> {
    let mut all: BTreeMap<&str, &str> = captured
        .iter()
        .filter_map(|line| line.as_ref().split_once('='))
        .filter(|(name, _)| !name.is_empty() && !removals.contains(name))
        .collect();
    for (name, value) in fallbacks {
        all.entry(name).or_insert(value);
    }
    all.extend(winners.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The value of `name` in `NAME=value` lines.
pub(super) fn value<'a, S: AsRef<str>>(lines: &'a [S], name: &str) -> Option<&'a str> {
    lines.iter().rev().find_map(|line| line.as_ref().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(all: &[(&str, &str)]) -> Variables {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn sides_win_in_order() {
        let captured = ["A=1", "B=x=y", "C=3", "nonsense", "=no", "A=2", "D="];
        let made = combine(
            &captured,
            &["C", "E"],
            &list(&[("A", "f"), ("C", "f"), ("D", "f")]),
            &list(&[("B", "w"), ("E", "w")]),
        );
        assert_eq!(made, ["A=2", "B=w", "C=f", "D=", "E=w"]);
        assert_eq!(
            (value(&captured, "A"), value(&captured, "B"), value(&captured, "nonsense")),
            (Some("2"), Some("x=y"), None)
        );
    }
}
