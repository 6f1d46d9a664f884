//! The configuration files: what a document of each `type` may say, read strictly into typed values.
//!
//! Everything that dstack 0.22 accepts is read; what this version does with it is decided later, in
//! [`task`](crate::task). Serialised, a configuration has the JSON form of dstack's API.

mod base;
mod dev_environment;
mod fleet;
mod gateway;
mod profile;
mod replicas;
mod resources;
mod service;
mod task;
mod traffic;
mod volume;

use serde::Serialize;

pub use base::{PythonVersion, RegistryAuth, RunBase, RunUser, Shell};
pub(crate) use base::{RUN_NAME_RULE, is_run_name};
pub use dev_environment::{DevEnvironment, Ide};
pub use fleet::{Blocks, Fleet, FleetNodes, Host, Placement, ProxyJump, SshConfig};
pub use gateway::{Certificate, Gateway, LoadBalancer, LoadBalancerType};
pub use profile::{
    BackendOptions, BackendType, CreationPolicy, OfferOrder, Profile, ProfilesFile, Retry, RetryEvent, Schedule,
    SpotPolicy, StartupOrder, StopCriteria, UtilizationPolicy,
};
pub use replicas::{Metric, ReplicaGroup, Router, RouterType, Scaling};
pub(crate) use resources::MEMORY_DEFAULT;
pub use resources::{Disk, Resources};
pub use service::{Auto, Chat, ChatModel, GatewayChoice, Https, ModelFormat, Service};
pub use task::{NodeGroup, Task};
pub use traffic::{HeaderValue, Method, Probe, ProbeType, RateLimit, RateLimitKey};
pub use volume::Volume;

use crate::document::{Fields, Node, Path, Problems, Read, from_json, from_yaml};

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Configuration {
    /// Commands that run to their end, on one node or several.
    Task(Box<Task>),
    /// Something that serves requests.
    Service(Box<Service>),
    /// A place to work in.
    DevEnvironment(Box<DevEnvironment>),
    /// A group of nodes.
    Fleet(Box<Fleet>),
    /// A network volume.
    Volume(Box<Volume>),
    /// The way in for services.
    Gateway(Box<Gateway>),
}

/// The words that `type` may have.
const TYPES: &[&str] = &["task", "service", "dev-environment", "fleet", "volume", "gateway"];

impl Configuration {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// All that is wrong with it, with line and column.
    pub fn from_yaml(text: &str) -> Result<Configuration, Problems> {
        from_yaml(text).and_then(|root| Configuration::read(&root, &Path::Root))
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_json(text: &str) -> Result<Configuration, Problems> {
        from_json(text).and_then(|root| Configuration::read(&root, &Path::Root))
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        // Only a map with keys that are no text, or a failing `Serialize`, could be an error; there are none of either.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The word of its `type`.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Configuration::Task(_) => "task",
            Configuration::Service(_) => "service",
            Configuration::DevEnvironment(_) => "dev-environment",
            Configuration::Fleet(_) => "fleet",
            Configuration::Volume(_) => "volume",
            Configuration::Gateway(_) => "gateway",
        }
    }

    /// The task, if it is one: the only type that this version runs.
    ///
    /// # Errors
    /// That the type is not run yet, for the user.
    pub fn into_task(self) -> Result<Task, Problems> {
        match self {
            Configuration::Task(task) => Ok(*task),
            other => {
                let message = format!("a {} is not run yet by this version; only tasks are", other.type_name());
                Err(Problems::of("type", message))
            }
        }
    }
}

impl Read for Configuration {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let kind: String = match fields.required("type") {
            Some(kind) => kind,
            None => return fields.fail(),
        };
        match kind.as_str() {
            "task" => Read::read(node, path).map(Configuration::Task),
            "service" => Read::read(node, path).map(Configuration::Service),
            "dev-environment" => Read::read(node, path).map(Configuration::DevEnvironment),
            "fleet" => Read::read(node, path).map(Configuration::Fleet),
            "volume" => Read::read(node, path).map(Configuration::Volume),
            "gateway" => Read::read(node, path).map(Configuration::Gateway),
            "preset" => {
                fields.problem(
                    "type",
                    "presets are made by dstack's own client on the user's machine; this version has none",
                );
                fields.fail()
            }
            other => {
                fields.problem("type", format!("{other:?} is none of {}", TYPES.join(", ")));
                fields.fail()
            }
        }
    }
}
