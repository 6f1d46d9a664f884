//! `sacctmgr show` of accounts, users and associations.

use std::sync::Arc;

use muster_model::accounting::{Account, Association, CountLimit, Limits, TresLimit, User};

use super::super::context::Outcome;
use super::conditions::{Conditions, part_of_tree, tree};
use super::table::{self, Column, Format, column};
use super::words::Setting;
use super::{Entity, Scene, Step, fields, limits_text, show_others};

/// What a `show` asks for besides conditions.
#[derive(Default)]
pub(super) struct Options {
    pub(super) format: Option<String>,
    pub(super) tree: bool,
    pub(super) with_associations: bool,
    pub(super) with_coordinators: bool,
}

pub(super) fn show(entity: Entity, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let mut options = Options { with_associations: scene.flags.associations, ..Options::default() };
    let mut found = Conditions::default();
    for setting in settings {
        let word = setting.value.to_ascii_lowercase();
        match setting {
            plain if plain.key.is_empty() && matches!(word.as_str(), "where" | "set") => {}
            plain if plain.key.is_empty() && word == "tree" => options.tree = true,
            plain if plain.key.is_empty() && super::words::is_cut(&word, "withassoc", 5) => {
                options.with_associations = true;
            }
            plain if plain.key.is_empty() && super::words::is_cut(&word, "withcoordinators", 5) => {
                options.with_coordinators = true;
            }
            // Nothing is kept of what was deleted, and limits of parents are always shown.
            plain if plain.key.is_empty() && word.starts_with("wit") || word.starts_with("wop") => {}
            format if format.is(&[("format", 1)]) => options.format = Some(format.value.clone()),
            condition if found.take(condition) => {}
            other => return Err(unknown(entity, other)),
        }
    }
    if !found.is_here(&scene.cluster) {
        found.ids.push("none".into());
    }
    let text = match entity {
        Entity::Account => accounts(found, &options, scene)?,
        Entity::User => users(found, &options, scene)?,
        Entity::Association => associations(found, &options, scene)?,
        other => show_others::show(other, &found, &options, scene)?,
    };
    Ok(Step::Print(Outcome::success(text)))
}

fn unknown(entity: Entity, setting: &Setting) -> Outcome {
    let hint = match entity {
        Entity::Association => "",
        Entity::Qos => " Use keyword 'set' to modify SLURM_PRINT_VALUE\n",
        _ => " Use keyword 'set' to modify value\n",
    };
    Outcome::failure(format!(" Unknown condition: {}\n{hint}", setting.text), 1)
}

/// One line about an account or a user, or about one association of it.
pub(super) struct Row {
    cluster: String,
    account: Option<Arc<Account>>,
    user: Option<Arc<User>>,
    association: Option<AssociationRow>,
    coordinators: String,
}

/// An association with what it takes from above.
struct AssociationRow {
    row: Arc<Association>,
    /// Its own `Grp…` limits, and the others that hold for it.
    limits: Limits,
    parent: String,
    priority: u32,
    qos: String,
    qos_default: String,
    account_text: String,
}

impl AssociationRow {
    fn of(row: &Arc<Association>, indent: Option<usize>, scene: &Scene<'_>) -> AssociationRow {
        let policy = scene.policy;
        let mut limits = row.limits.clone();
        for above in policy.lineage(row.id).skip(1) {
            for (limit, value) in above.limits.counts.iter().filter(|(limit, _)| !limit.as_str().starts_with("Grp")) {
                limits.counts.entry(*limit).or_insert(*value);
            }
            for (limit, amounts) in above.limits.tres.iter().filter(|(limit, _)| !limit.as_str().starts_with("Grp")) {
                let entry = limits.tres.entry(*limit).or_default();
                for (name, amount) in &amounts.0 {
                    entry.0.entry(name.clone()).or_insert(*amount);
                }
            }
        }
        let parent = row.parent.and_then(|id| policy.associations.get(&id)).filter(|_| row.key.user.is_empty());
        let mut qos = policy.qos_allowed(row);
        qos.sort();
        AssociationRow {
            limits,
            parent: parent.map(|parent| parent.key.account.to_string()).unwrap_or_default(),
            priority: policy.association_priority(row),
            qos: qos.join(","),
            qos_default: policy.qos_default(row).map(|name| name.to_string()).unwrap_or_default(),
            account_text: format!("{}{}", " ".repeat(indent.unwrap_or(0)), row.key.account),
            row: row.clone(),
        }
    }
}

fn of(row: &Row, text: impl FnOnce(&AssociationRow) -> String) -> String {
    row.association.as_ref().map(text).unwrap_or_default()
}

fn count(row: &Row, limit: CountLimit) -> String {
    of(row, |association| limits_text::count(&association.limits, limit))
}

fn tres(row: &Row, limit: TresLimit) -> String {
    of(row, |association| limits_text::tres(&association.limits, limit))
}

static COLUMNS: &[Column<Row>] = &[
    column("Cluster", &[], 10, |row| row.cluster.clone()),
    column("Account", &["Accounts"], 10, |row| match (&row.association, &row.account) {
        (Some(association), _) => association.account_text.clone(),
        (None, account) => account.as_ref().map(|account| account.name.to_string()).unwrap_or_default(),
    }),
    column("User", &["Users"], 10, |row| match (&row.user, &row.association) {
        (Some(user), _) => user.name.to_string(),
        (None, Some(association)) => association.row.key.user.to_string(),
        (None, None) => String::new(),
    }),
    column("Partition", &[], 10, |row| of(row, |found| found.row.key.partition.to_string())),
    column("Share", &["Fairshare", "Shares"], 9, |row| of(row, |found| fields::shares_text(found.row.shares))),
    column("Priority", &[], 10, |row| {
        of(row, |found| if found.priority == 0 { String::new() } else { found.priority.to_string() })
    }),
    column("GrpJobs", &[], 7, |row| count(row, CountLimit::GrpJobs)),
    column("GrpJobsAccrue", &[], 13, |row| count(row, CountLimit::GrpJobsAccrue)),
    column("GrpTRES", &[], 13, |row| tres(row, TresLimit::GrpTres)),
    column("GrpSubmit", &["GrpSubmitJobs"], 9, |row| count(row, CountLimit::GrpSubmitJobs)),
    column("GrpWall", &[], 11, |row| count(row, CountLimit::GrpWall)),
    column("GrpTRESMins", &[], 13, |row| tres(row, TresLimit::GrpTresMins)),
    column("MaxJobs", &[], 7, |row| count(row, CountLimit::MaxJobs)),
    column("MaxJobsAccrue", &[], 13, |row| count(row, CountLimit::MaxJobsAccrue)),
    column("MaxTRES", &["MaxTRESPerJob"], 13, |row| tres(row, TresLimit::MaxTresPerJob)),
    column("MaxTRESPerNode", &[], 14, |row| tres(row, TresLimit::MaxTresPerNode)),
    column("MaxSubmit", &["MaxSubmitJobs"], 9, |row| count(row, CountLimit::MaxSubmitJobs)),
    column("MaxWall", &["MaxWallDurationPerJob"], 11, |row| count(row, CountLimit::MaxWall)),
    column("MaxTRESMins", &["MaxTRESMinsPerJob"], 13, |row| tres(row, TresLimit::MaxTresMinsPerJob)),
    column("QOS", &["QOSLevel"], 20, |row| of(row, |found| found.qos.clone())),
    column("Def QOS", &["DefaultQOS"], 9, |row| of(row, |found| found.qos_default.clone())),
    column("GrpTRESRunMins", &[], 13, |row| tres(row, TresLimit::GrpTresRunMins)),
    column("MinPrioThres", &["MinPrioThreshold"], 12, |row| count(row, CountLimit::MinPrioThreshold)),
    column("ParentName", &[], 10, |row| of(row, |found| found.parent.clone())),
    column("ID", &[], 6, |row| of(row, |found| found.row.id.0.to_string())),
    column("Descr", &["Description"], 20, |row| {
        row.account.as_ref().map(|account| account.description.to_string()).unwrap_or_default()
    }),
    column("Org", &["Organization"], 20, |row| {
        row.account.as_ref().map(|account| account.organization.to_string()).unwrap_or_default()
    }),
    column("Coord Accounts", &["Coordinators"], 20, |row| row.coordinators.clone()),
    column("Def Acct", &["DefaultAccount"], 10, |row| {
        let account = row.user.as_ref().and_then(|user| user.default_account.as_ref());
        account.map(|name| name.to_string()).unwrap_or_default()
    }),
    column("Admin", &["AdminLevel"], 9, |row| {
        row.user.as_ref().map_or(String::new(), |user| user.admin_level.as_deref().unwrap_or("None").to_owned())
    }),
];

const ASSOCIATION_FORMAT: &str = "cluster,account,user,partition,share,priority,grpjobs,grptres,grpsubmit,grpwall,\
     grptresmins,maxjobs,maxtres,maxtrespernode,maxsubmit,maxwall,maxtresmins,qos,defaultqos,grptresrunmins";

/// What `withassoc` adds.
const WITH_ASSOCIATION: &str = "cluster,parentname,user,share,priority,grpjobs,grptres,grpsubmit,grpwall,grptresmins,maxjobs,\
     maxtres,maxtrespernode,maxsubmit,maxwall,maxtresmins,qos,defaultqos";

fn render(rows: &[Row], wanted: &str, options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    let text = options.format.as_deref().unwrap_or(wanted);
    let format: Format<Row> = table::read(text, COLUMNS).map_err(|problem| Outcome::failure(problem, 1))?;
    Ok(table::render(&format, rows, scene.flags.style, !scene.flags.no_header))
}

fn accounts(mut found: Conditions, options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    found.accounts.append(&mut found.names);
    let mut rows = Vec::new();
    let among = |account: &Account| found.accounts.is_empty() || found.accounts.contains(&account.name);
    for account in scene.policy.accounts.values().filter(|account| among(account) && found.ids.is_empty()) {
        let row = |association| Row {
            cluster: scene.cluster.clone(),
            coordinators: account.coordinators.join(","),
            account: Some(account.clone()),
            user: None,
            association,
        };
        if options.with_associations {
            let all = tree(scene.policy).into_iter();
            let own = all.filter(|(_, association)| association.key.account == account.name);
            rows.extend(own.map(|(_, association)| row(Some(AssociationRow::of(&association, None, scene)))));
        } else {
            rows.push(row(None));
        }
    }
    let mut wanted = "account,descr,org".to_owned();
    if options.with_coordinators {
        wanted.push_str(",coordinators");
    }
    if options.with_associations {
        wanted.push_str(&format!(",{WITH_ASSOCIATION}"));
    }
    render(&rows, &wanted, options, scene)
}

fn users(mut found: Conditions, options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    found.users.append(&mut found.names);
    let mut rows = Vec::new();
    let is_in = |user: &User| {
        let mut own = scene.policy.associations.values().filter(|row| row.key.user == user.name);
        found.accounts.is_empty() || own.any(|row| found.accounts.contains(&row.key.account))
    };
    let wanted = |user: &User| found.users.is_empty() || found.users.contains(&user.name);
    for user in scene.policy.users.values().filter(|user| wanted(user) && is_in(user) && found.ids.is_empty()) {
        let coordinates = scene.policy.accounts.values().filter(|account| account.coordinators.contains(&user.name));
        let coordinators = coordinates.map(|account| account.name.to_string()).collect::<Vec<_>>().join(",");
        let row = |association| Row {
            cluster: scene.cluster.clone(),
            coordinators: coordinators.clone(),
            account: None,
            user: Some(user.clone()),
            association,
        };
        if options.with_associations {
            let own = scene.policy.associations.values().filter(|row| row.key.user == user.name);
            let own = own.filter(|association| found.takes(scene.policy, association));
            rows.extend(own.map(|association| row(Some(AssociationRow::of(association, None, scene)))));
        } else {
            rows.push(row(None));
        }
    }
    let mut wanted = "user,defaultaccount,admin".to_owned();
    if options.with_associations {
        wanted.push_str(",cluster,account,partition,share,priority,maxjobs,maxnodes,maxcpus,maxsubmit,maxwall,maxcpumins,qos,defaultqos");
        wanted = wanted.replace(",maxnodes,maxcpus", ",maxtres").replace(",maxcpumins", ",maxtresmins");
    }
    if options.with_coordinators {
        wanted.push_str(",coordinators");
    }
    render(&rows, &wanted, options, scene)
}

fn associations(found: Conditions, options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    let mut rows = Vec::new();
    let passes = |association: &Association| {
        let named = found.names.is_empty() || found.names.contains(&association.key.account);
        named && found.takes(scene.policy, association)
    };
    for (depth, association) in part_of_tree(scene.policy, passes) {
        let indent = options.tree.then_some(depth);
        rows.push(Row {
            cluster: scene.cluster.clone(),
            account: None,
            user: None,
            association: Some(AssociationRow::of(&association, indent, scene)),
            coordinators: String::new(),
        });
    }
    let mut options =
        Options { format: options.format.clone(), ..Options { tree: options.tree, ..Options::default() } };
    if options.tree {
        let text = options.format.unwrap_or_else(|| ASSOCIATION_FORMAT.to_owned());
        let widened =
            text.split(',').map(|field| if field.eq_ignore_ascii_case("account") { "account%-20" } else { field });
        options.format = Some(widened.collect::<Vec<_>>().join(","));
    }
    render(&rows, ASSOCIATION_FORMAT, &options, scene)
}
