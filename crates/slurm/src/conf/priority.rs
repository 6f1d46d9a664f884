//! `Priority…`, `FairShareDampeningFactor`, `AccountingStorageTRES` and `TRESBillingWeights`.

use std::collections::BTreeMap;

use muster_model::ids::Name;
use muster_model::partition::Partition;
use muster_model::priority::{PriorityConfig, PriorityFlag, PriorityType, UsageResetPeriod, Weight};
use muster_model::time::{Span, TimeLimit};

use super::ConfError;
use super::lines::Line;

/// The key of a partition line with the weights it bills by.
pub(crate) const BILLING_KEY: &str = "TRESBillingWeights";

/// What is said about priorities; `find` gives the last value of a parameter with its line.
pub(super) fn read<'a>(find: &dyn Fn(&str) -> Option<(&'a Line, &'a str)>) -> Result<PriorityConfig, ConfError> {
    let defaults = PriorityConfig::default();
    let weight = |key: &str| number(find(key), key, 0_u32);
    let tracked = tracked(find("AccountingStorageTRES").map_or("", |(_, list)| list));
    let text = find("PriorityWeightTRES");
    Ok(PriorityConfig {
        kind: kind(find("PriorityType"))?,
        flags: flags(find("PriorityFlags"))?,
        calculation_period: period(find("PriorityCalcPeriod"), defaults.calculation_period)?,
        decay_half_life: half_life(find, defaults.decay_half_life)?,
        usage_reset: usage_reset(find("PriorityUsageResetPeriod"))?,
        age_max: span(find("PriorityMaxAge"), "PriorityMaxAge", defaults.age_max)?,
        favor_small: match find("PriorityFavorSmall") {
            Some((line, text)) => super::partitions::yes(line, Some(text), "PriorityFavorSmall")?,
            None => false,
        },
        fair_share_dampening: number(find("FairShareDampeningFactor"), "FairShareDampeningFactor", 1_u16)?.max(1),
        weight_age: weight("PriorityWeightAge")?,
        weight_association: weight("PriorityWeightAssoc")?,
        weight_fair_share: weight("PriorityWeightFairShare")?,
        weight_job_size: weight("PriorityWeightJobSize")?,
        weight_partition: weight("PriorityWeightPartition")?,
        weight_qos: weight("PriorityWeightQOS")?,
        weight_tres: match text {
            Some((line, text)) => {
                let weights = weights(line, text, "PriorityWeightTRES", false)?;
                if let Some((name, _)) = weights.iter().find(|(name, _)| !tracked.contains(name)) {
                    return Err(line.error(format!("TRES weight '{name}' is not a configured TRES type.")));
                }
                in_order(weights, &tracked)
            }
            None => Vec::new(),
        },
        weight_tres_text: text.map_or("", |(_, text)| text).into(),
        tracked,
        billing: BTreeMap::new(),
        user_top: find("SchedulerParameters")
            .is_some_and(|(_, list)| list.split(',').any(|word| word.trim().eq_ignore_ascii_case("enable_user_top"))),
    })
}

/// The weights of all partitions that have some. They were read with their lines, and are shown as they are written.
pub(super) fn billing(line: &Line, partitions: &[Partition]) -> Result<BTreeMap<Name, Vec<(Name, Weight)>>, ConfError> {
    let mut all = BTreeMap::new();
    for partition in partitions {
        if let Some((_, text)) = partition.others.iter().find(|(key, _)| &**key == BILLING_KEY) {
            all.insert(partition.name.clone(), weights(line, text, BILLING_KEY, true)?);
        }
    }
    Ok(all)
}

fn kind(given: Option<(&Line, &str)>) -> Result<PriorityType, ConfError> {
    match given.map(|(line, text)| (line, text.to_ascii_lowercase())) {
        None => Ok(PriorityType::Basic),
        Some((_, text)) if text == "priority/basic" => Ok(PriorityType::Basic),
        Some((_, text)) if text == "priority/multifactor" => Ok(PriorityType::Multifactor),
        Some((line, text)) => Err(line.error(format!("no PriorityType {text}"))),
    }
}

fn flags(given: Option<(&Line, &str)>) -> Result<Vec<PriorityFlag>, ConfError> {
    let Some((line, list)) = given else { return Ok(Vec::new()) };
    let mut flags = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let named = PriorityFlag::NAMES.iter().filter(|(name, _)| {
            let all = word.eq_ignore_ascii_case("NO_NORMAL_ALL") && name.starts_with("NO_NORMAL_");
            all || name.eq_ignore_ascii_case(word)
        });
        let before = flags.len();
        flags.extend(named.map(|(_, flag)| *flag));
        // What has been the default since 19.05 needs no word.
        if flags.len() == before && !word.eq_ignore_ascii_case("FAIR_TREE") {
            return Err(line.error(format!("no PriorityFlags {word}")));
        }
    }
    flags.sort_unstable();
    flags.dedup();
    Ok(flags)
}

fn usage_reset(given: Option<(&Line, &str)>) -> Result<UsageResetPeriod, ConfError> {
    let Some((line, text)) = given else { return Ok(UsageResetPeriod::None) };
    match text.to_ascii_uppercase().as_str() {
        "NONE" => Ok(UsageResetPeriod::None),
        "NOW" => Ok(UsageResetPeriod::Now),
        "DAILY" => Ok(UsageResetPeriod::Daily),
        "WEEKLY" => Ok(UsageResetPeriod::Weekly),
        "MONTHLY" => Ok(UsageResetPeriod::Monthly),
        "QUARTERLY" => Ok(UsageResetPeriod::Quarterly),
        "YEARLY" => Ok(UsageResetPeriod::Yearly),
        _ => Err(line.error(format!("Bad value \"{text}\" for PriorityUsageResetPeriod"))),
    }
}

/// After which time half of a usage is forgotten. None at all has to be wanted: beside it something must be said of resets, if only that
/// there are none, as observed with Slurm 22.05. Without limit (`INFINITE`) is no such mistake.
fn half_life<'a>(find: &dyn Fn(&str) -> Option<(&'a Line, &'a str)>, otherwise: Span) -> Result<Span, ConfError> {
    let given = find("PriorityDecayHalfLife");
    let half_life = span(given, "PriorityDecayHalfLife", otherwise)?;
    let is_zero = |text: &str| TimeLimit::parse(text) == Some(TimeLimit::Limited(Span::ZERO));
    match given {
        Some((line, text)) if is_zero(text) && find("PriorityUsageResetPeriod").is_none() => Err(line.error(
            "You have to either have PriorityDecayHalfLife != 0 or PriorityUsageResetPeriod set to something or the priority plugin will result in rolling over.",
        )),
        _ => Ok(half_life),
    }
}

/// How often priorities are calculated.
fn period(given: Option<(&Line, &str)>, otherwise: Span) -> Result<Span, ConfError> {
    match (given, span(given, "PriorityCalcPeriod", otherwise)?) {
        (Some((line, text)), Span::ZERO) => Err(line.error(format!("Bad value \"{text}\" for PriorityCalcPeriod"))),
        (_, period) => Ok(period),
    }
}

/// A time as Slurm reads it; without limit is zero, which means never.
fn span(given: Option<(&Line, &str)>, key: &str, otherwise: Span) -> Result<Span, ConfError> {
    let Some((line, text)) = given else { return Ok(otherwise) };
    let limit = TimeLimit::parse(text).ok_or_else(|| line.error(format!("Bad value \"{text}\" for {key}")))?;
    Ok(limit.span().unwrap_or(Span::ZERO))
}

fn number<T: std::str::FromStr>(given: Option<(&Line, &str)>, key: &str, otherwise: T) -> Result<T, ConfError> {
    match given {
        None => Ok(otherwise),
        Some((line, text)) => {
            text.parse().map_err(|_| line.error(format!("{key} value \"{text}\" is not a valid number")))
        }
    }
}

fn tracked(list: &str) -> Vec<Name> {
    let mut all: Vec<Name> = PriorityConfig::TRACKED_ALWAYS.iter().map(|name| Name::from(*name)).collect();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let name = resource(item);
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The name of a resource as it is counted: its kind in lower case, what it is called as it is written.
fn resource(text: &str) -> Name {
    match text.split_once('/') {
        Some((kind, name)) => format!("{}/{name}", kind.to_ascii_lowercase()).as_str().into(),
        None => text.to_ascii_lowercase().as_str().into(),
    }
}

fn weights(line: &Line, text: &str, key: &str, units: bool) -> Result<Vec<(Name, Weight)>, ConfError> {
    weights_of(text, units).map_err(|item| line.error(format!("Bad value \"{item}\" in {key}")))
}

/// Reads `CPU=1.0,Mem=0.25G,GRES/gpu=2.0`. With units a suffix says by how much of a resource its weight counts.
///
/// # Errors
/// The first part that cannot be read.
pub(crate) fn weights_of(text: &str, units: bool) -> Result<Vec<(Name, Weight)>, String> {
    let bad = str::to_owned;
    let mut all: Vec<(Name, Weight)> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').ok_or_else(|| bad(item))?;
        let name = resource(name.trim());
        let value = value.trim();
        let unit = value.chars().last().filter(|unit| units && unit.is_ascii_alphabetic());
        let digits = unit.map_or(value, |unit| &value[..value.len() - unit.len_utf8()]);
        let power = match unit.map(|unit| unit.to_ascii_uppercase()) {
            None => None,
            Some('K') => Some(1),
            Some('M') => Some(2),
            Some('G') => Some(3),
            Some('T') => Some(4),
            Some('P') => Some(5),
            Some(_) => return Err(bad(item)),
        };
        // Memory is counted in MiB, everything else by one.
        let counted_in = if &*name == "mem" { 2 } else { 0 };
        let power = power.map_or(0, |power: i32| power - counted_in);
        let number: f64 = digits.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| bad(item))?;
        all.push((name, Weight(number / 1024.0_f64.powi(power))));
    }
    Ok(all)
}

fn in_order(mut weights: Vec<(Name, Weight)>, tracked: &[Name]) -> Vec<(Name, Weight)> {
    weights.sort_by_key(|(name, _)| tracked.iter().position(|known| known == name).unwrap_or(usize::MAX));
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line { file: "slurm.conf".into(), number: 1, pairs: Vec::new() }
    }

    fn check(text: &str, expected: &str) {
        let found = match weights(&line(), text, "W", true) {
            Ok(all) => all.iter().map(|(name, weight)| format!("{name}={}", weight.0)).collect::<Vec<_>>().join(","),
            Err(error) => error.message,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn billing_weights_count_by_their_unit() {
        check("CPU=1.0,Mem=0.25G,GRES/gpu=2.0", "cpu=1,mem=0.000244140625,gres/gpu=2");
        check("Mem=2M,license/x=3", "mem=2,license/x=3");
        check("Mem=1T,node=4K", "mem=0.00000095367431640625,node=0.00390625");
        check("CPU", "Bad value \"CPU\" in W");
        check("CPU=x", "Bad value \"CPU=x\" in W");
        check("CPU=1Q", "Bad value \"CPU=1Q\" in W");
    }

    #[test]
    fn parameters_become_a_configuration() {
        let pairs = [
            ("PriorityType", "priority/multifactor"),
            ("PriorityFlags", "no_normal_all,MAX_TRES,FAIR_TREE"),
            ("PriorityDecayHalfLife", "14-0"),
            ("PriorityCalcPeriod", "1"),
            ("PriorityWeightTRES", "GRES/gpu=3,CPU=1"),
            ("AccountingStorageTRES", "gres/gpu"),
            ("SchedulerParameters", "defer, enable_user_top"),
        ];
        let line = line();
        let find = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (&line, *value));
        let config = read(&find).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.kind, config.flags.len(), config.user_top), (PriorityType::Multifactor, 5, true));
        assert_eq!((config.decay_half_life.seconds(), config.calculation_period.seconds()), (14 * 86_400, 60));
        let names: Vec<&str> = config.weight_tres.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["cpu", "gres/gpu"]);
        assert_eq!(config.tracked.len(), 9);
        let bad = |key: &'static str, value: &'static str| {
            read(&|name: &str| (name == key).then_some((&line, value))).map_err(|error| error.message).unwrap_err()
        };
        assert_eq!(bad("PriorityFlags", "TICKET_BASED"), "no PriorityFlags TICKET_BASED");
        assert_eq!(bad("PriorityType", "priority/x"), "no PriorityType priority/x");
        assert_eq!(bad("PriorityMaxAge", "soon"), "Bad value \"soon\" for PriorityMaxAge");
    }

    #[test]
    fn usage_that_is_never_forgotten_has_to_be_wanted() {
        let line = line();
        let check = |pairs: &[(&str, &'static str)], is_taken: bool| {
            let find = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (&line, *value));
            match read(&find) {
                Ok(config) => assert!(is_taken && config.decay_half_life == Span::ZERO, "{pairs:?}"),
                Err(error) => assert!(!is_taken && error.message.contains("rolling over"), "{pairs:?}: {error}"),
            }
        };
        check(&[("PriorityDecayHalfLife", "0")], false);
        check(&[("PriorityDecayHalfLife", "0-0")], false);
        check(&[("PriorityDecayHalfLife", "0"), ("PriorityType", "priority/basic")], false);
        check(&[("PriorityDecayHalfLife", "0"), ("PriorityUsageResetPeriod", "NONE")], true);
        check(&[("PriorityDecayHalfLife", "0"), ("PriorityUsageResetPeriod", "MONTHLY")], true);
        check(&[("PriorityDecayHalfLife", "INFINITE")], true);
    }
}
