//! What a registry wants to be told before it gives an image: read from the user's own files, with the rights of the user.
//!
//! Two places are looked at, in this order: `.credentials` of enroot, lines as in `.netrc`; and `config.json` of Docker.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use super::image::ImageName;

/// The registry of Docker, as the two files name it.
const HUB_NAMES: [&str; 4] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "auth.docker.io"];

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a user keeps credentials, by the variables of his environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Places {
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `ENROOT_CONFIG_PATH`.
    pub(crate) enroot: Option<PathBuf>,
    /// `DOCKER_CONFIG`.
    pub(crate) docker: Option<PathBuf>,
}

impl Places {
    /// The header for `image`; `None` where nothing is known for its registry. To be called with the rights of the user.
    pub(crate) fn header(&self, image: &ImageName) -> Option<String> {
        let under_home = |name: &str| self.home.as_ref().map(|home| home.join(name));
        let enroot = self.enroot.clone().or_else(|| under_home(".config/enroot")).map(|dir| dir.join(".credentials"));
        let docker = self.docker.clone().or_else(|| under_home(".docker")).map(|dir| dir.join("config.json"));
        let from_enroot = || of_netrc(&read(&enroot?)?, image);
        let from_docker = || of_docker(&read(&docker?)?, image);
        let found = from_enroot().or_else(from_docker)?;
        Some(URL_SAFE.encode(found.to_string()))
    }
}

/// The header for `image` from the document in [`muster_model::container::REGISTRY_AUTH`].
///
/// # Errors
/// What is wrong with it.
pub(crate) fn given(text: &str, image: &ImageName) -> Result<String, serde_json::Error> {
    let mut document: Value = serde_json::from_str(text)?;
    document["serveraddress"] = json!(image.registry().unwrap_or(HUB_NAMES[0]));
    Ok(URL_SAFE.encode(document.to_string()))
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn names(image: &ImageName) -> Vec<&str> {
    image.registry().map_or_else(|| HUB_NAMES.to_vec(), |registry| vec![registry])
}

/// `machine HOST login USER password WORD`.
fn of_netrc(text: &str, image: &ImageName) -> Option<Value> {
    let names = names(image);
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            words.get(at + 1).copied()
        };
        let (Some(machine), Some(user), Some(password)) = (value("machine"), value("login"), value("password")) else {
            continue;
        };
        let is_user = image.user.as_deref().is_none_or(|wanted| wanted == user);
        if is_user && names.contains(&machine) {
            return Some(json!({"username": user, "password": password, "serveraddress": machine}));
        }
    }
    None
}

/// `{"auths": {"HOST": {"auth": "base64 of USER:PASSWORD"}}}`.
fn of_docker(text: &str, image: &ImageName) -> Option<Value> {
    let document: Value = serde_json::from_str(text).ok()?;
    let entries = document.get("auths")?.as_object()?;
    let (server, entry) = names(image).into_iter().find_map(|name| {
        let with_scheme = format!("https://{name}");
        entries.get_key_value(name).or_else(|| entries.get_key_value(&with_scheme))
    })?;
    if let Some(token) = entry.get("identitytoken").and_then(Value::as_str) {
        return Some(json!({"identitytoken": token, "serveraddress": server}));
    }
    let decoded = STANDARD.decode(entry.get("auth")?.as_str()?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let is_user = image.user.as_deref().is_none_or(|wanted| wanted == user);
    is_user.then(|| json!({"username": user, "password": password, "serveraddress": server}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_understood() {
        let image = |text| ImageName::parse(text);
        let netrc = "# machine nvcr.io login no password no\nmachine nvcr.io login $oauthtoken password k\n\
                     machine auth.docker.io login me password p\nmachine cut login\n";
        let user = |found: Option<Value>| found.map(|found| format!("{} {}", found["username"], found["password"]));
        assert_eq!(user(of_netrc(netrc, &image("nvcr.io#a"))).as_deref(), Some(r#""$oauthtoken" "k""#));
        assert_eq!(user(of_netrc(netrc, &image("ubuntu"))).as_deref(), Some(r#""me" "p""#));
        assert_eq!(of_netrc(netrc, &image("you@nvcr.io#a")), None);
        assert_eq!(of_netrc(netrc, &image("quay.io#a")), None);
        let docker = r#"{"auths":{"localhost:5000":{"auth":"dTpwOnE="},"https://quay.io":{"identitytoken":"t"}}}"#;
        assert_eq!(user(of_docker(docker, &image("localhost:5000/a"))).as_deref(), Some(r#""u" "p:q""#));
        assert_eq!(of_docker(docker, &image("quay.io#a")).unwrap()["identitytoken"], "t");
        assert_eq!(of_docker(docker, &image("ubuntu")), None);
        assert_eq!(of_docker("no document", &image("ubuntu")), None);
    }

    #[test]
    fn files_are_found_by_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".docker")).unwrap();
        let auths = r#"{"auths":{"h:1":{"auth":"dTpw"}}}"#;
        std::fs::write(dir.path().join(".docker/config.json"), auths).unwrap();
        let places = Places { home: Some(dir.path().to_owned()), ..Places::default() };
        let header = places.header(&ImageName::parse("h:1/a")).unwrap();
        let document: Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(document, json!({"username": "u", "password": "p", "serveraddress": "h:1"}));
        let same = given(r#"{"username":"u","password":"p"}"#, &ImageName::parse("h:1/a")).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&URL_SAFE.decode(same).unwrap()).unwrap(), document);
        assert!(given("[", &ImageName::parse("a")).is_err());
        assert_eq!(places.header(&ImageName::parse("h:2/a")), None);
        assert_eq!(Places::default().header(&ImageName::parse("h:1/a")), None);
    }
}
