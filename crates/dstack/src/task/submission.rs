//! The submit that applies a task.

use std::collections::BTreeMap;

use muster_model::container::REGISTRY_AUTH;
use muster_model::ids::Identity;
use muster_model::job::{ExecutionContext, JobKind, JobSpec, RareOptions, RunReference};
use muster_model::time::{Span, TimeLimit};

use super::container::container;
use super::directory::directory;
use super::notices::notices;
use super::placement::{ClusterView, Placement, node_list, placement};
use super::{Overrides, resources, script};
use crate::configuration::{Configuration, RUN_NAME_RULE, RetryEvent, Task, is_run_name};
use crate::document::{Problem, Problems};
use crate::interpolation::{interpolate, shell_join};
use crate::values::{Env, EnvValue, OffDuration};

/// What each step of `priority` (0 to 100) adds to the priority of its job. Wide enough that a `nice` of some hundred does
/// not cross a step; a hundred of them fit above the numbers that `priority/basic` gives (65,535).
pub const PRIORITY_STEP: i32 = 650;

/// The project where none is named. Any other project is also the account of its runs.
pub const PROJECT_DEFAULT: &str = "main";

/// Whoever applies a configuration, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// Project in which the run is.
    pub project: &'a str,
    /// Their environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Directory of the configuration file, absolute.
    pub configuration_dir: &'a str,
    /// Directory in which they are, absolute.
    pub current_dir: &'a str,
    /// Their host.
    pub host: &'a str,
    /// Session number of their shell.
    pub session: u32,
    /// Their command line.
    pub command_line: &'a str,
    /// Their file mode creation mask.
    pub umask: u32,
    /// Their soft resource limits: Linux resource number and value.
    pub limits: &'a [(u32, u64)],
}

/// What is to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The job, without the addresses of the two following.
    pub spec: JobSpec,
    /// The script.
    pub script: String,
    /// What its processes start with.
    pub context: ExecutionContext,
    /// What is not done, for the user.
    pub notices: Vec<String>,
    /// The configuration as it is applied: with the name and the words of the command line.
    pub configuration: Task,
}

/// Variables of the applicant that a run has too: without them no program is found, and nothing says who one is. All
/// others are the run's own, as they would be in a container.
const INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "SLURM_CONF", "MUSTER_SOCKET"];

/// Translates a task. `name` is taken where neither the file nor the command line has one.
///
/// # Errors
/// All that stands in the way, for the user.
pub fn submission(
    mut task: Task,
    name: &str,
    applicant: &Applicant<'_>,
    overrides: &Overrides,
    cluster: &ClusterView<'_>,
) -> Result<Submission, Problems> {
    let mut problems = Gathered::default();
    override_file(&mut task, name, overrides, &mut problems);
    refuse_unsupported(&task, &mut problems);
    interpolate_commands(&mut task, &overrides.run_args, &mut problems);
    let environment = environment(&task.base.env, task.base.image.is_some(), applicant, &mut problems);
    let registry_auth = registry_auth(&task, &environment, &mut problems);
    let work_dir = problems.take(directory(&task, applicant));
    let script = problems.take(script::script(&task));
    let placement = problems.take(placement(&task, cluster));
    let (Some(work_dir), Some(script), Some(placement)) = (work_dir, script, placement) else {
        return Err(problems.into_problems());
    };
    problems.finish()?;

    let candidates = placement.candidates(cluster);
    let (mut request, resource_notices) =
        resources::request(&task.base.resources, task.base.image.is_some(), task.nodes_total(), &candidates);
    request.nodes_required = node_list(&placement.required);
    request.nodes_excluded = node_list(&placement.excluded);
    let mut notices = notices(&task, applicant, &work_dir);
    notices.extend(resource_notices);
    let name = task.base.name.as_deref().unwrap_or(name);
    let spec = JobSpec {
        request,
        time_limit: time_limit(&task, &placement, cluster),
        partitions: placement.partitions,
        account: (applicant.project != PROJECT_DEFAULT).then(|| applicant.project.into()),
        requeue: Some(is_requeued(&task)),
        rare: container(&task, applicant.identity, &environment)
            .map(|container| Box::new(RareOptions { container: Some(Box::new(container)), ..RareOptions::default() })),
        site_factor: site_factor(&task),
        work_dir: work_dir.as_str().into(),
        run: Some(Box::new(RunReference {
            run_name: name.into(),
            project: applicant.project.into(),
            configuration: shown_configuration(&task).into(),
        })),
        ..empty_spec(name, applicant)
    };
    let environment = environment.into_iter().chain(registry_auth).collect();
    let context = ExecutionContext { environment, umask: applicant.umask, limits: applicant.limits.to_vec() };
    Ok(Submission { spec, script, context, notices, configuration: task })
}

/// The words of the command line over those of the file, and a name where there is none.
fn override_file(task: &mut Task, name: &str, overrides: &Overrides, problems: &mut Gathered) {
    let name = overrides.name.as_ref().or(task.base.name.as_ref()).map_or(name, String::as_str).to_owned();
    if !is_run_name(&name) {
        problems.add("name", RUN_NAME_RULE);
    }
    task.base.name = Some(name);
    for (variable, value) in &overrides.env {
        task.base.env.set(variable, value.clone());
    }
    task.base.resources = overrides.resources.clone().or(std::mem::take(&mut task.base.resources));
    task.profile = overrides.profile.clone().or(std::mem::take(&mut task.profile));
}

fn interpolate_commands(task: &mut Task, run_args: &[String], problems: &mut Gathered) {
    for (index, command) in task.commands.iter_mut().enumerate() {
        match interpolate(command, &|reference| command_reference(reference, run_args)) {
            Ok(text) => *command = text,
            Err(message) => problems.add(&format!("commands[{index}]"), message),
        }
    }
}

/// A job with nothing but its name and who submits it.
fn empty_spec(name: &str, applicant: &Applicant<'_>) -> JobSpec {
    JobSpec {
        submit_host: applicant.host.into(),
        submit_session: applicant.session,
        submit_line: Some(applicant.command_line.into()),
        ..JobSpec::new(applicant.identity.clone(), name.into(), JobKind::EveryNode)
    }
}

/// What would change the meaning of a run if it were left out.
fn refuse_unsupported(task: &Task, problems: &mut Gathered) {
    if task.groups.is_some() {
        problems.add("groups", "groups of nodes that differ are not run yet by this version");
    }
    if task.profile.schedule.is_some() {
        problems.add("schedule", "runs at set times are not started yet by this version");
    }
}

fn command_reference(reference: &str, run_args: &[String]) -> Result<String, String> {
    match reference.split_once('.') {
        Some(("run", "args")) => Ok(shell_join(run_args)),
        Some(("secrets", name)) => Err(no_secret(name)),
        _ => Err(format!("there is no {reference} here; commands know run.args")),
    }
}

fn value_reference(reference: &str) -> Result<String, String> {
    match reference.split_once('.') {
        Some(("secrets", name)) => Err(no_secret(name)),
        _ => Err(format!("there is no {reference} here")),
    }
}

fn no_secret(name: &str) -> String {
    format!("secrets.{name}: this version keeps no secrets yet; pass the value with -e or from your environment")
}

/// The variables as `NAME=value` lines: a few of the applicant's where there is no image, and over them the run's own.
fn environment(env: &Env, has_image: bool, applicant: &Applicant<'_>, problems: &mut Gathered) -> Vec<String> {
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    for name in INHERITED {
        // An image has a world of its own.
        if let Some(value) = applicant.environment.get(*name).filter(|_| !has_image) {
            variables.insert(name, value.clone());
        }
    }
    for (name, value) in env.iter() {
        let path = format!("env.{name}");
        match value {
            EnvValue::Set(text) => match interpolate(text, &value_reference) {
                Ok(text) => {
                    variables.insert(name, text);
                }
                Err(message) => problems.add(&path, message),
            },
            EnvValue::FromClient => match applicant.environment.get(name) {
                Some(text) => {
                    variables.insert(name, text.clone());
                }
                None => problems.add(&path, "is taken from your environment, but is not set there"),
            },
        }
    }
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// What the registry of the image is told, as a variable of the job.
fn registry_auth(task: &Task, environment: &[String], problems: &mut Gathered) -> Option<String> {
    let auth = task.base.registry_auth.as_ref().filter(|_| task.base.image.is_some())?;
    let lookup = |reference: &str| match reference.split_once('.') {
        Some(("env", name)) => {
            let value = environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned).ok_or_else(|| format!("env.{name} is no variable of the run"))
        }
        _ => value_reference(reference),
    };
    let mut part = |name: &str, text: &str| {
        interpolate(text, &lookup).map_err(|message| problems.add(&format!("registry_auth.{name}"), message)).ok()
    };
    let (username, password) = (part("username", &auth.username), part("password", &auth.password));
    let document = serde_json::json!({"username": username?, "password": password?});
    Some(format!("{REGISTRY_AUTH}={document}"))
}

/// Without a limit a run goes as far as its partition allows.
fn time_limit(task: &Task, placement: &Placement, cluster: &ClusterView<'_>) -> Option<TimeLimit> {
    if let Some(OffDuration::Limited(duration)) = task.profile.max_duration {
        let seconds = i64::try_from(duration.0).unwrap_or(i64::MAX);
        return Some(TimeLimit::Limited(Span::from_seconds(seconds)));
    }
    let partitions = cluster.partitions_named(&placement.partitions);
    // The lowest limit of several, so that each of them takes the run.
    partitions.into_iter().map(|partition| partition.time_max).min()
}

/// A run that loses its node goes back to the queue when it wants to be started again after an interruption.
fn is_requeued(task: &Task) -> bool {
    let terms = task.profile.retry.as_ref().and_then(|retry| retry.terms());
    terms.is_some_and(|(events, _)| events.contains(&RetryEvent::Interruption))
}

fn site_factor(task: &Task) -> i32 {
    let steps = i32::try_from(task.base.priority.unwrap_or(0)).unwrap_or(i32::MAX);
    steps.saturating_mul(PRIORITY_STEP)
}

/// The configuration as others may see it: everybody can list jobs, so values of variables and passwords are left out.
fn shown_configuration(task: &Task) -> String {
    let mut shown = task.clone();
    shown.base.registry_auth = None;
    let names: Vec<String> = shown.base.env.iter().map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        shown.base.env.set(name, EnvValue::FromClient);
    }
    Configuration::Task(Box::new(shown)).to_json()
}

/// Problems found after reading.
#[derive(Debug, Default)]
struct Gathered(Vec<Problem>);

impl Gathered {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Problem { path: path.to_owned(), message: message.into(), location: None });
    }

    fn take<T>(&mut self, result: Result<T, (&'static str, String)>) -> Option<T> {
        result.map_err(|(path, message)| self.add(path, message)).ok()
    }

    fn finish(&mut self) -> Result<(), Problems> {
        Problems::from_list(std::mem::take(&mut self.0)).map_or(Ok(()), Err)
    }

    fn into_problems(mut self) -> Problems {
        match self.finish() {
            Err(problems) => problems,
            // Nothing is missing without a problem; should it be, the run is refused all the same.
            Ok(()) => Problems::of("", "the task cannot be translated"),
        }
    }
}
