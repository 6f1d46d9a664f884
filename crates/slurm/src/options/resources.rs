//! Counts of nodes, tasks, processors and memory; how nodes are shared.

use muster_model::resources::{Megabytes, Sharing};

use super::spec::Argument::{None as NoValue, Optional, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, Line, OptionSpec, Section};
use crate::grammar::nodes::{self, NodeCountError};
use crate::grammar::numbers;

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("nodes", ALL, Required, |options, input| {
        let (min, max) = node_count(input)?;
        options.resources.nodes = Some((min, max));
        Ok(if min == max { min.to_string() } else { format!("{min}-{max}") })
    })
    .short('N')
    .env(&[(Srun, "SLURM_JOB_NUM_NODES")])
    .help("N", "how many nodes (N = min[-max])"),
    OptionSpec::new("ntasks", ALL, Required, |options, input| count(input, &mut options.resources.ntasks))
        .short('n')
        .env(&[(Srun, "SLURM_NPROCS"), (Srun, "SLURM_NTASKS")])
        .help("N", "how many tasks"),
    OptionSpec::new("cpus-per-task", ALL, Required, |options, input| {
        count(input, &mut options.resources.cpus_per_task)
    })
    .short('c')
    .env(&[(Srun, "SRUN_CPUS_PER_TASK")])
    .help("N", "cpus for each task"),
    OptionSpec::new("ntasks-per-node", ALL, Required, |options, input| {
        count(input, &mut options.resources.ntasks_per_node)
    })
    .env(&[(Srun, "SLURM_NTASKS_PER_NODE")])
    .help("N", "tasks on each node"),
    OptionSpec::new("tasks-per-node", ALL, Required, |options, input| {
        count(input, &mut options.resources.ntasks_per_node)
    })
    .alias_of("ntasks-per-node"),
    OptionSpec::new("ntasks-per-socket", ALL, Required, |options, input| {
        count(input, &mut options.resources.ntasks_per_socket)
    })
    .env(&[(Srun, "SLURM_NTASKS_PER_SOCKET")])
    .help("N", "tasks on each socket")
    .section(Section::Affinity),
    OptionSpec::new("ntasks-per-core", ALL, Required, |options, input| {
        count(input, &mut options.resources.ntasks_per_core)
    })
    .env(&[(Srun, "SLURM_NTASKS_PER_CORE")])
    .help("N", "tasks on each core")
    .section(Section::Affinity),
    OptionSpec::new("mincpus", ALL, Required, |options, input| count(input, &mut options.resources.mincpus))
        .help("N", "fewest cpus on each node")
        .section(Section::Constraints),
    OptionSpec::new("mem", ALL, Required, |options, input| memory(input, &mut options.resources.mem))
        .env(&[(Sbatch, "SBATCH_MEM_PER_NODE"), (Srun, "SLURM_MEM_PER_NODE"), (Salloc, "SALLOC_MEM_PER_NODE")])
        .help("MB", "memory on each node (0: all of it)")
        .section(Section::Constraints),
    OptionSpec::new("mem-per-cpu", ALL, Required, |options, input| memory(input, &mut options.resources.mem_per_cpu))
        .env(&[(Sbatch, "SBATCH_MEM_PER_CPU"), (Srun, "SLURM_MEM_PER_CPU"), (Salloc, "SALLOC_MEM_PER_CPU")])
        .help("MB", "memory for each cpu")
        .section(Section::Consumable),
    OptionSpec::new("mem-per-gpu", ALL, Required, |options, input| memory(input, &mut options.resources.mem_per_gpu))
        .env(&[(Sbatch, "SBATCH_MEM_PER_GPU"), (Srun, "SLURM_MEM_PER_GPU"), (Salloc, "SALLOC_MEM_PER_GPU")])
        .help("MB", "memory for each GPU")
        .section(Section::Gpu),
    OptionSpec::new("tmp", ALL, Required, |options, input| memory(input, &mut options.resources.tmp))
        .help("MB", "size of the temporary file system of each node")
        .section(Section::Constraints),
    OptionSpec::flag("overcommit", ALL, |options| options.resources.overcommit = true)
        .short('O')
        .env(&[(Sbatch, "SBATCH_OVERCOMMIT"), (Srun, "SLURM_OVERCOMMIT"), (Salloc, "SALLOC_OVERCOMMIT")])
        .help("", "more tasks than cpus are fine"),
    OptionSpec::new("exclusive", ALL, Optional, |options, input| {
        let (sharing, shown) = match input.value.to_ascii_lowercase().as_str() {
            "" => (Sharing::Exclusive, "exclusive"),
            "user" => (Sharing::ExclusiveUser, "user"),
            "mcs" => (Sharing::ExclusiveMcs, "mcs"),
            _ => return Err(input.invalid()),
        };
        options.resources.sharing = Some(sharing);
        Ok(shown.to_owned())
    })
    .env(&[(Sbatch, "SBATCH_EXCLUSIVE"), (Srun, "SLURM_EXCLUSIVE"), (Salloc, "SALLOC_EXCLUSIVE")])
    .help("user", "whole nodes; with =user shared with the user's own jobs")
    .section(Section::Consumable),
    OptionSpec::new("oversubscribe", ALL, NoValue, |options, _| {
        options.resources.sharing = Some(Sharing::Oversubscribe);
        Ok("oversubscribe".to_owned())
    })
    .short('s')
    .help("", "share cpus with other jobs where the partition allows it"),
    OptionSpec::new("licenses", ALL, Required, |options, input| {
        options.resources.licenses = (!input.value.is_empty()).then(|| input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .short('L')
    .help("names", "licences that the job needs"),
];

/// A count of at least 1.
pub fn count(input: &Input<'_>, slot: &mut Option<u32>) -> Result<String, Fault> {
    let value = numbers::positive(input.value).ok_or_else(|| input.not_a_number())?;
    *slot = Some(value);
    Ok(value.to_string())
}

fn memory(input: &Input<'_>, slot: &mut Option<Megabytes>) -> Result<String, Fault> {
    let value = numbers::memory(input.value).ok_or_else(|| input.invalid())?;
    *slot = Some(value);
    Ok(shown_memory(value))
}

/// An amount as `-v` lists it: the largest unit that divides it, mebibytes without one.
pub fn shown_memory(amount: Megabytes) -> String {
    match amount.0 {
        0 => "0".to_owned(),
        value if value.is_multiple_of(1 << 20) => format!("{}T", value >> 20),
        value if value.is_multiple_of(1 << 10) => format!("{}G", value >> 10),
        value => value.to_string(),
    }
}

fn node_count(input: &Input<'_>) -> Result<(u32, u32), Fault> {
    nodes::parse(input.value).map_err(|error| match error {
        NodeCountError::NotACount(part) => Fault::error(255, format!("\"{part}\" is not a valid node count")),
        NodeCountError::Reversed { min, max } => {
            let text = format!("Maximum node count {max} is less than minimum node count {min}");
            Fault { stdout: String::new(), lines: vec![Line::Error(text)], code: 255 }
        }
    })
}
