//! What the tasks of a step can ask of it by name, as PMIx wants it to be known before they start.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

use super::infos::Infos;
use crate::pmi::process_mapping;
use crate::pmix::StepFacts;
use crate::pmix::library::{Library, SUCCESS, Status, c_string};

/// Everything about the step and its tasks.
///
/// # Errors
/// What the library refused, with its code.
pub(super) fn describe(library: &Library, facts: &StepFacts, client_dir: &str) -> Result<Infos, (String, Status)> {
    let names: Vec<&str> = facts.nodes.iter().map(|(name, _)| name.as_str()).collect();
    let ranks: Vec<String> = facts.nodes.iter().map(|(_, ranks)| list(ranks)).collect();
    let node_map = made("PMIx_generate_regex", &names.join(","), library.generate_regex)?;
    let task_map = made("PMIx_generate_ppn", &ranks.join(";"), library.generate_ppn)?;
    let local = facts.local_ranks();
    let mut infos = Infos::default();
    infos
        .text("pmix.jobid", &facts.step_name)
        .flag("pmix.spawned", false)
        .text("pmix.tmpdir", client_dir)
        .text("pmix.nsdir", client_dir)
        .flag("pmix.tdir.rmclean", true)
        .number("pmix.univ.size", facts.tasks)
        .number("pmix.job.size", facts.tasks)
        .number("pmix.app.size", facts.tasks)
        .number("pmix.max.size", facts.tasks)
        .number("pmix.job.napps", 1)
        .number("pmix.num.nodes", facts.nodes.len() as u32)
        .number("pmix.local.size", local.len() as u32)
        .number("pmix.node.size", local.len() as u32)
        .number("pmix.nodeid", facts.node as u32)
        .rank("pmix.offset", 0)
        .rank("pmix.lldr", local.iter().min().copied().unwrap_or(0))
        .text("pmix.lpeers", &list(local))
        .text("pmix.nmap", &node_map)
        .text("pmix.pmap", &task_map)
        .text("pmix.anlmap", &process_mapping(&facts.nodes_of_ranks()));
    for (rank, task) in tasks(facts) {
        infos.list("pmix.pdata", task_infos(rank, &task));
    }
    Ok(infos)
}

/// Where a task is.
struct Place<'a> {
    node: u32,
    name: &'a str,
    local: usize,
}

/// All tasks by rank.
fn tasks(facts: &StepFacts) -> BTreeMap<u32, Place<'_>> {
    let mut tasks = BTreeMap::new();
    for (node, (name, ranks)) in (0..).zip(&facts.nodes) {
        for (local, rank) in ranks.iter().enumerate() {
            tasks.insert(*rank, Place { node, name, local });
        }
    }
    tasks
}

/// The rank stands first: the others are about it.
fn task_infos(rank: u32, place: &Place<'_>) -> Infos {
    let mut infos = Infos::default();
    infos
        .rank("pmix.rank", rank)
        .number("pmix.appnum", 0)
        .rank("pmix.aldr", 0)
        .rank("pmix.grank", rank)
        .rank("pmix.apprank", rank)
        .small("pmix.lrank", place.local)
        .small("pmix.nrank", place.local)
        .number("pmix.nodeid", place.node)
        .text("pmix.hname", place.name);
    infos
}

fn list(ranks: &[u32]) -> String {
    ranks.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

type Generate = unsafe extern "C" fn(*const c_char, *mut *mut c_char) -> Status;

/// How the short form begins that is text.
const SHORT_FORM: &str = "pmix";

/// The short form that libraries read. Where it would be compressed bytes, which a text cannot carry, the long form.
fn made(what: &str, long: &str, generate: Generate) -> Result<String, (String, Status)> {
    let text = c_string(long);
    let mut result = std::ptr::null_mut();
    // SAFETY: the text ends with NUL; the result is a new text of the library's.
    let status = unsafe { generate(text.as_ptr(), &mut result) };
    if status != SUCCESS || result.is_null() {
        return Err((what.to_owned(), status));
    }
    // SAFETY: it ends with NUL. It is not freed: there are two of them in the life of a server.
    let short = unsafe { CStr::from_ptr(result) }.to_string_lossy().into_owned();
    Ok(if short.starts_with(SHORT_FORM) { short } else { format!("raw:{long}") })
}
