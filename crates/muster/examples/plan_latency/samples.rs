//! How long requests took, and how sure the figures are.
//!
//! What differs from one round to the next (a neighbour on the machine, a checkpoint of the database) hits many requests in
//! a row. So the interval around a difference comes from drawing whole rounds, with both kinds of phases as they were in
//! them: requests drawn one by one would look like far more evidence than they are.

use std::collections::BTreeMap;

use muster_testkit::load::Numbers;

use crate::phases::Phase;

/// Least number of requests of a kind of which anything is told; of fewer than a hundred the last column is the longest.
const SAMPLES_MIN: usize = 10;
/// How often rounds are drawn: the ends of an interval of 90 % are then off by little.
const DRAWS: usize = 400;

/// Times in milliseconds, by round.
type Rounds = BTreeMap<usize, Vec<f64>>;

/// Times by what was asked for and in which phase.
#[derive(Default)]
pub(crate) struct Samples(BTreeMap<(&'static str, Phase), Rounds>);

impl Samples {
    pub(crate) fn add(&mut self, kind: &'static str, phase: Phase, round: usize, took_ms: f64) {
        self.0.entry((kind, phase)).or_default().entry(round).or_default().push(took_ms);
    }

    /// Leaves out a round.
    pub(crate) fn forget(&mut self, round: usize) {
        self.0.values_mut().for_each(|rounds| drop(rounds.remove(&round)));
    }

    /// A table, with the difference of the 99th percentile to that of the phases in which nothing is planned, its interval
    /// of 90 %, and what differs without any reason: every other round against the rest.
    pub(crate) fn print(&self, kinds: &[&'static str]) {
        println!(
            "{:<12} {:<26} {:>6} {:>8} {:>8} {:>8}  p99 against none, 90 % interval; odd rounds against even",
            "request", "planner", "count", "p50 ms", "p90 ms", "p99 ms"
        );
        for kind in kinds {
            let rests = self.0.get(&(*kind, Phase::Rests));
            for phase in Phase::ALL {
                let Some(rounds) = self.0.get(&(*kind, phase)) else { continue };
                let times = sorted(rounds.values());
                if times.len() < SAMPLES_MIN {
                    continue;
                }
                let [half, most, nearly_all] = [0.5, 0.9, 0.99].map(|share| quantile(&times, share));
                let against = rests.filter(|_| phase != Phase::Rests).map_or(String::new(), |rests| {
                    let (low, high) = interval(rests, rounds);
                    let than = percent(nearly_all, quantile(&sorted(rests.values()), 0.99));
                    format!("{than:+.0} % [{low:+.0} to {high:+.0}]")
                });
                println!(
                    "{kind:<12} {:<26} {:>6} {half:>8.2} {most:>8.2} {nearly_all:>8.2}  {against:<22} {:+.0} %",
                    phase.name(),
                    times.len(),
                    noise(rounds)
                );
            }
        }
    }
}

/// By how many per cent the 99th percentile of odd rounds differs from that of even ones.
fn noise(rounds: &Rounds) -> f64 {
    let of =
        |rest: usize| quantile(&sorted(rounds.iter().filter(|(at, _)| *at % 2 == rest).map(|(_, times)| times)), 0.99);
    percent(of(1), of(0))
}

/// Where nine of ten differences of the 99th percentiles lie, in per cent, if rounds are drawn again from those there are.
fn interval(rests: &Rounds, works: &Rounds) -> (f64, f64) {
    let both: Vec<_> = rests.iter().filter_map(|(at, times)| Some((times, works.get(at)?))).collect();
    let Ok(count @ 1..) = u32::try_from(both.len()) else { return (f64::NAN, f64::NAN) };
    let mut numbers = Numbers::new(1);
    let mut differences: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<_> = (0..count).map(|_| both[numbers.below(count) as usize]).collect();
            let [rests, works] =
                [sorted(drawn.iter().map(|(rests, _)| *rests)), sorted(drawn.iter().map(|(_, works)| *works))];
            percent(quantile(&works, 0.99), quantile(&rests, 0.99))
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    (quantile(&differences, 0.05), quantile(&differences, 0.95))
}

fn sorted<'a>(parts: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut times: Vec<f64> = parts.flatten().copied().collect();
    times.sort_by(f64::total_cmp);
    times
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn percent(this: f64, that: f64) -> f64 {
    (this / that - 1.0) * 100.0
}
