//! The jobs of the demo, and the shell in which its commands run.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::Context;
use muster_client::Client;
use muster_model::ids::JobId;
use muster_model::request::{Query, Reply};

use super::job_number;
use crate::dev::environment;
use crate::dev::layout::Layout;

/// Files of the demo: name and content.
const FILES: &[(&str, &str)] = &[
    ("sweep.sh", include_str!("files/sweep.sh")),
    ("report.sh", include_str!("files/report.sh")),
    ("ranks.sh", include_str!("files/ranks.sh")),
    ("task.dstack.yml", include_str!("files/task.dstack.yml")),
];

/// A shell that is pointed at the cluster, in a directory with the files of the demo.
pub(super) struct Shell {
    directory: PathBuf,
    variables: Vec<(&'static str, String)>,
    path: String,
}

impl Shell {
    pub(super) fn new(layout: &Layout) -> anyhow::Result<Shell> {
        let directory = layout.root().join("work");
        std::fs::create_dir_all(&directory)?;
        for (name, content) in FILES {
            let path = directory.join(name);
            std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let path = format!("{}:{}", layout.bin().display(), std::env::var("PATH").unwrap_or_default());
        Ok(Shell { directory, variables: environment::variables(layout), path })
    }

    /// Runs a command line, prints it and what it prints.
    pub(super) fn show(&self, line: &str) -> anyhow::Result<()> {
        println!("$ {line}");
        let output = self.run(line)?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        println!();
        Ok(())
    }

    /// Submits a job and gives its number.
    pub(super) fn submit(&self, line: &str) -> anyhow::Result<JobId> {
        println!("$ {line}");
        let output = self.run(line)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        job_number(&text)
    }

    fn run(&self, line: &str) -> anyhow::Result<Output> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).current_dir(&self.directory).env("PATH", &self.path).env("COLUMNS", "110");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["SLURM_", "SBATCH_", "SQUEUE_", "SINFO_", "SACCT_", "DSTACK_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.output().with_context(|| format!("cannot run {line}"))?;
        anyhow::ensure!(
            output.status.success(),
            "`{line}` ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    }
}

/// The job with the highest number that belongs to a run.
pub(super) async fn newest_job(client: &Client) -> Option<JobId> {
    let replies = client.query(&Query::Jobs { ids: None, uids: None, active_only: false }).await.ok()?;
    let jobs = replies.into_iter().flat_map(|reply| match reply {
        Reply::Jobs(jobs) => jobs,
        _ => Vec::new(),
    });
    jobs.filter(|job| job.spec.run.is_some()).map(|job| job.id).max()
}
