//! The lines of `gres.conf` as a node reads them: which files its resources have, how GPUs are looked for, and which variables
//! tell processes of them.

use muster_model::hostlist;
use muster_model::resources::IndexSet;

use super::ConfError;
use super::gres_conf::{count, links};
use super::lines::Line;
use super::nodes::index_list;

/// How a node looks for its GPUs (`AutoDetect`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoDetect {
    /// Not at all.
    #[default]
    Off,
    /// NVIDIA's, with the library NVML; without it what `nvidia-smi` or the driver tell.
    Nvml,
    /// NVIDIA's, from what the driver tells in `/proc` alone.
    Nvidia,
    /// AMD's.
    Rsmi,
    /// Intel's.
    OneApi,
    /// Neuron devices.
    Nrt,
}

/// Words of `AutoDetect`, and the variables of processes where nothing else is said.
const DETECTIONS: &[(&str, AutoDetect)] = &[
    ("off", AutoDetect::Off),
    ("nvml", AutoDetect::Nvml),
    ("nvidia", AutoDetect::Nvidia),
    ("rsmi", AutoDetect::Rsmi),
    ("oneapi", AutoDetect::OneApi),
    ("nrt", AutoDetect::Nrt),
];

/// Which variables tell a process its GPUs (`Flags=nvidia_gpu_env` and its kin).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuVariables {
    /// `CUDA_VISIBLE_DEVICES`.
    pub nvidia: bool,
    /// `ROCR_VISIBLE_DEVICES`.
    pub amd: bool,
    /// `ZE_AFFINITY_MASK`.
    pub intel: bool,
    /// `GPU_DEVICE_ORDINAL`.
    pub opencl: bool,
}

impl GpuVariables {
    /// None of them.
    pub const NONE: GpuVariables = GpuVariables { nvidia: false, amd: false, intel: false, opencl: false };

    /// All of them, as for GPUs of which nothing is known.
    pub const ALL: GpuVariables = GpuVariables { nvidia: true, amd: true, intel: true, opencl: true };

    /// Those that GPUs get that were found so.
    pub fn of_detection(how: AutoDetect) -> GpuVariables {
        match how {
            AutoDetect::Off => GpuVariables::ALL,
            AutoDetect::Nvml | AutoDetect::Nvidia => GpuVariables { nvidia: true, ..GpuVariables::NONE },
            AutoDetect::Rsmi => GpuVariables { amd: true, ..GpuVariables::NONE },
            AutoDetect::OneApi => GpuVariables { intel: true, ..GpuVariables::NONE },
            AutoDetect::Nrt => GpuVariables::NONE,
        }
    }

    /// Those of either.
    pub fn or(self, other: GpuVariables) -> GpuVariables {
        GpuVariables {
            nvidia: self.nvidia || other.nvidia,
            amd: self.amd || other.amd,
            intel: self.intel || other.intel,
            opencl: self.opencl || other.opencl,
        }
    }
}

/// What `gres.conf` says, for all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GresLines {
    lines: Vec<GresLine>,
    detections: Vec<(Option<Vec<String>>, AutoDetect)>,
}

/// One line that names a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GresLine {
    /// `None` for all.
    nodes: Option<Vec<String>>,
    pub(super) name: String,
    pub(super) kind: Option<String>,
    pub(super) count: u64,
    /// Files of each device; empty where none are named.
    pub(super) devices: Vec<Vec<String>>,
    pub(super) cores: Option<IndexSet>,
    pub(super) links: Vec<i32>,
    /// `None` where nothing is said of them.
    pub(super) variables: Option<GpuVariables>,
}

impl GresLines {
    /// The lines of a node about a resource.
    pub(super) fn about<'a>(&'a self, node: &str, name: &str) -> Vec<&'a GresLine> {
        self.lines.iter().filter(|line| *line.name == *name && concerns(line.nodes.as_deref(), node)).collect()
    }

    /// How the node looks for GPUs: as the last line says that names it, else as the line for all.
    pub fn detection(&self, node: &str) -> AutoDetect {
        let of = |is_own: bool| {
            let mut fitting = self.detections.iter().rev();
            fitting
                .find(|(nodes, _)| nodes.is_some() == is_own && concerns(nodes.as_deref(), node))
                .map(|(_, how)| *how)
        };
        of(true).or_else(|| of(false)).unwrap_or_default()
    }
}

fn concerns(nodes: Option<&[String]>, node: &str) -> bool {
    nodes.is_none_or(|nodes| nodes.iter().any(|name| name == node))
}

/// Reads the lines of `gres.conf`, whose keys were checked before.
///
/// # Errors
/// Lists and flags that are none, and what Slurm refuses too: flags of one resource that differ, two ways to look for the GPUs
/// of a node.
pub(super) fn read(lines: &[Line], warnings: &mut Vec<String>) -> Result<GresLines, ConfError> {
    let mut found = GresLines::default();
    for line in lines {
        let nodes = line.get("NodeName").map(|list| expand(line, list)).transpose()?;
        if let Some(how) = detection(line)? {
            found.add_detection(line, nodes.clone(), how)?;
        }
        if let Some(name) = line.get("Name") {
            let devices = devices(line)?;
            let cores = line.get("Cores").or_else(|| line.get("CPUs"));
            let mut own = GresLine {
                name: name.to_owned(),
                kind: line.get("Type").map(str::to_owned),
                count: count(line, devices.len())?,
                cores: cores.and_then(index_list),
                links: links(line)?,
                variables: flags(line, warnings)?,
                nodes,
                devices,
            };
            found.inherit(line, &mut own)?;
            found.lines.push(own);
        }
    }
    Ok(found)
}

impl GresLines {
    fn add_detection(&mut self, line: &Line, nodes: Option<Vec<String>>, how: AutoDetect) -> Result<(), ConfError> {
        let is_same_place = |known: &Option<Vec<String>>| match (known, &nodes) {
            (Some(known), Some(nodes)) => nodes.iter().any(|node| known.contains(node)),
            _ => false,
        };
        if self.detections.iter().any(|(known, before)| is_same_place(known) && *before != how) {
            return Err(line.error("duplicate node-local AutoDetect specification does not match the first"));
        }
        self.detections.push((nodes, how));
        Ok(())
    }

    /// A line without such flags has those of the line before it, if that is of the same resource.
    fn inherit(&self, line: &Line, own: &mut GresLine) -> Result<(), ConfError> {
        let same = |before: &&GresLine| before.nodes == own.nodes && before.name == own.name && before.kind == own.kind;
        let Some(before) = self.lines.last().filter(same) else { return Ok(()) };
        match (own.variables, before.variables) {
            (None, known) => own.variables = known,
            (Some(own), Some(known)) if own != known => {
                let flags = line.get("Flags").unwrap_or_default();
                let text = format!("Flags ({flags}) does not match env flags for previous GRES of same node and name");
                return Err(line.error(text));
            }
            (Some(_), _) => {}
        }
        Ok(())
    }
}

fn expand(line: &Line, list: &str) -> Result<Vec<String>, ConfError> {
    hostlist::expand(list).map_err(|problem| line.error(problem.to_string()))
}

fn detection(line: &Line) -> Result<Option<AutoDetect>, ConfError> {
    let Some(text) = line.get("AutoDetect") else { return Ok(None) };
    let known = DETECTIONS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    known.map(|(_, how)| Some(*how)).ok_or_else(|| line.error(format!("unknown autodetect flag '{text}'")))
}

/// Files of each device. Those of `MultipleFiles` are all of one.
fn devices(line: &Line) -> Result<Vec<Vec<String>>, ConfError> {
    match (line.get("File"), line.get("MultipleFiles")) {
        (Some(_), Some(_)) => Err(line.error("File and MultipleFiles options are mutually exclusive")),
        (Some(list), None) => Ok(expand(line, list)?.into_iter().map(|file| vec![file]).collect()),
        (None, Some(list)) => Ok(vec![expand(line, list)?]),
        (None, None) => Ok(Vec::new()),
    }
}

fn flags(line: &Line, warnings: &mut Vec<String>) -> Result<Option<GpuVariables>, ConfError> {
    let mut variables: Option<GpuVariables> = None;
    let mut is_none = false;
    for word in line.get("Flags").unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let none = GpuVariables::NONE;
        let more = match word.to_ascii_lowercase().as_str() {
            "nvidia_gpu_env" => GpuVariables { nvidia: true, ..none },
            "amd_gpu_env" => GpuVariables { amd: true, ..none },
            "intel_gpu_env" => GpuVariables { intel: true, ..none },
            "opencl_env" => GpuVariables { opencl: true, ..none },
            "no_gpu_env" => {
                is_none = true;
                continue;
            }
            // Nothing is loaded for a resource; and parts of all GPUs may be given.
            "countonly" | "all_sharing" => continue,
            "one_sharing" => {
                let at = format!("({} line {})", line.file.display(), line.number);
                warnings.push(format!("Flags=one_sharing is not acted on by this version {at}"));
                continue;
            }
            _ => return Err(line.error(format!("Flags has no word \"{word}\""))),
        };
        variables = Some(variables.unwrap_or(GpuVariables::NONE).or(more));
    }
    match (variables, is_none) {
        (Some(_), true) => Err(line.error("no_gpu_env excludes all other flags of variables")),
        (None, true) => Ok(Some(GpuVariables::NONE)),
        (variables, false) => Ok(variables),
    }
}
