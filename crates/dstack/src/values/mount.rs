//! Mounts: `NAME:/path` (network volume), `/host:/path` (directory of the node), or objects.

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read, Value};

/// Something to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Mount {
    /// A network volume.
    Volume(VolumeMount),
    /// A directory of the node.
    Instance(InstanceMount),
}

/// A network volume, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeMount {
    /// Which; any one of several.
    pub name: VolumeNames,
    /// Where to, absolute.
    pub path: String,
    /// `instance: true`, as some files have it: the volume is on the node's own disk. Unknown to dstack 0.22.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub instance: bool,
}

/// One name or several to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum VolumeNames {
    /// This one.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

/// A directory of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceMount {
    /// On the node, absolute.
    pub instance_path: String,
    /// Where to, absolute.
    pub path: String,
    /// Whether the run may do without it.
    pub optional: bool,
}

impl Mount {
    fn parse(text: &str) -> Result<Mount, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let &[source, path] = parts.as_slice() else {
            return Err(format!("{text:?} is neither NAME:/path nor /host/path:/path"));
        };
        let path = absolute(path)?;
        if source.contains('/') {
            return Ok(Mount::Instance(InstanceMount { instance_path: absolute(source)?, path, optional: false }));
        }
        if source.is_empty() {
            return Err(format!("{text:?} has no volume name"));
        }
        Ok(Mount::Volume(VolumeMount { name: VolumeNames::One(source.to_owned()), path, instance: false }))
    }

    fn read_map(node: &Node, path: &Path<'_>) -> Result<Mount, Problems> {
        let mut fields = Fields::open(node, path)?;
        let target = read_absolute(&mut fields, "path");
        if fields.is_written("instance_path") {
            let source = read_absolute(&mut fields, "instance_path");
            let optional = fields.or_default("optional");
            let mount = source.zip(target).map(|(instance_path, path)| InstanceMount { instance_path, path, optional });
            return fields.finish(mount.map(Mount::Instance));
        }
        let name = fields.required("name");
        let instance = fields.or_default("instance");
        let mount = name.zip(target).map(|(name, path)| VolumeMount { name, path, instance });
        fields.finish(mount.map(Mount::Volume))
    }
}

fn absolute(path: &str) -> Result<String, String> {
    match path {
        "/" => Err("nothing can be mounted at /".to_owned()),
        path if path.split('/').any(|part| part == "..") => Err(format!("{path:?} must not contain `..`")),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path => Err(format!("{path:?} is no absolute path")),
    }
}

fn read_absolute(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text: String = fields.required(name)?;
    absolute(&text).map_err(|message| fields.problem(name, message)).ok()
}

impl Read for Mount {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match &node.value {
            Value::Text(text) => Mount::parse(text).map_err(|message| node.problem(path, message)),
            Value::Map(_) => Mount::read_map(node, path),
            _ => Err(node.unexpected(path, "a mount such as NAME:/path or /host/path:/path")),
        }
    }
}

impl Read for VolumeNames {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match node.value {
            Value::List(_) => Vec::read(node, path).map(VolumeNames::Several),
            _ => String::read(node, path).map(VolumeNames::One),
        }
    }
}
