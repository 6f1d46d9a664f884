//! `sacctmgr add cluster` and its kin, where the accounting is that of one cluster.
//!
//! Set-up scripts of sites add their cluster, which is there from the beginning: they are told so as by Slurm. What they say of
//! others is refused.

use super::super::context::Outcome;
use super::words::Setting;
use super::{Scene, Step, Verb};

/// What becomes of a request that adds, changes or removes clusters.
///
/// # Errors
/// What to print; nothing of it is ever done.
pub(super) fn change(verb: Verb, settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let own = &scene.cluster;
    let done = match verb {
        Verb::Add => "added",
        Verb::Delete => "removed",
        _ => "changed",
    };
    if verb != Verb::Add {
        let text = format!("sacctmgr: error: clusters cannot be {done}: the accounting here is that of {own} alone\n");
        return Err(Outcome::failure(text, 1));
    }
    let is_name = |setting: &&Setting| setting.key.is_empty() || setting.is(&[("names", 1), ("clusters", 1)]);
    let names: Vec<_> = settings.iter().filter(is_name).flat_map(Setting::names).collect();
    if names.is_empty() {
        return Err(Outcome::failure(" Need name of cluster to add.\n", 1));
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
    Err(outcome)
}
