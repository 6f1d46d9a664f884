//! The tree of a document.

use super::problem::{Location, Problem, Problems};

/// One value of a document with the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// How an unquoted number or word was written (`3.10`, `0755`, `yes`); `None` for text and for JSON.
    pub(crate) written: Option<String>,
    pub(crate) location: Option<Location>,
}

/// What a value is, by the rules of YAML or JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One property of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_location: Option<Location>,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The scalar as it was written, whatever YAML took it for. `None` for null, lists and mappings.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(value) => Some(self.written.clone().unwrap_or_else(|| value.to_string())),
            Value::Integer(value) => Some(self.written.clone().unwrap_or_else(|| value.to_string())),
            Value::Float(value) => Some(self.written.clone().unwrap_or_else(|| value.to_string())),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// A problem with this value.
    pub(crate) fn problem(&self, path: &Path<'_>, message: impl Into<String>) -> Problems {
        Problem { path: path.to_string(), message: message.into(), location: self.location }.into()
    }

    /// "expected X, got Y".
    pub(crate) fn unexpected(&self, path: &Path<'_>, expected: &str) -> Problems {
        let hint = match (&self.value, expected) {
            (Value::Map(_), "text") => " (quote the value if it contains `: `)",
            _ => "",
        };
        self.problem(path, format!("expected {expected}, got {}{hint}", self.kind()))
    }
}

/// Where in a document one is: `resources.gpu`, `commands[2]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Property(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Property(Path::Root, name) => f.write_str(name),
            Path::Property(parent, name) => write!(f, "{parent}.{name}"),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
