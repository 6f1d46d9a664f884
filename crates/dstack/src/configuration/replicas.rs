//! Replicas of a service: how many there are and how their number follows the load.

use serde::Serialize;

use super::base::{PythonVersion, read_python};
use super::profile::SpotPolicy;
use super::resources::Resources;
use crate::document::{Fields, Node, Path, Problems, Read, Value};
use crate::values::{Duration, Range, words};

/// How the number of replicas follows the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scaling {
    /// What is measured: requests per second.
    pub metric: Metric,
    /// Its value for each replica.
    pub target: f64,
    /// Over which time: 30 s, 1 m or 5 m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Least time before one more.
    pub scale_up_delay: Duration,
    /// Least time before one less.
    pub scale_down_delay: Duration,
}

words! {
    /// What is measured.
    Metric {
        /// Requests per second.
        Rps = "rps",
    }
}

impl Read for Scaling {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let metric = fields.required("metric");
        let target: Option<f64> = fields.required("target");
        if target.is_some_and(|target| target <= 0.0) {
            fields.problem("target", "must be more than 0");
        }
        let window: Option<Duration> = fields.optional("window");
        if window.is_some_and(|window| ![30, 60, 300].contains(&window.0)) {
            fields.problem("window", "must be 30s, 60s or 300s");
        }
        let scale_up_delay = fields.or("scale_up_delay", Duration(300));
        let scale_down_delay = fields.or("scale_down_delay", Duration(600));
        let pair = metric.zip(target);
        fields.finish(pair.map(|(metric, target)| Scaling { metric, target, window, scale_up_delay, scale_down_delay }))
    }
}

words! {
    /// A program that spreads requests over replicas.
    RouterType {
        /// Shepherd Model Gateway; also written `sglang`.
        Smg = "smg",
        /// NVIDIA Dynamo.
        Dynamo = "dynamo",
    }
}

/// A group of replicas that spreads requests over the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Router {
    /// Which program.
    #[serde(rename = "type")]
    pub kind: RouterType,
}

impl Read for Router {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let kind = fields.optional_with("type", |node, path| match node.scalar_text().as_deref() {
            Some("sglang") => Ok(Some(RouterType::Smg)),
            _ => RouterType::read(node, path).map(Some),
        });
        fields.finish(Some(Router { kind: kind.unwrap_or(RouterType::Smg) }))
    }
}

/// Replicas of a service that do the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplicaGroup {
    /// Name; its number where none is given.
    pub name: Option<String>,
    /// How many.
    pub replicas: Range<u32>,
    /// How their number follows the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// What is needed of each.
    pub resources: Resources,
    /// Whether interruptible instances are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_policy: Option<SpotPolicy>,
    /// Reservation at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    /// What they run.
    pub commands: Vec<String>,
    /// Container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Version of Python in dstack's own image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonVersion>,
    /// Whether that image has the CUDA compiler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvcc: Option<bool>,
    /// Whether they can use a container engine of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<bool>,
    /// Whether the container has all rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// Whether they spread requests over the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<Router>,
}

impl Read for ReplicaGroup {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        // `count` is the older name of `replicas`.
        let older = fields.optional_with("count", read_replicas);
        let replicas = fields.optional_with("replicas", read_replicas).or(older);
        if replicas.is_none() && !fields.has_problem("replicas") && !fields.has_problem("count") {
            fields.problem("replicas", "is required");
        }
        let group = ReplicaGroup {
            name: fields.optional("name"),
            replicas: replicas.unwrap_or(Range::exactly(1)),
            scaling: fields.optional("scaling"),
            resources: fields.or_default("resources"),
            spot_policy: fields.optional("spot_policy"),
            reservation: fields.optional("reservation"),
            commands: fields.or_default("commands"),
            image: fields.optional("image"),
            python: fields.optional_with("python", read_python),
            nvcc: fields.optional("nvcc"),
            docker: fields.optional("docker"),
            privileged: fields.optional("privileged"),
            router: fields.optional("router"),
        };
        check_scaling(&mut fields, group.replicas, group.scaling.is_some());
        if group.docker == Some(true) {
            if group.image.is_some() || group.python.is_some() || group.nvcc == Some(true) {
                fields.problem("docker", "excludes image, python and nvcc within a group");
            }
            if group.privileged == Some(false) {
                fields.problem("privileged", "cannot be false beside docker: true");
            }
        }
        if group.image.is_some() && group.python.is_some() {
            fields.problem("python", "image and python exclude each other within a group");
        }
        fields.finish(Some(group))
    }
}

/// A number of replicas: an upper end is needed.
pub(super) fn read_replicas(node: &Node, path: &Path<'_>) -> Result<Option<Range<u32>>, Problems> {
    if matches!(node.value, Value::List(_)) {
        return Err(node.unexpected(path, "a number or a range"));
    }
    let range = Range::read(node, path)?;
    match range.max {
        None => Err(node.problem(path, "the greatest number of replicas is needed")),
        Some(_) => Ok(Some(Range { min: range.min.or(Some(0)), max: range.max })),
    }
}

/// A range needs rules, a number has none.
pub(super) fn check_scaling(fields: &mut Fields<'_>, replicas: Range<u32>, has_scaling: bool) {
    match (replicas.min == replicas.max, has_scaling) {
        (false, false) => fields.problem("replicas", "a range needs scaling"),
        (true, true) => fields.problem("scaling", "needs replicas to be a range"),
        _ => {}
    }
}
