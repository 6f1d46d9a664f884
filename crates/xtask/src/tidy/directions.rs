//! Which crate may use which: the shape of the program, as data.
//!
//! Dependencies point inwards, and a crate of ours may only use those of ours that its line names.
//! A new edge is a change of the architecture: it gets a commit of its own that changes this table
//! and says why in `ARCHITECTURE.md`. The manifest rule and the purity rule both read it.

/// What one crate may use.
pub(super) struct Direction {
    /// The directory under `crates/`.
    pub(super) name: &'static str,
    /// Crates of ours it may use, by directory.
    pub(super) may_use: &'static [&'static str],
    /// Libraries it must not use, beyond what purity forbids.
    pub(super) must_not_use: &'static [&'static str],
    /// Whether it decides or translates without touching anything outside.
    pub(super) pure: bool,
    /// Whether its results depend on the order it walks through things.
    pub(super) decides: bool,
}

impl Direction {
    const fn pure(name: &'static str, may_use: &'static [&'static str]) -> Self {
        Direction { name, may_use, must_not_use: &[], pure: true, decides: false }
    }

    const fn decides(name: &'static str, may_use: &'static [&'static str]) -> Self {
        Direction { name, may_use, must_not_use: &[], pure: true, decides: true }
    }

    const fn outer(name: &'static str, may_use: &'static [&'static str]) -> Self {
        Direction { name, may_use, must_not_use: &[], pure: false, decides: false }
    }

    const fn without(mut self, must_not_use: &'static [&'static str]) -> Self {
        self.must_not_use = must_not_use;
        self
    }
}

/// One line for each crate; a crate without a line is a finding.
pub(super) const DIRECTIONS: &[Direction] = &[
    // The vocabulary, and what decides with it.
    Direction::pure("model", &[]),
    Direction::decides("sched", &["model"]),
    Direction::decides("core", &["model"]),
    // What-if: workloads in virtual time, under the planner and under policies to compare it with.
    Direction::decides("replay", &["model", "sched"]),
    // The dialects: translators, which know neither each other nor the cluster.
    Direction::pure("slurm", &["model"]),
    Direction::pure("dstack", &["model"]),
    // Talking, keeping, doing.
    Direction::outer("proto", &["model"]),
    Direction::outer("store", &["model"]).without(HTTP),
    Direction::outer("runtime", &["model"]),
    // The agent composes environments and file names as the dialects want them.
    Direction::outer("agent", &["model", "slurm", "dstack", "proto", "runtime"]),
    // Placed into containers of any kind: it knows nothing but its document.
    Direction::outer("runner", &[]),
    Direction::outer("provision", &["model"]),
    Direction::outer("controller", &["model", "core", "sched", "slurm", "dstack", "proto", "store", "provision"]),
    Direction::outer("client", &["model", "proto"]),
    // Of the runtime only the stream protocol of live steps, and the way to a supervisor of a development cluster.
    // `simulate` reads files and asks for history, which only commands do; what it does with them is in `replay`.
    Direction::outer("cli", &["model", "slurm", "dstack", "client", "runtime", "replay"]),
    // The program: puts the above together.
    Direction::outer("muster", &["model", "slurm", "runtime", "agent", "cli", "client", "controller"]),
    // Never shipped.
    Direction::outer("sim", &["model", "core", "sched", "agent", "runtime", "testkit"]),
    Direction::outer("testkit", &["model", "core", "runtime", "proto", "store", "provision"]),
    Direction::outer("xtask", &[]),
];

/// Crates that any crate may use to test itself, and none may ship.
pub(super) const FOR_TESTS: &[&str] = &["sim", "testkit"];

/// Libraries with which a crate would no longer be pure.
pub(super) const IMPURE: &[&str] = &[
    "axum",
    "fastrand",
    "getrandom",
    "hyper",
    "libc",
    "nix",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "tokio",
    "tokio-postgres",
    "tokio-stream",
    "tonic",
    "tower",
];

const HTTP: &[&str] = &["axum", "hyper", "hyper-util", "reqwest", "tonic", "tower", "tower-http"];

/// The line of a crate, by its directory.
pub(super) fn of_crate(name: &str) -> Option<&'static Direction> {
    DIRECTIONS.iter().find(|direction| direction.name == name)
}

/// The line of the crate that a path such as `crates/core/src/lib.rs` belongs to.
pub(super) fn of_path(path: &str) -> Option<&'static Direction> {
    of_crate(path.strip_prefix("crates/")?.split('/').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_leads_to_a_crate_in_the_table() {
        for direction in DIRECTIONS {
            for used in direction.may_use {
                assert!(of_crate(used).is_some(), "{} may use {used}, which has no line", direction.name);
            }
        }
    }

    #[test]
    fn there_are_no_circles() {
        let mut placed: Vec<&str> = Vec::new();
        while placed.len() < DIRECTIONS.len() {
            let next = DIRECTIONS
                .iter()
                .filter(|direction| !placed.contains(&direction.name))
                .find(|direction| direction.may_use.iter().all(|used| placed.contains(used)));
            placed.push(next.expect("the remaining crates use each other in a circle").name);
        }
    }

    #[test]
    fn pure_crates_use_pure_crates() {
        for direction in DIRECTIONS.iter().filter(|direction| direction.pure) {
            for used in direction.may_use {
                assert!(of_crate(used).is_some_and(|used| used.pure), "{} uses {used}", direction.name);
            }
        }
    }

    #[test]
    fn nothing_shipped_uses_what_is_for_tests() {
        for direction in DIRECTIONS.iter().filter(|direction| !FOR_TESTS.contains(&direction.name)) {
            assert!(!direction.may_use.iter().any(|used| FOR_TESTS.contains(used)), "{}", direction.name);
        }
    }
}
