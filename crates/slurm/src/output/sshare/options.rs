//! The command line of `sshare`.

use super::super::VERSION_LINE;
use super::super::context::{Context, Environment, Outcome};
use super::super::getopt::{self, Item, Opt, Value, opt};
use super::fields;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Accounts,
    All,
    Cluster,
    Format,
    Help,
    HelpFormat,
    Long,
    NoHeader,
    Parsable,
    Parsable2,
    Partition,
    Users,
    UsersOnly,
    Verbose,
    Version,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Accounts, 'A', "accounts", Value::Needed),
    opt(Key::All, 'a', "all", Value::None),
    opt(Key::HelpFormat, 'e', "helpformat", Value::None),
    opt(Key::Long, 'l', "long", Value::None),
    opt(Key::Partition, 'm', "partition", Value::None),
    opt(Key::Cluster, 'M', "cluster", Value::Needed),
    opt(Key::Cluster, '\0', "clusters", Value::Needed),
    opt(Key::NoHeader, 'n', "noheader", Value::None),
    opt(Key::Format, 'o', "format", Value::Needed),
    opt(Key::Parsable, 'p', "parsable", Value::None),
    opt(Key::Parsable2, 'P', "parsable2", Value::None),
    opt(Key::Users, 'u', "users", Value::Needed),
    opt(Key::UsersOnly, 'U', "Users", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::NoHeader, 'h', "", Value::None),
    opt(Key::Help, '\0', "help", Value::None),
    opt(Key::Help, '\0', "usage", Value::None),
];

const HELP: &str = include_str!("help.txt");

/// Slurm fills the lines of its help with blanks, and ends it with a filled and an empty one.
fn help() -> String {
    // One line is a blank short of the others.
    let width = |line: &str| HELP_WIDTH - usize::from(line.ends_with("fields)."));
    HELP.lines().chain([""]).map(|line| format!("{line:<0$}\n", width(line))).collect::<String>() + "\n"
}

const HELP_WIDTH: usize = 75;

/// How columns are set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    #[default]
    Table,
    /// `-p`.
    Ended,
    /// `-P`.
    Separated,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Options {
    pub header: bool,
    pub long: bool,
    pub partitions: bool,
    pub users_only: bool,
    pub style: Style,
    pub format: Option<String>,
    pub cluster: Option<String>,
    /// `None` for all.
    pub accounts: Option<Vec<String>>,
    /// `None` for all.
    pub users: Option<Vec<String>>,
    verbose: bool,
}

impl Options {
    /// What `-v` tells.
    pub(super) fn dump(&self) -> String {
        if !self.verbose {
            return String::new();
        }
        let list = |names: &Option<Vec<String>>| match names {
            Some(names) => names.iter().map(|name| format!("\t: {name}\n")).collect::<String>(),
            None => "\t: all\n".to_owned(),
        };
        format!("Users requested:\n{}Accounts requested:\n{}", list(&self.users), list(&self.accounts))
    }
}

/// Reads the command line.
pub(super) fn read(args: &[String], environment: &Environment, context: &Context) -> Result<Options, Outcome> {
    let mut options =
        Options { header: true, cluster: environment.get("SLURM_CLUSTERS").cloned(), ..Options::default() };
    let (mut all, mut named) = (false, None);
    let parsed = getopt::parse(args, OPTIONS);
    for item in parsed.items {
        let (key, value) = match item {
            Item::Error(text) => {
                let text = format!("sshare: {text}\nTry \"sshare --help\" for more information\n");
                return Err(Outcome::failure(text, 1));
            }
            Item::Option(key, value) => (key, value.unwrap_or_default()),
        };
        let names = || value.split(',').filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect();
        match key {
            Key::Accounts => options.accounts = Some(names()),
            Key::All => all = true,
            Key::Cluster => options.cluster = Some(value),
            Key::Format => options.format = Some(value),
            Key::Help => return Err(Outcome::success(help())),
            Key::HelpFormat => return Err(Outcome::success(fields::help())),
            Key::Long => options.long = true,
            Key::NoHeader => options.header = false,
            Key::Parsable => options.style = Style::Ended,
            Key::Parsable2 => options.style = Style::Separated,
            Key::Partition => options.partitions = true,
            Key::Users => named = Some(names()),
            Key::UsersOnly => options.users_only = true,
            Key::Verbose => options.verbose = true,
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
        }
    }
    let own = || vec![context.caller.user.to_string()];
    options.users = if all { None } else { Some(named.unwrap_or_else(own)) };
    Ok(options)
}
