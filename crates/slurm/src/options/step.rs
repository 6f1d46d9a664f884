//! Options that only `srun` has: how a step is started, watched and ended.

use super::affinity::keep;
use super::placement::keep_flag;
use super::spec::Argument::{None as NoValue, Optional, Required};
use super::spec::Command::Srun;
use super::spec::{Commands, Fault, Input, OptionSpec, Section};
use super::values::SubmitOptions;
use muster_model::array::TaskSet;
use muster_model::heterogeneous::COMPONENTS_MAX;

use crate::grammar::numbers;

const SRUN: Commands = Commands::SRUN;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("jobid", SRUN, Required, |options, input| {
        let value = numbers::positive(input.value).ok_or_else(|| input.not_a_number())?;
        options.step.jobid = Some(value);
        Ok(value.to_string())
    })
    .env(&[(Srun, "SLURM_JOB_ID")])
    .sorted_as("job")
    .help("id", "run within this allocation"),
    flag("label", "put the rank before each line of output", |options| options.step.label = true)
        .short('l')
        .env(&[(Srun, "SLURM_LABELIO")]),
    flag("unbuffered", "pass output on without waiting for whole lines", |options| options.step.unbuffered = true)
        .short('u')
        .env(&[(Srun, "SLURM_UNBUFFEREDIO")]),
    OptionSpec::new("kill-on-bad-exit", SRUN, Optional, |options, input| {
        let value = match input.value {
            "" => 1,
            _ => numbers::not_negative(input.value).ok_or_else(|| input.not_a_number())?,
        };
        options.step.kill_on_bad_exit = Some(value != 0);
        Ok(value.to_string())
    })
    .short('K')
    .env(&[(Srun, "SLURM_KILL_BAD_EXIT")])
    .help("0|1", "end all tasks when one ends badly"),
    OptionSpec::new("wait", SRUN, Required, |options, input| {
        let value = numbers::not_negative(input.value).ok_or_else(|| input.not_a_number())?;
        options.step.wait = Some(value);
        Ok(value.to_string())
    })
    .short('W')
    .env(&[(Srun, "SLURM_WAIT")])
    .help("secs", "end all tasks so long after the first one ended"),
    flag("pty", "give rank 0 a terminal", |options| options.step.pty = true).env(&[(Srun, "SLURM_PTY")]),
    flag("exact", "take only the cpus that the tasks need", |options| options.step.exact = true)
        .env(&[(Srun, "SLURM_EXACT")])
        .section(Section::Consumable),
    flag("overlap", "share cpus with other steps", |options| options.step.overlap = true)
        .env(&[(Srun, "SLURM_OVERLAP")]),
    flag("whole", "take all of each node that is used", |options| options.step.whole = true)
        .env(&[(Srun, "SLURM_WHOLE")])
        .section(Section::Consumable),
    flag("multi-prog", "the command is a file that names a program for each rank", |options| {
        options.step.multi_prog = true
    }),
    OptionSpec::new("mpi", SRUN, Required, |options, input| {
        options.step.mpi = Some(input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .env(&[(Srun, "SLURM_MPI_TYPE")])
    .help("type", "how MPI programs find each other (list: the types)"),
    flag("preserve-env", "tasks see the counts of nodes and tasks that srun sees", |options| {
        options.step.preserve_env = true
    })
    .short('E'),
    flag("disable-status", "one Ctrl-C interrupts, no status is shown", |options| options.step.disable_status = true)
        .short('X')
        .env(&[(Srun, "SLURM_DISABLE_STATUS")]),
    flag("quit-on-interrupt", "one Ctrl-C ends the step", |options| options.step.quit_on_interrupt = true),
    flag("no-allocate", "run on nodes without asking for them", |options| options.step.no_allocate = true)
        .short('Z')
        .section(Section::Constraints)
        .not_yet(),
    flag("interactive", "the step in which salloc runs a shell", |options| options.step.interactive = true)
        .section(Section::Hidden),
    OptionSpec::new("threads", SRUN, Required, |_, input| {
        numbers::positive(input.value).map(|value| value.to_string()).ok_or_else(|| input.not_a_number())
    })
    .short('T')
    .env(&[(Srun, "SLURM_THREADS")])
    .sorted_as("ta")
    .help("N", "how many nodes to start at once; here always all")
    .moot(),
    OptionSpec::new("msg-timeout", SRUN, Required, |_, input| {
        numbers::positive(input.value).map(|value| value.to_string()).ok_or_else(|| input.not_a_number())
    })
    .env(&[(Srun, "SLURM_MSG_TIMEOUT")])
    .section(Section::Hidden)
    .moot(),
    OptionSpec::new("debugger-test", SRUN, NoValue, keep_flag).section(Section::Hidden),
    OptionSpec::new("slurmd-debug", SRUN, Required, keep)
        .env(&[(Srun, "SLURMD_DEBUG")])
        .help("level", "how much the node says"),
    OptionSpec::new("resv-ports", SRUN, Optional, keep)
        .env(&[(Srun, "SLURM_RESV_PORTS")])
        .help("N", "reserve network ports")
        .section(Section::Consumable)
        .not_yet(),
    OptionSpec::new("bcast", SRUN, Optional, |options, input| {
        options.step.bcast = Some(input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .env(&[(Srun, "SLURM_BCAST")])
    .help("path", "copy the program to the nodes first and run it there"),
    OptionSpec::new("bcast-exclude", SRUN, Required, keep)
        .env(&[(Srun, "SLURM_BCAST_EXCLUDE")])
        .help("paths", "directories of libraries not to copy")
        .not_yet(),
    OptionSpec::new("compress", SRUN, Optional, keep)
        .env(&[(Srun, "SLURM_COMPRESS")])
        .help("library", "compression of what is copied")
        .not_yet(),
    OptionSpec::new("send-libs", SRUN, Optional, keep)
        .env(&[(Srun, "SLURM_SEND_LIBS")])
        .help("yes|no", "copy libraries too")
        .not_yet(),
    OptionSpec::new("prolog", SRUN, Required, |options, input| program(&mut options.step.prolog, input))
        .env(&[(Srun, "SLURM_PROLOG")])
        .help("program", "run here before the step"),
    OptionSpec::new("epilog", SRUN, Required, |options, input| program(&mut options.step.epilog, input))
        .env(&[(Srun, "SLURM_EPILOG")])
        .help("program", "run here after the step"),
    OptionSpec::new("task-prolog", SRUN, Required, |options, input| program(&mut options.step.task_prolog, input))
        .env(&[(Srun, "SLURM_TASK_PROLOG")])
        .help("program", "run before each task"),
    OptionSpec::new("task-epilog", SRUN, Required, |options, input| program(&mut options.step.task_epilog, input))
        .env(&[(Srun, "SLURM_TASK_EPILOG")])
        .help("program", "run after each task"),
    OptionSpec::new("het-group", SRUN, Required, het_group).help("N", "components of a heterogeneous job"),
    OptionSpec::new("pack-group", SRUN, Required, het_group).alias_of("het-group"),
    OptionSpec::new("x11", Commands::SRUN_SALLOC, Optional, |_, _| {
        Err(Fault::error(255, "X11 forwarding is not supported"))
    })
    .help("type", "forward X11; not supported")
    .section(Section::Hidden),
];

/// A flag of `srun`.
const fn flag(name: &'static str, text: &'static str, put: fn(&mut SubmitOptions)) -> OptionSpec {
    OptionSpec::flag(name, SRUN, put).help("", text)
}

/// Keeps the name of a program to be run around the step or its tasks.
fn program(kept: &mut Option<String>, input: &Input<'_>) -> Result<String, Fault> {
    *kept = Some(input.value.to_owned());
    Ok(input.value.to_owned())
}

fn het_group(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let groups = TaskSet::parse(input.value, COMPONENTS_MAX as u32);
    let Some(groups) = groups.filter(|_| !input.value.contains('%')) else {
        return Err(Fault::error(1, format!("Invalid --het-group value: {}", input.value)));
    };
    options.step.het_groups = Some(groups.iter().collect());
    Ok(input.value.to_owned())
}
