//! `sacctmgr add cluster` and its kin, where the accounting is that of one cluster.
//!
//! Set-up scripts of sites add their cluster, which is there from the beginning: they are told so as by Slurm. What they say of
//! others is refused. `modify cluster` changes the association at the top of the tree, from which all others take what they have
//! not themselves.

use muster_model::accounting::{AccountingChange, AssociationChanges, CountLimit, TresLimit};

use super::super::context::Outcome;
use super::modify::{Complaints, heirs_listed, nothing_modified};
use super::words::{Setting, is_cut};
use super::{Scene, Step, Verb, fields};

/// What becomes of a request that adds, changes or removes clusters.
///
/// # Errors
/// What to print instead of doing anything.
pub(super) fn change(verb: Verb, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let own = &scene.cluster;
    match verb {
        Verb::Modify => modify(settings, scene),
        Verb::Add => Err(add(settings, own)),
        _ => {
            let text =
                format!("sacctmgr: error: clusters cannot be removed: the accounting here is that of {own} alone\n");
            Err(Outcome::failure(text, 1))
        }
    }
}

fn is_name(setting: &Setting) -> bool {
    setting.key.is_empty() || setting.is(&[("names", 1), ("clusters", 1)])
}

fn add(settings: &[Setting], own: &str) -> Outcome {
    let names: Vec<_> = settings.iter().filter(|setting| is_name(setting)).flat_map(Setting::names).collect();
    if names.is_empty() {
        return Outcome::failure(" Need name of cluster to add.\n", 1);
    }
    let mut outcome = Outcome { code: 1, ..Outcome::default() };
    for name in names {
        if name.eq_ignore_ascii_case(own) {
            outcome.stdout.push_str(&format!(" This cluster {name} already exists.  Not adding.\n"));
        } else {
            let text = format!("sacctmgr: error: {name} cannot be added: the accounting here is that of {own} alone\n");
            outcome.stderr.push_str(&text);
        }
    }
    outcome
}

/// What Slurm keeps of clusters beside limits, each with the letters that it may be cut to.
const OF_SEVERAL: &[(&str, usize)] = &[("classification", 3), ("features", 3), ("federation", 4), ("fedstate", 4)];

fn modify(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let mut names = Vec::new();
    let (mut changes, mut complaints) = (AssociationChanges::default(), Complaints::default());
    let mut sets = false;
    for setting in settings {
        match setting {
            word if word.key.is_empty() && is_cut(&word.value, "where", 5) => sets = false,
            word if word.key.is_empty() && is_cut(&word.value, "set", 3) => sets = true,
            name if is_name(name) => names.extend(name.names()),
            kept if kept.is(OF_SEVERAL) => {
                let (key, own) = (&kept.key, &scene.cluster);
                complaints.0.push_str(&format!(
                    "sacctmgr: error: {key} is not kept of clusters: the accounting here is that of {own} alone\n"
                ));
            }
            value if sets => {
                let mut alone = AssociationChanges::default();
                complaints.note(value, fields::association(value, &mut alone, scene));
                complaints.0.push_str(&not_of_the_top(&alone));
                // What is wrong has been told.
                drop(fields::association(value, &mut changes, scene));
            }
            condition => complaints
                .0
                .push_str(&format!(" Unknown condition: {}\n Use keyword 'set' to modify value\n", condition.text)),
        }
    }
    if !complaints.0.is_empty() {
        return Err(Outcome::failure(complaints.0, 1));
    }
    if changes == AssociationChanges::default() {
        return Err(Outcome::failure(" You didn't give me anything to set\n", 1));
    }
    if let Some(Some(name)) = changes
        .qos_default
        .as_ref()
        .filter(|name| name.as_ref().is_some_and(|name| !scene.policy.qos.contains_key(name)))
    {
        let text = format!("You gave a bad default qos '{name}'.  Use 'list qos' to get complete list.\n");
        return Err(Outcome::failure(text, 1));
    }
    let mut text = format!(" Setting\n  Default Limits:\n{}", fields::announce_association(&changes));
    let is_here = names.is_empty() || names.iter().any(|name| name.eq_ignore_ascii_case(&scene.cluster));
    let top = scene.policy.associations.values().find(|association| association.parent.is_none() && is_here);
    let Some(top) = top else {
        let outcome = nothing_modified();
        return Err(Outcome { stdout: text + &outcome.stdout, ..outcome });
    };
    text.push_str(" Modified cluster defaults for associations...\n");
    text.push_str(&format!("  C = {:<10} A = {}\n", scene.cluster, top.key.account));
    text.push_str(&heirs_listed(top, &changes, scene));
    Ok(scene.change(text, vec![AccountingChange::ModifyAssociations { ids: vec![top.id], changes }]))
}

/// Limits on use in the past would end all work of the cluster for good, so that Slurm lets nobody set them for all of it.
fn not_of_the_top(changes: &AssociationChanges) -> String {
    let limits = &changes.limits;
    let wall = limits.counts.contains_key(&CountLimit::GrpWall).then_some("GrpWall");
    let tres = [(TresLimit::GrpTresMins, "GrpTRESMins"), (TresLimit::GrpTresRunMins, "GrpTRESRunMins")];
    let tres = tres.into_iter().filter(|(limit, _)| limits.tres.contains_key(limit)).map(|(_, name)| name);
    let text = |name| format!("{name} is not a valid option for the root association of a cluster.\n");
    wall.into_iter().chain(tres).map(text).collect()
}
