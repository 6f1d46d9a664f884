//! Steps that run in several components of a heterogeneous job.

use std::sync::Arc;

use muster_client::{Client, ClientError};
use muster_model::job::{Job, JobSpec};
use muster_model::request::{Answer, Command, RefusalCode};
use muster_slurm::environment;
use muster_slurm::options;
use muster_slurm::submit::CliExit;
use muster_slurm::submit::srun::{Allocation, SrunPlan};

use super::super::allocate::components;
use super::super::surroundings::Gathered;
use super::super::{end, expectation};
use super::{Part, unable, verbose};

/// The plans of all parts, ascending by component.
fn all(mut plan: SrunPlan) -> Vec<SrunPlan> {
    let others = std::mem::take(&mut plan.others);
    std::iter::once(plan).chain(others).collect()
}

/// The parts of a step in a job that is there.
pub(super) async fn parts_within(client: &Client, plan: SrunPlan, job: &Arc<Job>) -> Result<Vec<Part>, CliExit> {
    if job.is_led() {
        let id = job.id;
        let why = RefusalCode::NotHetJobLeader.text();
        let mut exit = end::error("srun", &format!("Unable to confirm allocation for job {id}: {why}"));
        exit.stderr.push_str(&format!("srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {id}\n"));
        return Err(exit);
    }
    let components = components(client, job).await.map_err(|error| unable(&error))?;
    let plans = all(plan);
    check(&plans, job, components.len())?;
    let part = |plan: SrunPlan| {
        let job = components.get(plan.group.unwrap_or(0) as usize)?.clone();
        Some(Part { job_id: job.id, job: Some(job), plan, environment: Vec::new() })
    };
    Ok(plans.into_iter().filter_map(part).collect())
}

/// Whether the job has the components that are named, in real Slurm's words.
fn check(plans: &[SrunPlan], job: &Job, count: usize) -> Result<(), CliExit> {
    let Some(highest) = plans.iter().filter_map(|plan| plan.group).max() else { return Ok(()) };
    let last = count.saturating_sub(1);
    let text = if highest as usize <= last {
        if job.het.is_some() {
            return Ok(());
        }
        "No directives to start application on any available hetjob components".to_owned()
    } else if plans.len() == 1 {
        format!("Requested het-group offset exceeds highest hetjob index ({highest} > {last})")
    } else {
        format!(
            "Attempt to run a job step with het group value of {highest}, but the job allocation has maximum value of {last}"
        )
    };
    Err(end::error("srun", &text))
}

/// What the other components of a job that is to be made ask for.
pub(super) fn led(plan: &SrunPlan) -> Vec<JobSpec> {
    let spec = |plan: &SrunPlan| match &plan.allocation {
        Allocation::New(spec, _) => Some(spec.clone()),
        Allocation::Within(_) => None,
    };
    plan.others.iter().filter_map(spec).collect()
}

/// The parts of the step of a job that was made for it.
pub(super) async fn parts_new(
    client: &Client,
    plan: SrunPlan,
    job: &Arc<Job>,
    gathered: &Gathered,
) -> Result<Vec<Part>, CliExit> {
    let is_verbose = plan.verbose > 0;
    if job.het.is_none() {
        if is_verbose {
            verbose::tell_allocation(job);
        }
        let plan = plan.on_nodes(nodes_of(job));
        return Ok(vec![Part { job_id: job.id, job: None, plan, environment: Vec::new() }]);
    }
    let components = components(client, job).await.map_err(|error| unable(&error))?;
    components.iter().filter(|_| is_verbose).for_each(|job| verbose::tell_allocation(job));
    let rows: Vec<Job> = components.iter().map(|component| (**component).clone()).collect();
    let told = environment::het_allocation_environment(&rows, gathered.cluster_name(), &gathered.client_facts());
    let lines: Vec<String> = told.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let part = |(plan, job): (SrunPlan, &Arc<Job>)| {
        let plan = plan.on_nodes(nodes_of(job));
        Part { job_id: job.id, job: None, plan, environment: lines.clone() }
    };
    Ok(all(plan).into_iter().zip(&components).map(part).collect())
}

fn nodes_of(job: &Job) -> u32 {
    job.allocation.as_ref().map_or(0, |allocation| u32::try_from(allocation.shares.len()).unwrap_or(u32::MAX))
}

/// `--test-only`: when each part would start, as real `srun` tells it, one by one.
pub(super) async fn test(client: &Client, plan: &SrunPlan) -> Result<u8, CliExit> {
    for plan in std::iter::once(plan).chain(&plan.others) {
        let Allocation::New(spec, _) = &plan.allocation else { continue };
        match client.command(&Command::TestSubmit(Box::new(spec.clone()))).await {
            Ok(Answer::Expected(expected)) => eprintln!("{}", expectation::line("srun", &expected)),
            Ok(other) => return Err(end::error("srun", &format!("unexpected answer of the controller: {other:?}"))),
            Err(ClientError::Refused(refusal)) => {
                let fault = muster_slurm::submit::refused(options::Command::Srun, &refusal, true, false);
                return Err(CliExit::new(options::Command::Srun, &[], &fault, None));
            }
            Err(error) => return Err(unable(&error)),
        }
    }
    Ok(0)
}
