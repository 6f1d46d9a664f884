//! What one option is: an entry of the table from which parsing, help, environment and listings derive.

use muster_model::time::Timestamp;

use super::values::{Given, SubmitOptions};

/// The command that reads options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `sbatch`.
    Sbatch,
    /// `srun`.
    Srun,
    /// `salloc`.
    Salloc,
}

impl Command {
    /// Its name, as it stands before its messages.
    pub const fn name(self) -> &'static str {
        match self {
            Command::Sbatch => "sbatch",
            Command::Srun => "srun",
            Command::Salloc => "salloc",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Command::Sbatch => 1,
            Command::Srun => 2,
            Command::Salloc => 4,
        }
    }
}

/// A set of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commands(u8);

impl Commands {
    /// `sbatch` only.
    pub const SBATCH: Commands = Commands(1);
    /// `srun` only.
    pub const SRUN: Commands = Commands(2);
    /// `salloc` only.
    pub const SALLOC: Commands = Commands(4);
    /// `sbatch` and `srun`.
    pub const SBATCH_SRUN: Commands = Commands(3);
    /// `sbatch` and `salloc`.
    pub const SBATCH_SALLOC: Commands = Commands(5);
    /// `srun` and `salloc`.
    pub const SRUN_SALLOC: Commands = Commands(6);
    /// All three.
    pub const ALL: Commands = Commands(7);

    /// Whether `command` is among them.
    pub const fn contains(self, command: Command) -> bool {
        self.0 & command.bit() != 0
    }
}

/// Whether an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// No value.
    None,
    /// A value, with `=` or as the next word.
    Required,
    /// A value only with `=`, or glued to the short form.
    Optional,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Acts,
    /// It speaks of something that this system does without or always does; there is nothing to do.
    Moot,
    /// It is checked and remembered, but nothing is done yet: the user is told.
    NotYet,
    /// Whoever asks for it is refused, since what he relies on would not be there.
    Refused,
}

/// Section of `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What to run and how.
    Run,
    /// Where it may run.
    Constraints,
    /// How resources are shared.
    Consumable,
    /// Sockets, cores, threads.
    Affinity,
    /// GPUs.
    Gpu,
    /// Help.
    Help,
    /// The rest.
    Other,
    /// Read but not listed.
    Hidden,
}

impl Section {
    /// Heading in `--help`.
    pub const fn title(self) -> &'static str {
        match self {
            Section::Run => "Parallel run options:",
            Section::Constraints => "Constraint options:",
            Section::Consumable => "Consumable resources related options:",
            Section::Affinity => "Affinity/Multi-core options:",
            Section::Gpu => "GPU scheduling options:",
            Section::Help => "Help options:",
            Section::Other => "Other options:",
            Section::Hidden => "",
        }
    }
}

/// Where a value came from. Later ones win over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A directive of the batch script.
    Script,
    /// An environment variable.
    Environment,
    /// The command line.
    CommandLine,
}

/// What an option's setter sees.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Who reads it.
    pub command: Command,
    /// Long name of the option.
    pub name: &'static str,
    /// The value; empty where none was given.
    pub value: &'a str,
    /// Whether a value was given.
    pub given: bool,
    /// Where it came from.
    pub origin: Origin,
    /// What must be known from outside.
    pub world: &'a World<'a>,
}

impl Input<'_> {
    /// `Invalid --NAME specification`, the commonest complaint; exit 255.
    pub fn invalid(&self) -> Fault {
        Fault::error(255, format!("Invalid --{} specification", self.name))
    }

    /// `Invalid numeric value "V" for WHAT.`, exit 1.
    pub fn not_a_number(&self) -> Fault {
        Fault::error(1, format!("Invalid numeric value \"{}\" for --{}.", self.value, self.name))
    }
}

/// What the setters need from outside. Everything is given, nothing is fetched but through `host`.
pub struct World<'a> {
    /// The present time.
    pub now: Timestamp,
    /// The time zone of the user.
    pub zone: jiff::tz::TimeZone,
    /// The directory in which the command was started.
    pub work_dir: &'a str,
    /// Number of the user who calls.
    pub uid: u32,
    /// Kinds of generic resources of the cluster, if known.
    pub gres_types: Option<&'a [muster_model::ids::Name]>,
    /// `AllowSpecResourcesUsage`: whether a job may say how many cores it leaves to the system.
    pub spec_resources_allowed: bool,
    /// Whether tasks are bound to nothing in this cluster (`TaskPlugin=task/none`).
    pub tasks_are_unbound: bool,
    /// Name of the cluster, if known.
    pub cluster_name: Option<&'a str>,
    /// Everything that must be looked up.
    pub host: &'a dyn Host,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// There is no such file.
    Missing,
    /// It is a directory.
    Directory,
    /// Anything else, in the words of the system (`Permission denied`).
    Other(String),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReadError::Missing => "No such file or directory",
            ReadError::Directory => "Is a directory",
            ReadError::Other(text) => text,
        })
    }
}

/// Look-ups on the machine where the command runs. The command-line crate answers from the system, tests from a table.
pub trait Host {
    /// The number of the user called `name`.
    fn user_id(&self, name: &str) -> Option<u32>;
    /// The number of the group called `name`.
    fn group_id(&self, name: &str) -> Option<u32>;
    /// The name of user `uid`.
    fn user_name(&self, uid: u32) -> Option<String>;
    /// The name of group `gid`.
    fn group_name(&self, gid: u32) -> Option<String>;
    /// The content of a file.
    ///
    /// # Errors
    /// As [`ReadError`] says.
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError>;
    /// All of standard input.
    ///
    /// # Errors
    /// As [`ReadError`] says.
    fn standard_input(&self) -> Result<Vec<u8>, ReadError>;
    /// All that can be read from an open file of the calling process (`--export-file=3`).
    ///
    /// # Errors
    /// As [`ReadError`] says.
    fn read_descriptor(&self, descriptor: i32) -> Result<Vec<u8>, ReadError>;
    /// The major version of the libpmix of this machine, if it has one.
    fn pmix_version(&self) -> Option<u32> {
        None
    }
}

/// Why options cannot be used, or need no more than an answer: what to print and with which code to exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For standard output.
    pub stdout: String,
    /// Lines for standard error. [`Line::Error`] and its kin get the prefix of the command.
    pub lines: Vec<Line>,
    /// Exit code.
    pub code: u8,
}

/// A line for standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `sbatch: error: TEXT`.
    Error(String),
    /// `sbatch: fatal: TEXT`.
    Fatal(String),
    /// `sbatch: TEXT`.
    Info(String),
    /// As it is.
    Plain(String),
}

impl Line {
    /// The line with the prefix of `command`, without a line feed.
    pub fn print(&self, command: &str) -> String {
        match self {
            Line::Error(text) => format!("{command}: error: {text}"),
            Line::Fatal(text) => format!("{command}: fatal: {text}"),
            Line::Info(text) => format!("{command}: {text}"),
            Line::Plain(text) => text.clone(),
        }
    }
}

impl Fault {
    /// One error line.
    pub fn error(code: u8, text: impl Into<String>) -> Fault {
        Fault { stdout: String::new(), lines: vec![Line::Error(text.into())], code }
    }

    /// One fatal line; exit 1.
    pub fn fatal(text: impl Into<String>) -> Fault {
        Fault { stdout: String::new(), lines: vec![Line::Fatal(text.into())], code: 1 }
    }

    /// Text for standard output and nothing else to do.
    pub fn answer(code: u8, stdout: impl Into<String>) -> Fault {
        Fault { stdout: stdout.into(), lines: Vec::new(), code }
    }

    /// With a line before the others.
    #[must_use]
    pub fn after(mut self, line: Line) -> Fault {
        self.lines.insert(0, line);
        self
    }

    /// All of standard error, with line feeds.
    pub fn stderr(&self, command: &str) -> String {
        self.lines.iter().map(|line| line.print(command) + "\n").collect()
    }
}

/// Puts a value into the options. The answer is the value as `-v` lists it.
pub type Setter = fn(&mut SubmitOptions, &Input<'_>) -> Result<String, Fault>;

/// What an option does.
#[derive(Clone, Copy)]
pub enum Action {
    /// Looks at its value.
    Value(Setter),
    /// Sets a flag.
    Flag(fn(&mut SubmitOptions)),
}

/// An entry of the table.
#[derive(Clone, Copy)]
pub struct OptionSpec {
    /// Long name without the dashes.
    pub name: &'static str,
    /// Short letter.
    pub short: Option<char>,
    /// Whether it takes a value.
    pub argument: Argument,
    /// Who accepts it.
    pub commands: Commands,
    /// Environment variables that stand for it, by command.
    pub environment: &'static [(Command, &'static str)],
    /// Placeholder of the value in `--help`.
    pub placeholder: &'static str,
    /// One line for `--help`.
    pub help: &'static str,
    /// Where `--help` lists it.
    pub section: Section,
    /// What becomes of it.
    pub effect: Effect,
    /// Whether Slurm 22.05 knows it. Newer options must be written out, so that abbreviations stay as they were.
    pub abbreviates: bool,
    /// The name under which it is sorted where real Slurm's order is not that of the alphabet.
    pub sorted_as: &'static str,
    /// Another name of the option `name`: reads as that one does.
    pub alias_of: Option<&'static str>,
    /// What it does.
    pub action: Action,
}

impl OptionSpec {
    /// An option that acts, has no short form and is listed among the run options.
    pub const fn new(name: &'static str, commands: Commands, argument: Argument, set: Setter) -> OptionSpec {
        OptionSpec {
            name,
            short: None,
            argument,
            commands,
            environment: &[],
            placeholder: "",
            help: "",
            section: Section::Run,
            effect: Effect::Acts,
            abbreviates: true,
            sorted_as: name,
            alias_of: None,
            action: Action::Value(set),
        }
    }

    /// A flag: an option without a value that needs no check.
    pub const fn flag(name: &'static str, commands: Commands, put: fn(&mut SubmitOptions)) -> OptionSpec {
        let mut spec = OptionSpec::new(name, commands, Argument::None, nothing);
        spec.action = Action::Flag(put);
        spec
    }

    /// Puts the value into `options` and notes that it was given, and what there is to say about it.
    ///
    /// # Errors
    /// What the option says about a bad value, or an answer such as the help text.
    pub fn apply(&self, options: &mut SubmitOptions, input: &Input<'_>) -> Result<(), Fault> {
        let shown = match self.action {
            Action::Value(set) => set(options, input)?,
            Action::Flag(put) => {
                put(options);
                "set".to_owned()
            }
        };
        if self.effect == Effect::NotYet && !options.not_yet.contains(&input.name) {
            options.not_yet.push(input.name);
        }
        options.given.insert(input.name, Given { origin: input.origin, shown });
        Ok(())
    }

    /// With a short letter.
    pub const fn short(mut self, letter: char) -> OptionSpec {
        self.short = Some(letter);
        self
    }

    /// With environment variables.
    pub const fn env(mut self, environment: &'static [(Command, &'static str)]) -> OptionSpec {
        self.environment = environment;
        self
    }

    /// With a placeholder and a help line.
    pub const fn help(mut self, placeholder: &'static str, help: &'static str) -> OptionSpec {
        self.placeholder = placeholder;
        self.help = help;
        self
    }

    /// In another section of `--help`.
    pub const fn section(mut self, section: Section) -> OptionSpec {
        self.section = section;
        self
    }

    /// Accepted, not yet acted upon.
    pub const fn not_yet(mut self) -> OptionSpec {
        self.effect = Effect::NotYet;
        self
    }

    /// Not accepted.
    pub const fn refused(mut self) -> OptionSpec {
        self.effect = Effect::Refused;
        self
    }

    /// Accepted; there is nothing to do.
    pub const fn moot(mut self) -> OptionSpec {
        self.effect = Effect::Moot;
        self
    }

    /// Younger than Slurm 22.05.
    pub const fn newer(mut self) -> OptionSpec {
        self.abbreviates = false;
        self
    }

    /// Sorted as `name`.
    pub const fn sorted_as(mut self, name: &'static str) -> OptionSpec {
        self.sorted_as = name;
        self
    }

    /// Another name of an option.
    pub const fn alias_of(mut self, name: &'static str) -> OptionSpec {
        self.alias_of = Some(name);
        self.section = Section::Hidden;
        self
    }
}

fn nothing(_: &mut SubmitOptions, _: &Input<'_>) -> Result<String, Fault> {
    Ok(String::new())
}

impl std::fmt::Debug for OptionSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--{}", self.name)
    }
}
