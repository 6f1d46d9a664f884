//! `--constraint`: which features the nodes of a job must have.
//!
//! The grammar is the part of Slurm's that its controller accepts, as observed with 22.05: names joined by `&` (or `,`)
//! and `|`, read from left to right without precedence; one level of parentheses; `name*N` and `[a*2&b*1]` for "at
//! least N nodes with"; `[a|b]` for "all nodes with the same of"; one pair of brackets in all. A joint at the very end is ignored. What is not
//! understood is refused.

use std::collections::BTreeSet;

use muster_model::ids::Name;
use muster_model::request::{Refusal, RefusalCode};

/// How an item is joined to what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    And,
    Or,
}

/// Names joined within one pair of parentheses; a single name is the usual case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    parts: Vec<(Joint, Name)>,
}

impl Term {
    /// Whether a node with these features satisfies the term.
    pub(crate) fn holds(&self, features: &BTreeSet<Name>) -> bool {
        join(self.parts.iter().map(|(joint, name)| (*joint, features.contains(name))))
    }
}

/// A constraint that has been read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Constraint {
    /// Must hold for every node.
    every: Vec<(Joint, Term)>,
    /// At least so many nodes must satisfy the term.
    pub(crate) counts: Vec<(Term, u32)>,
    /// All nodes must satisfy the same one of these; empty for no such condition.
    pub(crate) alternatives: Vec<Term>,
}

impl Constraint {
    /// Reads `text`; the empty text is no constraint.
    ///
    /// # Errors
    /// `InvalidFeature` when it cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Constraint, Refusal> {
        read(text).ok_or_else(|| RefusalCode::InvalidFeature.into())
    }

    /// Whether a node with these features may be part of the allocation.
    pub(crate) fn holds(&self, features: &BTreeSet<Name>) -> bool {
        join(self.every.iter().map(|(joint, term)| (*joint, term.holds(features))))
    }

    /// Every feature that is named.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        let every = self.every.iter().map(|(_, term)| term);
        let counts = self.counts.iter().map(|(term, _)| term);
        every.chain(counts).chain(&self.alternatives).flat_map(|term| term.parts.iter().map(|(_, name)| name))
    }
}

/// Joins from left to right; nothing at all holds.
fn join(items: impl Iterator<Item = (Joint, bool)>) -> bool {
    items
        .fold(None, |so_far, (joint, value)| {
            Some(match (so_far, joint) {
                (None, _) => value,
                (Some(before), Joint::And) => before && value,
                (Some(before), Joint::Or) => before || value,
            })
        })
        .unwrap_or(true)
}

/// One item as written, before it is known what it means.
struct Item<'a> {
    joint: Joint,
    body: Body<'a>,
    count: Option<u32>,
}

enum Body<'a> {
    Term(Term),
    Brackets(&'a str),
}

fn read(text: &str) -> Option<Constraint> {
    let mut constraint = Constraint::default();
    let items = items(text)?;
    let is_alone = items.len() == 1;
    if items.iter().filter(|item| matches!(item.body, Body::Brackets(_))).count() > 1 {
        return None;
    }
    for item in items {
        match item.body {
            // "At least N of these, or something else" has no meaning.
            _ if item.joint == Joint::Or && !is_alone && item.is_special() => return None,
            Body::Term(term) => match item.count {
                Some(count) => constraint.counts.push((term, count)),
                None => constraint.every.push((item.joint, term)),
            },
            Body::Brackets(_) if item.count.is_some() => return None,
            Body::Brackets(inner) => read_brackets(inner, item.joint, &mut constraint)?,
        }
    }
    Some(constraint)
}

impl Item<'_> {
    /// Whether it says more than a condition on each node.
    fn is_special(&self) -> bool {
        self.count.is_some() || matches!(self.body, Body::Brackets(_))
    }
}

/// The inside of `[...]`: alternatives, or terms with counts.
fn read_brackets(inner: &str, joint: Joint, constraint: &mut Constraint) -> Option<()> {
    let items = items(inner)?;
    let has_or = items.iter().skip(1).any(|item| item.joint == Joint::Or);
    if has_or {
        let all_or = items.iter().skip(1).all(|item| item.joint == Joint::Or);
        if !all_or {
            return None;
        }
    } else if items.len() > 1 && items.iter().any(|item| item.count.is_none()) {
        // What is joined by & in brackets is counted.
        return None;
    }
    for (position, item) in items.into_iter().enumerate() {
        let Body::Term(term) = item.body else { return None };
        match item.count {
            Some(_) if has_or => return None,
            Some(count) => constraint.counts.push((term, count)),
            None if has_or => constraint.alternatives.push(term),
            None => constraint.every.push((if position == 0 { joint } else { item.joint }, term)),
        }
    }
    Some(())
}

/// Cuts `text` at its joints outside parentheses and brackets. `None` when something is missing or left over.
fn items(text: &str) -> Option<Vec<Item<'_>>> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    let mut joint = Joint::And;
    while !rest.is_empty() {
        let (body, after) = read_body(rest)?;
        let (count, after) = read_count(after)?;
        items.push(Item { joint, body, count });
        let Some(symbol) = after.chars().next() else { break };
        joint = match symbol {
            '&' | ',' => Joint::And,
            '|' => Joint::Or,
            _ => return None,
        };
        rest = &after[symbol.len_utf8()..];
    }
    Some(items)
}

fn read_body(text: &str) -> Option<(Body<'_>, &str)> {
    if let Some(inner) = text.strip_prefix('(') {
        let (inner, after) = inner.split_once(')')?;
        return Some((Body::Term(read_term(inner)?), after));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let (inner, after) = inner.split_once(']')?;
        return (!inner.is_empty() && !inner.contains('[')).then_some((Body::Brackets(inner), after));
    }
    let (name, after) = read_name(text)?;
    Some((Body::Term(Term { parts: vec![(Joint::And, name)] }), after))
}

/// The inside of parentheses: plain names only.
fn read_term(inner: &str) -> Option<Term> {
    let mut parts = Vec::new();
    for item in items(inner)? {
        let Body::Term(Term { parts: mut names }) = item.body else {
            return None;
        };
        if item.count.is_some() || names.len() != 1 {
            return None;
        }
        let (_, name) = names.pop()?;
        parts.push((item.joint, name));
    }
    (!parts.is_empty()).then_some(Term { parts })
}

fn read_name(text: &str) -> Option<(Name, &str)> {
    let end = text.find(|c: char| "&|,()[]*!\"".contains(c) || c.is_whitespace()).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    (!name.is_empty()).then(|| (name.into(), after))
}

/// `*N` with N at least 1, or nothing.
fn read_count(text: &str) -> Option<(Option<u32>, &str)> {
    let Some(digits) = text.strip_prefix('*') else {
        return Some((None, text));
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, after) = digits.split_at(end);
    let count: u32 = digits.parse().ok()?;
    (count > 0).then_some((Some(count), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of `a`, `b`, `ab` (nodes with these features) may be used.
    fn usable(text: &str) -> String {
        let constraint = Constraint::parse(text).unwrap_or_else(|_| panic!("{text}"));
        let nodes = ["a", "b", "ab", "c"];
        let holds = |node: &&&str| constraint.holds(&node.chars().map(|c| c.to_string().into()).collect());
        nodes.iter().filter(holds).copied().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn conditions_read_from_left_to_right() {
        assert_eq!(usable("a"), "a ab");
        assert_eq!(usable("a&b"), "ab");
        assert_eq!(usable("a,b"), "ab");
        assert_eq!(usable("a|b"), "a b ab");
        assert_eq!(usable("a|b&b"), "b ab");
        assert_eq!(usable("a&b|c"), "ab c");
        assert_eq!(usable("(a&b)|c"), "ab c");
        assert_eq!(usable("b&(a|c)"), "ab");
        assert_eq!(usable("a&"), "a ab");
        assert_eq!(usable("[a]"), "a ab");
        assert_eq!(usable(""), "a b ab c");
    }

    #[test]
    fn counts_and_alternatives() {
        let counts = |text: &str| {
            let constraint = Constraint::parse(text).unwrap();
            constraint.counts.iter().map(|(_, count)| *count).collect::<Vec<_>>()
        };
        assert_eq!(counts("a*3"), [3]);
        assert_eq!(counts("[a*2&b*1]"), [2, 1]);
        assert_eq!(counts("[(a&b)*1&c*1]"), [1, 1]);
        assert_eq!(usable("[a*2&b*1]"), "a b ab c");
        assert_eq!(usable("a&b*2"), "a ab");
        assert_eq!(Constraint::parse("[a|b]").unwrap().alternatives.len(), 2);
        assert_eq!(Constraint::parse("c&[a|(a&b)]").unwrap().alternatives.len(), 2);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "(",
            "(a",
            "[a",
            "a]",
            "&a",
            "a||b",
            "a&&b",
            "|",
            "a*0",
            "a*x",
            "a*",
            "!a",
            "((a&b)|c)",
            "[a*2|b*1]",
            "()",
            "[]",
            "a b",
            "a|b*2",
            "a|[b|c]",
            "[a&b]",
            "[a,b]",
            "[a*1&b]",
            "[a*1]&[b*1]",
            "[a|b]&[a|c]",
        ] {
            assert!(Constraint::parse(bad).is_err(), "{bad}");
        }
    }
}
