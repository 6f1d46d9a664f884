//! GPUs: how many were asked for, which a process may use, and how they are dealt to the tasks of a node.
//!
//! Numbers are those of the node, since no device is hidden from a process by renumbering.

use muster_model::job::Job;
use muster_model::resources::{Gres, GresScope, GresShare, IndexSet};

use super::facts::Builder;
use super::requested;

/// Variables by which libraries of the several makers see only some GPUs.
const VISIBLE: [&str; 4] = ["CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"];

/// What must not come in from the submit host, or from an outer job, where a script has no GPU.
pub(super) const REMOVED_OF_JOB: [&str; 6] =
    [VISIBLE[0], VISIBLE[1], VISIBLE[2], VISIBLE[3], "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE"];

/// The same for steps. What the job has stays known to them.
pub(super) const REMOVED_OF_STEP: [&str; 6] =
    [VISIBLE[0], VISIBLE[1], VISIBLE[2], VISIBLE[3], "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE"];

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
pub(super) fn of_job(list: &mut Builder, held: &[GresShare]) {
    let units = units(held);
    if !units.is_empty() {
        visible(list, &units);
        list.set("SLURM_JOB_GPUS", print(&units));
        list.set("SLURM_GPUS_ON_NODE", units.len());
    }
    shards(list, held);
}

/// The GPUs of a step on a node. Bound tasks get their own, see [`of_task`].
pub(super) fn of_step(list: &mut Builder, held: &[GresShare]) {
    let units = units(held);
    if !units.is_empty() {
        visible(list, &units);
        list.set("SLURM_STEP_GPUS", print(&units));
        list.set("SLURM_GPUS_ON_NODE", units.len());
    }
    shards(list, held);
}

/// The GPUs of the task with the place `local` on its node, where `binding`, a value of [`BINDING`], deals them out.
pub(super) fn of_task(list: &mut Builder, held: &[GresShare], binding: Option<&str>, local: usize) {
    let units = units(held);
    if let Some(bound) = binding.and_then(|binding| bound(&units, binding, local)) {
        visible(list, &bound);
        list.set("SLURM_STEP_GPUS", print(&bound));
    }
}

/// Whether anything of `held` is a GPU.
pub(super) fn any(held: &[GresShare]) -> bool {
    !units(held).is_empty()
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

fn visible(list: &mut Builder, units: &[u32]) {
    let text = print(units);
    for name in VISIBLE {
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

fn print(units: &[u32]) -> String {
    units.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// `None` where the tasks share all of them. A task for which nothing would be left gets the first.
fn bound(units: &[u32], binding: &str, local: usize) -> Option<Vec<u32>> {
    let first = *units.first()?;
    let how = binding.strip_prefix("gpu:")?;
    let how = how.strip_prefix("verbose,").unwrap_or(how);
    let (word, value) = how.split_once(':')?;
    let chosen: Vec<u32> = match word {
        "per_task" => {
            let count: usize = value.parse().ok().filter(|count| *count > 0)?;
            let from = local.checked_mul(count)?;
            let to = from.checked_add(count)?;
            units.get(from..to).map(<[u32]>::to_vec).unwrap_or_default()
        }
        "single" => {
            let tasks: usize = value.parse().ok().filter(|tasks| *tasks > 0)?;
            vec![*units.get(local / tasks % units.len())?]
        }
        "map_gpu" => {
            let map = entries(value, |text| text.parse::<u128>().ok())?;
            let wanted = *map.get(local % map.len())?;
            units.iter().copied().filter(|unit| u128::from(*unit) == wanted).collect()
        }
        "mask_gpu" => {
            let masks = entries(value, mask)?;
            let wanted = *masks.get(local % masks.len())?;
            units.iter().copied().filter(|unit| *unit < 128 && wanted & (1 << *unit) != 0).collect()
        }
        _ => return None,
    };
    Some(if chosen.is_empty() { vec![first] } else { chosen })
}

/// `1,0`, `0x3*2,0x1`: at least one entry.
fn entries(text: &str, read: impl Fn(&str) -> Option<u128>) -> Option<Vec<u128>> {
    let mut all = Vec::new();
    for entry in text.split(',') {
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
    use super::*;

    #[test]
    fn tasks_get_what_real_slurm_gave_them() {
        let check = |binding: &str, expected: &[&[u32]]| {
            for (local, expected) in expected.iter().enumerate() {
                assert_eq!(bound(&[0, 1], binding, local).as_deref(), Some(*expected), "{binding} {local}");
            }
        };
        check("gpu:per_task:1", &[&[0], &[1], &[0]]);
        check("gpu:per_task:2", &[&[0, 1], &[0]]);
        check("gpu:single:2", &[&[0], &[0], &[1]]);
        check("gpu:single:1", &[&[0], &[1], &[0]]);
        check("gpu:map_gpu:1,0", &[&[1], &[0], &[1], &[0]]);
        check("gpu:verbose,map_gpu:1*2,7", &[&[1], &[1], &[0]]);
        check("gpu:mask_gpu:0x3,0x1", &[&[0, 1], &[0], &[0, 1]]);
        for shared in
            ["gpu:closest", "gpu:none", "", "gpu:single:0", "gpu:map_gpu:", "gpu:map_gpu:0*0", "gpu:mask_gpu:z"]
        {
            assert_eq!(bound(&[0, 1], shared, 0), None, "{shared:?}");
        }
        assert_eq!(bound(&[], "gpu:single:1", 0), None);
        assert!(entries("0*4000000000,1*9", |text| text.parse().ok()).is_some_and(|all| all.len() == ENTRIES_MAX));
    }

    #[test]
    fn options_imply_a_binding() {
        assert_eq!(binding(None, Some(2), None).as_deref(), Some("gpu:per_task:2"));
        assert_eq!(binding(None, None, Some(3)).as_deref(), Some("gpu:single:3"));
        assert_eq!(binding(Some("closest"), Some(2), None).as_deref(), Some("gpu:closest"));
        assert_eq!(binding(None, None, None), None);
    }
}
