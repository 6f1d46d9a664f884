//! Environment variables: a list of `NAME=value` and `NAME`, or a mapping.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::document::{Fields, Node, Path, Problems, Read, Value, read_list};

/// Where a variable has its value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// Written in the file.
    Set(String),
    /// Taken from the environment of whoever applies the file (`- NAME`).
    FromClient,
}

/// Variables in the order of the file. In JSON a mapping, so that the same variables in another order are the same.
#[derive(Debug, Clone, Default)]
pub struct Env {
    variables: Vec<(String, EnvValue)>,
}

impl PartialEq for Env {
    fn eq(&self, other: &Env) -> bool {
        let sorted = |env: &Env| {
            let mut variables = env.variables.clone();
            variables.sort_by(|one, other| one.0.cmp(&other.0));
            variables
        };
        sorted(self) == sorted(other)
    }
}

impl Eq for Env {}

impl Env {
    /// Each variable, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &EnvValue)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// Sets a variable, in its place where it is there already.
    pub fn set(&mut self, name: &str, value: EnvValue) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    /// Splits `NAME=value` or `NAME`.
    ///
    /// # Errors
    /// Why it is neither, for the user.
    pub fn parse_item(item: &str) -> Result<(String, EnvValue), String> {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name, EnvValue::Set(value.to_owned())),
            None => (item, EnvValue::FromClient),
        };
        if !is_name(name) {
            return Err(format!("{item:?} is neither NAME=value nor NAME"));
        }
        Ok((name.to_owned(), value))
    }
}

/// Letters, digits and `_`, not beginning with a digit.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Read for Env {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let pairs = match &node.value {
            Value::List(_) => read_list(node, path, |item, path| {
                let text = String::read(item, path)?;
                Env::parse_item(&text).map_err(|message| item.problem(path, message))
            })?,
            Value::Map(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                for entry in entries {
                    let path = Path::Property(path, &entry.key);
                    // Names in a mapping are free in dstack; only what no environment can hold is refused.
                    if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
                        return Err(entry.node.problem(&path, format!("{:?} is no name of a variable", entry.key)));
                    }
                    pairs.push((entry.key.clone(), read_value(&entry.node, &path)?));
                }
                pairs
            }
            _ => return Err(node.unexpected(path, "a list of NAME=value or a mapping")),
        };
        let mut env = Env::default();
        for (name, value) in pairs {
            if env.variables.iter().any(|(known, _)| *known == name) {
                return Err(node.problem(path, format!("the variable {name} is given twice")));
            }
            env.variables.push((name, value));
        }
        Ok(env)
    }
}

/// A value of the mapping form: text, or `{key: NAME}`, which is how JSON writes a variable of the client.
fn read_value(node: &Node, path: &Path<'_>) -> Result<EnvValue, Problems> {
    if !matches!(node.value, Value::Map(_)) {
        return String::read(node, path).map(EnvValue::Set);
    }
    let mut fields = Fields::open(node, path)?;
    let key: Option<String> = fields.required("key");
    fields.finish(key.map(|_| EnvValue::FromClient))
}

impl Serialize for Env {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Placeholder<'a> {
            key: &'a str,
        }
        let mut map = serializer.serialize_map(Some(self.variables.len()))?;
        for (name, value) in &self.variables {
            match value {
                EnvValue::Set(value) => map.serialize_entry(name, value)?,
                EnvValue::FromClient => map.serialize_entry(name, &Placeholder { key: name })?,
            }
        }
        map.end()
    }
}
