//! Whether a unit makes sense, before anything of it is written down.

use std::collections::HashSet;

use crate::unit::{Input, LaunchUnit, Output};

/// Most tasks of one unit; more than processes fit on any machine.
const TASKS_MAX: usize = 1 << 20;

/// Says what is wrong.
pub(crate) fn check(unit: &LaunchUnit) -> Result<(), String> {
    if unit.tasks.is_empty() || unit.tasks.len() > TASKS_MAX {
        return Err(format!("{} tasks", unit.tasks.len()));
    }
    let mut ranks = HashSet::new();
    if !unit.tasks.iter().all(|task| ranks.insert(task.rank)) {
        return Err("a rank is given twice".into());
    }
    let commands = unit.tasks.iter().map(|task| task.command.as_ref().unwrap_or(&unit.command));
    for command in commands {
        if unit.script.is_none() && command.is_empty() {
            return Err("no program".into());
        }
        if command.iter().any(|word| word.contains('\0')) {
            return Err("NUL byte in the command".into());
        }
    }
    if unit.client.is_none() && needs_client(unit) {
        return Err("a stream goes to a client, but there is none".into());
    }
    // SAFETY: cannot fail.
    let own = unsafe { libc::geteuid() };
    if own != 0 && unit.user.uid != own {
        return Err(format!("user {} cannot be taken over by user {own}", unit.user.uid));
    }
    Ok(())
}

fn needs_client(unit: &LaunchUnit) -> bool {
    let all = unit.tasks.iter().map(|task| task.streams.as_ref().unwrap_or(&unit.streams));
    let uses_client = |streams: &crate::unit::Streams| {
        streams.input == Input::Client || streams.output == Output::Client || streams.error == Some(Output::Client)
    };
    unit.pty.is_some() || all.into_iter().any(uses_client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_json(change: &str, expected: Result<(), &str>) {
        let base = r#"{"key":{"j":1,"r":0,"s":"batch"},"user":{"uid":UID,"gid":0},"work_dir":"/","umask":18"#;
        // SAFETY: cannot fail.
        let own = unsafe { libc::geteuid() }.to_string();
        let text = format!("{},{change}}}", base.replace("UID", &own));
        let unit: LaunchUnit = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(check(&unit), expected.map_err(str::to_owned), "{change}");
    }

    #[test]
    fn nonsense_is_refused() {
        check_json(r#""command":["true"],"tasks":[{"rank":0}]"#, Ok(()));
        check_json(r#""script":"x","tasks":[{"rank":0}]"#, Ok(()));
        check_json(r#""command":["true"],"tasks":[]"#, Err("0 tasks"));
        check_json(r#""tasks":[{"rank":0}]"#, Err("no program"));
        check_json(r#""command":["true"],"tasks":[{"rank":0},{"rank":0}]"#, Err("a rank is given twice"));
        check_json(r#""command":["a","b\u0000"],"tasks":[{"rank":0}]"#, Err("NUL byte in the command"));
        let no_client = Err("a stream goes to a client, but there is none");
        check_json(r#""command":["true"],"tasks":[{"rank":0}],"streams":{"output":"client"}"#, no_client);
        check_json(r#""command":["true"],"tasks":[{"rank":0}],"pty":[24,80]"#, no_client);
    }
}
