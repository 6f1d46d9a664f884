//! Why one job waits, at the point of the pass at which its turn comes: everything before it has been looked at, and
//! nothing behind it has.

use std::collections::BTreeSet;

use muster_model::accounting::Violation;
use muster_model::explain::{Ahead, Alternative, Cause, Change, Room};
use muster_model::job::Job;
use muster_model::licenses::{self, Licenses};
use muster_model::partition::PartitionState;
use muster_model::planning::{Outlook, QueueKey};
use muster_model::resources::ResourceRequest;
use muster_model::state::Reason;
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::foretold::Foretold;
use super::start::{Lack, Trial, Way};
use super::variants::{self, Variant};
use super::{Case, Entry, Pass};
use crate::ask::Ask;
use crate::feasible::Verdict;
use crate::planner::AskId;
use crate::queue::GroupId;
use crate::reservation::Open;

/// Most jobs before it whose starts are planned exactly to tell when it would start otherwise.
pub(super) const EXACT_MAX: usize = 100;
/// Most jobs before it that are named.
const AHEAD_MAX: usize = 5;

/// What a pass found out about a job.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) causes: Vec<Cause>,
    pub(crate) ahead_count: u32,
    pub(crate) ahead: Vec<Ahead>,
    pub(crate) alternatives: Vec<Alternative>,
    /// Whether the nodes in service could not hold it in any of its partitions, even if nothing ran there.
    pub(crate) is_out_of_service: bool,
}

impl<'a> Pass<'a> {
    /// Looks at everything before `key`, of which another pass has said what is in `outlook` where there is one, then explains
    /// `job`, which is there.
    pub(crate) fn explain(mut self, group: GroupId, key: QueueKey, job: &Job, outlook: Option<&'a Outlook>) -> Finding {
        self.foretold = outlook.map(Foretold::new);
        // A heterogeneous job is looked at when its leader's turn comes.
        let turn = QueueKey { job_id: job.het_job_id().unwrap_or(job.id), ..key };
        self.walk(Some(&turn));
        self.foretold = None;
        let ahead_count = u32::try_from(self.waiting_count() + self.passed_over.len()).unwrap_or(u32::MAX);
        let entry = Entry { group, key, job, task_index: None, before: None };
        let asks = self.asks_of_all(group, job);
        let mut causes = Vec::new();
        let mut is_out_of_service = !asks.is_empty();
        for id in asks.iter() {
            let duration = self.duration(job, self.tables.partition_of(*id));
            let case = Case { id: *id, verdict: self.tables.verdict(*id).clone(), duration, lack: Lack::Busy };
            causes.extend(self.causes(entry, &case));
            is_out_of_service &= match &*case.verdict {
                Verdict::Possible(ask) => self.is_out_of_service(entry, &case, ask),
                Verdict::Waits(_) | Verdict::Never(_) => false,
            };
        }
        if causes.is_empty() {
            causes.extend(self.limits_of_start(entry, &asks));
        }
        // What would help one component says nothing about the others: that is only found by playing the queue on.
        let alternatives = if job.het.is_none() { self.alternatives(entry) } else { Vec::new() };
        let ahead = self.first_ahead(&turn, job);
        self.tables.return_scratch(std::mem::take(&mut self.scratch));
        Finding { causes, ahead_count, ahead, alternatives, is_out_of_service }
    }

    /// Its requests in all its partitions, in the order in which it names them.
    fn asks_of_all(&self, group: GroupId, job: &Job) -> Vec<AskId> {
        let groups = self.groups;
        let mut places = groups.places_of(job.id).to_vec();
        places.sort_by_key(|key| key.partition);
        let others: Vec<GroupId> = places.iter().filter_map(|key| groups.group_of(key)).collect();
        let all = if others.is_empty() { vec![group] } else { others };
        all.into_iter().flat_map(|id| groups.get(id).asks.iter().copied()).collect()
    }

    /// The first waiting jobs before it that could be in its way: those of its partitions.
    fn first_ahead(&self, key: &QueueKey, job: &Job) -> Vec<Ahead> {
        let mut seen: BTreeSet<_> = self.plan.all_starts().map(|start| start.job_id).collect();
        let before = self.view.queue.range(..*key).map(|(_, other)| other);
        let in_its_way = before.filter(|other| other.partition == job.partition && seen.insert(other.id));
        in_its_way
            .take(AHEAD_MAX)
            .map(|other| Ahead {
                job_id: other.id,
                user: other.spec.identity.user.clone(),
                priority: other.priority,
                ledger: None,
                expected_start: None,
            })
            .collect()
    }

    fn causes(&mut self, entry: Entry<'_>, case: &Case) -> Vec<Cause> {
        let at = self.tables.partition_of(case.id);
        let part = self.tables.fleet.partition(at);
        let partition = part.name.clone();
        let of_partition = |reason, detail: String| {
            let partition = partition.clone();
            vec![Cause::Partition { partition, reason, detail }]
        };
        match part.state {
            PartitionState::Down => {
                return of_partition(Reason::PartitionDown, "is down and starts no jobs".to_owned());
            }
            PartitionState::Inactive => {
                return of_partition(Reason::PartitionInactive, "is inactive and starts no jobs".to_owned());
            }
            PartitionState::Up | PartitionState::Drain => {}
        }
        if self.tables.fleet.is_too_long(entry.job, at, self.limit(entry.job, at)) {
            let (asked, most) = (self.limit(entry.job, at), part.time_max);
            return of_partition(Reason::PartitionTimeLimit, format!("allows a time limit of {most}, {asked} asked"));
        }
        let ask = match &*case.verdict {
            Verdict::Possible(ask) => ask,
            Verdict::Waits(reason) => {
                let detail = match reason {
                    Reason::PartitionNodeLimit => self.node_limit(entry.job, at),
                    _ => String::new(),
                };
                return of_partition(*reason, detail);
            }
            Verdict::Never(refusal) => {
                let detail = if refusal.detail.is_empty() { String::new() } else { format!(" ({})", refusal.detail) };
                return vec![Cause::Never { partition, message: format!("{refusal}{detail}") }];
            }
        };
        let mut causes = self.licence_causes(entry, ask, case.duration);
        if let Some(violation) = self.violation(entry.job, case.id, case.duration, &entry.job.spec.request) {
            let room = self.room_under(entry.job, case, &violation);
            let forgotten = self.limits.forgotten(&violation);
            causes.push(Cause::Limit { partition, violation, room, forgotten });
        }
        if !self.fits_now(entry, case, ask) {
            causes.push(Cause::Nodes(self.census(entry, case, ask)));
        }
        causes
    }

    fn node_limit(&self, job: &Job, partition: u32) -> String {
        let part = self.tables.fleet.partition(partition);
        let there = self.tables.fleet.partition_nodes[partition as usize].len();
        let freedom = self.tables.fleet.freedom_of(job);
        let (least, most) = (freedom.least_nodes(part), freedom.most_nodes(part).unwrap_or(u32::MAX).min(there));
        let (from, to) = (job.spec.request.nodes_min, job.spec.request.nodes_max);
        let asked = to.filter(|to| *to != from).map_or(from.to_string(), |to| format!("{from}-{to}"));
        format!("has {there} nodes and allows {least}-{most} per job, {asked} asked")
    }

    /// The limit in the way of a job that would run for `duration`, or without end where its limit is none.
    fn violation(&mut self, job: &Job, id: AskId, duration: Span, request: &ResourceRequest) -> Option<Violation> {
        let (at, limit) = (self.tables.partition_of(id), self.limit_judged(job, id, duration));
        self.limits.violation(job, self.tables.fleet.partition(at), limit, request)
    }

    /// The time for which a job that would run for `duration` is judged by limits.
    fn limit_judged(&self, job: &Job, id: AskId, duration: Span) -> TimeLimit {
        let at = self.tables.partition_of(id);
        let is_endless = self.limit(job, at) == TimeLimit::Unlimited && self.duration(job, at) == duration;
        let limit = if is_endless { TimeLimit::Unlimited } else { TimeLimit::Limited(duration) };
        TimeLimit::min(limit, job.spec.time_limit_min.unwrap_or(TimeLimit::Unlimited))
    }

    /// When there is room for the job under the limit that it is beyond.
    fn room_under(&mut self, job: &Job, case: &Case, violation: &Violation) -> Option<Room> {
        let (at, limit) = (self.tables.partition_of(case.id), self.limit_judged(job, case.id, case.duration));
        self.limits.room(job, self.tables.fleet.partition(at), limit, violation)
    }

    /// Limits that are met only with what it would get, which may be more than it asks for: whole cores, whole nodes.
    fn limits_of_start(&mut self, entry: Entry<'_>, asks: &[AskId]) -> Vec<Cause> {
        let mut causes = Vec::new();
        for id in asks {
            let at = self.tables.partition_of(*id);
            let duration = self.duration(entry.job, at);
            let case = Case { id: *id, verdict: self.tables.verdict(*id).clone(), duration, lack: Lack::Busy };
            self.limits.take_last_violation();
            if let Trial::Started = self.try_in(entry, &case) {
                return Vec::new();
            }
            let Some((violation, tres)) = self.limits.take_last_violation() else { continue };
            let limit = self.limit_judged(entry.job, *id, duration);
            let part = self.tables.fleet.partition(at);
            let room = self.limits.room_for(entry.job, part, limit, &violation, &tres);
            let forgotten = self.limits.forgotten(&violation);
            causes.push(Cause::Limit { partition: part.name.clone(), violation, room, forgotten });
        }
        causes
    }

    /// Licences that are lacking whichever way it is placed.
    fn licence_causes(&mut self, entry: Entry<'_>, ask: &Ask, duration: Span) -> Vec<Cause> {
        if ask.licenses.is_empty() {
            return Vec::new();
        }
        let ways = self.reservations.ways(entry.job, &self.tables.fleet.partition(ask.partition).name);
        let opens: Vec<Open> =
            ways.into_iter().filter_map(|inside| self.open_now(entry, ask, inside, duration)).collect();
        let left: Vec<Licenses> = opens.iter().map(|open| self.licenses_left(entry, ask, open, duration)).collect();
        if left.iter().any(|free| licenses::suffice(free, &ask.licenses)) {
            return Vec::new();
        }
        let Some(free) = left.last() else { return Vec::new() };
        let totals = &self.tables.fleet.licenses;
        let short = ask.licenses.iter().filter(|(name, wanted)| free.get(*name).copied().unwrap_or(0) < **wanted);
        short
            .map(|(name, wanted)| Cause::Licence {
                name: name.clone(),
                wanted: *wanted,
                free: free.get(name).copied().unwrap_or(0),
                total: totals.get(name).copied().unwrap_or(0),
            })
            .collect()
    }

    /// The compiled request of a job that may run so long in its partition, where no limit is in its way: these go by what
    /// others do.
    fn possible(&mut self, job: &Job, id: AskId, duration: Option<Span>, request: &ResourceRequest) -> Option<Case> {
        let at = self.tables.partition_of(id);
        let part = self.tables.fleet.partition(at);
        let duration = duration.unwrap_or_else(|| self.duration(job, at));
        let is_open = matches!(part.state, PartitionState::Up | PartitionState::Drain);
        let is_short = !self.tables.fleet.is_too_long(job, at, TimeLimit::Limited(duration));
        let verdict = self.tables.verdict(id).clone();
        let is_possible = is_open && is_short && matches!(&*verdict, Verdict::Possible(_));
        let is_taken = self.limits.takes(job, self.tables.fleet.partition(at));
        if !is_possible || !is_taken || self.violation(job, id, duration, request).is_some() {
            return None;
        }
        Some(Case { id, verdict, duration, lack: Lack::Busy })
    }

    /// Whether a job with this request would start now.
    fn starts_now(&mut self, entry: Entry<'_>, case: &Case) -> bool {
        let Verdict::Possible(ask) = &*case.verdict else {
            return false;
        };
        self.licence_causes(entry, ask, case.duration).is_empty() && self.fits_now(entry, case, ask)
    }

    /// When a job with this request would start that does not start now.
    fn starts_later(&mut self, entry: Entry<'_>, case: &Case) -> Option<Timestamp> {
        let Verdict::Possible(ask) = &*case.verdict else {
            return None;
        };
        if self.is_rough {
            return self.forecast_of(case, ask);
        }
        self.earliest(entry, case, ask).map(|found| found.start)
    }

    /// Whether it could start now, in one of its reservations or in none.
    fn fits_now(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> bool {
        let ways = self.reservations.ways(entry.job, &self.tables.fleet.partition(ask.partition).name);
        ways.into_iter().any(|inside| {
            let Some(open) = self.open_now(entry, ask, inside, case.duration) else {
                return false;
            };
            self.choose_now(entry, case.id, ask, Some(case.duration), &open).is_some()
                || self.starts_by_moving(entry, case, ask, Way { inside, open: &open })
        })
    }

    /// What would let it start earlier. Whether it starts now is judged beside what is held for others; when it starts
    /// otherwise, beside all starts that are expected before it.
    fn alternatives(&mut self, entry: Entry<'_>) -> Vec<Alternative> {
        let own = self.asks_of_all(entry.group, entry.job);
        let request = &entry.job.spec.request;
        let own: Vec<Case> = own.into_iter().filter_map(|id| self.possible(entry.job, id, None, request)).collect();
        let mut all: Vec<(Change, Vec<Case>, Option<Timestamp>)> = Vec::new();
        for Variant { change, request, partitions, duration } in variants::of(self.view, entry.job) {
            let mut cases = Vec::new();
            for name in &partitions {
                let Some(at) = self.tables.fleet.partition_named(name) else { continue };
                let id = self.tables.ask(&request, at, self.tables.fleet.freedom_of(entry.job));
                cases.extend(self.possible(entry.job, id, duration, &request));
            }
            let starts_now = cases.iter().any(|case| self.starts_now(entry, case));
            all.push((change, cases, starts_now.then_some(self.view.now)));
        }
        // Behind many others a forecast is all that can be told, and quickly.
        self.is_rough = self.deferred.len() > EXACT_MAX;
        self.expect_deferred(true);
        let base = own.iter().filter_map(|case| self.starts_later(entry, case)).min();
        let mut found: Vec<Alternative> = Vec::new();
        for (change, cases, now) in all {
            let start = now.or_else(|| cases.iter().filter_map(|case| self.starts_later(entry, case)).min());
            if let Some(start) = start.filter(|start| base.is_none_or(|base| *start < base)) {
                found.push(Alternative { change, start, is_forecast: true });
            }
        }
        variants::arrange(found)
    }
}
