//! Limits of one pass, so that it ends in bounded time however long the queue is.

use muster_model::config::ClusterConfig;
use muster_model::time::Span;

/// How much one pass may do, and how far it looks. Work that is left over is taken up by the next pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most queue entries to look at; an array is one entry.
    pub jobs_max: u32,
    /// Most jobs or array tasks to start.
    pub starts_max: u32,
    /// Most blocked jobs that get a planned start with resources held for them, over all partitions (Slurm's
    /// `bf_max_job_test`); the first of each partition gets one all the same, and those beyond get a forecast. Zero turns
    /// planned starts off: then later jobs start wherever they fit and may delay blocked ones for ever.
    pub reservations_max: u32,
    /// Most blocked jobs of one partition that get a planned start (`bf_max_job_part`). One is classic EASY backfill.
    pub reservations_per_partition_max: u32,
    /// Most blocked jobs of one user that get a planned start (`bf_max_job_user`).
    pub reservations_per_user_max: u32,
    /// Most tasks of one array that get a planned start (`bf_max_job_array_resv`).
    pub reservations_per_array_max: u32,
    /// Blocked jobs of each partition that get a planned start whatever the limits say (`bf_job_part_count_reserve`).
    pub reservations_per_partition_min: u32,
    /// For jobs that have waited for less nothing is held (`bf_min_age_reserve`): when they start is worked out without a
    /// promise.
    pub reservation_age_min: Span,
    /// Nor for jobs of lower priority (`bf_min_prio_reserve`).
    pub reservation_priority_min: u32,
    /// Whether to say when jobs start for which nothing is held. It decides nothing, and costs most of a pass.
    pub expectations: bool,
    /// How far ahead a planned start holds resources (`bf_window`). Later starts are told, not held.
    pub window: Span,
}

impl Budget {
    /// The budget that `config` sets.
    pub fn of(config: &ClusterConfig) -> Budget {
        let scheduling = &config.scheduling;
        let limit = |value: u32| if value == 0 { u32::MAX } else { value };
        let default = Budget::default();
        Budget {
            jobs_max: default.jobs_max,
            starts_max: limit(scheduling.starts_max).min(default.starts_max),
            reservations_max: scheduling.planned_max,
            reservations_per_partition_max: limit(scheduling.planned_per_partition_max),
            reservations_per_user_max: limit(scheduling.planned_per_user_max),
            reservations_per_array_max: scheduling.planned_per_array_max.max(1),
            reservations_per_partition_min: scheduling.planned_per_partition_min.max(1),
            reservation_age_min: scheduling.planned_age_min,
            reservation_priority_min: scheduling.planned_priority_min,
            expectations: true,
            window: scheduling.window,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            jobs_max: 10_000_000,
            starts_max: 100_000,
            reservations_max: 500,
            reservations_per_partition_max: u32::MAX,
            reservations_per_user_max: u32::MAX,
            reservations_per_array_max: 20,
            reservations_per_partition_min: 1,
            reservation_age_min: Span::ZERO,
            reservation_priority_min: 0,
            expectations: true,
            window: Span::from_minutes(24 * 60),
        }
    }
}
