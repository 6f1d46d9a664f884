//! `sacctmgr dump`: accounts, users and associations as a file that `load` reads, of this program or of Slurm.
//!
//! Lines, their order and the order of what stands in them are those of sacctmgr 22.05; only the remarks at the top are our
//! own. As there, `MinPrioThreshold` and QOS themselves are not part of the file.

use std::fmt::Write;
use std::sync::Arc;

use muster_model::accounting::{Account, AccountingPolicy, Association, CountLimit, Limits, Shares, TresLimit};
use muster_model::ids::Name;

use super::super::context::Outcome;
use super::limits_text;
use super::words::{Setting, is_cut};
use super::{Scene, Step, WrittenFile};

/// What a person sees who opens the file.
const REMARKS: &str = "\
# Accounts, users and associations, to be read by 'sacctmgr load'. Edit with care; order matters.
# Cluster - 'name':what holds for all of it
# Parent - 'account'      what follows is directly below this account, which stands further up
# Account - 'name':Description='words':Organization='words':Fairshare=2:MaxJobs=4
# User - 'name':DefaultAccount='account':Fairshare=1:MaxWallDurationPerJob=40
# Whatever stands behind a ':' may be left out.
";

/// A Slurm database stores this for `fairshare=parent`.
pub(super) const SHARES_OF_PARENT: u32 = i32::MAX as u32;

/// What the words behind `dump` ask for.
pub(super) fn dump(words: &[String], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (mut cluster, mut path) = (None, None);
    for setting in words.iter().map(|word| Setting::read(word)) {
        match &setting {
            name if name.key.is_empty() || name.is(&[("cluster", 1), ("name", 1)]) => {
                cluster = Some(setting.value.clone());
            }
            file if file.is(&[("file", 1)]) => path = Some(setting.value.clone()),
            other => return Err(Outcome::failure(format!(" Unknown option: {}\n", other.text), 1)),
        }
    }
    let cluster = cluster.ok_or_else(|| Outcome::failure(" We need a cluster to dump.\n", 1))?;
    if !cluster.eq_ignore_ascii_case(&scene.cluster) {
        return Err(Outcome::failure(format!(" Cluster {cluster} doesn't exist.\n"), 1));
    }
    let mut announcement = String::new();
    let path = path.unwrap_or_else(|| {
        let path = format!("./{}.cfg", scene.cluster);
        let _ = writeln!(announcement, " No filename given, using {path}.");
        path
    });
    let lines = lines(scene.policy, &scene.cluster);
    // Slurm tells each line that it writes.
    let told = lines.lines().fold(String::new(), |told, line| told + "sacctmgr: " + line + "\n");
    let outcome = Outcome { stdout: announcement, stderr: told, code: 0 };
    Ok(Step::Write(WrittenFile { path, text: format!("{REMARKS}{lines}"), outcome }))
}

/// The file without remarks.
pub(super) fn lines(policy: &AccountingPolicy, cluster: &str) -> String {
    let mut text = String::new();
    let roots: Vec<&Arc<Association>> = policy.associations.values().filter(|row| row.parent.is_none()).collect();
    for root in roots {
        let _ = writeln!(text, "Cluster - '{cluster}'{}", terms(root, policy));
        level(policy, root, policy.associations.len(), &mut text);
    }
    text
}

/// What is directly below `parent`: users, then accounts; and then each of these accounts. A tree is no deeper than it has
/// nodes: damage in a row must not make this endless.
fn level(policy: &AccountingPolicy, parent: &Association, depth_left: usize, text: &mut String) {
    let mut below: Vec<&Arc<Association>> = policy.children(parent.id).collect();
    if below.is_empty() || depth_left == 0 {
        return;
    }
    let order = |row: &&Arc<Association>| {
        let key = &row.key;
        let is_account = key.user.is_empty();
        let name = if is_account { key.account.clone() } else { key.user.clone() };
        // Those for a partition stand before the one for all.
        (is_account, name, std::cmp::Reverse(key.partition.clone()))
    };
    below.sort_by_key(order);
    let _ = writeln!(text, "Parent - '{}'", parent.key.account);
    for row in &below {
        let head = if row.key.user.is_empty() { account(policy, row) } else { user(policy, row) };
        let _ = writeln!(text, "{head}{}", terms(row, policy));
    }
    for row in below.into_iter().filter(|row| row.key.user.is_empty()) {
        level(policy, row, depth_left - 1, text);
    }
}

fn account(policy: &AccountingPolicy, row: &Association) -> String {
    let name = &row.key.account;
    let found: Option<&Arc<Account>> = policy.accounts.get(name);
    let words = |of: fn(&Account) -> &Name| quoted(found.map_or(name, |account| of(account)));
    format!(
        "Account - '{name}':Description='{}':Organization='{}'",
        words(|account| &account.description),
        words(|account| &account.organization)
    )
}

fn user(policy: &AccountingPolicy, row: &Association) -> String {
    let name = &row.key.user;
    let mut text = format!("User - '{name}'");
    if !row.key.partition.is_empty() {
        let _ = write!(text, ":Partition='{}'", row.key.partition);
    }
    let found = policy.users.get(name);
    if let Some(account) = found.and_then(|user| user.default_account.as_ref()) {
        let _ = write!(text, ":DefaultAccount='{account}'");
    }
    if let Some(level) = found.and_then(|user| user.admin_level.as_ref()).filter(|level| ***level != *"None") {
        let _ = write!(text, ":AdminLevel='{level}'");
    }
    let coordinated = policy.accounts.values().filter(|account| account.coordinators.contains(name));
    let coordinated: Vec<&str> = coordinated.map(|account| &*account.name).collect();
    if !coordinated.is_empty() {
        let _ = write!(text, ":Coordinator='{}'", coordinated.join(","));
    }
    text
}

/// A quote within would end the words too early; Slurm stores it so.
fn quoted(text: &str) -> String {
    text.replace('\'', "`")
}

/// Shares and limits: `:Fairshare=1:GrpTRES=cpu=4`.
fn terms(row: &Association, policy: &AccountingPolicy) -> String {
    let mut text = String::new();
    if let Some(qos) = &row.qos_default {
        let _ = write!(text, ":DefaultQOS='{qos}'");
    }
    let shares = match row.shares {
        Shares::Raw(shares) => shares,
        Shares::Parent => SHARES_OF_PARENT,
    };
    let _ = write!(text, ":Fairshare={shares}");
    for (key, term) in TERMS {
        if let Some(value) = term.text(&row.limits) {
            let _ = write!(text, ":{key}={value}");
        }
    }
    if row.priority > 0 {
        let _ = write!(text, ":Priority={}", row.priority);
    }
    if let Some(list) = &row.qos_allowed {
        let number = |name: &Name| policy.qos.get(name).map_or(u32::MAX, |qos| qos.id);
        let mut list: Vec<&Name> = list.iter().collect();
        list.sort_by_key(|name| (number(name), (*name).clone()));
        let _ = write!(text, ":QOS='{}'", list.iter().map(|name| &***name).collect::<Vec<_>>().join(","));
    }
    text
}

/// A limit of the file.
#[derive(Clone, Copy)]
pub(super) enum Term {
    Count(CountLimit),
    Tres(TresLimit),
}

impl Term {
    /// Its value; times as minutes.
    pub(super) fn text(self, limits: &Limits) -> Option<String> {
        match self {
            Term::Count(limit) => limits.count(limit).map(|value| value.to_string()),
            Term::Tres(limit) => limits.tres.get(&limit).map(limits_text::amounts).filter(|text| !text.is_empty()),
        }
    }
}

/// The limits of the file with their keys, in its order.
pub(super) const TERMS: &[(&str, Term)] = &[
    ("GrpTRESMins", Term::Tres(TresLimit::GrpTresMins)),
    ("GrpTRESRunMins", Term::Tres(TresLimit::GrpTresRunMins)),
    ("GrpTRES", Term::Tres(TresLimit::GrpTres)),
    ("GrpJobs", Term::Count(CountLimit::GrpJobs)),
    ("GrpJobsAccrue", Term::Count(CountLimit::GrpJobsAccrue)),
    ("GrpSubmitJobs", Term::Count(CountLimit::GrpSubmitJobs)),
    ("GrpWall", Term::Count(CountLimit::GrpWall)),
    ("MaxTRESMinsPerJob", Term::Tres(TresLimit::MaxTresMinsPerJob)),
    ("MaxTRESPerJob", Term::Tres(TresLimit::MaxTresPerJob)),
    ("MaxTRESPerNode", Term::Tres(TresLimit::MaxTresPerNode)),
    ("MaxJobs", Term::Count(CountLimit::MaxJobs)),
    ("MaxJobsAccrue", Term::Count(CountLimit::MaxJobsAccrue)),
    ("MaxSubmitJobs", Term::Count(CountLimit::MaxSubmitJobs)),
    ("MaxWallDurationPerJob", Term::Count(CountLimit::MaxWall)),
];

/// Whether `word` is the keyword `dump` or `load`; neither may be cut to fewer than four letters.
pub(super) fn is_keyword(word: &str, keyword: &str) -> bool {
    is_cut(word, keyword, 4)
}
