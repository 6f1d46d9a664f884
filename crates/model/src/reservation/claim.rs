//! What reservations mean for one job: which it is in, and what the others keep from it.
//!
//! A job that is in no reservation may not use what one keeps at any moment of its run, counted by its time limit. A job
//! that is in one may use only what that one keeps, may start only while it lasts, and is ended when it is over; `FLEX`
//! lifts all three. Reservations made over others (`MAINT`, `OVERLAP`) go before those they were made over.

use jiff::tz::TimeZone;

use super::{Reservation, ReservationFlag};
use crate::ids::NodeIndex;
use crate::job::{EarlySignal, JobSpec};
use crate::time::{Span, Timestamp};

/// How one job stands to the reservations.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The reservation it would run in.
    pub inside: Option<&'a Reservation>,
    /// Its `--signal=R:`: it can be asked to go when a reservation needs its nodes.
    pub leaves_early: Option<EarlySignal>,
}

/// What all claims are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Now.
    pub now: Timestamp,
    /// Time zone in which reservations recur.
    pub zone: &'a TimeZone,
    /// `ResvOverRun`: how long jobs may stay after the end of their reservation; `None` for ever.
    pub over_run: Option<Span>,
}

impl<'a> Claim<'a> {
    /// The claim of a job with `spec` that would run in `inside`.
    pub fn of(spec: &JobSpec, inside: Option<&'a Reservation>) -> Claim<'a> {
        Claim { inside, leaves_early: spec.early_signal.filter(|early| early.reservation) }
    }

    /// Whether the job may use only the nodes of its reservation.
    pub fn is_confined(&self) -> bool {
        let free = [ReservationFlag::Flex, ReservationFlag::AnyNodes];
        self.inside.is_some_and(|inside| !free.iter().any(|flag| inside.has(*flag)))
    }

    /// Whether its own reservation lets it start at `start`.
    pub fn may_start(&self, setting: &Setting<'_>, start: Timestamp) -> bool {
        let Some(inside) = self.inside.filter(|inside| !inside.has(ReservationFlag::Flex)) else {
            return true;
        };
        // The shortest run there is: it is the start that counts, not the limit.
        inside.float.is_none() && inside.met_by(setting.zone, setting.now, start, start + Span(1)).is_some()
    }

    /// When a job that starts at `start` and whose limit is at `until` has left its nodes at the latest.
    pub fn leaves_by(&self, setting: &Setting<'_>, start: Timestamp, until: Timestamp) -> Timestamp {
        let Some(inside) = self.inside.filter(|inside| !inside.has(ReservationFlag::Flex)) else {
            return until;
        };
        let met = inside.met_by(setting.zone, setting.now, start, start + Span(1));
        match (met, setting.over_run) {
            (Some(met), Some(over_run)) => until.min((met.end + over_run).max(start)),
            _ => until,
        }
    }

    /// Whether `other` keeps what it has of `node` from a job that runs from `start` until `until` (as
    /// [`Claim::leaves_by`] tells it).
    pub fn is_kept_from(
        &self,
        setting: &Setting<'_>,
        other: &Reservation,
        node: NodeIndex,
        start: Timestamp,
        until: Timestamp,
    ) -> bool {
        !self.is_spared_by(other, node) && other.met_by(setting.zone, setting.now, start, until).is_some()
    }

    /// Whether `other`, while it lasts, keeps licences from the job: any but its own does.
    pub fn is_short_of(&self, other: &Reservation) -> bool {
        other.licenses().next().is_some() && self.inside.is_none_or(|inside| inside.name != other.name)
    }

    /// Whether `other` keeps licences from the job if it runs from `start` until `until` (as [`Claim::leaves_by`] tells it).
    pub fn is_unlicensed_by(
        &self,
        setting: &Setting<'_>,
        other: &Reservation,
        start: Timestamp,
        until: Timestamp,
    ) -> bool {
        self.is_short_of(other) && other.met_by(setting.zone, setting.now, start, until).is_some()
    }

    /// Whether `other` leaves `node` to the job whatever the time.
    pub fn is_spared_by(&self, other: &Reservation, node: NodeIndex) -> bool {
        if let (Some(early), Some(delay)) = (self.leaves_early, other.start_delay_max)
            && early.before_end <= delay
        {
            return true;
        }
        let Some(inside) = self.inside else { return false };
        if inside.name == other.name {
            return true;
        }
        // On nodes of its own, the job gives way only to reservations that were made over others.
        inside.on(node).is_some() && !goes_before(other, inside)
    }
}

/// Whether `other` takes what both keep.
fn goes_before(other: &Reservation, own: &Reservation) -> bool {
    use ReservationFlag::{Maint, Overlap};
    (other.has(Maint) && !own.has(Maint)) || (other.has(Overlap) && !own.has(Overlap) && !own.has(Maint))
}

/// The reservations that `--reservation` names, in order.
pub fn names_of(spec: &JobSpec) -> impl Iterator<Item = &str> {
    spec.reservation.as_deref().into_iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty())
}
