//! Images: how they are named, and that they are here. One that is here is never fetched again.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::api::{ABSENT, Engine, EngineError, Patience, escaped};

/// How long a registry may be silent.
const PULL_SILENCE: Duration = Duration::from_secs(600);

/// How often the progress of a pull is told.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// An image as a user names it: `[USER@][REGISTRY#]IMAGE[:TAG]`, the way of enroot, or the way of Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageName {
    /// With the registry, without the tag.
    name: String,
    /// Tag or digest.
    tag: String,
    is_digest: bool,
    /// The user of the registry that is meant.
    pub(crate) user: Option<String>,
    /// It must be here: `dockerd://`, `podman://`.
    is_local: bool,
}

impl ImageName {
    /// Reads `text`.
    pub(crate) fn parse(text: &str) -> ImageName {
        let (text, is_local) = match text.split_once("://") {
            Some(("dockerd" | "podman", rest)) => (rest, true),
            Some(("docker", rest)) => (rest, false),
            _ => (text, false),
        };
        // A digest has an `@` too.
        let (user, text) = match text.split_once('@') {
            Some((user, rest)) if !rest.starts_with("sha256:") => (Some(user.to_owned()), rest),
            _ => (None, text),
        };
        let text = text.replacen('#', "/", 1);
        let (name, tag, is_digest) = match text.split_once('@') {
            Some((name, digest)) => (name, digest, true),
            None => match text.rsplit_once(':') {
                // What has a slash behind it is the port of a registry.
                Some((name, tag)) if !tag.contains('/') && !tag.is_empty() => (name, tag, false),
                _ => (text.trim_end_matches(':'), "latest", false),
            },
        };
        ImageName { name: name.to_owned(), tag: tag.to_owned(), is_digest, user, is_local }
    }

    /// As Docker names it.
    pub(crate) fn reference(&self) -> String {
        format!("{}{}{}", self.name, if self.is_digest { '@' } else { ':' }, self.tag)
    }

    /// Host, and port if given, of its registry; `None` for that of Docker.
    pub(crate) fn registry(&self) -> Option<&str> {
        let (first, _) = self.name.split_once('/')?;
        let is_host = first.contains(['.', ':']) || first == "localhost";
        (is_host && first != "docker.io").then_some(first)
    }
}

/// What a container takes from its image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ImageFacts {
    /// By which it is found again.
    pub(crate) id: String,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// Empty for none.
    pub(crate) work_dir: String,
    /// Empty for none.
    pub(crate) entrypoint: Vec<String>,
}

impl ImageFacts {
    fn read(document: &Value) -> ImageFacts {
        let config = document.get("Config").unwrap_or(&Value::Null);
        let texts = |name: &str| -> Vec<String> {
            let list = config.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        ImageFacts {
            id: text(document.get("Id")),
            environment: texts("Env"),
            work_dir: text(config.get("WorkingDir")),
            entrypoint: texts("Entrypoint"),
        }
    }
}

/// What is known of an image that is here.
pub(crate) fn inspect(engine: &Engine, reference: &str, patience: Patience<'_>) -> Result<ImageFacts, EngineError> {
    let path = format!("/images/{}/json", escaped(reference));
    let document = engine.send("GET", &path, "", None, patience)?.document()?;
    Ok(ImageFacts::read(&document))
}

/// Sees to it that an image is here. `credentials` is asked only where it has to be fetched, `tell` told how that goes.
pub(crate) fn provide(
    engine: &Engine,
    image: &ImageName,
    cancelled: &AtomicBool,
    credentials: impl FnOnce() -> Option<String>,
    tell: &mut dyn FnMut(&str),
) -> Result<ImageFacts, EngineError> {
    let reference = image.reference();
    let patience = Patience { cancelled, silence: PULL_SILENCE };
    match inspect(engine, &reference, patience) {
        Err(error) if error.is_absence() && !image.is_local => {}
        // Each engine has words of its own for it.
        Err(EngineError::Refused { status, .. }) if status == ABSENT => {
            return Err(EngineError::Refused { status, message: format!("no such image: {reference}") });
        }
        result => return result,
    }
    tell(&format!("importing docker image: {reference}"));
    let header = credentials().map(|text| format!("X-Registry-Auth: {text}\r\n")).unwrap_or_default();
    let path = format!("/images/create?fromImage={}&tag={}", escaped(&image.name), escaped(&image.tag));
    let mut progress = Progress::default();
    engine.send("POST", &path, &header, None, patience)?.documents(|document| {
        if let Some(error) = document.get("error").and_then(Value::as_str) {
            return Err(EngineError::Refused { status: 0, message: error.to_owned() });
        }
        progress.take(&document);
        if let Some(text) = progress.due(Instant::now()) {
            tell(&format!("importing docker image: {reference}: {text}"));
        }
        Ok(())
    })?;
    let facts = inspect(engine, &reference, patience)?;
    tell(&format!("imported docker image: {reference}"));
    Ok(facts)
}

/// How far the layers of an image have come.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes that are here and bytes in all, by layer.
    layers: BTreeMap<String, (u64, u64)>,
    told: Option<Instant>,
}

impl Progress {
    fn take(&mut self, document: &Value) {
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let detail = |name: &str| document.get("progressDetail")?.get(name)?.as_u64();
        match (text("status"), detail("current"), detail("total")) {
            ("Downloading", Some(current), Some(total)) => {
                self.layers.insert(text("id").to_owned(), (current.min(total), total));
            }
            ("Download complete" | "Pull complete" | "Extracting", _, _) => {
                if let Some((current, total)) = self.layers.get_mut(text("id")) {
                    *current = *total;
                }
            }
            _ => {}
        }
    }

    fn shown(&self) -> String {
        let sum = |part: fn(&(u64, u64)) -> u64| self.layers.values().map(part).fold(0, u64::saturating_add);
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        let (here, all) = (sum(|(current, _)| *current), sum(|(_, total)| *total));
        format!("{} of {} MB in {} layers", megabytes(here), megabytes(all), self.layers.len())
    }

    /// What there is to tell now, if it is time.
    fn due(&mut self, now: Instant) -> Option<String> {
        let since = *self.told.get_or_insert(now);
        if self.layers.is_empty() || now.saturating_duration_since(since) < TELL_INTERVAL {
            return None;
        }
        self.told = Some(now);
        Some(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_enroot_and_of_docker_are_understood() {
        let check = |text: &str, reference: &str, registry: Option<&str>, user: Option<&str>| {
            let name = ImageName::parse(text);
            assert_eq!((name.reference().as_str(), name.registry(), name.user.as_deref()), (reference, registry, user));
        };
        check("ubuntu", "ubuntu:latest", None, None);
        check("ubuntu:", "ubuntu:latest", None, None);
        check("user/ubuntu:24.04", "user/ubuntu:24.04", None, None);
        check("nvcr.io#nvidia/pytorch:24.05-py3", "nvcr.io/nvidia/pytorch:24.05-py3", Some("nvcr.io"), None);
        check("$oauthtoken@nvcr.io#a/b", "nvcr.io/a/b:latest", Some("nvcr.io"), Some("$oauthtoken"));
        check("docker://me@localhost:5000#a", "localhost:5000/a:latest", Some("localhost:5000"), Some("me"));
        check("localhost:5000/a/b", "localhost:5000/a/b:latest", Some("localhost:5000"), None);
        check("docker.io/a/b:c", "docker.io/a/b:c", None, None);
        check("a@sha256:12ab", "a@sha256:12ab", None, None);
        check("dockerd://a:1", "a:1", None, None);
        assert!(ImageName::parse("dockerd://a:1").is_local && !ImageName::parse("docker://a:1").is_local);
    }

    #[test]
    fn progress_is_the_sum_of_the_layers_and_told_now_and_then() {
        let mut progress = Progress::default();
        let mut take = |text: &str| progress.take(&serde_json::from_str(text).unwrap());
        take(r#"{"status":"Pulling from a","id":"latest"}"#);
        take(r#"{"status":"Downloading","progressDetail":{"current":1500000,"total":9000000},"id":"a"}"#);
        take(r#"{"status":"Downloading","progressDetail":{"current":100,"total":1000000},"id":"b"}"#);
        take(r#"{"status":"Download complete","progressDetail":{},"id":"b"}"#);
        assert_eq!(progress.shown(), "3 of 10 MB in 2 layers");
        let start = Instant::now();
        assert_eq!(progress.due(start), None);
        assert_eq!(progress.due(start + TELL_INTERVAL), Some("3 of 10 MB in 2 layers".to_owned()));
        assert_eq!(progress.due(start + TELL_INTERVAL), None);
    }

    #[test]
    fn an_image_says_how_it_is_run() {
        let text = r#"{"Id":"sha256:1","Config":{"Env":["A=b"],"WorkingDir":"/w","Entrypoint":["/e","x"],"Cmd":null}}"#;
        let facts = ImageFacts::read(&serde_json::from_str(text).unwrap());
        assert_eq!((facts.id.as_str(), facts.work_dir.as_str()), ("sha256:1", "/w"));
        assert_eq!((facts.environment, facts.entrypoint), (vec!["A=b".into()], vec!["/e".into(), "x".into()]));
        assert_eq!(ImageFacts::read(&Value::Null), ImageFacts::default());
    }
}
