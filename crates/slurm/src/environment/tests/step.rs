//! What the tasks of steps see.

use std::sync::Arc;

use muster_model::job::{Job, JobKind};
use muster_model::resources::{GresScope, Megabytes, MemoryRequest};
use muster_model::step::{Step, StepLaunch};

use super::fixture::{CLIENT, USER, allocate, change, gpus, job, launch, nodes, step};
use super::section;
use crate::environment::{
    ClientFacts, StepClientFacts, allocation_environment, batch_environment, batch_fallbacks, batch_removals, combine,
    step_client_environment, step_client_fallbacks, step_environment, step_fallbacks, step_removals,
    submit_environment, task_environment,
};
use crate::grammar::export;

/// What `srun` sends, called in a shell with the environment `shell`.
fn captured<S: AsRef<str>>(shell: &[S], client: &ClientFacts<'_>, facts: &StepClientFacts<'_>) -> Vec<String> {
    let of_shell = shell.iter().filter_map(|line| line.as_ref().split_once('='));
    let of_shell = of_shell.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let passed = export::parse(client.export.unwrap_or("ALL")).apply(&of_shell);
    let passed: Vec<String> = passed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    combine(&passed, &[], &step_client_fallbacks(client, facts), &step_client_environment(client, facts))
}

/// What the task `rank` on the node `here` prints.
fn task(job: &Job, step: &Step, here: u32, rank: u32) -> Vec<String> {
    let nodes = nodes(job);
    let launch = launch(job, &nodes, here);
    let environment = &step.launch.as_ref().unwrap().environment;
    let common = combine(
        environment,
        &step_removals(&launch, step),
        &step_fallbacks(&launch, step),
        &step_environment(&launch, step),
    );
    combine(&common, &[], &Vec::new(), &task_environment(&launch, step, rank, None))
}

fn check(title: &str, got: &[String]) {
    // A shell sets this one anew, and it does not pass `--export=NONE`.
    let same = |line: &&String| !line.starts_with("PWD=");
    let expected = section(include_str!("step.txt"), title);
    assert_eq!(
        got.iter().filter(same).collect::<Vec<_>>(),
        expected.iter().filter(same).collect::<Vec<_>>(),
        "{title}"
    );
}

/// `-N2 -n4 --gres=gpu:1`.
fn script_job(id: u32) -> Job {
    let mut job = job(id);
    allocate(&mut job, &[(0, 3, 3, 1), (1, 1, 1, 1)]);
    change(&mut job, |spec| {
        spec.name = "steps.sh".into();
        (spec.request.tasks, spec.request.tasks_given) = (4, true);
        spec.request.gres = vec![gpus(GresScope::Node, 1)];
    });
    job
}

fn script_environment(job: &Job) -> Vec<String> {
    let nodes = nodes(job);
    let launch = launch(job, &nodes, 0);
    let sent = combine(&USER, &[], &Vec::new(), &submit_environment(&CLIENT, false));
    combine(&sent, &batch_removals(&launch), &batch_fallbacks(&launch), &batch_environment(&launch))
}

#[test]
fn steps_of_a_script() {
    let job = script_job(104);
    let shell = script_environment(&job);
    let facts = StepClientFacts { allocation: Some(&job), tasks: 1, nodes: 1, ..StepClientFacts::default() };
    let one = step(&job, 0, 39787, captured(&shell, &CLIENT, &facts), &[(0, &[0], 3, 1)]);
    check("in a script: srun -n1", &task(&job, &one, 0, 0));

    let facts = StepClientFacts { tasks: 4, nodes: 2, ..facts };
    let layout: &[(u32, &[u32], u32, u32)] = &[(0, &[0, 1, 2], 3, 1), (1, &[3], 1, 1)];
    let four = step(&job, 1, 36973, captured(&shell, &CLIENT, &facts), layout);
    check("in a script: srun -N2 -n4, task 0", &task(&job, &four, 0, 0));
    check("in a script: srun -N2 -n4, task 1", &task(&job, &four, 0, 1));
    check("in a script: srun -N2 -n4, task 3", &task(&job, &four, 1, 3));

    let client = ClientFacts { export: Some("A=1"), ..CLIENT };
    let facts = StepClientFacts { tasks: 1, nodes: 1, ..facts };
    let exported = step(&job, 7, 37289, captured(&shell, &client, &facts), &[(0, &[0], 3, 1)]);
    check("in a script: srun --export=A=1", &task(&job, &exported, 0, 0));
}

#[test]
fn a_step_may_have_a_name_of_its_own() {
    let job = script_job(104);
    let facts = StepClientFacts {
        allocation: Some(&job),
        tasks: 1,
        nodes: 1,
        job_name: Some("stepname"),
        ..StepClientFacts::default()
    };
    let named = step(&job, 9, 1, captured(&script_environment(&job), &CLIENT, &facts), &[(0, &[0], 3, 1)]);
    assert!(task(&job, &named, 0, 0).contains(&"SLURM_JOB_NAME=stepname".to_owned()));
}

#[test]
fn counts_can_be_kept_as_srun_saw_them() {
    let job = script_job(104);
    let facts = StepClientFacts { allocation: Some(&job), tasks: 1, nodes: 1, ..StepClientFacts::default() };
    let shell = [script_environment(&job), vec!["SLURM_NNODES=7".to_owned(), "SLURM_NTASKS=9".to_owned()]].concat();
    let mut step = step(&job, 9, 1, captured(&shell, &CLIENT, &facts), &[(0, &[0], 3, 1)]);
    let counts = |step: &Step| {
        let lines = task(&job, step, 0, 0);
        let of = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        [of("SLURM_NNODES="), of("SLURM_NTASKS="), of("SLURM_STEP_NUM_TASKS=")]
    };
    assert_eq!(counts(&step), ["1", "1", "1"]);
    let how = step.launch.take().unwrap();
    step.launch = Some(Arc::new(StepLaunch { keeps_counts: true, ..(*how).clone() }));
    assert_eq!(counts(&step), ["7", "9", "1"]);
}

#[test]
fn steps_with_a_job_of_their_own() {
    let own = |id| {
        let mut job = job(id);
        change(&mut job, |spec| spec.kind = JobKind::Allocation);
        job
    };
    let one = own(106);
    let facts = StepClientFacts { tasks: 1, nodes: 1, ..StepClientFacts::default() };
    let plain = step(&one, 0, 44233, captured(&USER, &CLIENT, &facts), &[(0, &[0], 1, 0)]);
    check("srun", &task(&one, &plain, 0, 0));

    let bare = own(109);
    let client = ClientFacts { export: Some("NONE"), ..CLIENT };
    let exported = step(&bare, 0, 37759, captured(&USER, &client, &facts), &[(0, &[0], 1, 0)]);
    check("srun --export=NONE", &task(&bare, &exported, 0, 0));

    let mut all = own(107);
    allocate(&mut all, &[(0, 6, 3, 1), (1, 2, 1, 1)]);
    change(&mut all, |spec| {
        (spec.request.cpus_per_task, spec.request.cpus_per_task_given) = (2, true);
        spec.request.memory = Some(MemoryRequest::PerNode(Megabytes(1024)));
    });
    let facts = StepClientFacts {
        tasks: 4,
        nodes: 2,
        cpus_per_task: Some(2),
        memory_given: true,
        label: true,
        ..StepClientFacts::default()
    };
    let layout: &[(u32, &[u32], u32, u32)] = &[(0, &[0, 1, 2], 6, 1), (1, &[3], 2, 1)];
    let four = step(&all, 0, 34001, captured(&USER, &CLIENT, &facts), layout);
    check("srun -N2 -n4 -c2 --mem=1G --gres=gpu:1 -l, task 1", &task(&all, &four, 0, 1));
    check("srun -N2 -n4 -c2 --mem=1G --gres=gpu:1 -l, task 3", &task(&all, &four, 1, 3));
}

#[test]
fn steps_below_salloc() {
    let mut job = job(129);
    allocate(&mut job, &[(0, 2, 2, 0)]);
    change(&mut job, |spec| {
        spec.name = "interactive".into();
        (spec.request.tasks, spec.request.tasks_given) = (2, true);
    });
    let shell = combine(&USER, &[], &Vec::new(), &allocation_environment(&job, &nodes(&job), "peer", &CLIENT));
    let facts =
        StepClientFacts { allocation: Some(&job), tasks: 2, nodes: 1, label: true, ..StepClientFacts::default() };
    let two = step(&job, 0, 33917, captured(&shell, &CLIENT, &facts), &[(0, &[0, 1], 2, 0)]);
    check("salloc -n2 srun -l, task 1", &task(&job, &two, 0, 1));
}

#[test]
fn tasks_share_or_divide_gpus() {
    let mut job = job(1);
    allocate(&mut job, &[(0, 2, 2, 2)]);
    let line = |facts: StepClientFacts<'_>, rank, name: &str| {
        let two = step(&job, 0, 1, captured(&["CUDA_VISIBLE_DEVICES=5"], &CLIENT, &facts), &[(0, &[0, 1], 2, 2)]);
        let lines = task(&job, &two, 0, rank);
        lines
            .into_iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
            .unwrap_or_default()
    };
    let shared = StepClientFacts { tasks: 2, nodes: 1, ..StepClientFacts::default() };
    let divided = StepClientFacts { gpus_per_task: Some(1), ..shared };
    assert_eq!(line(shared, 1, "CUDA_VISIBLE_DEVICES"), "0,1");
    assert_eq!(line(divided, 0, "CUDA_VISIBLE_DEVICES"), "0");
    assert_eq!(line(divided, 1, "CUDA_VISIBLE_DEVICES"), "1");
    assert_eq!(line(divided, 1, "SLURM_STEP_GPUS"), "1");
    assert_eq!(line(divided, 1, "SLURM_GPUS_ON_NODE"), "2");
    assert_eq!(line(divided, 1, "SLURMD_TRES_BIND"), "gpu:per_task:1");
    let none = StepClientFacts { gpu_bind: Some("none"), ..divided };
    let told = ["CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "SLURMD_TRES_BIND"];
    assert_eq!(told.map(|name| line(none, 1, name)), ["", "", "2", "gpu:none"]);
    // Who is alone on a node has all of it.
    let alone = step(&job, 0, 1, captured::<&str>(&[], &CLIENT, &divided), &[(0, &[0], 2, 2)]);
    let lines = task(&job, &alone, 0, 0);
    assert!(
        lines.contains(&"SLURM_STEP_GPUS=0,1".to_owned()) && lines.contains(&"CUDA_VISIBLE_DEVICES=0,1".to_owned())
    );
    assert!(!lines.iter().any(|line| line.starts_with("SLURMD_TRES_BIND=")));

    // A step without GPUs must not see those of the shell.
    let none =
        step(&job, 0, 1, vec!["CUDA_VISIBLE_DEVICES=5".to_owned(), "SLURM_JOB_GPUS=7".to_owned()], &[(0, &[0], 1, 0)]);
    let lines = task(&job, &none, 0, 0);
    assert!(!lines.iter().any(|line| line.starts_with("CUDA")) && lines.contains(&"SLURM_JOB_GPUS=7".to_owned()));
}

#[test]
fn a_rank_from_elsewhere_has_no_environment_here() {
    let job = script_job(1);
    let nodes = nodes(&job);
    let four = step(&job, 0, 1, Vec::new(), &[(0, &[0, 1, 2], 3, 0), (1, &[3], 1, 0)]);
    assert_eq!(task_environment(&launch(&job, &nodes, 0), &four, 3, None), []);
    assert_eq!(task_environment(&launch(&job, &nodes, 9), &four, 3, None), []);
}

/// As real `srun` does it; a step that does not come from `srun` has a place and a mask all the same.
#[test]
fn what_no_client_captured() {
    let job = script_job(1);
    let bare = step(&job, 0, 1, Vec::new(), &[(0, &[0], 1, 0)]);
    let lines = task(&job, &bare, 0, 0);
    for line in [
        "SLURM_JOB_NAME=steps.sh",
        "SLURM_SUBMIT_DIR=/tmp/w",
        "SLURM_UMASK=0022",
        "SLURM_PRIO_PROCESS=0",
        "TMPDIR=/tmp",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line}");
    }
}

/// Seen with real Slurm: these were set in the shell that called `srun`.
#[test]
fn what_the_shell_had_of_other_steps() {
    let job = job(1291);
    let shell = [
        "TMPDIR=/var/tmp",
        "SLURM_PROCID=5",
        "SLURM_STEP_ID=8",
        "SLURM_PRIO_PROCESS=4",
        "SLURM_UMASK=1",
        "SRUN_DEBUG=7",
        "HOSTNAME=hh",
        "SLURM_MEM_PER_CPU=3",
    ];
    let facts = StepClientFacts { tasks: 1, nodes: 1, ..StepClientFacts::default() };
    let one = step(&job, 0, 1, captured(&shell, &CLIENT, &facts), &[(0, &[0], 1, 0)]);
    let lines = task(&job, &one, 0, 0);
    for line in [
        "TMPDIR=/var/tmp",
        "SLURM_PROCID=0",
        "SLURM_STEP_ID=0",
        "SLURM_PRIO_PROCESS=0",
        "SLURM_UMASK=1",
        "SRUN_DEBUG=7",
        "HOSTNAME=hh",
        "SLURM_MEM_PER_CPU=3",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line}");
    }
}
