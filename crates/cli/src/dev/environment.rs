//! `muster dev env DIR`: shell lines that point all commands at the cluster.

use std::path::Path;
use std::process::ExitCode;

use super::layout::Layout;

/// Prints the lines.
pub(super) fn run(directory: &Path) -> anyhow::Result<ExitCode> {
    let layout = Layout::existing(directory)?;
    for (name, value) in variables(&layout) {
        println!("export {name}={}", quote(&value));
    }
    println!("export PATH={}:\"$PATH\"", quote(&layout.bin().display().to_string()));
    Ok(ExitCode::SUCCESS)
}

/// What points a command at this cluster, besides PATH.
pub(crate) fn variables(layout: &Layout) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("SLURM_CONF", layout.slurm_conf().display().to_string()),
        ("MUSTER_SOCKET", layout.socket().display().to_string()),
    ];
    if let Ok(port) = std::fs::read_to_string(layout.rest_port_file()) {
        variables.push(("SLURMRESTD_URL", format!("http://127.0.0.1:{}", port.trim())));
    }
    variables
}

/// In single quotes, for any shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_survive_the_shell() {
        assert_eq!(super::quote("/a b/it's"), r"'/a b/it'\''s'");
    }
}
