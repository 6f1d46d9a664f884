//! Ports: `8080`, `80:8080` (local:container), `*:8080`, `{local_port, container_port}`.

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read, Value};

/// A port of the run, and the port of the user's machine that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PortMapping {
    /// On the user's machine; `None` for any free one.
    pub local_port: Option<u16>,
    /// In the run.
    pub container_port: u16,
}

impl PortMapping {
    /// Reads the short form.
    pub fn parse(text: &str) -> Option<PortMapping> {
        let port = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().ok().filter(|port: &u16| *port > 0) } else { None }
        };
        match text.split_once(':') {
            None => port(text).map(PortMapping::same),
            Some(("*", inner)) => Some(PortMapping { local_port: None, container_port: port(inner)? }),
            Some((local, inner)) => Some(PortMapping { local_port: Some(port(local)?), container_port: port(inner)? }),
        }
    }

    fn same(port: u16) -> PortMapping {
        PortMapping { local_port: Some(port), container_port: port }
    }
}

/// A port number as such.
pub(crate) fn read_port(node: &Node, path: &Path<'_>) -> Result<u16, Problems> {
    let number = i64::read(node, path)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| node.problem(path, format!("{number} is no port (1 to 65535)")))
}

impl Read for PortMapping {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match &node.value {
            Value::Integer(_) => read_port(node, path).map(PortMapping::same),
            Value::Text(text) => PortMapping::parse(text)
                .ok_or_else(|| node.problem(path, format!("{text:?} is no port such as 8080, 80:8080 or *:8080"))),
            Value::Map(_) => {
                let mut fields = Fields::open(node, path)?;
                let local = fields.node("local_port").map(|node| read_port(node, &Path::Property(path, "local_port")));
                let inner =
                    fields.node("container_port").map(|node| read_port(node, &Path::Property(path, "container_port")));
                if inner.is_none() {
                    fields.problem("container_port", "is required");
                }
                let local_port = local.and_then(|local| fields.take(local));
                let inner = inner.and_then(|inner| fields.take(inner));
                fields.finish(inner.map(|container_port| PortMapping { local_port, container_port }))
            }
            _ => Err(node.unexpected(path, "a port such as 8080, 80:8080 or *:8080")),
        }
    }
}
