//! Reading the plain kinds of values: text, numbers, switches, lists.

use super::fields::{Read, read_list};
use super::node::{Node, Path, Value};
use super::problem::Problems;

/// Text. Unquoted numbers and words count as the text that was written, so that `version: 3.10` stays `3.10`.
impl Read for String {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let text = node.scalar_text().ok_or_else(|| node.unexpected(path, "text"))?;
        if text.contains('\0') {
            return Err(node.problem(path, "must not contain a NUL character"));
        }
        Ok(text)
    }
}

/// `true` and `false`, the other words of YAML 1.1, by which dstack reads, and 1 and 0.
impl Read for bool {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if let Value::Bool(value) = node.value {
            return Ok(value);
        }
        match node.scalar_text().as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "yes" | "on" | "1") => Ok(true),
            Some("false" | "no" | "off" | "0") => Ok(false),
            _ => Err(node.unexpected(path, "true or false")),
        }
    }
}

impl Read for i64 {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match &node.value {
            Value::Integer(value) => Ok(*value),
            // A whole number written as `2.0` is taken, as dstack does.
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(*value as i64),
            Value::Text(text) => text.trim().parse().map_err(|_| node.unexpected(path, "a whole number")),
            _ => Err(node.unexpected(path, "a whole number")),
        }
    }
}

impl Read for u32 {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let number = i64::read(node, path)?;
        u32::try_from(number).map_err(|_| node.problem(path, format!("{number} is not between 0 and {}", u32::MAX)))
    }
}

impl Read for u64 {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let number = i64::read(node, path)?;
        u64::try_from(number).map_err(|_| node.problem(path, format!("{number} is negative")))
    }
}

impl Read for f64 {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let number = match &node.value {
            Value::Integer(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| node.unexpected(path, "a number"))
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        read_list(node, path, T::read)
    }
}

impl<T: Read> Read for Box<T> {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        T::read(node, path).map(Box::new)
    }
}
