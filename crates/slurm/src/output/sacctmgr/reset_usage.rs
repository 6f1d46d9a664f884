//! `sacctmgr modify … set RawUsage=0`: what was used is forgotten. Nothing else is changed by such a command (real behaviour of
//! 22.05, which says nothing of it; here it is told).

use muster_model::accounting::{Association, AssociationId};
use muster_model::ids::Name;
use muster_model::priority::UsageOf;
use muster_model::request::Command;

use super::super::context::Outcome;
use super::conditions::Conditions;
use super::words::Setting;
use super::{Change, Entity, RESET_QUESTION, Scene, Step};

const KEY: &[(&str, usize)] = &[("rawusage", 7)];

/// Whether `settings` ask for it.
///
/// # Errors
/// Where they ask for another value than 0.
pub(super) fn is_wanted(settings: &[Setting]) -> Result<bool, Outcome> {
    let Some(setting) = settings.iter().find(|setting| setting.is(KEY)) else { return Ok(false) };
    let value = setting.value.trim();
    let number = if value.is_empty() { Some(0) } else { value.parse::<i64>().ok() };
    match number {
        Some(0) => Ok(true),
        Some(_) => Err(complain("Raw usage can only be set to 0 (zero)")),
        None => {
            let text =
                format!("sacctmgr: error: Invalid value for RawUsage ({value})\n You didn't give me anything to set\n");
            Err(Outcome::failure(text, 1))
        }
    }
}

/// Forgets what those used whom `found` names.
///
/// # Errors
/// Where none are named, or one that there is not.
pub(super) fn reset(
    entity: Entity,
    mut found: Conditions,
    settings: &[Setting],
    scene: &Scene<'_>,
) -> Result<Step, Outcome> {
    match entity {
        Entity::Account => found.accounts.append(&mut found.names),
        Entity::User => found.users.append(&mut found.names),
        _ => {}
    }
    let missing = match entity {
        Entity::Account if found.accounts.is_empty() => Some("An association name is required to remove usage"),
        Entity::User if found.accounts.is_empty() => Some("An account must be specified"),
        Entity::Qos if found.names.is_empty() => Some("A QOS name is required to remove usage"),
        _ => None,
    };
    if let Some(missing) = missing {
        return Err(complain(missing));
    }
    let announcement = if found.clusters.is_empty() {
        format!("No cluster specified, resetting on local cluster {}\n", scene.cluster)
    } else {
        String::new()
    };
    let failed = |text: String| Outcome { stdout: announcement.clone(), ..complain(&text) };
    if let Some(other) = found.clusters.iter().find(|name| !name.eq_ignore_ascii_case(&scene.cluster)) {
        return Err(failed(format!("Failed to find cluster {other} in database")));
    }
    let whose = if entity == Entity::Qos { qos(&found, scene) } else { associations(entity, &found, scene) };
    let commands = whose.map_err(failed)?.into_iter().map(Command::ResetUsage).collect();
    let mut outcome = Outcome::default();
    if settings.iter().any(|setting| !setting.is(KEY)) {
        outcome.stderr.push_str("sacctmgr: with RawUsage nothing else is changed\n");
    }
    let asks = !scene.flags.immediate;
    Ok(Step::Change(Change { announcement, commands, question: RESET_QUESTION, asks, outcome }))
}

fn qos(found: &Conditions, scene: &Scene<'_>) -> Result<Vec<UsageOf>, String> {
    let one = |name: &Name| match scene.policy.qos.get(name) {
        Some(qos) => Ok(UsageOf::Qos(qos.name.clone())),
        None => Err(format!("Failed to find QOS {name}")),
    };
    found.names.iter().map(one).collect()
}

/// The associations of each account, or of each user in it.
fn associations(entity: Entity, found: &Conditions, scene: &Scene<'_>) -> Result<Vec<UsageOf>, String> {
    let mut whose = Vec::new();
    for account in &found.accounts {
        let nobody = [Name::from("")];
        let users = if entity == Entity::User && !found.users.is_empty() { &found.users[..] } else { &nobody[..] };
        for user in users {
            let is_it = |row: &Association| {
                row.key.account == *account && row.key.user == *user && found.takes(scene.policy, row)
            };
            let rows = scene.policy.associations.values().filter(|row| is_it(row));
            let ids: Vec<AssociationId> = rows.map(|row| row.id).collect();
            // Users are only looked for by name.
            if ids.is_empty() || (entity == Entity::User && user.is_empty()) {
                let of_user = if user.is_empty() { String::new() } else { format!(" user {user}") };
                let cluster = &scene.cluster;
                return Err(format!(
                    "Failed to find cluster {cluster} account {account}{of_user} association in database"
                ));
            }
            whose.extend(ids.into_iter().map(UsageOf::Association));
        }
    }
    Ok(whose)
}

fn complain(text: &str) -> Outcome {
    Outcome::failure(format!("sacctmgr: error: {text}\n"), 1)
}
