//! `sacctmgr delete`.

use muster_model::accounting::AccountingChange;
use muster_model::ids::Name;

use super::super::context::Outcome;
use super::conditions::Conditions;
use super::words::Setting;
use super::{Entity, Scene, Step, add};

fn nothing_deleted() -> Outcome {
    Outcome { stdout: " Nothing deleted\n".to_owned(), stderr: String::new(), code: 1 }
}

pub(super) fn delete(entity: Entity, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    if entity == Entity::Coordinator {
        return coordinators(settings, scene);
    }
    let mut found = Conditions::default();
    let is_filler = |setting: &&Setting| setting.key.is_empty() && setting.value.eq_ignore_ascii_case("where");
    for setting in settings.iter().filter(|setting| !is_filler(setting)) {
        if !found.take(setting) {
            return Err(Outcome::failure(format!(" Unknown condition: {}\n", setting.text), 1));
        }
    }
    if found.are_empty() {
        return Err(Outcome::failure(" No conditions given to remove, not executing.\n", 1));
    }
    match entity {
        Entity::Account => accounts(found, scene),
        Entity::User => users(found, scene),
        _ => qos(&found, scene),
    }
}

fn accounts(mut found: Conditions, scene: &Scene<'_>) -> Result<Step, Outcome> {
    found.accounts.append(&mut found.names);
    if found.accounts.iter().any(|name| **name == *"root") {
        return Err(Outcome::failure(
            " You are not allowed to remove the root account.\n Use remove cluster instead.\n",
            1,
        ));
    }
    let rows = scene.policy.associations.values().filter(|row| row.key.user.is_empty() && row.parent.is_some());
    let rows = rows.filter(|row| found.is_here(&scene.cluster) && found.takes(scene.policy, row));
    let names: Vec<Name> = rows.map(|row| row.key.account.clone()).collect();
    if names.is_empty() {
        return Err(nothing_deleted());
    }
    let text = format!(" Deleting accounts...\n{}", add::listed(&names));
    // What goes with an account above it goes only once.
    let goes_alone = |name: &&Name| {
        let line = scene.policy.account_association(name).into_iter();
        let mut line = line.flat_map(|row| scene.policy.lineage(row.id).skip(1));
        !line.any(|above| names.contains(&above.key.account))
    };
    let names = names.iter().filter(goes_alone).cloned().collect();
    Ok(scene.change(text, vec![AccountingChange::DeleteAccounts { names }]))
}

fn users(mut found: Conditions, scene: &Scene<'_>) -> Result<Step, Outcome> {
    found.users.append(&mut found.names);
    let is_whole = found.accounts.is_empty() && found.partitions.is_empty() && found.parents.is_empty();
    if is_whole && found.qos.is_empty() && found.ids.is_empty() {
        let names: Vec<Name> = scene.policy.users.keys().filter(|name| found.users.contains(*name)).cloned().collect();
        if names.is_empty() || !found.is_here(&scene.cluster) {
            return Err(nothing_deleted());
        }
        let text = format!(" Deleting users...\n{}", add::listed(&names));
        return Ok(scene.change(text, vec![AccountingChange::DeleteUsers { names }]));
    }
    let rows = scene.policy.associations.values().filter(|row| !row.key.user.is_empty());
    let rows: Vec<_> = rows.filter(|row| found.is_here(&scene.cluster) && found.takes(scene.policy, row)).collect();
    if rows.is_empty() {
        return Err(nothing_deleted());
    }
    let mut text = " Deleting user associations...\n".to_owned();
    for row in &rows {
        let (account, user, cluster) = (&row.key.account, &row.key.user, &scene.cluster);
        text.push_str(&format!("  C = {cluster:<10} A = {account:<10} U = {user:<9}"));
        if !row.key.partition.is_empty() {
            text.push_str(&format!(" P = {}", row.key.partition));
        }
        text.push('\n');
    }
    let ids = rows.iter().map(|row| row.id).collect();
    Ok(scene.change(text, vec![AccountingChange::DeleteAssociations { ids }]))
}

fn qos(found: &Conditions, scene: &Scene<'_>) -> Result<Step, Outcome> {
    let rows = super::show_others::qos_rows(found, scene);
    let names: Vec<Name> = rows.into_iter().map(|qos| qos.name.clone()).collect();
    if names.is_empty() {
        return Err(nothing_deleted());
    }
    let text = format!(" Deleting QOS(s)...\n{}", add::listed(&names));
    Ok(scene.change(text, vec![AccountingChange::DeleteQos { names }]))
}

fn coordinators(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (accounts, users) = add::read_coordinators(settings)?;
    if accounts.is_empty() && users.is_empty() {
        return Err(Outcome::failure(" You need to specify a user list or account list here.\n", 1));
    }
    let all = |list: Vec<Name>, known: Vec<Name>| if list.is_empty() { known } else { list };
    let accounts = all(accounts, scene.policy.accounts.keys().cloned().collect());
    let users = all(users, scene.policy.users.keys().cloned().collect());
    add::known(&accounts, &users, scene)?;
    let coordinates = |user: &Name, account: &Name| {
        scene.policy.accounts.get(account).is_some_and(|row| row.coordinators.contains(user))
    };
    let mut text = format!(
        " Removing Coordinators with user name\n{} From Account(s)\n{}",
        add::listed(&users),
        add::listed(&accounts)
    );
    let mut removed = String::new();
    for (account, user) in accounts.iter().flat_map(|account| users.iter().map(move |user| (account, user))) {
        if coordinates(user, account) {
            removed.push_str(&format!("  U = {user:<9} A = {account:<10}\n"));
        }
    }
    if removed.is_empty() {
        return Err(Outcome { stdout: format!("{text} Nothing removed\n"), stderr: String::new(), code: 1 });
    }
    text.push_str(&format!(" Removed Coordinators (sub accounts not listed)...\n{removed}"));
    Ok(scene.change(text, vec![AccountingChange::RemoveCoordinators { users, accounts }]))
}
