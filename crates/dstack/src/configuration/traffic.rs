//! Requests to a service: how many are let through, and by which its health is checked.

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read};
use crate::values::{Duration, words};

/// A limit of requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateLimit {
    /// Path to which it applies.
    pub prefix: String,
    /// By what requests are told apart.
    pub key: RateLimitKey,
    /// Requests per second.
    pub rps: f64,
    /// Requests that may come ahead.
    pub burst: u64,
}

/// By what requests are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RateLimitKey {
    /// The address of the client.
    IpAddress,
    /// A header.
    Header {
        /// Its name.
        header: String,
    },
}

impl Read for RateLimitKey {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let kind: Option<String> = fields.required("type");
        let key = match kind.as_deref() {
            Some("ip_address") => Some(RateLimitKey::IpAddress),
            Some("header") => fields.required("header").map(|header| RateLimitKey::Header { header }),
            Some(_) => {
                fields.problem("type", "must be ip_address or header");
                None
            }
            None => None,
        };
        if let Some(RateLimitKey::Header { header }) = &key {
            let well_formed = header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !well_formed || !(1..=500).contains(&header.len()) {
                fields.problem("header", "a header's name has letters, digits, `-` and `_`");
            }
        }
        fields.finish(key)
    }
}

impl Read for RateLimit {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let prefix = fields.or("prefix", "/".to_owned());
        let no_path = |c: char| c.is_whitespace() || matches!(c, '\\' | '{' | '}');
        if !prefix.starts_with('/') || prefix.contains(no_path) || prefix.len() > 4094 {
            fields.problem("prefix", "must be a path that begins with `/`");
        }
        let key = fields.or("key", RateLimitKey::IpAddress);
        let rps: Option<f64> = fields.required("rps");
        if rps.is_some_and(|rps| rps < 1.0 / 60.0 || rps > i64::MAX as f64 / 60.0) {
            fields.problem("rps", "must be one a minute or more");
        }
        let burst = fields.or("burst", 0);
        fields.finish(rps.map(|rps| RateLimit { prefix, key, rps, burst }))
    }
}

words! {
    /// Method of a request.
    Method {
        /// GET.
        Get = "get",
        /// POST.
        Post = "post",
        /// PUT.
        Put = "put",
        /// DELETE.
        Delete = "delete",
        /// PATCH.
        Patch = "patch",
        /// HEAD.
        Head = "head",
    }
}

words! {
    /// Kind of a probe.
    ProbeType {
        /// A request by HTTP.
        Http = "http",
    }
}

/// A check of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Kind.
    #[serde(rename = "type")]
    pub kind: ProbeType,
    /// Path; `/` where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Method; GET where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Headers.
    pub headers: Vec<HeaderValue>,
    /// Body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Longest time of a request; 10 s where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time between requests; 15 s where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Successes in a row that make a replica ready; 1 where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_after: Option<u32>,
    /// Whether it ends when the replica is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ready: Option<bool>,
}

/// A header of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderValue {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl Read for HeaderValue {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let pair: Option<(String, String)> = fields.required("name").zip(fields.required("value"));
        if pair.as_ref().is_some_and(|(name, _)| !(1..=256).contains(&name.len())) {
            fields.problem("name", "must have 1 to 256 characters");
        }
        if pair.as_ref().is_some_and(|(_, value)| !(1..=2048).contains(&value.len())) {
            fields.problem("value", "must have 1 to 2048 characters");
        }
        fields.finish(pair.map(|(name, value)| HeaderValue { name, value }))
    }
}

impl Read for Probe {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let kind = fields.required("type");
        let probe = Probe {
            kind: kind.unwrap_or(ProbeType::Http),
            url: fields.optional("url"),
            method: fields.optional("method"),
            headers: fields.or_default("headers"),
            body: fields.optional("body"),
            timeout: fields.optional("timeout"),
            interval: fields.optional("interval"),
            ready_after: fields.optional("ready_after"),
            until_ready: fields.optional("until_ready"),
        };
        if probe
            .url
            .as_ref()
            .is_some_and(|url| !url.starts_with('/') || url.len() > 2048 || url.contains(char::is_control))
        {
            fields.problem("url", "must be a path that begins with `/`");
        }
        if probe.headers.len() > 16 {
            fields.problem("headers", "16 at most");
        }
        if probe.body.as_ref().is_some_and(|body| !(1..=2048).contains(&body.len())) {
            fields.problem("body", "must have 1 to 2048 characters");
        }
        if probe.body.is_some() && matches!(probe.method, Some(Method::Get | Method::Head)) {
            fields.problem("body", "get and head have no body");
        }
        for (name, duration) in [("timeout", probe.timeout), ("interval", probe.interval)] {
            if duration == Some(Duration(0)) {
                fields.problem(name, "must be 1s or more");
            }
        }
        if probe.ready_after == Some(0) {
            fields.problem("ready_after", "must be 1 or more");
        }
        fields.finish(kind.map(|_| probe))
    }
}
