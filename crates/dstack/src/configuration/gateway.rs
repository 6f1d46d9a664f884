//! `type: gateway`.

use serde::Serialize;

use super::profile::BackendType;
use crate::document::{Fields, Node, Path, Problems, Read};
use crate::values::{Tags, words};

/// The way in for services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is the project's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Provider.
    pub backend: BackendType,
    /// Region.
    pub region: String,
    /// Kind of instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Domain under which services get their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Whether it has a public address.
    pub public_ip: bool,
    /// Balancer in front of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// Certificate; `None` for no HTTPS.
    pub certificate: Option<Certificate>,
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Tags for the provider's resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
}

words! {
    /// Kind of a balancer.
    LoadBalancerType {
        /// Application load balancer.
        Alb = "alb",
    }
}

/// A balancer in front of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// Kind.
    #[serde(rename = "type")]
    pub kind: LoadBalancerType,
}

impl Read for LoadBalancer {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let kind = fields.required("type");
        fields.finish(kind.map(|kind| LoadBalancer { kind }))
    }
}

/// Where the certificate of a gateway comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Certificate {
    /// Let's Encrypt.
    LetsEncrypt,
    /// AWS Certificate Manager.
    Acm {
        /// Its resource name.
        arn: String,
    },
    /// Google's Certificate Manager.
    GcpCm {
        /// Its resource name.
        name: String,
    },
}

impl Read for Certificate {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let kind: Option<String> = fields.required("type");
        let certificate = match kind.as_deref() {
            Some("lets-encrypt") => Some(Certificate::LetsEncrypt),
            Some("acm") => fields.required("arn").map(|arn| Certificate::Acm { arn }),
            Some("gcp-cm") => fields.required("name").map(|name| Certificate::GcpCm { name }),
            Some(other) => {
                fields.problem("type", format!("{other:?} is none of lets-encrypt, acm, gcp-cm"));
                None
            }
            None => None,
        };
        fields.finish(certificate)
    }
}

impl Read for Gateway {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        fields.is_written("type");
        let place: Option<(BackendType, String)> = fields.required("backend").zip(fields.required("region"));
        let (backend, region) = place.clone().unwrap_or((BackendType::Aws, String::new()));
        let certificate_default = if fields.is_written("certificate") { None } else { Some(Certificate::LetsEncrypt) };
        let gateway = Gateway {
            name: fields.optional("name"),
            default: fields.optional("default"),
            backend,
            region,
            instance_type: fields.optional("instance_type"),
            domain: fields.optional("domain"),
            public_ip: fields.or("public_ip", true),
            load_balancer: fields.optional("load_balancer"),
            certificate: fields.optional("certificate").or(certificate_default),
            replicas: fields.optional("replicas"),
            tags: fields.optional("tags"),
        };
        if gateway.replicas == Some(0) {
            fields.problem("replicas", "must be 1 or more");
        }
        fields.finish(place.map(|_| gateway))
    }
}
