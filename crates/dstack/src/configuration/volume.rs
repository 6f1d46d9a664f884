//! `type: volume`.

use serde::Serialize;

use super::profile::BackendType;
use crate::document::{Fields, Node, Path, Problems, Read};
use crate::values::{IdleDuration, Memory, Tags};

/// A network volume of a provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Volume {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Provider.
    pub backend: BackendType,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Availability zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Size of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Memory>,
    /// Identifier of an existing one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// Deleted when unused for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_cleanup_duration: Option<IdleDuration>,
    /// Tags for the provider's resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Existing claim, in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_name: Option<String>,
    /// Storage class, in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// Access modes, in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_modes: Option<Vec<String>>,
    /// Whether it is only read, in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

impl Read for Volume {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        fields.is_written("type");
        let backend = fields.required("backend");
        let mut volume = Volume {
            name: fields.optional("name"),
            backend: backend.unwrap_or(BackendType::Aws),
            region: None,
            availability_zone: None,
            size: None,
            volume_id: None,
            auto_cleanup_duration: fields.optional_with("auto_cleanup_duration", IdleDuration::read_optional),
            tags: fields.optional("tags"),
            claim_name: None,
            storage_class_name: None,
            access_modes: None,
            read_only: None,
        };
        match backend {
            Some(BackendType::Aws | BackendType::Gcp | BackendType::Runpod) => {
                volume.region = fields.required("region");
                volume.availability_zone = fields.optional("availability_zone");
                volume.size = fields.optional("size");
                volume.volume_id = fields.optional("volume_id");
            }
            Some(BackendType::Kubernetes) => {
                volume.region = fields.optional("region");
                volume.size = fields.optional("size");
                volume.claim_name = fields.optional("claim_name");
                volume.storage_class_name = fields.optional("storage_class_name");
                volume.access_modes = fields.optional("access_modes");
                volume.read_only = fields.optional("read_only");
            }
            Some(BackendType::Daytona | BackendType::Lium) => volume.volume_id = fields.optional("volume_id"),
            Some(other) => {
                fields.problem("backend", format!("{other} has no volumes"));
                return fields.fail();
            }
            // Without it nobody knows which properties there are.
            None => return fields.fail(),
        }
        fields.finish(Some(volume))
    }
}
