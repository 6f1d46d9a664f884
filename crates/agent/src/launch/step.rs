//! The tasks of a step on this node, with the streams and programs that each of them gets.

use muster_model::node_call::FileReceipt;
use muster_model::step::{Step, StepLaunch};
use muster_runtime::pmi::{self, StepFacts};
use muster_runtime::unit::{ClientLink, LaunchUnit, Streams, TaskLaunch};
use muster_slurm::environment::{LaunchFacts, task_paths};

use super::streams::streams;
use super::{Caller, Launch, LaunchError, Prepared, Site, environment, memory_limit};

pub(super) fn prepare(
    launch: &Launch,
    facts: &LaunchFacts<'_>,
    step: &Step,
    site: &Site,
    caller: Caller,
) -> Result<Prepared, LaunchError> {
    let how = step.launch.as_deref().ok_or(LaunchError::Senseless("nothing says how to execute it"))?;
    let (_, here) =
        launch.step_node(&site.node_name).ok_or(LaunchError::Senseless("this node is not one of its nodes"))?;
    if here.ranks.is_empty() {
        return Err(LaunchError::Senseless("it has no task on this node"));
    }
    let share = launch.share(&site.node_name).ok_or(LaunchError::Senseless("its job holds nothing on this node"))?;
    let mut tasks: Vec<TaskLaunch> = here.ranks.iter().map(|rank| task(facts, step, how, *rank)).collect();
    let refusal = site.binding.bind(&mut tasks, step, how, &here.cpus, &site.node_name).err();
    let common = take_common_streams(&mut tasks);
    let (command, broadcast) = program(launch, step, how, site);
    let unit = LaunchUnit {
        key: launch.key(),
        user: caller.user,
        work_dir: how.work_dir.clone(),
        umask: how.umask,
        limits: how.limits.clone(),
        environment: None,
        variables: environment::of_step(facts, step, how),
        script: None,
        command,
        broadcast,
        streams: common,
        tasks,
        affinity: site.binding.whole(&here.cpus),
        memory_limit: memory_limit(if here.memory.0 > 0 { here.memory } else { share.memory }),
        client: client(how, site),
        pty: how.pty.filter(|_| here.ranks.contains(&0)),
        pmi: pmi(launch, step, how),
        message_name: String::new(),
        after: launch.prolog(),
        task_hooks: launch.task_hooks(),
        time_limit_ms: None,
        refusal,
    };
    Ok(Prepared { unit, environment: None, record: None })
}

/// What the tasks run, and where its program is put first if it comes from the client. Nodes that share a file system do not
/// share the file: unless a whole path is given, each has a name of its own, as in Slurm.
fn program(launch: &Launch, step: &Step, how: &StepLaunch, site: &Site) -> (Vec<String>, Option<FileReceipt>) {
    let mut command = how.command.clone();
    let Some(wanted) = &how.broadcast else {
        return (command, None);
    };
    let mut receipt = wanted.clone();
    if receipt.path.is_empty() {
        receipt.path = format!("{}/", how.work_dir.trim_end_matches('/'));
    }
    if receipt.path.ends_with('/') {
        let own = format!("slurm_bcast_{}.{}_{}", launch.job.id, step.step_id, site.node_name);
        receipt.path.push_str(&own);
    }
    if let Some(program) = command.first_mut() {
        program.clone_from(&receipt.path);
    }
    (command, Some(receipt))
}

fn task(facts: &LaunchFacts<'_>, step: &Step, how: &StepLaunch, rank: u32) -> TaskLaunch {
    TaskLaunch {
        rank,
        variables: environment::of_task(facts, step, rank),
        command: how.programs.iter().find(|(of, _)| *of == rank).map(|(_, command)| command.clone()),
        streams: task_paths(facts, step, rank).map(|paths| Streams { unbuffered: how.unbuffered, ..streams(paths) }),
        affinity: None,
        announcement: None,
    }
}

/// Takes streams that all tasks have alike out of them, so that a step of a thousand tasks on a node stays small.
fn take_common_streams(tasks: &mut [TaskLaunch]) -> Streams {
    let first = tasks.first().and_then(|task| task.streams.clone());
    if tasks.iter().all(|task| task.streams == first) {
        tasks.iter_mut().for_each(|task| task.streams = None);
    }
    first.unwrap_or_default()
}

/// What the MPI library of each task is told, where the step speaks with them.
fn pmi(launch: &Launch, step: &Step, how: &StepLaunch) -> Option<StepFacts> {
    if how.mpi != "pmi2" {
        return None;
    }
    let common = step.het.as_deref();
    let mut nodes_of_ranks = vec![0; step.tasks as usize];
    for (position, node) in (0..).zip(&step.layout) {
        for rank in &node.ranks {
            if let Some(place) = nodes_of_ranks.get_mut(*rank as usize) {
                *place = position;
            }
        }
    }
    Some(StepFacts {
        step_name: format!("{}.{}", common.map_or(launch.job.id, |common| common.leader), step.step_id),
        tasks: common.map_or(step.tasks, |common| common.tasks),
        // Of a step in several components one part does not know how the ranks of the others are dealt; libraries then ask
        // each other for the names of their hosts.
        process_mapping: if common.is_some() { String::new() } else { pmi::process_mapping(&nodes_of_ranks) },
    })
}

fn client(how: &StepLaunch, site: &Site) -> Option<ClientLink> {
    (!how.client_address.is_empty()).then(|| ClientLink {
        address: how.client_address.clone(),
        cookie: how.client_cookie.clone(),
        node_name: site.node_name.clone(),
    })
}
