//! `sbatch`.

use muster_model::job::{ExecutionContext, JobKind, JobSpec};
use muster_model::request::Command as Request;

use super::exit::{CliExit, refused};
use super::job_spec::{self, Subject};
use super::resolve::{self, Problem};
use super::script::{self, Script};
use super::surroundings::Surroundings;
use super::{environment, reading};
use crate::directives;
use crate::options::{self, Command, Fault, Line, Origin, SubmitOptions, parse};

/// What is to be submitted, and how the command goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct SbatchPlan {
    /// The job. `script` and `context` are empty: the caller stores the two texts below and puts their addresses in.
    pub spec: JobSpec,
    /// The components that it leads, where it is a heterogeneous job.
    pub led: Vec<JobSpec>,
    /// It is a heterogeneous job.
    pub is_het: bool,
    /// The script.
    pub script: Vec<u8>,
    /// Environment, umask and limits.
    pub context: ExecutionContext,
    /// What to say on standard error before submitting, with line feeds.
    pub stderr: String,
    /// `--test-only`: only ask when and where it would start.
    pub test_only: bool,
    /// `--parsable`.
    pub parsable: bool,
    /// `--wait`.
    pub wait: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u32,
    /// The cluster that was named with `-M`, to be named again in the answer.
    pub cluster: Option<String>,
}

/// Works out what `sbatch ARGUMENTS` is asked to do.
///
/// # Errors
/// What to print and the exit code, where nothing is to be submitted.
pub fn plan(arguments: &[String], around: &Surroundings<'_>) -> Result<SbatchPlan, CliExit> {
    let mut options = SubmitOptions::default();
    match work_out(arguments, around, &mut options) {
        Ok(plan) => Ok(plan),
        Err(problem) => {
            let fault = match problem {
                Problem::Fault(fault) => fault,
                Problem::Refusal(refusal) => {
                    refused(Command::Sbatch, &refusal, options.client.test_only, options.client.verbose > 0)
                }
            };
            Err(CliExit::new(Command::Sbatch, &options.notices, &fault, around.variable("SLURM_EXIT_ERROR")))
        }
    }
}

fn work_out(
    arguments: &[String],
    around: &Surroundings<'_>,
    options: &mut SubmitOptions,
) -> Result<SbatchPlan, Problem> {
    let (lines, used) = parse::split_components(Command::Sbatch, arguments)?;
    let operands = arguments.get(used..).unwrap_or_default();
    // Real sbatch reads its command line twice: first alone, so that a mistake in it is found before the script is
    // looked at, and again after the script.
    let mut alone = SubmitOptions::default();
    for line in &lines {
        parse::apply(Command::Sbatch, line, Origin::CommandLine, &around.world, &mut alone)?;
    }
    let script = find_script(&alone, operands, around)?;
    let text = String::from_utf8_lossy(&script.bytes);
    let directives = directives::read(&text, &script.shown_name)?;
    let is_het = lines.len() > 1 || !directives.components.is_empty();
    let read = match lines.as_slice() {
        [line] if !is_het => reading::with_directives(&directives, line, around).map(|options| vec![options]),
        lines => reading::components(&directives, lines, around),
    };
    let mut components = read.map_err(|complaint| {
        options.notices = complaint.notices;
        complaint.fault
    })?;
    let mut led = components.split_off(1);
    *options = components.pop().unwrap_or_default();
    let mut plan = finish(arguments, operands, &script, around, options)?;
    plan.is_het = is_het;
    for component in &mut led {
        let further = finish(arguments, operands, &script, around, component);
        // What there is to say about it is said of the command as a whole.
        let further = further.inspect_err(|_| options.notices.append(&mut component.notices))?;
        plan.stderr.push_str(&further.stderr);
        plan.led.push(further.spec);
    }
    Ok(plan)
}

fn find_script(options: &SubmitOptions, operands: &[String], around: &Surroundings<'_>) -> Result<Script, Fault> {
    match (&options.client.wrap, operands) {
        (Some(command), []) => Ok(script::wrapped(command)),
        (Some(_), _) => Err(Fault::error(1, "Script arguments not permitted with --wrap option")),
        (None, operands) => script::read(operands.first().map(String::as_str), around),
    }
}

fn finish(
    arguments: &[String],
    operands: &[String],
    script: &Script,
    around: &Surroundings<'_>,
    options: &mut SubmitOptions,
) -> Result<SbatchPlan, Problem> {
    let counts = resolve::counts(Command::Sbatch, options)?;
    if script.bytes.len() as u64 > around.script_size_max.unwrap_or(SCRIPT_SIZE_MAX) {
        return Err(muster_model::request::RefusalCode::InvalidScript.into());
    }
    show_full_paths(options, around);
    let subject = Subject {
        kind: JobKind::Batch,
        default_name: &script.name,
        command: script.path.as_deref(),
        arguments: operands.get(1..).unwrap_or_default(),
        submit_line: submit_line(Command::Sbatch, arguments),
    };
    let mut spec = job_spec::build(options, &counts, &subject, around)?;
    if let Some(container) = options::container_request(options, around.variable("PYXIS_CONTAINER_WRITABLE"))? {
        spec.rare.get_or_insert_default().container = Some(container);
    }
    let context = ExecutionContext {
        environment: environment::of_batch(options, &spec.name, around)?,
        umask: around.umask,
        limits: propagated(options, around),
    };
    let mut stderr = reading::talk(Command::Sbatch, options);
    if options.client.verbose > 1 && !options.client.quiet {
        stderr.push_str(&reading::propagation(&context));
    }
    Ok(SbatchPlan {
        spec,
        led: Vec::new(),
        is_het: false,
        script: script::with_file(&script.bytes, options.others.get("bbf").map(String::as_str), around)?,
        context,
        stderr,
        test_only: options.client.test_only,
        parsable: options.client.parsable,
        wait: options.client.wait,
        quiet: options.client.quiet,
        verbose: options.client.verbose,
        cluster: options.names.clusters.clone().map(|name| around.world.cluster_name.map_or(name, str::to_owned)),
    })
}

/// Slurm's default of `max_script_size`.
const SCRIPT_SIZE_MAX: u64 = 4 << 20;

/// `-v` lists files with their directory.
fn show_full_paths(options: &mut SubmitOptions, around: &Surroundings<'_>) {
    let directory = options.files.chdir.as_deref().unwrap_or(around.world.work_dir);
    for name in ["input", "output", "error"] {
        if let Some(given) = options.given.get_mut(name) {
            given.shown = options::absolute(directory, &given.shown);
        }
    }
}

/// The limits that go along.
pub(super) fn propagated(options: &SubmitOptions, around: &Surroundings<'_>) -> Vec<(u32, u64)> {
    let chosen = options.process.propagate.as_deref().or(around.limits_propagated);
    let wanted = |number: &u32| chosen.is_none_or(|chosen| chosen.contains(number));
    around.limits.iter().filter(|(number, _)| wanted(number)).copied().collect()
}

/// The command line as the history shows it.
pub(super) fn submit_line(command: Command, arguments: &[String]) -> String {
    std::iter::once(command.name()).chain(arguments.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

impl SbatchPlan {
    /// What to print on standard output once the job has the number `job_id`; nothing with `--quiet`.
    pub fn answer(&self, job_id: muster_model::ids::JobId) -> String {
        match (&self.cluster, self.quiet, self.parsable) {
            (_, true, _) => String::new(),
            (Some(cluster), _, true) => format!("{job_id};{cluster}\n"),
            (None, _, true) => format!("{job_id}\n"),
            (Some(cluster), _, false) => format!("Submitted batch job {job_id} on cluster {cluster}\n"),
            (None, _, false) => format!("Submitted batch job {job_id}\n"),
        }
    }

    /// What to ask of the controller. `script` and `context` are for the first component.
    pub fn request(&self) -> Request {
        let all = || std::iter::once(&self.spec).chain(&self.led).cloned().collect();
        match (self.is_het, self.test_only) {
            (false, false) => Request::Submit(Box::new(self.spec.clone())),
            (false, true) => Request::TestSubmit(Box::new(self.spec.clone())),
            (true, false) => Request::SubmitHet(all()),
            (true, true) => Request::TestSubmitHet(all()),
        }
    }

    /// What to print and return when the controller refuses.
    pub fn refused(&self, refusal: &muster_model::request::Refusal, exit_error: Option<&str>) -> CliExit {
        let fault = refused(Command::Sbatch, refusal, self.test_only, self.verbose > 0);
        CliExit::new(Command::Sbatch, &[] as &[Line], &fault, exit_error)
    }
}
