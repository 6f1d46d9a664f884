//! `type: dev-environment`.

use serde::Serialize;

use super::base::RunBase;
use super::profile::Profile;
use crate::document::{Fields, Node, Path, Problems, Read};
use crate::values::{OffDuration, PortMapping, words};

words! {
    /// An editor that is prepared for the user.
    Ide {
        /// VS Code.
        Vscode = "vscode",
        /// Cursor.
        Cursor = "cursor",
        /// Windsurf.
        Windsurf = "windsurf",
        /// Zed.
        Zed = "zed",
    }
}

/// A place to work in.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DevEnvironment {
    /// What every run has.
    #[serde(flatten)]
    pub base: RunBase,
    /// Where and how it is placed, retried and ended.
    #[serde(flatten)]
    pub profile: Profile,
    /// Editor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ide: Option<Ide>,
    /// Version of the editor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is run at the start.
    pub init: Vec<String>,
    /// Ended when nobody has been connected for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactivity_duration: Option<OffDuration>,
    /// Ports to expose.
    pub ports: Vec<PortMapping>,
}

impl Read for DevEnvironment {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        fields.is_written("type");
        let environment = DevEnvironment {
            base: RunBase::take(&mut fields),
            profile: Profile::take(&mut fields),
            ide: fields.optional("ide"),
            version: fields.optional("version"),
            init: fields.or_default("init"),
            inactivity_duration: fields.optional_with("inactivity_duration", OffDuration::read_optional),
            ports: fields.or_default("ports"),
        };
        if environment.base.entrypoint.is_some() {
            fields.problem("entrypoint", "a dev-environment has none");
        }
        if environment.version.is_some() && environment.ide.is_none() && !fields.has_problem("ide") {
            fields.problem("version", "needs ide");
        }
        if environment.ide == Some(Ide::Windsurf)
            && environment.version.as_deref().is_some_and(|text| !is_windsurf_version(text))
        {
            fields.problem("version", "must be VERSION@COMMIT for windsurf");
        }
        if environment.base.dstack && matches!(environment.inactivity_duration, Some(OffDuration::Limited(_))) {
            fields.problem("inactivity_duration", "cannot be detected together with dstack: true");
        }
        fields.finish(Some(environment))
    }
}

fn is_windsurf_version(text: &str) -> bool {
    let is_commit = |commit: &str| !commit.is_empty() && commit.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    text.rsplit_once('@').is_some_and(|(version, commit)| !version.is_empty() && is_commit(commit))
}
