//! One line of `sacct`: a start of a job, or a step of it, and what is known about it.

use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::resources::Megabytes;
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::Step;
use muster_model::time::{Span, Timestamp};

use super::super::context::{Cluster, Context};
use super::super::job_text;
use super::super::tres::Amounts;
use super::super::units;

/// One line.
#[derive(Clone)]
pub struct Row {
    /// The job.
    pub job: Arc<Job>,
    /// All its steps that have started.
    pub steps: Arc<Vec<Step>>,
    /// The step that this line is about; `None` for the job itself.
    pub step: Option<Step>,
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// `--units`, `--noconvert`.
    pub units: Units,
    /// `-T`: times before and behind the window are shown as its ends.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// How amounts of memory are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// In the largest unit that is exact.
    Exact,
    /// `--noconvert`: as they are kept.
    AsKept,
    /// `--units=…`: 0 for K, 1 for M, …
    In(u32),
}

impl Row {
    pub(super) fn spec(&self) -> &muster_model::job::JobSpec {
        &self.job.spec
    }

    /// The text for a job's line; steps have none.
    pub(super) fn of_job(&self, text: impl FnOnce(&Job) -> String) -> String {
        if self.step.is_some() { String::new() } else { text(&self.job) }
    }

    /// The text for a step's line; jobs have none.
    pub(super) fn of_step(&self, text: impl FnOnce(&Step) -> String) -> String {
        self.step.as_ref().map_or(String::new(), text)
    }

    pub(super) fn start(&self) -> Option<Timestamp> {
        let start = match &self.step {
            Some(step) => step.start_time,
            None if self.job.state == JobState::Pending || !job_text::has_started(&self.job) => None,
            None => self.job.start_time,
        };
        match self.window {
            Some((since, _)) => start.map(|start| start.max(since)),
            None => start,
        }
    }

    pub(super) fn end(&self) -> Option<Timestamp> {
        let end = match &self.step {
            Some(step) => step.end_time,
            None if self.job.state.is_final() || self.was_requeued() => self.job.end_time,
            None => None,
        };
        match self.window {
            Some((_, until)) => {
                Some(end.map_or(until, |end| end.min(until))).filter(|_| self.start().is_some() || end.is_some())
            }
            None => end,
        }
    }

    /// Whether this start of the job ended with its return to the queue.
    pub(super) fn was_requeued(&self) -> bool {
        self.job.requeue_pending || self.job.state == JobState::Requeued
    }

    pub(super) fn elapsed(&self, context: &Context) -> i64 {
        let Some(start) = self.start() else { return 0 };
        let suspended = if self.step.is_some() { Span::ZERO } else { job_text::stood(&self.job, context.now) };
        Span((self.end().unwrap_or(context.now).since(start).0 - suspended.0).max(0)).seconds()
    }

    /// CPUs held by the job or step; asked for while it waits.
    pub(super) fn cpus(&self) -> u32 {
        let Some(step) = &self.step else {
            return self
                .job
                .allocation
                .as_ref()
                .map_or_else(|| job_text::cpus_requested(&self.job), |allocation| allocation.cpus());
        };
        let held: u32 = step.layout.iter().map(|node| node.cpus.len()).sum();
        let of_first_node = || {
            self.job
                .allocation
                .as_ref()
                .and_then(|allocation| allocation.shares.first())
                .map_or(0, |share| share.cpus.len())
        };
        if held > 0 { held } else { of_first_node() }
    }

    pub(super) fn nodes(&self) -> usize {
        match (&self.step, &self.job.allocation) {
            (Some(step), _) => step.layout.len().max(1),
            (None, Some(allocation)) => allocation.shares.len(),
            (None, None) => self.spec().request.nodes_min as usize,
        }
    }

    pub(super) fn node_list(&self) -> &str {
        match (&self.step, &self.job.node_list) {
            (Some(step), _) => &step.node_list,
            (None, Some(list)) if self.start().is_some() => list,
            _ => "None assigned",
        }
    }

    /// State as shown, and whether a user is to be named with it.
    pub(super) fn state(&self) -> (JobState, bool) {
        match &self.step {
            // It came to its own time limit.
            Some(step) if step.state == JobState::Timeout && self.job.state != JobState::Timeout => (step.state, false),
            // A step that a signal ended counts as cancelled.
            Some(step) if step.exit.signal > 0 && step.state.is_final() && step.state != JobState::OutOfMemory => {
                (JobState::Cancelled, step.cancelled_by.is_some())
            }
            Some(step) => (step.state, step.state == JobState::Cancelled && step.cancelled_by.is_some()),
            None => (self.job.state, self.job.state == JobState::Cancelled),
        }
    }

    pub(super) fn exit(&self) -> ExitStatus {
        match &self.step {
            Some(step) => step.exit,
            // What ends a job from outside is told by its state.
            None if matches!(
                self.job.state,
                JobState::Cancelled | JobState::Timeout | JobState::Preempted | JobState::Pending | JobState::Running
            ) =>
            {
                ExitStatus::SUCCESS
            }
            None => self.job.exit,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        match &self.step {
            Some(step) => step.usage,
            None => self.steps.iter().fold(Usage::default(), |mut total, step| {
                total.add(step.usage);
                total
            }),
        }
    }

    pub(super) fn memory_bytes(&self, amount: u64) -> String {
        match self.units {
            Units::Exact => units::bytes(amount),
            Units::AsKept => amount.to_string(),
            Units::In(unit) => in_unit(amount as f64 / 1024.0, unit),
        }
    }

    pub(super) fn megabytes(&self, amount: Megabytes) -> String {
        match self.units {
            Units::Exact => units::megabytes(amount.0),
            Units::AsKept => format!("{}M", amount.0),
            Units::In(unit) => in_unit(amount.0 as f64 * 1024.0, unit),
        }
    }

    pub(super) fn tracked(&self) -> Vec<Name> {
        self.cluster.tracked_gres()
    }

    pub(super) fn requested(&self) -> Amounts {
        Amounts::requested(&self.job, &self.cluster, &self.tracked())
    }

    pub(super) fn allocated(&self) -> String {
        match (&self.step, &self.job.allocation) {
            (Some(step), _) => {
                let memory: u64 = step.layout.iter().map(|node| node.memory.0).sum();
                format!("cpu={},mem={},node={}", self.cpus(), units::megabytes(memory), self.nodes())
            }
            (None, Some(allocation)) => Amounts::held(&self.job, allocation, &self.cluster).text_sorted(),
            (None, None) => String::new(),
        }
    }

    /// Seconds between becoming eligible and starting.
    pub(super) fn waited(&self, context: &Context) -> i64 {
        let Some(eligible) = job_text::eligible_time(&self.job) else {
            return 0;
        };
        match self.job.state {
            JobState::Pending => context.now.since(eligible).seconds(),
            _ => self.start().map_or(0, |start| start.since(eligible).seconds()),
        }
    }
}

/// `amount` of KiB in the given unit: exact, or with two decimals.
fn in_unit(amount: f64, unit: u32) -> String {
    let value = amount / 1024f64.powi(i32::try_from(unit).unwrap_or(0));
    let letter = ["K", "M", "G", "T", "P"].get(unit as usize).copied().unwrap_or("K");
    if amount == 0.0 {
        "0".to_owned()
    } else if value.fract() == 0.0 {
        format!("{value:.0}{letter}")
    } else {
        format!("{value:.2}{letter}")
    }
}
