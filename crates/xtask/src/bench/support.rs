//! What all measurements need: release builds, a development cluster of their own, times of repeated commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// Builds the release program and these load generators of the crate `client`, and gives the directory they are in: the generators
/// under `examples`.
pub(super) fn build(generators: &[&str]) -> Result<PathBuf> {
    let built = Command::new("cargo").args(build_arguments(generators)).status().context("cannot run cargo")?;
    ensure!(built.success(), "the release build failed");
    let metadata = Command::new("cargo").args(["metadata", "--format-version=1", "--no-deps"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata is not JSON")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("release"))
}

fn build_arguments<'a>(generators: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["build", "--release", "--locked", "--package", "muster", "--bins"];
    if !generators.is_empty() {
        arguments.extend(["--package", "muster-client"]);
    }
    arguments.extend(generators.iter().flat_map(|name| ["--example", name]));
    arguments
}

/// Makes a command that sees one cluster, of the name of its program.
pub(super) type Commands<'a> = dyn Fn(&str) -> Command + 'a;

/// Measures a cluster of our own and, where `args` are `--slurm-conf FILE`, the running real Slurm of that file, whose commands
/// are in /usr/bin. `measure` is given what makes a command that sees the one or the other.
pub(super) fn beside_slurm(name: &str, args: &[String], measure: fn(&Commands<'_>) -> Result<()>) -> Result<()> {
    let conf = match args {
        [] => None,
        [flag, conf] if flag == "--slurm-conf" => Some(conf),
        _ => anyhow::bail!("usage: cargo xtask bench {name} [--slurm-conf FILE]"),
    };
    let cluster = Cluster::start(&build(&[])?, 4, name)?;
    println!("-- muster");
    measure(&|program| cluster.command(program))?;
    if let Some(conf) = conf {
        println!("-- real Slurm of {conf}");
        measure(&|program| {
            let mut command = Command::new(format!("/usr/bin/{program}"));
            command.env("SLURM_CONF", conf).current_dir(std::env::temp_dir());
            command
        })?;
    }
    Ok(())
}

/// A development cluster that is taken down at the end.
pub(super) struct Cluster {
    program: PathBuf,
    directory: PathBuf,
}

impl Cluster {
    /// Starts a cluster of `nodes` nodes in a directory of its own.
    pub(super) fn start(release: &Path, nodes: u32, name: &str) -> Result<Cluster> {
        let directory = std::env::temp_dir().join(format!("muster-bench-{name}-{}", std::process::id()));
        let cluster = Cluster { program: release.join("muster"), directory };
        let up = Command::new(&cluster.program)
            .args(["dev", "up"])
            .arg(&cluster.directory)
            .args(["--nodes", &nodes.to_string()])
            .stderr(Stdio::null())
            .status()
            .context("cannot run muster")?;
        ensure!(up.success(), "the cluster did not start; see {}/log", cluster.directory.display());
        Ok(cluster)
    }

    /// Where everything of it is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command that sees this cluster and no other.
    pub(super) fn command(&self, program: &str) -> Command {
        let bin = self.directory.join("bin");
        let found = bin.join(program);
        let mut command = Command::new(if found.exists() { found } else { PathBuf::from(program) });
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        command
            .env("PATH", path)
            .env("SLURM_CONF", self.directory.join("slurm.conf"))
            .env("MUSTER_SOCKET", self.directory.join("state/muster.sock"))
            .current_dir(&self.directory);
        command
    }

    /// Resident memory of the controller in KiB.
    pub(super) fn controller_rss_kb(&self) -> Result<u64> {
        let text = std::fs::read_to_string(self.directory.join("run/controller.pid"))?;
        let pid = text.split_whitespace().next().context("no process number of the controller")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).context("VmRSS is not a number")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let down =
            Command::new(&self.program).args(["dev", "down"]).arg(&self.directory).stderr(Stdio::null()).status();
        if down.is_ok_and(|status| status.success()) {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

/// Runs a command to its end, quietly, and gives its standard output.
pub(super) fn output_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Median time in milliseconds of `count` runs of a command, one after the other.
pub(super) fn median_ms(count: usize, mut make: impl FnMut() -> Command) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        output_of(&mut make())?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no runs")
}

/// Prints one figure with its goal.
pub(super) fn figure(what: &str, value: String, goal: &str) {
    println!("{what:<58} {value:>12}   {goal}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_measurement_needs_is_built() {
        let check = |generators: &[&str], expected: &str| assert_eq!(build_arguments(generators).join(" "), expected);
        check(&[], "build --release --locked --package muster --bins");
        check(
            &["submit_storm"],
            "build --release --locked --package muster --bins --package muster-client --example submit_storm",
        );
    }
}
