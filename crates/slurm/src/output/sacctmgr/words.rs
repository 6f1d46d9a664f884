//! Words and values of `sacctmgr`: keywords that may be cut, names, numbers, times, amounts of resources.

use std::collections::BTreeMap;

use muster_model::accounting::{AccountingPolicy, CountLimit, LimitChanges, ListChange, TresLimit};
use muster_model::ids::Name;
use muster_model::resources::Megabytes;
use muster_model::time::TimeLimit;

/// A word `key=value`, `key+=value` or `key-=value`; or a value alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As it was written.
    pub(super) text: String,
    /// The key in lower case; empty where there is none.
    pub(super) key: String,
    /// `+`, `-`, or a blank for a plain one.
    pub(super) sign: char,
    /// The value without quotes.
    pub(super) value: String,
}

impl Setting {
    /// Takes a word apart.
    pub(super) fn read(text: &str) -> Setting {
        let unquoted = |value: &str| value.trim_matches(['"', '\'']).to_owned();
        let (key, sign, value) = match text.split_once('=') {
            None => ("", ' ', text),
            Some((key, value)) => match key.chars().last() {
                Some(sign @ ('+' | '-')) => (&key[..key.len() - 1], sign, value),
                _ => (key, ' ', value),
            },
        };
        Setting { text: text.to_owned(), key: key.to_ascii_lowercase(), sign, value: unquoted(value) }
    }

    /// Whether its key is one of `names`, each of which may be cut to so many letters.
    pub(super) fn is(&self, names: &[(&str, usize)]) -> bool {
        names.iter().any(|(name, least)| is_cut(&self.key, name, *least))
    }

    /// Names of a list, in lower case.
    pub(super) fn names(&self) -> Vec<Name> {
        names(&self.value)
    }

    /// A list that is set, added to or taken from.
    pub(super) fn list<T>(&self, items: Vec<T>) -> ListChange<T> {
        match self.sign {
            '+' => ListChange::Add(items),
            '-' => ListChange::Remove(items),
            _ => ListChange::Set(items),
        }
    }
}

/// Whether `word` is `name`, cut to no fewer than `least` letters.
pub(super) fn is_cut(word: &str, name: &str, least: usize) -> bool {
    word.len() >= least.max(1)
        && word.len() <= name.len()
        && name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Names of a list with commas, in lower case, each once.
pub(super) fn names(list: &str) -> Vec<Name> {
    let mut found: Vec<Name> = Vec::new();
    for word in list.split(',').map(|word| word.trim().trim_matches(['"', '\'']).to_ascii_lowercase()) {
        let name: Name = word.as_str().into();
        if !word.is_empty() && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// What is wrong with a value: lines for standard error.
pub(super) type Complaint = String;

/// Numbers of `sacctmgr` by their keys with the letters that must be there.
const COUNTS: &[(&str, usize, CountLimit)] = &[
    ("GrpJobsAccrue", 8, CountLimit::GrpJobsAccrue),
    ("GrpJobs", 4, CountLimit::GrpJobs),
    ("GrpSubmitJobs", 4, CountLimit::GrpSubmitJobs),
    ("GrpWall", 4, CountLimit::GrpWall),
    ("MaxJobsAccruePerUser", 17, CountLimit::MaxJobsAccruePerUser),
    ("MaxJobsAccruePU", 15, CountLimit::MaxJobsAccruePerUser),
    ("MaxJobsAccruePerAccount", 17, CountLimit::MaxJobsAccruePerAccount),
    ("MaxJobsAccruePA", 15, CountLimit::MaxJobsAccruePerAccount),
    ("MaxJobsPerUser", 11, CountLimit::MaxJobsPerUser),
    ("MaxJobsPU", 9, CountLimit::MaxJobsPerUser),
    ("MaxJobsPerAccount", 11, CountLimit::MaxJobsPerAccount),
    ("MaxJobsPA", 9, CountLimit::MaxJobsPerAccount),
    ("MaxJobsAccrue", 8, CountLimit::MaxJobsAccrue),
    ("MaxJobs", 4, CountLimit::MaxJobs),
    ("MaxSubmitJobsPerUser", 17, CountLimit::MaxSubmitJobsPerUser),
    ("MaxSubmitJobsPU", 15, CountLimit::MaxSubmitJobsPerUser),
    ("MaxSubmitJobsPerAccount", 17, CountLimit::MaxSubmitJobsPerAccount),
    ("MaxSubmitJobsPA", 15, CountLimit::MaxSubmitJobsPerAccount),
    ("MaxSubmitJobs", 4, CountLimit::MaxSubmitJobs),
    ("MaxWallDurationPerJob", 4, CountLimit::MaxWall),
    ("MinPrioThreshold", 4, CountLimit::MinPrioThreshold),
];

/// Amounts by their keys. Where two begin alike, the first that fits is meant.
const TRES: &[(&str, usize, TresLimit)] = &[
    ("GrpTRESRunMins", 8, TresLimit::GrpTresRunMins),
    ("GrpTRESMins", 8, TresLimit::GrpTresMins),
    ("GrpTRES", 7, TresLimit::GrpTres),
    ("MaxTRESMinsPerJob", 8, TresLimit::MaxTresMinsPerJob),
    ("MaxTRESPerNode", 11, TresLimit::MaxTresPerNode),
    ("MaxTRESPerUser", 11, TresLimit::MaxTresPerUser),
    ("MaxTRESPU", 9, TresLimit::MaxTresPerUser),
    ("MaxTRESPerAccount", 11, TresLimit::MaxTresPerAccount),
    ("MaxTRESPA", 9, TresLimit::MaxTresPerAccount),
    ("MaxTRESRunMinsPerUser", 18, TresLimit::MaxTresRunMinsPerUser),
    ("MaxTRESRunMinsPU", 16, TresLimit::MaxTresRunMinsPerUser),
    ("MaxTRESRunMinsPerAccount", 18, TresLimit::MaxTresRunMinsPerAccount),
    ("MaxTRESRunMinsPA", 16, TresLimit::MaxTresRunMinsPerAccount),
    ("MaxTRESPerJob", 7, TresLimit::MaxTresPerJob),
    ("MinTRESPerJob", 4, TresLimit::MinTresPerJob),
];

/// Whether a limit can be set for a QOS only.
fn is_of_qos(limit: &str) -> bool {
    limit.ends_with("PU") || limit.ends_with("PA") || limit.starts_with("MinTRES")
}

/// Limits by old names, and which resource they are about today.
const OLD: &[(&str, usize, TresLimit, &str)] = &[
    ("GrpCPUMins", 7, TresLimit::GrpTresMins, "cpu"),
    ("GrpCPURunMins", 7, TresLimit::GrpTresRunMins, "cpu"),
    ("GrpCPUs", 6, TresLimit::GrpTres, "cpu"),
    ("GrpMemory", 4, TresLimit::GrpTres, "mem"),
    ("GrpNodes", 4, TresLimit::GrpTres, "node"),
    ("MaxCPUMinsPerJob", 7, TresLimit::MaxTresMinsPerJob, "cpu"),
    ("MaxCPUsPerUser", 11, TresLimit::MaxTresPerUser, "cpu"),
    ("MaxCPUsPerJob", 6, TresLimit::MaxTresPerJob, "cpu"),
    ("MaxNodesPerUser", 12, TresLimit::MaxTresPerUser, "node"),
    ("MaxNodesPerJob", 4, TresLimit::MaxTresPerJob, "node"),
];

/// Takes in a limit; `false` when the setting is none.
///
/// # Errors
/// A value that cannot be read.
pub(super) fn limit(
    setting: &Setting,
    for_qos: bool,
    changes: &mut LimitChanges,
    tracked: &[Name],
) -> Result<bool, Complaint> {
    let fits = |name: &str, least: usize| is_cut(&setting.key, name, least);
    let old = OLD.iter().find(|(name, least, limit, _)| fits(name, *least) && (for_qos || !is_of_qos(limit.as_str())));
    if let Some((name, _, limit, tres)) = old {
        let amount = number(&setting.value).ok_or_else(|| invalid(name, &setting.value))?;
        changes.tres.entry(*limit).or_default().insert((*tres).into(), amount);
        return Ok(true);
    }
    let count =
        COUNTS.iter().find(|(name, least, limit)| fits(name, *least) && (for_qos || !is_of_qos(limit.as_str())));
    if let Some((name, _, limit)) = count {
        let value = match limit {
            CountLimit::GrpWall | CountLimit::MaxWall => {
                minutes(&setting.value).ok_or_else(|| format!(" Bad {limit} time format: {}\n", setting.text))
            }
            _ => number(&setting.value).ok_or_else(|| invalid(name, &setting.value)),
        };
        changes.counts.insert(*limit, value?);
        return Ok(true);
    }
    let amounts =
        TRES.iter().find(|(name, least, limit)| fits(name, *least) && (for_qos || !is_of_qos(limit.as_str())));
    if let Some((_, _, limit)) = amounts {
        changes.tres.entry(*limit).or_default().extend(tres(&setting.value, tracked)?);
        return Ok(true);
    }
    Ok(false)
}

fn invalid(name: &str, value: &str) -> Complaint {
    format!("sacctmgr: error: Invalid value for {name} ({value})\n")
}

/// A number, or -1 for none. `None` when it is neither.
pub(super) fn number(text: &str) -> Option<Option<u64>> {
    if text == "-1" { Some(None) } else { text.parse::<u32>().ok().map(|number| Some(u64::from(number))) }
}

/// Minutes of a time, or -1 for none.
pub(super) fn minutes(text: &str) -> Option<Option<u64>> {
    if text == "-1" {
        return Some(None);
    }
    match TimeLimit::parse(text)? {
        TimeLimit::Unlimited => Some(None),
        TimeLimit::Limited(span) => u64::try_from(span.minutes_rounded_up()).ok().map(Some),
    }
}

/// Resources that exist without being named in the configuration, with their numbers.
pub(super) const TRES_STATIC: &[(&str, &str)] = &[
    ("cpu", ""),
    ("mem", ""),
    ("energy", ""),
    ("node", ""),
    ("billing", ""),
    ("fs", "disk"),
    ("vmem", ""),
    ("pages", ""),
];

/// Amounts `cpu=4,mem=10G,gres/gpu=-1`.
fn tres(text: &str, tracked: &[Name]) -> Result<BTreeMap<Name, Option<u64>>, Complaint> {
    let mut amounts = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim().to_ascii_lowercase();
        let is_static = TRES_STATIC
            .iter()
            .any(|(kind, of)| if of.is_empty() { *kind == name } else { name == format!("{kind}/{of}") });
        if !is_static && !tracked.iter().any(|tracked| **tracked == *name) {
            return Err(format!("sacctmgr: error: slurmdb_format_tres_str: no TRES known by type {name}\n"));
        }
        let bad = || format!("sacctmgr: error: slurmdb_format_tres_str: no value found {part}\n");
        let amount = match value {
            "-1" => None,
            value if name == "mem" => Some(Megabytes::parse(value).ok_or_else(bad)?.0),
            value => Some(counted(value).ok_or_else(bad)?),
        };
        amounts.insert(name.as_str().into(), amount);
    }
    Ok(amounts)
}

/// A count, with a suffix for powers of 1024: `100`, `4K`, `2M`.
fn counted(text: &str) -> Option<u64> {
    let power = text.chars().last().and_then(|unit| "KMGTP".find(unit.to_ascii_uppercase()));
    let Some(power) = power else { return text.parse().ok() };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(1_u64 << (10 * (power + 1)))
}

/// The names of all QOS in the order of their numbers, as complaints list them.
pub(super) fn qos_names(policy: &AccountingPolicy) -> Vec<Name> {
    let mut all: Vec<_> = policy.qos.values().collect();
    all.sort_by_key(|qos| qos.id);
    all.into_iter().map(|qos| qos.name.clone()).collect()
}

/// Names of QOS.
///
/// # Errors
/// One that is not there.
pub(super) fn qos_list(text: &str, policy: &AccountingPolicy) -> Result<Vec<Name>, Complaint> {
    let list = names(text);
    match list.iter().find(|name| !policy.qos.contains_key(*name)) {
        Some(bad) => Err(format!(
            "sacctmgr: error: You gave a bad qos '{bad}'. Valid QOS's are {}\n",
            qos_names(policy).join(",")
        )),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits_text;
    use super::*;
    use muster_model::accounting::Limits;

    /// A setting, and how the limit reads when it is shown; empty for one that is not understood.
    fn check(setting: &str, for_qos: bool, expected: &str) {
        let mut changes = LimitChanges::default();
        let tracked = ["gres/gpu".into()];
        let shown = match limit(&Setting::read(setting), for_qos, &mut changes, &tracked) {
            Ok(true) => {
                let mut limits = Limits::default();
                limits.change(&changes);
                let counts = limits.counts.keys().map(|limit| (limit.as_str(), limits_text::count(&limits, *limit)));
                let tres = limits.tres.keys().map(|limit| (limit.as_str(), limits_text::tres(&limits, *limit)));
                counts.chain(tres).map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ")
            }
            Ok(false) => String::new(),
            Err(complaint) => complaint.trim_end().to_owned(),
        };
        assert_eq!(shown, expected, "{setting}");
        // What is shown is understood, and means the same.
        if let Ok(true) = limit(&Setting::read(&shown), for_qos, &mut LimitChanges::default(), &tracked) {
            let mut again = LimitChanges::default();
            assert_eq!(limit(&Setting::read(&shown), for_qos, &mut again, &tracked), Ok(true));
            assert_eq!(again, changes, "{setting}");
        }
    }

    #[test]
    fn limits_are_read_and_shown() {
        check("GrpTRES=mem=10G,gres/gpu=2,cpu=4", false, "GrpTRES=cpu=4,mem=10G,gres/gpu=2");
        check("grptresrunmins=cpu=7", false, "GrpTRESRunMins=cpu=7");
        check("maxwall=1-2:00:00", false, "MaxWall=1-02:00:00");
        check("GrpWall=90", true, "GrpWall=01:30:00");
        check("maxsubmit=3", false, "MaxSubmitJobs=3");
        check("maxjobspu=2", true, "MaxJobsPU=2");
        check("GrpNodes=3", false, "GrpTRES=node=3");
        check("MaxTRESPerUser=cpu=8", true, "MaxTRESPU=cpu=8");
        check("MaxTRES=cpu=8", true, "MaxTRES=cpu=8");
        check("grptres=billing=100K,cpu=3k,node=1G", true, "GrpTRES=cpu=3072,node=1073741824,billing=102400");
        check("grpjobs=-1", false, "");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        check("MaxTRESPerUser=cpu=8", false, "");
        check("bogus=1", true, "");
        check("grpjobs=many", false, "sacctmgr: error: Invalid value for GrpJobs (many)");
        check("grptres=cpu=3x", false, "sacctmgr: error: slurmdb_format_tres_str: no value found cpu=3x");
        check("grptres=cpu=K", false, "sacctmgr: error: slurmdb_format_tres_str: no value found cpu=K");
        check("grptres=apples=1", false, "sacctmgr: error: slurmdb_format_tres_str: no TRES known by type apples");
    }
}
