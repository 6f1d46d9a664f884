//! Who may use a reservation.
//!
//! As in Slurm 22.05: every kind of list that says something must agree (users and groups are one kind), and nobody is
//! exempt, not even root. Changing a reservation is another matter.

use serde::{Deserialize, Serialize};

use super::Reservation;
use crate::ids::Name;
use crate::job::{Job, JobSpec};

/// A list of names that may use a reservation, or of names that may not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessList {
    /// Who may; empty for all that are not denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Name>,
    /// Who may not (written with a leading `-`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Name>,
}

impl AccessList {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty()
    }

    /// Whether something called by one of `names` may use the reservation as far as this list goes.
    pub fn admits(&self, names: &[&str]) -> bool {
        let listed = |list: &[Name]| list.iter().any(|name| names.contains(&&**name));
        !listed(&self.denied) && (self.allowed.is_empty() || listed(&self.allowed))
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Applicant<'a> {
    uid: String,
    user: &'a str,
    group: &'a str,
    account: &'a str,
    qos: &'a str,
    partition: &'a str,
}

impl<'a> Applicant<'a> {
    /// The owner of a job with `spec` that would run in `partition`.
    pub fn of(spec: &'a JobSpec, partition: &'a str) -> Applicant<'a> {
        Applicant {
            uid: spec.identity.uid.to_string(),
            user: &spec.identity.user,
            group: &spec.identity.group,
            account: spec.account.as_deref().unwrap_or_default(),
            qos: spec.qos.as_deref().unwrap_or_default(),
            partition,
        }
    }

    /// The owner of `job`, charged as it is, if it ran in `partition`.
    pub fn of_job(job: &'a Job, partition: &'a str) -> Applicant<'a> {
        Applicant::of(&job.spec, partition).charged(job.account.as_ref(), job.qos.as_ref())
    }

    /// The same charged to this account and QOS, where they are known.
    pub fn charged(self, account: Option<&'a Name>, qos: Option<&'a Name>) -> Applicant<'a> {
        let or = |given: Option<&'a Name>, otherwise: &'a str| given.map_or(otherwise, |name| &**name);
        Applicant { account: or(account, self.account), qos: or(qos, self.qos), ..self }
    }
}

impl Reservation {
    /// Whether jobs of `who` may use it.
    pub fn admits(&self, who: &Applicant<'_>) -> bool {
        self.users.admits(&[who.user, &who.uid])
            && self.groups.admits(&[who.group])
            && self.accounts.admits(&[who.account])
            && self.qos.admits(&[who.qos])
            && self.partitions.admits(&[who.partition])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_allow_or_deny() {
        let list = |text: &str| {
            let mut list = AccessList::default();
            for name in text.split(',').filter(|name| !name.is_empty()) {
                match name.strip_prefix('-') {
                    Some(name) => list.denied.push(name.into()),
                    None => list.allowed.push(name.into()),
                }
            }
            list
        };
        let check = |text: &str, name: &str, expected: bool| {
            assert_eq!(list(text).admits(&[name]), expected, "{name} and {text}");
        };
        check("", "ada", true);
        check("ada,bob", "ada", true);
        check("ada,bob", "eve", false);
        check("-eve", "ada", true);
        check("-eve", "eve", false);
        check("ada", "", false);
        assert!(list("1000").admits(&["ada", "1000"]), "a user may be listed by number");
    }
}
