//! How many units are free at each time to come.

/// A step function of time, from now on.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// Units that are free from a time until that of the next entry; ascending, never empty. The last counts for ever.
    steps: Vec<(i64, u32)>,
}

impl Profile {
    pub(super) fn new(units: u32) -> Profile {
        Profile { steps: vec![(i64::MIN, units)] }
    }

    /// Forgets what is over at `now`.
    pub(super) fn forget_before(&mut self, now: i64) {
        let over = self.steps.partition_point(|(at, _)| *at <= now).saturating_sub(1);
        self.steps.drain(..over);
    }

    /// The earliest time, not before `from`, from which `size` units are free for `length`.
    pub(super) fn earliest(&self, size: u32, length: i64, from: i64) -> i64 {
        let mut begin: Option<i64> = None;
        for (step, (at, free)) in self.steps.iter().enumerate() {
            let end = self.steps.get(step + 1).map_or(i64::MAX, |(next, _)| *next);
            if end <= from {
                continue;
            }
            if *free < size {
                begin = None;
                continue;
            }
            let begun = *begin.get_or_insert((*at).max(from));
            if end.saturating_sub(begun) >= length {
                return begun;
            }
        }
        // Everything is free in the end, as no job is larger than the machine.
        begin.unwrap_or(i64::MAX)
    }

    /// Takes `size` units from `begin` until `end`.
    pub(super) fn take(&mut self, begin: i64, end: i64, size: u32) {
        self.change(begin, end, |free| free.saturating_sub(size));
    }

    /// Gives them back.
    pub(super) fn give(&mut self, begin: i64, end: i64, size: u32) {
        self.change(begin, end, |free| free.saturating_add(size));
    }

    fn change(&mut self, begin: i64, end: i64, with: impl Fn(u32) -> u32) {
        if begin >= end {
            return;
        }
        let first = self.step_at(begin);
        let last = self.step_at(end);
        for (_, free) in &mut self.steps[first..last] {
            *free = with(*free);
        }
        self.join(last);
        self.join(first);
    }

    /// The place of the step that begins at `at`, made where there is none.
    fn step_at(&mut self, at: i64) -> usize {
        let place = self.steps.partition_point(|(begin, _)| *begin < at);
        if self.steps.get(place).is_none_or(|(begin, _)| *begin != at) {
            let free = self.steps[place.saturating_sub(1)].1;
            self.steps.insert(place, (at, free));
        }
        place
    }

    /// Joins a step with the one before where they are alike.
    fn join(&mut self, place: usize) {
        if place > 0 && self.steps.get(place).is_some_and(|step| step.1 == self.steps[place - 1].1) {
            self.steps.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_and_filled() {
        let mut profile = Profile::new(4);
        profile.take(0, 10, 3);
        profile.take(10, 20, 4);
        assert_eq!(profile.earliest(1, 10, 0), 0);
        assert_eq!(profile.earliest(1, 11, 0), 20, "too long for the gap");
        assert_eq!(profile.earliest(2, 1, 0), 20, "too wide for the gap");
        profile.give(5, 10, 3);
        assert_eq!(profile.earliest(4, 5, 0), 5);
        profile.give(10, 20, 4);
        profile.give(0, 5, 3);
        assert_eq!(profile.steps, [(i64::MIN, 4)], "steps that are alike are joined");
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut profile = Profile::new(4);
        profile.take(0, 10, 3);
        profile.forget_before(5);
        assert_eq!(profile.steps, [(0, 1), (10, 4)]);
        profile.forget_before(10);
        assert_eq!(profile.steps, [(10, 4)]);
    }
}
