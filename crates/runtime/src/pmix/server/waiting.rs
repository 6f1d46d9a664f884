//! Who waits for what: calls of the library that are answered later, and until when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{c_char, c_void};
use std::time::{Duration, Instant};

use crate::pmix::library::{LookupCallback, ModexCallback, OpCallback, PublishedData, Status};
use crate::pmix::message::{Head, Message};

/// A task that ends the step is given so long to end by itself, with its own exit code, before all are killed.
const ABORT_PAUSE: Duration = Duration::from_millis(40);

/// How a call of the library is answered.
#[derive(Debug, Clone, Copy)]
enum Way {
    Op(OpCallback),
    Modex(ModexCallback),
    Lookup(LookupCallback),
}

/// A call that is answered later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    way: Way,
    /// What the library wants to be given back: a number here, so that any thread may carry it.
    data: usize,
}

impl Waiting {
    /// One that is told whether it succeeded.
    pub(super) fn op(callback: OpCallback, data: *mut c_void) -> Waiting {
        Waiting { way: Way::Op(callback), data: data as usize }
    }

    /// One that gets bytes.
    pub(super) fn modex(callback: ModexCallback, data: *mut c_void) -> Waiting {
        Waiting { way: Way::Modex(callback), data: data as usize }
    }

    /// One that gets published values.
    pub(super) fn lookup(callback: LookupCallback, data: *mut c_void) -> Waiting {
        Waiting { way: Way::Lookup(callback), data: data as usize }
    }

    /// Its answer.
    pub(super) fn give(self, status: Status, bytes: Vec<u8>) -> Answer {
        Answer { waiting: self, status, bytes, found: Vec::new() }
    }

    /// Its answer, with published values.
    pub(super) fn give_found(self, status: Status, found: Vec<PublishedData>) -> Answer {
        Answer { waiting: self, status, bytes: Vec::new(), found }
    }
}

/// An answer to the library.
pub(super) struct Answer {
    waiting: Waiting,
    status: Status,
    bytes: Vec<u8>,
    found: Vec<PublishedData>,
}

// SAFETY: pointers within `found` lead to memory that the library made for it and that nobody else knows.
unsafe impl Send for Answer {}

impl Answer {
    /// Calls the library back. Not to be called inside a call of the library.
    pub(super) fn deliver(self) {
        let data = self.waiting.data as *mut c_void;
        match self.waiting.way {
            // SAFETY: each callback is called once, with what the library gave with it.
            Way::Op(callback) => unsafe { callback(self.status, data) },
            Way::Modex(callback) => {
                let bytes = Box::into_raw(Box::new(self.bytes));
                // SAFETY: as above; the bytes live until the library says that it has no use for them.
                unsafe {
                    let (start, count) = ((*bytes).as_ptr().cast::<c_char>(), (*bytes).len());
                    callback(self.status, start, count, data, Some(release), bytes.cast());
                }
            }
            Way::Lookup(callback) => {
                let found = self.found.leak();
                // SAFETY: as above. The library may read the values later and says nothing when it is done, so they stay: these
                // are a few hundred bytes for each time that a task asks for a name.
                unsafe { callback(self.status, found.as_mut_ptr(), found.len(), data) }
            }
        }
    }
}

unsafe extern "C" fn release(bytes: *mut c_void) {
    // SAFETY: `deliver` made it, and the library releases it once.
    drop(unsafe { Box::from_raw(bytes.cast::<Vec<u8>>()) });
}

/// All that waits.
pub(super) struct Book {
    patience: Duration,
    /// Fences by group, in the order in which they were asked for.
    fences: BTreeMap<String, VecDeque<(Instant, Waiting)>>,
    questions: BTreeMap<u64, (Instant, Waiting)>,
    asked: u64,
    /// Tasks that have taken leave.
    finalized: BTreeSet<u32>,
    /// Words of tasks that end the step, kept back until the task has ended.
    aborts: BTreeMap<u32, (Instant, Message)>,
}

/// What has waited for too long; questions that the hub is to forget; and ends of the step whose time has come.
type Late = (Vec<Waiting>, Vec<u64>, Vec<Message>);

impl Book {
    /// Nothing waits for longer than this, unless the task says so.
    pub(super) fn new(seconds: u32) -> Book {
        Book {
            patience: Duration::from_secs(seconds.into()),
            fences: BTreeMap::new(),
            questions: BTreeMap::new(),
            asked: 0,
            finalized: BTreeSet::new(),
            aborts: BTreeMap::new(),
        }
    }

    /// A fence was asked for.
    pub(super) fn add_fence(&mut self, group: &str, waiting: Waiting) {
        let until = Instant::now() + self.patience;
        self.fences.entry(group.to_owned()).or_default().push_back((until, waiting));
    }

    /// Who has waited longest for a fence of the group.
    pub(super) fn take_fence(&mut self, group: &str) -> Option<Waiting> {
        let queue = self.fences.get_mut(group)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.fences.remove(group);
        }
        first.map(|(_, waiting)| waiting)
    }

    /// A question was asked; gives its number.
    pub(super) fn add(&mut self, waiting: Waiting, patience: Option<Duration>) -> u64 {
        self.asked += 1;
        self.questions.insert(self.asked, (Instant::now() + patience.unwrap_or(self.patience), waiting));
        self.asked
    }

    /// Who asked.
    pub(super) fn take(&mut self, token: u64) -> Option<Waiting> {
        self.questions.remove(&token).map(|(_, waiting)| waiting)
    }

    /// A task has taken leave: that its connection breaks says nothing.
    pub(super) fn finalize(&mut self, rank: u32) {
        self.finalized.insert(rank);
    }

    /// A task ends the step.
    pub(super) fn abort(&mut self, rank: u32, status: i32, message: String) {
        let abort = Message::of(Head::Abort { rank, status, message });
        self.aborts.entry(rank).or_insert((Instant::now() + ABORT_PAUSE, abort));
    }

    /// The connection of a task broke: what is to be told.
    pub(super) fn lost(&mut self, rank: u32, status: i32) -> Option<Message> {
        if let Some((_, abort)) = self.aborts.remove(&rank) {
            self.finalized.insert(rank);
            return Some(abort);
        }
        self.finalized.insert(rank).then(|| Message::of(Head::Lost { rank, status }))
    }

    /// When something will have waited for too long.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let fences = self.fences.values().flatten().map(|(until, _)| *until);
        let questions = self.questions.values().map(|(until, _)| *until);
        fences.chain(questions).chain(self.aborts.values().map(|(until, _)| *until)).min()
    }

    /// What has waited for too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Late {
        let mut late = Vec::new();
        for queue in self.fences.values_mut() {
            while let Some((_, waiting)) = queue.pop_front_if(|(until, _)| *until <= now) {
                late.push(waiting);
            }
        }
        self.fences.retain(|_, queue| !queue.is_empty());
        let tokens: Vec<u64> =
            self.questions.iter().filter(|(_, (until, _))| *until <= now).map(|(token, _)| *token).collect();
        late.extend(tokens.iter().filter_map(|token| self.take(*token)));
        let ranks: Vec<u32> =
            self.aborts.iter().filter(|(_, (until, _))| *until <= now).map(|(rank, _)| *rank).collect();
        let aborts = ranks.iter().filter_map(|rank| self.lost(*rank, 0)).collect();
        (late, tokens, aborts)
    }
}
