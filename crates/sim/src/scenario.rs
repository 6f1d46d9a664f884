//! What a seed decides before anything happens: the cluster, and what jobs look like.

use muster_model::accounting::AccountingEnforce;
use muster_model::array::{ArraySpec, TaskSet};
use muster_model::config::{ClusterConfig, ResizeRules};
use muster_model::dependency::{Dependencies, Dependency, DependencyKind, DependencyState};
use muster_model::ids::{Identity, JobId, Name, NodeIndex};
use muster_model::job::{EarlySignal, JobKind, JobSpec};
use muster_model::node::{Hardware, InitialState, NodeConfig};
use muster_model::partition::{OverSubscribe, Partition};
use muster_model::preemption::{PreemptMode, PreemptType, PreemptionConfig};
use muster_model::resources::{Gres, GresRequest, GresScope, Megabytes, MemoryRequest, ResourceRequest, Sharing};
use muster_model::time::{Span, TimeLimit, Timestamp};

use crate::random::Random;

/// Memory of every node; requests stay well below it.
const NODE_MEMORY: u64 = 1000;
/// GPUs of every node.
const NODE_GPUS: u64 = 2;
/// The least number of CPUs that a node has.
const CPUS_MIN: u32 = 2;

/// A cluster of a few small nodes, with settings that differ from seed to seed.
pub(crate) fn cluster(random: &mut Random) -> ClusterConfig {
    let count = random.small(1, 5);
    let threads = random.small(1, 2);
    let nodes: Vec<NodeConfig> = (1..=count).map(|number| node(random, number, threads)).collect();
    let mut partitions =
        vec![partition("all", &nodes, 0, true), partition("some", &nodes[..nodes.len().div_ceil(2)], 1, false)];
    partitions.iter_mut().for_each(|partition| partition.over_subscribe = sharing(random));
    partitions[0].grace_time = if random.chance(500) { random.span(1_000, 60_000) } else { Span::ZERO };
    ClusterConfig {
        nodes,
        partitions,
        job_age_min: random.span(1_000, 300_000),
        kill_wait: random.span(1_000, 20_000),
        time_slice: random.span(5_000, 60_000),
        node_timeout: random.span(20_000, 120_000),
        return_to_service: if random.chance(500) { 1 } else { u8::try_from(random.below(3)).unwrap_or(1) },
        requeue_default: random.chance(800),
        requeue_delay: random.span(0, 30_000),
        launch_failures_max: random.small(1, 5),
        kill_invalid_dependency: random.chance(300),
        over_time_limit: random.span(0, 60_000),
        memory_is_consumed: random.chance(700),
        preemption: preemption(random),
        gres_types: vec!["gpu".into()],
        resize: ResizeRules { expansion: true, ..ResizeRules::default() },
        accounting: random.chance(500),
        // Users have no associations here: limits of the QOS `normal` hold for all.
        accounting_enforce: AccountingEnforce { limits: random.chance(700), ..AccountingEnforce::default() },
        ..ClusterConfig::default()
    }
}

/// Half of the clusters let jobs of the higher tier preempt, many of those by suspension; in some, jobs that share cores take
/// turns.
fn preemption(random: &mut Random) -> PreemptionConfig {
    let kind = if random.chance(500) { PreemptType::Partition } else { PreemptType::None };
    let mode = match random.below(10) {
        0..4 => PreemptMode::Requeue,
        4..6 => PreemptMode::Cancel,
        _ => PreemptMode::Suspend,
    };
    let gang = mode == PreemptMode::Suspend || random.chance(300);
    PreemptionConfig { kind, mode, gang, exempt_time: random.span(0, 60_000), ..PreemptionConfig::default() }
}

fn node(random: &mut Random, number: u32, threads: u32) -> NodeConfig {
    let name: Name = format!("n{number}").into();
    let cores = CPUS_MIN.div_ceil(threads) + random.small(0, 3);
    // Where there are two sockets, the plan says which cores a job gets.
    let sockets = if cores.is_multiple_of(2) { 2 } else { 1 };
    NodeConfig {
        host_name: name.clone(),
        address: name.clone(),
        name,
        port: 0,
        hardware: Hardware {
            cpus: cores * threads,
            boards: 1,
            sockets,
            cores_per_socket: cores / sockets,
            threads_per_core: threads,
            memory: Megabytes(NODE_MEMORY),
            tmp_disk: Megabytes(0),
            gres: gpus(number),
            ..Hardware::of_cpus(cores * threads)
        },
        features: Vec::new(),
        features_inactive: Vec::new(),
        weight: 1,
        initial_state: if random.chance(50) { InitialState::Drain } else { InitialState::Unknown },
        reason: None,
    }
}

/// The GPUs of a node: without a type, of one type, or of two.
fn gpus(number: u32) -> Vec<Gres> {
    let gpu = |kind: Option<&str>, count| Gres { name: "gpu".into(), kind: kind.map(Name::from), count };
    match number % 3 {
        0 => vec![gpu(None, NODE_GPUS)],
        1 => vec![gpu(Some("a100"), NODE_GPUS)],
        _ => vec![gpu(Some("a100"), NODE_GPUS - 1), gpu(Some("h100"), 1)],
    }
}

/// Whether jobs may share cores: two of them where they ask for it, or always.
fn sharing(random: &mut Random) -> OverSubscribe {
    match random.below(4) {
        0 => OverSubscribe::Yes(2),
        1 => OverSubscribe::Force(2),
        _ => OverSubscribe::No,
    }
}

fn partition(name: &str, nodes: &[NodeConfig], tier: u16, default: bool) -> Partition {
    let names: Vec<&str> = nodes.iter().map(|node| &*node.name).collect();
    Partition {
        node_list: names.join(",").into(),
        default,
        time_max: TimeLimit::from_minutes(60),
        priority_tier: tier,
        ..Partition::new(name.into(), (0..).map(NodeIndex).zip(nodes).map(|(index, _)| index).collect())
    }
}

/// The user of that number.
pub(crate) fn identity(uid: u32) -> Identity {
    let name: Name = if uid == 0 { "root".into() } else { format!("u{uid}").into() };
    Identity { uid, gid: uid, user: name.clone(), group: name }
}

/// A job that the cluster can run, if nothing stands in its way. `known` are jobs it may depend on.
pub(crate) fn job(random: &mut Random, config: &ClusterConfig, now: Timestamp, uid: u32, known: &[JobId]) -> JobSpec {
    let kind = match random.below(100) {
        0..70 => JobKind::Batch,
        70..82 => JobKind::EveryNode,
        _ => JobKind::Allocation,
    };
    let some = random.chance(200);
    let nodes_there = u32::try_from(config.partitions[usize::from(some)].nodes.len()).unwrap_or(1);
    let by_chance = |random: &mut Random, per_mille| random.chance(per_mille).then_some(());
    JobSpec {
        identity: identity(uid),
        name: format!("j{}", random.below(4)).into(),
        kind,
        partitions: if some { vec!["some".into()] } else { Vec::new() },
        account: None,
        qos: None,
        request: request(random, nodes_there),
        nodes_when_empty: None,
        time_limit: by_chance(random, 700).map(|()| TimeLimit::from_minutes(random.small(1, 8).into())),
        time_limit_min: None,
        begin: by_chance(random, 100).map(|()| now + random.span(0, 600_000)),
        deadline: by_chance(random, 40).map(|()| now + random.span(60_000, 1_800_000)),
        array: by_chance(random, 180).filter(|()| kind != JobKind::Allocation).map(|()| array(random)),
        dependencies: dependencies(random, known),
        hold: random.chance(50),
        requeue: by_chance(random, 200).map(|()| random.chance(500)),
        nice: 0,
        priority: None,
        site_factor: 0,
        reservation: None,
        early_signal: by_chance(random, 60).map(|()| EarlySignal {
            signal: 15,
            before_end: random.span(0, 120_000),
            batch_only: random.chance(500),
            reservation: false,
        }),
        kill_on_invalid_dependency: by_chance(random, 200).map(|()| random.chance(500)),
        no_kill: false,
        unattended: false,
        work_dir: "/".into(),
        output: None,
        error: None,
        input: None,
        open_mode: None,
        command: None,
        arguments: Vec::new(),
        script: None,
        context: None,
        submit_host: "login".into(),
        submit_session: 1,
        submit_line: None,
        rare: None,
        run: None,
        cron: None,
    }
}

fn request(random: &mut Random, nodes_there: u32) -> ResourceRequest {
    let nodes_min = if random.chance(650) { 1 } else { random.small(1, nodes_there) };
    let tasks = if random.chance(500) { nodes_min } else { random.small(nodes_min, nodes_min * CPUS_MIN) };
    let memory = match random.below(10) {
        0..5 => None,
        5..8 => Some(MemoryRequest::PerNode(Megabytes(random.between(1, NODE_MEMORY)))),
        _ => Some(MemoryRequest::PerCpu(Megabytes(random.between(1, NODE_MEMORY / 20)))),
    };
    let gpus = || GresRequest { scope: GresScope::Node, gres: Gres { name: "gpu".into(), kind: None, count: 1 } };
    ResourceRequest {
        nodes_min,
        nodes_max: Some(nodes_min),
        tasks,
        tasks_given: true,
        cpus_per_task: 1,
        memory,
        gres: if random.chance(150) { vec![gpus()] } else { Vec::new() },
        sharing: match random.below(20) {
            0 => Sharing::Exclusive,
            1 => Sharing::ExclusiveUser,
            2..6 => Sharing::Oversubscribe,
            _ => Sharing::Default,
        },
        ..ResourceRequest::default()
    }
}

fn array(random: &mut Random) -> ArraySpec {
    let last = random.small(0, 7);
    let step = random.small(1, 2);
    let tasks = TaskSet::parse(&format!("0-{last}:{step}"), 100).unwrap_or_default();
    ArraySpec { tasks, throttle: random.chance(500).then(|| random.small(1, 3)) }
}

pub(crate) fn dependencies(random: &mut Random, known: &[JobId]) -> Dependencies {
    if known.is_empty() || !random.chance(350) {
        return Dependencies::default();
    }
    let count = random.small(1, 3);
    Dependencies { all: (0..count).map(|_| dependency(random, known)).collect(), any_is_enough: random.chance(300) }
}

fn dependency(random: &mut Random, known: &[JobId]) -> Dependency {
    const KINDS: [DependencyKind; 6] = [
        DependencyKind::After,
        DependencyKind::AfterAny,
        DependencyKind::AfterOk,
        DependencyKind::AfterNotOk,
        DependencyKind::AfterCorr,
        DependencyKind::Singleton,
    ];
    let kind = *random.pick(&KINDS).unwrap_or(&DependencyKind::AfterAny);
    let recent = &known[known.len().saturating_sub(6)..];
    let job = random.pick(recent).copied().filter(|_| kind != DependencyKind::Singleton);
    Dependency {
        kind,
        job,
        task_index: (job.is_some() && random.chance(150)).then(|| random.small(0, 4)),
        delay_minutes: if kind == DependencyKind::After { random.small(0, 3) } else { 0 },
        of_array: false,
        state: DependencyState::Unfulfilled,
    }
}

/// A repaired cluster gives nobody more than a while.
pub(crate) const WHILE: Span = Span::from_seconds(10);
