//! Licences, banned crates and sources of the dependencies, by the rules in `deny.toml`.
//!
//! cargo-deny does this where it is installed. Where it is not, the part of `deny.toml` that
//! decides about a commit is checked here from `cargo metadata`, without the network: the licences
//! allowed, the crates banned and the registries trusted. Keys that only cargo-deny understands are
//! ignored here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::licence;
use crate::workspace::{call, capture, cargo, has_cargo_subcommand};

const PATH: &str = "deny.toml";

/// Checks the dependencies of the workspace.
pub(super) fn run() -> Result<()> {
    if has_cargo_subcommand("deny") {
        return call(cargo().args(["deny", "--offline", "--locked", "check", "bans", "licenses", "sources"]));
    }
    eprintln!("ci: cargo-deny is not installed; checking licences, bans and sources here");
    let text = fs::read_to_string(PATH).with_context(|| format!("cannot read {PATH}"))?;
    let policy = Policy::parse(&text).with_context(|| format!("cannot understand {PATH}"))?;
    let packages = packages(&policy.targets)?;
    let report = judge(&policy, &packages);
    for note in &report.notes {
        eprintln!("deny: note: {note}");
    }
    for problem in &report.problems {
        println!("deny: {problem}");
    }
    ensure!(report.problems.is_empty(), "{} dependencies break {PATH}", report.problems.len());
    eprintln!("deny: {} packages, nothing to do", packages.len());
    Ok(())
}

/// The part of `deny.toml` that is understood here.
#[derive(Debug, Default)]
struct Policy {
    targets: Vec<String>,
    licences: BTreeSet<String>,
    /// Licences allowed to one crate only.
    exceptions: BTreeMap<String, BTreeSet<String>>,
    /// Banned crates with the reason.
    banned: BTreeMap<String, String>,
    /// Who may use a banned crate all the same: those who need it by themselves (`wrappers`).
    wrappers: BTreeMap<String, BTreeSet<String>>,
}

/// One package of the dependency graph.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    /// Where it comes from; nothing for a crate of the repository itself.
    source: Option<String>,
    /// The packages that depend on it directly, by name.
    users: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Report {
    problems: Vec<String>,
    notes: Vec<String>,
}

impl Policy {
    fn parse(text: &str) -> Result<Self> {
        let document: toml::Table = text.parse()?;
        let mut policy = Policy {
            targets: strings(lookup(&document, "graph", "targets"))?,
            licences: strings(lookup(&document, "licenses", "allow"))?.into_iter().collect(),
            ..Policy::default()
        };
        for entry in array(lookup(&document, "licenses", "exceptions"))? {
            let (name, table) = crate_entry(entry)?;
            policy.exceptions.insert(name, strings(table.get("allow"))?.into_iter().collect());
        }
        for entry in array(lookup(&document, "bans", "deny"))? {
            let (name, table) = crate_entry(entry)?;
            let reason = table.get("reason").and_then(toml::Value::as_str).unwrap_or("no reason given");
            policy.wrappers.insert(name.clone(), strings(table.get("wrappers"))?.into_iter().collect());
            policy.banned.insert(name, reason.to_owned());
        }
        ensure!(!policy.licences.is_empty(), "[licenses] allow is empty, which would refuse every crate");
        Ok(policy)
    }
}

fn lookup<'a>(document: &'a toml::Table, table: &str, key: &str) -> Option<&'a toml::Value> {
    document.get(table)?.get(key)
}

fn array(value: Option<&toml::Value>) -> Result<&[toml::Value]> {
    match value {
        None => Ok(&[]),
        Some(value) => Ok(value.as_array().with_context(|| format!("{value} is not an array"))?),
    }
}

fn strings(value: Option<&toml::Value>) -> Result<Vec<String>> {
    let one = |value: &toml::Value| value.as_str().map(str::to_owned).with_context(|| format!("{value} is no string"));
    array(value)?.iter().map(one).collect()
}

/// A crate in a list of `deny.toml`: `{ crate = "name", ... }`.
fn crate_entry(entry: &toml::Value) -> Result<(String, &toml::Table)> {
    let table = entry.as_table().with_context(|| format!("{entry} is not a table with a key `crate`"))?;
    let name = table.get("crate").and_then(toml::Value::as_str);
    let name = name.with_context(|| format!("{entry} has no key `crate`"))?;
    if name.contains(['@', ':', '=']) {
        bail!("{name:?}: only whole crates can be named, not versions");
    }
    Ok((name.to_owned(), table))
}

/// The packages that the given targets need, from the lock file.
fn packages(targets: &[String]) -> Result<Vec<Package>> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    for target in targets {
        command.args(["--filter-platform", target]);
    }
    let text = capture(&mut command).context("the dependencies must be downloaded: run `cargo fetch --locked`")?;
    parse_metadata(&text).context("cannot understand `cargo metadata`")
}

fn parse_metadata(text: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(text)?;
    // Without a filter `packages` names what any platform would need; `resolve` is what is used.
    let nodes = metadata["resolve"]["nodes"].as_array().context("resolve.nodes is missing")?;
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let all = metadata["packages"].as_array().context("packages is missing")?;
    let names: BTreeMap<&str, &str> =
        all.iter().filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?))).collect();
    let mut packages = Vec::new();
    for package in all.iter().filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))) {
        let field = |key: &str| package[key].as_str().map(str::to_owned);
        packages.push(Package {
            name: field("name").context("a package without a name")?,
            version: field("version").context("a package without a version")?,
            licence: field("license"),
            source: field("source"),
            users: users(&package["id"], nodes, &names),
        });
    }
    packages.sort();
    Ok(packages)
}

/// Names of the packages among `nodes` that use the package `id` directly.
fn users(id: &Value, nodes: &[Value], names: &BTreeMap<&str, &str>) -> BTreeSet<String> {
    let uses = |node: &&Value| node["dependencies"].as_array().is_some_and(|used| used.contains(id));
    let ids = nodes.iter().filter(uses).filter_map(|node| node["id"].as_str());
    ids.filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect()
}

fn judge(policy: &Policy, packages: &[Package]) -> Report {
    let mut report = Report::default();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
        report.problems.extend(judge_package(policy, package));
    }
    let doubled: Vec<String> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| format!("{name} ({})", versions.join(", ")))
        .collect();
    if !doubled.is_empty() {
        report.notes.push(format!("in more than one version: {}", doubled.join("; ")));
    }
    report
}

fn judge_package(policy: &Policy, package: &Package) -> Vec<String> {
    let shown = format!("{} {}", package.name, package.version);
    let mut problems = Vec::new();
    let is_wrapped = policy
        .wrappers
        .get(&package.name)
        .is_some_and(|wrappers| !wrappers.is_empty() && package.users.is_subset(wrappers));
    if let Some(reason) = policy.banned.get(&package.name).filter(|_| !is_wrapped) {
        problems.push(format!("{shown} is banned: {reason}; `cargo tree --invert {}` tells who uses it", package.name));
    }
    if let Some(source) = package.source.as_deref().filter(|source| !source.starts_with("registry+")) {
        problems.push(format!("{shown} comes from {source}; only the registry is trusted, so use a released version"));
    }
    let Some(licence) = &package.licence else {
        problems.push(format!("{shown} names no licence; find another crate, or ask its authors to name one"));
        return problems;
    };
    let is_allowed = |id: &str| {
        policy.licences.contains(id) || policy.exceptions.get(&package.name).is_some_and(|ids| ids.contains(id))
    };
    match licence::permits(licence, is_allowed) {
        Ok(true) => {}
        Ok(false) => problems.push(format!(
            "{shown} has the licence {licence:?}, which {PATH} does not allow; use another crate, or allow it there with \
             a reason"
        )),
        Err(error) => problems.push(format!("{shown} has the licence {licence:?}, which is not understood: {error:#}")),
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[graph]
targets = ["x86_64-unknown-linux-gnu"]
[licenses]
allow = ["MIT", "Apache-2.0"]
exceptions = [{ crate = "roots", allow = ["MPL-2.0"] }]
[bans]
multiple-versions = "warn"
deny = [
    { crate = "openssl-sys", reason = "one TLS library is enough" },
    { crate = "chrono", reason = "another clock", wrappers = ["shy"] },
]
"#;

    fn package(name: &str, licence: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: (!licence.is_empty()).then(|| licence.to_owned()),
            source: Some("registry+https://example.org/index".to_owned()),
            users: BTreeSet::new(),
        }
    }

    #[track_caller]
    fn check(package: Package, expected: &[&str]) {
        let report = judge(&Policy::parse(POLICY).unwrap(), &[package]);
        assert_eq!(report.problems.len(), expected.len(), "{:?}", report.problems);
        for (problem, part) in report.problems.iter().zip(expected) {
            assert!(problem.contains(part), "{problem:?} lacks {part:?}");
        }
    }

    #[test]
    fn licences_are_held_to_the_list() {
        check(package("a", "MIT OR GPL-3.0"), &[]);
        check(package("a", "GPL-3.0"), &["a 1.0.0 has the licence \"GPL-3.0\", which deny.toml does not allow"]);
        check(package("a", ""), &["names no licence"]);
        check(package("roots", "MPL-2.0"), &[]);
        check(package("a", "MPL-2.0"), &["MPL-2.0"]);
    }

    #[test]
    fn bans_and_sources_are_held() {
        check(package("openssl-sys", "MIT"), &["is banned: one TLS library is enough"]);
        let git = Package { source: Some("git+https://example.org/a".to_owned()), ..package("a", "MIT") };
        check(git, &["only the registry is trusted"]);
        check(Package { source: None, ..package("ours", "Apache-2.0") }, &[]);
    }

    #[test]
    fn a_banned_crate_may_come_with_those_who_are_named() {
        let used_by = |users: &[&str]| Package {
            users: users.iter().map(|&name| name.to_owned()).collect(),
            ..package("chrono", "MIT")
        };
        check(used_by(&["shy"]), &[]);
        check(used_by(&["shy", "bold"]), &["is banned: another clock"]);
        check(package("openssl-sys", "MIT"), &["is banned"]);
    }

    #[test]
    fn doubled_crates_are_noted() {
        let newer = Package { version: "2.0.0".to_owned(), ..package("a", "MIT") };
        let report = judge(&Policy::parse(POLICY).unwrap(), &[package("a", "MIT"), newer]);
        assert_eq!(report.notes, ["in more than one version: a (1.0.0, 2.0.0)"]);
    }

    #[test]
    fn only_packages_in_use_are_judged() {
        let text = r#"{
            "packages": [
                {"id": "a", "name": "a", "version": "1.0.0", "license": "MIT", "source": null},
                {"id": "b", "name": "b", "version": "1.0.0", "license": null, "source": "git+x"},
                {"id": "c", "name": "c", "version": "1.0.0", "license": "MIT", "source": null}
            ],
            "resolve": {"nodes": [{"id": "a", "dependencies": []}, {"id": "c", "dependencies": ["a"]}]}
        }"#;
        let packages = parse_metadata(text).unwrap();
        let names: Vec<_> = packages.iter().map(|package| &package.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(packages[0].users, BTreeSet::from(["c".to_owned()]));
    }

    #[test]
    fn an_unusable_policy_is_an_error() {
        assert!(Policy::parse("[licenses]\n").is_err());
        assert!(Policy::parse("[licenses]\nallow = [1]\n").is_err());
        assert!(Policy::parse("[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"a@1\" }]\n").is_err());
    }
}
