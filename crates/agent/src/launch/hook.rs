//! The site's prolog or epilog as a unit: as the agent's own user, with nothing of its environment.

use muster_model::hooks::HookMoment;
use muster_model::ids::StepId;
use muster_runtime::unit::{LaunchUnit, Output, Streams, UnitKey, UnitUser};
use muster_slurm::environment::{LaunchFacts, node_hook_environment};

use super::environment::lines;
use super::{Launch, LaunchError, Prepared, Site};

/// Runs what a pattern stands for in reverse alphabetical order, as Slurm does, until one fails.
const RUN_ALL: &str = r#"IFS=; set -- $1; at=$#
while [ $at -gt 0 ]; do eval "hook=\${$at}"; "$hook" || exit; at=$((at - 1)); done"#;

/// File mode creation mask of hooks.
const UMASK: u32 = 0o022;

pub(super) fn prepare(
    key: UnitKey,
    launch: &Launch,
    facts: &LaunchFacts<'_>,
    site: &Site,
) -> Result<Prepared, LaunchError> {
    let (moment, program) = match key.step {
        StepId::Prolog => (HookMoment::Prolog, &launch.hooks.prolog),
        _ => (HookMoment::Epilog, &launch.hooks.epilog),
    };
    let program = program.as_deref().ok_or(LaunchError::Senseless("there is no such hook"))?;
    let output = site.hook_outputs.join(key.to_string()).to_string_lossy().into_owned();
    let user = UnitUser {
        uid: nix::unistd::Uid::effective().as_raw(),
        gid: nix::unistd::Gid::effective().as_raw(),
        groups: Vec::new(),
    };
    let unit = LaunchUnit {
        umask: UMASK,
        variables: lines(node_hook_environment(facts, moment)),
        streams: Streams { output: Output::File(output), ..Streams::default() },
        time_limit_ms: launch.hooks.timeout.and_then(|timeout| u64::try_from(timeout.0).ok()),
        unkillable: launch.unkillable(key, site),
        ..LaunchUnit::new(key, user, "/".to_owned(), command(program))
    };
    Ok(Prepared { unit, environment: None, record: None })
}

fn command(program: &str) -> Vec<String> {
    let words: &[&str] = match program.contains(['*', '?', '[']) {
        true => &["/bin/sh", "-c", RUN_ALL, "hooks", program],
        false => &[program],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_run_all_in_reverse_order_until_one_fails() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str, code: u8| {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\necho {name}\nexit {code}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let run = |pattern: &str| {
            let words = command(&dir.path().join(pattern).to_string_lossy());
            let done = std::process::Command::new(&words[0]).args(&words[1..]).env_clear().output().unwrap();
            (String::from_utf8(done.stdout).unwrap(), done.status.code().unwrap())
        };
        made("10 first.sh", 0);
        made("20.sh", 0);
        assert_eq!(run("*.sh"), ("20.sh\n10 first.sh\n".to_owned(), 0));
        made("15.sh", 7);
        assert_eq!(run("*.sh"), ("20.sh\n15.sh\n".to_owned(), 7));
        assert_eq!(run("no*such").1, 127);
        assert_eq!(command("/s/prolog"), ["/s/prolog"]);
    }
}
