//! Limits as text.

use muster_model::accounting::{CountLimit, Limits, TresAmounts, TresClass, TresLimit};
use muster_model::ids::Name;
use muster_model::time::{Span, TimeLimit};

use super::super::units;

/// A number that is set, a time for those that are times; else nothing.
pub(super) fn count(limits: &Limits, limit: CountLimit) -> String {
    limits.count(limit).map(|value| count_value(limit, value)).unwrap_or_default()
}

/// The text of one number.
pub(super) fn count_value(limit: CountLimit, value: u64) -> String {
    match limit {
        CountLimit::GrpWall | CountLimit::MaxWall => {
            let minutes = i64::try_from(value).unwrap_or(i64::MAX).min(i64::MAX / 60_000);
            TimeLimit::Limited(Span::from_minutes(minutes)).to_string()
        }
        _ => value.to_string(),
    }
}

/// Amounts that are set, in Slurm's order.
pub(super) fn tres(limits: &Limits, limit: TresLimit) -> String {
    limits.tres.get(&limit).map(amounts).unwrap_or_default()
}

/// `cpu=4,mem=1000M,node=2`.
pub(super) fn amounts(amounts: &TresAmounts) -> String {
    join(amounts.0.iter().map(|(name, amount)| (name, Some(*amount))))
}

/// The same where an amount may be taken away.
pub(super) fn join<'a>(amounts: impl Iterator<Item = (&'a Name, Option<u64>)>) -> String {
    let mut all: Vec<_> = amounts.collect();
    all.sort_by_key(|(name, _)| (TresClass::of(name), (*name).clone()));
    let texts = all.into_iter().map(|(name, amount)| match amount {
        None => format!("{name}=NONE"),
        Some(amount) if **name == *"mem" => format!("{name}={}", units::megabytes(amount)),
        Some(amount) => format!("{name}={amount}"),
    });
    texts.collect::<Vec<_>>().join(",")
}
