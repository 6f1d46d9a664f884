//! `scontrol update StepId=`: how long a step may still run.

use muster_model::ids::Identity;
use muster_model::request::{JobTarget, LimitOfStep, Refusal, RefusalCode};
use muster_model::step::Step;
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::{authorisation, targets};
use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::timers::Timer;

/// Gives the running step that `target` names another limit, without a step all steps of the job.
pub(super) fn set_limit(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    limit: LimitOfStep,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let jobs = targets::resolve(cluster, target)?.records;
    for job in jobs.iter().filter_map(|id| cluster.jobs.get(id)) {
        authorisation::may_change_job(identity, job)?;
    }
    let is_meant = |step: &Step| {
        step.end_time.is_none() && step.start_time.is_some() && target.step.is_none_or(|wanted| step.step_id == wanted)
    };
    let steps: Vec<Step> = jobs
        .iter()
        .flat_map(|id| cluster.steps_of(*id))
        .filter(|step| is_meant(step))
        .map(|step| (**step).clone())
        .collect();
    if steps.is_empty() {
        return Err(RefusalCode::InvalidJobId.into());
    }
    for mut step in steps {
        let limit = changed(step.time_limit, limit);
        step.time_limit = Some(limit);
        if let (Some(start), Some(span)) = (step.start_time, limit.span()) {
            // One that has passed already ends the step with the next look at the timers.
            cluster.timers.set((start + span).max(now), Timer::StepTimeLimit(step.job_id, step.step_id));
        }
        cluster.put_step(step, out);
    }
    Ok(())
}

fn changed(before: Option<TimeLimit>, limit: LimitOfStep) -> TimeLimit {
    match (limit, before.and_then(TimeLimit::span)) {
        (LimitOfStep::Is(limit), _) => limit,
        (LimitOfStep::Longer(by), Some(before)) => TimeLimit::Limited(Span(before.0.saturating_add(by.0).max(0))),
        (LimitOfStep::Longer(_), None) => TimeLimit::Unlimited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_set_or_moved() {
        let minutes = |count: i64| TimeLimit::Limited(Span::from_minutes(count));
        let longer = |count: i64| LimitOfStep::Longer(Span::from_minutes(count));
        assert_eq!(changed(None, LimitOfStep::Is(minutes(5))), minutes(5));
        assert_eq!(changed(Some(minutes(50)), longer(5)), minutes(55));
        assert_eq!(changed(Some(minutes(3)), longer(-5)), minutes(0));
        assert_eq!(changed(None, longer(5)), TimeLimit::Unlimited);
        assert_eq!(changed(Some(minutes(5)), LimitOfStep::Is(TimeLimit::Unlimited)), TimeLimit::Unlimited);
    }
}
