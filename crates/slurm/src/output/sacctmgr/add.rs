//! `sacctmgr add`.

use muster_model::accounting::{Account, AccountingChange, AssociationChanges, AssociationKey, QosChanges};
use muster_model::ids::Name;

use super::super::context::Outcome;
use super::words::{Setting, names};
use super::{Scene, Step, fields};

fn fail(stderr: impl Into<String>) -> Outcome {
    Outcome::failure(stderr, 1)
}

fn nothing_new() -> Outcome {
    Outcome { stdout: " Nothing new added.\n".to_owned(), stderr: String::new(), code: 1 }
}

fn is_filler(setting: &Setting) -> bool {
    setting.key.is_empty() && ["set", "where"].iter().any(|word| setting.value.eq_ignore_ascii_case(word))
}

fn unknown(setting: &Setting) -> Outcome {
    fail(format!(" Unknown option: {}\n", setting.text))
}

pub(super) fn accounts(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let mut list: Vec<Name> = Vec::new();
    let (mut description, mut organization, mut parent): (Option<Name>, Option<Name>, Option<Name>) =
        (None, None, None);
    let mut changes = AssociationChanges::default();
    for setting in settings.iter().filter(|setting| !is_filler(setting)) {
        let lower = || Some(setting.value.to_ascii_lowercase().as_str().into());
        match setting {
            name if name.key.is_empty() || name.is(&[("names", 1), ("accounts", 4)]) => list.extend(name.names()),
            text if text.is(&[("description", 1)]) => description = lower(),
            text if text.is(&[("organization", 1)]) => organization = lower(),
            text if text.is(&[("parent", 1)]) => parent = lower(),
            text if text.is(&[("clusters", 1)]) => other_cluster(text, scene)?,
            other if fields::association(other, &mut changes, scene).map_err(fail)? => {}
            other => return Err(unknown(other)),
        }
    }
    if list.is_empty() {
        return Err(fail(" Need name of account to add.\n"));
    }
    let above = parent.clone().unwrap_or_else(|| "root".into());
    if scene.policy.account_association(&above).is_none() {
        return Err(fail(format!(
            " Parent account '{above}' doesn't exist on cluster {}\n        Contact your admin to add this account.\n \
             No associations created.\n",
            scene.cluster
        )));
    }
    list.retain(|name| scene.policy.account_association(name).is_none());
    if list.is_empty() {
        return Err(nothing_new());
    }
    let mut text = " Adding Account(s)\n".to_owned();
    list.iter().for_each(|name| text.push_str(&format!("  {name}\n")));
    text.push_str(&format!(
        " Settings\n  Description     = {}\n  Organization    = {}\n Associations\n",
        description.as_deref().unwrap_or("Account Name"),
        organization.as_deref().unwrap_or("Parent/Account Name")
    ));
    list.iter().for_each(|name| text.push_str(&format!("  A = {name:<10} C = {:<10}\n", scene.cluster)));
    let mut announced = fields::announce_association(&changes);
    if let Some(parent) = &parent {
        announced.push_str(&format!("  {:<13} = {parent}\n", "Parent"));
    }
    if !announced.is_empty() {
        text.push_str(&format!(" Settings\n{announced}"));
    }
    let own = |name: &Name| if *above == *"root" { name.clone() } else { above.clone() };
    let accounts = list.iter().map(|name| Account {
        name: name.clone(),
        description: description.clone().unwrap_or_else(|| name.clone()),
        organization: organization.clone().unwrap_or_else(|| own(name)),
        coordinators: Vec::new(),
    });
    let change =
        AccountingChange::CreateAccounts { accounts: accounts.collect(), parent: above.clone(), association: changes };
    Ok(scene.change(text, vec![change]))
}

/// Another cluster than this one is not known here.
fn other_cluster(setting: &Setting, scene: &Scene<'_>) -> Result<(), Outcome> {
    match setting.names().iter().find(|name| !name.eq_ignore_ascii_case(&scene.cluster)) {
        Some(name) => Err(fail(format!(
            " This cluster '{name}' doesn't exist.\n        Contact your admin to add it to accounting.\n"
        ))),
        None => Ok(()),
    }
}

/// What is known of new users.
#[derive(Default)]
struct Users {
    names: Vec<Name>,
    accounts: Vec<Name>,
    partitions: Vec<Name>,
    default_account: Option<Name>,
    admin_level: Option<Name>,
    changes: AssociationChanges,
}

fn read_users(settings: &[Setting], scene: &Scene<'_>) -> Result<Users, Outcome> {
    let mut users = Users::default();
    for setting in settings.iter().filter(|setting| !is_filler(setting)) {
        match setting {
            name if name.key.is_empty() || name.is(&[("names", 1), ("users", 1)]) => users.names.extend(name.names()),
            list if list.is(&[("accounts", 2)]) => users.accounts.extend(list.names()),
            list if list.is(&[("partitions", 4)]) => users.partitions.extend(list.names()),
            text if text.is(&[("clusters", 1)]) => other_cluster(text, scene)?,
            text if text.is(&[("defaultaccount", 8)]) => {
                users.default_account = Some(text.value.to_ascii_lowercase().as_str().into());
            }
            text if text.is(&[("adminlevel", 2)]) => users.admin_level = Some(admin_level(&text.value)?),
            other if fields::association(other, &mut users.changes, scene).map_err(fail)? => {}
            other => return Err(unknown(other)),
        }
    }
    if users.names.is_empty() {
        return Err(fail(" Need name of user to add.\n"));
    }
    if users.accounts.is_empty() {
        users.accounts.extend(users.default_account.clone());
    }
    if users.accounts.is_empty() {
        return Err(fail(" Need name of account to add user to.\n"));
    }
    Ok(users)
}

/// `None`, `Operator` or `Administrator`, from a word that may be cut.
pub(super) fn admin_level(text: &str) -> Result<Name, Outcome> {
    let known = ["None", "Operator", "Administrator"];
    let found = known.iter().find(|name| super::words::is_cut(text, name, 1)).map(|name| (*name).into());
    found.ok_or_else(|| Outcome {
        stdout: " Nothing modified\n".to_owned(),
        stderr: format!("sacctmgr: error: there is no admin level {text}\n"),
        code: 1,
    })
}

pub(super) fn users(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let users = read_users(settings, scene)?;
    if let Some(missing) = users.accounts.iter().find(|name| scene.policy.account_association(name).is_none()) {
        return Err(fail(format!(
            " This account '{missing}' doesn't exist.\n        Contact your admin to add this account.\n No \
             associations or wckeys created.\n"
        )));
    }
    let (new, keys) = new_associations(&users, scene);
    if new.is_empty() && keys.is_empty() {
        return Err(nothing_new());
    }
    let mut text = String::new();
    if !new.is_empty() {
        text.push_str(" Adding User(s)\n");
        new.iter().for_each(|name| text.push_str(&format!("  {name}\n")));
        let default = users.default_account.as_ref().map(|name| format!("  Default Account = {name}\n"));
        let level = users.admin_level.as_ref().map(|level| format!("  Admin Level     = {level}\n"));
        if default.is_some() || level.is_some() {
            text.push_str(&format!(" Settings =\n{}{}", default.unwrap_or_default(), level.unwrap_or_default()));
        }
    }
    if !keys.is_empty() {
        text.push_str(" Associations =\n");
        for key in &keys {
            text.push_str(&format!("  U = {:<9} A = {:<10} C = {:<10}", key.user, key.account, scene.cluster));
            if !key.partition.is_empty() {
                text.push_str(&format!(" P = {:<10}", key.partition));
            }
            text.push('\n');
        }
    }
    text.push_str(&format!(" Non Default Settings\n{}", fields::announce_association(&users.changes)));
    let change = AccountingChange::CreateUsers {
        names: users.names,
        accounts: users.accounts,
        partitions: users.partitions,
        default_account: users.default_account,
        admin_level: users.admin_level,
        association: users.changes,
    };
    Ok(scene.change(text, vec![change]))
}

/// Users that are not known yet, and the associations that are not there yet in the order in which they are announced.
fn new_associations(users: &Users, scene: &Scene<'_>) -> (Vec<Name>, Vec<AssociationKey>) {
    let new: Vec<Name> = users.names.iter().filter(|name| !scene.policy.users.contains_key(*name)).cloned().collect();
    let all: Vec<Name> = vec!["".into()];
    let partitions = if users.partitions.is_empty() { &all } else { &users.partitions };
    let mut accounts = users.accounts.clone();
    accounts.sort();
    let mut keys = Vec::new();
    for user in &users.names {
        for (account, partition) in
            accounts.iter().flat_map(|account| partitions.iter().map(move |part| (account, part)))
        {
            let key = AssociationKey { account: account.clone(), user: user.clone(), partition: partition.clone() };
            if !scene.policy.association_index.contains_key(&key) {
                keys.push(key);
            }
        }
    }
    (new, keys)
}

pub(super) fn qos(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (mut list, mut changes): (Vec<Name>, QosChanges) = (Vec::new(), QosChanges::default());
    for setting in settings.iter().filter(|setting| !is_filler(setting)) {
        match setting {
            name if name.key.is_empty() || name.is(&[("names", 1)]) => list.extend(name.names()),
            other if fields::qos(other, &mut changes, scene).map_err(fail)? => {}
            other => return Err(unknown(other)),
        }
    }
    if list.is_empty() {
        return Err(fail(" Need name of qos to add.\n"));
    }
    list.retain(|name| !scene.policy.qos.contains_key(name));
    if list.is_empty() {
        return Err(nothing_new());
    }
    let mut text = " Adding QOS(s)\n".to_owned();
    list.iter().for_each(|name| text.push_str(&format!("  {name}\n")));
    let described = changes.description.clone().unwrap_or_else(|| list.join(",").as_str().into());
    text.push_str(&format!(" Settings\n  Description    = {described}\n{}", announce_qos(&changes)));
    Ok(scene.change(text, vec![AccountingChange::CreateQos { names: list, changes: Box::new(changes) }]))
}

fn announce_qos(changes: &QosChanges) -> String {
    let mut lines: Vec<(&str, String)> = fields::limit_lines(&changes.limits);
    if let Some(flags) = &changes.flags {
        lines.push(("Flags", super::show_others::flags_text(flags.items())));
    }
    if let Some(priority) = changes.priority {
        lines.push(("Priority", priority.to_string()));
    }
    if let Some(preempts) = &changes.preempts {
        lines.push(("Preempt", preempts.items().join(",")));
    }
    if let Some(factor) = changes.usage_factor {
        lines.push(("UsageFactor", format!("{factor:.6}")));
    }
    if let Some(grace) = changes.grace_time.flatten() {
        lines.push(("GraceTime", grace.seconds().to_string()));
    }
    lines.sort_by_key(|(name, _)| *name);
    lines.into_iter().map(|(name, value)| format!("  {name:<24} = {value}\n")).collect()
}

pub(super) fn coordinators(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (accounts, users) = read_coordinators(settings)?;
    if accounts.is_empty() || users.is_empty() {
        return Err(fail(" You need to specify conditions to to add the coordinator.\n"));
    }
    known(&accounts, &users, scene)?;
    let text = format!(
        " Adding Coordinator User(s)\n{} To Account(s) and all sub-accounts\n{}",
        listed(&users),
        listed(&accounts)
    );
    Ok(scene.change(text, vec![AccountingChange::AddCoordinators { users, accounts }]))
}

/// Accounts and users of a command about coordinators.
pub(super) fn read_coordinators(settings: &[Setting]) -> Result<(Vec<Name>, Vec<Name>), Outcome> {
    let (mut accounts, mut users) = (Vec::new(), Vec::new());
    for setting in settings.iter().filter(|setting| !is_filler(setting)) {
        match setting {
            list if list.is(&[("accounts", 1)]) => accounts.extend(names(&list.value)),
            list if list.key.is_empty() || list.is(&[("names", 1), ("users", 1)]) => users.extend(names(&list.value)),
            other => return Err(fail(format!(" Unknown condition: {}\n", other.text))),
        }
    }
    Ok((accounts, users))
}

pub(super) fn known(accounts: &[Name], users: &[Name], scene: &Scene<'_>) -> Result<(), Outcome> {
    if let Some(user) = users.iter().find(|user| !scene.policy.users.contains_key(*user)) {
        return Err(fail(format!(" You specified a non-existent user '{user}'.\n")));
    }
    match accounts.iter().find(|account| !scene.policy.accounts.contains_key(*account)) {
        Some(account) => Err(fail(format!(" You specified a non-existent account '{account}'.\n"))),
        None => Ok(()),
    }
}

/// One name a line.
pub(super) fn listed(names: &[Name]) -> String {
    names.iter().map(|name| format!("  {name}\n")).collect()
}
