//! Made-up workloads: the same seed gives the same jobs.
//!
//! For trying out a configuration without a trace, and for tests. The shape follows what is known of real traces: many
//! small and short jobs and few large and long ones, sizes that like powers of two, users who come back, limits far above
//! run times.

use muster_model::time::{Span, Timestamp};

use crate::workload::{Submission, Workload};

/// What to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Synthetic {
    /// Jobs.
    pub jobs: u32,
    /// Processors of the machine.
    pub cpus: u32,
    /// Work that comes, in hundredths of what the machine can do: 90 keeps it busy, 100 and more lets the queue grow.
    pub load_percent: u32,
    /// Users.
    pub users: u32,
    /// Another number, another workload.
    pub seed: u64,
}

/// When the first job comes: any time will do, and this one is easy to read.
const BEGIN: i64 = 1_700_000_000;

/// Makes the workload.
pub fn make(wanted: &Synthetic) -> Workload {
    let mut numbers = Numbers(wanted.seed);
    let mut jobs = Vec::with_capacity(wanted.jobs as usize);
    for number in 1..=wanted.jobs {
        let cpus = size(&mut numbers, wanted.cpus.max(1));
        let run = run_seconds(&mut numbers);
        // Users ask for a multiple of what they need, in round numbers.
        let asked = run * (1 + i64::from(numbers.below(8)));
        let limit = (asked + 599) / 600 * 600;
        jobs.push(Submission {
            number,
            submit: Timestamp::from_seconds(BEGIN),
            run: Span::from_seconds(run),
            limit: Span::from_seconds(limit),
            cpus,
            // The lower half of all users sends three quarters of all jobs.
            user: 1000 + numbers.below(wanted.users.max(1)).min(numbers.below(wanted.users.max(1))),
            priority: 1,
            partition: None,
            spec: None,
        });
    }
    spread(&mut jobs, wanted, &mut numbers);
    Workload { jobs, cpus: Some(wanted.cpus.max(1)), ..Workload::default() }.settle()
}

/// Lets the jobs come in bursts, over as much time as the load needs.
fn spread(jobs: &mut [Submission], wanted: &Synthetic, numbers: &mut Numbers) {
    let work: i64 = jobs.iter().map(|job| job.run.seconds() * i64::from(job.cpus)).sum();
    let capacity = i64::from(wanted.cpus.max(1)) * i64::from(wanted.load_percent.max(1));
    let length = (work.saturating_mul(100) / capacity.max(1)).max(1);
    let count = i64::try_from(jobs.len()).unwrap_or(i64::MAX).max(1);
    let mean_gap = length * 1000 / count;
    let mut at = 0_i64;
    for job in jobs {
        job.submit = job.submit + Span(at / 1000 * 1000);
        // Three of four come in a burst with the one before; the gaps make up for it.
        if numbers.below(4) == 0 {
            at += mean_gap.saturating_mul(4).saturating_mul(i64::from(numbers.below(2001))) / 1000;
        }
    }
}

fn size(numbers: &mut Numbers, cpus: u32) -> u32 {
    let largest = u32::BITS - cpus.leading_zeros();
    // The smaller of two draws: small jobs are common.
    let power = numbers.below(largest).min(numbers.below(largest));
    let size = 1_u32 << power;
    let size = if numbers.below(4) == 0 { size + numbers.below(size) } else { size };
    size.clamp(1, cpus)
}

fn run_seconds(numbers: &mut Numbers) -> i64 {
    // From half a minute to eighteen hours, each doubling as likely as the other.
    let scale = 1_i64 << numbers.below(11);
    30 * scale + i64::from(numbers.below(30)) * scale
}

/// A generator of numbers that need only look unordered (splitmix64).
struct Numbers(u64);

impl Numbers {
    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % u64::from(bound.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides() {
        let wanted = Synthetic { jobs: 500, cpus: 128, load_percent: 90, users: 10, seed: 7 };
        assert_eq!(make(&wanted), make(&wanted));
        assert_ne!(make(&wanted), make(&Synthetic { seed: 8, ..wanted }));
        let workload = make(&wanted);
        assert_eq!(workload.jobs.len(), 500);
        assert!(workload.cpus_max() <= 128 && workload.limits_raised == 0);
    }
}
