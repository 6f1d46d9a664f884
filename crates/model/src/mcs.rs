//! Security labels of jobs (`MCSPlugin`, `MCSParameters`): which label a job has, and whether nodes are kept for jobs of one label.
//!
//! As real Slurm 22.05 was seen to decide it.

use serde::{Deserialize, Serialize};

use crate::ids::{Identity, Name};

/// What labels are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McsPlugin {
    /// There are no rules: a label is what its user says.
    #[default]
    None,
    /// The account that is charged.
    Account,
    /// A group of the user, one of [`McsConfig::groups`].
    Group,
    /// The user.
    User,
}

/// When nodes are shared only with jobs of the same label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McsSelect {
    /// `noselect`.
    Never,
    /// `ondemandselect`: with `--exclusive=mcs`.
    #[default]
    OnDemand,
    /// `select`: for all jobs with a label.
    Always,
}

/// The rules of a site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct McsConfig {
    /// What labels are made of.
    pub plugin: McsPlugin,
    /// `enforced`: each job has one, rather than those that ask for it.
    pub enforced: bool,
    /// When it keeps others away.
    pub select: McsSelect,
    /// For [`McsPlugin::Group`]: the groups that may be labels, the first of a user's before others.
    pub groups: Vec<Name>,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// Its label.
    pub label: Option<Name>,
    /// Whether its nodes are shared only with jobs of this label.
    pub keeps_others_away: bool,
}

impl McsConfig {
    /// The label of a job; `wanted` is what it asks for, and `exclusive` whether it wants nodes for its label. `None` where it
    /// cannot have that label, or none where each job has one.
    pub fn label(
        &self,
        wanted: Option<&Name>,
        exclusive: bool,
        whose: &Identity,
        account: Option<&Name>,
    ) -> Option<Labelled> {
        let own: Vec<&Name> = match self.plugin {
            McsPlugin::None => {
                return Some(Labelled { label: wanted.cloned(), keeps_others_away: exclusive });
            }
            McsPlugin::Account => account.into_iter().collect(),
            McsPlugin::Group => self.groups.iter().filter(|group| **group == whose.group).collect(),
            McsPlugin::User => vec![&whose.user],
        };
        let label = match wanted {
            Some(wanted) => Some(own.into_iter().find(|own| *own == wanted)?.clone()),
            None if self.enforced => Some(own.into_iter().next()?.clone()),
            None if exclusive => own.into_iter().next().cloned(),
            None => None,
        };
        let keeps_others_away = label.is_some()
            && match self.select {
                McsSelect::Never => false,
                McsSelect::OnDemand => exclusive,
                McsSelect::Always => true,
            };
        Some(Labelled { label, keeps_others_away })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &McsConfig, wanted: Option<&str>, exclusive: bool, expected: &str) {
        let whose = Identity { uid: 7, gid: 8, user: "ann".into(), group: "staff".into() };
        let wanted: Option<Name> = wanted.map(Into::into);
        let found = config.label(wanted.as_ref(), exclusive, &whose, Some(&"bio".into()));
        let text = found.map_or("refused".to_owned(), |found| {
            format!("{} {}", found.label.as_deref().unwrap_or("none"), u8::from(found.keeps_others_away))
        });
        assert_eq!(text, expected, "{config:?} {wanted:?} {exclusive}");
    }

    #[test]
    fn labels_follow_the_rules_of_the_site() {
        let none = McsConfig::default();
        check(&none, Some("any"), true, "any 1");
        let user = McsConfig { plugin: McsPlugin::User, select: McsSelect::Always, ..none.clone() };
        check(&user, None, false, "none 0");
        check(&user, None, true, "ann 1");
        check(&user, Some("ann"), false, "ann 1");
        check(&user, Some("bob"), false, "refused");
        let never = McsConfig { select: McsSelect::Never, enforced: true, ..user.clone() };
        check(&never, None, false, "ann 0");
        check(&never, Some("ann"), true, "ann 0");
        let on_demand = McsConfig { select: McsSelect::OnDemand, enforced: true, ..user };
        check(&on_demand, None, false, "ann 0");
        check(&on_demand, None, true, "ann 1");
        let group = McsConfig { plugin: McsPlugin::Group, enforced: true, ..none.clone() };
        check(&group, None, false, "refused");
        let group = McsConfig { groups: vec!["wheel".into(), "staff".into()], ..group };
        check(&group, None, false, "staff 0");
        check(&group, Some("wheel"), false, "refused");
        check(&McsConfig { plugin: McsPlugin::Account, ..none }, Some("bio"), true, "bio 1");
    }
}
