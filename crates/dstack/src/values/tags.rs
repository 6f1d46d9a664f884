//! Tags: names with values, for the resources of clouds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::{Node, Path, Problems, Read, Value};

/// Tags by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Read for Tags {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let Value::Map(entries) = &node.value else {
            return Err(node.unexpected(path, "a mapping"));
        };
        let mut tags = BTreeMap::new();
        for entry in entries {
            let path = Path::Property(path, &entry.key);
            if !is_key(&entry.key) {
                let message = "a tag has up to 60 letters, digits, `-` and `_`";
                return Err(entry.node.problem(&path, message));
            }
            let value = String::read(&entry.node, &path)?;
            if !is_value(&value) {
                let message = "the value of a tag has up to 256 letters, digits, blanks and `.:/=_-+@`";
                return Err(entry.node.problem(&path, message));
            }
            tags.insert(entry.key.clone(), value);
        }
        Ok(Tags(tags))
    }
}

fn is_key(key: &str) -> bool {
    (1..=60).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn is_value(value: &str) -> bool {
    value.len() <= 256 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" .:/=_-+@".contains(&byte))
}
