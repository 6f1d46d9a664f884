//! `gres.conf`: counts and types of generic resources that node lines leave open.

use muster_model::config::ClusterConfig;
use muster_model::hostlist;
use muster_model::node::{GresPlace, Hardware};
use muster_model::resources::Gres;

use super::ConfError;
use super::lines::Line;
use super::nodes::{check_keys, index_list};
use crate::grammar::gres;

/// Keys that a line may have. Those marked `false` are read and not acted on.
const KEYS: &[(&str, bool)] = &[
    ("NodeName", true),
    ("Name", true),
    ("Type", true),
    ("Count", true),
    ("File", true),
    ("Cores", true),
    ("CPUs", true),
    ("AutoDetect", true),
    ("Links", true),
    ("Flags", true),
    ("MultipleFiles", true),
    ("Ignore", false),
    ("Plugin", false),
];

/// Gives types to the gres of nodes that declare only a count, where the sum agrees.
///
/// A node line is what counts (`Gres=gpu:4`); this file says what the four are.
pub(super) fn apply(lines: &[Line], config: &mut ClusterConfig, warnings: &mut Vec<String>) -> Result<(), ConfError> {
    for line in lines {
        check_keys(line, KEYS, warnings)?;
    }
    for at in 0..config.nodes.len() {
        let name = config.nodes[at].name.clone();
        let mut places: Vec<GresPlace> = Vec::new();
        let mut found: Vec<Gres> = Vec::new();
        // A line for all nodes says nothing of those without such a resource.
        let has = |name: &str| config.nodes[at].hardware.gres.iter().any(|gres| *gres.name == *name);
        for line in lines.iter().filter(|line| line.get("Name").is_some_and(has)) {
            if concerns(line, &name)? {
                let gres = one(line)?;
                places.push(place(line, &gres, &config.nodes[at].hardware)?);
                found.push(gres);
            }
        }
        // Only where a line names cores or links is anything said about places; and then of as many units as there are.
        let is_told = |place: &GresPlace| {
            let own = |gres: &&Gres| gres.name == place.name;
            let told: u64 =
                places.iter().filter(|other| other.name == place.name).map(|own| u64::from(own.count)).sum();
            told == config.nodes[at].hardware.gres.iter().filter(own).map(|gres| gres.count).sum::<u64>()
        };
        if places.iter().any(|place| place.cores.is_some() || !place.links.is_empty()) {
            let kept: Vec<GresPlace> = places.iter().filter(|place| is_told(place)).cloned().collect();
            config.nodes[at].hardware.places = kept;
        }
        let declared = &mut config.nodes[at].hardware.gres;
        for own in declared.clone() {
            let typed: Vec<&Gres> = found.iter().filter(|gres| gres.name == own.name && gres.kind.is_some()).collect();
            let sum: u64 = typed.iter().map(|gres| gres.count).sum();
            if own.kind.is_none() && sum == own.count {
                declared.retain(|gres| gres.name != own.name);
                declared.extend(typed.into_iter().cloned());
            }
        }
    }
    Ok(())
}

fn concerns(line: &Line, node: &str) -> Result<bool, ConfError> {
    let Some(list) = line.get("NodeName") else {
        return Ok(true);
    };
    let names = hostlist::expand(list).map_err(|problem| line.error(problem.to_string()))?;
    Ok(names.iter().any(|name| name == node))
}

/// Where the units of a line are. `Cores` counts cores over the sockets, as Slurm does.
fn place(line: &Line, gres: &Gres, hardware: &Hardware) -> Result<GresPlace, ConfError> {
    let text = line.get("Cores").or_else(|| line.get("CPUs"));
    let bad = |text: &str| line.error(format!("Cores {text:?} is no list of cores of the node"));
    let cores = text.map(|text| index_list(text).ok_or_else(|| bad(text))).transpose()?;
    let most = hardware.cpus / hardware.cpus_per_core();
    if let (Some(cores), Some(text)) = (&cores, text)
        && cores.iter().any(|core| core >= most)
    {
        return Err(bad(text));
    }
    let count = u32::try_from(gres.count).unwrap_or(u32::MAX);
    Ok(GresPlace { name: gres.name.clone(), count, cores, gpu: None, links: links(line)? })
}

/// `Links=-1,16,4`: connections to each device of the name; -1 stands for the device itself.
pub(super) fn links(line: &Line) -> Result<Vec<i32>, ConfError> {
    let Some(text) = line.get("Links").filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    let bad = || line.error(format!("Links {text:?} is no list of numbers, -1 for the device itself"));
    let numbers: Vec<i32> =
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map_err(|_| bad())?;
    if numbers.iter().any(|number| *number < -1) { Err(bad()) } else { Ok(numbers) }
}

fn one(line: &Line) -> Result<Gres, ConfError> {
    let files =
        line.get("File").map(hostlist::expand).transpose().map_err(|problem| line.error(format!("File: {problem}")))?;
    let devices = match (files, line.get("MultipleFiles")) {
        (Some(files), _) => files.len(),
        (None, several) => usize::from(several.is_some()),
    };
    let count = count(line, devices)?;
    Ok(Gres { name: line.get("Name").unwrap_or_default().into(), kind: line.get("Type").map(Into::into), count })
}

/// How many units a line is about that names so many devices: as many, 1 where it names none, or `Count`.
pub(super) fn count(line: &Line, devices: usize) -> Result<u64, ConfError> {
    let Some(text) = line.get("Count") else { return Ok(devices.max(1) as u64) };
    let bad = || line.error(format!("Count value \"{text}\" is not a valid number"));
    let count = gres::parse_count(text).ok_or_else(bad)?;
    let name = line.get("Name").unwrap_or_default();
    // Each device of those is shared by as many.
    let is_shared = matches!(name, "mps" | "shard");
    if devices > 0 && !is_shared && count != devices as u64 {
        return Err(line.error(format!("Invalid GRES record for {name}, count does not match File value")));
    }
    Ok(count)
}
