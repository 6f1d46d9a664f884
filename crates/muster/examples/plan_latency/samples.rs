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
/// What is told of the times.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];
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

    /// A table; then, against each phase of `bases` that there is, the difference of each percentile with its interval of
    /// 90 %, and what differs without any reason: every other round against the rest.
    pub(crate) fn print(&self, kinds: &[&'static str], bases: &[Phase]) {
        println!(
            "{:<12} {:<26} {:>6} {:>8} {:>8} {:>8}  p99 of odd rounds against even",
            "request", "planner", "count", "p50 ms", "p90 ms", "p99 ms"
        );
        for (kind, phase, rounds) in self.told(kinds) {
            let times = sorted(rounds.values());
            let [half, most, nearly_all] = PERCENTILES.map(|(_, share)| quantile(&times, share));
            let (name, count, noise) = (phase.name(), times.len(), noise(rounds));
            println!("{kind:<12} {name:<26} {count:>6} {half:>8.2} {most:>8.2} {nearly_all:>8.2}  {noise:+.0} %");
        }
        for base in bases {
            println!("against \"{}\", in %, with the interval of 90 %", base.name());
            for (kind, phase, rounds) in self.told(kinds).filter(|(_, phase, _)| phase != base) {
                let Some(rests) = self.0.get(&(kind, *base)) else { continue };
                let told = PERCENTILES.map(|(name, share)| {
                    let (low, high) = interval(rests, rounds, share);
                    let than =
                        percent(quantile(&sorted(rounds.values()), share), quantile(&sorted(rests.values()), share));
                    let difference = format!("{than:+.0} [{low:+.0} to {high:+.0}]");
                    format!("{name} {difference:<19}")
                });
                println!("{kind:<12} {:<26} {}", phase.name(), told.join(" "));
            }
        }
    }

    /// What there are enough requests of.
    fn told<'a>(&'a self, kinds: &'a [&'static str]) -> impl Iterator<Item = (&'static str, Phase, &'a Rounds)> {
        let all = kinds.iter().flat_map(|kind| Phase::ALL.map(|phase| (*kind, phase)));
        all.filter_map(|(kind, phase)| Some((kind, phase, self.0.get(&(kind, phase))?)))
            .filter(|(_, _, rounds)| rounds.values().map(Vec::len).sum::<usize>() >= SAMPLES_MIN)
    }
}

/// By how many per cent the 99th percentile of odd rounds differs from that of even ones.
fn noise(rounds: &Rounds) -> f64 {
    let of =
        |rest: usize| quantile(&sorted(rounds.iter().filter(|(at, _)| *at % 2 == rest).map(|(_, times)| times)), 0.99);
    percent(of(1), of(0))
}

/// Where nine of ten differences of a percentile lie, in per cent, if rounds are drawn again from those there are.
fn interval(rests: &Rounds, works: &Rounds, share: f64) -> (f64, f64) {
    let both: Vec<_> = rests.iter().filter_map(|(at, times)| Some((times, works.get(at)?))).collect();
    let Ok(count @ 1..) = u32::try_from(both.len()) else { return (f64::NAN, f64::NAN) };
    let mut numbers = Numbers::new(1);
    let mut differences: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<_> = (0..count).map(|_| both[numbers.below(count) as usize]).collect();
            let [rests, works] =
                [sorted(drawn.iter().map(|(rests, _)| *rests)), sorted(drawn.iter().map(|(_, works)| *works))];
            percent(quantile(&works, share), quantile(&rests, share))
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
