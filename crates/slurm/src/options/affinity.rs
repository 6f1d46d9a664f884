//! Sockets, cores and threads; how tasks are dealt and bound.

use super::resources::count;
use super::spec::Argument::{Optional, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, Line, OptionSpec, Section};
use super::values::SubmitOptions;
use crate::binding::{memory, request};
use crate::grammar::distribution::{self, DistributionError};
use crate::grammar::{frequency, numbers};

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("extra-node-info", ALL, Required, extra_node_info)
        .short('B')
        .help("S[:C[:T]]", "sockets per node, cores per socket, threads per core; * for any")
        .section(Section::Affinity),
    OptionSpec::new("sockets-per-node", ALL, Required, |options, input| {
        count(input, &mut options.resources.sockets_per_node)
    })
    .help("N", "fewest sockets on each node")
    .section(Section::Affinity),
    OptionSpec::new("cores-per-socket", ALL, Required, |options, input| {
        count(input, &mut options.resources.cores_per_socket)
    })
    .help("N", "fewest cores on each socket")
    .section(Section::Affinity),
    OptionSpec::new("threads-per-core", ALL, Required, |options, input| {
        count(input, &mut options.resources.threads_per_core)
    })
    .env(&[(Sbatch, "SBATCH_THREADS_PER_CORE"), (Srun, "SLURM_THREADS_PER_CORE"), (Salloc, "SALLOC_THREADS_PER_CORE")])
    .help("N", "threads used of each core")
    .section(Section::Affinity),
    OptionSpec::new("core-spec", ALL, Required, |options, input| reserved(options, input, "-S"))
        .short('S')
        .env(&[(Sbatch, "SBATCH_CORE_SPEC"), (Srun, "SLURM_CORE_SPEC"), (Salloc, "SALLOC_CORE_SPEC")])
        .help("N", "cores kept for the system"),
    OptionSpec::new("thread-spec", ALL, Required, |options, input| reserved(options, input, "--thread-spec"))
        .env(&[(Sbatch, "SBATCH_THREAD_SPEC"), (Srun, "SLURM_THREAD_SPEC"), (Salloc, "SALLOC_THREAD_SPEC")])
        .help("N", "threads kept for the system"),
    OptionSpec::new("distribution", ALL, Required, distribute)
        .short('m')
        .env(&[(Sbatch, "SBATCH_DISTRIBUTION"), (Srun, "SLURM_DISTRIBUTION"), (Salloc, "SALLOC_DISTRIBUTION")])
        .help("type", "how tasks are dealt to nodes (block, cyclic, plane=N, arbitrary)"),
    OptionSpec::new("hint", ALL, Required, hint)
        .env(&[
            (Sbatch, "SLURM_HINT"),
            (Sbatch, "SBATCH_HINT"),
            (Srun, "SLURM_HINT"),
            (Salloc, "SLURM_HINT"),
            (Salloc, "SALLOC_HINT"),
        ])
        .help("type", "bind by the nature of the program (nomultithread, compute_bound, memory_bound)")
        .section(Section::Affinity),
    OptionSpec::new("mem-bind", ALL, Required, mem_bind)
        .env(&[(Sbatch, "SBATCH_MEM_BIND"), (Srun, "SLURM_MEM_BIND"), (Salloc, "SALLOC_MEM_BIND")])
        .help("type", "bind memory ([verbose,][prefer,]none, rank, local, map_mem:..., mask_mem:..., help)")
        .section(Section::Affinity),
    OptionSpec::new("cpu-bind", Commands::SRUN, Required, cpu_bind)
        .env(&[(Srun, "SLURM_CPU_BIND")])
        .help(
            "type",
            "bind tasks to cpus ([verbose,]none, cores, sockets, threads, rank, map_cpu:..., mask_cpu:..., help)",
        )
        .section(Section::Affinity),
    OptionSpec::new("cpu_bind", Commands::SRUN, Required, cpu_bind).sorted_as("cpu-c").alias_of("cpu-bind"),
    OptionSpec::new("accel-bind", Commands::SRUN, Required, |options, input| {
        if input.value.is_empty() || !input.value.chars().all(|c| matches!(c.to_ascii_lowercase(), 'g' | 'n' | 'v')) {
            return Err(input.invalid());
        }
        keep(options, input)
    })
    .help("type", "bind tasks to accelerators")
    .section(Section::Hidden)
    .not_yet(),
    OptionSpec::new("cpu-freq", ALL, Required, |options, input| {
        let Some(printed) = frequency::parse(input.value) else {
            return Err(Fault::error(255, "Invalid --cpu-freq argument")
                .after(Line::Error(format!("unrecognized --cpu-freq argument \"{}\"", input.value))));
        };
        options.others.insert("cpu-freq", printed.clone());
        Ok(printed)
    })
    .env(&[(Srun, "SLURM_CPU_FREQ_REQ")])
    .help("min[-max[:gov]]", "frequency of the cpus")
    .not_yet(),
    OptionSpec::new("ntasks-per-tres", ALL, Required, |options, input| {
        count(input, &mut options.resources.ntasks_per_gpu)
    })
    .help("N", "tasks for each GPU")
    .section(Section::Hidden),
    OptionSpec::new("power", ALL, Optional, |options, input| {
        let known = input.value.eq_ignore_ascii_case("level");
        if !known && !input.value.is_empty() {
            let line = Line::Error(format!("Ignoring unrecognized power option ({})", input.value));
            options.notices.push(line);
            return Ok("unset".to_owned());
        }
        keep(options, input).map(|_| "LEVEL".to_owned())
    })
    .env(&[(Sbatch, "SBATCH_POWER"), (Srun, "SLURM_POWER"), (Salloc, "SALLOC_POWER")])
    .help("flags", "power management")
    .not_yet(),
];

/// Remembers the value as written.
pub fn keep(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    options.others.insert(input.name, input.value.to_owned());
    Ok(input.value.to_owned())
}

fn extra_node_info(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let mut values = [None; 3];
    for ((slot, part), which) in values.iter_mut().zip(input.value.split(':')).zip(["first", "second", "third"]) {
        // A range counts by its least value, `*` and nothing leave the choice open.
        let least = part.split_once('-').map_or(part, |(low, _)| low);
        if matches!(least, "" | "*") {
            continue;
        }
        let complaint = || Fault::error(1, format!("Invalid numeric value \"{least}\" for {which} arg of -B."));
        *slot = Some(numbers::positive(least).ok_or_else(complaint)?);
    }
    let [sockets, cores, threads] = values;
    options.resources.sockets_per_node = sockets;
    options.resources.cores_per_socket = cores;
    options.resources.threads_per_core = threads;
    let shown: Vec<String> =
        values.iter().map(|value| value.map_or(String::new(), |value| value.to_string())).collect();
    let shown = shown.join(":");
    let shown = shown.trim_end_matches(':');
    Ok(if shown.is_empty() { "unset".to_owned() } else { shown.to_owned() })
}

/// Cores that the job leaves to the system, which a cluster must allow. It then has its nodes for itself.
fn reserved(options: &mut SubmitOptions, input: &Input<'_>, written: &str) -> Result<String, Fault> {
    let value = numbers::not_negative(input.value).ok_or_else(|| input.not_a_number())?;
    if input.world.spec_resources_allowed && input.name == "core-spec" {
        options.resources.cores_reserved = Some(value);
        options.others.insert("core-spec", value.to_string());
        return Ok(value.to_string());
    }
    if input.world.spec_resources_allowed {
        let text = format!("Ignoring {written}: threads are kept for the system by whole cores here, use --core-spec");
        options.notices.push(Line::Error(text));
        return Ok(value.to_string());
    }
    let text = format!("Ignoring {written} since it's not allowed by configuration (AllowSpecResourcesUsage = No)");
    options.notices.push(Line::Error(text));
    Ok(value.to_string())
}

fn distribute(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let found = distribution::parse(input.value).map_err(|error| match error {
        DistributionError::NoPlaneSize => {
            input.invalid().after(Line::Error("Invalid plane size or size not specified".to_owned()))
        }
        DistributionError::Malformed => input.invalid(),
    })?;
    let text = found.text.clone();
    if found.has_lower_levels || !matches!(found.nodes, distribution::Nodes::Block | distribution::Nodes::Cyclic) {
        options.others.insert("distribution", text.clone());
    }
    options.placement.distribution = Some(found);
    Ok(text)
}

fn hint(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    match input.value.to_ascii_lowercase().as_str() {
        word @ ("compute_bound" | "memory_bound" | "multithread" | "nomultithread") => {
            options.placement.hint = Some(word.to_owned());
            Ok(word.to_owned())
        }
        "help" => Err(Fault::answer(
            1,
            "Hints for --hint:\n    compute_bound    all cores of each socket\n    memory_bound     one core of each socket\n    \
             [no]multithread  [not] several threads of a core\n",
        )),
        _ => Err(Fault::error(1, format!("unrecognized --hint argument \"{}\", see --hint=help", input.value))),
    }
}

fn cpu_bind(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    if input.value.eq_ignore_ascii_case("help") {
        let text = if input.world.tasks_are_unbound { CPU_BIND_LACKS } else { CPU_BIND_HELP };
        return Err(Fault::answer(1, text));
    }
    request::parse(input.value)
        .map_err(|error| Fault::fatal("Failed to parse --cpu-bind= values.").after(Line::Error(error)))?;
    if input.world.tasks_are_unbound {
        options.notices.push(Line::Info("cluster configuration lacks support for cpu binding".to_owned()));
    }
    options.others.insert("cpu-bind", input.value.to_owned());
    Ok(input.value.to_owned())
}

fn mem_bind(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    if input.value.eq_ignore_ascii_case("help") {
        return Err(Fault::answer(255, MEM_BIND_HELP));
    }
    memory::parse(input.value).map_err(|error| Fault::error(255, error))?;
    keep(options, input)
}

const MEM_BIND_HELP: &str = "\
How --mem-bind binds each task to domains of memory (NUMA nodes):
    quiet, verbose          say nothing (default), or to what each task was bound
    prefer                  use others when these are full
    sort, nosort            [not] with sorted pages, where a machine can
    none                    to nothing (default)
    local                   to those of its CPUs
    rank                    the first task to the first domain, and so on
    map_mem:LIST            to the domain of a list of numbers
    mask_mem:LIST           to the domains of a list of masks in hexadecimal digits
    help                    this text
";

const CPU_BIND_LACKS: &str = "CPU bind options not supported with current configuration\n";

const CPU_BIND_HELP: &str = "\
How --cpu-bind binds each task to CPUs of its step:
    quiet, verbose          say nothing (default), or to what each task was bound
    none                    to nothing
    cores, sockets, threads to cores, sockets or threads, dealt out as --distribution says
    ldoms                   to the domains of memory of these
    rank, rank_ldom         the first task to the first CPU (domain) of the machine, and so on
    map_cpu:LIST, map_ldom:LIST     to the CPU (domain) of a list of numbers
    mask_cpu:LIST, mask_ldom:LIST   to the CPUs (domains) of a list of masks in hexadecimal digits
    help                    this text
";
