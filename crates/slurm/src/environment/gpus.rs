//! GPUs: how many were asked for, which a process may use, and how they are dealt to the tasks of a node.
//!
//! Numbers are those of the node's devices, but where other devices are hidden from a process: then its libraries count from 0
//! what is left.

use muster_model::job::Job;
use muster_model::resources::{Gres, GresScope, GresShare, IndexSet};

use super::facts::Builder;
use super::gpu_facts::{GpuFacts, PARTS};
use super::{combine, requested};
use crate::binding::request::print_mask;

/// Variables by which libraries of the several makers see only some GPUs.
const VISIBLE: [&str; 4] = ["CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"];

/// What must not come in from the submit host, or from an outer job, where a script has no GPU.
pub(super) const REMOVED_OF_JOB: [&str; 6] =
    [VISIBLE[0], VISIBLE[1], VISIBLE[2], VISIBLE[3], "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE"];

/// The same for steps. What the job has stays known to them.
pub(super) const REMOVED_OF_STEP: [&str; 6] =
    [VISIBLE[0], VISIBLE[1], VISIBLE[2], VISIBLE[3], "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE"];

/// The same where tasks are bound to none. How many there are stays known to them.
const REMOVED_BY_NONE: [&str; 5] = [VISIBLE[0], VISIBLE[1], VISIBLE[2], VISIBLE[3], "SLURM_STEP_GPUS"];

/// How a step's GPUs are bound to its tasks; set by `srun` and read where the tasks start.
pub(super) const BINDING: &str = "SLURMD_TRES_BIND";

/// Most entries of a `map_gpu` or `mask_gpu` list, so that `0*4000000000` stays small.
const ENTRIES_MAX: usize = 4096;

/// `SLURM_GPUS` and its kin, only those that were asked for by an option of that name (`--gres` has none).
pub(super) fn requested(list: &mut Builder, job: &Job) {
    for (scope, name) in [
        (GresScope::Job, "SLURM_GPUS"),
        (GresScope::Socket, "SLURM_GPUS_PER_SOCKET"),
        (GresScope::Task, "SLURM_GPUS_PER_TASK"),
    ] {
        let asked = job.spec.request.gres.iter().filter(|line| line.scope == scope && &*line.gres.name == "gpu");
        let texts: Vec<String> = asked.map(|line| amount(&line.gres)).collect();
        list.set_some(name, Some(texts.join(",")).filter(|text| !text.is_empty()));
    }
}

fn amount(gres: &Gres) -> String {
    match &gres.kind {
        Some(kind) => format!("{kind}:{}", gres.count),
        None => gres.count.to_string(),
    }
}

/// The GPUs of a job's script.
pub(super) fn of_job(list: &mut Builder, held: &[GresShare], gpus: &GpuFacts) {
    held_here(list, held, gpus, "SLURM_JOB_GPUS");
}

/// The GPUs of a step on a node. Bound tasks get their own, see [`of_task`]. Where `binding` binds to none their number alone is told.
pub(super) fn of_step(list: &mut Builder, held: &[GresShare], gpus: &GpuFacts, binding: Option<&str>) {
    if !binds_to_none(binding) {
        return held_here(list, held, gpus, "SLURM_STEP_GPUS");
    }
    list.set_some("SLURM_GPUS_ON_NODE", Some(units(held).len()).filter(|count| *count > 0));
    shards(list, held);
}

/// How a step binds its `tasks` on a node, by its environment. As in Slurm a task that is alone there has all.
pub(super) fn binding_here(captured: &[String], tasks: usize) -> Option<&str> {
    combine::value(captured, BINDING).filter(|_| tasks > 1)
}

/// Names of the captured environment that tasks bound like this must not see.
pub(super) fn removed_by(binding: Option<&str>) -> &'static [&'static str] {
    match binding {
        None => &[BINDING],
        Some(_) if binds_to_none(binding) => &REMOVED_BY_NONE,
        Some(_) => &[],
    }
}

/// Whether nothing is told of which GPUs there are: `none`, or no number for each task.
fn binds_to_none(binding: Option<&str>) -> bool {
    match binding.and_then(words) {
        Some(("none", None)) => true,
        Some(("per_task", Some(count))) => number(count).is_none(),
        _ => false,
    }
}

/// Whole GPUs, or the one of which there are parts.
fn held_here(list: &mut Builder, held: &[GresShare], gpus: &GpuFacts, name: &str) {
    let whole = units(held);
    let all: Vec<u32> = gpus.gpus_of(held).iter().collect();
    if !whole.is_empty() {
        visible(list, gpus, &whole, &all);
    } else if let Some(parts) = held.iter().find(|share| PARTS.contains(&&*share.name)) {
        of_parts(list, parts, gpus, &all);
    }
    let told = if whole.is_empty() { &all } else { &whole };
    if !told.is_empty() {
        list.set(name, gpus.indices(told));
        list.set("SLURM_GPUS_ON_NODE", told.len());
    }
    shards(list, held);
}

/// Parts of a GPU: for `mps` CUDA alone is told, and which part of the GPU's threads may run at once, as in 22.05.
fn of_parts(list: &mut Builder, parts: &GresShare, gpus: &GpuFacts, all: &[u32]) {
    if &*parts.name != "mps" {
        return visible(list, gpus, all, all);
    }
    list.set(VISIBLE[0], gpus.visible(all, all));
    let percent = u64::from(parts.units.len()) * 100 / u64::from(gpus.parts_of_gpu(&parts.name));
    list.set("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", percent.clamp(1, 100));
}

/// A task as its GPUs are chosen.
#[derive(Clone, Copy)]
pub(super) struct TaskPlace<'a> {
    /// Its place among the tasks of its node.
    pub(super) local: usize,
    /// The cores that it may run on; `None` for all.
    pub(super) cores: Option<&'a IndexSet>,
}

/// The GPUs of a task, where `binding`, a value of [`BINDING`], deals them out.
pub(super) fn of_task(
    list: &mut Builder,
    held: &[GresShare],
    gpus: &GpuFacts,
    binding: Option<&str>,
    task: TaskPlace<'_>,
) {
    let units = units(held);
    if let Some(dealt) = binding.and_then(|binding| bound(&units, binding, task, gpus)) {
        visible(list, gpus, &dealt.units, &units);
        list.set("SLURM_STEP_GPUS", gpus.indices(&dealt.units));
    }
}

/// What a task is told of its GPUs before its program runs: what is wrong with the binding, and with `verbose` what came of it.
pub(super) fn told(held: &[GresShare], gpus: &GpuFacts, binding: Option<&str>, task: TaskPlace<'_>) -> Vec<String> {
    let units = units(held);
    let Some((binding, dealt)) = binding.and_then(|how| Some((how, bound(&units, how, task, gpus)?))) else {
        return Vec::new();
    };
    let complain = |text: String| format!("slurmstepd: error: {text}");
    let mut lines: Vec<String> = dealt.complaint.into_iter().map(complain).collect();
    if dealt.is_first_of_all {
        let local = task.local;
        lines.push(complain(format!(
            "Bind request {binding} does not specify any devices within the allocation for task {local}. Binding to the \
             first device in the allocation instead."
        )));
    }
    if binding.starts_with("gpu:verbose,") {
        let mask = |units: &[u32]| {
            let units: IndexSet = units.iter().copied().collect();
            print_mask(&units, 0).to_ascii_lowercase()
        };
        lines.push(format!(
            "gpu-bind: usable_gres=0x{}; bit_alloc=0x{}; local_inx=0; global_list={}; local_list={}",
            mask(&dealt.units),
            mask(&units),
            gpus.indices(&dealt.units),
            gpus.visible(&dealt.units, &units)
        ));
    }
    lines
}

/// Whether anything of `held` is a GPU or a part of one.
pub(super) fn any(held: &[GresShare]) -> bool {
    !units(held).is_empty() || held.iter().any(|share| PARTS.contains(&&*share.name) && !share.units.is_empty())
}

/// How `srun` binds by itself: `--gpu-bind`, or what `--gpus-per-task` and `--ntasks-per-gpu` imply.
pub(super) fn binding(gpu_bind: Option<&str>, per_task: Option<u64>, tasks_per_gpu: Option<u32>) -> Option<String> {
    let how = match (gpu_bind, per_task, tasks_per_gpu) {
        (Some(how), ..) => how.to_owned(),
        (None, Some(count), _) => format!("per_task:{count}"),
        (None, None, Some(count)) => format!("single:{count}"),
        (None, None, None) => return None,
    };
    Some(format!("gpu:{how}"))
}

/// How the tasks in a script are bound, from the options of its job.
pub(super) fn per_task_of(job: &Job) -> Option<u64> {
    let mut asked =
        job.spec.request.gres.iter().filter(|line| line.scope == GresScope::Task && &*line.gres.name == "gpu");
    let total = asked.try_fold(0u64, |sum, line| sum.checked_add(line.gres.count))?;
    (total > 0 && requested::option(job, "gpu-bind").is_none()).then_some(total)
}

/// Tells of `units` to a process that can open the devices of all of `held`.
fn visible(list: &mut Builder, gpus: &GpuFacts, units: &[u32], held: &[u32]) {
    let text = gpus.visible(units, held);
    let variables = gpus.variables(units);
    let are_set = [variables.nvidia, variables.opencl, variables.amd, variables.intel];
    for (name, _) in VISIBLE.iter().zip(are_set).filter(|(_, is_set)| *is_set) {
        list.set(name, &text);
    }
}

/// `SLURM_SHARDS_ON_NODE` (newer than 22.05): parts of shared GPUs.
fn shards(list: &mut Builder, held: &[GresShare]) {
    let count: u32 = held.iter().filter(|share| &*share.name == "shard").map(|share| share.units.len()).sum();
    list.set_some("SLURM_SHARDS_ON_NODE", Some(count).filter(|count| *count > 0));
}

fn units(held: &[GresShare]) -> Vec<u32> {
    let mut all = IndexSet::default();
    held.iter().filter(|share| &*share.name == "gpu").for_each(|share| all.add_all(&share.units));
    all.iter().collect()
}

/// What a task gets of the GPUs of its step on a node.
struct Dealt {
    units: Vec<u32>,
    /// Nothing would have been left for it.
    is_first_of_all: bool,
    /// What else is wrong, in the words of real slurmstepd.
    complaint: Option<String>,
}

/// `None` where the tasks share all of them. A task for which nothing would be left gets the first.
fn bound(units: &[u32], binding: &str, task: TaskPlace<'_>, gpus: &GpuFacts) -> Option<Dealt> {
    let first = *units.first()?;
    let (word, value) = words(binding)?;
    let local = task.local;
    let near = || -> Vec<u32> { units.iter().copied().filter(|unit| gpus.is_near(*unit, task.cores)).collect() };
    let mut complaint = None;
    let chosen: Vec<u32> = match (word, value) {
        ("closest", None) => near(),
        ("per_task", Some(value)) => {
            let count = number(value)?;
            let from = local.checked_mul(count)?;
            let chosen: Vec<u32> = units.iter().copied().skip(from).take(count).collect();
            complaint = (chosen.len() < count).then(|| "Not enough gpus to bind for gpus per task".to_owned());
            chosen
        }
        // What is no number counts as 1, as there. Only those near are dealt out.
        ("single", Some(value)) => {
            let tasks_each = number(value);
            let text = || format!("_parse_tres_bind: single:{value} does not specify a valid number. Defaulting to 1.");
            complaint = tasks_each.is_none().then(text);
            let near = near();
            near.get((local / tasks_each.unwrap_or(1)).checked_rem(near.len()).unwrap_or(0))
                .copied()
                .into_iter()
                .collect()
        }
        ("map_gpu", Some(value)) => {
            let map = entries(value, |text| text.parse::<u128>().ok())?;
            let wanted = *map.get(local % map.len())?;
            complaint = beyond(u32::try_from(wanted).unwrap_or(u32::MAX), gpus);
            units.iter().copied().filter(|unit| u128::from(*unit) == wanted).collect()
        }
        ("mask_gpu", Some(value)) => {
            let masks = entries(value, mask)?;
            let wanted = *masks.get(local % masks.len())?;
            complaint = wanted.checked_ilog2().and_then(|last| beyond(last, gpus));
            units.iter().copied().filter(|unit| *unit < 128 && wanted & (1 << *unit) != 0).collect()
        }
        _ => return None,
    };
    let is_first_of_all = chosen.is_empty();
    Some(Dealt { units: if is_first_of_all { vec![first] } else { chosen }, is_first_of_all, complaint })
}

/// The complaint about a number that no GPU of the node has.
fn beyond(unit: u32, gpus: &GpuFacts) -> Option<String> {
    gpus.is_beyond(unit).then(|| "Invalid --gpu-bind= value specified.".to_owned())
}

/// The word of a value of [`BINDING`] and what belongs to it.
fn words(binding: &str) -> Option<(&str, Option<&str>)> {
    let how = binding.strip_prefix("gpu:")?;
    let how = how.strip_prefix("verbose,").unwrap_or(how);
    Some(how.split_once(':').map_or((how, None), |(word, value)| (word, Some(value))))
}

/// More than 0.
fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

/// `1,0`, `0x3*2,0x1`: at least one entry; what is empty is passed over.
fn entries(text: &str, read: impl Fn(&str) -> Option<u128>) -> Option<Vec<u128>> {
    let mut all = Vec::new();
    for entry in text.split(',').filter(|entry| !entry.is_empty()) {
        let (value, times) = match entry.split_once('*') {
            Some((value, times)) => (value, times.parse::<usize>().ok()?),
            None => (entry, 1),
        };
        all.extend(std::iter::repeat_n(read(value)?, times.min(ENTRIES_MAX - all.len())));
    }
    (!all.is_empty()).then_some(all)
}

fn mask(text: &str) -> Option<u128> {
    u128::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

#[cfg(test)]
mod tests {
    use muster_model::node::{Hardware, InitialState, NodeConfig};

    use super::*;
    use crate::conf::{GpuVariables, GresUnit, NodeGres};

    #[test]
    fn tasks_get_what_real_slurm_gave_them() {
        let bound = |units: &[u32], binding: &str, local: usize| {
            super::bound(units, binding, TaskPlace { local, cores: None }, &GpuFacts::UNKNOWN).map(|dealt| dealt.units)
        };
        let check = |binding: &str, expected: &[&[u32]]| {
            for (local, expected) in expected.iter().enumerate() {
                assert_eq!(bound(&[0, 1], binding, local).as_deref(), Some(*expected), "{binding} {local}");
            }
        };
        check("gpu:closest", &[&[0, 1], &[0, 1]]);
        assert_eq!(bound(&[0, 1, 2], "gpu:per_task:2", 1), Some(vec![2]), "as many as are left");
        check("gpu:per_task:1", &[&[0], &[1], &[0]]);
        check("gpu:per_task:2", &[&[0, 1], &[0]]);
        check("gpu:single:2", &[&[0], &[0], &[1]]);
        check("gpu:single:1", &[&[0], &[1], &[0]]);
        check("gpu:single:x", &[&[0], &[1], &[0]]);
        check("gpu:map_gpu:1,,0", &[&[1], &[0]]);
        check("gpu:map_gpu:1,0", &[&[1], &[0], &[1], &[0]]);
        check("gpu:verbose,map_gpu:1*2,7", &[&[1], &[1], &[0]]);
        check("gpu:mask_gpu:0x3,0x1", &[&[0, 1], &[0], &[0, 1]]);
        for shared in ["gpu:none", "", "gpu:per_task:0", "gpu:map_gpu:", "gpu:map_gpu:0*0", "gpu:mask_gpu:z"] {
            assert_eq!(bound(&[0, 1], shared, 0), None, "{shared:?}");
        }
        assert_eq!(bound(&[], "gpu:single:1", 0), None);
        let to_none = ["gpu:none", "gpu:verbose,none", "gpu:per_task:0", "gpu:per_task:x"];
        assert!(to_none.iter().all(|binding| binds_to_none(Some(binding))));
        assert!([None, Some("gpu:per_task:1"), Some("gpu:closest")].iter().all(|binding| !binds_to_none(*binding)));
        assert!(entries("0*4000000000,1*9", |text| text.parse().ok()).is_some_and(|all| all.len() == ENTRIES_MAX));
    }

    #[test]
    fn tasks_are_told_what_real_slurm_told_them() {
        let gpu = |unit: u32| GresUnit {
            name: "gpu".into(),
            kind: None,
            unit,
            index: unit,
            files: Vec::new(),
            cores: Some([unit].into_iter().collect()),
            links: Vec::new(),
            unique_id: None,
            variables: GpuVariables::ALL,
        };
        let gres = NodeGres { units: vec![gpu(0), gpu(1)], ..NodeGres::default() };
        let hardware = Hardware::of_cpus(2);
        let node = NodeConfig {
            name: "n1".into(),
            host_name: "n1".into(),
            address: "n1".into(),
            port: 0,
            hardware,
            features: Vec::new(),
            features_inactive: Vec::new(),
            weight: 1,
            initial_state: InitialState::Unknown,
            reason: None,
        };
        let gpus = GpuFacts::new(&node, &gres, false);
        let share =
            |units: &[u32]| vec![GresShare { name: "gpu".into(), kind: None, units: units.iter().copied().collect() }];
        let told = |units: &[u32], binding: &str, local: usize, core: u32| {
            let cores: IndexSet = [core].into_iter().collect();
            super::told(&share(units), &gpus, Some(binding), TaskPlace { local, cores: Some(&cores) }).join("\n")
        };
        assert_eq!(
            told(&[0, 1], "gpu:verbose,closest", 0, 1),
            "gpu-bind: usable_gres=0x2; bit_alloc=0x3; local_inx=0; global_list=1; local_list=1"
        );
        let first = "does not specify any devices within the allocation for task 0. Binding to the first device in the \
                     allocation instead.";
        assert_eq!(
            told(&[0], "gpu:verbose,closest", 0, 1),
            format!(
                "slurmstepd: error: Bind request gpu:verbose,closest {first}\n\
                 gpu-bind: usable_gres=0x1; bit_alloc=0x1; local_inx=0; global_list=0; local_list=0"
            )
        );
        // A task gets the only GPU near it, whatever its place.
        let line = told(&[0, 1], "gpu:verbose,single:1", 0, 1);
        assert!(line.contains("global_list=1;"), "{line}");
        assert_eq!(
            told(&[0, 1], "gpu:map_gpu:5", 0, 0),
            format!(
                "slurmstepd: error: Invalid --gpu-bind= value specified.\nslurmstepd: error: Bind request gpu:map_gpu:5 {first}"
            )
        );
        assert_eq!(
            told(&[0, 1], "gpu:per_task:3", 0, 0),
            "slurmstepd: error: Not enough gpus to bind for gpus per task"
        );
        assert_eq!(told(&[0, 1], "gpu:closest", 0, 0), "");
        assert_eq!(told(&[0, 1], "gpu:verbose,none", 0, 0), "");
    }

    #[test]
    fn options_imply_a_binding() {
        assert_eq!(binding(None, Some(2), None).as_deref(), Some("gpu:per_task:2"));
        assert_eq!(binding(None, None, Some(3)).as_deref(), Some("gpu:single:3"));
        assert_eq!(binding(Some("closest"), Some(2), None).as_deref(), Some("gpu:closest"));
        assert_eq!(binding(None, None, None), None);
    }
}
