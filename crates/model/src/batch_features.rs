//! `--batch`: which features the node has on which a batch script runs.
//!
//! Names joined by `&` and `|`, read from left to right without precedence. (As seen in Slurm 22.05.)

/// The words of `--batch`.
#[derive(Debug, Clone, Copy)]
pub struct BatchFeatures<'a>(&'a str);

impl<'a> BatchFeatures<'a> {
    /// Of an option as written.
    pub fn new(text: &'a str) -> BatchFeatures<'a> {
        BatchFeatures(text)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.0.split(['&', '|']).filter(|name| !name.is_empty())
    }

    /// Whether a node that has what `has` says is one of those.
    pub fn hold(&self, has: impl Fn(&str) -> bool) -> bool {
        let mut holds = true;
        let mut rest = self.0;
        let mut is_or = false;
        while !rest.is_empty() {
            let end = rest.find(['&', '|']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if !name.is_empty() {
                holds = if is_or { holds || has(name) } else { holds && has(name) };
            }
            is_or = behind.starts_with('|');
            rest = behind.get(1..).unwrap_or_default();
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_joined_from_left_to_right() {
        let check = |text: &str, features: &str, expected: bool| {
            let has = |name: &str| features.split(' ').any(|feature| feature == name);
            assert_eq!(BatchFeatures::new(text).hold(has), expected, "{text} {features}");
        };
        check("a", "a b", true);
        check("a", "b", false);
        check("a|b", "b", true);
        check("a&b", "b", false);
        check("c|a&b", "c", false);
        check("a&b|c", "c", true);
        check("", "a", true);
        check("&|", "a", true);
        assert_eq!(BatchFeatures::new("a&b|c").names().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
