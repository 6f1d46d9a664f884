//! Units of generic resources that a request counts over the whole job (`--gpus=a100:1,h100:2`), line by line.
//!
//! Each node of a job gives at least one unit of every line, as observed with Slurm 22.05 (select/cons_tres). Lines never
//! draw on the same units: two about one resource differ in its type.

use crate::ask::Ask;
use crate::capacity::Offer;

/// Most lines of one request: types of GPU that one job asks for at once. A number for each is in every candidate, and
/// candidates are made by the million.
pub(crate) const LINES_MAX: usize = 4;

/// Units of each line on one node. A node offers no more than [`UNITS_MAX`](crate::fleet::UNITS_MAX) of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct JobUnits([u16; LINES_MAX]);

impl JobUnits {
    /// None of any line.
    pub(crate) const NONE: JobUnits = JobUnits([0; LINES_MAX]);

    /// One unit of each line of `ask`.
    pub(crate) fn one_each(ask: &Ask) -> JobUnits {
        let mut units = JobUnits::NONE;
        lines(ask).for_each(|(line, _)| units.set(line, 1));
        units
    }

    /// Whether there is nothing of any line.
    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self == JobUnits::NONE
    }

    /// Units of one line.
    #[inline]
    pub(crate) fn get(self, line: usize) -> u32 {
        self.0.get(line).copied().unwrap_or(0).into()
    }

    /// Sets the units of one line.
    pub(crate) fn set(&mut self, line: usize, units: u32) {
        self.0[line] = u16::try_from(units).unwrap_or(u16::MAX);
    }

    /// Whether there is more of any line than in `other`.
    #[inline]
    pub(crate) fn has_more_than(self, other: JobUnits) -> bool {
        self.0.iter().zip(other.0).any(|(own, other)| *own > other)
    }

    /// Units of all lines.
    #[inline]
    pub(crate) fn total(self) -> u32 {
        self.0.iter().map(|units| u32::from(*units)).sum()
    }
}

/// Units of each line over several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Total([u64; LINES_MAX]);

impl Total {
    /// What `ask` wants.
    pub(crate) fn wanted(ask: &Ask) -> Total {
        let mut total = Total::default();
        lines(ask).for_each(|(line, amount)| total.0[line] = amount.into());
        total
    }

    /// Whether there is nothing of any line.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        *self == Total::default()
    }

    /// Units of one line.
    #[inline]
    pub(crate) fn get(&self, line: usize) -> u64 {
        self.0.get(line).copied().unwrap_or(0)
    }

    /// The first line of those with most units; none where there are none. No more nodes than it has units are of use.
    #[inline]
    pub(crate) fn main_line(&self) -> Option<usize> {
        let best = (0..LINES_MAX).max_by_key(|line| (self.0[*line], std::cmp::Reverse(*line)));
        best.filter(|line| self.0[*line] > 0)
    }

    /// Adds what a node has.
    pub(crate) fn add(&mut self, units: JobUnits) {
        self.0.iter_mut().zip(units.0).for_each(|(total, more)| *total += u64::from(more));
    }

    /// Adds another.
    pub(crate) fn add_all(&mut self, other: Total) {
        self.0.iter_mut().zip(other.0).for_each(|(total, more)| *total += more);
    }

    /// Whether there is no less of any line than in `need`.
    #[inline]
    pub(crate) fn covers(&self, need: &Total) -> bool {
        self.0.iter().zip(need.0).all(|(have, need)| *have >= need)
    }

    /// What is left when `other` is taken.
    pub(crate) fn less(mut self, other: Total) -> Total {
        self.0.iter_mut().zip(other.0).for_each(|(left, less)| *left = left.saturating_sub(less));
        self
    }

    /// Takes as much of what `offered` has as is wanted, but for one unit of each line for each of `others` nodes.
    pub(crate) fn take(&mut self, offered: JobUnits, others: u32) -> JobUnits {
        let mut taken = JobUnits::NONE;
        for (line, left) in self.0.iter_mut().enumerate() {
            let here = left.saturating_sub(others.into()).max(1).min(*left).min(u64::from(offered.get(line)));
            *left -= here;
            taken.set(line, u32::try_from(here).unwrap_or(u32::MAX));
        }
        taken
    }

    /// Nodes that are needed at the least where none has more than `most`.
    pub(crate) fn nodes(&self, most: JobUnits) -> u32 {
        let of_line = |(line, left): (usize, &u64)| left.div_ceil(u64::from(most.get(line).max(1)));
        let nodes = self.0.iter().enumerate().map(of_line).max().unwrap_or(0);
        u32::try_from(nodes).unwrap_or(u32::MAX)
    }
}

/// The most of each line that any of `all` has.
pub(crate) fn most(all: impl Iterator<Item = JobUnits>) -> JobUnits {
    all.fold(JobUnits::NONE, |mut most, units| {
        most.0.iter_mut().zip(units.0).for_each(|(most, units)| *most = (*most).max(units));
        most
    })
}

/// Units of each line that a node could give. CPUs and memory that come with each GPU are shared out among the lines in
/// their order, one unit of each first.
pub(crate) fn offered(ask: &Ask, offer: Offer<'_>) -> JobUnits {
    let mut units = JobUnits::NONE;
    let count = lines(ask).count() as u32;
    if count == 0 {
        return units;
    }
    let by_cpus = offer.cpus.checked_div(ask.cpus_per_gpu).unwrap_or(u32::MAX);
    let mut gpus_left = offer.gpus_by_memory(ask).min(by_cpus);
    for (place, need) in (0u32..).zip(ask.gres.iter().filter(|need| need.job_line.is_some())) {
        let after = count - place - 1;
        let mut here = need.free(offer.columns);
        if need.is_gpu || gpus_left < u32::MAX {
            here = here.min(gpus_left.saturating_sub(after));
            gpus_left = gpus_left.saturating_sub(here);
        }
        units.set(place as usize, here);
    }
    units
}

/// Lines of `ask` that are counted over the job, with their amounts.
fn lines(ask: &Ask) -> impl Iterator<Item = (usize, u32)> + '_ {
    ask.gres.iter().filter_map(|need| Some((need.job_line? as usize, need.amount)))
}
