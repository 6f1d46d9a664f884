//! The priority of one job.

use muster_model::job::Job;
use muster_model::priority::{PrioritySnapshot, PriorityType, ledgers, site_factor};

use crate::cluster::Cluster;

/// The number before the first one that `priority/basic` gives (Slurm: `TOP_PRIORITY`): far up, with some room above.
pub(crate) const ARRIVAL_FIRST: u32 = 0xffff_0000;

/// Gives a job its priority that enters the queue, comes back to it or is released. The caller puts the job.
pub(crate) fn assign(cluster: &mut Cluster, job: &mut Job) {
    if job.hold.is_some() {
        job.priority = 0;
    } else if job.priority_set {
        // Nobody but an operator changes it.
    } else if cluster.config.priority.kind == PriorityType::Basic {
        cluster.arrival = cluster.arrival.saturating_sub(1).max(1);
        job.priority = within(i64::from(cluster.arrival) + site_factor(job) - i64::from(job.spec.nice));
    } else {
        job.priority = calculated(cluster, job, &cluster.priorities.of(job.id).clone());
    }
}

/// The same after a change of a waiting job, of which `old` is the row before. One that keeps its place in
/// `priority/basic` is only moved by what its owner and the site changed.
pub(crate) fn change(cluster: &mut Cluster, old: &Job, job: &mut Job) {
    let keeps_place = cluster.config.priority.kind == PriorityType::Basic && old.priority > 0 && !old.priority_set;
    if keeps_place && job.hold.is_none() && !job.priority_set {
        let offset = |job: &Job| site_factor(job) - i64::from(job.spec.nice);
        job.priority = within(i64::from(old.priority) + offset(job) - offset(old));
    } else {
        assign(cluster, job);
    }
}

/// What the factors come to: the best of all partitions that the job asks for.
pub(super) fn calculated(cluster: &Cluster, job: &Job, snapshot: &PrioritySnapshot) -> u32 {
    let partition = |name: &str| cluster.partition(name).map(|partition| &**partition);
    let all = ledgers(job, partition, snapshot, &cluster.config.priority);
    all.iter().map(|ledger| ledger.total).max().unwrap_or(1)
}

/// After a restart: goes on below the last job that is known.
pub(crate) fn restore_arrivals(cluster: &mut Cluster) {
    let arrival = |job: &std::sync::Arc<Job>| {
        let offset = site_factor(job) - i64::from(job.spec.nice);
        (job.priority > 0 && !job.priority_set).then(|| within(i64::from(job.priority) - offset))
    };
    let last = cluster.jobs.values().filter_map(arrival).min();
    cluster.arrival = last.unwrap_or(ARRIVAL_FIRST).min(ARRIVAL_FIRST);
}

fn within(priority: i64) -> u32 {
    u32::try_from(priority.clamp(1, i64::from(u32::MAX))).unwrap_or(1)
}
