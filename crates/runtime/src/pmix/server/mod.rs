//! The process that serves the tasks of a step on one node: libpmix on one side, the relay of the step on the other.
//!
//! Its standard input is the pipe to the launcher and then to the relay, in both directions. The library calls back on a thread
//! of its own (`callbacks`); a second thread reads the pipe; the first does what both want done, so that nothing of
//! the library is called from inside a call of the library.

mod callbacks;
mod infos;
mod namespace;
mod packing;
mod waiting;

use std::ffi::{CStr, c_char, c_void};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::infos::Infos;
use self::waiting::{Answer, Book, Waiting};
use super::library::{self, Library, Proc, SUCCESS, Status};
use super::message::{Decoder, Head, Message};
use super::{Setup, StepFacts};

/// Code for a call that was complete when it returned.
const OPERATION_SUCCEEDED: Status = -157;

/// How long is slept where nothing has a time limit.
const LONG: Duration = Duration::from_secs(3600);

/// What all threads of the server share. There is one server in a process: callbacks of the library find it here.
struct State {
    library: Library,
    facts: StepFacts,
    namespace: String,
    pipe: Mutex<File>,
    book: Mutex<Book>,
    events: Sender<Event>,
}

static STATE: OnceLock<State> = OnceLock::new();

/// What the first thread is told.
enum Event {
    /// From the launcher or the hub.
    Message(Message),
    /// An answer that needs nobody else.
    Answer(Answer),
    /// Something waits that may end sooner than all before.
    Look,
    /// The step is over.
    Closed,
}

/// Serves until the pipe on standard input closes; gives the exit code.
pub fn run() -> u8 {
    // SAFETY: the launcher gave it; nothing else in this process uses it.
    let pipe = unsafe { OwnedFd::from_raw_fd(0) };
    match serve(File::from(pipe)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("muster {}: {error}", super::SERVER_ARGUMENT);
            1
        }
    }
}

fn serve(mut pipe: File) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let Some(Message { head: Head::Setup(setup), .. }) = next(&mut pipe, &mut decoder)? else {
        return Err(io::Error::other("this is started by a supervisor only"));
    };
    let (events, received) = mpsc::channel();
    let (ready, client_dir) = match start(&setup, pipe.try_clone()?, events.clone()) {
        Ok(started) => started,
        Err(reason) => return pipe.write_all(&Message::of(Head::Failed(reason)).encode()),
    };
    let Some(state) = STATE.get() else { return Ok(()) };
    state.tell(&Message::of(Head::Ready(ready)));
    std::thread::Builder::new().name("pipe".into()).spawn(move || read_all(pipe, decoder, &events))?;
    attend(state, &received);
    if let Some(dir) = client_dir {
        // Somebody else may have removed it.
        let _ = std::fs::remove_dir_all(dir);
    }
    Ok(())
}

/// For each rank the variables of its environment.
type Variables = Vec<(u32, Vec<String>)>;

type Started = (Variables, Option<PathBuf>);

/// Gets everything ready for the tasks: what is to be in their environments, and a directory to be removed at the end.
fn start(setup: &Setup, pipe: File, events: Sender<Event>) -> Result<Started, String> {
    if let Some(twice) = setup.facts.node_named_twice() {
        return Err(format!("components of the job share {twice}, which PMIx cannot be told of"));
    }
    become_user(setup).map_err(|error| format!("cannot take the rights of the user: {error}"))?;
    let own_dir = setup.facts.settings.client_dir_base.as_deref().map(|base| {
        let name = format!("spmix_appdir_{}_{}.{}", setup.uid, setup.facts.step_name, setup.facts.node_name());
        PathBuf::from(base).join(name)
    });
    if let Some(dir) = &own_dir {
        // One that is there already may be another user's.
        let above = dir.parent().map_or(Ok(()), std::fs::create_dir_all);
        let made = above.and_then(|()| std::fs::DirBuilder::new().mode(0o700).create(dir));
        made.map_err(|error| format!("cannot make {} (PMIxCliTmpDirBase): {error}", dir.display()))?;
    }
    let client_dir = own_dir.as_ref().map_or(setup.directory.clone(), |dir| dir.display().to_string());
    let library = Library::load()?;
    if let Some(wanted) = setup.facts.version.filter(|wanted| *wanted != library.major) {
        return Err(format!("this node has libpmix {}, not {wanted}", library.major));
    }
    let state = STATE.get_or_init(|| State {
        library,
        facts: setup.facts.clone(),
        namespace: setup.facts.namespace(),
        pipe: Mutex::new(pipe),
        book: Mutex::new(Book::new(setup.facts.settings.timeout_seconds)),
        events,
    });
    let refused = |(what, status): (String, Status)| format!("{what} gave {status}");
    state.init(setup).map_err(refused)?;
    let variables = state.register(setup, &client_dir).map_err(refused)?;
    Ok((variables, own_dir))
}

/// Whoever changes his identity cannot be traced by others of the same identity, who are held to limits that do not hold here.
fn become_user(setup: &Setup) -> io::Result<()> {
    // SAFETY: plain system calls on numbers of our own; no other thread runs yet.
    unsafe {
        let parent = libc::getppid();
        if libc::geteuid() == 0 && setup.uid != 0 {
            crate::system::check(libc::setgroups(setup.groups.len(), setup.groups.as_ptr()))?;
            crate::system::check(libc::setresgid(setup.gid, setup.gid, setup.gid))?;
            crate::system::check(libc::setresuid(setup.uid, setup.uid, setup.uid))?;
        }
        // The change of identity has cleared it.
        crate::system::check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid() != parent {
            return Err(io::Error::other("the supervisor has gone"));
        }
    }
    Ok(())
}

impl State {
    fn init(&'static self, setup: &Setup) -> Result<(), (String, Status)> {
        let mut infos = Infos::default();
        infos
            .text("pmix.srvr.tmpdir", &setup.directory)
            .text("pmix.sys.tmpdir", &setup.directory)
            .text("pmix.srv.nspace", &format!("muster.{}", self.namespace))
            .rank("pmix.srv.rank", self.facts.node as u32)
            .text("pmix.hname", self.facts.node_name());
        let module = Box::leak(Box::new(callbacks::module()));
        // SAFETY: the module lives for ever; the infos live through the call.
        let status = unsafe { (self.library.server_init)(module, infos.as_mut_ptr(), infos.len()) };
        done("PMIx_server_init", status)?;
        let null = std::ptr::null_mut();
        // SAFETY: no codes: the handler is for all events that no other is for.
        let reference = unsafe {
            let none: *mut c_void = std::ptr::null_mut();
            (self.library.register_event_handler)(
                std::ptr::null_mut(),
                0,
                std::ptr::null_mut(),
                0,
                callbacks::event,
                none,
                null,
            )
        };
        // It gives the number of the handler, or an error.
        if reference < 0 && reference != OPERATION_SUCCEEDED {
            return Err(("PMIx_Register_event_handler".to_owned(), reference));
        }
        Ok(())
    }

    /// Tells the library of the step and its tasks here; gives what is to be in their environments.
    fn register(&self, setup: &Setup, client_dir: &str) -> Result<Variables, (String, Status)> {
        let mut infos = namespace::describe(&self.library, &self.facts, client_dir)?;
        let name = library::c_string(&self.namespace);
        let ranks = self.facts.local_ranks();
        let (null, count) = (std::ptr::null_mut(), infos.len());
        // SAFETY: everything lives through the call, which returns when all is done since it has no callback.
        let status = unsafe {
            let tasks = ranks.len() as i32;
            (self.library.register_namespace)(name.as_ptr(), tasks, infos.as_mut_ptr(), count, None, null)
        };
        done("PMIx_server_register_nspace", status)?;
        let mut all = Vec::with_capacity(ranks.len());
        for rank in ranks {
            let proc = Proc::new(&self.namespace, *rank);
            // SAFETY: as above.
            let status = unsafe { (self.library.register_client)(&proc, setup.uid, setup.gid, null, None, null) };
            done("PMIx_server_register_client", status)?;
            let mut variables: *mut *mut c_char = std::ptr::null_mut();
            // SAFETY: the library makes a list that ends with null.
            let status = unsafe { (self.library.setup_fork)(&proc, &mut variables) };
            done("PMIx_server_setup_fork", status)?;
            // SAFETY: such a list.
            all.push((*rank, unsafe { texts(variables) }));
        }
        Ok(all)
    }

    /// The task of the step with this rank.
    fn proc(&self, rank: u32) -> Proc {
        Proc::new(&self.namespace, rank)
    }

    /// Sends to the launcher or the hub. When nobody listens any more, the reading thread sees it.
    fn tell(&self, message: &Message) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = pipe.write_all(&message.encode());
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question is put down, with its number. The first thread looks after its time.
    fn ask(&self, waiting: Waiting, patience: Option<Duration>) -> u64 {
        let token = self.book().add(waiting, patience);
        // It listens for as long as the process lives.
        let _ = self.events.send(Event::Look);
        token
    }

    /// The same for a fence.
    fn begin_fence(&self, group: &str, waiting: Waiting) {
        self.book().add_fence(group, waiting);
        let _ = self.events.send(Event::Look);
    }

    /// Has the first thread answer.
    fn answer(&self, answer: Answer) {
        // It listens for as long as the process lives.
        let _ = self.events.send(Event::Answer(answer));
    }

    /// Does what the hub says.
    fn obey(&self, message: Message) {
        let Message { head, data } = message;
        match head {
            Head::Fenced { group } => {
                let waiting = self.book().take_fence(&group);
                waiting.into_iter().for_each(|waiting| waiting.give(SUCCESS, data.clone()).deliver());
            }
            Head::Answer { token, status, .. } => {
                let waiting = self.book().take(token);
                waiting.into_iter().for_each(|waiting| waiting.give(status, data.clone()).deliver());
            }
            Head::Found { token, status, values } => {
                let waiting = self.book().take(token);
                let found = if values.is_empty() { Vec::new() } else { packing::found(self, &values, &data) };
                if let Some(waiting) = waiting {
                    waiting.give_found(status, found).deliver();
                }
            }
            Head::Ask { token, from, rank, .. } => callbacks::ask_library(self, token, from, rank),
            // Said to others only.
            _ => {}
        }
    }
}

/// Answers, obeys and watches the clock until the step is over.
fn attend(state: &State, events: &Receiver<Event>) {
    loop {
        let now = Instant::now();
        let deadline = state.book().next_deadline().unwrap_or(now + LONG);
        match events.recv_timeout(deadline.saturating_duration_since(now)) {
            Ok(Event::Message(message)) => state.obey(message),
            Ok(Event::Answer(answer)) => answer.deliver(),
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Event::Look) | Err(RecvTimeoutError::Timeout) => {}
        }
        let (late, forgotten, aborts) = state.book().take_late(Instant::now());
        for token in forgotten {
            state.tell(&Message::of(Head::Forget { token }));
        }
        late.into_iter().for_each(|waiting| waiting.give(library::ERR_TIMEOUT, Vec::new()).deliver());
        aborts.iter().for_each(|abort| state.tell(abort));
    }
}

fn read_all(mut pipe: File, mut decoder: Decoder, events: &Sender<Event>) {
    while let Ok(Some(message)) = next(&mut pipe, &mut decoder) {
        if events.send(Event::Message(message)).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Closed);
}

/// The next message; `None` at the end.
fn next(pipe: &mut File, decoder: &mut Decoder) -> io::Result<Option<Message>> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(message) = decoder.next_message().map_err(io::Error::other)? {
            return Ok(Some(message));
        }
        match pipe.read(&mut buffer)? {
            0 => return Ok(None),
            count => decoder.feed(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn done(what: &str, status: Status) -> Result<(), (String, Status)> {
    if status == SUCCESS || status == OPERATION_SUCCEEDED { Ok(()) } else { Err((what.to_owned(), status)) }
}

/// Copies a list of texts that ends with null.
///
/// # Safety
/// It is one, or null.
unsafe fn texts(list: *mut *mut c_char) -> Vec<String> {
    let mut texts = Vec::new();
    if list.is_null() {
        return texts;
    }
    for at in 0.. {
        // SAFETY: nothing behind the null is read.
        let text = unsafe { *list.add(at) };
        if text.is_null() {
            break;
        }
        // SAFETY: the texts end with NUL.
        texts.push(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
    }
    texts
}
