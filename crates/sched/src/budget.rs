//! Limits of one pass, so that it ends in bounded time however long the queue is.

use muster_model::time::Span;

/// How much one pass may do. Work that is left over is taken up by the next pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most queue entries to look at; an array is one entry.
    pub jobs_max: u32,
    /// Most jobs or array tasks to start.
    pub starts_max: u32,
    /// Most blocked jobs that get a planned start, over all partitions; the first of each partition gets one all the
    /// same. Zero turns planned starts off: then later jobs start wherever they fit and may delay blocked ones for
    /// ever.
    pub reservations_max: u32,
    /// Most blocked jobs of one partition that get a planned start. One is classic EASY backfill.
    pub reservations_per_partition_max: u32,
    /// How far ahead a planned start holds resources (Slurm's `bf_window`). Later starts are told, not held.
    pub window: Span,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            jobs_max: 1_000_000,
            starts_max: 100_000,
            reservations_max: 100,
            reservations_per_partition_max: 100,
            window: Span::from_minutes(24 * 60),
        }
    }
}
