//! Sums a schedule up, in the terms of the literature.
//!
//! Wait is from submit to start; slowdown is (wait + run time) / run time; bounded slowdown takes a run time of at least
//! ten seconds for it and is at least 1 (Feitelson, "Metrics for parallel job scheduling and their convergence", 2001).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::schedule::Schedule;
use crate::workload::Workload;

/// The bound of the bounded slowdown, seconds.
const BOUND_SECONDS: f64 = 10.0;

/// What came out of a replay. Times are seconds; figures of no job are 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Jobs that started.
    pub jobs: usize,
    /// Jobs that did not.
    pub not_started: usize,
    /// Mean wait.
    pub wait_mean: f64,
    /// Half of all jobs waited no longer.
    pub wait_median: f64,
    /// 95 of 100 jobs waited no longer.
    pub wait_p95: f64,
    /// Longest wait.
    pub wait_max: f64,
    /// Mean slowdown.
    pub slowdown_mean: f64,
    /// Mean bounded slowdown.
    pub bounded_slowdown_mean: f64,
    /// Part of the machine's time, from the first submit to the last end, in which it ran something; 0 to 1.
    pub utilisation: f64,
    /// From the first submit to the last end.
    pub makespan: f64,
    /// Jain's index over the mean bounded slowdowns of the users: 1 when all are served alike, 1/n when one of n is
    /// served worst by far.
    pub fairness: f64,
    /// By user, those with the longest wait first.
    pub users: Vec<UserFigures>,
}

/// How one user was served.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UserFigures {
    /// Number of the user.
    pub user: u32,
    /// Jobs that started.
    pub jobs: usize,
    /// Mean wait.
    pub wait_mean: f64,
    /// Longest wait.
    pub wait_max: f64,
    /// Mean bounded slowdown.
    pub bounded_slowdown_mean: f64,
}

impl Figures {
    /// The figures of a schedule of `workload` on a machine with `cpus` processors.
    pub fn of(workload: &Workload, schedule: &Schedule, cpus: u32) -> Figures {
        let mut sums = Sums::default();
        let mut users: BTreeMap<u32, Sums> = BTreeMap::new();
        for (job, start) in workload.jobs.iter().zip(&schedule.starts) {
            let Some(start) = start else {
                continue;
            };
            let wait = start.since(job.submit).0 as f64 / 1000.0;
            let run = job.run.0 as f64 / 1000.0;
            let end = (*start + job.run).0 as f64 / 1000.0;
            let submit = job.submit.0 as f64 / 1000.0;
            sums.add(wait, run);
            users.entry(job.user).or_default().add(wait, run);
            sums.work += run * f64::from(job.cpus);
            sums.first = Some(sums.first.map_or(submit, |first: f64| first.min(submit)));
            sums.last = sums.last.max(end);
        }
        let not_started = workload.jobs.len() - sums.waits.len();
        Figures { not_started, ..sums.figures(users, f64::from(cpus)) }
    }
}

#[derive(Debug, Default)]
struct Sums {
    waits: Vec<f64>,
    wait: f64,
    slowdown: f64,
    bounded: f64,
    work: f64,
    first: Option<f64>,
    last: f64,
}

impl Sums {
    fn add(&mut self, wait: f64, run: f64) {
        self.waits.push(wait);
        self.wait += wait;
        self.slowdown += (wait + run) / run;
        self.bounded += ((wait + run) / run.max(BOUND_SECONDS)).max(1.0);
    }

    fn figures(mut self, users: BTreeMap<u32, Sums>, cpus: f64) -> Figures {
        self.waits.sort_by(f64::total_cmp);
        let count = self.waits.len().max(1) as f64;
        let makespan = self.first.map_or(0.0, |first| self.last - first);
        let mut users: Vec<UserFigures> = users.into_iter().map(|(user, sums)| sums.of_user(user)).collect();
        let fairness = jain(users.iter().map(|user| user.bounded_slowdown_mean));
        users.sort_by(|a, b| b.wait_max.total_cmp(&a.wait_max).then(a.user.cmp(&b.user)));
        Figures {
            jobs: self.waits.len(),
            not_started: 0,
            wait_mean: self.wait / count,
            wait_median: quantile(&self.waits, 50),
            wait_p95: quantile(&self.waits, 95),
            wait_max: self.waits.last().copied().unwrap_or(0.0),
            slowdown_mean: self.slowdown / count,
            bounded_slowdown_mean: self.bounded / count,
            utilisation: if makespan > 0.0 { self.work / (makespan * cpus) } else { 0.0 },
            makespan,
            fairness,
            users,
        }
    }

    fn of_user(self, user: u32) -> UserFigures {
        let count = self.waits.len().max(1) as f64;
        UserFigures {
            user,
            jobs: self.waits.len(),
            wait_mean: self.wait / count,
            wait_max: self.waits.iter().copied().fold(0.0, f64::max),
            bounded_slowdown_mean: self.bounded / count,
        }
    }
}

/// The smallest value that so many of a hundred do not exceed.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0.0)
}

/// Jain, Chiu and Hawe, "A quantitative measure of fairness and discrimination" (1984).
fn jain(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
        squares += value * value;
    }
    if squares > 0.0 { sum * sum / (count * squares) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use muster_model::time::{Span, Timestamp};

    use super::*;
    use crate::workload::Submission;

    fn job(user: u32, submit: i64, run: i64) -> Submission {
        Submission {
            number: 1,
            submit: Timestamp::from_seconds(submit),
            run: Span::from_seconds(run),
            limit: Span::from_seconds(run),
            cpus: 2,
            user,
            priority: 1,
            partition: None,
            spec: None,
        }
    }

    #[test]
    fn figures_are_those_of_the_literature() {
        let workload = Workload { jobs: vec![job(1, 0, 5), job(1, 0, 20), job(2, 10, 10)], ..Workload::default() };
        let starts = [0, 5, 30].map(|start| Some(Timestamp::from_seconds(start))).to_vec();
        let figures = Figures::of(&workload, &Schedule { starts }, 4);
        assert_eq!((figures.wait_mean, figures.wait_median, figures.wait_max), (25.0 / 3.0, 5.0, 20.0));
        // Slowdowns 1, 1.25 and 3; the first is bounded to 5/10 and then 1.
        assert_eq!((figures.slowdown_mean, figures.bounded_slowdown_mean), (5.25 / 3.0, 5.25 / 3.0));
        assert_eq!((figures.makespan, figures.utilisation), (40.0, 70.0 / 160.0));
        let (a, b) = (1.125, 3.0);
        assert_eq!(figures.fairness, (a + b) * (a + b) / (2.0 * (a * a + b * b)));
        assert_eq!(figures.users[0].user, 2, "the longest wait first");
    }

    #[test]
    fn nothing_gives_nothing() {
        let workload = Workload { jobs: vec![job(1, 0, 5)], ..Workload::default() };
        let figures = Figures::of(&workload, &Schedule { starts: vec![None] }, 4);
        assert_eq!((figures.jobs, figures.not_started, figures.wait_mean, figures.makespan), (0, 1, 0.0, 0.0));
    }
}
