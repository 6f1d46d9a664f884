//! AMD's GPUs from what the kernel tells: the compute driver's list (`/sys/class/kfd`), and the names of the graphics driver
//! (`/sys/class/drm`). Their order is that of the first, as their libraries count them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Gpu, kind, numbered, text};

const NODES: &str = "sys/class/kfd/kfd/topology/nodes";

/// The kind of link between GPUs that is no bus.
const LINK_XGMI: u64 = 11;

pub(super) fn find(root: &Path) -> Vec<Gpu> {
    let nodes: Vec<Node> =
        numbered(&root.join(NODES), "").iter().filter_map(|(number, dir)| node(*number, dir)).collect();
    let gpu = |own: &Node| Gpu {
        kind: kind(&name(root, own)),
        files: vec![format!("/dev/dri/renderD{}", own.render_minor)],
        cpus: None,
        links: links(own, &nodes),
        unique_id: None,
        bus: own.bus.clone(),
    };
    nodes.iter().map(gpu).collect()
}

struct Node {
    number: u32,
    name: String,
    render_minor: u64,
    bus: String,
    /// Nodes at the other end of each direct link.
    neighbours: Vec<u32>,
}

/// A node with compute units; the others are CPUs.
fn node(number: u32, dir: &Path) -> Option<Node> {
    let properties = properties(&dir.join("properties"));
    let value = |key: &str| properties.get(key).copied().unwrap_or(0);
    if value("simd_count") == 0 {
        return None;
    }
    let (domain, location) = (value("domain"), value("location_id"));
    let bus = format!("{domain:04x}:{:02x}:{:02x}.{:x}", location >> 8 & 0xff, location >> 3 & 0x1f, location & 7);
    let links = numbered(&dir.join("io_links"), "");
    let neighbour = |(_, link): &(u32, std::path::PathBuf)| {
        let link = self::properties(&link.join("properties"));
        let is_direct = link.get("type") == Some(&LINK_XGMI);
        is_direct.then(|| link.get("node_to").copied()).flatten().and_then(|to| u32::try_from(to).ok())
    };
    let neighbours = links.iter().filter_map(neighbour).collect();
    Some(Node { number, name: text(&dir.join("name")), render_minor: value("drm_render_minor"), bus, neighbours })
}

/// Lines of a name and a number.
fn properties(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// What it is sold as, where the card tells, else what its chip is called.
fn name(root: &Path, node: &Node) -> String {
    let device = root.join("sys/class/drm").join(format!("renderD{}", node.render_minor)).join("device");
    [text(&device.join("product_name")), node.name.clone(), "amd_gpu".to_owned()]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

fn links(own: &Node, nodes: &[Node]) -> Vec<i32> {
    let count = |other: &Node| match other.number == own.number {
        true => -1,
        false => own.neighbours.iter().filter(|number| **number == other.number).count() as i32,
    };
    nodes.iter().map(count).collect()
}
