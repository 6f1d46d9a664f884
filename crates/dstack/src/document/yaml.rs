//! YAML text to the tree.
//!
//! Two things that a plain deserialisation loses are kept: where each value stands, and how an unquoted number was
//! written (`python: 3.10` must not become 3.1).

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::node::{Entry, Node, Value};
use super::problem::{Location, Problem, Problems};

/// Largest file that is read; dstack's own limit for a request with all its files is 2 MiB.
const SIZE_MAX: usize = 2 << 20;

/// Reads one YAML document.
pub(crate) fn from_yaml(text: &str) -> Result<Node, Problems> {
    if text.len() > SIZE_MAX {
        return Err(Problems::of("", format!("the file has more than {} MiB", SIZE_MAX >> 20)));
    }
    match serde_saphyr::from_str::<Spanned<Bare>>(text) {
        Ok(Spanned { value: Bare::Null, .. }) => Err(Problems::of("", "the file is empty")),
        Ok(root) => Ok(convert(root, text)),
        Err(error) => Err(refused(error.without_snippet())),
    }
}

fn refused(error: &serde_saphyr::Error) -> Problems {
    let location = error.location().map(place);
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let message = match error {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "several documents in one file; put each into a file of its own"
        }
        // The library repeats the place at the end, which is said before the message already.
        _ => text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message),
    };
    Problem { path: String::new(), message: format!("not YAML: {message}"), location }.into()
}

fn place(location: serde_saphyr::Location) -> Location {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Location { line: number(location.line()), column: number(location.column()) }
}

/// A value before its place has been looked at.
enum Bare {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Bare>>),
    Map(Vec<(Spanned<String>, Spanned<Bare>)>),
}

fn convert(spanned: Spanned<Bare>, source: &str) -> Node {
    let written = match spanned.value {
        Bare::Bool(_) | Bare::Integer(_) | Bare::Float(_) => slice(source, spanned.defined),
        _ => None,
    };
    let value = match spanned.value {
        Bare::Null => Value::Null,
        Bare::Bool(value) => Value::Bool(value),
        Bare::Integer(value) => Value::Integer(value),
        Bare::Float(value) => Value::Float(value),
        Bare::Text(text) => Value::Text(text),
        Bare::List(items) => Value::List(items.into_iter().map(|item| convert(item, source)).collect()),
        Bare::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_location: Some(place(key.referenced)),
                    key: key.value,
                    node: convert(value, source),
                })
                .collect(),
        ),
    };
    Node { value, written, location: Some(place(spanned.referenced)) }
}

/// The source text at a place.
fn slice(source: &str, location: serde_saphyr::Location) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let text = source.get(start..end)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Bare;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Bare, E> {
        Ok(Bare::Null)
    }

    fn visit_none<E>(self) -> Result<Bare, E> {
        Ok(Bare::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bare, E> {
        Ok(Bare::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bare, E> {
        Ok(Bare::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Bare, E> {
        Ok(i64::try_from(value).map_or(Bare::Float(value as f64), Bare::Integer))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Bare, E> {
        Ok(i64::try_from(value).map_or(Bare::Float(value as f64), Bare::Integer))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Bare, E> {
        Ok(i64::try_from(value).map_or(Bare::Float(value as f64), Bare::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Bare, E> {
        Ok(Bare::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bare, E> {
        Ok(Bare::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Bare, E> {
        Ok(Bare::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bare, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Bare::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Bare, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Bare::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in one line: `{key=kind:text@line:column}`.
    fn show(node: &Node) -> String {
        let at = node.location.map_or_else(String::new, |place| format!("@{}:{}", place.line, place.column));
        match &node.value {
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let entry = |entry: &Entry| format!("{}={}", entry.key, show(&entry.node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
            }
            Value::Null => format!("null{at}"),
            _ => format!("{}:{}{at}", node.kind(), node.scalar_text().unwrap_or_default()),
        }
    }

    fn check(text: &str, expected: &str) {
        let shown = match from_yaml(text) {
            Ok(root) => show(&root),
            Err(problems) => problems.render("f").trim_end().to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn values_keep_their_place_and_their_writing() {
        check("a: 1\nb:\n  - x\n  - 3.10\n", "{a=a number:1@1:4 b=[text:x@3:5 a number:3.10@4:5]}");
        check("python: 3.10 # old", "{python=a number:3.10@1:9}");
        check("a: \"3.10\"", "{a=text:3.10@1:4}");
        check("a: off\nb: true\nc:\nd: ~", "{a=true or false:off@1:4 b=true or false:true@2:4 c=null@3:2 d=null@4:4}");
        check("c: |\n  one\n  two\n", "{c=text:one\ntwo\n@2:3}");
        check("m: 0755", "{m=a number:0755@1:4}");
        check("- &x 5\n- *x\n", "[a number:5@1:6 a number:5@2:3]");
    }

    #[test]
    fn what_is_not_one_yaml_document_is_refused_with_its_place() {
        check("", "f: the file is empty");
        check("# nothing\n", "f: the file is empty");
        check("a: 1\na: 2\n", "f:2:1: not YAML: duplicate mapping key: a not allowed here");
        check("a: 1\n---\nb: 2\n", "f:3:1: not YAML: several documents in one file; put each into a file of its own");
        check("a: [1", "f:1:4: not YAML: unclosed bracket '['");
    }
}
