//! What the daemons and commands need to find each other and their files.

use std::path::{Path, PathBuf};

use super::ConfError;
use super::lines::Line;
use crate::grammar::rlimits;

/// Addresses and directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Host name of the first controller.
    pub controller_host: String,
    /// Address at which agents reach it; the host name unless given in brackets.
    pub controller_address: String,
    /// `SlurmctldPort`, the first of a range.
    pub controller_port: u16,
    /// `StateSaveLocation`.
    pub state_save_location: PathBuf,
    /// `TmpFS`.
    pub tmp_fs: PathBuf,
    /// `SlurmdSpoolDir` as written.
    spool_pattern: String,
}

impl DaemonSettings {
    /// `address:port` of the controller.
    pub fn controller_address(&self) -> String {
        format!("{}:{}", self.controller_address, self.controller_port)
    }

    /// `SlurmdSpoolDir` of a node: `%n` is its name, `%h` its host name.
    pub fn spool_directory(&self, node: &str, host: &str) -> PathBuf {
        PathBuf::from(self.spool_pattern.replace("%n", node).replace("%h", host))
    }
}

/// Gathers the settings from all lines of a file.
pub(super) fn read(path: &Path, lines: &[Line]) -> Result<DaemonSettings, ConfError> {
    let find = |key: &str| lines.iter().rev().find_map(|line| line.get(key).map(|value| (line, value)));
    let first = |key: &str| lines.iter().find_map(|line| line.get(key).map(|value| (line, value)));
    let host = first("SlurmctldHost").or_else(|| first("ControlMachine"));
    let (_, host) = host.ok_or_else(|| ConfError {
        file: path.to_owned(),
        line: 0,
        message: "no SlurmctldHost is given; it names the host of the controller".to_owned(),
    })?;
    let (name, bracketed) = match host.split_once('(') {
        Some((name, rest)) => (name, Some(rest.trim_end_matches(')'))),
        None => (host, find("ControlAddr").map(|(_, address)| address)),
    };
    for key in ["PropagateResourceLimits", "PropagateResourceLimitsExcept"] {
        if let Some((line, text)) = find(key) {
            rlimits::parse(text).map_err(|name| line.error(format!("Bad rlimit name: {name}")))?;
        }
    }
    let port = match find("SlurmctldPort") {
        None => 6817,
        Some((line, text)) => {
            let first = text.split('-').next().unwrap_or(text);
            first.parse().map_err(|_| line.error(format!("Invalid SlurmctldPort {text}")))?
        }
    };
    Ok(DaemonSettings {
        controller_host: name.to_owned(),
        controller_address: bracketed.unwrap_or(name).to_owned(),
        controller_port: port,
        state_save_location: find("StateSaveLocation").map_or("/var/spool", |(_, value)| value).into(),
        tmp_fs: find("TmpFS").map_or("/tmp", |(_, value)| value).into(),
        spool_pattern: find("SlurmdSpoolDir").map_or("/var/spool/slurmd", |(_, value)| value).to_owned(),
    })
}
