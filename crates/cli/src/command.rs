//! The list of commands. Parsers, links, completions and man pages follow from it.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::{dev, native, slurm};

/// Which habit a command serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Called by its own name, with Slurm's options, messages and exit codes.
    Slurm,
    /// Called as `muster NAME`.
    Native,
    /// Called as `muster NAME` or `dstack NAME`.
    Run,
}

/// One command.
pub struct Command {
    /// Name by which it is called.
    pub name: &'static str,
    /// Which habit it serves.
    pub family: Family,
    /// One line for lists.
    pub about: &'static str,
    /// Runs it with the arguments after its name.
    pub run: fn(Vec<OsString>) -> ExitCode,
}

/// All commands, in the order in which help shows them.
pub const ALL: &[Command] = &[
    Command { name: "sbatch", family: Family::Slurm, about: "submit a batch script", run: slurm::sbatch::run },
    Command { name: "srun", family: Family::Slurm, about: "run parallel tasks", run: slurm::srun::run },
    Command {
        name: "salloc",
        family: Family::Slurm,
        about: "get an allocation and run a command in it",
        run: slurm::salloc::run,
    },
    Command { name: "squeue", family: Family::Slurm, about: "show the queue", run: slurm::squeue::run },
    Command { name: "scancel", family: Family::Slurm, about: "end or signal jobs", run: slurm::scancel::run },
    Command {
        name: "sbcast",
        family: Family::Slurm,
        about: "copy a file to the nodes of a job",
        run: slurm::sbcast::run,
    },
    Command {
        name: "sattach",
        family: Family::Slurm,
        about: "watch the tasks of a running step",
        run: slurm::sattach::run,
    },
    Command { name: "sinfo", family: Family::Slurm, about: "show nodes and partitions", run: slurm::sinfo::run },
    Command {
        name: "scontrol",
        family: Family::Slurm,
        about: "show and change the state of the cluster",
        run: slurm::scontrol::run,
    },
    Command { name: "sstat", family: Family::Slurm, about: "show what running steps use", run: slurm::sstat::run },
    Command { name: "sacct", family: Family::Slurm, about: "show the history of jobs", run: slurm::sacct::run },
    Command {
        name: "sacctmgr",
        family: Family::Slurm,
        about: "show and change accounts, users and QOS",
        run: slurm::sacctmgr::run,
    },
    Command {
        name: "sprio",
        family: Family::Slurm,
        about: "show what the priorities of waiting jobs are made of",
        run: slurm::sprio::run,
    },
    Command {
        name: "sshare",
        family: Family::Slurm,
        about: "show shares and usage of accounts and users",
        run: slurm::sshare::run,
    },
    Command {
        name: "sdiag",
        family: Family::Slurm,
        about: "show what the controller had to do",
        run: slurm::sdiag::run,
    },
    Command {
        name: "scrontab",
        family: Family::Slurm,
        about: "keep a table of jobs that come again",
        run: slurm::scrontab::run,
    },
    Command { name: "apply", family: Family::Run, about: "run a .dstack.yml configuration", run: native::apply::run },
    Command { name: "ps", family: Family::Run, about: "list runs", run: native::ps::run },
    Command { name: "logs", family: Family::Run, about: "show the output of a run", run: native::logs::run },
    Command { name: "attach", family: Family::Run, about: "follow the output of a run", run: native::attach::run },
    Command { name: "ssh", family: Family::Native, about: "go into the container of a run", run: native::ssh::run },
    Command { name: "stop", family: Family::Run, about: "stop a run", run: native::stop::run },
    Command { name: "run", family: Family::Run, about: "show one run", run: native::run::run },
    Command { name: "dev", family: Family::Native, about: "start and stop a development cluster", run: dev::run },
    Command { name: "demo", family: Family::Native, about: "see a cluster at work, in a minute", run: dev::demo::run },
    Command { name: "explain", family: Family::Native, about: "say why a job waits", run: native::explain::run },
    Command {
        name: "simulate",
        family: Family::Native,
        about: "replay a workload under other policies or another configuration",
        run: native::simulate::run,
    },
    Command {
        name: "links",
        family: Family::Native,
        about: "make the commands available under their own names",
        run: dev::links::run,
    },
    Command {
        name: "completions",
        family: Family::Native,
        about: "print shell completions",
        run: native::completions::run,
    },
    Command { name: "man", family: Family::Native, about: "write man pages", run: native::man::run },
];

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.name == name)
}
