//! When containers are looked for that nobody owns any more.
//!
//! A daemon goes on with what it was asked for when nobody waits for the answer any more. So a container may appear after those of an
//! earlier supervisor were removed, or after one that was still to be made was given up: one look is not enough.

use std::time::{Duration, Instant};

/// How long to wait before the next look where the daemon was away.
const RETRY: Duration = Duration::from_secs(2);

/// How long to wait before each further look after one that succeeded. A daemon that takes longer than all together is asked again
/// when the next supervisor starts.
const FURTHER: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(120)];

/// The looks that are still to come.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    next_at: Option<Instant>,
    further: usize,
}

impl Sweeps {
    /// When to look next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Whether it is time to look.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.next_at.take_if(|at| *at <= now).is_some()
    }

    /// A look is over.
    pub(super) fn ended(&mut self, is_done: bool, now: Instant) {
        if !is_done {
            self.next_at = Some(now + RETRY);
            return;
        }
        self.next_at = FURTHER.get(self.further).map(|wait| now + *wait);
        self.further += 1;
    }

    /// A container that was given up may be made yet.
    pub(super) fn expect_one(&mut self, now: Instant) {
        self.further = 0;
        self.ended(true, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_and_end() {
        let start = Instant::now();
        let mut sweeps = Sweeps::default();
        assert!(!sweeps.take_due(start));
        sweeps.ended(false, start);
        assert!(!sweeps.take_due(start) && sweeps.take_due(start + RETRY) && !sweeps.take_due(start + RETRY));
        let mut now = start;
        let looks = |sweeps: &mut Sweeps, now: &mut Instant| {
            let mut count = 0;
            while let Some(at) = sweeps.next_at() {
                *now = at;
                assert!(sweeps.take_due(at));
                sweeps.ended(true, at);
                count += 1;
            }
            count
        };
        sweeps.ended(true, now);
        assert_eq!((looks(&mut sweeps, &mut now), now), (FURTHER.len(), start + FURTHER.iter().sum::<Duration>()));
        sweeps.expect_one(now);
        assert_eq!(sweeps.next_at(), Some(now + FURTHER[0]));
        assert_eq!(looks(&mut sweeps, &mut now), FURTHER.len());
    }
}
