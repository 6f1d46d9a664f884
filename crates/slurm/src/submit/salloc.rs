//! `salloc`.

use muster_model::job::{ExecutionContext, JobKind, JobSpec};
use muster_model::time::Span;

use super::exit::{CliExit, refused};
use super::job_spec::{self, Subject};
use super::resolve::{self, Problem};
use super::sbatch::{propagated, submit_line};
use super::surroundings::Surroundings;
use super::{environment, reading};
use crate::options::{self, Command, Fault, SubmitOptions, parse};

/// An allocation to ask for, and what to do with it.
#[derive(Debug, Clone, PartialEq)]
pub struct SallocPlan {
    /// The job. `context` is empty: the caller stores the text below and puts its address in.
    pub spec: JobSpec,
    /// The components that it leads, where it is a heterogeneous job.
    pub led: Vec<JobSpec>,
    /// Environment, umask and limits of the shell.
    pub context: ExecutionContext,
    /// The command to run once the allocation is there; empty for the user's shell (`SallocDefaultCommand`).
    pub command: Vec<String>,
    /// The environment of that command, to which the variables of the allocation are added.
    pub environment: Vec<String>,
    /// Directory in which the command runs.
    pub work_dir: String,
    /// `--no-shell`: get the allocation and end.
    pub no_shell: bool,
    /// `--immediate`: how long to wait for the allocation; zero for not at all.
    pub immediate: Option<Span>,
    /// `--bell`, `--no-bell`.
    pub bell: Option<bool>,
    /// `--kill-command`: the signal for the command when the allocation ends.
    pub kill_command: Option<u8>,
    /// What to say on standard error first, with line feeds.
    pub stderr: String,
    /// `--quiet`.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u32,
}

/// Works out what `salloc ARGUMENTS` is asked to do.
///
/// # Errors
/// What to print and the exit code, where nothing is to be asked for.
pub fn plan(arguments: &[String], around: &Surroundings<'_>) -> Result<SallocPlan, CliExit> {
    let exit_error = around.variable("SLURM_EXIT_ERROR");
    let complain =
        |complaint: reading::Complaint| CliExit::new(Command::Salloc, &complaint.notices, &complaint.fault, exit_error);
    let (lines, used) = parse::split_components(Command::Salloc, arguments)
        .map_err(|fault| complain(reading::Complaint { notices: Vec::new(), fault }))?;
    let command = arguments.get(used..).unwrap_or_default();
    let lines: Vec<&[parse::Found]> = lines.iter().map(Vec::as_slice).collect();
    let read = reading::line_components(Command::Salloc, &lines, &[], around);
    let mut components = read.map_err(complain)?;
    let mut led = components.split_off(1);
    let mut options = components.pop().unwrap_or_default();
    let planned = work_out(arguments, command, around, &mut options).and_then(|mut plan| {
        for component in &mut led {
            let further = work_out(arguments, command, around, component);
            let further = further.inspect_err(|_| options.notices.append(&mut component.notices))?;
            plan.stderr.push_str(&further.stderr);
            plan.led.push(further.spec);
        }
        Ok(plan)
    });
    planned.map_err(|problem| {
        let fault = match problem {
            Problem::Fault(fault) => fault,
            Problem::Refusal(refusal) => refused(Command::Salloc, &refusal, false, options.client.verbose > 0),
        };
        CliExit::new(Command::Salloc, &options.notices, &fault, exit_error)
    })
}

fn work_out(
    arguments: &[String],
    command: &[String],
    around: &Surroundings<'_>,
    options: &mut SubmitOptions,
) -> Result<SallocPlan, Problem> {
    if options.others.get("container").is_some_and(|path| !path.is_empty()) {
        let words = "--container requires LaunchParameters=use_interactive_step, which this version does not have";
        return Err(Fault::error(1, words).into());
    }
    let counts = resolve::counts(Command::Salloc, options)?;
    let subject = Subject {
        kind: JobKind::Allocation,
        default_name: "interactive",
        command: None,
        arguments: &[],
        submit_line: submit_line(Command::Salloc, arguments),
    };
    let spec = job_spec::build(options, &counts, &subject, around)?;
    let mut environment = environment::of_allocation(options, &spec.name, around);
    if options::container_request(options, around.variable("PYXIS_CONTAINER_WRITABLE"))?.is_some() {
        let variables = options::container_variables(options);
        environment.retain(|line| variables.iter().all(|(name, _)| line.split('=').next() != Some(name)));
        environment.extend(variables.into_iter().map(|(name, value)| format!("{name}={value}")));
    }
    Ok(SallocPlan {
        context: ExecutionContext {
            environment: environment.clone(),
            umask: around.umask,
            limits: propagated(options, around),
        },
        work_dir: spec.work_dir.to_string(),
        spec,
        led: Vec::new(),
        command: command.to_vec(),
        environment,
        no_shell: options.client.no_shell,
        immediate: options.times.immediate,
        bell: options.client.bell,
        kill_command: options.client.kill_command,
        stderr: reading::talk(Command::Salloc, options),
        quiet: options.client.quiet,
        verbose: options.client.verbose,
    })
}
