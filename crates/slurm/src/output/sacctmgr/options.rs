//! Options of `sacctmgr`, its help, and what of it is not there yet.

use super::super::VERSION_LINE;
use super::super::context::Outcome;
use super::super::getopt::{Item, Opt, Value, opt, parse};
use super::table::Style;

/// What the options ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// `-i`: nothing is asked.
    pub(super) immediate: bool,
    /// `-n`.
    pub(super) no_header: bool,
    /// `-p`, `-P`.
    pub(super) style: Style,
    /// `-s`: associations beside accounts and users.
    pub(super) associations: bool,
    /// `-r`.
    pub(super) read_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Associations,
    Help,
    Immediate,
    NoHeader,
    OneLiner,
    Parsable,
    Parsable2,
    Quiet,
    ReadOnly,
    Verbose,
    Version,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Associations, 's', "associations", Value::None),
    opt(Key::Help, 'h', "help", Value::None),
    opt(Key::Help, '\0', "usage", Value::None),
    opt(Key::Immediate, 'i', "immediate", Value::None),
    opt(Key::NoHeader, 'n', "noheader", Value::None),
    opt(Key::OneLiner, 'o', "oneliner", Value::None),
    opt(Key::Parsable, 'p', "parsable", Value::None),
    opt(Key::Parsable2, 'P', "parsable2", Value::None),
    opt(Key::Quiet, 'Q', "quiet", Value::None),
    opt(Key::ReadOnly, 'r', "readonly", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
];

/// Keywords that are not there yet.
pub(super) const UNSUPPORTED: &[&str] =
    &["archive", "clear", "ping", "problem", "reconfigure", "shutdown", "associations", "oneliner"];
/// Things that are not there yet.
pub(super) const ENTITIES_UNSUPPORTED: &[&str] =
    &["event", "federation", "job", "reservation", "runawayjobs", "stats", "transaction", "wckey"];

/// Reads options; the other words are left.
pub(super) fn read(args: &[String]) -> Result<(Flags, Vec<String>), Outcome> {
    let parsed = parse(args, OPTIONS);
    let mut flags = Flags::default();
    for item in parsed.items {
        match item {
            Item::Error(complaint) => {
                return Err(Outcome::failure(
                    format!("sacctmgr: {complaint}\nTry \"sacctmgr --help\" for more information\n"),
                    1,
                ));
            }
            Item::Option(Key::Help, _) => return Err(Outcome::success(HELP)),
            Item::Option(Key::Version, _) => return Err(Outcome::success(VERSION_LINE)),
            Item::Option(Key::Immediate, _) => flags.immediate = true,
            Item::Option(Key::NoHeader, _) => flags.no_header = true,
            Item::Option(Key::Parsable, _) => flags.style = Style::Ended,
            Item::Option(Key::Parsable2, _) => flags.style = Style::Separated,
            Item::Option(Key::Associations, _) => flags.associations = true,
            Item::Option(Key::ReadOnly, _) => flags.read_only = true,
            // Every record is one line, and announcements are printed, as they are there.
            Item::Option(Key::OneLiner | Key::Quiet | Key::Verbose, _) => {}
        }
    }
    Ok((flags, parsed.rest))
}

/// What `help` prints.
pub(super) const HELP: &str = "\
sacctmgr [OPTION] COMMAND
  Options:
    -h, --help           print this
    -i, --immediate      commit changes immediately, without asking
    -n, --noheader       no headings
    -p, --parsable       '|' behind each value
    -P, --parsable2      '|' between values
    -Q, --quiet          fewer messages
    -r, --readonly       refuse changes
    -s, --associations   with associations of accounts and users
    -V, --version        display tool version number
  Commands:
    add ENTITY SPECS               account, coordinator, qos, resource, user
    delete ENTITY [where] SPECS    account, coordinator, qos, resource, user
    dump CLUSTER [file=PATH]       accounts, users and associations to a file
    load PATH [clean] [cluster=NAME]
                                   from such a file, of Slurm too
    modify ENTITY [where] SPECS set SPECS
                                   account, qos, resource, user
    show ENTITY [SPECS]            account, association, cluster, configuration,
                                   problem, qos, resource, tres, user
  Not here, where one controller keeps one cluster:
    add cluster, delete cluster, archive, clear, ping, reconfigure, shutdown
";
