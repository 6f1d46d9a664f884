//! `type: service`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::base::{RunBase, name_groups};
use super::profile::Profile;
use super::replicas::{ReplicaGroup, Scaling, check_scaling, read_replicas};
use super::traffic::{Probe, RateLimit};
use crate::document::{Fields, Node, Path, Problems, Read, Value};
use crate::values::{EntityReference, PortMapping, Range, read_port, words};

/// Something that serves requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service {
    /// What every run has.
    #[serde(flatten)]
    pub base: RunBase,
    /// Where and how it is placed, retried and ended.
    #[serde(flatten)]
    pub profile: Profile,
    /// Port in the container.
    pub port: PortMapping,
    /// By which gateway it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayChoice>,
    /// Whether the path prefix of the in-server proxy is taken off.
    pub strip_prefix: bool,
    /// Model it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ChatModel>,
    /// Whether the gateway serves it by HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
    /// Whether requests need a token.
    pub auth: bool,
    /// How many replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Range<u32>>,
    /// How their number follows the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Groups of replicas that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<ReplicaGroup>>,
    /// Limits of requests.
    pub rate_limits: Vec<RateLimit>,
    /// Checks of health; `None` for the default of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Vec<Probe>>,
    /// What it runs.
    pub commands: Vec<String>,
}

/// By which gateway a service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum GatewayChoice {
    /// `true`: the default one. `false`: none, by the server itself.
    Switch(bool),
    /// This one.
    Named(EntityReference),
}

impl Read for GatewayChoice {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match node.value {
            Value::Bool(switch) => Ok(GatewayChoice::Switch(switch)),
            _ => EntityReference::read(node, path).map(GatewayChoice::Named),
        }
    }
}

/// Whether a gateway serves by HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Https {
    /// It does, or does not.
    Switch(bool),
    /// As the gateway is configured.
    Auto(Auto),
}

words! {
    /// As the other side is configured.
    Auto {
        /// The word.
        Auto = "auto",
    }
}

impl Read for Https {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        match node.scalar_text().as_deref() {
            Some("auto") => Ok(Https::Auto(Auto::Auto)),
            _ => bool::read(node, path).map(Https::Switch).map_err(|_| node.unexpected(path, "true, false or auto")),
        }
    }
}

words! {
    /// How a chat model is spoken to.
    ModelFormat {
        /// The API of OpenAI.
        OpenAi = "openai",
        /// The API of Text Generation Inference.
        Tgi = "tgi",
    }
}

/// A chat model that a service publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatModel {
    /// Always `chat`.
    #[serde(rename = "type")]
    pub kind: Chat,
    /// Name under which it is published.
    pub name: String,
    /// How it is spoken to.
    pub format: ModelFormat,
    /// Path of the API, for the OpenAI format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Template of the prompt, for the TGI format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// End token, for the TGI format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token: Option<String>,
}

words! {
    /// Kind of a model.
    Chat {
        /// The only one.
        Chat = "chat",
    }
}

impl Read for ChatModel {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let prefix_default = || Some("/v1".to_owned());
        if !matches!(node.value, Value::Map(_)) {
            let (name, format) = (String::read(node, path)?, ModelFormat::OpenAi);
            let prefix = prefix_default();
            return Ok(ChatModel { kind: Chat::Chat, name, format, prefix, chat_template: None, eos_token: None });
        }
        let mut fields = Fields::open(node, path)?;
        let kind = fields.or("type", Chat::Chat);
        let name = fields.required("name");
        let format = fields.required("format");
        let (mut prefix, mut chat_template, mut eos_token) = (None, None, None);
        match format {
            Some(ModelFormat::OpenAi) => prefix = fields.optional("prefix").or_else(prefix_default),
            Some(ModelFormat::Tgi) => {
                (chat_template, eos_token) = (fields.optional("chat_template"), fields.optional("eos_token"));
            }
            None => {}
        }
        let pair = name.zip(format);
        fields.finish(pair.map(|(name, format)| ChatModel { kind, name, format, prefix, chat_template, eos_token }))
    }
}

/// The port: a number, `80:8000`, or an object. Only the port in the container counts.
fn read_service_port(node: &Node, path: &Path<'_>) -> Result<Option<PortMapping>, Problems> {
    match node.value {
        Value::Integer(_) => {
            read_port(node, path).map(|port| Some(PortMapping { local_port: Some(80), container_port: port }))
        }
        Value::Text(ref text) if text.starts_with('*') => {
            Err(node.problem(path, "expected a port such as 8000 or 80:8000"))
        }
        _ => PortMapping::read(node, path).map(Some),
    }
}

impl Read for Service {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        fields.is_written("type");
        let port = fields.optional_with("port", read_service_port);
        if port.is_none() && !fields.has_problem("port") {
            fields.problem("port", "is required");
        }
        // Until dstack 0.20 groups were written as a list of replicas.
        let replicas_are_groups = fields.node("replicas").is_some_and(|node| matches!(node.value, Value::List(_)));
        let (replicas, groups) = if replicas_are_groups {
            if fields.is_written("groups") {
                fields.problem("groups", "replicas and groups exclude each other");
            }
            (None, fields.optional("replicas"))
        } else {
            (fields.optional_with("replicas", read_replicas), fields.optional("groups"))
        };
        let mut service = Service {
            base: RunBase::take(&mut fields),
            profile: Profile::take(&mut fields),
            port: port.unwrap_or(PortMapping { local_port: None, container_port: 1 }),
            gateway: fields.optional("gateway"),
            strip_prefix: fields.or("strip_prefix", true),
            model: fields.optional("model"),
            https: fields.optional("https"),
            auth: fields.or("auth", true),
            replicas,
            scaling: fields.optional("scaling"),
            groups,
            rate_limits: fields.or_default("rate_limits"),
            probes: fields.optional("probes"),
            commands: fields.or_default("commands"),
        };
        if let Some(groups) = &mut service.groups {
            name_groups(&mut fields, groups.iter_mut().map(|group| &mut group.name));
        }
        check(&mut fields, &service);
        fields.finish(Some(service))
    }
}

fn check(fields: &mut Fields<'_>, service: &Service) {
    match &service.groups {
        Some(groups) => check_groups(fields, service, groups),
        None => {
            if let Some(replicas) = service.replicas {
                check_scaling(fields, replicas, service.scaling.is_some());
            }
            if service.commands.is_empty() && service.base.image.is_none() && !fields.has_problem("commands") {
                fields.problem_here("either commands or image must be set");
            }
        }
    }
    let prefixes: BTreeSet<&str> = service.rate_limits.iter().map(|limit| limit.prefix.as_str()).collect();
    if prefixes.len() < service.rate_limits.len() {
        fields.problem("rate_limits", "a prefix is used more than once");
    }
    let probes = service.probes.as_deref().unwrap_or_default();
    if probes.iter().enumerate().any(|(index, probe)| probes[..index].contains(probe)) {
        fields.problem("probes", "two probes are the same");
    }
}

/// What stands in a group must not stand at the service as well, and the other way round.
fn check_groups(fields: &mut Fields<'_>, service: &Service, groups: &[ReplicaGroup]) {
    if service.replicas.is_some() {
        fields.problem("groups", "replicas and groups exclude each other");
    }
    if service.scaling.is_some() {
        fields.problem("scaling", "is not allowed beside groups; each group has its own");
    }
    if !service.commands.is_empty() {
        fields.problem("commands", "is not allowed beside groups; each group has its own");
    }
    let (base, profile) = (&service.base, &service.profile);
    let any = |given: fn(&ReplicaGroup) -> bool| groups.iter().any(given);
    let image_source = any(|group| group.image.is_some() || group.docker.is_some() || group.python.is_some());
    let both = [
        ("image", base.image.is_some(), image_source || any(|group| group.nvcc.is_some())),
        ("docker", base.docker == Some(true), image_source || any(|group| group.nvcc.is_some())),
        ("python", base.python.is_some(), image_source),
        ("nvcc", base.nvcc == Some(true), any(|group| group.nvcc.is_some() || group.docker.is_some())),
        ("privileged", base.privileged, any(|group| group.privileged.is_some())),
        ("spot_policy", profile.spot_policy.is_some(), any(|group| group.spot_policy.is_some())),
        ("reservation", profile.reservation.is_some(), any(|group| group.reservation.is_some())),
    ];
    for (name, _, _) in both.into_iter().filter(|(_, at_service, in_group)| *at_service && *in_group) {
        fields.problem(name, "is set at the service and in a group; say it in one place only");
    }
}
