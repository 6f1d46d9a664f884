//! Whether a job may be submitted or started, given what others hold: the first limit in its way.
//!
//! Used by the scheduler, so that a job waits with the right reason, and by the core before a start counts. The order in
//! which limits are looked at is Slurm's (acct_policy): numbers before amounts, QOS before associations.

use super::{
    Association, CountLimit, Holder, Layers, Level, Limit, PastUse, Qos, QosFlag, Tallies, Tally, TresAmounts,
    TresClass, TresLimit, Violation, past_use,
};
use crate::ids::Name;
use crate::time::{Span, TimeLimit, Timestamp};

/// What is counted against limits.
#[derive(Debug, Clone, Copy)]
pub struct Enforcement<'a> {
    /// What jobs hold at present.
    pub tallies: &'a Tallies,
    /// What was used before.
    pub past: &'a PastUse,
    /// The present.
    pub now: Timestamp,
    /// A job starts only when minutes suffice to its end.
    pub safe: bool,
}

/// What a job asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its user.
    pub user: &'a Name,
    /// Its account.
    pub account: Option<&'a Name>,
    /// What it takes in all.
    pub tres: &'a TresAmounts,
    /// Its time limit.
    pub time_limit: TimeLimit,
    /// As how many jobs it counts.
    pub jobs: u64,
    /// Fair-share factor of its association, between 0 and 1; `None` where none is worked out.
    pub fair_share: Option<f64>,
}

/// Minutes of a job without limit: Slurm's year.
const YEAR_MINUTES: u64 = 365 * 24 * 60;

impl Request<'_> {
    fn minutes(&self) -> u64 {
        let minutes = |span: Span| u64::try_from(span.0.max(0)).unwrap_or(0).div_ceil(60_000);
        self.time_limit.span().map_or(YEAR_MINUTES, minutes)
    }

    fn amount(&self, name: &str) -> u64 {
        self.tres.get(name).unwrap_or(0)
    }
}

/// The first limit that keeps a job from starting now.
pub fn check_start(layers: &Layers, enforcement: &Enforcement<'_>, request: &Request<'_>) -> Option<Violation> {
    if layers.are_empty() {
        return None;
    }
    let check = Check { layers, enforcement, request };
    check
        .usage_threshold()
        .or_else(|| check.counts_of_qos(JOBS_OF_QOS))
        .or_else(|| check.wall_of_qos())
        .or_else(|| check.counts_of_associations(CountLimit::GrpJobs, running))
        .or_else(|| check.wall_of_associations())
        .or_else(|| check.own_count(CountLimit::MaxJobs, running))
        .or_else(|| check.wall_per_job())
        .or_else(|| check.amounts())
}

/// The first limit that keeps a job from being submitted. With `strict` also those that it alone is beyond, for which
/// it would otherwise wait (`DenyOnLimit`).
pub fn check_submit(
    layers: &Layers,
    enforcement: &Enforcement<'_>,
    request: &Request<'_>,
    strict: bool,
) -> Option<Violation> {
    if layers.are_empty() {
        return None;
    }
    let check = Check { layers, enforcement, request };
    let found = check
        .counts_of_qos(&[
            (CountLimit::GrpSubmitJobs, submitted),
            (CountLimit::MaxSubmitJobsPerAccount, submitted),
            (CountLimit::MaxSubmitJobsPerUser, submitted),
        ])
        .or_else(|| check.counts_of_associations(CountLimit::GrpSubmitJobs, submitted))
        .or_else(|| check.own_count(CountLimit::MaxSubmitJobs, submitted));
    if found.is_some() || !strict {
        return found;
    }
    let alone = Enforcement { tallies: &Tallies::default(), past: &PastUse::default(), ..*enforcement };
    let alone = Check { layers, enforcement: &alone, request };
    alone.wall_per_job().or_else(|| alone.amounts())
}

/// Limits of QOS on running jobs, in Slurm's order.
const JOBS_OF_QOS: &[(CountLimit, Counted)] =
    &[(CountLimit::GrpJobs, running), (CountLimit::MaxJobsPerAccount, running), (CountLimit::MaxJobsPerUser, running)];

type Counted = fn(&Tally) -> u64;

fn running(tally: &Tally) -> u64 {
    tally.jobs_running
}

fn submitted(tally: &Tally) -> u64 {
    tally.jobs_submitted
}

/// Whose jobs count against an amount.
#[derive(Clone, Copy)]
enum Whose {
    All,
    User,
    Account,
}

/// How the minutes of running jobs count.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    /// Amounts held.
    Held,
    /// Minutes that running jobs may still use.
    RunMinutes,
    /// Minutes ever used.
    PastMinutes,
}

/// Limits on amounts that others count against.
const SHARED: &[(TresLimit, Whose, Measure)] = &[
    (TresLimit::GrpTresMins, Whose::All, Measure::PastMinutes),
    (TresLimit::GrpTres, Whose::All, Measure::Held),
    (TresLimit::GrpTresRunMins, Whose::All, Measure::RunMinutes),
    (TresLimit::MaxTresPerAccount, Whose::Account, Measure::Held),
    (TresLimit::MaxTresRunMinsPerAccount, Whose::Account, Measure::RunMinutes),
    (TresLimit::MaxTresPerUser, Whose::User, Measure::Held),
    (TresLimit::MaxTresRunMinsPerUser, Whose::User, Measure::RunMinutes),
];

/// Limits on amounts that concern the job alone.
const OF_JOB: &[TresLimit] =
    &[TresLimit::MaxTresMinsPerJob, TresLimit::MaxTresPerJob, TresLimit::MaxTresPerNode, TresLimit::MinTresPerJob];

struct Check<'a> {
    layers: &'a Layers,
    enforcement: &'a Enforcement<'a>,
    request: &'a Request<'a>,
}

impl Check<'_> {
    fn tally(&self, holder: &Holder) -> Option<&Tally> {
        self.enforcement.tallies.get(holder)
    }

    fn counts_of_qos(&self, limits: &[(CountLimit, Counted)]) -> Option<Violation> {
        limits.iter().find_map(|(limit, counted)| {
            let (qos, allowed) = self.layers.qos_count(*limit)?;
            let holder = self.holder(qos, whose(*limit))?;
            self.beyond_count(level_of_qos(qos), *limit, allowed, self.tally(&holder).map_or(0, counted))
        })
    }

    /// `UsageThreshold` of a QOS with `EnforceUsageThreshold`.
    fn usage_threshold(&self) -> Option<Violation> {
        let factor = self.request.fair_share?;
        let enforcing = |qos: &&std::sync::Arc<Qos>| qos.has(QosFlag::EnforceUsageThreshold);
        self.layers.qos.iter().filter(enforcing).find_map(|qos| {
            let threshold = qos.usage_threshold.filter(|threshold| factor < *threshold)?;
            // Both are small numbers of at least 0; a cast saturates.
            let millionths = |value: f64| (value * 1e6) as u64;
            Some(Violation {
                level: level_of_qos(qos),
                limit: Limit::UsageThreshold,
                allowed: millionths(threshold),
                in_use: millionths(factor),
                asked: 0,
            })
        })
    }

    fn beyond_count(&self, level: Level, limit: CountLimit, allowed: u64, in_use: u64) -> Option<Violation> {
        let asked = self.request.jobs;
        let violation = Violation { level, limit: Limit::Count(limit), allowed, in_use, asked };
        (in_use.saturating_add(asked) > allowed).then_some(violation)
    }

    /// Who is charged under a QOS; `None` where a job without account is asked for its account.
    fn holder(&self, qos: &Qos, whose: Whose) -> Option<Holder> {
        let name = qos.name.clone();
        match whose {
            Whose::All => Some(Holder::Qos(name)),
            Whose::User => Some(Holder::QosUser(name, self.request.user.clone())),
            Whose::Account => Some(Holder::QosAccount(name, self.request.account?.clone())),
        }
    }

    fn counts_of_associations(&self, limit: CountLimit, counted: Counted) -> Option<Violation> {
        if self.layers.qos_count(limit).is_some() {
            return None;
        }
        self.layers.lineage.iter().find_map(|association| {
            let allowed = association.limits.count(limit)?;
            let in_use = self.tally(&Holder::Association(association.id)).map_or(0, counted);
            self.beyond_count(level_of(association), limit, allowed, in_use)
        })
    }

    /// `MaxJobs` and its kin: set anywhere above, counted for the association of the job. Limits per user or account of
    /// a QOS stand in their place.
    fn own_count(&self, limit: CountLimit, counted: Counted) -> Option<Violation> {
        let instead: &[CountLimit] = match limit {
            CountLimit::MaxJobs => &[CountLimit::MaxJobsPerAccount, CountLimit::MaxJobsPerUser],
            _ => &[CountLimit::MaxSubmitJobsPerAccount, CountLimit::MaxSubmitJobsPerUser],
        };
        if instead.iter().any(|limit| self.layers.qos_count(*limit).is_some()) {
            return None;
        }
        let (_, allowed) = self.layers.association_count(limit)?;
        let own = self.layers.lineage.first()?;
        let in_use = self.tally(&Holder::Association(own.id)).map_or(0, counted);
        self.beyond_count(level_of(own), limit, allowed, in_use)
    }

    /// `GrpWall`: run time ever used. In safe mode the job must be able to end within it.
    fn wall_of_qos(&self) -> Option<Violation> {
        let (qos, allowed) = self.layers.qos_count(CountLimit::GrpWall)?;
        self.beyond_wall(level_of_qos(qos), &Holder::Qos(qos.name.clone()), allowed)
    }

    fn wall_of_associations(&self) -> Option<Violation> {
        if self.layers.qos_count(CountLimit::GrpWall).is_some() {
            return None;
        }
        self.layers.lineage.iter().find_map(|association| {
            let allowed = association.limits.count(CountLimit::GrpWall)?;
            self.beyond_wall(level_of(association), &Holder::Association(association.id), allowed)
        })
    }

    fn beyond_wall(&self, level: Level, holder: &Holder, allowed: u64) -> Option<Violation> {
        let in_use = past_use(self.enforcement.past, holder, None);
        let asked = self.request.minutes();
        let violation = Violation { level, limit: Limit::Count(CountLimit::GrpWall), allowed, in_use, asked };
        let safe = self.enforcement.safe && in_use.saturating_add(asked) > allowed;
        (in_use >= allowed || safe).then_some(violation)
    }

    fn wall_per_job(&self) -> Option<Violation> {
        let asked = self.request.minutes();
        let (level, allowed) = match self.layers.qos_count(CountLimit::MaxWall) {
            Some((qos, allowed)) => (level_of_qos(qos), allowed),
            None => {
                let (association, allowed) = self.layers.association_count(CountLimit::MaxWall)?;
                (level_of(association), allowed)
            }
        };
        let violation = Violation { level, limit: Limit::Count(CountLimit::MaxWall), allowed, in_use: 0, asked };
        (asked > allowed).then_some(violation)
    }

    fn amounts(&self) -> Option<Violation> {
        let of_job = || OF_JOB.iter().find_map(|limit| self.amounts_of_job(*limit));
        let shared = || SHARED.iter().find_map(|(limit, whose, measure)| self.shared(*limit, *whose, *measure));
        of_job().or_else(shared)
    }

    /// Resources on which anybody sets `limit`, in Slurm's order.
    fn limited(&self, limit: TresLimit) -> Vec<Name> {
        let of_qos = self.layers.qos.iter().map(|qos| &qos.limits);
        let all = of_qos.chain(self.layers.lineage.iter().map(|association| &association.limits));
        let named = all.filter_map(|limits| limits.tres.get(&limit)).flat_map(|amounts| amounts.0.keys().cloned());
        let mut names: Vec<Name> = named.collect();
        names.sort_by(|one, other| (TresClass::of(one), one).cmp(&(TresClass::of(other), other)));
        names.dedup();
        names
    }

    fn amounts_of_job(&self, limit: TresLimit) -> Option<Violation> {
        self.limited(limit).into_iter().find_map(|name| {
            let (level, allowed) = match self.layers.qos_tres(limit, &name) {
                Some((qos, allowed)) => (level_of_qos(qos), allowed),
                None => {
                    let (association, allowed) = self.layers.association_tres(limit, &name)?;
                    (level_of(association), allowed)
                }
            };
            let amount = self.request.amount(&name);
            let asked = match limit {
                TresLimit::MaxTresMinsPerJob => amount.saturating_mul(self.request.minutes()),
                TresLimit::MaxTresPerNode => amount.div_ceil(self.request.amount("node").max(1)),
                _ => amount,
            };
            let is_beyond = if limit == TresLimit::MinTresPerJob { asked < allowed } else { asked > allowed };
            let violation = Violation { level, limit: Limit::Tres(limit, name), allowed, in_use: 0, asked };
            is_beyond.then_some(violation)
        })
    }

    fn shared(&self, limit: TresLimit, whose: Whose, measure: Measure) -> Option<Violation> {
        self.limited(limit).into_iter().find_map(|name| {
            if let Some((qos, allowed)) = self.layers.qos_tres(limit, &name) {
                let holder = self.holder(qos, whose)?;
                return self.beyond(level_of_qos(qos), (limit, measure), &holder, &name, allowed);
            }
            self.layers.lineage.iter().find_map(|association| {
                let allowed = self.layers.scaled(association.limits.tres(limit, &name)?);
                let holder = Holder::Association(association.id);
                self.beyond(level_of(association), (limit, measure), &holder, &name, allowed)
            })
        })
    }

    fn beyond(
        &self,
        level: Level,
        (limit, measure): (TresLimit, Measure),
        holder: &Holder,
        name: &Name,
        allowed: u64,
    ) -> Option<Violation> {
        let tally = self.tally(holder);
        let run_minutes = || tally.map_or(0, |tally| tally.run_minutes(name, self.enforcement.now));
        let amount = self.request.amount(name);
        let minutes = amount.saturating_mul(self.request.minutes());
        let safe = self.enforcement.safe;
        let (in_use, asked) = match measure {
            Measure::Held => (tally.and_then(|tally| tally.tres.get(name)).unwrap_or(0), amount),
            Measure::RunMinutes => (run_minutes(), minutes),
            // In safe mode what runs is counted to its end.
            Measure::PastMinutes => {
                let past = past_use(self.enforcement.past, holder, Some(name));
                (past.saturating_add(if safe { run_minutes() } else { 0 }), self.with_usage_factor(minutes))
            }
        };
        let is_beyond = match measure {
            Measure::PastMinutes if !safe => in_use >= allowed,
            // What asks for nothing of a resource does not wait for it.
            _ => asked > 0 && in_use.saturating_add(asked) > allowed,
        };
        let violation = Violation { level, limit: Limit::Tres(limit, name.clone()), allowed, in_use, asked };
        is_beyond.then_some(violation)
    }

    /// With `UsageFactorSafe` minutes count as they will be charged.
    fn with_usage_factor(&self, minutes: u64) -> u64 {
        let factors = self.layers.qos.iter().filter(|qos| qos.has(QosFlag::UsageFactorSafe));
        let factor: f64 = factors.map(|qos| qos.usage_factor.max(0.0)).product();
        // Saturates at the ends of the range.
        (minutes as f64 * factor) as u64
    }
}

fn level_of_qos(qos: &Qos) -> Level {
    Level::Qos(qos.name.clone())
}

fn level_of(association: &Association) -> Level {
    Level::Association(association.key.clone())
}

fn whose(limit: CountLimit) -> Whose {
    match limit {
        CountLimit::MaxJobsPerUser | CountLimit::MaxSubmitJobsPerUser => Whose::User,
        CountLimit::MaxJobsPerAccount | CountLimit::MaxSubmitJobsPerAccount => Whose::Account,
        _ => Whose::All,
    }
}
