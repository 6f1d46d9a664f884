//! Of a GRES of any type: the units that are counted for a job are those that it gets.
//!
//! What is free is counted by type, and a request without a type is counted from the first types that have any. But which
//! units a job gets is decided by what is near its cores. So nearness may choose among all types as far as no planned start
//! needs them, and what it has chosen is counted.

use muster_model::resources::GresShare;
use muster_model::time::Timestamp;

use crate::ask::Ask;
use crate::fleet::Fleet;
use crate::free::{self, Amounts, Columns, Free};
use crate::future::{Future, Rank};

/// How many units of each column a job that runs over `run` may take of `node`, when these `amounts` are counted for it: those,
/// and what is left beside all that is planned. Empty where it makes no difference.
pub(super) fn room(
    future: &Future,
    free: &Free,
    ask: &Ask,
    node: u32,
    (from, until): (Timestamp, Timestamp),
    amounts: &Amounts,
) -> Columns {
    if ask.gres.iter().all(|need| need.slots.len() < 2) || !future.is_planned(node) {
        return Columns::new();
    }
    let mut left = future.left(node, free.of(node), from, until, &Rank::LAST).columns;
    left.iter_mut().zip(&amounts.columns).for_each(|(left, counted)| *left = (*left).max(*counted));
    left
}

/// Counts what has been given. GPUs that are given in parts are counted with their parts, as they were.
pub(super) fn count(fleet: &Fleet, ask: &Ask, node: u32, given: &[GresShare], amounts: &mut Amounts) {
    if ask.gres.iter().any(|need| need.slots.len() > 1) && !fleet.gpu_parts.contains_key(&node) {
        let columns = free::columns(fleet, given, None);
        let slots = fleet.gres_slots.len().min(columns.len());
        amounts.columns[..slots].copy_from_slice(&columns[..slots]);
    }
}
