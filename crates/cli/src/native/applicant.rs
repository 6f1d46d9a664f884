//! Whoever applies a configuration, as this process knows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_dstack::task::Applicant;
use muster_model::ids::Identity;

use crate::caller;

/// All that a submit tells about its user.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) identity: Identity,
    pub(super) environment: BTreeMap<String, String>,
    current_dir: String,
    configuration_dir: String,
    host: String,
    session: u32,
    command_line: String,
    umask: u32,
}

impl Surroundings {
    /// Looks around; `file` is the configuration file, `None` for stdin.
    pub(super) fn gather(file: Option<&Path>) -> anyhow::Result<Surroundings> {
        let current = std::env::current_dir().context("cannot tell the current directory")?;
        let directory = match file.and_then(Path::parent) {
            Some(directory) => current.join(directory),
            None => current.clone(),
        };
        Ok(Surroundings {
            identity: caller::identity(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            current_dir: text(current)?,
            configuration_dir: text(directory)?,
            host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
            session: nix::unistd::getsid(None)
                .ok()
                .and_then(|session| u32::try_from(session.as_raw()).ok())
                .unwrap_or(0),
            command_line: std::env::args_os()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            umask: caller::umask(),
        })
    }

    /// The same for the translator.
    pub(super) fn applicant<'a>(&'a self, project: &'a str) -> Applicant<'a> {
        Applicant {
            identity: &self.identity,
            project,
            environment: &self.environment,
            configuration_dir: &self.configuration_dir,
            current_dir: &self.current_dir,
            host: &self.host,
            session: self.session,
            command_line: &self.command_line,
            umask: self.umask,
            // As in a container, the limits are those of the node.
            limits: &[],
        }
    }
}

fn text(path: PathBuf) -> anyhow::Result<String> {
    path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{path:?} is not valid UTF-8"))
}
