//! NVIDIA's GPUs by their own library, loaded while the program runs.
//!
//! [`library`] is the library's functions; here is what is made of their answers. Of a GPU that is divided (MIG) the parts are
//! told in its place. One that does not answer any more is told in words and left out: the node then has less than it should.

mod library;

use std::path::Path;

use super::{Gpu, World, kind, pci, text};

pub(super) use library::Library;

/// Bits of a name of a file of capabilities.
const MIG_MINORS: &str = "proc/driver/nvidia-caps/mig-minors";

/// Looks for GPUs.
///
/// # Errors
/// In words: the library is not there or does not work.
pub(super) fn find(world: &World, notes: &mut Vec<String>) -> Result<Vec<Gpu>, String> {
    let library = Library::open(&world.nvml)?;
    let mut cards = Vec::new();
    for number in 0..library.count()? {
        match card(&library, number, &world.root) {
            Ok(card) => cards.push(card),
            Err(problem) => notes.push(format!("GPU {number} does not answer: {problem}")),
        }
    }
    cards.sort_by(|a, b| a.bus.cmp(&b.bus));
    let places: Vec<String> = cards.iter().map(|card| card.bus.clone()).collect();
    let are_whole = cards.iter().all(|card| card.parts.is_empty());
    let mut gpus = Vec::new();
    for card in cards {
        if card.parts.is_empty() {
            // Links between parts would be links between whole GPUs.
            let links = if are_whole { links(&card, &places) } else { Vec::new() };
            let files = vec![card.file.clone()];
            gpus.push(Gpu { kind: card.kind, files, links, bus: card.bus, ..Gpu::default() });
        } else {
            gpus.extend(card.parts);
        }
    }
    Ok(gpus)
}

struct Card {
    kind: String,
    file: String,
    bus: String,
    /// Places at the other end of each link.
    neighbours: Vec<String>,
    parts: Vec<Gpu>,
}

fn card(library: &Library, number: u32, root: &Path) -> Result<Card, String> {
    let device = library.device(number)?;
    let bus = pci::place(&library.place(device)?).ok_or("its place on the bus is none")?;
    let kind = kind(&library.name(device)?);
    let minor = library.minor(device)?;
    let file = format!("/dev/nvidia{minor}");
    let neighbours = library.neighbours(device).iter().filter_map(|place| pci::place(place)).collect();
    let part = |part: &library::Part| {
        let mut files = vec![file.clone()];
        files.extend(capabilities(root, minor, part.gpu_instance, part.compute_instance));
        let (kind, bus) = (format!("{kind}_{}", part.profile()), bus.clone());
        Gpu { kind, files, unique_id: Some(part.unique_id.clone()), bus, ..Gpu::default() }
    };
    let parts = library.parts(device).iter().map(part).collect();
    Ok(Card { kind, file, bus, neighbours, parts })
}

fn links(own: &Card, places: &[String]) -> Vec<i32> {
    let count = |place: &String| match *place == own.bus {
        true => -1,
        false => own.neighbours.iter().filter(|other| *other == place).count() as i32,
    };
    places.iter().map(count).collect()
}

/// The files that open a part of the GPU with that number. Their numbers are the driver's.
pub(super) fn capabilities(root: &Path, minor: u32, gpu_instance: u32, compute_instance: u32) -> Vec<String> {
    let minors = text(&root.join(MIG_MINORS));
    let number =
        |name: String| minors.lines().find_map(|line| line.trim().strip_prefix(&name)?.trim().parse::<u32>().ok());
    let names = [
        format!("gpu{minor}/gi{gpu_instance}/access "),
        format!("gpu{minor}/gi{gpu_instance}/ci{compute_instance}/access "),
    ];
    names.into_iter().filter_map(number).map(|number| format!("/dev/nvidia-caps/nvidia-cap{number}")).collect()
}
