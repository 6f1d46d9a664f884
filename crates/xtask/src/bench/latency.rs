//! What the planner costs those who submit, end or read while it works, and how soon jobs start meanwhile.

use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(super) fn run(args: &[String]) -> Result<()> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--locked", "--package", "muster", "--example", "plan_latency", "--"])
        .args(args)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the measurement ended with {status}");
    Ok(())
}
