//! Options that came after Slurm 22.05. They must be written out in full, so that abbreviations mean what they meant.

use muster_model::resources::Gres;

use super::affinity::keep;
use super::placement::keep_flag;
use super::spec::Argument::{None as NoValue, Optional, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, OptionSpec};
use super::values::SubmitOptions;
use crate::grammar::numbers;

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("extra", ALL, Required, keep).help("text", "text for nodes and filters").newer().not_yet(),
    OptionSpec::new("tres-per-task", ALL, Required, tres_per_task)
        .env(&[(Sbatch, "SBATCH_TRES_PER_TASK"), (Srun, "SLURM_TRES_PER_TASK"), (Salloc, "SALLOC_TRES_PER_TASK")])
        .help("list", "resources for each task")
        .newer(),
    OptionSpec::new("tres-bind", ALL, Required, keep)
        .env(&[(Sbatch, "SBATCH_TRES_BIND"), (Srun, "SLURM_TRES_BIND"), (Salloc, "SALLOC_TRES_BIND")])
        .help("list", "bind tasks to generic resources")
        .newer()
        .not_yet(),
    OptionSpec::new("oom-kill-step", ALL, Optional, keep)
        .env(&[(Sbatch, "SBATCH_OOM_KILL_STEP"), (Srun, "SLURM_OOM_KILL_STEP"), (Salloc, "SALLOC_OOM_KILL_STEP")])
        .help("0|1", "end the whole step when memory runs out")
        .newer()
        .not_yet(),
    OptionSpec::new("container-id", ALL, Required, keep)
        .env(&[(Sbatch, "SBATCH_CONTAINER_ID"), (Srun, "SRUN_CONTAINER_ID"), (Salloc, "SALLOC_CONTAINER_ID")])
        .help("id", "what the runtime is to call the container of --container")
        .newer(),
    OptionSpec::new("segment", ALL, Required, |options, input| {
        numbers::positive(input.value).ok_or_else(|| input.not_a_number())?;
        keep(options, input)
    })
    .env(&[(Sbatch, "SBATCH_SEGMENT_SIZE"), (Srun, "SLURM_SEGMENT_SIZE"), (Salloc, "SALLOC_SEGMENT_SIZE")])
    .help("N", "nodes of each segment within a block")
    .newer(),
    OptionSpec::new("consolidate-segments", ALL, NoValue, keep_flag)
        .help("", "segments in few blocks")
        .newer()
        .not_yet(),
    OptionSpec::new("spread-segments", ALL, NoValue, keep_flag)
        .help("", "segments in different blocks")
        .newer()
        .not_yet(),
    OptionSpec::new("stepmgr", ALL, NoValue, keep_flag).help("", "steps are managed on the first node").newer().moot(),
    OptionSpec::new("resources", ALL, Required, keep).help("list", "hierarchical resources").newer().not_yet(),
    OptionSpec::new("external-launcher", Commands::SRUN, Optional, keep)
        .help("", "a step for an outside launcher")
        .newer()
        .not_yet(),
    OptionSpec::new("treewidth", Commands::SRUN, Required, keep)
        .env(&[(Srun, "SLURM_TREE_WIDTH")])
        .help("N", "width of the message tree; here always flat")
        .newer()
        .moot(),
    OptionSpec::new("wait-for-children", Commands::SRUN, NoValue, keep_flag)
        .help("", "a task ends only with all its children")
        .newer()
        .not_yet(),
    OptionSpec::new("async", Commands::SRUN, NoValue, keep_flag).help("", "do not wait for the step").newer().not_yet(),
];

/// `cpu=2,gres/gpu:h100=1`: what each task gets. `:` may stand for `=`. Other kinds of resources have no meaning for one
/// task and are refused.
fn tres_per_task(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let mut generic: Vec<Gres> = Vec::new();
    for part in input.value.split(',').filter(|part| !part.is_empty()) {
        let (name, count) = part.rsplit_once(['=', ':']).ok_or_else(|| input.invalid())?;
        let count = numbers::positive(count).ok_or_else(|| input.invalid())?;
        if name.eq_ignore_ascii_case("cpu") {
            options.resources.cpus_per_task = Some(count);
            continue;
        }
        let (name, kind) = match name.strip_prefix("gres/").map(|name| name.split_once(':').unwrap_or((name, ""))) {
            Some((name, kind)) if !name.is_empty() => (name, kind),
            _ => return Err(input.invalid()),
        };
        let kind = (!kind.is_empty()).then(|| kind.into());
        generic.push(Gres { name: name.into(), kind, count: count.into() });
    }
    let (gpus, others): (Vec<Gres>, Vec<Gres>) = generic.into_iter().partition(|gres| &*gres.name == "gpu");
    if !gpus.is_empty() {
        options.resources.gpus_per_task = Some(gpus);
    }
    options.resources.gres_per_task = others;
    keep(options, input)
}
