//! `sacctmgr modify`: what `where` finds gets what `set` says.

use std::sync::Arc;

use muster_model::accounting::{
    AccountingChange, Association, AssociationChanges, AssociationId, CountLimit, QosChanges, TresLimit,
};
use muster_model::ids::Name;

use super::super::context::Outcome;
use super::conditions::{Conditions, below};
use super::words::Setting;
use super::{Entity, Scene, Step, add, fields, reset_usage};

pub(super) fn modify(entity: Entity, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (conditions, changes) = sides(settings);
    let mut found = Conditions::default();
    for setting in conditions {
        if !found.take(setting) {
            return Err(Outcome::failure(
                format!(" Unknown condition: {}\n Use keyword 'set' to modify value\n", setting.text),
                1,
            ));
        }
    }
    if changes.is_empty() {
        return Err(Outcome::failure(" You didn't give me anything to set\n", 1));
    }
    if reset_usage::is_wanted(&changes)? {
        return reset_usage::reset(entity, found, &changes, scene);
    }
    match entity {
        Entity::Account => accounts(found, &changes, scene),
        Entity::User => users(found, &changes, scene),
        _ => qos(&found, &changes, scene),
    }
}

/// What stands behind `where` or behind neither word, and what behind `set`: in whichever order, and again and again.
fn sides(settings: &[Setting]) -> (Vec<&Setting>, Vec<Setting>) {
    let (mut conditions, mut changes, mut sets) = (Vec::new(), Vec::new(), false);
    for setting in settings {
        let is_word = |word: &str| setting.key.is_empty() && setting.value.eq_ignore_ascii_case(word);
        match setting {
            _ if is_word("set") => sets = true,
            _ if is_word("where") => sets = false,
            change if sets => changes.push(change.clone()),
            condition => conditions.push(condition),
        }
    }
    (conditions, changes)
}

/// Complaints of all settings that mean nothing, as they are told.
#[derive(Default)]
pub(super) struct Complaints(pub(super) String);

impl Complaints {
    pub(super) fn note(&mut self, setting: &Setting, result: Result<bool, String>) {
        if let Err(complaint) = &result {
            self.0.push_str(complaint);
        }
        if result != Ok(true) {
            self.0.push_str(&format!(" Unknown option: {}\n Use keyword 'where' to modify condition\n", setting.text));
        }
    }
}

pub(super) fn nothing_modified() -> Outcome {
    Outcome { stdout: " Nothing modified\n".to_owned(), stderr: String::new(), code: 1 }
}

fn accounts(mut found: Conditions, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (mut description, mut organization): (Option<Name>, Option<Name>) = (None, None);
    let (mut changes, mut complaints) = (AssociationChanges::default(), Complaints::default());
    for setting in settings {
        let lower = || Some(setting.value.to_ascii_lowercase().as_str().into());
        match setting {
            text if text.is(&[("description", 1)]) => description = lower(),
            text if text.is(&[("organization", 1)]) => organization = lower(),
            text if text.is(&[("parent", 1)]) => changes.parent = lower(),
            other => complaints.note(other, fields::association(other, &mut changes, scene)),
        }
    }
    if !complaints.0.is_empty() {
        return Err(Outcome::failure(complaints.0, 1));
    }
    found.accounts.append(&mut found.names);
    let is_account = |association: &Association| association.key.user.is_empty();
    let rows = matching(&found, scene, is_account);
    let mut text = String::new();
    let mut commands = Vec::new();
    if description.is_some() || organization.is_some() {
        let names: Vec<Name> = rows.iter().map(|row| row.key.account.clone()).collect();
        if !names.is_empty() {
            text.push_str(&format!(" Modified accounts...\n{}", add::listed(&names)));
            commands.push(AccountingChange::ModifyAccounts { names, description, organization });
        }
    }
    if let Some(parent) = &changes.parent
        && scene.policy.account_association(parent).is_none()
    {
        return Err(Outcome::failure(format!(" Parent account '{parent}' doesn't exist\n"), 1));
    }
    if changes != AssociationChanges::default() {
        let moved = |row: &&Arc<Association>| {
            let above = row.parent.and_then(|id| scene.policy.associations.get(&id));
            let stays = above.is_some_and(|above| changes.parent.as_ref() == Some(&above.key.account));
            let only =
                AssociationChanges { parent: changes.parent.clone(), ..AssociationChanges::default() } == changes;
            !(stays && only)
        };
        let rows: Vec<Arc<Association>> = rows.iter().filter(moved).cloned().collect();
        default_is_allowed(&rows, &changes, scene)?;
        if !rows.is_empty() {
            text.push_str(" Modified account associations...\n");
            rows.iter().for_each(|row| text.push_str(&listed_with_heirs(row, &changes, scene)));
            let ids = rows.iter().map(|row| row.id).collect();
            commands.push(AccountingChange::ModifyAssociations { ids, changes });
        }
    }
    if commands.is_empty() { Err(nothing_modified()) } else { Ok(scene.change(text, commands)) }
}

fn matching(found: &Conditions, scene: &Scene<'_>, is_wanted: fn(&Association) -> bool) -> Vec<Arc<Association>> {
    if !found.is_here(&scene.cluster) {
        return Vec::new();
    }
    let all = scene.policy.associations.values();
    let mut rows: Vec<Arc<Association>> =
        all.filter(|row| is_wanted(row) && found.takes(scene.policy, row)).cloned().collect();
    // Accounts are listed as they were made, users the newest first.
    if rows.first().is_some_and(|row| !row.key.user.is_empty()) {
        rows.reverse();
    }
    rows
}

/// A default QOS must be one that the association may use.
fn default_is_allowed(
    rows: &[Arc<Association>],
    changes: &AssociationChanges,
    scene: &Scene<'_>,
) -> Result<(), Outcome> {
    let Some(Some(default)) = &changes.qos_default else { return Ok(()) };
    if !scene.policy.qos.contains_key(default) {
        return Err(Outcome::failure(
            format!("You gave a bad default qos '{default}'.  Use 'list qos' to get complete list.\n"),
            1,
        ));
    }
    let allowed = |row: &Association| {
        let list = scene.policy.qos_allowed(row);
        changes.qos_allowed.as_ref().map_or(list.clone(), |change| change.apply(&list)).contains(default)
    };
    let mut text = String::new();
    for row in rows {
        let heirs = below(scene.policy, row.id).into_iter().filter(|heir| heir.qos_default.is_none());
        for bad in std::iter::once(row.clone()).chain(heirs).filter(|row| !allowed(row)) {
            text.push_str(&format!("  DefQOS = {default:<10} {}\n", place(&bad, scene, 20)));
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    let head = " These associations don't have access to their default qos.\n Please give them access before they the \
                default can be set to this.\n";
    // Slurm complains, changes nothing, and exits as if all were well.
    Err(Outcome::failure(format!("{head}{text}"), 0))
}

/// `C = peer       A = physics              U = eve       P = debug`.
fn place(row: &Association, scene: &Scene<'_>, width: usize) -> String {
    let mut text = format!("C = {:<10} A = {:<width$} ", scene.cluster, row.key.account);
    if !row.key.user.is_empty() {
        text.push_str(&format!("U = {:<9}", row.key.user));
    }
    if !row.key.partition.is_empty() {
        text.push_str(&format!(" P = {}", row.key.partition));
    }
    text
}

/// An account, and all users below it that take from it what changes.
fn listed_with_heirs(row: &Association, changes: &AssociationChanges, scene: &Scene<'_>) -> String {
    let above = row.parent.and_then(|id| scene.policy.associations.get(&id));
    let mut text = format!("  C = {:<10} A = {}", scene.cluster, row.key.account);
    if let Some(above) = above {
        text.push_str(&format!(" of {}", above.key.account));
    }
    text.push('\n');
    text + &heirs_listed(row, changes, scene)
}

/// The users below an account that take from it what changes; of accounts between them nothing is told, as in Slurm.
pub(super) fn heirs_listed(row: &Association, changes: &AssociationChanges, scene: &Scene<'_>) -> String {
    let users = below(scene.policy, row.id).into_iter().filter(|heir| !heir.key.user.is_empty());
    let heirs = users.filter(|heir| inherits(heir, row.id, changes, scene));
    heirs.map(|heir| format!("  {}\n", place(&heir, scene, 20))).collect()
}

/// Whether something of `changes` in `from` changes what holds for `heir`.
fn inherits(heir: &Association, from: AssociationId, changes: &AssociationChanges, scene: &Scene<'_>) -> bool {
    let between: Vec<&Arc<Association>> =
        scene.policy.lineage(heir.id).take_while(|association| association.id != from).collect();
    let is_passed_on = |limit: &&CountLimit| !limit.as_str().starts_with("Grp");
    let count = changes
        .limits
        .counts
        .keys()
        .filter(is_passed_on)
        .any(|limit| between.iter().all(|line| line.limits.count(*limit).is_none()));
    let is_passed_on = |limit: &TresLimit| !limit.as_str().starts_with("Grp");
    let tres = changes.limits.tres.iter().filter(|(limit, _)| is_passed_on(limit)).any(|(limit, amounts)| {
        amounts.keys().any(|name| between.iter().all(|line| line.limits.tres(*limit, name).is_none()))
    });
    let qos = changes.qos_allowed.is_some() && between.iter().all(|line| line.qos_allowed.is_none());
    let default = changes.qos_default.is_some() && between.iter().all(|line| line.qos_default.is_none());
    let priority = changes.priority.is_some() && between.iter().all(|line| line.priority == 0);
    count || tres || qos || default || priority
}

fn users(mut found: Conditions, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (mut default_account, mut admin_level): (Option<Name>, Option<Name>) = (None, None);
    let (mut changes, mut complaints) = (AssociationChanges::default(), Complaints::default());
    for setting in settings {
        match setting {
            text if text.is(&[("defaultaccount", 8)]) => {
                default_account = Some(text.value.to_ascii_lowercase().as_str().into());
            }
            text if text.is(&[("adminlevel", 2)]) => admin_level = Some(add::admin_level(&text.value)?),
            other => complaints.note(other, fields::association(other, &mut changes, scene)),
        }
    }
    if !complaints.0.is_empty() {
        return Err(Outcome::failure(complaints.0, 1));
    }
    found.users.append(&mut found.names);
    let rows = matching(&found, scene, |association| !association.key.user.is_empty());
    let (mut text, mut commands) = (String::new(), Vec::new());
    if default_account.is_some() || admin_level.is_some() {
        let wanted = |name: &&Name| found.users.is_empty() || found.users.contains(name);
        let names: Vec<Name> = scene.policy.users.keys().filter(wanted).cloned().collect();
        if let Some(account) = &default_account {
            are_in(&names, account, scene)?;
        }
        if !names.is_empty() {
            text.push_str(&format!(" Modified users...\n{}", add::listed(&names)));
            commands.push(AccountingChange::ModifyUsers { names, default_account, admin_level });
        }
    }
    if changes != AssociationChanges::default() {
        default_is_allowed(&rows, &changes, scene)?;
        if !rows.is_empty() {
            text.push_str(" Modified user associations...\n");
            rows.iter().for_each(|row| text.push_str(&format!("  {}\n", place(row, scene, 20))));
            let ids = rows.iter().map(|row| row.id).collect();
            commands.push(AccountingChange::ModifyAssociations { ids, changes });
        }
    }
    if commands.is_empty() { Err(nothing_modified()) } else { Ok(scene.change(text, commands)) }
}

fn are_in(users: &[Name], account: &Name, scene: &Scene<'_>) -> Result<(), Outcome> {
    let is_in =
        |user: &&Name| scene.policy.association_index.keys().any(|key| key.user == **user && key.account == *account);
    let strangers: Vec<&Name> = users.iter().filter(|user| !is_in(user)).collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let mut stdout =
        format!(" Can't modify because these users aren't associated with new default account '{account}'...\n");
    strangers.iter().for_each(|user| stdout.push_str(&format!("  U = {user} C = {}\n", scene.cluster)));
    Err(Outcome { stdout, stderr: String::new(), code: 1 })
}

fn qos(found: &Conditions, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let mut changes = QosChanges::default();
    let mut unknown = String::new();
    for setting in settings {
        match fields::qos(setting, &mut changes, scene) {
            Ok(true) => {}
            Ok(false) => unknown
                .push_str(&format!(" Unknown option: {}\n Use keyword 'where' to modify condition\n", setting.text)),
            // What is said of flags is said on standard output.
            Err(complaint) if complaint.starts_with(" Unknown QOS flag") => {
                return Err(Outcome { stdout: complaint, stderr: String::new(), code: 1 });
            }
            Err(complaint) => return Err(Outcome::failure(complaint, 1)),
        }
    }
    if !unknown.is_empty() {
        return Err(Outcome { stdout: unknown, stderr: String::new(), code: 1 });
    }
    let rows = super::show_others::qos_rows(found, scene);
    let names: Vec<Name> = rows.into_iter().map(|qos| qos.name.clone()).collect();
    if names.is_empty() {
        return Err(nothing_modified());
    }
    let text = format!(" Modified qos...\n{}", add::listed(&names));
    Ok(scene.change(text, vec![AccountingChange::ModifyQos { names, changes: Box::new(changes) }]))
}
