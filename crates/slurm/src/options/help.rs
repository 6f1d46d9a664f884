//! `--help`, `--usage`, and the list behind `-v`; all from the table.

use std::fmt::Write;

use super::spec::{Argument, Command, OptionSpec, Section};
use super::values::SubmitOptions;

/// Column in which the explanations of `--help` begin.
const HELP_COLUMN: usize = 30;

/// Greatest width of a line of `--usage`.
const USAGE_WIDTH: usize = 80;

/// What comes after the options.
const fn operands(command: Command) -> (&'static str, &'static str) {
    match command {
        Command::Sbatch => ("[OPTIONS(0)...] [ : [OPTIONS(N)...]] script(0) [args(0)...]", "executable [args...]"),
        Command::Srun => (
            "[OPTIONS(0)... [executable(0) [args(0)...]]] [ : [OPTIONS(N)...]] executable(N) [args(N)...]",
            "executable [args...]",
        ),
        Command::Salloc => ("[OPTIONS(0)...] [ : [OPTIONS(N)]] [command(0) [args(0)...]]", "[command [args...]]"),
    }
}

/// The text of `--help`.
pub fn help(command: Command) -> String {
    let mut text = format!("Usage: {} {}\n", command.name(), operands(command).0);
    let sections = [
        Section::Run,
        Section::Constraints,
        Section::Consumable,
        Section::Affinity,
        Section::Gpu,
        Section::Help,
        Section::Other,
    ];
    for section in sections {
        let mut entries: Vec<&OptionSpec> = super::of(command).filter(|spec| spec.section == section).collect();
        if entries.is_empty() {
            continue;
        }
        entries.sort_by_key(|spec| spec.name);
        text.push('\n');
        text.push_str(section.title());
        text.push('\n');
        for spec in entries {
            text.push_str(&entry(spec));
        }
    }
    text.push('\n');
    text
}

fn entry(spec: &OptionSpec) -> String {
    let short = spec.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match spec.argument {
        Argument::None => String::new(),
        Argument::Required => format!("={}", spec.placeholder),
        Argument::Optional => format!("[={}]", spec.placeholder),
    };
    let left = format!("  {short}--{}{value}", spec.name);
    // A left side that is too long pushes its explanation by one blank.
    format!("{left:<width$}{}\n", spec.help, width = HELP_COLUMN.max(left.chars().count() + 1))
}

/// The text of `--usage`.
pub fn usage(command: Command) -> String {
    let front = format!("Usage: {}", command.name());
    let indent = " ".repeat(front.len());
    let listed = super::of(command).filter(|spec| spec.section < Section::Help);
    let mut text = String::new();
    let mut line = front;
    for word in listed.map(usage_word).chain([operands(command).1.to_owned()]) {
        if line.len() + 1 + word.len() > USAGE_WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = indent.clone();
        }
        line.push(' ');
        line.push_str(&word);
    }
    text + &line + "\n"
}

fn usage_word(spec: &OptionSpec) -> String {
    match (spec.argument, spec.short) {
        (Argument::Required, Some(letter)) => format!("[-{letter} {}]", spec.placeholder),
        (Argument::Required, None) => format!("[--{}={}]", spec.name, spec.placeholder),
        (Argument::Optional, _) => format!("[--{}[={}]]", spec.name, spec.placeholder),
        (Argument::None, _) => format!("[--{}]", spec.name),
    }
}

/// What `-v` lists before anything is done: the options that were given, one a line, without line feeds or the
/// prefix of the command.
pub fn given(options: &SubmitOptions) -> Vec<String> {
    let rule = format!("{0} {0}", "-".repeat(20));
    let mut lines = vec!["defined options".to_owned(), rule.clone()];
    for (name, given) in &options.given {
        let mut line = String::new();
        let written = write!(line, "{name:<20}: {}", given.shown);
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        lines.push(line);
    }
    lines.extend([rule, "end of defined options".to_owned()]);
    lines
}
