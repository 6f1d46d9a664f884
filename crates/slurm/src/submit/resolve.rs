//! Counts that follow from several options together: nodes from node lists, tasks from nodes, and what fits.

use muster_model::hostlist;
use muster_model::request::{Refusal, RefusalCode};

use super::arbitrary;
use super::gpus;
use crate::grammar::distribution::Nodes;
use crate::options::{Command, Fault, Line, SubmitOptions};

/// The counts of a job or step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Least number of nodes, at least 1.
    pub nodes_min: u32,
    /// Greatest number of nodes, where there is one.
    pub nodes_max: Option<u32>,
    /// Number of tasks, at least 1.
    pub tasks: u32,
    /// Whether the user said how many tasks, directly or for each node.
    pub tasks_given: bool,
    /// CPUs of each task, at least 1.
    pub cpus_per_task: u32,
    /// Whether the user said how many CPUs a task has.
    pub cpus_per_task_given: bool,
    /// `--ntasks-per-node`.
    pub tasks_per_node: Option<u32>,
    /// Nodes that must be used.
    pub nodes_required: Option<String>,
    /// `--distribution=arbitrary`: the node of each task.
    pub task_nodes: Vec<String>,
}

/// A fault of the client, or a refusal in the controller's words.
#[derive(Debug)]
pub enum Problem {
    /// The client itself complains.
    Fault(Fault),
    /// What the controller would say.
    Refusal(Refusal),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Problem::Fault(fault)
    }
}

impl From<RefusalCode> for Problem {
    fn from(code: RefusalCode) -> Self {
        Problem::Refusal(code.into())
    }
}

/// Works the counts out. Warnings go to the notices of `options`.
///
/// # Errors
/// Options that contradict each other.
pub fn counts(command: Command, options: &mut SubmitOptions) -> Result<Counts, Problem> {
    gpus::check(options)?;
    let asked = options.resources.nodes;
    if command != Command::Srun && asked.is_some_and(|(_, max)| max == 0) {
        return Err(RefusalCode::InvalidNodeCount.into());
    }
    // To a step a node count of 0 leaves the number open.
    let mut counts = Counts {
        nodes_min: asked.map_or(1, |(min, _)| min.max(1)),
        nodes_max: asked.map(|(_, max)| max).filter(|max| *max > 0),
        tasks: options.resources.ntasks.unwrap_or(1),
        tasks_given: options.resources.ntasks.is_some(),
        cpus_per_task: options.resources.cpus_per_task.unwrap_or(1),
        cpus_per_task_given: options.resources.cpus_per_task.is_some(),
        tasks_per_node: options.resources.ntasks_per_node,
        nodes_required: options.placement.nodelist.clone(),
        task_nodes: Vec::new(),
    };
    if command == Command::Srun {
        arbitrary::apply(options, &mut counts)?;
    }
    node_list(command, options, &mut counts)?;
    if counts.tasks_given {
        fewer_tasks_than_nodes(options, &mut counts);
        if command == Command::Srun {
            too_few_per_node(options, &mut counts);
        }
    } else {
        derive_tasks(options, &mut counts);
    }
    Ok(counts)
}

/// The nodes of a list count as least number of nodes. `srun` leaves out those that are too many, the others refuse.
fn node_list(command: Command, options: &mut SubmitOptions, counts: &mut Counts) -> Result<(), Problem> {
    let arbitrary =
        options.placement.distribution.as_ref().is_some_and(|distribution| distribution.nodes == Nodes::Arbitrary);
    let Some(list) = &counts.nodes_required else {
        if arbitrary {
            let text = "With Arbitrary distribution you need to specify a nodelist or hostfile with the -w option";
            return Err(Fault::error(1, text).into());
        }
        return Ok(());
    };
    let mut names = hostlist::expand(list).map_err(|_| RefusalCode::InvalidNodeName)?;
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let mut count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    if let Some((_, max)) = options.resources.nodes.filter(|(_, max)| *max > 0 && count > *max) {
        if command != Command::Srun {
            return Err(Fault::error(1, format!("invalid number of nodes (-N {count}-{max})")).into());
        }
        let text = format!(
            "Required nodelist includes more nodes than permitted by max-node count ({count} > {max}). Eliminating nodes from \
             the nodelist."
        );
        options.notices.push(Line::Error(text));
        names.truncate(max as usize);
        count = max;
    }
    if counts.tasks_given && counts.tasks < count && options.resources.nodes.is_none() {
        count = counts.tasks;
        // The message names the length of the list, as if it had been asked for with -N.
        counts.nodes_min = u32::try_from(names.len()).unwrap_or(u32::MAX);
        names.truncate(count as usize);
        counts.nodes_required = Some(hostlist::compress(&names));
        return Ok(());
    }
    counts.nodes_required = Some(hostlist::compress(&names));
    counts.nodes_min = counts.nodes_min.max(count);
    Ok(())
}

fn fewer_tasks_than_nodes(options: &mut SubmitOptions, counts: &mut Counts) {
    if counts.nodes_min > counts.tasks {
        let (tasks, nodes) = (counts.tasks, counts.nodes_min);
        let text = format!("Warning: can't run {tasks} processes on {nodes} nodes, setting nnodes to {tasks}");
        options.notices.push(Line::Info(text));
        counts.nodes_min = counts.tasks;
        if let Some(given) = options.given.get_mut("nodes") {
            given.shown = counts.tasks.to_string();
        }
    }
    counts.nodes_max = counts.nodes_max.map(|max| max.min(counts.tasks));
}

/// `srun` passes over a number of tasks for each node that the number of nodes cannot satisfy.
fn too_few_per_node(options: &mut SubmitOptions, counts: &mut Counts) {
    let Some(per_node) = counts.tasks_per_node.filter(|_| options.resources.nodes.is_some()) else {
        return;
    };
    if u64::from(per_node) * u64::from(counts.nodes_min) < u64::from(counts.tasks) {
        let text = format!(
            "Warning: can't honor --ntasks-per-node set to {per_node} which doesn't match the requested tasks {} with the \
             number of requested nodes {}. Ignoring --ntasks-per-node.",
            counts.tasks, counts.nodes_min
        );
        options.notices.push(Line::Info(text));
        options.given.remove("ntasks-per-node");
        counts.tasks_per_node = None;
    }
}

/// The number of tasks where none is given: by GPUs, by sockets and cores, by nodes.
fn derive_tasks(options: &mut SubmitOptions, counts: &mut Counts) {
    let saturated = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
    if let Some(tasks) = gpus::tasks(options, counts.nodes_min) {
        counts.tasks = saturated(tasks);
        counts.tasks_given = true;
        return;
    }
    let resources = &options.resources;
    if options.has("extra-node-info") {
        let levels = [resources.sockets_per_node, resources.cores_per_socket, resources.threads_per_core];
        if levels.iter().any(Option::is_some) {
            let product = levels.iter().flatten().fold(1u64, |product, level| product.saturating_mul((*level).into()));
            counts.tasks = saturated(product.saturating_mul(counts.nodes_min.into()));
            if options.client.verbose > 0 {
                let text = format!("Number of tasks implicitly set to {}.", counts.tasks);
                options.notices.push(Line::Info(text));
            }
            counts.tasks_given = true;
            return;
        }
    }
    let per_node = counts.tasks_per_node.unwrap_or(1);
    counts.tasks = saturated(u64::from(counts.nodes_min) * u64::from(per_node));
    counts.tasks_given = counts.tasks_per_node.is_some();
}
