//! Changes that a line asks for, and how refusals of them are told.

use muster_model::request::{Answer, Command, JobTarget, RefusalCode};

use super::super::context::Outcome;
use super::Verb;

/// Changes to make one after the other. One that is refused does not stop the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The changes.
    pub list: Vec<Change>,
    /// What is printed with the last reason when a job's change was refused.
    pub trailer: Option<&'static str>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is about, for complaints.
    pub what: What,
    /// The change, or why it need not be tried.
    pub command: Result<Command, String>,
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A job, as written.
    Job(String),
    /// Tasks of an array, as written.
    Tasks(String),
    /// Nodes or a partition.
    Other,
    /// The configuration, which is read again.
    Configuration,
    /// Something with words of its own before the reason.
    Named(String),
    /// A reservation that is made.
    NewReservation,
    /// A reservation that is changed.
    Reservation,
}

/// What Slurm adds where no nodes are found for a reservation.
const RESERVATION_NOTE: &str = "Note, unless nodes are directly requested a reservation must exist in a single partition.\nIf no partition is requested the default partition is assumed.\n";

impl What {
    /// What is printed when it was done; most changes are silent.
    pub fn success(&self, answer: &Answer) -> String {
        match (self, answer) {
            (What::NewReservation, Answer::ReservationCreated(name)) => format!("Reservation created: {name}\n"),
            (What::Reservation, _) => "Reservation updated.\n".to_owned(),
            _ => String::new(),
        }
    }
}

impl Changes {
    /// `verb` done to each of the jobs, given as written and as read.
    pub fn of_jobs(jobs: impl IntoIterator<Item = (String, Option<JobTarget>)>, verb: Verb) -> Changes {
        let list = jobs.into_iter().map(|(text, target)| {
            let what = if target.as_ref().is_some_and(|target| target.tasks.is_some()) {
                What::Tasks(text)
            } else {
                What::Job(text)
            };
            let unreadable = || RefusalCode::InvalidJobId.text().to_owned();
            Change { what, command: target.map(|target| verb.command(target)).ok_or_else(unreadable) }
        });
        Changes { list: list.collect(), trailer: verb.trailer() }
    }

    /// What to print, given the reason of each refusal in the order of the list (`None` for what was done).
    pub fn outcome(&self, refusals: &[Option<String>]) -> Outcome {
        let mut outcome = Outcome::default();
        let mut last = None;
        for (change, refusal) in self.list.iter().zip(refusals) {
            let Some(reason) = refusal else { continue };
            outcome.code = 1;
            let line = match &change.what {
                What::Job(text) => {
                    last = Some(reason);
                    format!("{reason} for job {text}\n")
                }
                What::Tasks(text) => format!("{text}: {reason}\n"),
                What::Other => format!("slurm_update error: {reason}\n"),
                What::Configuration => format!("slurm_reconfigure error: {reason}\n"),
                What::Named(words) => format!("{words}: {reason}\n"),
                What::NewReservation => {
                    let busy = *reason == RefusalCode::NodesBusy.text();
                    let note = if busy { RESERVATION_NOTE } else { "" };
                    format!("Error creating the reservation: {reason}\n{note}")
                }
                What::Reservation => {
                    format!("Error updating the reservation: {reason}\nslurm_update error: {reason}\n")
                }
            };
            outcome.stderr.push_str(&line);
        }
        if let (Some(trailer), Some(reason)) = (self.trailer, last) {
            outcome.stderr.push_str(&format!("{trailer}: {reason}\n"));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::ids;

    /// What `verb` prints for jobs that the controller refuses for `reason`.
    fn check(verb: Verb, jobs: &str, reason: &str, expected: &str) {
        let named = ids::split(jobs).into_iter().map(|text| (text.to_owned(), ids::target(text)));
        let changes = Changes::of_jobs(named, verb);
        let refusals: Vec<_> = changes.list.iter().map(|_| Some(reason.to_owned())).collect();
        let outcome = changes.outcome(&refusals);
        assert_eq!((outcome.stderr.as_str(), outcome.code), (expected, 1), "{verb:?} {jobs}");
    }

    #[test]
    fn refusals_are_told_as_slurm_tells_them() {
        let finished = "Job has already finished";
        check(
            Verb::Hold,
            "53",
            finished,
            "Job has already finished for job 53\nslurm_suspend error: Job has already finished\n",
        );
        let unknown = RefusalCode::InvalidJobId.text();
        check(Verb::Hold, "57_99", unknown, "57_99: Invalid job id specified\n");
        check(Verb::Requeue, "999999", unknown, "Invalid job id specified for job 999999\n");
        let pending = "Job is pending execution";
        check(Verb::Suspend, "65", pending, "Job is pending execution for job 65\n");
    }

    #[test]
    fn what_was_done_is_silent() {
        let changes = Changes::of_jobs([("12".to_owned(), ids::target("12"))], Verb::Release);
        assert_eq!(changes.outcome(&[None]), Outcome::default());
    }
}
