//! How long a full pass of the scheduler takes, over queue length and cluster size.

use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(super) fn run(args: &[String]) -> Result<()> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--locked", "--package", "muster-sched", "--example", "bench", "--"])
        .args(args)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the measurement ended with {status}");
    Ok(())
}
