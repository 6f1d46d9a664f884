//! `cargo xtask tidy`: the house rules that neither the compiler nor clippy can know.
//!
//! A rule is one file under `tidy/`, with a function from text to findings, and one line in
//! [`check`]. The rules read text, not syntax trees: the whole repository takes a fraction of a
//! second, and a rule is understood by reading it once. [`rust::Source`] does the one thing every
//! rule about Rust needs, which is to tell code from comments, strings and tests.
//!
//! A finding says where, what, and what to do. There is no switch to turn a rule off; the
//! allowances for size live in `tidy-allowances.toml` and can only shrink.

mod allowances;
mod crate_root;
mod directions;
mod links;
mod manifests;
mod module_docs;
mod purity;
mod rust;
mod size;
mod whitespace;
mod words;

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::workspace::{self, SourceFile};
use allowances::Allowances;
use rust::Source;

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    /// What is wrong, and what to do about it.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Finding { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the repository and prints what it finds.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    ensure!(args.is_empty(), "tidy takes no arguments, but got {args:?}");
    let files = workspace::text_files()?;
    let findings = check(&files)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        eprintln!("tidy: {} files, nothing to do", files.len());
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} findings in {} files", findings.len(), files.len());
    Ok(ExitCode::FAILURE)
}

/// Applies every rule to every file it is about.
fn check(files: &[SourceFile]) -> Result<Vec<Finding>> {
    let mut allowances = Allowances::load(files)?;
    let mut findings = Vec::new();
    for file in files {
        let source = file.path.ends_with(".rs").then(|| Source::parse(&file.text));
        whitespace::check(file, source.as_ref(), &mut findings);
        words::check(file, source.as_ref(), &mut findings);
        if file.path.ends_with(".md") {
            links::check(file, |path| links::is_in(files, path), &mut findings);
        }
        if file.path.ends_with("Cargo.toml") {
            manifests::check(file, &mut findings)?;
        }
        if let Some(source) = source.filter(|source| !source.is_generated()) {
            size::check(file, &source, &mut allowances, &mut findings);
            module_docs::check(file, &mut findings);
            purity::check(file, &source, &mut findings);
            crate_root::check(file, &source, &mut findings);
        }
    }
    allowances.report_unused(&mut findings);
    findings.sort();
    Ok(findings)
}
