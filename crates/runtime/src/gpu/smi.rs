//! What `nvidia-smi` tells where the library itself cannot be loaded: names, places and files, and parts.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{Gpu, World, kind, nvml, pci};

/// How long the program may take. It wakes sleeping GPUs, which takes seconds each.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn find(world: &World) -> Result<Vec<Gpu>, String> {
    let report = run(world, &["-q", "-x"])?;
    // Only this names the profiles of parts.
    let list = run(world, &["-L"]).unwrap_or_default();
    Ok(read(&report, &list, &world.root))
}

fn run(world: &World, arguments: &[&str]) -> Result<String, String> {
    let program = world.nvidia_smi.to_string_lossy().into_owned();
    let mut command = Command::new(&world.nvidia_smi);
    let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("cannot run {program}: {error}"))?;
    let output = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            let _ = output.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    let bytes = receiver.recv_timeout(PATIENCE);
    if bytes.is_err() {
        // A driver that is stuck keeps it for ever.
        let _ = child.kill();
        return Err(format!("{program} does not end"));
    }
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let status = child.wait().map_err(|error| format!("cannot wait for {program}: {error}"))?;
    match status.success() {
        true => Ok(text),
        false => Err(format!("{program} failed ({status}): {}", text.lines().next().unwrap_or_default())),
    }
}

/// The GPUs of a report in XML, with parts by their names in a list.
fn read(report: &str, list: &str, root: &Path) -> Vec<Gpu> {
    let mut gpus = Vec::new();
    for part in report.split("<gpu id=\"").skip(1) {
        let Some(bus) = part.split('"').next().and_then(pci::place) else { continue };
        let Some(minor) = tag(part, "minor_number").and_then(|text| text.parse::<u32>().ok()) else { continue };
        let name = kind(tag(part, "product_name").unwrap_or_default());
        let file = format!("/dev/nvidia{minor}");
        let uuid = tag(part, "uuid").unwrap_or_default();
        let instances: Vec<(u32, u32)> = part.split("<mig_device>").skip(1).filter_map(instance).collect();
        let named = parts_of(list, uuid);
        if instances.is_empty() {
            gpus.push(Gpu { kind: name, files: vec![file], bus, ..Gpu::default() });
            continue;
        }
        for ((gpu_instance, compute_instance), (profile, id)) in instances.into_iter().zip(named) {
            let mut files = vec![file.clone()];
            files.extend(nvml::capabilities(root, minor, gpu_instance, compute_instance));
            let kind = format!("{name}_{profile}");
            gpus.push(Gpu { kind, files, unique_id: Some(id), bus: bus.clone(), ..Gpu::default() });
        }
    }
    gpus.sort_by(|a, b| a.bus.cmp(&b.bus));
    gpus
}

fn instance(part: &str) -> Option<(u32, u32)> {
    let number = |name: &str| tag(part, name)?.parse().ok();
    Some((number("gpu_instance_id")?, number("compute_instance_id")?))
}

/// The text between the first tags of that name.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim())
}

/// Profiles and names of the parts of a GPU: its lines `MIG 1g.5gb Device 0: (UUID: MIG-…)`.
fn parts_of(list: &str, uuid: &str) -> Vec<(String, String)> {
    let own = list.lines().skip_while(|line| !(line.starts_with("GPU ") && line.contains(uuid))).skip(1);
    own.take_while(|line| !line.starts_with("GPU "))
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("MIG ")?;
            let profile = rest.split_whitespace().next()?.to_lowercase();
            let id = rest.split_once("UUID: ")?.1.trim_end_matches(')').to_owned();
            Some((profile, id))
        })
        .collect()
}
