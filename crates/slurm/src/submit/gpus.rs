//! What the options about GPUs mean together.

use muster_model::ids::Name;
use muster_model::resources::{Gres, GresRequest, GresScope};

use super::resolve::Problem;
use crate::options::{Fault, Line, SubmitOptions, invalid_gres};

/// Options that need each other, or exclude each other.
///
/// # Errors
/// The messages of real Slurm; exit 1.
pub fn check(options: &SubmitOptions) -> Result<(), Problem> {
    if has_mixed_types(options) {
        let text = "Invalid GRES specification (with and without type identification)";
        return Err(Problem::Fault(Fault::error(1, text)));
    }
    let resources = &options.resources;
    let complain = |text: &str| Err(Problem::Fault(invalid_gres().after(Line::Error(text.to_owned()))));
    if resources.gpus_per_task.is_some()
        && resources.gpus.is_none()
        && resources.ntasks.is_none()
        && !options.has("ntasks-per-node")
    {
        return complain(
            "Failed to validate job spec. --gpus-per-task used without either --gpus or -n/--ntasks is not allowed.",
        );
    }
    if resources.gpus_per_socket.is_some() && resources.sockets_per_node.is_none() {
        return complain("--gpus-per-socket option requires --sockets-per-node specification");
    }
    if resources.cpus_per_gpu.is_some() && options.has_written("cpus-per-task") && options.has_written("cpus-per-gpu") {
        return complain("--cpus-per-gpu is mutually exclusive with --cpus-per-task");
    }
    if let Some(memory) =
        resources.mem_per_gpu.filter(|_| !asks_for_gpus(options) && options.has_written("mem-per-gpu"))
    {
        return complain(&format!("Requested mem_per_tres=gres:gpu:{} but did not request any GPU.", memory.0));
    }
    if resources.ntasks_per_gpu.is_some() && resources.ntasks.is_none() && total(options, 1).is_none() {
        return complain(
            "gres_job_state_validate: --ntasks-per-tres needs either a GRES GPU specification or a node/ntask specification",
        );
    }
    Ok(())
}

/// Whether the same resource is asked for with a type and without one.
fn has_mixed_types(options: &SubmitOptions) -> bool {
    let resources = &options.resources;
    let lists = [
        &resources.gres,
        &resources.gpus,
        &resources.gpus_per_node,
        &resources.gpus_per_socket,
        &resources.gpus_per_task,
    ];
    let all: Vec<&Gres> = lists.into_iter().flatten().flatten().collect();
    all.iter().any(|one| one.kind.is_some() && all.iter().any(|other| other.name == one.name && other.kind.is_none()))
}

fn asks_for_gpus(options: &SubmitOptions) -> bool {
    let resources = &options.resources;
    let by_gres = resources.gres.iter().flatten().any(|gres| &*gres.name == "gpu");
    by_gres
        || [&resources.gpus, &resources.gpus_per_node, &resources.gpus_per_socket, &resources.gpus_per_task]
            .iter()
            .any(|list| list.is_some())
}

/// GPUs of all types in a list; `None` for none.
pub fn sum(list: Option<&Vec<Gres>>) -> Option<u64> {
    Some(list?.iter().filter(|gres| &*gres.name == "gpu").map(|gres| gres.count).fold(0, u64::saturating_add))
        .filter(|sum| *sum > 0)
}

/// GPUs over all of `nodes`, as far as the options say.
fn total(options: &SubmitOptions, nodes: u32) -> Option<u64> {
    let resources = &options.resources;
    let nodes = u64::from(nodes);
    sum(resources.gpus.as_ref())
        .or_else(|| sum(resources.gpus_per_node.as_ref()).map(|each| each.saturating_mul(nodes)))
        .or_else(|| sum(resources.gres.as_ref()).map(|each| each.saturating_mul(nodes)))
}

/// The number of tasks that follows from `--ntasks-per-gpu`, or from `--gpus` and `--gpus-per-task`.
pub fn tasks(options: &SubmitOptions, nodes: u32) -> Option<u64> {
    let resources = &options.resources;
    if let Some(each) = resources.ntasks_per_gpu {
        return total(options, nodes).map(|gpus| gpus.saturating_mul(each.into()));
    }
    let each = sum(resources.gpus_per_task.as_ref())?;
    sum(resources.gpus.as_ref()).map(|gpus| gpus.div_ceil(each))
}

/// All generic resources that are asked for by those options that `counts`, each by what it is counted. Counts of 0
/// ask for nothing.
pub fn requests(options: &SubmitOptions, tasks: u32, counts: impl Fn(&str) -> bool) -> Vec<GresRequest> {
    let resources = &options.resources;
    let lists = [
        ("gres", GresScope::Node, &resources.gres),
        ("gpus-per-node", GresScope::Node, &resources.gpus_per_node),
        ("gpus", GresScope::Job, &resources.gpus),
        ("gpus-per-socket", GresScope::Socket, &resources.gpus_per_socket),
        ("gpus-per-task", GresScope::Task, &resources.gpus_per_task),
    ];
    let mut requests: Vec<GresRequest> = Vec::new();
    for (_, scope, list) in lists.into_iter().filter(|(name, ..)| counts(name)) {
        for gres in list.iter().flatten().filter(|gres| gres.count > 0) {
            requests.push(GresRequest { scope, gres: gres.clone() });
        }
    }
    if counts("tres-per-task") {
        let each = |gres: &Gres| GresRequest { scope: GresScope::Task, gres: gres.clone() };
        requests.extend(resources.gres_per_task.iter().map(each));
    }
    // With a number of tasks for each GPU and no GPU named, the tasks decide how many GPUs there must be.
    if let Some(each) = resources.ntasks_per_gpu.filter(|_| !asks_for_gpus(options)) {
        let gres = Gres { name: Name::from("gpu"), kind: None, count: tasks.div_ceil(each.max(1)).into() };
        requests.push(GresRequest { scope: GresScope::Job, gres });
    }
    requests
}

/// CPUs of each task or node that follow from `--cpus-per-gpu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuCpus {
    /// So many for each task.
    PerTask(u32),
    /// At least so many on each node.
    PerNode(u32),
}

/// What `--cpus-per-gpu` asks for, as far as it can be said before nodes are chosen.
pub fn cpus(options: &SubmitOptions) -> Option<GpuCpus> {
    let each = u64::from(options.resources.cpus_per_gpu?);
    let clamp = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let resources = &options.resources;
    if let Some(per_task) = sum(resources.gpus_per_task.as_ref()) {
        return Some(GpuCpus::PerTask(clamp(per_task.saturating_mul(each))));
    }
    if let Some(per_node) = sum(resources.gpus_per_node.as_ref()).or_else(|| sum(resources.gres.as_ref())) {
        return Some(GpuCpus::PerNode(clamp(per_node.saturating_mul(each))));
    }
    // GPUs counted over the job: the scheduler counts CPUs with them, node by node.
    None
}
