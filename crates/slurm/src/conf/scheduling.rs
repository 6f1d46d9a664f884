//! `SchedulerParameters`: what sets limits to the scheduler.

use muster_model::config::{HetJobRules, HetPriority, ResizeRules, SchedulingConfig};
use muster_model::time::Span;

use super::ConfError;

/// Greatest `bf_window`, minutes (slurm.conf(5)).
const WINDOW_MINUTES_MAX: u32 = 43_200;

/// Gives the value of a parameter, or the number given for it.
pub(super) type Lookup<'a> = dyn Fn(&str, u32) -> Result<u32, ConfError> + 'a;

/// Reads the parameters that change what is planned. `number` looks one up, with what it is where it is not given.
pub(super) fn read(number: &Lookup<'_>) -> Result<SchedulingConfig, ConfError> {
    let defaults = SchedulingConfig::default();
    let age_min = u32::try_from(defaults.planned_age_min.seconds()).unwrap_or(0);
    let starts = [number("bf_max_job_start", 0)?, number("sched_max_job_start", 0)?];
    Ok(SchedulingConfig {
        window: Span::from_minutes(number("bf_window", 1440)?.clamp(1, WINDOW_MINUTES_MAX).into()),
        planned_max: number("bf_max_job_test", defaults.planned_max)?,
        planned_per_partition_max: number("bf_max_job_part", 0)?,
        planned_per_user_max: number("bf_max_job_user", 0)?,
        planned_per_array_max: number("bf_max_job_array_resv", defaults.planned_per_array_max)?,
        planned_per_partition_min: number("bf_job_part_count_reserve", 0)?,
        planned_age_min: Span::from_seconds(number("bf_min_age_reserve", age_min)?.into()),
        planned_priority_min: number("bf_min_prio_reserve", 0)?,
        // Here one pass does the work of both loops, so the lesser of their limits counts.
        batch_delay: Span::from_seconds(number("batch_sched_delay", 0)?.into()),
        starts_max: starts.into_iter().filter(|limit| *limit > 0).min().unwrap_or(0),
    })
}

/// What `value` says about heterogeneous jobs. `bf_hetjob_immediate` asks for what is done always: a submit is acted on at once.
/// As in real Slurm a `bf_hetjob_prio` that is none of its words counts as not given.
pub(super) fn het_jobs<'a>(value: impl Fn(&str) -> Option<&'a str>) -> HetJobRules {
    let priority = match value("bf_hetjob_prio") {
        Some(word) if word.eq_ignore_ascii_case("avg") => HetPriority::Avg,
        Some(word) if word.eq_ignore_ascii_case("max") => HetPriority::Max,
        _ => HetPriority::Min,
    };
    HetJobRules {
        priority,
        whole: value("whole_hetjob").or(value("whole_pack")).is_some(),
        single_steps: value("disable_hetjob_steps").is_some(),
    }
}

/// What `value` says about jobs that change their size.
pub(super) fn resize<'a>(value: impl Fn(&str) -> Option<&'a str>) -> ResizeRules {
    ResizeRules { fixed: value("disable_job_shrink").is_some(), expansion: value("permit_job_expansion").is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_heterogeneous_jobs() {
        let check = |words: &[(&'static str, &'static str)], expected: (HetPriority, bool, bool)| {
            let rules = het_jobs(|name| words.iter().find(|(key, _)| *key == name).map(|(_, value)| *value));
            assert_eq!((rules.priority, rules.whole, rules.single_steps), expected);
        };
        check(&[], (HetPriority::Min, false, false));
        check(&[("bf_hetjob_prio", "AVG")], (HetPriority::Avg, false, false));
        check(&[("bf_hetjob_prio", "max"), ("whole_hetjob", "")], (HetPriority::Max, true, false));
        check(&[("bf_hetjob_prio", "most"), ("disable_hetjob_steps", "")], (HetPriority::Min, false, true));
    }
}
