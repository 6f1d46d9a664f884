//! The commands of a task as one script.
//!
//! dstack joins commands with `&&` and hands them to `SHELL -i -c`. Here they become a script that keeps what matters of
//! that (one shell, in which `cd` and variables carry on; the end at the first failure, with its exit code) and drops
//! what hurts: a comment at the end of a command does not swallow the rest, and `a || b` binds within its command.

use crate::configuration::Task;
use crate::interpolation::{shell_quote, shell_split};

/// Shells for which the joined form is written; others get the commands joined by `&&`.
const POSIX_SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

/// The interpreter where the file names none, and for an image, as in dstack.
const SHELL_DEFAULT: &str = "/bin/bash";
const SHELL_OF_IMAGES: &str = "/bin/sh";

/// The script of a task whose references have been replaced.
///
/// # Errors
/// The property and what is wrong with it, for the user.
pub(super) fn script(task: &Task) -> Result<String, (&'static str, String)> {
    let default = if task.base.image.is_some() { SHELL_OF_IMAGES } else { SHELL_DEFAULT };
    let shell = task.base.shell.as_ref().map_or_else(|| default.to_owned(), |shell| shell.path());
    let mut script = format!("#!{shell}\n");
    let name = shell.rsplit('/').next().unwrap_or_default();
    if let Some(entrypoint) = &task.base.entrypoint {
        let words = shell_split(entrypoint).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| ("entrypoint", format!("{entrypoint:?} is no command line")))?;
        script.push_str(hostfile(task, name));
        let arguments = words.iter().chain(&task.commands).map(|word| shell_quote(word)).collect::<Vec<_>>();
        script.push_str(&format!("exec {}\n", arguments.join(" ")));
        return Ok(script);
    }
    if task.commands.is_empty() {
        let message = "an image's own command cannot be run yet by this version; give commands";
        return Err(("commands", message.to_owned()));
    }
    if POSIX_SHELLS.contains(&name) {
        script.push_str(hostfile(task, name));
        for command in &task.commands {
            script.push_str(&step(command));
        }
    } else {
        script.push_str(&joined(&task.commands));
    }
    Ok(script)
}

/// One command, and the end of the script if it fails. The empty line keeps a backslash at the end of the command from
/// joining it with what follows. The command itself is not put into braces or a condition, since that would switch
/// off a `set -e` of its own.
fn step(command: &str) -> String {
    format!(
        "{}\n\nMUSTER_CODE=$?; [ \"$MUSTER_CODE\" -eq 0 ] || exit \"$MUSTER_CODE\"\n",
        command.trim_end_matches('\n')
    )
}

/// As dstack joins commands: `&&` between them, braces around one that goes to the background.
fn joined(commands: &[String]) -> String {
    let command = |command: &String| {
        let command = command.trim();
        if command.ends_with('&') { format!("{{ {command} }}") } else { command.to_owned() }
    };
    let commands: Vec<String> = commands.iter().map(command).collect();
    format!("{}\n", commands.join(" && "))
}

/// Writes the host file for `mpirun` and names it, for tasks that may want it. It goes away with the script.
fn hostfile(task: &Task, shell: &str) -> &'static str {
    let is_wanted =
        task.nodes_total() > 1 || task.commands.iter().any(|command| command.contains("DSTACK_MPI_HOSTFILE"));
    if !is_wanted || !POSIX_SHELLS.contains(&shell) {
        return "";
    }
    concat!(
        "if [ -n \"$DSTACK_NODES_IPS\" ] && [ -z \"$DSTACK_MPI_HOSTFILE\" ]; then\n",
        "  DSTACK_MPI_HOSTFILE=$(mktemp) || exit 1\n",
        "  export DSTACK_MPI_HOSTFILE\n",
        "  trap 'rm -f \"$DSTACK_MPI_HOSTFILE\"' EXIT\n",
        "  printf '%s\\n' \"$DSTACK_NODES_IPS\" | while read -r MUSTER_NODE; do\n",
        "    case ${DSTACK_GPUS_PER_NODE:-0} in\n",
        "      0) printf '%s\\n' \"$MUSTER_NODE\" ;;\n",
        "      *) printf '%s slots=%s\\n' \"$MUSTER_NODE\" \"$DSTACK_GPUS_PER_NODE\" ;;\n",
        "    esac\n",
        "  done > \"$DSTACK_MPI_HOSTFILE\"\n",
        "fi\n",
    )
}
