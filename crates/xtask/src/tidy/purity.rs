//! The crates that decide read no clock, draw no randomness and touch nothing outside.
//!
//! Then the same code runs in production and in the simulator, and a failure is a seed. The
//! manifest rule keeps whole libraries out; this one keeps out the parts of `std` and of allowed
//! libraries that would do the same. Tests may do as they please.
//!
//! Where a match is harmless, a comment `// tidy: REASON` on the line or the line above says why.

use super::Finding;
use super::directions;
use super::rust::{self, Source};
use super::size::is_test_file;
use crate::workspace::SourceFile;

struct Impurity {
    word: &'static str,
    advice: &'static str,
}

const CLOCK: &str = "reads a clock; take the time as an argument";
const RANDOM: &str = "draws randomness; take the number, or a seeded generator, as an argument";
const OUTSIDE: &str = "reaches outside; return an effect and let the edge carry it out";
const ORDER: &str = "iterates in an order that differs from run to run; use BTreeMap, BTreeSet or imbl's OrdMap";

const IMPURITIES: &[Impurity] = &[
    Impurity { word: "Instant::now", advice: CLOCK },
    Impurity { word: "SystemTime", advice: CLOCK },
    Impurity { word: "Timestamp::now", advice: CLOCK },
    Impurity { word: "Zoned::now", advice: CLOCK },
    Impurity { word: "TimeZone::system", advice: "reads the machine's time zone; take the zone as an argument" },
    Impurity { word: "rand", advice: RANDOM },
    Impurity { word: "fastrand", advice: RANDOM },
    Impurity { word: "getrandom", advice: RANDOM },
    Impurity { word: "std::env", advice: "reads the process's environment; take what is needed as an argument" },
    Impurity { word: "std::fs", advice: OUTSIDE },
    Impurity { word: "std::net", advice: OUTSIDE },
    Impurity { word: "std::os", advice: OUTSIDE },
    Impurity { word: "std::process", advice: OUTSIDE },
    Impurity { word: "std::thread", advice: OUTSIDE },
];

/// Words that only matter where the order of iteration reaches a decision.
const UNORDERED: &[Impurity] =
    &[Impurity { word: "HashMap", advice: ORDER }, Impurity { word: "HashSet", advice: ORDER }];

/// Addresses are values like any other; only sockets are not.
const HARMLESS: &[&str] = &["std::net::Ip", "std::net::SocketAddr", "std::net::{Ip", "std::net::AddrParseError"];

/// The comment that explains why a match is harmless.
const EXPLANATION: &str = "// tidy: ";

pub(super) fn check(file: &SourceFile, source: &Source<'_>, findings: &mut Vec<Finding>) {
    let Some(direction) = directions::of_path(&file.path).filter(|direction| direction.pure) else {
        return;
    };
    if is_test_file(&file.path) {
        return;
    }
    let unordered = if direction.decides { UNORDERED } else { &[] };
    for impurity in IMPURITIES.iter().chain(unordered) {
        for offset in rust::words(source.code(), impurity.word) {
            let rest = &source.code()[offset..];
            let is_harmless = HARMLESS.iter().any(|harmless| rest.starts_with(harmless));
            let line = source.line_of(offset);
            if is_harmless || source.is_test(offset) || is_explained(source, line) {
                continue;
            }
            let message = format!("`{}` in the pure crate {}: {}", impurity.word, direction.name, impurity.advice);
            findings.push(Finding::new(&file.path, line, message));
        }
    }
}

fn is_explained(source: &Source<'_>, line: usize) -> bool {
    let above = source.line(line - 1).trim_start();
    source.line(line).contains(EXPLANATION) || above.starts_with(EXPLANATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        let mut findings = Vec::new();
        check(&file, &Source::parse(&file.text), &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn clocks_are_found_in_pure_crates() {
        let text = "fn f() {\n    let t = std::time::Instant::now();\n}\n";
        assert_eq!(
            findings("crates/core/src/x.rs", text),
            [
                "crates/core/src/x.rs:2: `Instant::now` in the pure crate core: reads a clock; take the time as an argument"
            ]
        );
        assert!(findings("crates/agent/src/x.rs", text).is_empty());
        assert!(findings("crates/core/tests/x.rs", text).is_empty());
        assert!(findings("crates/core/src/x.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}\n")).is_empty());
        assert!(findings("crates/core/src/x.rs", "// not Instant::now\n").is_empty());
    }

    #[test]
    fn addresses_are_values() {
        assert!(findings("crates/slurm/src/x.rs", "use std::net::IpAddr;\n").is_empty());
        assert_eq!(findings("crates/slurm/src/x.rs", "use std::net::TcpStream;\n").len(), 1);
    }

    #[test]
    fn order_matters_only_to_those_who_decide() {
        let text = "use std::collections::HashMap;\n";
        assert_eq!(findings("crates/sched/src/x.rs", text).len(), 1);
        assert!(findings("crates/slurm/src/x.rs", text).is_empty());
    }

    #[test]
    fn an_explanation_is_accepted() {
        let above = "// tidy: only looked up, never iterated\nuse std::collections::HashMap;\n";
        assert!(findings("crates/sched/src/x.rs", above).is_empty());
        let beside = "use std::collections::HashMap; // tidy: only looked up\n";
        assert!(findings("crates/sched/src/x.rs", beside).is_empty());
    }
}
