//! A tree of accounts with usage, and jobs that wait: what `sprio` and `sshare` were asked about.
//!
//! Only what went in is here (shares, usage, jobs); every figure that is printed is calculated.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::accounting::{
    AccountingPolicy, Association, AssociationId, AssociationKey, Limits, Qos, Shares, TresAmounts,
};
use muster_model::array::TaskSet;
use muster_model::ids::{Identity, Name};
use muster_model::job::{ArrayRole, Job, JobSpec};
use muster_model::priority::{
    PriorityConfig, PriorityReport, PriorityRow, PrioritySnapshot, PriorityType, ShareReport, ShareRow, Usage,
    UsageAccounts, Weight, ledgers,
};
use muster_model::resources::{Gres, GresRequest, GresScope, Megabytes, MemoryRequest, Sharing};
use muster_model::time::Timestamp;

use super::scene_nodes;
use super::scenes::{Scene, at, job};

/// All billed seconds, which the program prints without their fraction: one that gives every figure it printed.
const USED: f64 = 8151.3;

/// Number, account, user, partition, number above, shares (`None` for `parent`), part of the usage of what is above it,
/// and minutes of CPUs, nodes, billing and GPUs.
type Row = (u32, &'static str, &'static str, &'static str, u32, Option<u32>, f64, [u64; 4]);

const TREE: &[Row] = &[
    (1, "root", "", "", 0, Some(1), 1.0, [146, 21, 131, 4]),
    (2, "root", "root", "", 1, Some(1), 0.0025726923, [1, 0, 0, 0]),
    (4, "bio", "", "", 1, Some(20), 0.411158, [55, 4, 55, 3]),
    (15, "bio", "bin", "debug", 4, Some(3), 0.0, [0, 0, 0, 0]),
    (10, "bio", "lp", "", 4, Some(0), 0.026815, [1, 1, 1, 0]),
    (11, "bio", "news", "", 4, Some(1), 0.973185, [54, 3, 54, 3]),
    (5, "chem", "", "", 1, Some(20), 0.023_594_477, [3, 1, 2, 0]),
    (14, "chem", "backup", "", 5, None, 0.0, [0, 0, 0, 0]),
    (13, "chem", "proxy", "", 5, Some(1), 0.065_431_49, [0, 0, 0, 0]),
    (12, "chem", "uucp", "", 5, Some(0), 0.934_568_51, [2, 1, 2, 0]),
    (3, "physics", "", "", 1, Some(40), 0.562_674_65, [86, 14, 72, 1]),
    (9, "physics", "daemon", "", 3, Some(2), 0.352_716_21, [26, 4, 26, 0]),
    (6, "astro", "", "", 3, Some(10), 0.647_283_79, [59, 9, 45, 1]),
    (7, "astro", "games", "", 6, Some(1), 0.9788047759, [55, 8, 45, 1]),
    (8, "astro", "mail", "", 6, Some(3), 0.0211952241, [3, 1, 0, 0]),
];

/// The scene.
pub fn shares() -> Scene {
    let config = config();
    let mut scene = scene_nodes::idle();
    scene.nodes.truncate(2);
    let nodes = scene.nodes.iter().map(|node| {
        let mut node = (**node).clone();
        Arc::make_mut(&mut node.config).hardware.gres = vec![Gres { name: "gpu".into(), kind: None, count: 2 }];
        Arc::new(node)
    });
    let nodes = nodes.collect();
    let partitions = scene
        .partitions
        .iter()
        .map(|partition| {
            let mut partition = (**partition).clone();
            partition.nodes.retain(|node| node.0 < 2);
            partition.priority_job_factor = if *partition.name == *"batch" { 10 } else { 1 };
            Arc::new(partition)
        })
        .collect();
    let (accounting, usage) = (accounting(), usage());
    let taken = at("28 19:25:49");
    let snapshot = PrioritySnapshot::take(taken, &config, &nodes, &partitions, &accounting, &usage);
    let find = |name: &str| partitions.iter().find(|part| *part.name == *name).map(|part| &**part);
    let jobs = jobs();
    let rows = jobs.iter().flat_map(|job| {
        let row = |ledger| PriorityRow { user: job.spec.identity.user.clone(), uid: job.spec.identity.uid, ledger };
        ledgers(job, find, &snapshot, &config).into_iter().map(row).collect::<Vec<_>>()
    });
    scene.priorities = Some(PriorityReport { config: config.clone(), rows: rows.collect() });
    scene.shares = Some(ShareReport {
        classic: false,
        tracked: config.tracked.clone(),
        rows: TREE.iter().map(|row| share_row(row, &snapshot, &accounting)).collect(),
    });
    scene
}

fn config() -> PriorityConfig {
    let weight = |name: &str, weight: f64| (Name::from(name), Weight(weight));
    let mut config = PriorityConfig {
        kind: PriorityType::Multifactor,
        weight_age: 1000,
        weight_association: 500,
        weight_fair_share: 10_000,
        weight_job_size: 1000,
        weight_partition: 1000,
        weight_qos: 2000,
        weight_tres: vec![weight("cpu", 1000.0), weight("mem", 2000.0), weight("gres/gpu", 3000.0)],
        weight_tres_text: "CPU=1000,Mem=2000,GRES/gpu=3000".into(),
        ..PriorityConfig::default()
    };
    config.tracked.push("gres/gpu".into());
    config
}

fn accounting() -> AccountingPolicy {
    let mut policy = AccountingPolicy::default();
    for (id, account, user, partition, parent, shares, _, _) in TREE {
        let key = AssociationKey { account: (*account).into(), user: (*user).into(), partition: (*partition).into() };
        let row = Association {
            id: AssociationId(*id),
            key: key.clone(),
            parent: (*parent > 0).then_some(AssociationId(*parent)),
            shares: shares.map_or(Shares::Parent, Shares::Raw),
            priority: if *user == "daemon" { 7 } else { 0 },
            qos_allowed: None,
            qos_default: None,
            limits: Limits::default(),
        };
        policy.association_index.insert(key, row.id);
        policy.associations.insert(row.id, Arc::new(row));
    }
    for (name, priority) in [("normal", 0), ("high", 10), ("low", 2)] {
        policy.qos.insert(name.into(), Arc::new(Qos { name: name.into(), priority, ..Qos::default() }));
    }
    policy
}

fn usage() -> UsageAccounts {
    let mut usage = UsageAccounts::default();
    let mut known: BTreeMap<u32, f64> = BTreeMap::from([(0, USED)]);
    for (id, _, _, _, parent, _, part, _) in TREE {
        let raw = known[parent] * part;
        known.insert(*id, raw);
        let row = Usage { raw, as_of: at("28 19:25:49"), ..Usage::default() };
        usage.associations.insert(AssociationId(*id), Arc::new(row));
    }
    usage
}

fn share_row(row: &Row, snapshot: &PrioritySnapshot, accounting: &AccountingPolicy) -> ShareRow {
    const RESOURCES: [&str; 4] = ["cpu", "node", "billing", "gres/gpu"];
    let (id, account, .., minutes) = row;
    let association = &accounting.associations[&AssociationId(*id)];
    // One job runs, of a user of that account.
    let runs = matches!((*account, row.2), ("root" | "bio", "") | ("bio", "news"));
    let running =
        RESOURCES.iter().zip([929_u64, 58, 929, 116]).map(|(name, minutes)| (Name::from(*name), minutes * 60));
    ShareRow {
        id: association.id,
        parent: association.parent,
        key: association.key.clone(),
        shares: association.shares,
        found: snapshot.fair_shares[&association.id].into(),
        tres_minutes_max: TresAmounts::default(),
        tres_seconds: RESOURCES
            .iter()
            .zip(minutes)
            .map(|(name, minutes)| ((*name).into(), *minutes as f64 * 60.0 + 30.0))
            .collect(),
        tres_seconds_running: TresAmounts(if runs { running.collect() } else { BTreeMap::new() }),
    }
}

fn waiting(
    id: u32,
    (uid, user, account): (u32, &str, &str),
    partition: &str,
    (nodes, tasks): (u32, u32),
    memory: Option<u64>,
    change: impl FnOnce(&mut Job, &mut JobSpec),
) -> Arc<Job> {
    job(id, "wrap", "28 19:24:50", |job, spec| {
        spec.identity = Identity { uid, gid: 1, user: user.into(), group: "daemon".into() };
        spec.account = Some(account.into());
        job.partition = partition.into();
        (spec.request.nodes_min, spec.request.tasks) = (nodes, tasks);
        spec.request.memory = memory.map(|amount| MemoryRequest::PerNode(Megabytes(amount)));
        change(job, spec);
    })
}

fn jobs() -> Vec<Arc<Job>> {
    let games = (5, "games", "astro");
    vec![
        waiting(27, games, "batch", (2, 2), None, |_, spec| spec.request.sharing = Sharing::Exclusive),
        waiting(28, games, "debug", (2, 20), Some(3000), |_, spec| {
            spec.partitions = vec!["debug".into(), "batch".into()];
            spec.qos = Some("high".into());
            spec.nice = 7;
        }),
        waiting(29, (1, "daemon", "physics"), "debug", (1, 2), Some(2000), |job, spec| {
            spec.request.cpus_per_task = 3;
            let gres = Gres { name: "gpu".into(), kind: None, count: 1 };
            spec.request.gres = vec![GresRequest { scope: GresScope::Node, gres }];
            spec.site_factor = 50;
            job.array = Some(ArrayRole::Waiting { tasks: TaskSet::from_indices([1, 2, 3]) });
            job.eligible_time = Some(later(job.submit_time));
        }),
        waiting(30, (2, "bin", "bio"), "debug", (1, 3), Some(1000), |job, _| {
            job.priority = 555;
            job.priority_set = true;
        }),
        waiting(32, (10, "uucp", "chem"), "small", (1, 2), Some(100), |_, _| {}),
    ]
}

/// When its site factor had been changed.
fn later(time: Timestamp) -> Timestamp {
    Timestamp(time.0 + 2000)
}
