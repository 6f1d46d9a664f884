//! The first step of CI: programs that the tests call, installed where they are missing and this can be done.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::workspace::has_cargo_subcommand;

/// A program that tests need.
struct Tool {
    /// A shell line that succeeds when it is there.
    check: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool { check: "git --version", package: "git" },
    Tool { check: "python3 --version", package: "python3" },
    Tool { check: "python3 -c 'import venv, ensurepip'", package: "python3-venv" },
    Tool { check: "ssh -V && command -v scp sftp ssh-keygen", package: "openssh-client" },
    Tool { check: "rsync --version", package: "rsync" },
    Tool { check: "pgrep --version", package: "procps" },
    Tool { check: "tar --version && gzip --version", package: "tar" },
];

/// What only root can run: the tests that need it are skipped for others, and where it cannot be installed.
const TOOLS_OF_ROOT: &[Tool] = &[
    Tool { check: "command -v dockerd", package: "docker.io" },
    Tool { check: "command -v docker-registry", package: "docker-registry" },
    Tool { check: "command -v podman", package: "podman" },
    Tool { check: "command -v crun", package: "crun" },
    Tool { check: "command -v runc", package: "runc" },
    Tool { check: "command -v mpirun", package: "openmpi-bin" },
    Tool { check: "command -v mpicc", package: "libopenmpi-dev" },
];

/// Installs what is missing.
///
/// # Errors
/// When something is missing and cannot be installed: what, and how to install it by hand.
pub(super) fn run() -> Result<()> {
    let missing: Vec<&str> = TOOLS.iter().filter(|tool| !succeeds(tool.check)).map(|tool| tool.package).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let missing: Vec<&str> =
        TOOLS_OF_ROOT.iter().filter(|tool| !succeeds(tool.check)).map(|tool| tool.package).collect();
    if !missing.is_empty() && can_install() {
        install(&missing).unwrap_or_else(|error| eprintln!("ci: tests of containers are skipped: {error:#}"));
    }
    if !has_cargo_subcommand("nextest") {
        eprintln!(
            "ci: cargo-nextest is missing; the tests run without time limits (cargo install --locked cargo-nextest)"
        );
    }
    // A test looks for this trace, which is not ours to distribute, and is skipped without it.
    if let Err(error) = crate::bench::replay::fetch() {
        eprintln!("ci: no real trace to replay; its test is skipped: {error:#}");
    }
    Ok(())
}

fn can_install() -> bool {
    succeeds("command -v apt-get && test \"$(id -u)\" = 0")
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    ensure!(can_install(), "missing: {list}; install these packages, or run as root on Debian");
    eprintln!("ci: installing {list}");
    let line = format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq --no-install-recommends {list}"
    );
    let status = Command::new("sh").args(["-c", &line]).stdout(Stdio::null()).status().context("cannot run sh")?;
    ensure!(status.success(), "could not install {list}; see the messages of apt-get above");
    Ok(())
}

fn succeeds(line: &str) -> bool {
    let status =
        Command::new("sh").args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
