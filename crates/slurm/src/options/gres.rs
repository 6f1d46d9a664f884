//! Generic resources and GPUs.

use muster_model::resources::Gres;

use super::affinity::keep;
use super::resources::count;
use super::spec::Argument::Required;
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, OptionSpec, Section};
use super::values::SubmitOptions;
use crate::grammar::gres::{self, GresError};

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("gres", ALL, Required, generic)
        .env(&[(Sbatch, "SBATCH_GRES"), (Srun, "SLURM_GRES"), (Salloc, "SALLOC_GRES")])
        .help("list", "generic resources on each node (name[:type][:count])"),
    OptionSpec::new("gres-flags", ALL, Required, |options, input| match input.value.to_ascii_lowercase().as_str() {
        "disable-binding" | "enforce-binding" => keep(options, input),
        _ => Err(input.invalid()),
    })
    .env(&[(Sbatch, "SBATCH_GRES_FLAGS"), (Srun, "SLURM_GRES_FLAGS"), (Salloc, "SALLOC_GRES_FLAGS")])
    .help("flags", "binding of generic resources to cores"),
    OptionSpec::new("gpus", ALL, Required, |options, input| gpus(input, |list| options.resources.gpus = Some(list)))
        .short('G')
        .env(&[(Sbatch, "SBATCH_GPUS"), (Srun, "SLURM_GPUS"), (Salloc, "SALLOC_GPUS")])
        .help("[type:]N", "GPUs over all nodes")
        .section(Section::Gpu),
    OptionSpec::new("gpus-per-node", ALL, Required, |options, input| {
        gpus(input, |list| options.resources.gpus_per_node = Some(list))
    })
    .env(&[(Sbatch, "SBATCH_GPUS_PER_NODE"), (Srun, "SLURM_GPUS_PER_NODE"), (Salloc, "SALLOC_GPUS_PER_NODE")])
    .help("[type:]N", "GPUs on each node")
    .section(Section::Gpu),
    OptionSpec::new("gpus-per-socket", ALL, Required, |options, input| {
        gpus(input, |list| options.resources.gpus_per_socket = Some(list))
    })
    .help("[type:]N", "GPUs on each socket")
    .section(Section::Gpu),
    OptionSpec::new("gpus-per-task", ALL, Required, |options, input| {
        gpus(input, |list| options.resources.gpus_per_task = Some(list))
    })
    .env(&[(Sbatch, "SBATCH_GPUS_PER_TASK"), (Srun, "SLURM_GPUS_PER_TASK"), (Salloc, "SALLOC_GPUS_PER_TASK")])
    .help("[type:]N", "GPUs for each task")
    .section(Section::Gpu),
    OptionSpec::new("cpus-per-gpu", ALL, Required, |options, input| count(input, &mut options.resources.cpus_per_gpu))
        .env(&[(Sbatch, "SBATCH_CPUS_PER_GPU"), (Srun, "SLURM_CPUS_PER_GPU"), (Salloc, "SALLOC_CPUS_PER_GPU")])
        .help("N", "cpus for each GPU")
        .section(Section::Gpu),
    OptionSpec::new("ntasks-per-gpu", ALL, Required, |options, input| {
        count(input, &mut options.resources.ntasks_per_gpu)
    })
    .env(&[(Srun, "SLURM_NTASKS_PER_GPU")])
    .help("N", "tasks for each GPU")
    .section(Section::Gpu),
    OptionSpec::new("gpu-bind", ALL, Required, |options, input| {
        let value = input.value.to_ascii_lowercase();
        let bare = value.strip_prefix("verbose,").unwrap_or(&value);
        check_binding(bare, input.value)?;
        keep(options, input)
    })
    .env(&[(Sbatch, "SBATCH_GPU_BIND"), (Srun, "SLURM_GPU_BIND"), (Salloc, "SALLOC_GPU_BIND")])
    .help("type", "bind tasks to GPUs")
    .section(Section::Gpu),
    OptionSpec::new("gpu-freq", ALL, Required, |options, input| {
        let level = |word: &str| {
            matches!(word, "low" | "medium" | "high" | "highm1" | "verbose") || word.parse::<u32>().is_ok()
        };
        let fits =
            input.value.to_ascii_lowercase().split(',').all(|part| level(part.strip_prefix("memory=").unwrap_or(part)));
        if !fits {
            return Err(Fault::error(255, format!("Invalid --gpu-freq argument: gpu:{}", input.value)));
        }
        keep(options, input)
    })
    .env(&[(Sbatch, "SBATCH_GPU_FREQ"), (Srun, "SLURM_GPU_FREQ"), (Salloc, "SALLOC_GPU_FREQ")])
    .help("freq", "frequency of the GPUs")
    .section(Section::Gpu)
    .not_yet(),
];

/// Whether `bare` is a binding that Slurm takes. It says which entry of a list it does not, and then the whole of `written`.
fn check_binding(bare: &str, written: &str) -> Result<(), Fault> {
    let invalid = || Fault::error(255, format!("Invalid --gpu-bind argument: gpu:{written}"));
    let Some((word, list)) = bare.split_once(':').filter(|(_, list)| !list.is_empty()) else {
        return if matches!(bare, "closest" | "none") { Ok(()) } else { Err(invalid()) };
    };
    let is_digit: fn(&char) -> bool = match word {
        "single" | "per_task" => return Ok(()),
        "map_gpu" => char::is_ascii_digit,
        "mask_gpu" => char::is_ascii_hexdigit,
        _ => return Err(invalid()),
    };
    for entry in list.split(',') {
        let digits = if word == "mask_gpu" { entry.strip_prefix("0x").unwrap_or(entry) } else { entry };
        if let Some(wrong) = digits.chars().find(|character| *character != '*' && !is_digit(character)) {
            let mut fault = Fault::error(255, format!("Failed to validate {entry}, offending character is {wrong}"));
            fault.lines.extend(invalid().lines);
            return Err(fault);
        }
    }
    Ok(())
}

/// What Slurm says to a list that makes no sense; exit 1.
pub fn invalid_gres() -> Fault {
    Fault::error(1, "Invalid generic resource (gres) specification")
}

fn generic(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    if input.value.eq_ignore_ascii_case("help") {
        let kinds = input.world.gres_types.unwrap_or_default();
        let lines: String = kinds.iter().map(|kind| format!("{kind}[[:type]:count]\n")).collect();
        return Err(Fault::answer(0, format!("Valid gres options are:\n{lines}")));
    }
    // Real Slurm judges the list after all options have been read; a kind that is not there is found then.
    let list = match gres::parse_list(input.value, None) {
        Ok(list) => list,
        Err(GresError::Empty) => Vec::new(),
        Err(GresError::Invalid) => return Err(invalid_gres()),
    };
    // Nothing of what is not there can be had everywhere.
    if let Some(types) = input.world.gres_types
        && list.iter().any(|gres| gres.count > 0 && !types.contains(&gres.name))
    {
        return Err(invalid_gres());
    }
    let shown = if list.is_empty() { input.value.to_owned() } else { gres::print(&list) };
    options.resources.gres = Some(list);
    Ok(shown)
}

fn gpus(input: &Input<'_>, put: impl FnOnce(Vec<Gres>)) -> Result<String, Fault> {
    put(gres::parse_gpus(input.value).map_err(|_| invalid_gres())?);
    Ok(input.value.to_owned())
}
