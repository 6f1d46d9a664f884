//! `muster apply`: shows what a configuration will do, asks, submits, and stays with the run.

mod options;

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use muster_client::{Blobs, Client};
use muster_dstack::Configuration;
use muster_dstack::configuration::Task;
use muster_dstack::run::{PlanView, offers, plan_text, status};
use muster_dstack::task::{ClusterView, PROJECT_DEFAULT, Submission, generated_name, submission};
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::node::Node;
use muster_model::partition::Partition;
use muster_model::request::{Answer, Command, Query, Reply as QueryReply};

use self::options::Options;
use super::applicant::Surroundings;
use super::arguments::{main, parse};
use super::follow::{Wish, follow};
use super::stop::{Force, stop_run, wait_until_over};
use super::terminal::{self, Reply, Spinner, program, say};
use super::{keys, profiles, runs};

/// Largest configuration file that is read.
const FILE_SIZE_MAX: u64 = 4 << 20;

/// `muster apply`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Options>("apply", args) {
        Ok(options) => main(apply(options)),
        Err(code) => code,
    }
}

async fn apply(options: Options) -> anyhow::Result<ExitCode> {
    let Some(task) = read_task(&options)? else {
        return Ok(ExitCode::FAILURE);
    };
    let file = options.path();
    let surroundings = Surroundings::gather(file.as_deref())?;
    let project = runs::project(options.project.clone()).unwrap_or_else(|| PROJECT_DEFAULT.to_owned());
    let client = Client::connect().await?;
    let cluster = Cluster::ask(&client).await?;
    let present = runs::present(&client, Some(&project)).await?;
    let overrides = match options.overrides() {
        Ok(mut overrides) => {
            if !options.no_profile {
                overrides.profile =
                    overrides.profile.or(task.profile.clone()).or(profiles::load(options.profile().as_deref())?);
            }
            overrides
        }
        Err(problems) => return Ok(refused(&problems.render(&format!("{} apply", program())))),
    };
    let name = free_name(&present);
    let applicant = surroundings.applicant(&project);
    let mut submission = match submission(task, &name, &applicant, &overrides, &cluster.view()) {
        Ok(submission) => submission,
        Err(problems) => return Ok(refused(&problems.render(&options.shown_file()))),
    };
    give_key(&mut submission);
    show_plan(&options, &project, &surroundings, &submission, &cluster);
    let active = active_run(&present, &submission);
    if !confirm(&options, active.as_deref(), &submission).await? {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(active) = active {
        let _spinner = Spinner::start("Stopping run...");
        stop_run(&client, active.id, Force::Gently).await?;
        wait_until_over(&client, active.id).await?;
    }
    let name = submission.spec.name.to_string();
    let job_id = submit(&client, submission).await?;
    if options.detach {
        say(&format!("Run {name} submitted, detaching..."));
        return Ok(ExitCode::SUCCESS);
    }
    let wish = Wish { output: true, node_rank: 0, table: true, ask_to_stop: !options.yes };
    follow(&client, &name, job_id, wish).await
}

/// Reads the configuration; `None` when it is wrong, which has then been said.
fn read_task(options: &Options) -> anyhow::Result<Option<Task>> {
    let mut text = String::new();
    match options.path() {
        Some(path) => {
            let file = std::fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            file.take(FILE_SIZE_MAX)
                .read_to_string(&mut text)
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
        None if !options.yes => bail!("Cannot read configuration from stdin if -y/--yes is not specified"),
        None => {
            std::io::stdin()
                .take(FILE_SIZE_MAX)
                .read_to_string(&mut text)
                .context("cannot read the configuration from stdin")?;
        }
    }
    match Configuration::from_yaml(&text).and_then(Configuration::into_task) {
        Ok(task) => Ok(Some(task)),
        Err(problems) => {
            refused(&problems.render(&options.shown_file()));
            Ok(None)
        }
    }
}

fn refused(lines: &str) -> ExitCode {
    eprint!("{lines}");
    ExitCode::FAILURE
}

/// The cluster as it is now.
struct Cluster {
    nodes: Vec<Arc<Node>>,
    partitions: Vec<Arc<Partition>>,
}

impl Cluster {
    async fn ask(client: &Client) -> anyhow::Result<Cluster> {
        for reply in client.inquire(&Query::Nodes).await? {
            if let QueryReply::Nodes { nodes, partitions } = reply {
                return Ok(Cluster { nodes, partitions });
            }
        }
        bail!("the controller does not say which nodes it has")
    }

    fn view(&self) -> ClusterView<'_> {
        ClusterView { nodes: &self.nodes, partitions: &self.partitions }
    }
}

/// Lets the user come into the container of the run, if it has one.
fn give_key(submission: &mut Submission) {
    let container = submission.spec.rare.as_mut().and_then(|rare| rare.container.as_mut());
    let Some(runner) = container.and_then(|container| container.runner.as_mut()) else { return };
    match keys::public_key() {
        Ok(key) => runner.authorized_keys.push(key),
        Err(error) => submission.notices.push(format!("nobody can go into the container by ssh: {error:#}")),
    }
}

/// A name that no run in memory has.
fn free_name(present: &[Arc<Job>]) -> String {
    let is_taken =
        |name: &String| present.iter().any(|job| job.spec.run.as_ref().is_some_and(|run| *run.run_name == **name));
    let mut seed = random();
    let mut name = generated_name(seed);
    while is_taken(&name) {
        seed = seed.wrapping_add(1);
        name = generated_name(seed);
    }
    name
}

/// A number that differs each time: the keys that the standard library draws for its hash tables.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn show_plan(
    options: &Options,
    project: &str,
    surroundings: &Surroundings,
    submission: &Submission,
    cluster: &Cluster,
) {
    let offers = offers(&submission.spec, &cluster.view());
    let plan = PlanView {
        project,
        user: &surroundings.identity.user,
        file: &options.shown_file(),
        task: &submission.configuration,
        offers: &offers,
        offers_max: options.max_offers,
        verbose: options.verbose,
        width: terminal::width(),
    };
    say(&plan_text(&plan));
    for notice in &submission.notices {
        eprintln!("Note: {notice}");
    }
}

/// The run of the same name that has not ended.
fn active_run(present: &[Arc<Job>], submission: &Submission) -> Option<Arc<Job>> {
    let has_name = |job: &&Arc<Job>| {
        let name = submission.spec.run.as_ref().map(|run| &run.run_name);
        !status(job).is_finished() && job.spec.run.as_ref().map(|run| &run.run_name) == name
    };
    present.iter().find(has_name).cloned()
}

/// Whether to go on.
async fn confirm(options: &Options, active: Option<&Job>, submission: &Submission) -> anyhow::Result<bool> {
    let name = &submission.spec.name;
    let mut question = format!("Submit the run {name}?");
    if let Some(active) = active {
        let same = active.spec.run.as_ref().map(|run| &run.configuration)
            == submission.spec.run.as_ref().map(|run| &run.configuration);
        if same {
            say(&format!("Active run {name} already exists. Detected no changes."));
            if options.yes && !options.force {
                say("Use --force to apply anyway.");
                return Ok(false);
            }
        } else {
            say(&format!("Active run {name} already exists. Detected changes that cannot be updated in-place."));
        }
        "Stop and override the run?".clone_into(&mut question);
    }
    if options.yes {
        return Ok(true);
    }
    match terminal::ask(&question).await {
        Reply::Yes => Ok(true),
        Reply::No => {
            say("\nExiting...");
            Ok(false)
        }
        Reply::Nobody => bail!("nobody is there to answer; use `{} apply -y`", program()),
        Reply::Interrupted => bail!("Cancelled by user"),
    }
}

/// Submits the run, once, whatever becomes of the controller meanwhile.
async fn submit(client: &Client, submission: Submission) -> anyhow::Result<JobId> {
    let blobs =
        Blobs { script: Some(submission.script.into_bytes()), context: Some(serde_json::to_vec(&submission.context)?) };
    let command = Command::Submit(Box::new(submission.spec));
    match client.submit(&command, blobs).await? {
        Answer::Submitted(job_id) => Ok(job_id),
        other => bail!("the controller answered a submit with {other:?}"),
    }
}

/// The file that is read where none is named.
const FILE_DEFAULT: &str = ".dstack.yml";

/// The name that stands for stdin.
const STDIN: &str = "-";

impl Options {
    /// The configuration file; `None` for stdin.
    fn path(&self) -> Option<std::path::PathBuf> {
        match self.file.as_deref() {
            Some(file) if file == Path::new(STDIN) => None,
            Some(file) => Some(file.to_owned()),
            None => Some(FILE_DEFAULT.into()),
        }
    }

    /// Its name for messages.
    fn shown_file(&self) -> String {
        self.path().map_or_else(|| "<stdin>".to_owned(), |path| path.display().to_string())
    }
}
