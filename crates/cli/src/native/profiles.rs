//! `profiles.yml`: properties that a user or a project gives to all runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use muster_dstack::configuration::{Profile, ProfilesFile};

/// The profile that counts: the named one, or the default of the first file there is. `.dstack/profiles.yml` of the
/// current directory comes before that of the home directory.
pub(super) fn load(name: Option<&str>) -> anyhow::Result<Profile> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let places = [Some(PathBuf::from(".")), home].into_iter().flatten();
    for file in places.map(|place| place.join(".dstack").join("profiles.yml")) {
        let Some(profiles) = read(&file)? else { continue };
        match name {
            Some(name) => {
                if let Some(profile) = profiles.named(name) {
                    return Ok(profile.clone());
                }
            }
            None => return Ok(profiles.default_profile().cloned().unwrap_or_default()),
        }
    }
    match name {
        Some(name) => bail!("there is no profile {name} in .dstack/profiles.yml"),
        None => Ok(Profile::default()),
    }
}

fn read(file: &Path) -> anyhow::Result<Option<ProfilesFile>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    match ProfilesFile::from_yaml(&text) {
        Ok(profiles) => Ok(Some(profiles)),
        Err(problems) => bail!("{}", problems.render(&file.display().to_string()).trim_end().to_owned()),
    }
}
