//! Whether what a change of a job names is there: partitions, nodes, features, generic resources, licences, sizes.

use muster_model::hostlist;
use muster_model::ids::Name;
use muster_model::licenses;
use muster_model::request::{JobChanges, Refusal, RefusalCode};

use crate::cluster::Cluster;

/// Refuses what the cluster does not have.
pub(super) fn names(cluster: &Cluster, changes: &JobChanges) -> Result<(), Refusal> {
    for name in changes.partition.iter().flat_map(|names| names.split(',')) {
        cluster.partition(name).ok_or(RefusalCode::InvalidPartition)?;
    }
    for list in [&changes.nodes_required, &changes.nodes_excluded].into_iter().flatten() {
        nodes(cluster, list)?;
    }
    for constraint in [&changes.constraint, &changes.preferred].into_iter().flatten().filter(|text| !text.is_empty()) {
        features(cluster, constraint)?;
    }
    for request in changes.gres.iter().flatten() {
        let known = |node: &muster_model::node::Node| {
            node.config.hardware.gres.iter().any(|gres| gres.name == request.gres.name)
        };
        if !cluster.nodes.iter().any(|node| known(node)) {
            return Err(RefusalCode::InvalidGres.into());
        }
    }
    if let Some(wanted) = changes.licenses.as_deref().filter(|text| !text.is_empty()) {
        licenses(cluster, wanted)?;
    }
    sizes(cluster, changes)
}

fn nodes(cluster: &Cluster, list: &Name) -> Result<(), Refusal> {
    if list.is_empty() {
        return Ok(());
    }
    let names =
        hostlist::expand(list).map_err(|error| Refusal::new(RefusalCode::InvalidNodeName, error.to_string()))?;
    match names.iter().find(|name| !cluster.node_index.contains_key(&***name)) {
        Some(name) => Err(Refusal::new(RefusalCode::InvalidNodeName, format!("no node {name}"))),
        None => Ok(()),
    }
}

/// Every word of a constraint must be a feature of some node; counts (`*2`, `2*`) and operators are none.
fn features(cluster: &Cluster, constraint: &str) -> Result<(), Refusal> {
    let words = constraint.split(|c: char| "&|,()[]*!".contains(c)).map(str::trim);
    for word in words.filter(|word| !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_digit())) {
        let known = |node: &muster_model::node::Node| node.config.features.iter().any(|feature| **feature == *word);
        if !cluster.nodes.iter().any(|node| known(node)) {
            return Err(Refusal::new(RefusalCode::InvalidFeature, format!("no node has {word}")));
        }
    }
    Ok(())
}

/// Licences are those that the configuration names.
fn licenses(cluster: &Cluster, wanted: &str) -> Result<(), Refusal> {
    let wanted = licenses::parse(wanted).ok_or(RefusalCode::InvalidLicense)?;
    let totals = cluster.licenses_total();
    let short = wanted.iter().find(|(name, count)| totals.get(*name).is_none_or(|total| total < *count));
    short.map_or(Ok(()), |(name, _)| Err(Refusal::new(RefusalCode::InvalidLicense, format!("no licence {name}"))))
}

/// More CPUs or nodes than the cluster has.
fn sizes(cluster: &Cluster, changes: &JobChanges) -> Result<(), Refusal> {
    let cpus_all: u64 = cluster.nodes.iter().map(|node| u64::from(node.config.hardware.cpus)).sum();
    let too_many_cpus = changes.cpus.is_some_and(|cpus| u64::from(cpus) > cpus_all);
    let too_many_nodes = changes.nodes.is_some_and(|(least, _)| least as usize > cluster.nodes.len());
    if too_many_cpus || too_many_nodes { Err(RefusalCode::InvalidCpuCount.into()) } else { Ok(()) }
}
