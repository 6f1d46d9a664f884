//! What the library calls, on its own thread. Everything here is short: it is put down and passed on.
//!
//! A panic here ends the process, since it cannot go through the library; the supervisor sees that and ends the step.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::time::Duration;

use super::waiting::Waiting;
use super::{STATE, State, packing, texts};
use crate::pmix::library::{
    self, ERR_LOST_CONNECTION, ERR_NOT_FOUND, ERR_NOT_SUPPORTED, ERROR, EVENT_ACTION_COMPLETE, EventDone, Info,
    LookupCallback, ModexCallback, Module, OpCallback, Proc, RANK_WILDCARD, SUCCESS, Status, kind,
};
use crate::pmix::message::{Head, Message};

/// What names of values begin with that are said to the library and its host, and published to nobody.
const RESERVED: &[u8] = b"pmix.";

/// How long a value is kept that is gone when it has been read.
const UNTIL_READ: c_int = 1;

/// What this server does.
pub(super) fn module() -> Module {
    Module {
        client_connected: None,
        client_finalized: Some(client_finalized),
        abort: Some(abort),
        fence: Some(fence),
        direct_modex: Some(direct_modex),
        publish: Some(publish),
        lookup: Some(lookup),
        unpublish: Some(unpublish),
        spawn: None,
        connect: Some(connect),
        disconnect: Some(disconnect),
        others: [None; 32],
    }
}

/// # Safety
/// The library gives a list of so many, or null.
unsafe fn list<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: see above; it lives through the call.
    unsafe { std::slice::from_raw_parts(first, count) }
}

unsafe extern "C" fn client_finalized(
    proc: *const Proc,
    _object: *mut c_void,
    callback: Option<OpCallback>,
    data: *mut c_void,
) -> Status {
    let (Some(state), Some(callback)) = (STATE.get(), callback) else { return ERROR };
    // SAFETY: the library gives a task.
    let rank = unsafe { (*proc).rank };
    state.book().finalize(rank);
    state.answer(Waiting::op(callback, data).give(SUCCESS, Vec::new()));
    SUCCESS
}

unsafe extern "C" fn abort(
    proc: *const Proc,
    _object: *mut c_void,
    status: c_int,
    words: *const c_char,
    _procs: *mut Proc,
    _count: usize,
    callback: Option<OpCallback>,
    data: *mut c_void,
) -> Status {
    let Some(state) = STATE.get() else { return ERROR };
    // SAFETY: the library gives a task, and a text that ends with NUL or none.
    let (rank, words) = unsafe {
        let words = if words.is_null() { String::new() } else { CStr::from_ptr(words).to_string_lossy().into_owned() };
        ((*proc).rank, words)
    };
    state.book().abort(rank, status, words);
    // The first thread also looks at the clock for it.
    if let Some(callback) = callback {
        state.answer(Waiting::op(callback, data).give(SUCCESS, Vec::new()));
    }
    SUCCESS
}

/// Who takes part: the name of the group and the number of its nodes. `None` where tasks of other steps are meant.
fn group(state: &State, what: &str, procs: &[Proc]) -> Option<(String, u32)> {
    if procs.iter().any(|proc| !proc.is_of(&state.namespace)) {
        return None;
    }
    if procs.iter().any(|proc| proc.rank == RANK_WILDCARD) {
        return Some((format!("{what}:*"), state.facts.nodes.len() as u32));
    }
    let ranks: BTreeSet<u32> = procs.iter().map(|proc| proc.rank).collect();
    let nodes = state.facts.nodes.iter().filter(|(_, here)| here.iter().any(|rank| ranks.contains(rank))).count();
    let ranks = ranks.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    Some((format!("{what}:{ranks}"), nodes as u32))
}

/// Waits for the other nodes. A group within this node is complete already.
fn gather(what: &str, procs: &[Proc], bytes: Vec<u8>, waiting: Waiting) -> Status {
    let Some(state) = STATE.get() else { return ERROR };
    let Some((group, nodes)) = group(state, what, procs) else { return ERR_NOT_SUPPORTED };
    if nodes <= 1 {
        state.answer(waiting.give(SUCCESS, bytes));
        return SUCCESS;
    }
    state.begin_fence(&group, waiting);
    state.tell(&Message { head: Head::Fence { group, nodes }, data: bytes });
    SUCCESS
}

unsafe extern "C" fn fence(
    procs: *const Proc,
    proc_count: usize,
    _infos: *const Info,
    _info_count: usize,
    bytes: *mut c_char,
    byte_count: usize,
    callback: Option<ModexCallback>,
    data: *mut c_void,
) -> Status {
    let Some(callback) = callback else { return ERROR };
    // SAFETY: the library gives lists with their lengths.
    let (procs, bytes) = unsafe { (list(procs, proc_count), list(bytes.cast::<u8>(), byte_count).to_vec()) };
    gather("fence", procs, bytes, Waiting::modex(callback, data))
}

unsafe extern "C" fn connect(
    procs: *const Proc,
    count: usize,
    _infos: *const Info,
    _info_count: usize,
    callback: Option<OpCallback>,
    data: *mut c_void,
) -> Status {
    let Some(callback) = callback else { return ERROR };
    // SAFETY: the library gives a list with its length.
    gather("connect", unsafe { list(procs, count) }, Vec::new(), Waiting::op(callback, data))
}

unsafe extern "C" fn disconnect(
    procs: *const Proc,
    count: usize,
    _infos: *const Info,
    _info_count: usize,
    callback: Option<OpCallback>,
    data: *mut c_void,
) -> Status {
    let Some(callback) = callback else { return ERROR };
    // SAFETY: the library gives a list with its length.
    gather("disconnect", unsafe { list(procs, count) }, Vec::new(), Waiting::op(callback, data))
}

unsafe extern "C" fn direct_modex(
    proc: *const Proc,
    _infos: *const Info,
    _count: usize,
    callback: Option<ModexCallback>,
    data: *mut c_void,
) -> Status {
    let (Some(state), Some(callback)) = (STATE.get(), callback) else { return ERROR };
    // SAFETY: the library gives a task.
    let proc = unsafe { *proc };
    let node = state.facts.nodes.iter().find(|(_, ranks)| ranks.contains(&proc.rank));
    let Some((to, _)) = node.filter(|_| proc.is_of(&state.namespace)) else { return ERR_NOT_FOUND };
    let token = state.ask(Waiting::modex(callback, data), None);
    let (from, to) = (state.facts.node_name().to_owned(), to.clone());
    state.tell(&Message::of(Head::Ask { token, from, to, rank: proc.rank }));
    SUCCESS
}

/// Another node wants what a task here has put: the library says it, now or when the task has put it.
pub(super) fn ask_library(state: &State, token: u64, from: String, rank: u32) {
    let asker = Box::into_raw(Box::new((token, from)));
    let proc = state.proc(rank);
    // SAFETY: the task lives through the call; the library calls back once, if it has taken the question.
    let status = unsafe { (state.library.dmodex_request)(&proc, dmodex_response, asker.cast()) };
    if status != SUCCESS {
        // SAFETY: the library has not taken it.
        let (token, to) = unsafe { *Box::from_raw(asker) };
        state.tell(&Message::of(Head::Answer { token, to, status }));
    }
}

unsafe extern "C" fn dmodex_response(status: Status, bytes: *mut c_char, count: usize, asker: *mut c_void) {
    let Some(state) = STATE.get() else { return };
    // SAFETY: `ask_library` made it; the bytes are so many.
    let ((token, to), data) =
        unsafe { (*Box::from_raw(asker.cast::<(u64, String)>()), list(bytes.cast::<u8>(), count).to_vec()) };
    state.tell(&Message { head: Head::Answer { token, to, status }, data });
}

/// The value of a directive that is a number. Some libraries say only that they wait, which is for all: 0.
fn directive(infos: &[Info], name: &str) -> Option<c_int> {
    let info = infos.iter().find(|info| library::text(&info.key) == name.as_bytes())?;
    // SAFETY: the kind says which of the contents it is.
    match info.value.kind {
        kind::INT => Some(unsafe { info.value.content.integer }),
        // SAFETY: the kind says which of the contents it is, as it does for the others.
        kind::BOOL => unsafe { info.value.content.flag }.then_some(0),
        kind::PERSISTENCE => Some(unsafe { info.value.content.byte }.into()),
        kind::UINT32 => c_int::try_from(unsafe { info.value.content.number }).ok(),
        _ => None,
    }
}

/// How long the task itself wants to wait.
fn patience(infos: &[Info]) -> Option<Duration> {
    let seconds = directive(infos, "pmix.timeout").and_then(|seconds| u64::try_from(seconds).ok())?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

unsafe extern "C" fn publish(
    proc: *const Proc,
    infos: *const Info,
    count: usize,
    callback: Option<OpCallback>,
    data: *mut c_void,
) -> Status {
    let (Some(state), Some(callback)) = (STATE.get(), callback) else { return ERROR };
    // SAFETY: the library gives a task, and a list with its length.
    let (rank, infos) = unsafe { ((*proc).rank, list(infos, count)) };
    let (mut values, mut bytes) = (Vec::new(), Vec::new());
    for info in infos {
        let key = library::text(&info.key);
        if key.starts_with(RESERVED) {
            continue;
        }
        let Some(packed) = packing::pack(state, info) else { return ERROR };
        values.push((String::from_utf8_lossy(&key).into_owned(), packed.len() as u32));
        bytes.extend_from_slice(&packed);
    }
    let once = directive(infos, "pmix.persist") == Some(UNTIL_READ);
    let token = state.ask(Waiting::op(callback, data), patience(infos));
    state.tell(&Message { head: Head::Publish { token, rank, values, once }, data: bytes });
    SUCCESS
}

unsafe extern "C" fn lookup(
    _proc: *const Proc,
    names: *mut *mut c_char,
    infos: *const Info,
    count: usize,
    callback: Option<LookupCallback>,
    data: *mut c_void,
) -> Status {
    let (Some(state), Some(callback)) = (STATE.get(), callback) else { return ERROR };
    // SAFETY: the library gives lists; the names end with null.
    let (names, infos) = unsafe { (texts(names), list(infos, count)) };
    let all = names.len() as u32;
    let wait = match directive(infos, "pmix.wait") {
        None => 0,
        // Zero and less stand for all.
        Some(number) => u32::try_from(number).ok().filter(|number| *number > 0).unwrap_or(all).min(all),
    };
    let token = state.ask(Waiting::lookup(callback, data), patience(infos));
    state.tell(&Message::of(Head::Lookup { token, names, wait }));
    SUCCESS
}

unsafe extern "C" fn unpublish(
    proc: *const Proc,
    names: *mut *mut c_char,
    infos: *const Info,
    count: usize,
    callback: Option<OpCallback>,
    data: *mut c_void,
) -> Status {
    let (Some(state), Some(callback)) = (STATE.get(), callback) else { return ERROR };
    // SAFETY: the library gives a task, and lists; the names end with null.
    let (rank, names, infos) = unsafe { ((*proc).rank, texts(names), list(infos, count)) };
    let token = state.ask(Waiting::op(callback, data), patience(infos));
    state.tell(&Message::of(Head::Unpublish { token, rank, names }));
    SUCCESS
}

/// Something happened that no task asked to be told of.
pub(super) unsafe extern "C" fn event(
    _handler: usize,
    status: Status,
    source: *const Proc,
    _infos: *mut Info,
    _info_count: usize,
    _results: *mut Info,
    _result_count: usize,
    callback: Option<EventDone>,
    data: *mut c_void,
) {
    if let Some(state) = STATE.get()
        && status == ERR_LOST_CONNECTION
        && !source.is_null()
    {
        // SAFETY: the library gives a task.
        let source = unsafe { *source };
        let news = if source.is_of(&state.namespace) { state.book().lost(source.rank, status) } else { None };
        news.iter().for_each(|message| state.tell(message));
    }
    if let Some(callback) = callback {
        let null = std::ptr::null_mut();
        // SAFETY: said once, as the library wants it after each event.
        unsafe { callback(EVENT_ACTION_COMPLETE, null, 0, None, std::ptr::null_mut(), data) };
    }
}
