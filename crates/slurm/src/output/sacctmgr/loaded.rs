//! The tables of what a loaded file adds, as sacctmgr 22.05 prints them.

use std::collections::BTreeSet;

use muster_model::accounting::{Account, AssociationChanges, Limits, Shares};
use muster_model::ids::Name;

use super::dump::{SHARES_OF_PARENT, TERMS};

/// Heading and width.
type Heading = (&'static str, usize);

const ACCOUNTS: &[Heading] = &[("Name", 10), ("Descr", 20), ("Org", 20), ("QOS", 20)];
const USERS: &[Heading] =
    &[("Name", 10), ("Def Acct", 10), ("Def WCKey", 10), ("QOS", 20), ("Admin", 9), ("Coord Accounts", 20)];
/// Shares and limits, of accounts and of users. Some are of old and stay empty.
const TERMS_SHOWN: &[(Heading, &str)] = &[
    (("Share", 9), "Fairshare"),
    (("GrpTRESMins", 13), "GrpTRESMins"),
    (("GrpTRESRunMin", 13), "GrpTRESRunMins"),
    (("GrpTRES", 13), "GrpTRES"),
    (("GrpJobs", 7), "GrpJobs"),
    (("GrpJobsAccrue", 13), "GrpJobsAccrue"),
    (("GrpMem", 7), ""),
    (("GrpNodes", 8), ""),
    (("GrpSubmit", 9), "GrpSubmitJobs"),
    (("GrpWall", 11), "GrpWall"),
    (("MaxTRESMins", 13), "MaxTRESMinsPerJob"),
    (("MaxTRES", 13), "MaxTRESPerJob"),
    (("MaxTRESPerNode", 14), "MaxTRESPerNode"),
    (("MaxJobs", 7), "MaxJobs"),
    (("MaxSubmit", 9), "MaxSubmitJobs"),
    (("MaxNodes", 8), ""),
    (("MaxWall", 11), "MaxWallDurationPerJob"),
    (("QOS", 20), "QOS"),
    (("Def QOS", 9), "DefaultQOS"),
];

/// Rows of the four tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    accounts: Vec<Vec<String>>,
    account_associations: Vec<Vec<String>>,
    users: Vec<Vec<String>>,
    user_associations: Vec<Vec<String>>,
}

impl Tables {
    pub(super) fn account(&mut self, account: &Account, parent: &Name, association: &AssociationChanges) {
        let words = [&account.name, &account.description, &account.organization];
        self.accounts.push(words.iter().map(|word| word.to_string()).chain([String::new()]).collect());
        let head = [account.name.to_string(), parent.to_string()];
        self.account_associations.push(head.into_iter().chain(terms(association)).collect());
    }

    pub(super) fn user(&mut self, name: &Name, default: &Name, level: Option<&Name>, coordinated: &BTreeSet<Name>) {
        let coordinated = coordinated.iter().map(|name| &**name).collect::<Vec<_>>().join(",");
        let level = level.map_or("Not Set", |level| &**level).to_owned();
        self.users.push(vec![name.to_string(), default.to_string(), String::new(), String::new(), level, coordinated]);
    }

    pub(super) fn user_association(&mut self, name: &Name, account: &Name, association: &AssociationChanges) {
        let head = [name.to_string(), account.to_string()];
        self.user_associations.push(head.into_iter().chain(terms(association)).collect());
    }

    /// All tables that have rows.
    pub(super) fn text(&self) -> String {
        let with_terms = |first: [Heading; 2]| -> Vec<Heading> {
            first.into_iter().chain(TERMS_SHOWN.iter().map(|(heading, _)| *heading)).collect()
        };
        let line = |length: usize| "-".repeat(length) + "\n\n";
        let mut text = String::new();
        let all = [
            ("Accounts", ACCOUNTS.to_vec(), &self.accounts, 51),
            ("Account Associations", with_terms([("Account", 10), ("ParentName", 10)]), &self.account_associations, 62),
            ("Users", USERS.to_vec(), &self.users, 51),
            ("User Associations", with_terms([("User", 10), ("Account", 10)]), &self.user_associations, 62),
        ];
        for (title, headings, rows, length) in all.into_iter().filter(|(_, _, rows, _)| !rows.is_empty()) {
            text.push_str(title);
            text.push('\n');
            text.push_str(&table(&headings, rows));
            text.push_str(&line(length));
        }
        text
    }
}

fn table(headings: &[Heading], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (heading, width) in headings {
        text.push_str(&format!("{:>width$.width$} ", heading));
    }
    text.push('\n');
    headings.iter().for_each(|(_, width)| text.push_str(&("-".repeat(*width) + " ")));
    text.push('\n');
    for row in rows {
        for (value, (_, width)) in row.iter().zip(headings) {
            let cut = if value.chars().count() > *width {
                value.chars().take(width.saturating_sub(1)).collect::<String>() + "+"
            } else {
                value.clone()
            };
            text.push_str(&format!("{cut:>width$} "));
        }
        text.push('\n');
    }
    text
}

fn terms(association: &AssociationChanges) -> Vec<String> {
    let mut limits = Limits::default();
    limits.change(&association.limits);
    let value = |key: &str| match key {
        "Fairshare" => association.shares.map(|shares| match shares {
            Shares::Raw(shares) => shares.to_string(),
            Shares::Parent => SHARES_OF_PARENT.to_string(),
        }),
        "QOS" => association.qos_allowed.as_ref().map(|list| list.items().join(",")),
        "DefaultQOS" => association.qos_default.clone().flatten().map(|name| name.to_string()),
        key => TERMS.iter().find(|(name, _)| *name == key).and_then(|(_, term)| term.text(&limits)),
    };
    TERMS_SHOWN.iter().map(|(_, key)| value(key).unwrap_or_default()).collect()
}
