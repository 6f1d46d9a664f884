//! Which nodes, CPUs and units a reservation gets.
//!
//! Nodes that are named are taken as they are. Nodes that are counted are taken out of one partition, the default one
//! unless another is named: nodes in service that nobody else has reserved for that time and that no job holds past its
//! begin, idle ones first, in the order of the configuration, as Slurm takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Name, NodeIndex};
use muster_model::job::Job;
use muster_model::node::{Node, NodeHealth};
use muster_model::partition::Partition;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::{Reservation, ReservationChanges, ReservationFlag, ReservedNode, SetOperation};
use muster_model::resources::{GresShare, IndexSet};
use muster_model::time::Timestamp;

use super::overlap;
use super::shape::{Occasion, nodes_of};
use crate::cluster::Cluster;

/// Gives `reservation` what it asks for.
pub(super) fn settle(
    cluster: &Cluster,
    now: Timestamp,
    mut reservation: Reservation,
    changes: &ReservationChanges,
    occasion: Occasion,
) -> Result<Reservation, Refusal> {
    if let Some(counts) = &changes.core_counts {
        reservation.cores_wanted.clone_from(counts);
    }
    if let Some(tres) = &changes.tres {
        let licenses = reservation.tres.0.iter().filter(|(name, _)| name.starts_with("license/"));
        let mut all: BTreeMap<Name, u64> = licenses.map(|(name, count)| (name.clone(), *count)).collect();
        all.extend(tres.0.iter().map(|(name, count)| (name.clone(), *count)));
        reservation.tres.0 = all;
    }
    let named = changes.nodes.as_ref().filter(|list| !list.is_empty());
    let chooser = Chooser { cluster, now };
    if let Some(list) = named {
        chooser.take_named(&mut reservation, list, adds_part_nodes(changes), occasion)?;
    } else if occasion == Occasion::Update && adds_part_nodes(changes) {
        // The flag only tells how to read `Nodes=ALL`.
        let lacks =
            if reservation.partition.is_some() { RefusalCode::InvalidNodeName } else { RefusalCode::InvalidPartition };
        return Err(lacks.into());
    } else if occasion == Occasion::Create {
        if let Some(count) = changes.node_count {
            reservation.nodes_wanted = Some(count);
        }
        chooser.take_counted(&mut reservation)?;
    } else if changes.nodes.is_some() {
        // `Nodes=`: any others will do.
        reservation.nodes_wanted = Some(changes.node_count.unwrap_or(reservation.nodes.len() as u32));
        for flag in [ReservationFlag::SpecNodes, ReservationFlag::AllNodes, ReservationFlag::PartNodes] {
            reservation.set(flag, false);
        }
        reservation.nodes.clear();
        chooser.take_counted(&mut reservation)?;
    }
    if let Some(count) = changes.node_count.filter(|_| occasion == Occasion::Update) {
        chooser.resize(&mut reservation, count)?;
    }
    if !(occasion == Occasion::Update && changes.start.is_none() && changes.end.is_none() && changes.duration.is_none())
        || named.is_some()
    {
        chooser.check_free(&reservation)?;
    }
    chooser.note_names(&mut reservation);
    Ok(reservation)
}

/// Whether `Flags=PART_NODES` is asked for.
fn adds_part_nodes(changes: &ReservationChanges) -> bool {
    let flags = changes.flags.as_ref().filter(|change| change.operation != SetOperation::Remove);
    flags.is_some_and(|change| change.flags.contains(&ReservationFlag::PartNodes))
}

/// `Features=`: words joined by `&` (all of them) or by `|` (any of them).
pub(super) struct Features {
    words: Vec<Name>,
    any_is_enough: bool,
}

impl Features {
    /// Reads `text`.
    ///
    /// # Errors
    /// `InvalidFeature` where no node has a word, or where both signs are mixed or nested.
    pub(super) fn read(cluster: &Cluster, text: &str) -> Result<Features, Refusal> {
        let any_is_enough = text.contains('|');
        if (any_is_enough && text.contains(['&', ','])) || text.contains(['(', ')', '[', ']', '*']) {
            return Err(Refusal::new(RefusalCode::InvalidFeature, "features are joined by & or by |, not by both"));
        }
        let words: Vec<Name> = text.split(['&', ',', '|']).filter(|word| !word.is_empty()).map(Name::from).collect();
        let known = |word: &Name| cluster.nodes.iter().any(|node| node.config.features.contains(word));
        match words.iter().find(|word| !known(word)) {
            Some(word) => Err(Refusal::new(RefusalCode::InvalidFeature, format!("no node has {word}"))),
            None => Ok(Features { words, any_is_enough }),
        }
    }

    fn hold(&self, node: &Node) -> bool {
        let has = |word: &Name| node.config.active_features().any(|own| own == word);
        self.words.is_empty()
            || if self.any_is_enough { self.words.iter().any(has) } else { self.words.iter().all(has) }
    }
}

/// Chooses out of the cluster as it is.
pub(super) struct Chooser<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) now: Timestamp,
}

impl Chooser<'_> {
    fn node(&self, index: NodeIndex) -> Option<&Arc<Node>> {
        self.cluster.nodes.get(index.0 as usize)
    }

    fn partition(&self, reservation: &Reservation) -> Option<&Arc<Partition>> {
        match &reservation.partition {
            Some(name) => self.cluster.partition(name),
            None => self.cluster.partitions.iter().find(|partition| partition.default),
        }
    }

    /// Nodes that were named. All of a partition are the whole of a new reservation of one, and of an old one with `PART_NODES`.
    fn take_named(
        &self,
        reservation: &mut Reservation,
        list: &Name,
        adds_part_nodes: bool,
        occasion: Occasion,
    ) -> Result<(), Refusal> {
        if adds_part_nodes && reservation.partition.is_none() {
            return Err(RefusalCode::InvalidPartition.into());
        }
        let nodes: BTreeSet<NodeIndex> = if list.eq_ignore_ascii_case("all") {
            let is_new = occasion == Occasion::Create;
            let partition = reservation.partition.as_ref();
            let partition = partition.filter(|_| is_new || reservation.has(ReservationFlag::PartNodes));
            let partition = partition.and_then(|name| self.cluster.partition(name));
            let flag = if partition.is_some() { ReservationFlag::PartNodes } else { ReservationFlag::AllNodes };
            reservation.set(flag, true);
            nodes_of(self.cluster, partition.map(Arc::as_ref))
        } else {
            if adds_part_nodes {
                return Err(RefusalCode::InvalidNodeName.into());
            }
            reservation.set(ReservationFlag::AllNodes, false);
            reservation.set(ReservationFlag::PartNodes, false);
            let names = hostlist::expand(list)
                .map_err(|error| Refusal::new(RefusalCode::InvalidNodeName, error.to_string()))?;
            let index = |name: &String| {
                let found = self.cluster.node_index.get(&**name).copied();
                found.ok_or_else(|| Refusal::new(RefusalCode::InvalidNodeName, format!("no node {name}")))
            };
            names.iter().map(index).collect::<Result<_, _>>()?
        };
        reservation.set(ReservationFlag::SpecNodes, true);
        reservation.nodes_wanted = None;
        reservation.nodes = if reservation.cores_wanted.is_empty() {
            nodes.into_iter().map(ReservedNode::whole).collect()
        } else {
            self.cores_of_named(reservation, &nodes)?
        };
        if !reservation.cores_wanted.is_empty() && reservation.partition.is_none() {
            reservation.partition = self.partition(reservation).map(|partition| partition.name.clone());
        }
        Ok(())
    }

    /// `Nodes=n[1-2] CoreCnt=2,3`.
    fn cores_of_named(
        &self,
        reservation: &Reservation,
        nodes: &BTreeSet<NodeIndex>,
    ) -> Result<Vec<ReservedNode>, Refusal> {
        if reservation.cores_wanted.len() != nodes.len() {
            return Err(RefusalCode::ReservationCores.into());
        }
        let each = nodes.iter().zip(&reservation.cores_wanted).map(|(index, wanted)| {
            let cpus = self.free_cores(reservation, *index, *wanted);
            let cpus = cpus.filter(|(_, found)| found == wanted).map(|(cpus, _)| cpus);
            Ok(ReservedNode { node: *index, cpus: Some(cpus.ok_or(RefusalCode::NodesBusy)?), gres: Vec::new() })
        });
        each.collect()
    }

    /// Nodes, cores or units that were counted.
    fn take_counted(&self, reservation: &mut Reservation) -> Result<(), Refusal> {
        let gres: Vec<(Name, u64)> = wanted_gres(reservation);
        let counts = reservation.nodes_wanted.filter(|count| *count > 0);
        if counts.is_none() && reservation.cores_wanted.is_empty() && gres.is_empty() {
            return self.take_without_count(reservation);
        }
        let partition = self.partition(reservation).ok_or(RefusalCode::InvalidPartition)?.clone();
        let candidates = self.candidates(reservation, &partition)?;
        let nodes = if !gres.is_empty() {
            self.pick_gres(reservation, &candidates, counts, &gres)
        } else if !reservation.cores_wanted.is_empty() {
            self.pick_cores(reservation, &candidates, counts)
        } else {
            pick_whole(&self.whole(reservation, &candidates), counts.unwrap_or(0))
        };
        reservation.nodes = nodes.ok_or(RefusalCode::NodesBusy)?;
        reservation.partition = Some(partition.name.clone());
        Ok(())
    }

    /// Nothing is counted: a whole partition, or licences only.
    fn take_without_count(&self, reservation: &mut Reservation) -> Result<(), Refusal> {
        if let Some(partition) = reservation.partition.as_ref().and_then(|name| self.cluster.partition(name)) {
            reservation.nodes = partition.nodes.iter().copied().map(ReservedNode::whole).collect();
            reservation.set(ReservationFlag::SpecNodes, true);
            reservation.set(ReservationFlag::PartNodes, true);
            return Ok(());
        }
        if reservation.has(ReservationFlag::AnyNodes) { Ok(()) } else { Err(RefusalCode::InvalidNodeName.into()) }
    }

    /// Nodes that may be chosen, the best first.
    fn candidates(&self, reservation: &Reservation, partition: &Partition) -> Result<Vec<NodeIndex>, Refusal> {
        let features = Features::read(self.cluster, reservation.features.as_deref().unwrap_or_default())?;
        let busy = self.held_past(reservation);
        let mut found: Vec<(bool, NodeIndex)> = Vec::new();
        for index in &partition.nodes {
            let Some(node) = self.node(*index) else { continue };
            if node.health != NodeHealth::Up || node.drain || node.not_responding || !features.hold(node) {
                continue;
            }
            if busy.contains(index) && reservation.cores_wanted.is_empty() && wanted_gres(reservation).is_empty() {
                continue;
            }
            found.push((node.used.jobs_running + node.used.jobs_completing > 0, *index));
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, index)| index).collect())
    }

    /// Those of `candidates` that nobody else has reserved.
    fn whole(&self, reservation: &Reservation, candidates: &[NodeIndex]) -> Vec<NodeIndex> {
        let free = |index: &NodeIndex| {
            overlap::is_allowed(reservation)
                || !overlap::is_taken(self.cluster, self.now, reservation, &ReservedNode::whole(*index))
        };
        candidates.iter().copied().filter(free).collect()
    }

    /// Nodes that a job of nobody in this reservation holds past its begin.
    fn held_past(&self, reservation: &Reservation) -> BTreeSet<NodeIndex> {
        self.intruders(reservation).flat_map(|job| shares(job).map(|share| share.node)).collect()
    }

    /// Jobs outside this reservation that run past its begin.
    fn intruders<'b>(&'b self, reservation: &'b Reservation) -> impl Iterator<Item = &'b Arc<Job>> {
        let (start, _) = reservation.window(self.now);
        let ignored = reservation.has(ReservationFlag::IgnoreJobs);
        let stays = move |job: &&Arc<Job>| {
            !ignored
                && job.reservation.as_ref() != Some(&reservation.name)
                && job.end_time.is_none_or(|end| end > start)
                && !job.completing
        };
        self.cluster.running.values().filter(stays)
    }

    /// Refuses where somebody else has reserved the nodes, or jobs hold them.
    fn check_free(&self, reservation: &Reservation) -> Result<(), Refusal> {
        if !overlap::is_allowed(reservation) {
            let refused = |node: &ReservedNode| overlap::is_refused(self.cluster, self.now, reservation, node);
            if reservation.nodes.iter().any(refused) {
                return Err(RefusalCode::ReservationOverlap.into());
            }
        }
        let holds = |job: &Arc<Job>| {
            shares(job).any(|share| match reservation.on(share.node) {
                None => false,
                Some(ReservedNode { cpus: None, .. }) => true,
                Some(ReservedNode { cpus: Some(cpus), .. }) => !cpus.is_disjoint(&share.cpus),
            })
        };
        if self.intruders(reservation).any(holds) { Err(RefusalCode::NodesBusy.into()) } else { Ok(()) }
    }

    /// CPUs of up to `wanted` cores of a node, the lowest that nobody else has reserved or holds; and how many cores.
    fn free_cores(&self, reservation: &Reservation, index: NodeIndex, wanted: u32) -> Option<(IndexSet, u32)> {
        let hardware = &self.node(index)?.config.hardware;
        let per_core = cpus_per_core(hardware);
        let mut closed = IndexSet::default();
        if !overlap::is_allowed(reservation) {
            for (other, _) in overlap::others(self.cluster, self.now, reservation, index) {
                closed.add_all(&other.cpus.unwrap_or_else(|| IndexSet::first_n(hardware.cpus)));
            }
        }
        for share in self.intruders(reservation).flat_map(|job| shares(job)).filter(|share| share.node == index) {
            closed.add_all(&share.cpus);
        }
        let (mut cpus, mut found) = (IndexSet::default(), 0);
        for core in 0..hardware.cpus / per_core {
            let mut of_core = core * per_core..(core + 1) * per_core;
            if found < wanted && !of_core.any(|cpu| closed.contains(cpu)) {
                (core * per_core..(core + 1) * per_core).for_each(|cpu| cpus.insert(cpu));
                found += 1;
            }
        }
        Some((cpus, found))
    }

    /// Cores: as many on each node as the numbers say, or spread over so many nodes, or as they come.
    fn pick_cores(
        &self,
        reservation: &Reservation,
        candidates: &[NodeIndex],
        count: Option<u32>,
    ) -> Option<Vec<ReservedNode>> {
        let total: u32 = reservation.cores_wanted.iter().sum();
        let nodes_left = |taken: usize| count.map(|count| (count as usize).saturating_sub(taken));
        let (mut left, mut nodes) = (total, Vec::new());
        for index in candidates {
            let room = nodes_left(nodes.len());
            if left == 0 || room == Some(0) {
                break;
            }
            let here = match (reservation.cores_wanted.len(), room) {
                (0 | 1, Some(room)) => left.div_ceil(room as u32),
                (0 | 1, None) => left,
                _ => reservation.cores_wanted.get(nodes.len()).copied().unwrap_or(left).min(left),
            };
            let (cpus, found) = self.free_cores(reservation, *index, here)?;
            let needs_all = count.is_some() || reservation.cores_wanted.len() > 1;
            if found == 0 || (needs_all && found < here) {
                continue;
            }
            left -= found;
            nodes.push(ReservedNode { node: *index, cpus: Some(cpus), gres: Vec::new() });
        }
        (left == 0 && count.is_none_or(|count| nodes.len() == count as usize)).then(|| sorted(nodes))
    }

    /// Units of generic resources, with the cores that were counted beside them.
    fn pick_gres(
        &self,
        reservation: &Reservation,
        candidates: &[NodeIndex],
        count: Option<u32>,
        wanted: &[(Name, u64)],
    ) -> Option<Vec<ReservedNode>> {
        let mut left: Vec<u64> = wanted.iter().map(|(_, count)| *count).collect();
        let mut cores = u64::from(reservation.cores_wanted.iter().sum::<u32>());
        let mut nodes = Vec::new();
        for index in candidates {
            let done = left.iter().all(|left| *left == 0) && cores == 0;
            if count.map_or(done, |count| nodes.len() == count as usize) {
                break;
            }
            let mut gres = Vec::new();
            for ((name, _), left) in wanted.iter().zip(&mut left) {
                for share in self.free_units(reservation, *index, name, *left) {
                    *left -= u64::from(share.units.len());
                    gres.push(share);
                }
            }
            let (cpus, found) = self.free_cores(reservation, *index, u32::try_from(cores).unwrap_or(u32::MAX))?;
            cores -= u64::from(found);
            if !gres.is_empty() || found > 0 {
                nodes.push(ReservedNode { node: *index, cpus: Some(cpus), gres });
            }
        }
        let done = left.iter().all(|left| *left == 0) && cores == 0;
        (done && count.is_none_or(|count| nodes.len() == count as usize)).then(|| sorted(nodes))
    }

    /// Up to `count` units of `gres/name[:type]` on a node that nobody else has reserved or holds.
    fn free_units(&self, reservation: &Reservation, index: NodeIndex, tres: &str, count: u64) -> Vec<GresShare> {
        let Some(node) = self.node(index) else { return Vec::new() };
        let (name, kind) = gres_name(tres);
        let mut closed = IndexSet::default();
        for (other, _) in overlap::others(self.cluster, self.now, reservation, index) {
            let mine = other.gres.iter().filter(|gres| *gres.name == *name);
            mine.for_each(|gres| closed.add_all(&gres.units));
            if other.cpus.is_none() {
                return Vec::new();
            }
        }
        for share in self.intruders(reservation).flat_map(|job| shares(job)).filter(|share| share.node == index) {
            share.gres.iter().filter(|gres| *gres.name == *name).for_each(|gres| closed.add_all(&gres.units));
        }
        let (mut found, mut left, mut first) = (Vec::new(), count, 0);
        for gres in node.config.hardware.gres.iter().filter(|gres| *gres.name == *name) {
            let last = first + u32::try_from(gres.count).unwrap_or(u32::MAX).min(UNITS_MAX);
            let fits = kind.is_none() || gres.kind.as_deref() == kind;
            let mut units = IndexSet::default();
            for unit in (first..last).filter(|unit| fits && !closed.contains(*unit)) {
                if left > 0 {
                    units.insert(unit);
                    left -= 1;
                }
            }
            if !units.is_empty() {
                found.push(GresShare { name: gres.name.clone(), kind: gres.kind.clone(), units });
            }
            first = last;
        }
        found
    }

    /// `update NodeCnt=`: nodes are added, or idle ones given back.
    fn resize(&self, reservation: &mut Reservation, count: u32) -> Result<(), Refusal> {
        if reservation.nodes.iter().any(|node| node.cpus.is_some()) {
            return Err(RefusalCode::ReservationCoresFixed.into());
        }
        let have = reservation.nodes.len() as u32;
        if count > have {
            let partition = self.partition(reservation).ok_or(RefusalCode::InvalidPartition)?.clone();
            let mut candidates = self.whole(reservation, &self.candidates(reservation, &partition)?);
            candidates.retain(|index| reservation.on(*index).is_none());
            let more = pick_whole(&candidates, count - have).ok_or(RefusalCode::NodesBusy)?;
            reservation.nodes.extend(more);
            reservation.nodes = sorted(std::mem::take(&mut reservation.nodes));
        } else {
            let works = |node: &ReservedNode| self.node(node.node).is_some_and(|node| node.used.jobs_running > 0);
            let (busy, idle): (Vec<_>, Vec<_>) = reservation.nodes.drain(..).partition(works);
            let gone = (have - count) as usize;
            let from_busy = gone.saturating_sub(idle.len());
            let left = idle.into_iter().skip(gone).chain(busy.into_iter().skip(from_busy));
            reservation.nodes = sorted(left.collect());
        }
        if reservation.nodes_wanted.is_some() {
            reservation.nodes_wanted = Some(count);
        }
        Ok(())
    }

    /// Nodes that can take the place of `count` others, or as many of them as there are.
    pub(super) fn substitutes(&self, reservation: &Reservation, count: usize) -> Vec<NodeIndex> {
        let Some(partition) = self.partition(reservation).cloned() else { return Vec::new() };
        let candidates = self.candidates(reservation, &partition).unwrap_or_default();
        let idle = |index: &NodeIndex| self.node(*index).is_some_and(|node| node.used.cpus.is_empty());
        let fresh = |index: &NodeIndex| reservation.on(*index).is_none() && idle(index);
        self.whole(reservation, &candidates).into_iter().filter(fresh).take(count).collect()
    }

    /// Writes the names of the nodes down.
    pub(super) fn note_names(&self, reservation: &mut Reservation) {
        let indices: Vec<NodeIndex> = reservation.nodes.iter().map(|node| node.node).collect();
        let names = hostlist::compress(self.cluster.node_names(indices).map(|name| &**name));
        reservation.node_list = Some(names.into()).filter(|names: &Name| !names.is_empty());
    }
}

/// Most units of one resource on a node that are told apart.
const UNITS_MAX: u32 = 4096;

/// Generic resources by the name of the trackable resource.
fn wanted_gres(reservation: &Reservation) -> Vec<(Name, u64)> {
    let gres = reservation.tres.0.iter().filter(|(name, _)| name.starts_with("gres/"));
    gres.map(|(name, count)| (name.clone(), *count)).collect()
}

/// `gres/gpu:a100` as name and type.
fn gres_name(tres: &str) -> (&str, Option<&str>) {
    let name = tres.strip_prefix("gres/").unwrap_or(tres);
    name.split_once(':').map_or((name, None), |(name, kind)| (name, Some(kind)))
}

fn shares(job: &Job) -> impl Iterator<Item = &muster_model::resources::NodeShare> {
    job.allocation.iter().flat_map(|allocation| &allocation.shares)
}

fn pick_whole(candidates: &[NodeIndex], count: u32) -> Option<Vec<ReservedNode>> {
    let enough = candidates.get(..count as usize)?;
    Some(sorted(enough.iter().copied().map(ReservedNode::whole).collect()))
}

fn sorted(mut nodes: Vec<ReservedNode>) -> Vec<ReservedNode> {
    nodes.sort_by_key(|node| node.node);
    nodes
}

/// CPUs that are given together: the threads of a core, or 1 where CPUs are cores.
fn cpus_per_core(hardware: &muster_model::node::Hardware) -> u32 {
    let cores = hardware.sockets.saturating_mul(hardware.cores_per_socket).max(1);
    if hardware.cpus > cores { hardware.threads_per_core.max(1) } else { 1 }
}
