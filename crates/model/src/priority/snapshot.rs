//! All that priorities depend on besides the jobs, taken together at one time.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::Vector;

use super::{FairShares, PriorityConfig, ShareInput, TresCounts, UsageAccounts, fair_shares};
use crate::accounting::{AccountingPolicy, Association, AssociationId, TresAmounts};
use crate::ids::{JobId, Name};
use crate::job::Job;
use crate::node::Node;
use crate::partition::Partition;
use crate::resources::Megabytes;
use crate::time::Timestamp;

/// What the priorities of jobs are calculated from. Stays as it is until the next calculation, so that a priority can be
/// explained for as long as it holds.
#[derive(Debug, Clone, Default)]
pub struct PrioritySnapshot {
    /// When it was taken: the time that ages are counted to.
    pub at: Timestamp,
    /// Associations and QOS.
    pub accounting: AccountingPolicy,
    /// What each association is owed.
    pub fair_shares: FairShares,
    /// Partitions.
    pub partitions: BTreeMap<Name, PartitionTerms>,
    /// Greatest `PriorityJobFactor`.
    pub job_factor_max: u16,
    /// Greatest priority of a QOS.
    pub qos_priority_max: u32,
    /// Greatest priority of an association.
    pub association_priority_max: u32,
    /// CPUs of the cluster.
    pub cpus: u64,
    /// Nodes of the cluster.
    pub nodes: u64,
}

/// What the priority of a job takes from a partition.
#[derive(Debug, Clone, Default)]
pub struct PartitionTerms {
    /// `PriorityJobFactor`.
    pub job_factor: u16,
    /// Its resources.
    pub counts: TresCounts,
}

impl PrioritySnapshot {
    /// Takes one at `at`.
    pub fn take(
        at: Timestamp,
        config: &PriorityConfig,
        nodes: &Vector<Arc<Node>>,
        partitions: &Vector<Arc<Partition>>,
        accounting: &AccountingPolicy,
        usage: &UsageAccounts,
    ) -> PrioritySnapshot {
        let factor = UsageAccounts::decay_factor(config);
        let raw = |row: &Association| {
            usage.associations.get(&row.id).map_or(0.0, |known| {
                let seconds = at.since(known.as_of).0 as f64 / 1000.0;
                known.raw * factor.powf(seconds)
            })
        };
        let inputs: Vec<ShareInput<'_>> =
            accounting.associations.values().map(|row| ShareInput { association: row, usage_raw: raw(row) }).collect();
        PrioritySnapshot {
            at,
            fair_shares: fair_shares(&inputs, config),
            partitions: partitions
                .iter()
                .map(|partition| (partition.name.clone(), terms(partition, nodes, config)))
                .collect(),
            job_factor_max: partitions.iter().map(|partition| partition.priority_job_factor).max().unwrap_or(0),
            qos_priority_max: accounting.qos.values().map(|qos| qos.priority).max().unwrap_or(0),
            association_priority_max: accounting.associations.values().map(|row| row.priority).max().unwrap_or(0),
            cpus: nodes.iter().map(|node| u64::from(node.config.hardware.cpus)).sum(),
            nodes: nodes.len() as u64,
            accounting: accounting.clone(),
        }
    }

    /// The fair-share factor of `association`, where one is worked out.
    pub fn fair_share_factor(&self, association: AssociationId) -> Option<f64> {
        self.fair_shares.get(&association)?.factor
    }
}

fn terms(partition: &Partition, nodes: &Vector<Arc<Node>>, config: &PriorityConfig) -> PartitionTerms {
    let mut counts = TresCounts::default();
    if !config.weight_tres.is_empty() {
        let members = || partition.nodes.iter().filter_map(|index| nodes.get(index.0 as usize));
        counts.node_memory = members().next().map_or(Megabytes(0), |node| node.config.hardware.memory);
        counts.memory_default = partition.memory_default;
        counts.total = members().fold(TresAmounts::default(), |mut total, node| {
            let hardware = &node.config.hardware;
            total.add(&"cpu".into(), u64::from(hardware.cpus));
            total.add(&"mem".into(), hardware.memory.0);
            total.add(&"node".into(), 1);
            for gres in &hardware.gres {
                total.add(&format!("gres/{}", gres.name).as_str().into(), gres.count);
                if let Some(kind) = &gres.kind {
                    total.add(&format!("gres/{}:{kind}", gres.name).as_str().into(), gres.count);
                }
            }
            total
        });
    }
    PartitionTerms { job_factor: partition.priority_job_factor, counts }
}

/// The association that a job is charged to: the only place that says so for priorities and usage.
pub fn association_of<'a>(job: &Job, accounting: &'a AccountingPolicy) -> Option<&'a Arc<Association>> {
    if let Some(id) = job.association {
        return accounting.associations.get(&id);
    }
    let user = &job.spec.identity.user;
    let account = match &job.spec.account {
        Some(account) => account.clone(),
        None => accounting.users.get(user)?.default_account.clone()?,
    };
    accounting.association(&account, user, &job.partition)
}

/// Which snapshot the priority in a job's row was calculated from. While a new one is worked in, jobs from a number on
/// still have theirs from the one before.
#[derive(Debug, Clone, Default)]
pub struct CalculationProgress {
    /// The newest.
    pub current: Arc<PrioritySnapshot>,
    /// The one before, and the first job that is still calculated from it; `None` when all are done.
    pub previous: Option<(Arc<PrioritySnapshot>, JobId)>,
}

impl CalculationProgress {
    /// The snapshot behind the priority of that job.
    pub fn of(&self, job_id: JobId) -> &Arc<PrioritySnapshot> {
        match &self.previous {
            Some((previous, first)) if job_id >= *first => previous,
            _ => &self.current,
        }
    }
}

/// A job as the calculation sees it: `UNKNOWN` fields of rows are resolved here.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// What it is charged to.
    pub association: Option<&'a Arc<Association>>,
    /// Priority of its QOS.
    pub qos_priority: u32,
}

impl<'a> Standing<'a> {
    /// Where `job` stands in `snapshot`.
    pub fn of(job: &Job, snapshot: &'a PrioritySnapshot) -> Standing<'a> {
        let association = association_of(job, &snapshot.accounting);
        Standing { association, qos_priority: qos_of(job, &snapshot.accounting).map_or(0, |qos| qos.priority) }
    }
}

/// The QOS of a job: the one it names, or that of its association or what is above it.
pub fn qos_of<'a>(job: &Job, accounting: &'a AccountingPolicy) -> Option<&'a Arc<crate::accounting::Qos>> {
    let named = job.qos.clone().or_else(|| job.spec.qos.clone()).or_else(|| {
        let id = association_of(job, accounting)?.id;
        accounting.lineage(id).find_map(|row| row.qos_default.clone())
    });
    accounting.qos.get(&*named.unwrap_or_else(|| "normal".into()))
}
