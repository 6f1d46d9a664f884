//! What a node has of generic resources: what `slurm.conf` and `gres.conf` say, beside what was found on the machine.
//!
//! The rules are those that `slurmd -G` of 22.05 shows for fake GPUs. `slurm.conf` says how many of each type there are; lines of
//! `gres.conf` beyond that are passed over. A GPU that was found has the type of the configuration that is the longest part of
//! its own name. What is configured and was found must agree in what both say of files, cores and links, or neither counts. A GPU
//! that nobody can say a file of does not count. What is then less than `slurm.conf` says drains the node.
//!
//! What is configured is numbered before it is known whether its file is there: jobs hold numbers, and the number of a device that
//! is gone stays empty.

use std::collections::BTreeMap;
use std::fmt;

use muster_model::ids::Name;
use muster_model::node::{GresPlace, NodeConfig};
use muster_model::resources::{Gres, IndexSet};

use super::gres_lines::{AutoDetect, GpuVariables, GresLine, GresLines};

/// A GPU that was found on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundGpu {
    /// What it is, in Slurm's manner: `nvidia_a100-sxm4-40gb`, with the profile for a part of one.
    pub kind: String,
    /// Its device files.
    pub files: Vec<String>,
    /// Cores near it, counted over the sockets; `None` where that is not known.
    pub cores: Option<IndexSet>,
    /// Links to each of the GPUs found, -1 for itself; empty where that is not known.
    pub links: Vec<i32>,
    /// By what its maker's libraries know it, where its number does not do (parts of a GPU).
    pub unique_id: Option<String>,
}

/// One unit of a resource with its device files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GresUnit {
    /// Kind of resource.
    pub name: Name,
    /// Type, where the node's units have one.
    pub kind: Option<Name>,
    /// Number among all units of that name on the node, as allocations have it.
    pub unit: u32,
    /// By what number its maker's libraries know it: its place among the devices of the node.
    pub index: u32,
    /// Its device files.
    pub files: Vec<String>,
    /// Cores near it; `None` for all.
    pub cores: Option<IndexSet>,
    /// Links to each other unit, in the order of [`GresUnit::index`].
    pub links: Vec<i32>,
    /// As [`FoundGpu::unique_id`].
    pub unique_id: Option<String>,
    /// Variables that tell processes of it.
    pub variables: GpuVariables,
}

/// The file of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GresFile {
    /// Kind of resource.
    pub name: Name,
    /// Number among all units of that name on the node, as allocations have it.
    pub unit: u32,
    /// The device.
    pub path: String,
}

/// What a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeGres {
    /// What has files, in the order of the devices.
    pub units: Vec<GresUnit>,
    /// How much there is of each resource, as `slurm.conf` names them.
    pub counts: Vec<Gres>,
    /// What was passed over, and why; for the log.
    pub messages: Vec<String>,
}

impl NodeGres {
    /// The files, for those who forbid the others.
    pub fn files(&self) -> Vec<GresFile> {
        let of = |own: &GresUnit| {
            let (name, unit) = (own.name.clone(), own.unit);
            own.files.clone().into_iter().map(move |path| GresFile { name: name.clone(), unit, path })
        };
        let mut files: Vec<GresFile> = self.units.iter().flat_map(of).collect();
        files.sort_by(|a, b| (&a.name, a.unit).cmp(&(&b.name, b.unit)));
        files
    }

    /// Where units are, for those resources of which it is known.
    pub fn places(&self) -> Vec<GresPlace> {
        let mut by_name: BTreeMap<&Name, BTreeMap<u32, &GresUnit>> = BTreeMap::new();
        for unit in &self.units {
            by_name.entry(&unit.name).or_default().insert(unit.unit, unit);
        }
        let is_told = |units: &BTreeMap<u32, &GresUnit>| {
            units.values().any(|unit| unit.cores.is_some() || !unit.links.is_empty())
        };
        by_name.retain(|_, units| is_told(units));
        let of_name = |(name, units): (&Name, BTreeMap<u32, &GresUnit>)| -> Vec<GresPlace> {
            let place = |unit: u32| {
                let own = units.get(&unit);
                GresPlace {
                    name: name.clone(),
                    count: 1,
                    cores: own.and_then(|own| own.cores.clone()),
                    gpu: None,
                    links: own.map(|own| links_by_unit(own, &units)).unwrap_or_default(),
                }
            };
            numbers(&units).map(place).collect()
        };
        by_name.into_iter().flat_map(of_name).collect()
    }
}

/// All numbers up to the last, also those of units that are gone: places are told one after the other.
fn numbers(units: &BTreeMap<u32, &GresUnit>) -> std::ops::Range<u32> {
    0..units.last_key_value().map_or(0, |(last, _)| last.saturating_add(1))
}

/// Links are told in the order of the devices; units may be numbered in another. There are none to what is gone.
fn links_by_unit(own: &GresUnit, units: &BTreeMap<u32, &GresUnit>) -> Vec<i32> {
    let to = |unit: u32| match units.get(&unit) {
        Some(other) => own.links.get(other.index as usize).copied(),
        None => Some(0),
    };
    numbers(units).map(to).collect::<Option<Vec<i32>>>().unwrap_or_default()
}

/// Prints what `slurmd -G` prints of a unit, but for the number of the plugin.
impl fmt::Display for GresUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("(null)");
        write!(f, "Gres Name={} Type={kind} Count=1 Index={} File={}", self.name, self.index, self.files.join(","))?;
        if let Some(cores) = &self.cores {
            write!(f, " Cores={cores}")?;
        }
        if !self.links.is_empty() {
            write!(f, " Links={}", print_links(&self.links))?;
        }
        if let Some(id) = &self.unique_id {
            write!(f, " UniqueId={id}")?;
        }
        Ok(())
    }
}

fn print_links(links: &[i32]) -> String {
    links.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

impl GresLines {
    /// What `node` has. `found` are the GPUs of the machine in the order of their bus, `None` where nobody looked for them;
    /// `exists` tells whether there is a device file.
    pub fn of_node(&self, node: &NodeConfig, found: Option<&[FoundGpu]>, exists: &dyn Fn(&str) -> bool) -> NodeGres {
        let mut result = NodeGres::default();
        let mut names: Vec<&Name> = Vec::new();
        for gres in &node.hardware.gres {
            if !names.contains(&&gres.name) {
                names.push(&gres.name);
            }
        }
        for name in names {
            let declared: Vec<&Gres> = node.hardware.gres.iter().filter(|gres| gres.name == *name).collect();
            let lines = self.about(&node.name, name);
            let is_gpu = &**name == "gpu";
            let mut records = records(&lines, &declared, is_gpu && found.is_some(), &mut result.messages);
            if let (true, Some(found)) = (is_gpu, found) {
                records = merge(records, found, self.detection(&node.name), &declared, &mut result.messages);
            }
            for record in &mut records {
                let missing = record.files.iter().find(|file| !exists(file));
                if let Some(file) = missing {
                    result.messages.push(format!("can't stat gres.conf file {file}: it does not count"));
                }
                record.is_there = missing.is_none();
            }
            unlink_missing(&mut records);
            count(name, &declared, &records, &lines, &mut result);
        }
        result
    }
}

/// One unit of the configuration, or of what came of it.
#[derive(Debug, Clone)]
struct Record {
    kind: Option<Name>,
    files: Vec<String>,
    cores: Option<IndexSet>,
    links: Vec<i32>,
    unique_id: Option<String>,
    variables: Option<GpuVariables>,
    /// Its place among what was found.
    index: Option<u32>,
    /// No file of it is missing.
    is_there: bool,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_null = |text: Option<String>| text.unwrap_or_else(|| "(null)".to_owned());
        write!(
            f,
            "Type:{} Cores:{} Links:{} File:{}",
            self.kind.as_deref().unwrap_or("(null)"),
            or_null(self.cores.as_ref().map(ToString::to_string)),
            or_null(Some(print_links(&self.links)).filter(|text| !text.is_empty())),
            or_null(Some(self.files.join(",")).filter(|text| !text.is_empty())),
        )
    }
}

/// Most units that are told apart on a node; more are only counted. Slurm has the same bound.
const UNITS_MAX: u64 = 1024;

/// The lines as units, as many of each type as `slurm.conf` says; and units without a file for what no line is about, where
/// such are looked for on the machine.
fn records(lines: &[&GresLine], declared: &[&Gres], are_found: bool, messages: &mut Vec<String>) -> Vec<Record> {
    let mut left: Vec<(Option<&Name>, u64)> =
        declared.iter().map(|gres| (gres.kind.as_ref(), gres.count.min(UNITS_MAX))).collect();
    let mut records = Vec::new();
    for line in lines {
        let mut extra = 0u64;
        let none = Vec::new();
        let devices = line.devices.iter().chain(std::iter::repeat(&none));
        let wanted = line.count.min(UNITS_MAX) as usize;
        // Of a line without files only what is looked for is told apart.
        let wanted = if line.devices.is_empty() && !are_found { 0 } else { wanted.max(line.devices.len()) };
        // Parts of a GPU are counted, however many a line has.
        for files in devices.take(if is_part(&line.name) { 0 } else { wanted }) {
            let fits = |kind: Option<&Name>| match (&line.kind, kind) {
                (Some(own), Some(kind)) => **own == **kind,
                (None, None) => true,
                // Where nothing is found that could tell, a line without a type is about any.
                (None, Some(_)) => !are_found,
                (Some(_), None) => false,
            };
            let Some((kind, room)) = left.iter_mut().find(|(kind, room)| *room > 0 && fits(*kind)) else {
                extra += 1;
                continue;
            };
            *room -= 1;
            records.push(Record {
                kind: kind.cloned(),
                files: files.clone(),
                cores: line.cores.clone(),
                links: line.links.clone(),
                unique_id: None,
                variables: line.variables,
                index: None,
                is_there: true,
            });
        }
        if extra > 0 {
            let kind = line.kind.as_ref().map(|kind| format!(":{kind}")).unwrap_or_default();
            messages.push(format!(
                "A line in gres.conf for GRES {}{kind} has {extra} more configured than expected in slurm.conf. Ignoring \
                 extra GRES.",
                line.name
            ));
        }
    }
    if are_found {
        for (kind, room) in left {
            let blank = || Record {
                kind: kind.cloned(),
                files: Vec::new(),
                cores: None,
                links: Vec::new(),
                unique_id: None,
                variables: None,
                index: None,
                is_there: true,
            };
            records.extend((0..room).map(|_| blank()));
        }
    }
    records
}

fn is_part(name: &str) -> bool {
    matches!(name, "shard" | "mps")
}

/// Brings units of the configuration together with what was found, in the order of the latter.
fn merge(
    records: Vec<Record>,
    found: &[FoundGpu],
    how: AutoDetect,
    declared: &[&Gres],
    messages: &mut Vec<String>,
) -> Vec<Record> {
    let mut system: Vec<Option<Record>> = typed(found, declared).into_iter().map(Some).collect();
    let mut merged: BTreeMap<usize, Record> = BTreeMap::new();
    let mut alone: Vec<Record> = Vec::new();
    // Who names a file has it before others take what is left.
    let (named, blank): (Vec<Record>, Vec<Record>) = records.into_iter().partition(|record| !record.files.is_empty());
    for own in named.into_iter().chain(blank) {
        let fits = |other: &Option<Record>| {
            other
                .as_ref()
                .is_some_and(|other| other.kind == own.kind && (own.files.is_empty() || own.files == other.files))
        };
        let Some(at) = system.iter().position(fits) else {
            if own.files.is_empty() {
                messages
                    .push(format!("Discarding the following config-only GPU due to lack of File specification: {own}"));
            } else {
                alone.push(own);
            }
            continue;
        };
        let Some(other) = system.get_mut(at) else { continue };
        let differ = other.as_ref().is_some_and(|other| {
            (own.cores.is_some() && own.cores != other.cores) || (!own.links.is_empty() && own.links != other.links)
        });
        match other {
            Some(other) if differ => messages.push(format!(
                "This GPU specified in [slurm|gres].conf has mismatching Cores or Links from the device found on the \
                 system. Ignoring it. [slurm|gres].conf: {own} system: {other}"
            )),
            _ => {
                if let Some(other) = other.take() {
                    let variables = own.variables.or(Some(GpuVariables::of_detection(how)));
                    merged.insert(at, Record { variables, ..other });
                }
            }
        }
    }
    for ignored in system.into_iter().flatten() {
        messages.push(format!("WARNING: The following autodetected GPUs are being ignored: {ignored}"));
    }
    merged.into_values().chain(alone).collect()
}

/// What was found with the types of the configuration: of those not used up the longest that is part of the name. Where the
/// configuration knows units without a type, what fits no type has none.
fn typed(found: &[FoundGpu], declared: &[&Gres]) -> Vec<Record> {
    let mut left: Vec<(Option<&Name>, u64)> = declared.iter().map(|gres| (gres.kind.as_ref(), gres.count)).collect();
    let mut records = Vec::new();
    for (index, gpu) in (0..).zip(found) {
        let name = gpu.kind.to_lowercase();
        let length = |kind: Option<&Name>| kind.map_or(0, |kind| kind.len() + 1);
        let best = left
            .iter_mut()
            .filter(|(kind, room)| *room > 0 && kind.is_none_or(|kind| name.contains(&kind.to_lowercase())))
            .max_by_key(|(kind, _)| length(*kind));
        let kind = match best {
            Some((kind, room)) => {
                *room -= 1;
                kind.cloned()
            }
            None => Some(gpu.kind.as_str().into()),
        };
        records.push(Record {
            kind,
            files: gpu.files.clone(),
            cores: gpu.cores.clone(),
            links: gpu.links.clone(),
            unique_id: gpu.unique_id.clone(),
            variables: None,
            index: Some(index),
            is_there: true,
        });
    }
    records
}

/// Where only the configuration tells of links it tells those to all devices that it names; libraries count those that are there.
fn unlink_missing(records: &mut [Record]) {
    let are_there: Vec<bool> = records.iter().map(|record| record.is_there).collect();
    if records.iter().all(|record| record.index.is_none()) {
        for record in records.iter_mut().filter(|record| record.links.len() == are_there.len()) {
            let mut of = are_there.iter();
            record.links.retain(|_| of.next().is_some_and(|is_there| *is_there));
        }
    }
}

/// Numbers the units in the order in which the node declares its types, and counts what there is.
fn count(name: &Name, declared: &[&Gres], records: &[Record], lines: &[&GresLine], result: &mut NodeGres) {
    let mut base = 0u32;
    // What was not found itself comes after all that was.
    let mut beyond = records.iter().filter_map(|record| record.index).max().map_or(0, |last| last + 1);
    let mut numbered = |record: &Record| {
        record.index.unwrap_or_else(|| {
            let index = beyond;
            beyond += u32::from(record.is_there);
            index
        })
    };
    let records: Vec<(u32, &Record)> = records.iter().map(|record| (numbered(record), record)).collect();
    for gres in declared {
        let of_kind: Vec<&(u32, &Record)> = records.iter().filter(|(_, record)| record.kind == gres.kind).collect();
        let with_files = of_kind.iter().filter(|(_, record)| record.is_there).count() as u64;
        for (unit, (index, record)) in (base..).zip(of_kind).filter(|(_, (_, record))| record.is_there) {
            result.units.push(GresUnit {
                name: name.clone(),
                kind: record.kind.clone(),
                unit,
                index: *index,
                files: record.files.clone(),
                cores: record.cores.clone(),
                links: record.links.clone(),
                unique_id: record.unique_id.clone(),
                variables: record.variables.unwrap_or(GpuVariables::ALL),
            });
        }
        let have_files = lines.iter().any(|line| !line.devices.is_empty()) && !is_part(name);
        let count = if &**name == "gpu" || have_files { with_files.min(gres.count) } else { gres.count };
        result.counts.push(Gres { name: name.clone(), kind: gres.kind.clone(), count });
        base = base.saturating_add(u32::try_from(gres.count).unwrap_or(u32::MAX));
    }
    result.units.sort_by(|a, b| (&a.name, a.index).cmp(&(&b.name, b.index)));
}
