//! Who a user is, by the image's own `/etc/passwd` and `/etc/group`.
//!
//! Read by hand: a static program cannot load the modules of a name service, and an image has none that would answer.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

/// The user whose processes they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name; the number where the image has no name for it.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// A line of `/etc/passwd`.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_, home) = (fields.next()?, fields.next()?);
        Some(Entry { name, uid, gid, home, shell: fields.next().unwrap_or_default() })
    })
}

/// Lines of `/etc/group`: name, number, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

impl Account {
    /// The account that `wanted` (`USER`, `UID`, either with `:GROUP` or `:GID`) means, by the texts of the two files.
    /// A number without an entry is an account too, as for Docker's `--user`.
    ///
    /// # Errors
    /// When a name is not there.
    pub fn find(wanted: &str, passwd: &str, group: &str) -> Result<Account> {
        let (user, wanted_group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (wanted, None),
        };
        let number = user.parse::<u32>().ok();
        let entry = entries(passwd).find(|entry| entry.name == user || number == Some(entry.uid));
        let mut account = match (entry, number) {
            (Some(entry), _) => Account::of(&entry, group),
            (None, Some(uid)) => Account {
                name: uid.to_string(),
                uid,
                gid: 0,
                groups: Vec::new(),
                home: PathBuf::from("/"),
                shell: PathBuf::from("/bin/sh"),
            },
            (None, None) => return Err(anyhow!("there is no user {user} in the image's /etc/passwd")),
        };
        if let Some(wanted) = wanted_group {
            let named = groups(group).find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
            let gid = named.or_else(|| wanted.parse().ok());
            account.gid = gid.ok_or_else(|| anyhow!("there is no group {wanted} in the image's /etc/group"))?;
            account.groups.clear();
        }
        Ok(account)
    }

    fn of(entry: &Entry<'_>, group: &str) -> Account {
        let is_member = |members: &str| members.split(',').any(|member| member == entry.name);
        let or = |text: &str, default: &str| PathBuf::from(if text.is_empty() { default } else { text });
        Account {
            name: entry.name.to_owned(),
            uid: entry.uid,
            gid: entry.gid,
            groups: groups(group).filter(|(_, _, members)| is_member(members)).map(|(_, gid, _)| gid).collect(),
            home: or(entry.home, "/"),
            shell: or(entry.shell, "/bin/sh"),
        }
    }

    /// The account `wanted` of this image; without a wish that of this process.
    ///
    /// # Errors
    /// When the image does not know it.
    pub fn here(wanted: Option<&str>) -> Result<Account> {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let own = nix::unistd::Uid::current().to_string();
        Account::find(wanted.unwrap_or(&own), &text("/etc/passwd"), &text("/etc/group"))
    }

    /// The login shell, or `/bin/sh` where the image does not have it.
    pub fn usable_shell(&self) -> &Path {
        if self.shell.exists() { &self.shell } else { Path::new("/bin/sh") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\n# comment\nada:x:1000:1001:Ada,,,:/home/ada:/bin/zsh\nbare:x:5:6::";
    const GROUP: &str = "root:x:0:\nada:x:1001:\nvideo:x:44:bob,ada\nadamant:x:45:adam\n";

    fn found(wanted: &str) -> String {
        match Account::find(wanted, PASSWD, GROUP) {
            Ok(account) => format!(
                "{} {} {} {:?} {} {}",
                account.name,
                account.uid,
                account.gid,
                account.groups,
                account.home.display(),
                account.shell.display()
            ),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(found("ada"), "ada 1000 1001 [44] /home/ada /bin/zsh");
        assert_eq!(found("1000"), "ada 1000 1001 [44] /home/ada /bin/zsh");
        assert_eq!(found("ada:video"), "ada 1000 44 [] /home/ada /bin/zsh");
        assert_eq!(found("0:77"), "root 0 77 [] /root /bin/bash");
        assert_eq!(found("bare"), "bare 5 6 [] / /bin/sh");
        assert_eq!(found("4242"), "4242 4242 0 [] / /bin/sh");
        assert_eq!(found("nobody"), "there is no user nobody in the image's /etc/passwd");
        assert_eq!(found("ada:nogroup"), "there is no group nogroup in the image's /etc/group");
    }
}
