//! JSON text to the tree.

use serde_json::Value as Json;

use super::node::{Entry, Node, Value};
use super::problem::{Location, Problem, Problems};

/// Reads one JSON document.
pub(crate) fn from_json(text: &str) -> Result<Node, Problems> {
    serde_json::from_str::<Json>(text).map(convert).map_err(|error| {
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let location = Location { line: place(error.line()), column: place(error.column()) };
        Problem { path: String::new(), message: format!("not JSON: {error}"), location: Some(location) }.into()
    })
}

fn convert(json: Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Integer(value),
            None => Value::Float(number.as_f64().unwrap_or(f64::INFINITY)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(convert).collect()),
        Json::Object(map) => {
            let entry = |(key, value)| Entry { key, key_location: None, node: convert(value) };
            Value::Map(map.into_iter().map(entry).collect())
        }
    };
    Node { value, written: None, location: None }
}
