//! What it costs to start a job on thousands of nodes, with the tree of relays and without it.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// `cargo xtask bench fan-out [NODES RUNS]`.
pub(super) fn run(args: &[String]) -> Result<()> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--locked", "--package", "muster", "--example", "fan_out", "--"])
        .args(args)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the measurement ended with {status}");
    Ok(())
}
