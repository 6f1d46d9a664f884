//! `type: fleet`.

use core::net::IpAddr;

use serde::Serialize;

use super::profile::{BackendOptions, BackendType, Retry, SpotPolicy};
use super::resources::Resources;
use crate::document::{Fields, Node, Path, Problems, Read, Value};
use crate::values::{Env, IdleDuration, Range, Tags, words};

words! {
    /// How near to each other the instances are.
    Placement {
        /// Anywhere.
        Any = "any",
        /// Connected for work in common.
        Cluster = "cluster",
    }
}

/// Into how many parts an instance is split. In JSON a number or `"auto"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Blocks {
    /// So many.
    Number(u32),
    /// As many as possible.
    Auto(super::service::Auto),
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks::Number(1)
    }
}

impl Read for Blocks {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match node.scalar_text().as_deref() {
            Some("auto") => Ok(Blocks::Auto(super::service::Auto::Auto)),
            _ => match u32::read(node, path)? {
                0 => Err(node.problem(path, "must be 1 or more, or auto")),
                number => Ok(Blocks::Number(number)),
            },
        }
    }
}

/// A group of nodes: made at providers, or hosts reached by SSH.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Fleet {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How near to each other the instances are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Into how many parts an instance is split.
    pub blocks: Blocks,
    /// Hosts reached by SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_config: Option<SshConfig>,
    /// Environment variables of hosts reached by SSH.
    pub env: Env,
    /// How many instances are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<FleetNodes>,
    /// Reservation at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    /// What is needed of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Providers to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<Vec<BackendType>>,
    /// Regions to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// Availability zones to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zones: Option<Vec<String>>,
    /// Kinds of instances to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_types: Option<Vec<String>>,
    /// Whether interruptible instances are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_policy: Option<SpotPolicy>,
    /// When making an instance is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Highest price in dollars an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<f64>,
    /// How long an idle instance is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_duration: Option<IdleDuration>,
    /// Tags for the provider's resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Options of providers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_options: Option<Vec<BackendOptions>>,
}

impl Read for Fleet {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        fields.is_written("type");
        let fleet = Fleet {
            name: fields.optional("name"),
            placement: fields.optional("placement"),
            blocks: fields.or_default("blocks"),
            ssh_config: fields.optional("ssh_config"),
            env: fields.or_default("env"),
            nodes: fields.optional("nodes"),
            reservation: fields.optional("reservation"),
            resources: fields.optional("resources"),
            backends: fields.optional("backends"),
            regions: fields.optional("regions"),
            availability_zones: fields.optional("availability_zones"),
            instance_types: fields.optional("instance_types"),
            spot_policy: fields.optional("spot_policy"),
            retry: fields.optional("retry"),
            max_price: fields.optional("max_price"),
            idle_duration: fields.optional_with("idle_duration", IdleDuration::read_optional),
            tags: fields.optional("tags"),
            backend_options: fields.optional("backend_options"),
        };
        if fleet.max_price.is_some_and(|price| price <= 0.0) {
            fields.problem("max_price", "must be more than 0");
        }
        fields.finish(Some(fleet))
    }
}

/// How many instances a fleet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FleetNodes {
    /// Kept at least.
    pub min: u32,
    /// Made at first.
    pub target: u32,
    /// At most; `None` for no limit.
    pub max: Option<u32>,
}

impl Read for FleetNodes {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if !matches!(node.value, Value::Map(_)) {
            let range: Range<u32> = Range::read(node, path)?;
            let min = range.min.unwrap_or(0);
            return Ok(FleetNodes { min, target: min, max: range.max });
        }
        let mut fields = Fields::open(node, path)?;
        let min = fields.optional("min").unwrap_or(0);
        let target = fields.optional("target").unwrap_or(min);
        let max: Option<u32> = fields.optional("max");
        if target < min {
            fields.problem("target", "must not be less than min");
        }
        if max.is_some_and(|max| max < min || max < target) {
            fields.problem("max", "must not be less than min or target");
        }
        fields.finish(Some(FleetNodes { min, target, max }))
    }
}

/// Hosts reached by SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshConfig {
    /// User to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// File of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
    /// Host in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_jump: Option<ProxyJump>,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Network by which they reach each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Name or address.
    pub hostname: String,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// User to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
    /// Host in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_jump: Option<ProxyJump>,
    /// Address within the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_ip: Option<String>,
    /// Into how many parts it is split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
}

/// A host through which another is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyJump {
    /// Name or address.
    pub hostname: String,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// User to log in as.
    pub user: String,
    /// File of the private key.
    pub identity_file: String,
}

impl Read for SshConfig {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let (user, port) = (fields.optional("user"), fields.optional("port"));
        let (identity_file, proxy_jump) = (fields.optional("identity_file"), fields.optional("proxy_jump"));
        let network: Option<String> = fields.optional("network");
        if network.as_ref().is_some_and(|network| !is_private_network(network)) {
            fields.problem("network", "must be a private network such as 10.0.0.0/24");
        }
        let hosts = fields.required("hosts");
        fields.finish(hosts.map(|hosts| SshConfig { user, port, identity_file, proxy_jump, hosts, network }))
    }
}

impl Read for Host {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if !matches!(node.value, Value::Map(_)) {
            let hostname = String::read(node, path)?;
            return Ok(Host {
                hostname,
                port: None,
                user: None,
                identity_file: None,
                proxy_jump: None,
                internal_ip: None,
                blocks: None,
            });
        }
        let mut fields = Fields::open(node, path)?;
        let hostname: Option<String> = fields.required("hostname");
        let internal_ip: Option<String> = fields.optional("internal_ip");
        if internal_ip.as_ref().is_some_and(|ip| !ip.parse().is_ok_and(is_private)) {
            fields.problem("internal_ip", "must be a private address");
        }
        let host = Host {
            hostname: hostname.clone().unwrap_or_default(),
            port: fields.optional("port"),
            user: fields.optional("user"),
            identity_file: fields.optional("identity_file"),
            proxy_jump: fields.optional("proxy_jump"),
            internal_ip,
            blocks: fields.optional("blocks"),
        };
        fields.finish(hostname.map(|_| host))
    }
}

impl Read for ProxyJump {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let port = fields.optional("port");
        let names = (fields.required("hostname"), fields.required("user"), fields.required("identity_file"));
        let jump = match names {
            (Some(hostname), Some(user), Some(identity_file)) => {
                Some(ProxyJump { hostname, port, user, identity_file })
            }
            _ => None,
        };
        fields.finish(jump)
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

fn is_private_network(network: &str) -> bool {
    let (address, prefix) =
        network.split_once('/').map_or((network, None), |(address, prefix)| (address, Some(prefix)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    is_private(address) && prefix.is_none_or(|prefix| prefix.parse().is_ok_and(|length: u8| length <= bits))
}
