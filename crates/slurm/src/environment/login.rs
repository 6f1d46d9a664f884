//! The environment of a fresh login, for jobs that do not take the submitter's.

use super::Variables;
use super::combine;
use super::facts::Builder;

/// Search path of the superuser.
const PATH_OF_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Search path of everybody else.
const PATH_OF_USER: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";

/// What the node's user database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginFacts<'a> {
    /// Name of the user.
    pub user: &'a str,
    /// Number of the user.
    pub uid: u32,
    /// Home directory.
    pub home: &'a str,
    /// Login shell.
    pub shell: &'a str,
}

/// Whether a captured environment is to be filled up with that of a login: `sbatch` asks so under `--get-user-env` and
/// any `--export` but `ALL`.
pub fn wants_login_environment<S: AsRef<str>>(captured: &[S]) -> bool {
    combine::value(captured, "SLURM_GET_USER_ENV") == Some("1")
}

/// What a login sets before any profile is read. For names that the captured environment lacks; a node that runs the
/// login shell puts what that prints over this.
pub fn login_environment(login: &LoginFacts<'_>) -> Variables {
    let mut list = Builder::default();
    list.set("HOME", login.home);
    list.set("LOGNAME", login.user);
    list.set("MAIL", format!("/var/mail/{}", login.user));
    list.set("PATH", if login.uid == 0 { PATH_OF_ROOT } else { PATH_OF_USER });
    list.set("SHELL", if login.shell.is_empty() { "/bin/sh" } else { login.shell });
    list.set("USER", login.user);
    list.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_fills_up_and_does_not_overwrite() {
        let login =
            login_environment(&LoginFacts { user: "alice", uid: 1001, home: "/home/alice", shell: "/bin/bash" });
        let captured = ["SLURM_GET_USER_ENV=1", "PATH=/mine"];
        assert!(wants_login_environment(&captured) && !wants_login_environment(&captured[1..]));
        let expected = [
            "HOME=/home/alice",
            "LOGNAME=alice",
            "MAIL=/var/mail/alice",
            "PATH=/mine",
            "SHELL=/bin/bash",
            "SLURM_GET_USER_ENV=1",
            "USER=alice",
        ];
        assert_eq!(combine(&captured, &[], &login, &Variables::new()), expected);
    }
}
