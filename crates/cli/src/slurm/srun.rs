//! `srun`.

mod bcast;
mod het;
mod hooks;
mod signals;
pub(in crate::slurm) mod terminal;
mod verbose;

pub(super) use self::bcast::times_ns;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use muster_client::{Client, ClientError};
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::request::{Answer, Command, Query, Reply};
use muster_model::state::ExitStatus;
use muster_model::step::{Step, StepPart};
use muster_model::time::Span;
use muster_slurm::grammar::patterns::{self, PatternContext};
use muster_slurm::options;
use muster_slurm::submit::CliExit;
use muster_slurm::submit::srun::{self, Allocation, SrunPlan, Stream};
use tokio::sync::mpsc;

use self::signals::Interrupt;
use super::allocate::{Held, Wanted, give_back};
use super::streams::{InputTo, Over, Presentation, Progress, RanksShown, Sink, StepEnd, StepFacts, Streams};
use super::surroundings::Gathered;
use super::waiting::Patient;
use super::{ask, end};
use crate::runtime::block_on;

/// How long a step may wait for resources of its job before the user is told.
const PATIENCE: Duration = Duration::from_millis(500);

/// Runs `srun`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("srun", args);
    let plan = match srun::plan(&gathered.args, &gathered.surroundings()) {
        Ok(plan) => plan,
        Err(exit) => return end::print(&exit),
    };
    eprint!("{}", plan.stderr);
    let address = gathered.client_host();
    let result = block_on(launch(plan, &gathered, &address));
    terminal::restore();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(exit) => end::print(&exit),
    }
}

async fn launch(plan: SrunPlan, gathered: &Gathered, address: &str) -> Result<u8, CliExit> {
    let client = Client::connect().await.map_err(|error| unable(&error))?;
    match plan.allocation.clone() {
        Allocation::Within(job_id) => {
            let job = confirm(&client, job_id).await?;
            let is_verbose = plan.verbose > 0;
            let parts = het::parts_within(&client, plan, &job).await?;
            parts
                .iter()
                .filter_map(|part| part.job.as_deref())
                .filter(|_| is_verbose)
                .for_each(verbose::tell_allocation);
            let news = Patient::listen(&client, job_id, None).await.map_err(|error| unable(&error))?;
            let around = Around { job_id, gathered, address };
            run_step(&client, parts, &around, news).await.map(|step| step.exit_code())
        }
        Allocation::New(..) if plan.test_only => het::test(&client, &plan).await,
        Allocation::New(spec, context) => {
            let led = het::led(&plan);
            let wanted = Wanted {
                command: options::Command::Srun,
                spec: &spec,
                led: &led,
                context: &context,
                immediate: plan.immediate,
                quiet: plan.quiet,
                verbose: plan.verbose > 0,
            };
            let Held { job, news } = wanted.get(&client).await?;
            let around = Around { job_id: job.id, gathered, address };
            let result = match het::parts_new(&client, plan, &job, gathered).await {
                Ok(parts) => run_step(&client, parts, &around, news).await,
                Err(exit) => Err(exit),
            };
            let exit = result.as_ref().map_or(ExitStatus::exited(1), StepEnd::exit);
            give_back(&client, job.id, exit).await;
            result.map(|step| step.exit_code())
        }
    }
}

/// What a step is started in.
struct Around<'a> {
    /// The job, or the leader of a heterogeneous one.
    job_id: JobId,
    gathered: &'a Gathered,
    /// Where nodes reach us.
    address: &'a str,
}

/// The part of the step in one job; a step has several only in a heterogeneous job.
struct Part {
    job_id: JobId,
    /// The job, where it was there before.
    job: Option<Arc<Job>>,
    plan: SrunPlan,
    /// Beside what the plan adds to the environment.
    environment: Vec<String>,
}

/// The job in which the step is to run must be there.
async fn confirm(client: &Client, job_id: JobId) -> Result<Arc<Job>, CliExit> {
    if let Some(job) = client.job(job_id).await.map_err(|error| unable(&error))? {
        return Ok(job);
    }
    let mut exit =
        end::error("srun", &format!("Unable to confirm allocation for job {job_id}: Invalid job id specified"));
    exit.stderr.push_str(&format!("srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {job_id}\n"));
    Err(exit)
}

/// Creates the step and attends it to its end. Its nodes all call one port, whichever part they belong to.
async fn run_step(
    client: &Client,
    mut parts: Vec<Part>,
    around: &Around<'_>,
    news: Patient,
) -> Result<StepEnd, CliExit> {
    let (job_id, address) = (around.job_id, around.address);
    let problem = |error: anyhow::Error| end::error("srun", &format!("{error:#}"));
    let streams = Streams::open(address).await.map_err(problem)?;
    let port = streams.address().map_err(problem)?.port();
    let program = bcast::open(&mut parts, around.gathered)?;
    for part in &mut parts {
        prepare(part, around, (port, streams.cookie()));
    }
    let (prolog, epilog) = around.gathered.srun_hooks();
    if let Some(Part { plan, .. }) = parts.first() {
        hooks::run(&plan.prolog, prolog, &plan.launch.command, job_id, "prolog_srun").await;
    }
    let steps = create(client, &parts, job_id).await?;
    let (Some(first), Some(step)) = (parts.first(), steps.first()) else {
        return Err(end::error("srun", "no step was created"));
    };
    let facts = StepFacts {
        step_name: format!("{job_id}.{}", step.step_id),
        tasks: step.het.as_deref().map_or(step.tasks, |common| common.tasks),
        nodes: steps.iter().map(|step| step.layout.len()).sum(),
    };
    let plan = &first.plan;
    let progress = (plan.verbose > 0).then(|| Progress::new(verbose::steps_of_nodes(&steps)));
    if progress.is_some() {
        verbose::tell_launch(&steps);
    }
    let presentation = Presentation { program, progress, ..present(plan, step, around.gathered).map_err(problem)? };
    if plan.pty {
        terminal::make_raw();
    }
    let (wish_sender, wishes) = mpsc::channel(16);
    let interrupt = match (plan.disable_status, plan.quit_on_interrupt) {
        (true, _) => Interrupt::Reaches,
        (false, true) => Interrupt::Ends,
        (false, false) => Interrupt::Tells,
    };
    let step = (facts.step_name.clone(), facts.tasks);
    let attending = tokio::spawn(signals::pass_on(wish_sender, step, interrupt, plan.pty, plan.quiet));
    let over = Over { job: job_ended(news), step: steps_ended(client, &steps) };
    let attended = streams.attend(&facts, presentation, wishes, over).await.map_err(problem);
    attending.abort();
    hooks::run(&plan.epilog, epilog, &plan.launch.command, job_id, "epilog_srun").await;
    attended
}

/// Completes what is asked for with what only this process knows.
fn prepare(part: &mut Part, around: &Around<'_>, (port, cookie): (u16, &str)) {
    let plan = &mut part.plan;
    plan.launch.client_address = format!("{}:{port}", around.address);
    plan.launch.client_cookie = cookie.to_owned();
    if plan.launch.mpi.is_empty() {
        plan.launch.mpi = around.gathered.settings().mpi_default.clone().unwrap_or_else(|| "none".to_owned());
    }
    let host = nix::unistd::gethostname().unwrap_or_default();
    let short_host = host.to_string_lossy().split('.').next().unwrap_or_default().to_owned();
    plan.launch.client_process = (short_host, std::process::id());
    if let Some(errno) = terminal::missing().filter(|_| plan.pty) {
        eprintln!("srun: error: ioctl(TIOCGWINSZ): {}", end::words(errno as i32));
        eprintln!("srun: error: Not using a pseudo-terminal, disregarding --pty option");
        plan.pty = false;
    }
    if plan.pty {
        plan.launch.pty = Some(terminal::size());
    }
    let facts = around.gathered.client_facts();
    plan.launch.environment = plan.environment.over(&plan.launch.environment, &facts, part.job.as_deref());
    plan.launch.environment.append(&mut part.environment);
}

async fn create(client: &Client, parts: &[Part], job_id: JobId) -> Result<Vec<Step>, CliExit> {
    let part = |part: &Part| StepPart {
        job_id: part.job_id,
        request: part.plan.request.clone(),
        launch: part.plan.launch.clone(),
    };
    let quiet = parts.first().is_some_and(|part| part.plan.quiet);
    let command = match parts {
        [Part { job_id, plan, .. }] => Command::CreateStep {
            job_id: *job_id,
            request: Box::new(plan.request.clone()),
            launch: Box::new(plan.launch.clone()),
        },
        several => Command::CreateHetStep(several.iter().map(part).collect()),
    };
    // It knows by the secret of a step whether it has made it before.
    let creating = client.insist(&command);
    tokio::pin!(creating);
    let mut told = false;
    let answer = loop {
        tokio::select! {
            answer = &mut creating => break answer,
            () = tokio::time::sleep(PATIENCE), if !told => {
                told = true;
                if !quiet {
                    eprintln!("srun: Job {job_id} step creation temporarily disabled, retrying (Requested nodes are busy)");
                }
            }
        }
    };
    let steps = match answer {
        Ok(Answer::StepCreated(step)) => vec![*step],
        Ok(Answer::StepsCreated(steps)) => steps,
        Ok(other) => return Err(end::error("srun", &format!("unexpected answer of the controller: {other:?}"))),
        Err(error) => {
            let mut exit =
                end::error("srun", &format!("Unable to create step for job {job_id}: {}", ask::reason(&error)));
            if let ClientError::Refused(refusal) = &error
                && let Some(line) = muster_slurm::submit::explanation(refusal)
            {
                exit.stderr.insert_str(0, &format!("srun: error: {line}\n"));
            }
            return Err(exit);
        }
    };
    if told && !quiet {
        eprintln!("srun: Step created for job {job_id}");
    }
    Ok(steps)
}

/// How often to ask whether a step still runs of which a node has not called.
const STEP_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Returns when none of the steps is there any more: of a node that never calls nobody else hears.
async fn steps_ended(client: &Client, steps: &[Step]) {
    loop {
        tokio::time::sleep(STEP_LOOK_INTERVAL).await;
        let mut known = Vec::new();
        for job_id in steps.iter().map(|step| step.job_id) {
            match client.inquire(&Query::Steps { job_id: Some(job_id) }).await {
                Ok(replies) => known.extend(replies),
                // The job is forgotten, and its steps with it.
                Err(ClientError::Refused(_)) => {}
                // Of a controller that stays away nothing is known.
                Err(_) => return std::future::pending().await,
            }
        }
        let is_there = |wanted: &Step| {
            known.iter().any(|reply| match reply {
                Reply::Steps(steps) => {
                    steps.iter().any(|step| (step.job_id, step.step_id) == (wanted.job_id, wanted.step_id))
                }
                _ => false,
            })
        };
        if !steps.iter().any(is_there) {
            return;
        }
    }
}

/// Returns when the job has ended, whether its tasks said so or not.
async fn job_ended(mut news: Patient) {
    loop {
        match news.next().await {
            Ok(Some(piece)) if piece.job.state.is_final() || piece.last => return,
            Ok(Some(_)) => {}
            // Without news the streams still tell how the step goes.
            Ok(None) | Err(_) => return std::future::pending().await,
        }
    }
}

/// The rank whose output alone is shown.
fn only(stream: Option<&Stream>) -> Option<u32> {
    if let Some(Stream::OwnOfRank(rank)) = stream { Some(*rank) } else { None }
}

fn present(plan: &SrunPlan, step: &Step, gathered: &Gathered) -> anyhow::Result<Presentation> {
    let stdout = sink(&plan.output, plan, step, gathered, "stdout")?.unwrap_or(Sink::Stdout);
    let stderr = match &plan.error {
        None => stdout.try_clone()?,
        Some(error) => sink(error, plan, step, gathered, "stderr")?.unwrap_or(Sink::Stderr),
    };
    let input = match &plan.input {
        Stream::Own | Stream::File(_) => InputTo::All,
        Stream::OwnOfRank(rank) => InputTo::Rank(*rank),
        Stream::NodeFile(_) | Stream::Null => InputTo::Nobody,
    };
    Ok(Presentation {
        label: plan.label,
        unbuffered: plan.unbuffered || plan.pty,
        stdout,
        stderr,
        ranks_shown: RanksShown {
            stdout: only(Some(&plan.output)),
            stderr: only(plan.error.as_ref().or(Some(&plan.output))),
        },
        input,
        input_file: source(&plan.input, plan, step, gathered)?,
        kill_on_bad_exit: plan.kill_on_bad_exit.unwrap_or(gathered.settings().kill_on_bad_exit),
        wait_after_first_end: plan
            .wait
            .or(gathered.settings().wait_time_seconds.map(|seconds| Span::from_seconds(seconds.into())))
            .filter(|wait| wait.0 > 0)
            .map(|wait| Duration::from_millis(wait.0.unsigned_abs())),
        kill_wait: gathered.kill_wait(),
        quiet: plan.quiet,
        program: None,
        debugged: plan.debugged.clone(),
        progress: None,
    })
}

/// A file that all tasks share, opened here; `None` for our own stream.
fn sink(
    stream: &Stream,
    plan: &SrunPlan,
    step: &Step,
    gathered: &Gathered,
    name: &str,
) -> anyhow::Result<Option<Sink>> {
    let Some(path) = shared_path(stream, plan, step, gathered) else {
        return Ok(None);
    };
    Sink::file(&path, plan.launch.append).map(Some).map_err(|error| unopened(name, &error))
}

/// The file that all tasks read.
fn source(stream: &Stream, plan: &SrunPlan, step: &Step, gathered: &Gathered) -> anyhow::Result<Option<File>> {
    let Some(path) = shared_path(stream, plan, step, gathered) else {
        return Ok(None);
    };
    File::open(&path).map(Some).map_err(|error| unopened("stdin", &error))
}

fn unopened(name: &str, error: &std::io::Error) -> anyhow::Error {
    let words = end::words(error.raw_os_error().unwrap_or(0));
    anyhow::anyhow!("Could not open {name} file: {words}")
}

/// Where a file is that this side opens.
fn shared_path(stream: &Stream, plan: &SrunPlan, step: &Step, gathered: &Gathered) -> Option<PathBuf> {
    let Stream::File(pattern) = stream else {
        return None;
    };
    let job_name = std::env::var("SLURM_JOB_NAME").unwrap_or_else(|_| step.name.to_string());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let context = PatternContext {
        job_id: step.job_id.0,
        array_job_id: number("SLURM_ARRAY_JOB_ID"),
        array_task: number("SLURM_ARRAY_TASK_ID"),
        step: Some(step.step_id),
        node_name: "",
        node_index: 0,
        rank: 0,
        user: gathered.user(),
        job_name: &job_name,
        restart: step.restart.0,
    };
    let expanded = patterns::expand(pattern, &context);
    Some(Path::new(&plan.launch.work_dir).join(expanded))
}

fn unable(error: &ClientError) -> CliExit {
    end::error("srun", &format!("Unable to allocate resources: {}", ask::reason(error)))
}
