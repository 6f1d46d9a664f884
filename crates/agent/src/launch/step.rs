//! The tasks of a step on this node, with the streams and programs that each of them gets.

use muster_model::node_call::FileReceipt;
use muster_model::step::{Step, StepLaunch};
use muster_runtime::unit::{ClientLink, FileLabels, LaunchUnit, Streams, TaskLaunch};
use muster_slurm::environment::{LaunchFacts, task_gpu_lines, task_paths};

use super::streams::streams;
use super::{Caller, Launch, LaunchError, Prepared, Site, environment, mpi};

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
    site.binding.bind_memory(&mut tasks, how, &site.node_name);
    let whole = site.binding.whole(&here.cpus);
    tasks.iter_mut().for_each(|task| tell_task(task, facts, step, site, &whole));
    let common = take_common_streams(&mut tasks);
    let (command, broadcast) = program(launch, step, how, site);
    let mut unit = LaunchUnit {
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
        affinity: whole,
        memory_limit: None,
        confinement: None,
        space: Some(Box::new(site.space.clone())),
        client: client(how, site),
        pty: how.pty.filter(|_| here.ranks.contains(&0)),
        pmi: mpi::pmi(launch, step, how),
        pmix: mpi::pmix(launch, step, how, site)?.map(Box::new),
        message_name: String::new(),
        after: launch.prolog(),
        task_hooks: launch.task_hooks(),
        time_limit_ms: None,
        container: site.container(how.container.as_deref()),
        bundle: how.bundle.as_deref().and_then(|path| site.bundle(path, how.bundle_id.as_deref(), launch)),
        refusal,
        measure_ms: launch.measure_ms(site),
        measure_how: None,
        sequence: launch.sequence,
        verbosity: how.node_verbosity,
        unkillable: launch.unkillable(launch.key(), site),
    };
    let memory = if here.memory.0 > 0 { here.memory } else { share.memory };
    site.rules.apply(&mut unit, share, memory, &here.gres);
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

/// What a task gets by its place and by the CPUs that it was bound to; else those are `whole`.
fn tell_task(task: &mut TaskLaunch, facts: &LaunchFacts<'_>, step: &Step, site: &Site, whole: &[u32]) {
    let cores = site.binding.cores(task.affinity.as_deref().unwrap_or(whole));
    task.variables.splice(0..0, environment::of_task(facts, step, task.rank, cores.as_ref()));
    let notes = task_gpu_lines(facts, step, task.rank, cores.as_ref());
    task.notes = notes.into_iter().map(|line| line + "\n").collect();
}

fn task(facts: &LaunchFacts<'_>, step: &Step, how: &StepLaunch, rank: u32) -> TaskLaunch {
    TaskLaunch {
        rank,
        command: how.programs.iter().find(|(of, _)| *of == rank).map(|(_, command)| command.clone()),
        streams: task_paths(facts, step, rank).map(|paths| {
            let labels = how.labels_files.then_some(match &step.het {
                Some(het) => FileLabels { tasks: het.tasks, first_rank: het.first_rank },
                None => FileLabels { tasks: step.tasks, first_rank: 0 },
            });
            Streams { unbuffered: how.unbuffered, labels, ..streams(paths) }
        }),
        ..TaskLaunch::default()
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

fn client(how: &StepLaunch, site: &Site) -> Option<ClientLink> {
    (!how.client_address.is_empty()).then(|| ClientLink {
        address: how.client_address.clone(),
        cookie: how.client_cookie.clone(),
        node_name: site.node_name.clone(),
    })
}
