//! Limits of accounts and QOS during a pass: whether a job may start, given what runs and what this pass has started.
//!
//! A job that waits for a limit holds nobody up: it is passed over with its reason, unless `assoc_limit_stop` says that
//! its partition waits with it. The numbers behind a reason are found again by
//! [`check_start`](muster_model::accounting::check_start), which decides here too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::accounting::{
    AccountingPolicy, AssociationId, Charged, CountLimit, Enforcement, Layers, Level, Limit, NodeAmounts, QosFlag,
    Request, Tallies, TresAmounts, TresLimit, Violation, Whole, amounts_of, asked, check_start, in_all,
    partition_takes,
};
use muster_model::explain::{Forgotten, Room};
use muster_model::ids::{Name, SpecId};
use muster_model::job::Job;
use muster_model::licenses;
use muster_model::partition::Partition;
use muster_model::planning::{PlanView, PlannedShare};
use muster_model::priority::with_billing;
use muster_model::request::RefusalCode;
use muster_model::resources::ResourceRequest;
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, TimeLimit};

/// Most ends of running jobs after which it is looked whether there is room under a limit.
const ENDS_MAX: usize = 10_000;

type LayersKey = (Option<AssociationId>, Option<Name>, Option<Name>, Option<Name>);

/// The limits as of one moment of a pass.
pub(crate) struct Limits<'a> {
    view: &'a PlanView,
    /// With what this pass has started.
    tallies: Tallies,
    layers: BTreeMap<LayersKey, Arc<Layers>>,
    /// Of each specification, and in each partition that bills in its own way.
    asked: BTreeMap<(SpecId, Option<Name>), Arc<TresAmounts>>,
    /// Partitions in which nobody starts any more.
    stopped: BTreeSet<Name>,
    /// The last limit that was in a job's way, and what the job would have held, for whoever asks why.
    last_violation: Option<(Violation, TresAmounts)>,
}

impl<'a> Limits<'a> {
    /// Before anything is started.
    pub(crate) fn of(view: &'a PlanView) -> Limits<'a> {
        Limits {
            view,
            tallies: view.tallies.clone(),
            layers: BTreeMap::new(),
            asked: BTreeMap::new(),
            stopped: BTreeSet::new(),
            last_violation: None,
        }
    }

    /// What is counted at this moment.
    pub(crate) fn tallies(&self) -> Tallies {
        self.tallies.clone()
    }

    /// Counts as at an earlier moment.
    pub(crate) fn set_tallies(&mut self, tallies: Tallies) {
        self.tallies = tallies;
    }

    /// Whether `job` may start in `partition` with the least that it asks for.
    ///
    /// # Errors
    /// Why it waits.
    pub(crate) fn before(&mut self, job: &Job, partition: &Partition, limit: TimeLimit) -> Result<(), Reason> {
        if self.stopped.contains(&partition.name) {
            return Err(Reason::Priority);
        }
        self.is_charged(job)?;
        partition_takes(partition, self.account(job), self.qos(job)).map_err(|refusal| match refusal.code {
            RefusalCode::InvalidAccount => Reason::InvalidAccount,
            _ => Reason::InvalidQos,
        })?;
        if !self.view.config.accounting_enforce.limits {
            return Ok(());
        }
        let layers = self.layers(job, partition);
        if layers.are_empty() {
            return Ok(());
        }
        let tres = self.asked(job, partition);
        self.check(job, partition, &layers, &tres, limit)
    }

    /// The limit that keeps `job` from starting in `partition` with the least of `request`, which may be another than its
    /// own.
    pub(crate) fn violation(
        &mut self,
        job: &Job,
        partition: &Partition,
        limit: TimeLimit,
        request: &ResourceRequest,
    ) -> Option<Violation> {
        if !self.concern(job, partition) {
            return None;
        }
        let layers = self.layers(job, partition);
        let tres = with_billing(asked(request), &partition.name, &self.view.config.priority);
        self.find(job, &layers, &tres, limit)
    }

    /// When `job` comes within the limit that it is beyond, if those who run take all of their time.
    pub(crate) fn room(
        &mut self,
        job: &Job,
        partition: &Partition,
        limit: TimeLimit,
        beyond: &Violation,
    ) -> Option<Room> {
        let tres = self.asked(job, partition);
        self.room_for(job, partition, limit, beyond, &tres)
    }

    /// As [`Limits::room`], for a job that would hold `tres`.
    pub(crate) fn room_for(
        &mut self,
        job: &Job,
        partition: &Partition,
        limit: TimeLimit,
        beyond: &Violation,
        tres: &TresAmounts,
    ) -> Option<Room> {
        if !beyond.may_pass() || !beyond.limit.is_of_what_runs() {
            return None;
        }
        let view = self.view;
        let layers = self.layers(job, partition);
        let now = self.tallies.clone();
        let room =
            view.running.iter().take(ENDS_MAX).take_while(|((end, _), _)| end.0 < i64::MAX).find(|(_, other)| {
                let place = view.partitions.iter().find(|partition| partition.name == other.partition);
                let qos = place.and_then(|partition| partition.qos.clone());
                self.tallies.remove(&Charged::of(&view.accounting, other, qos.as_ref()));
                // Limits are looked at in one order: another one that is in the way then comes after this.
                let left = self.find(job, &layers, tres, limit);
                left.is_none_or(|left| (&left.level, &left.limit) != (&beyond.level, &beyond.limit))
            });
        let room = room.map(|((end, job_id), _)| Room { wait: end.since(view.now), job_id: *job_id });
        self.tallies = now;
        room
    }

    /// When enough of past use is forgotten for a job that is beyond a limit on minutes; nothing for another limit, or where the job
    /// asks for more than it allows and has to end within it.
    pub(crate) fn forgotten(&self, beyond: &Violation) -> Option<Forgotten> {
        let is_of_past =
            matches!(beyond.limit, Limit::Tres(TresLimit::GrpTresMins, _) | Limit::Count(CountLimit::GrpWall));
        let is_safe = self.view.config.accounting_enforce.safe;
        if !is_of_past || is_safe && beyond.asked > beyond.allowed {
            return None;
        }
        let (config, now) = (&self.view.config.priority, self.view.now);
        // Use is counted in whole minutes, and anew with each calculation of priorities.
        let most = if is_safe { beyond.allowed - beyond.asked } else { beyond.allowed };
        let is_kept = match &beyond.level {
            Level::Qos(name) => self.view.accounting.qos.get(name).is_some_and(|qos| qos.has(QosFlag::NoDecay)),
            Level::Association(_) => false,
        };
        let half_life = config.decay_half_life;
        let later = |span: Span| Span(span.0.saturating_add(config.calculation_period.0));
        let decay = (half_life > Span::ZERO && most > 0 && !is_kept).then(|| {
            let half_lives = ((beyond.in_use + 1) as f64 / most as f64).log2().max(0.0);
            // Saturates at the ends of the range.
            let wait = later(Span((half_lives * half_life.0 as f64) as i64));
            Forgotten::Decay { wait, half_life }
        });
        let reset = config.usage_reset.next_after(now).map(|time| later(time.since(now)));
        Some(match (decay, reset) {
            (Some(Forgotten::Decay { wait, .. }), Some(reset)) if reset < wait => Forgotten::Reset { wait: reset },
            (Some(decay), _) => decay,
            (None, Some(wait)) if most > 0 => Forgotten::Reset { wait },
            _ => Forgotten::Never,
        })
    }

    /// The limit that kept the last job from starting on the nodes that were found for it, and what it would have held there.
    pub(crate) fn take_last_violation(&mut self) -> Option<(Violation, TresAmounts)> {
        self.last_violation.take()
    }

    /// Whether `partition` takes jobs of the account and QOS of `job`.
    pub(crate) fn takes(&self, job: &Job, partition: &Partition) -> bool {
        partition_takes(partition, self.account(job), self.qos(job)).is_ok()
    }

    /// Whether anybody limits anything for `job` in `partition`.
    pub(crate) fn concern(&mut self, job: &Job, partition: &Partition) -> bool {
        self.view.config.accounting_enforce.limits && !self.layers(job, partition).are_empty()
    }

    /// Whether nothing is ever kept for the job in future (`NoReserve`): it starts where there is room for it.
    pub(crate) fn reserves_nothing(&self, job: &Job) -> bool {
        let qos = self.qos(job).and_then(|name| self.view.accounting.qos.get(name));
        qos.is_some_and(|qos| qos.has(QosFlag::NoReserve))
    }

    /// Whether resources may be kept for the job (`MinPrioThreshold`).
    pub(crate) fn may_reserve(&mut self, job: &Job, partition: &Partition) -> bool {
        if !self.concern(job, partition) {
            return true;
        }
        let layers = self.layers(job, partition);
        AccountingPolicy::priority_min(&layers).is_none_or(|least| u64::from(job.priority) >= least)
    }

    /// Counts the start of `job` with `shares`, if it may hold these.
    ///
    /// # Errors
    /// Why it waits.
    pub(crate) fn start(
        &mut self,
        job: &Job,
        partition: &Partition,
        limit: TimeLimit,
        shares: &[PlannedShare],
    ) -> Result<(), Reason> {
        if !self.view.config.accounting_enforce.limits {
            return Ok(());
        }
        let layers = self.layers(job, partition);
        let parts = shares.iter().map(|share| NodeAmounts {
            cpus: u64::from(share.cpus),
            memory: share.memory.0,
            gres: &share.gres,
        });
        let tres = in_all(parts, job.spec.request.licenses.as_deref());
        let tres = with_billing(tres, &partition.name, &self.view.config.priority);
        self.check(job, partition, &layers, &tres, limit)?;
        self.count(job, partition, limit, tres);
        Ok(())
    }

    /// The least that `job` takes in `partition`.
    fn asked(&mut self, job: &Job, partition: &Partition) -> Arc<TresAmounts> {
        let config = &self.view.config.priority;
        let place = config.billing.contains_key(&partition.name).then(|| partition.name.clone());
        let make = || Arc::new(with_billing(asked(&job.spec.request), &partition.name, config));
        self.asked.entry((job.spec_id, place)).or_insert_with(make).clone()
    }

    /// A job must have what enforcement asks for.
    fn is_charged(&self, job: &Job) -> Result<(), Reason> {
        let enforce = self.view.config.accounting_enforce;
        let policy = &self.view.accounting;
        let has_association = job.association.is_some_and(|id| policy.associations.contains_key(&id));
        if enforce.associations && !has_association {
            return Err(Reason::InvalidAccount);
        }
        let has_qos = job.qos.as_ref().is_some_and(|name| policy.qos.contains_key(name));
        if enforce.qos && !has_qos { Err(Reason::InvalidQos) } else { Ok(()) }
    }

    fn account<'j>(&self, job: &'j Job) -> Option<&'j Name> {
        job.account.as_ref().or(job.spec.account.as_ref())
    }

    fn qos<'j>(&self, job: &'j Job) -> Option<&'j Name> {
        job.qos.as_ref().or(job.spec.qos.as_ref())
    }

    fn layers(&mut self, job: &Job, partition: &Partition) -> Arc<Layers> {
        let policy = &self.view.accounting;
        let view = self.view;
        let of_partition = partition.qos.clone();
        let is_relative = |name: &Name| policy.qos.get(name).is_some_and(|qos| qos.has(QosFlag::Relative));
        // A percentage is one of this very partition.
        let place = of_partition.as_ref().filter(|name| is_relative(name)).map(|_| partition.name.clone());
        let make = || {
            let whole = |whole| whole_of(view, partition, whole);
            Arc::new(Layers::of(policy, job.association, job.qos.as_deref(), partition.qos.as_deref(), whole))
        };
        self.layers.entry((job.association, job.qos.clone(), of_partition, place)).or_insert_with(make).clone()
    }

    fn check(
        &mut self,
        job: &Job,
        partition: &Partition,
        layers: &Layers,
        tres: &TresAmounts,
        time_limit: TimeLimit,
    ) -> Result<(), Reason> {
        let Some(violation) = self.find(job, layers, tres, time_limit) else { return Ok(()) };
        if self.view.config.limits_stop_queue {
            self.stopped.insert(partition.name.clone());
        }
        let reason = violation.reason();
        self.last_violation = Some((violation, tres.clone()));
        Err(reason)
    }

    fn find(&self, job: &Job, layers: &Layers, tres: &TresAmounts, time_limit: TimeLimit) -> Option<Violation> {
        let enforcement = Enforcement {
            tallies: &self.tallies,
            past: &self.view.past_use,
            now: self.view.now,
            safe: self.view.config.accounting_enforce.safe,
        };
        let request = Request {
            user: &job.spec.identity.user,
            account: job.account.as_ref(),
            tres,
            time_limit,
            jobs: 1,
            fair_share: job.association.and_then(|id| self.view.priorities.current.fair_share_factor(id)),
        };
        check_start(layers, &enforcement, &request)
    }

    /// What the job holds from now on. It was counted as waiting before, and stays counted as submitted.
    fn count(&mut self, job: &Job, partition: &Partition, limit: TimeLimit, tres: TresAmounts) {
        let row = Job { state: JobState::Running, array: None, ..job.clone() };
        let mut charged = Charged::of(&self.view.accounting, &row, partition.qos.as_ref());
        charged.submitted = 0;
        charged.end = limit.span().map_or(charged.end, |span| self.view.now + span);
        charged.tres = tres;
        self.tallies.add(&charged);
    }
}

/// What percentages of a QOS are parts of.
fn whole_of(view: &PlanView, partition: &Partition, whole: Whole) -> TresAmounts {
    let licenses = licenses::totals(&view.config, &view.accounting);
    match whole {
        Whole::Cluster => amounts_of(view.nodes.iter().map(Arc::as_ref), &licenses),
        Whole::Partition => {
            let nodes = partition.nodes.iter().filter_map(|node| view.nodes.get(node.0 as usize));
            with_billing(amounts_of(nodes.map(Arc::as_ref), &licenses), &partition.name, &view.config.priority)
        }
    }
}
