//! The manifests of our crates keep to the directions in [`super::directions`].

use anyhow::{Context, Result};

use super::Finding;
use super::directions::{self, Direction};
use crate::workspace::SourceFile;

/// Crates of ours are named `muster-DIRECTORY`; the program is `muster`.
const PREFIX: &str = "muster-";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Normal,
    /// `[dev-dependencies]`: seen by tests and examples only.
    Dev,
    /// `[build-dependencies]`: run on the developer's machine.
    Build,
}

pub(super) fn check(file: &SourceFile, findings: &mut Vec<Finding>) -> Result<()> {
    let Some(name) = file.path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml")) else {
        return Ok(());
    };
    let Some(direction) = directions::of_crate(name) else {
        let message = "this crate has no line in crates/xtask/src/tidy/directions.rs; add one, with what it may use";
        findings.push(Finding::new(&file.path, 1, message));
        return Ok(());
    };
    let manifest: toml::Table = file.text.parse().with_context(|| format!("cannot parse {}", file.path))?;
    for (section, dependency) in dependencies(&manifest) {
        if let Some(message) = judge(direction, section, &dependency) {
            findings.push(Finding::new(&file.path, line_of(&file.text, &dependency), message));
        }
    }
    Ok(())
}

fn judge(direction: &Direction, section: Section, dependency: &str) -> Option<String> {
    if let Some(ours) = our_directory(dependency) {
        let is_test_help = section == Section::Dev && directions::FOR_TESTS.contains(&ours);
        // The whole program is tested from its own crate, and those tests reach everywhere.
        let is_whole_program_test = section == Section::Dev && direction.name == "muster";
        let is_allowed = direction.may_use.contains(&ours) || is_test_help || is_whole_program_test;
        return (!is_allowed).then(|| {
            format!(
                "{} must not depend on {ours}; move what is shared inwards, or change the direction in \
                 crates/xtask/src/tidy/directions.rs and say why in ARCHITECTURE.md",
                direction.name
            )
        });
    }
    if section != Section::Normal {
        return None;
    }
    if direction.pure && directions::IMPURE.contains(&dependency) {
        return Some(format!(
            "the pure crate {} must not depend on {dependency}; do the work at the edge and pass the result in",
            direction.name
        ));
    }
    direction
        .must_not_use
        .contains(&dependency)
        .then(|| format!("{} must not depend on {dependency}; that belongs further out", direction.name))
}

fn our_directory(package: &str) -> Option<&str> {
    let name = package.strip_prefix(PREFIX).unwrap_or(package);
    directions::of_crate(name).is_some_and(|direction| is_package_name(direction, package)).then_some(name)
}

fn is_package_name(direction: &Direction, package: &str) -> bool {
    match direction.name {
        "muster" | "xtask" => package == direction.name,
        name => package.strip_prefix(PREFIX) == Some(name),
    }
}

/// Every dependency of a manifest by its package name, those for some targets only included.
fn dependencies(manifest: &toml::Table) -> Vec<(Section, String)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(|targets| targets.values()).filter_map(toml::Value::as_table);
    std::iter::once(manifest)
        .chain(tables)
        .flat_map(|table| {
            [
                (Section::Normal, "dependencies"),
                (Section::Dev, "dev-dependencies"),
                (Section::Build, "build-dependencies"),
            ]
            .into_iter()
            .filter_map(|(section, key)| Some((section, table.get(key)?.as_table()?)))
        })
        .flat_map(|(section, table)| {
            table.iter().map(move |(key, value)| {
                let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                (section, package.to_owned())
            })
        })
        .collect()
}

fn line_of(text: &str, dependency: &str) -> usize {
    let is_about = |line: &str| line.starts_with(dependency) || line.contains(&format!("\"{dependency}\""));
    text.lines().position(is_about).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: format!("crates/{name}/Cargo.toml"), text: text.to_owned() };
        let mut findings = Vec::new();
        check(&file, &mut findings).unwrap();
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn edges_in_the_table_pass() {
        assert!(findings("core", "[dependencies]\nmuster-model.workspace = true\nserde = \"1\"\n").is_empty());
        assert!(findings("core", "[dev-dependencies]\nmuster-testkit.workspace = true\nrand = \"1\"\n").is_empty());
        assert!(findings("muster", "[dev-dependencies]\nmuster-store.workspace = true\n").is_empty());
    }

    #[test]
    fn edges_outside_the_table_are_found() {
        let found = findings("core", "[dependencies]\nmuster-model.workspace = true\nmuster-sched.workspace = true\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/core/Cargo.toml:3: core must not depend on sched; "), "{found:?}");
        assert_eq!(findings("agent", "[dependencies]\nmuster-testkit.workspace = true\n").len(), 1);
        assert_eq!(findings("cli", "[dev-dependencies]\nmuster-store.workspace = true\n").len(), 1);
    }

    #[test]
    fn renamed_and_target_dependencies_are_seen() {
        let text = "[target.'cfg(unix)'.dependencies]\nt = { package = \"tokio\", version = \"1\" }\n";
        let found = findings("model", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/model/Cargo.toml:2: the pure crate model"), "{found:?}");
    }

    #[test]
    fn the_store_speaks_no_http() {
        assert!(findings("store", "[dependencies]\naxum = \"1\"\n")[0].contains("store must not depend on axum"));
        assert!(findings("store", "[dependencies]\nrusqlite = \"1\"\n").is_empty());
    }

    #[test]
    fn a_crate_without_a_line_is_found() {
        assert!(findings("novel", "[dependencies]\n")[0].contains("has no line"));
    }
}
