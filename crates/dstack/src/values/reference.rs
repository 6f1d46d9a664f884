//! Names of fleets and of their instances.

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read, Value};

/// A thing of this or of another project: `NAME`, `PROJECT/NAME`, `{project, name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntityReference {
    /// Project; `None` for the present one.
    pub project: Option<String>,
    /// Name.
    pub name: String,
}

impl EntityReference {
    fn parse(text: &str) -> Option<EntityReference> {
        let parts: Vec<&str> = text.split('/').collect();
        let reference = |project: Option<&str>, name: &str| EntityReference {
            project: project.map(str::to_owned),
            name: name.to_owned(),
        };
        match parts.as_slice() {
            parts if parts.iter().any(|part| part.is_empty()) => None,
            [name] => Some(reference(None, name)),
            [project, name] => Some(reference(Some(project), name)),
            _ => None,
        }
    }
}

impl Read for EntityReference {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if !matches!(node.value, Value::Map(_)) {
            let text = String::read(node, path)?;
            return EntityReference::parse(&text)
                .ok_or_else(|| node.problem(path, format!("{text:?} is neither NAME nor PROJECT/NAME")));
        }
        let mut fields = Fields::open(node, path)?;
        let (project, name) = (fields.optional("project"), fields.required("name"));
        fields.finish(name.map(|name| EntityReference { project, name }))
    }
}

/// Prints `NAME` or `PROJECT/NAME`.
impl std::fmt::Display for EntityReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.project {
            Some(project) => write!(f, "{project}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// One instance on which a run may be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum InstanceSelector {
    /// By its name.
    Name {
        /// The name.
        name: String,
    },
    /// By its host name or address.
    Hostname {
        /// Host name or address.
        hostname: String,
    },
    /// By its number in a fleet.
    Fleet {
        /// The fleet.
        fleet: EntityReference,
        /// Number, from 0.
        instance: u32,
    },
}

impl Read for InstanceSelector {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if !matches!(node.value, Value::Map(_)) {
            let name = String::read(node, path)?;
            return match name.as_str() {
                "" => Err(node.problem(path, "is empty")),
                _ => Ok(InstanceSelector::Name { name }),
            };
        }
        let mut fields = Fields::open(node, path)?;
        if fields.is_written("fleet") {
            let pair = fields.required("fleet").zip(fields.required("instance"));
            return fields.finish(pair.map(|(fleet, instance)| InstanceSelector::Fleet { fleet, instance }));
        }
        if fields.is_written("hostname") {
            let hostname = fields.required("hostname");
            return fields.finish(hostname.map(|hostname| InstanceSelector::Hostname { hostname }));
        }
        let name = fields.required("name");
        fields.finish(name.map(|name| InstanceSelector::Name { name }))
    }
}
