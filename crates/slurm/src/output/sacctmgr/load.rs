//! `sacctmgr load`: a file as `dump` writes it, of this program or of Slurm, becomes changes.
//!
//! The file is compared with what there is: what it adds or says otherwise changes, what it does not mention stays. With
//! `clean` everything but root goes first. The texts are those of sacctmgr 22.05. A file of another cluster is taken with
//! `cluster=`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use muster_model::accounting::{
    Account, AccountingChange, Association, AssociationChanges, AssociationKey, LimitChanges, ListChange, Shares,
};
use muster_model::ids::Name;

use super::super::context::Outcome;
use super::dump::{SHARES_OF_PARENT, TERMS};
use super::loaded::Tables;
use super::words::Setting;
use super::{Scene, Step, fields};

/// Lines of a file beyond which it is refused: more than any site has associations, and bounded in memory.
const LINES_MAX: usize = 1_000_000;

/// What the words behind `load` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// The file, and the word that named it.
    pub(super) file: Option<(String, String)>,
    pub(super) clean: bool,
    pub(super) cluster: Option<String>,
}

impl Wish {
    /// Reads them.
    pub(super) fn of(words: &[String]) -> Result<Wish, Outcome> {
        let mut wish = Wish::default();
        for setting in words.iter().map(|word| Setting::read(word)) {
            match &setting {
                word if word.key.is_empty() && word.value.eq_ignore_ascii_case("clean") => wish.clean = true,
                word if word.key.is_empty() || word.is(&[("file", 1)]) => {
                    wish.file = Some((setting.value.clone(), setting.text.clone()));
                }
                name if name.is(&[("cluster", 1)]) => wish.cluster = Some(setting.value.clone()),
                other => return Err(Outcome::failure(format!(" Unknown option: {}\n", other.text), 1)),
            }
        }
        if wish.file.is_none() {
            return Err(Outcome::failure(" No filename given, specify one with file=''\n", 1));
        }
        Ok(wish)
    }
}

/// What the file changes.
pub(super) fn load(wish: &Wish, content: &str, scene: &Scene<'_>) -> Result<Step, Outcome> {
    let mut loader = Loader::new(scene, wish);
    for (number, line) in (1..).zip(content.lines()) {
        if number > LINES_MAX {
            return Err(Outcome::failure(format!(" The file has more than {LINES_MAX} lines\n"), 1));
        }
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            loader.line(number, line)?;
        }
    }
    loader.finish()
}

struct Loader<'a> {
    scene: &'a Scene<'a>,
    wish: &'a Wish,
    cluster: Option<String>,
    parent: Name,
    /// Accounts that are there or come with the file.
    accounts: BTreeSet<Name>,
    /// Users that are there or come with the file.
    users: BTreeSet<Name>,
    /// Associations that come with the file.
    fresh: BTreeSet<AssociationKey>,
    default_accounts: BTreeMap<Name, Name>,
    coordinators: BTreeMap<Name, BTreeSet<Name>>,
    announcement: String,
    notices: String,
    tables: Tables,
    changes: Vec<AccountingChange>,
}

impl<'a> Loader<'a> {
    fn new(scene: &'a Scene<'a>, wish: &'a Wish) -> Loader<'a> {
        let policy = scene.policy;
        let kept = |name: &Name| !wish.clean || **name == *"root";
        let mut loader = Loader {
            scene,
            wish,
            cluster: None,
            parent: "root".into(),
            accounts: policy.accounts.keys().filter(|name| kept(name)).cloned().collect(),
            users: policy.users.keys().filter(|name| kept(name)).cloned().collect(),
            fresh: BTreeSet::new(),
            default_accounts: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            announcement: String::new(),
            notices: String::new(),
            tables: Tables::default(),
            changes: Vec::new(),
        };
        loader.accounts.insert("root".into());
        if wish.clean {
            let others = |name: &&Name| ***name != *"root";
            let users: Vec<Name> = policy.users.keys().filter(others).cloned().collect();
            let accounts: Vec<Name> = policy.accounts.keys().filter(others).cloned().collect();
            let gone =
                [AccountingChange::DeleteUsers { names: users }, AccountingChange::DeleteAccounts { names: accounts }];
            let names_some = |change: &AccountingChange| match change {
                AccountingChange::DeleteUsers { names } | AccountingChange::DeleteAccounts { names } => {
                    !names.is_empty()
                }
                _ => true,
            };
            loader.changes.extend(gone.into_iter().filter(names_some));
        }
        loader
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), Outcome> {
        let problem = || Outcome::failure(format!(" Problem with line({number})\n"), 1);
        let (kind, rest) = line.split_once('-').ok_or_else(problem)?;
        let mut words = split(rest);
        let name = if words.is_empty() { return Err(problem()) } else { words.remove(0) };
        let name = Setting::read(&name).value.trim().to_ascii_lowercase();
        let settings: Vec<Setting> = words.iter().map(|word| Setting::read(word)).collect();
        let kind = kind.trim();
        if kind.eq_ignore_ascii_case("cluster") || kind.eq_ignore_ascii_case("machine") {
            return self.cluster(&name, &settings, number);
        }
        if self.cluster.is_none() {
            let text = " You need to specify a cluster name first with 'Cluster - $NAME' in your file\n";
            return Err(Outcome { stdout: " Nothing new added.\n".to_owned(), ..Outcome::failure(text, 1) });
        }
        match kind.to_ascii_lowercase().as_str() {
            "parent" if self.accounts.contains(&*name) => self.parent = name.as_str().into(),
            "parent" => {
                let text = format!(
                    " line({number}) You need to add this parent ({name}) as a child before you can add children to it.\n"
                );
                return Err(self.failed(text));
            }
            "account" | "project" => self.account(&name, &settings, number)?,
            "user" => self.user(&name, &settings, number)?,
            _ => return Err(self.failed(format!(" Misformatted line({number}): {line}\n"))),
        }
        Ok(())
    }

    fn failed(&self, text: String) -> Outcome {
        Outcome { stdout: format!("{} Nothing new added.\n", self.announcement), ..Outcome::failure(text, 1) }
    }

    fn cluster(&mut self, name: &str, settings: &[Setting], number: usize) -> Result<(), Outcome> {
        let name = self.wish.cluster.clone().unwrap_or_else(|| name.to_owned());
        let own = &self.scene.cluster;
        if !name.eq_ignore_ascii_case(own) {
            let text = format!(" Cluster {name} doesn't exist; use cluster={own} to load the file here.\n");
            return Err(Outcome::failure(text, 1));
        }
        let _ = writeln!(self.announcement, "For cluster {own}");
        self.cluster = Some(name);
        let changes = self.association(settings, number, |_| false)?;
        let key = AssociationKey { account: "root".into(), user: "".into(), partition: "".into() };
        self.change(&key, changes, ("Cluster", own.as_str().into()));
        Ok(())
    }

    /// What of `settings` is about an association; `other` takes the rest.
    fn association(
        &self,
        settings: &[Setting],
        number: usize,
        mut other: impl FnMut(&Setting) -> bool,
    ) -> Result<AssociationChanges, Outcome> {
        let mut changes = AssociationChanges::default();
        for setting in settings {
            if other(setting) {
                continue;
            }
            let setting = as_written_here(setting);
            match fields::association(&setting, &mut changes, self.scene) {
                Ok(true) => {}
                Ok(false) => {
                    let text = format!(" Unknown option: {}\n Problem with line({number})\n", setting.text);
                    return Err(self.failed(text));
                }
                Err(complaint) => return Err(self.failed(format!("{complaint} Problem with line({number})\n"))),
            }
        }
        Ok(changes)
    }

    fn account(&mut self, name: &str, settings: &[Setting], number: usize) -> Result<(), Outcome> {
        let name = Name::from(name);
        let (mut description, mut organization) = (None, None);
        let association = self.association(settings, number, |setting| {
            let text = || Some(Name::from(setting.value.as_str()));
            match setting {
                words if words.is(&[("description", 1)]) => description = text(),
                words if words.is(&[("organization", 1)]) => organization = text(),
                _ => return false,
            }
            true
        })?;
        let key = AssociationKey { account: name.clone(), user: "".into(), partition: "".into() };
        if self.accounts.contains(&name) {
            self.describe(&name, description, organization);
            self.change(&key, association, ("Account", name));
            return Ok(());
        }
        let otherwise = |parent: &Name| if **parent == *"root" { name.clone() } else { parent.clone() };
        let account = Account {
            description: description.unwrap_or_else(|| name.clone()),
            organization: organization.unwrap_or_else(|| otherwise(&self.parent)),
            name: name.clone(),
            coordinators: Vec::new(),
        };
        self.tables.account(&account, &self.parent, &association);
        self.accounts.insert(name);
        self.fresh.insert(key);
        let parent = self.parent.clone();
        self.changes.push(AccountingChange::CreateAccounts { accounts: vec![account], parent, association });
        Ok(())
    }

    fn describe(&mut self, name: &Name, description: Option<Name>, organization: Option<Name>) {
        let Some(found) = self.scene.policy.accounts.get(name).filter(|_| !self.wish.clean) else { return };
        let description = description.filter(|text| *text != found.description);
        let organization = organization.filter(|text| *text != found.organization);
        let pairs =
            [("description", &found.description, &description), ("organization", &found.organization, &organization)];
        for (what, before, after) in pairs {
            if let Some(after) = after {
                self.tell(what, ("Account", name), before, after);
            }
        }
        if description.is_some() || organization.is_some() {
            let names = vec![name.clone()];
            self.changes.push(AccountingChange::ModifyAccounts { names, description, organization });
        }
    }

    fn user(&mut self, name: &str, settings: &[Setting], number: usize) -> Result<(), Outcome> {
        let name = Name::from(name);
        let (mut partition, mut default, mut level, mut coordinated) = (Name::from(""), None, None, Vec::new());
        let association = self.association(settings, number, |setting| {
            match setting {
                text if text.is(&[("partition", 1)]) => partition = text.value.to_ascii_lowercase().as_str().into(),
                text if text.is(&[("defaultaccount", 8)]) => default = text.names().first().cloned(),
                text if text.is(&[("adminlevel", 2)]) => level = admin_level(&text.value),
                text if text.is(&[("coordinator", 2)]) => coordinated = text.names(),
                // There are no workload characterisation keys here.
                text if text.is(&[("defaultwckey", 8), ("wckeys", 2)]) => {}
                _ => return false,
            }
            true
        })?;
        if settings.iter().any(|setting| setting.is(&[("defaultwckey", 8), ("wckeys", 2)])) {
            let _ = writeln!(
                self.notices,
                "sacctmgr: workload characterisation keys are not kept by this version (line {number})"
            );
        }
        self.coordinators.entry(name.clone()).or_default().extend(coordinated);
        if let Some(account) = &default {
            self.default_accounts.insert(name.clone(), account.clone());
        }
        let key = AssociationKey { account: self.parent.clone(), user: name.clone(), partition: partition.clone() };
        let is_new = self.users.insert(name.clone());
        if is_new {
            self.tables.user(
                &name,
                default.as_ref().unwrap_or(&self.parent),
                level.as_ref(),
                &self.coordinators[&name],
            );
        } else if let Some(level) = &level {
            self.level(&name, level);
        }
        let is_there = !self.wish.clean && self.scene.policy.association_index.contains_key(&key)
            || self.wish.clean && *name == *"root" && self.scene.policy.association_index.contains_key(&key);
        if is_there || !self.fresh.insert(key.clone()) {
            self.change(&key, association, ("User", name));
            return Ok(());
        }
        self.tables.user_association(&name, &self.parent, &association);
        self.changes.push(AccountingChange::CreateUsers {
            names: vec![name],
            accounts: vec![self.parent.clone()],
            partitions: Some(partition).filter(|name| !name.is_empty()).into_iter().collect(),
            default_account: None,
            admin_level: level.filter(|_| is_new),
            association,
        });
        Ok(())
    }

    fn level(&mut self, name: &Name, level: &Name) {
        let Some(found) = self.scene.policy.users.get(name) else { return };
        let before = found.admin_level.clone().unwrap_or_else(|| "None".into());
        if before != *level {
            self.tell("admin level", ("User", name), &before, level);
            let change = AccountingChange::ModifyUsers {
                names: vec![name.clone()],
                default_account: None,
                admin_level: Some(level.clone()),
            };
            self.changes.push(change);
        }
    }

    fn tell(&mut self, what: &str, (kind, name): (&str, &Name), before: &str, after: &str) {
        let _ = writeln!(self.announcement, " Changed {what:<21} for {kind:<7} {:<10} {before:>8} -> {after}", &**name);
    }

    /// Of `changes` keeps what is not so already.
    fn change(&mut self, key: &AssociationKey, changes: AssociationChanges, whose: (&str, Name)) {
        let index = &self.scene.policy.association_index;
        let Some(row) = index.get(key).and_then(|id| self.scene.policy.associations.get(id)).cloned() else { return };
        let (lines, changes) = difference(&row, changes, self.scene);
        if lines.is_empty() {
            return;
        }
        for (what, before, after) in &lines {
            self.tell(what, (whose.0, &whose.1), before, after);
        }
        self.changes.push(AccountingChange::ModifyAssociations { ids: vec![row.id], changes });
    }

    fn finish(mut self) -> Result<Step, Outcome> {
        if self.cluster.is_none() {
            return Err(Outcome { stdout: " Nothing new added.\n".to_owned(), ..Outcome::failure("", 1) });
        }
        for (user, account) in std::mem::take(&mut self.default_accounts) {
            let before = self.scene.policy.users.get(&user).and_then(|user| user.default_account.clone());
            if before.as_ref().filter(|_| !self.wish.clean) != Some(&account) {
                let names = vec![user];
                let default_account = Some(account);
                self.changes.push(AccountingChange::ModifyUsers { names, default_account, admin_level: None });
            }
        }
        for (user, accounts) in std::mem::take(&mut self.coordinators) {
            let is_one = |account: &Name| {
                let found = self.scene.policy.accounts.get(account).filter(|_| !self.wish.clean);
                found.is_some_and(|found| found.coordinators.contains(&user))
            };
            let accounts: Vec<Name> = accounts.into_iter().filter(|account| !is_one(account)).collect();
            if !accounts.is_empty() {
                self.changes.push(AccountingChange::AddCoordinators { users: vec![user], accounts });
            }
        }
        if self.changes.is_empty() {
            let stdout = format!("{} Nothing new added.\n", self.announcement);
            return Ok(Step::Print(Outcome { stdout, stderr: self.notices, code: 0 }));
        }
        let announcement = format!("{}{}", self.announcement, self.tables.text());
        let Step::Change(mut change) = self.scene.change(announcement, self.changes) else {
            return Err(Outcome::failure("", 1));
        };
        change.outcome.stderr.push_str(&self.notices);
        Ok(Step::Change(change))
    }
}

/// The parts of a line at `:`, but not within quotes.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.trim().chars() {
        match (letter, quote) {
            (':', None) => parts.push(std::mem::take(&mut part)),
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            _ => part.push(letter),
        }
    }
    parts.push(part);
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

/// Slurm writes a number for `fairshare=parent`, and a sign in front of a list of QOS that adds to that of the parent.
fn as_written_here(setting: &Setting) -> Setting {
    let mut setting = setting.clone();
    if setting.is(&[("fairshare", 1), ("shares", 1)]) && setting.value == SHARES_OF_PARENT.to_string() {
        setting.value = "parent".to_owned();
    }
    if setting.is(&[("qoslevel", 1), ("qos", 1)]) && setting.value.starts_with(['+', '-']) {
        setting.sign = if setting.value.starts_with('+') { '+' } else { '-' };
        setting.value = setting.value.replace(['+', '-'], "");
    }
    setting
}

fn admin_level(text: &str) -> Option<Name> {
    match text.to_ascii_lowercase().chars().next() {
        Some('a') => Some("Administrator".into()),
        Some('o') => Some("Operator".into()),
        Some('n') => Some("None".into()),
        _ => None,
    }
}

/// What would be other than it is: words for each, and the changes without the rest.
fn difference(
    row: &Association,
    wanted: AssociationChanges,
    scene: &Scene<'_>,
) -> (Vec<(String, String, String)>, AssociationChanges) {
    let mut lines = Vec::new();
    let mut changes = AssociationChanges::default();
    let mut note = |what: &str, before: String, after: String| lines.push((what.to_owned(), before, after));
    let number = |shares: Shares| match shares {
        Shares::Raw(shares) => shares,
        Shares::Parent => SHARES_OF_PARENT,
    };
    if let Some(shares) = wanted.shares.filter(|shares| number(*shares) != number(row.shares)) {
        note("fairshare", number(row.shares).to_string(), number(shares).to_string());
        changes.shares = Some(shares);
    }
    let mut after = row.limits.clone();
    after.change(&wanted.limits);
    for (key, term) in TERMS {
        let (before, after) = (term.text(&row.limits), term.text(&after));
        if before != after {
            note(key, before.unwrap_or_default(), after.unwrap_or_default());
            changes.limits = wanted.limits.clone();
        }
    }
    if changes.limits == LimitChanges::default() && after != row.limits {
        // A limit that the file of Slurm does not have.
        changes.limits = wanted.limits;
        note("limits", String::new(), String::new());
    }
    if let Some(priority) = wanted.priority.filter(|priority| *priority != row.priority) {
        note("Priority", row.priority.to_string(), priority.to_string());
        changes.priority = Some(priority);
    }
    if let Some(default) = wanted.qos_default.filter(|name| *name != row.qos_default) {
        let text = |name: &Option<Name>| name.as_deref().unwrap_or_default().to_owned();
        note("default qos", text(&row.qos_default), text(&default));
        changes.qos_default = Some(default);
    }
    if let Some(list) = wanted.qos_allowed {
        let before = row.qos_allowed.clone().unwrap_or_default();
        let inherited = scene.policy.qos_allowed(row);
        let base = if matches!(list, ListChange::Set(_)) { &before } else { &inherited };
        let after = list.apply(base);
        let sorted = |list: &[Name]| list.iter().cloned().collect::<BTreeSet<Name>>();
        if sorted(&after) != sorted(base) {
            note("QOS", before.join(","), after.join(","));
            changes.qos_allowed = Some(list);
        }
    }
    (lines, changes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_model::accounting::{AccountingPolicy, AssociationId, Limits, Qos, User};
    use muster_model::document::Document;

    use super::super::super::context::{Answers, Context};
    use super::super::{Sacctmgr, dump};
    use super::*;

    /// What sacctmgr 22.05 wrote of the accounts below.
    const OF_SLURM: &str = "\
Cluster - 'peer':Fairshare=2:GrpJobs=99:QOS='normal,qa'
Parent - 'root'
User - 'root':DefaultAccount='root':AdminLevel='Administrator':Fairshare=1
Account - 'all':Description='it`s a: x':Organization='o':DefaultQOS='qa':Fairshare=2147483647:GrpTRES=cpu=100,mem=5M:MaxJobs=12:MaxWallDurationPerJob=15:Priority=16
Parent - 'all'
User - 'yan':Partition='batch':DefaultAccount='all':Coordinator='all':Fairshare=1
User - 'yan':DefaultAccount='all':Coordinator='all':Fairshare=3:MaxSubmitJobs=9
";

    fn association(id: u32, parent: Option<u32>, key: [&str; 3], shares: Shares, limits: &[&str]) -> Association {
        let mut changes = LimitChanges::default();
        for limit in limits {
            let read = super::super::words::limit(&Setting::read(limit), false, &mut changes, &[]);
            assert_eq!(read, Ok(true), "{limit}");
        }
        let mut own = Limits::default();
        own.change(&changes);
        let [account, user, partition] = key.map(Name::from);
        Association {
            id: AssociationId(id),
            key: AssociationKey { account, user, partition },
            parent: parent.map(AssociationId),
            shares,
            priority: 0,
            qos_allowed: None,
            qos_default: None,
            limits: own,
        }
    }

    fn answers() -> Answers {
        let mut policy = AccountingPolicy::default();
        for (id, name) in [(1, "normal"), (2, "qa")] {
            policy.put(&Document::Qos(Arc::new(Qos { id, name: name.into(), ..Qos::default() })));
        }
        let user = |name: &str, account: &str, level: Option<&str>| User {
            name: name.into(),
            default_account: Some(account.into()),
            admin_level: level.map(Name::from),
        };
        policy.put(&Document::User(Arc::new(user("root", "root", Some("Administrator")))));
        policy.put(&Document::User(Arc::new(user("yan", "all", Some("None")))));
        for (name, description, coordinators) in [("root", "", vec![]), ("all", "it's a: x", vec!["yan".into()])] {
            let (name, description, organization) = (name.into(), description.into(), "o".into());
            policy.put(&Document::Account(Arc::new(Account { name, description, organization, coordinators })));
        }
        let root = Association {
            qos_allowed: Some(vec!["qa".into(), "normal".into()]),
            ..association(1, None, ["root", "", ""], Shares::Raw(2), &["GrpJobs=99"])
        };
        let all = Association {
            qos_default: Some("qa".into()),
            priority: 16,
            ..association(
                3,
                Some(1),
                ["all", "", ""],
                Shares::Parent,
                &["GrpTRES=mem=5,cpu=100", "MaxWall=15", "MaxJobs=12"],
            )
        };
        let rest = [
            association(2, Some(1), ["root", "root", ""], Shares::Raw(1), &[]),
            association(4, Some(3), ["all", "yan", ""], Shares::Raw(3), &["MaxSubmitJobs=9"]),
            association(5, Some(3), ["all", "yan", "batch"], Shares::Raw(1), &[]),
        ];
        for row in [root, all].into_iter().chain(rest) {
            policy.put(&Document::Association(Arc::new(row)));
        }
        let mut answers = Answers { accounting: policy, ..Answers::default() };
        answers.cluster.name = Some("peer".into());
        answers.cluster.parameters =
            vec![("AccountingStorageType".to_owned(), "accounting_storage/slurmdbd".to_owned())];
        answers
    }

    fn step(line: &str, file: Option<&str>) -> Step {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let root = muster_model::ids::Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let context =
            Context::new(muster_model::time::Timestamp(0), jiff::tz::TimeZone::UTC, &Default::default(), root);
        let mut command = match Sacctmgr::new(&words) {
            Ok(command) => command,
            Err(outcome) => return Step::Print(outcome),
        };
        assert_eq!(command.file_to_read().is_some(), file.is_some(), "{line}");
        if let Some(text) = file {
            command.set_file(Ok(text.to_owned()));
        }
        command.step(&answers(), &context)
    }

    /// What is printed of a load, and how many changes it makes.
    fn loaded(file: &str) -> (String, usize) {
        match step("-i load file=f", Some(file)) {
            Step::Print(outcome) => (outcome.stdout + &outcome.stderr, 0),
            Step::Change(change) => (change.announcement + &change.outcome.stderr, change.commands.len()),
            Step::Write(file) => panic!("a load writes {}", file.path),
        }
    }

    #[test]
    fn a_dump_is_that_of_slurm_and_loads_without_changes() {
        let Step::Write(file) = step("dump peer", None) else { panic!("no file") };
        assert_eq!((&*file.path, &*file.outcome.stdout), ("./peer.cfg", " No filename given, using ./peer.cfg.\n"));
        let lines: String =
            file.text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert_eq!(lines, OF_SLURM);
        assert_eq!(lines, dump::lines(&answers().accounting, "peer"));
        assert_eq!(file.outcome.stderr.lines().count(), OF_SLURM.lines().count());
        let loaded = loaded(&file.text);
        // A quote within words was written in another way.
        let quote = " Changed description           for Account all        it's a: x -> it`s a: x\n";
        assert_eq!(loaded, (format!("For cluster peer\n{quote}"), 1));
    }

    #[test]
    fn what_a_file_says_otherwise_is_told_as_slurm_tells_it() {
        let head = "# remark\n\nCluster - 'peer':Fairshare=2\n";
        let check = |rest: &str, expected: &str, changes: usize| {
            assert_eq!(loaded(&format!("{head}{rest}")), (format!("For cluster peer\n{expected}"), changes), "{rest}");
        };
        check("", " Nothing new added.\n", 0);
        check("Account - 'all':MaxJobs=12:QOS='+qa'\n", " Nothing new added.\n", 0);
        check(
            "Account - 'all':Fairshare=5:GrpJobs=7\n",
            " Changed fairshare             for Account all        2147483647 -> 5\n \
             Changed GrpJobs               for Account all                 -> 7\n",
            1,
        );
        check(
            "Parent - 'all'\nUser - 'yan':Fairshare=4:DefaultAccount='all'\n",
            " Changed fairshare             for User    yan               3 -> 4\n",
            1,
        );
        let (text, changes) = loaded(&format!(
            "{head}Account - 'gamma':Description='g dept':Organization='g':Fairshare=2:MaxJobs=3\n\
             Parent - 'gamma'\nUser - 'newu':AdminLevel='Operator':Coordinator='gamma':MaxSubmitJobs=9\n"
        ));
        // The account, the user, and that he is its coordinator.
        assert_eq!(changes, 3);
        let account = "     gamma               g dept                    g                      \n---------------------------------------------------\n\n";
        assert!(text.contains(account), "{text}");
        assert!(
            text.contains("      newu      gamma                                  Operator                gamma \n"),
            "{text}"
        );
        let (_, changes) = match step("-i load f clean", Some(OF_SLURM)) {
            Step::Change(change) => (change.announcement, change.commands.len()),
            other => panic!("{other:?}"),
        };
        // All but root goes and comes back: two accounts' worth of rows, defaults and a coordinator.
        assert!(changes >= 6, "{changes}");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused_as_by_slurm() {
        let check = |file: &str, expected: &str| assert_eq!(loaded(file), (expected.to_owned(), 0), "{file}");
        check(
            "Account - 'x':MaxJobs=1\n",
            " Nothing new added.\n You need to specify a cluster name first with 'Cluster - $NAME' in your file\n",
        );
        check(
            "Cluster - 'peer'\nParent - 'nope'\n",
            "For cluster peer\n Nothing new added.\n line(2) You need to add this parent (nope) as a child before you can add children to it.\n",
        );
        check(
            "Cluster - 'peer'\nAccount - 'x':Foo=1\n",
            "For cluster peer\n Nothing new added.\n Unknown option: Foo=1\n Problem with line(2)\n",
        );
        check("Cluster - 'other'\n", " Cluster other doesn't exist; use cluster=peer to load the file here.\n");
        let refused = |line: &str, expected: &str| match step(line, None) {
            Step::Print(outcome) => assert_eq!((&*outcome.stderr, outcome.code), (expected, 1), "{line}"),
            other => panic!("{line}: {other:?}"),
        };
        refused("load", " No filename given, specify one with file=''\n");
        refused("dump", " We need a cluster to dump.\n");
        refused("dump nope file=x", " Cluster nope doesn't exist.\n");
    }
}
