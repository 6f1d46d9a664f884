//! Forecasts of jobs for which nothing is planned exactly.
//!
//! A queue has many of these, and they ask for few different things: where a group of jobs is looked for, and how far the
//! forecast has come there, is found out once for all of the group.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::time::{Span, Timestamp};
use smallvec::SmallVec;

use super::standing::Known;
use super::start::Lack;
use super::{Case, Entry, Expected, Pass};
use crate::ask::Ask;
use crate::feasible::Verdict;
use crate::forecast::{self, Footprint, Forecast};
use crate::planner::AskId;
use crate::queue::GroupId;

/// Number of a line.
type LineId = u32;

/// Jobs that ask for the same thing for the same time: each of them starts no earlier than the one before it.
struct Line {
    footprints: Arc<[Footprint]>,
    duration: Span,
    /// How far the forecast has come.
    frontier: usize,
}

/// Lines in which jobs of a group stand that lack resources in these cases, in the order in which they are tried.
struct GroupLines {
    cases: Arc<[Case]>,
    lines: SmallVec<[LineId; 2]>,
}

/// What forecasts of a pass go by.
#[derive(Default)]
pub(super) struct Forecasts {
    /// The pools, once something has been forecast.
    pools: Option<Forecast>,
    footprints: BTreeMap<AskId, Arc<[Footprint]>>,
    lines: Vec<Line>,
    known: BTreeMap<(AskId, Span), LineId>,
    /// By number of the group.
    of_group: Vec<Option<GroupLines>>,
}

impl Forecasts {
    /// The pools, where they are known already.
    pub(super) fn pools_known(&mut self) -> Option<&mut Forecast> {
        self.pools.as_mut()
    }

    /// Whether it is known in which lines a group stands whose jobs lack resources in these very cases.
    fn knows(&self, group: GroupId, cases: &Arc<[Case]>) -> bool {
        let known = self.of_group.get(group as usize).and_then(Option::as_ref);
        known.is_some_and(|known| Arc::ptr_eq(&known.cases, cases))
    }

    /// Books the start of the next job of a group, of which the lines are known.
    fn book_next(&mut self, group: GroupId) -> Option<Timestamp> {
        let (pools, of_group) = (self.pools.as_mut()?, self.of_group.get(group as usize)?.as_ref()?);
        // A job of several partitions is counted where it would come first, or it would count several times.
        of_group.lines.iter().find_map(|id| {
            let line = &mut self.lines[*id as usize];
            pools.book(&line.footprints, &mut line.frontier, line.duration)
        })
    }
}

impl Pass<'_> {
    /// About when a job would start that comes next; nothing is booked for it.
    pub(super) fn forecast_of(&mut self, case: &Case, ask: &Ask) -> Option<Timestamp> {
        let footprints = self.footprints_of(case, ask);
        self.pools().first(&footprints, case.duration)
    }

    /// About when a job starts for which nothing is planned exactly.
    pub(super) fn forecast_start(&mut self, entry: Entry<'_>, cases: &Arc<[Case]>) -> Option<Expected> {
        if !self.forecasts.knows(entry.group, cases) {
            self.find_lines(entry, cases);
        }
        let start = self.forecasts.book_next(entry.group);
        start.map(|start| Expected { start, nodes: None, is_forecast: true })
    }

    /// Counts jobs, by their groups, whose starts nobody wants to know. All of them lack resources, as the others of their groups.
    pub(super) fn forecast_unsaid(&mut self, groups: &[GroupId]) {
        for group in groups {
            if let Known::Lacks(cases) = &self.known[*group as usize]
                && !self.forecasts.knows(*group, cases)
                && let Some((key, job)) = self.groups.get(*group).head()
            {
                let cases = Arc::clone(cases);
                self.find_lines(Entry { group: *group, key: *key, job, task_index: None, before: None }, &cases);
            }
            self.forecasts.book_next(*group);
        }
    }

    /// Finds out in which lines the group of a job stands.
    fn find_lines(&mut self, entry: Entry<'_>, cases: &Arc<[Case]>) {
        self.pools();
        let mut lines = SmallVec::new();
        for case in cases.iter() {
            let Verdict::Possible(ask) = &*case.verdict else {
                continue;
            };
            // The forecast knows nothing of licences, and would tell a start too early; of reservations it knows only when they
            // close nodes to those outside.
            if case.lack == Lack::Busy && ask.licenses.is_empty() && !self.is_out_of_service(entry, case, ask) {
                lines.push(self.line_of(case, ask));
            }
        }
        let (at, all) = (entry.group as usize, &mut self.forecasts.of_group);
        if all.len() <= at {
            all.resize_with(at + 1, || None);
        }
        all[at] = Some(GroupLines { cases: Arc::clone(cases), lines });
    }

    fn line_of(&mut self, case: &Case, ask: &Ask) -> LineId {
        let key = (case.id, case.duration);
        if let Some(line) = self.forecasts.known.get(&key) {
            return *line;
        }
        let footprints = self.footprints_of(case, ask);
        let Forecasts { lines, known, .. } = &mut self.forecasts;
        let id = lines.len() as LineId;
        lines.push(Line { footprints, duration: case.duration, frontier: 0 });
        known.insert(key, id);
        id
    }

    /// What a job takes of the pools of nodes, in one partition.
    fn footprints_of(&mut self, case: &Case, ask: &Ask) -> Arc<[Footprint]> {
        let (fleet, classes) = (&self.tables.fleet, &self.tables.classes);
        let known = self.forecasts.footprints.entry(case.id);
        Arc::clone(known.or_insert_with(|| forecast::footprints(fleet, classes, ask).into()))
    }

    /// The pools as they are at this point of the pass.
    fn pools(&mut self) -> &mut Forecast {
        let (fleet, classes) = (&self.tables.fleet, &self.tables.classes);
        let (books, reservations, now) = (&*self.books, &self.reservations, self.view.now);
        let pools = &mut self.forecasts.pools;
        pools.get_or_insert_with(|| Forecast::of(fleet, classes, books, &reservations.closings(), now))
    }
}
