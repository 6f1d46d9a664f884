//! The key with which a user comes into the containers of runs: made once, by `ssh-keygen`.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Where the private key is; the public one is beside it.
///
/// # Errors
/// Nobody knows the home directory.
pub(super) fn private_key() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".muster/ssh/id_ed25519"))
}

/// The public key, as a line of `authorized_keys`. Both are made where they are missing.
///
/// # Errors
/// It cannot be made or read: why.
pub(super) fn public_key() -> anyhow::Result<String> {
    let private = private_key()?;
    let public = private.with_extension("pub");
    if !public.exists() {
        let directory = private.parent().context("a key has a directory")?;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.with_context(|| format!("cannot make {}", directory.display()))?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "muster", "-f"]).arg(&private);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot run ssh-keygen")?;
        ensure!(status.success(), "ssh-keygen made no key in {}", directory.display());
    }
    let text = std::fs::read_to_string(&public).with_context(|| format!("cannot read {}", public.display()))?;
    Ok(text.trim().to_owned())
}
