//! The runner in a container: a static program that is laid into the container of a unit and starts its command there, on a
//! terminal, with an SSH server for those who hold a key.
//!
//! It is a task like others, so its end is that of the unit and its output goes where that of the unit goes. What it is to do it
//! is told by a file in memory on its standard input: no command line, no file and no daemon ever sees the environment. Where its
//! SSH server listens it writes into a file of the node that is laid into the container, the *entrance*.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use muster_model::container::{REGISTRY_AUTH, RunnerRequest};
use serde_json::{Value, json};

use super::bundle::Call;
use super::namespace::{Insert, Words};
use crate::supervisor::files;
use crate::unit::{LaunchUnit, UnitUser};
use crate::visit::entrance_path;

/// Name of the program, beside that of the supervisor.
const PROGRAM_NAME: &str = "muster-runner";

/// Where it lies in a container.
const PROGRAM: &str = "/.muster/runner";

/// Where the entrance lies in a container.
const ENTRANCE: &str = "/.muster/entrance";

/// Variables that say who somebody is; the image knows better than the node.
const OF_ACCOUNT: [&str; 4] = ["HOME", "SHELL", "USER", "LOGNAME"];

/// What is laid into the container of a unit. The entrance is made, and removed by whoever removes the container.
pub(super) fn inserts(spool: &Path, unit: &LaunchUnit, request: &RunnerRequest) -> Result<Vec<Insert>, Words> {
    let own = std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    let program = own.with_file_name(PROGRAM_NAME);
    let insert = Insert::read_only(&program.to_string_lossy(), PROGRAM);
    let mut inserts = vec![insert.map_err(|error| format!("{}: {error}", program.display()))?];
    let entrance = make_entrance(&entrance_path(spool, unit.key), &unit.user);
    let entrance = entrance.map_err(|error| format!("cannot make the entrance of the runner: {error}"))?;
    inserts.push(
        Insert::same_place(&entrance.to_string_lossy(), ENTRANCE).map_err(|error| format!("the entrance: {error}"))?,
    );
    if let Some(megabytes) = request.shm_megabytes {
        let insert = Insert::memory("/dev/shm", megabytes);
        inserts.push(insert.map_err(|error| format!("/dev/shm of {megabytes} MB: {error}"))?);
    }
    Ok(inserts)
}

fn make_entrance(path: &Path, user: &UnitUser) -> io::Result<PathBuf> {
    let _ = fs::remove_file(path);
    File::options().write(true).create_new(true).mode(0o600).open(path)?;
    if files::must_switch(user) {
        chown(path, Some(user.uid), Some(user.gid))?;
    }
    Ok(path.to_owned())
}

/// How it is called to start `words` with `environment` (`NAME=value`) by a login shell. `mark` is what its own process is known by.
///
/// # Errors
/// No more memory or files.
pub(crate) fn call(request: &RunnerRequest, words: &[String], environment: &[String], mark: &str) -> io::Result<Call> {
    let document = document(request, words, environment);
    // SAFETY: the name ends with NUL; the descriptor is ours alone.
    let input = unsafe {
        let fd = libc::memfd_create(c"job".as_ptr(), libc::MFD_CLOEXEC);
        crate::system::check(fd)?;
        OwnedFd::from_raw_fd(fd)
    };
    let mut file = File::from(input);
    file.write_all(document.to_string().as_bytes())?;
    file.rewind()?;
    let command = [PROGRAM, "run", "--job", "-"].map(str::to_owned).to_vec();
    Ok(Call { command, environment: vec![mark.to_owned()], input: Some(file.into()) })
}

/// The words of the runner, see its `job`.
fn document(request: &RunnerRequest, words: &[String], environment: &[String]) -> Value {
    let shell = ["/bin/sh", "-l", "-c", "exec \"$0\" \"$@\""].map(str::to_owned);
    let command: Vec<&String> = shell.iter().chain(words).collect();
    let pairs = environment.iter().filter_map(|line| line.split_once('='));
    let is_given = |name: &str| !name.is_empty() && name != REGISTRY_AUTH && !OF_ACCOUNT.contains(&name);
    let own = pairs.filter(|(name, _)| is_given(name));
    let mut variables: serde_json::Map<String, Value> =
        own.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    variables.extend(request.account_variables.iter().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), json!(value)))
    }));
    let mut document = json!({
        "command": command, "environment": variables, "user": request.user, "announce": ENTRANCE,
    });
    // Live logs, which need no key, would be there for every user of the node, whose network this is; the log file serves.
    if !request.authorized_keys.is_empty() {
        document["ssh"] = json!({"address": "127.0.0.1:0", "authorized_keys": request.authorized_keys});
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_what_the_job_has_but_for_who_one_is() {
        let request = RunnerRequest {
            user: Some("ada".into()),
            account_variables: vec!["HOME=/mine".into()],
            ..RunnerRequest::default()
        };
        let environment = ["A=1=2", "HOME=/root", "SHELL=/bin/zsh", "MUSTER_REGISTRY_AUTH={}"].map(str::to_owned);
        assert_eq!(
            document(&request, &["/spool/script".to_owned(), "x".to_owned()], &environment).to_string(),
            r#"{"announce":"/.muster/entrance","command":["/bin/sh","-l","-c","exec \"$0\" \"$@\"","/spool/script","x"],"environment":{"A":"1=2","HOME":"/mine"},"user":"ada"}"#
        );
        let request = RunnerRequest { authorized_keys: vec!["ssh-ed25519 AAAA".into()], ..RunnerRequest::default() };
        assert_eq!(
            document(&request, &[], &[])["ssh"].to_string(),
            r#"{"address":"127.0.0.1:0","authorized_keys":["ssh-ed25519 AAAA"]}"#
        );
    }
}
