//! What an agent and its supervisor say to each other over the socket `SPOOL/supervisor.sock`.
//!
//! Each message is one frame: a length, a small JSON document, and for [`Request::Put`] the bytes of the blob
//! (see [`crate::client`], which does the framing). One agent is connected at a time; a newer one takes over.
//!
//! Promises of the supervisor:
//!
//! - A key is started at most once. A repeated [`Request::Launch`] is answered with the present state:
//!   [`Notice::Started`], [`Notice::Ended`], or [`Refused::AlreadyEnded`].
//! - Exactly one [`UnitEnd`] exists for each accepted launch. It is on disk before it is told, is told again on
//!   each connect, and is forgotten only after [`Request::Acknowledge`].
//! - Nothing of an ended unit runs any more, unless its end says so: processes that outlive the tasks are killed before the end is told;
//!   a unit that cannot be killed is given up after a while ([`crate::unit::Unkillable`]).
//! - Requests are carried out in order. One about a unit that is not running has no effect.

use muster_model::ids::{BlobId, JobId, RestartCount};
use muster_model::measure::Measured;
use muster_model::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::space::{JobSpace, SpaceKey};
use crate::unit::{ClientLink, LaunchUnit, RunningUnit, UnitEnd, UnitKey, UnitUser};

/// Version of this protocol. Fields and kinds of messages may be added without a new one: who does not know a field passes it
/// over, and what only a later supervisor does is asked of none that does not say in its hello that it knows it.
pub const PROTOCOL_VERSION: u32 = 1;

/// The oldest version that an agent works with: that of the release before. A supervisor of another version is asked to retire
/// and serves its units to their end. What each version said is recorded in `tests/protocol`, and can be read for as long as it is here.
pub const PROTOCOL_OLDEST: u32 = 1;

/// Largest frame: a script of the greatest permitted size and its environment fit many times.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// From agent to supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Keep these bytes (the rest of the frame) under this name for launches to come. The least recently used
    /// are forgotten when they exceed [`crate::supervisor::BLOB_BYTES_MAX`]; a launch that needs one that is not
    /// there is answered with [`Refused::UnknownBlob`]: put it and launch again.
    Put {
        /// The name; the supervisor does not check that it is the hash.
        id: BlobId,
    },
    /// Start a unit. Answered by [`Notice::Started`], then [`Notice::Ended`]; or [`Notice::Refused`]; or
    /// only [`Notice::Ended`] where setting it up failed.
    Launch(Box<LaunchUnit>),
    /// Send a signal.
    Signal {
        /// To which unit.
        key: UnitKey,
        /// Which signal.
        signal: u8,
        /// To which of its processes.
        scope: SignalScope,
    },
    /// End a unit: CONT and TERM to all its processes, KILL after `kill_wait_ms`. Asking again can only shorten
    /// the wait. A unit in the middle of its launch ends as soon as it is set up.
    Terminate {
        /// Which.
        key: UnitKey,
        /// Milliseconds from TERM to KILL; zero kills at once.
        kill_wait_ms: u64,
        /// A line to be put into the unit's error stream first, complete and without the end of line:
        /// `slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-21T08:13:11 DUE TO TIME LIMIT ***`.
        message: Option<String>,
    },
    /// Stop all processes of a unit: TSTP, and after two seconds the freezer, else STOP.
    Suspend {
        /// Which.
        key: UnitKey,
    },
    /// Continue them.
    Resume {
        /// Which.
        key: UnitKey,
    },
    /// Write a line into the error stream of a unit. Only for a supervisor whose hello tells that it does so.
    Say {
        /// Which.
        key: UnitKey,
        /// The line, without its end.
        line: String,
    },
    /// What do these units use now? Answered by [`Notice::Sampled`], later than what is asked behind it.
    Sample {
        /// Given back with the answer.
        #[serde(default)]
        number: u64,
        /// Which; empty for all that run.
        keys: Vec<UnitKey>,
    },
    /// Let a further client see what the tasks of a unit write, and give them input (see [`crate::wire`]). Where none of them runs
    /// it is told so. Not answered.
    Attach {
        /// Which.
        key: UnitKey,
        /// Where the client waits.
        client: ClientLink,
    },
    /// These ends have reached the controller and may be forgotten.
    Acknowledge {
        /// Which.
        keys: Vec<UnitKey>,
    },
    /// Make what a job has to itself here, though no unit of it is to be started yet. Only for a supervisor whose hello knows
    /// spaces.
    OpenSpace {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// To whom it belongs.
        user: UnitUser,
        /// What.
        space: Box<JobSpace>,
    },
    /// A job is over here: remove what it had to itself. Only for a supervisor whose hello knows spaces.
    CloseSpace {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
    },
    /// Accept no further launch and exit as soon as no unit runs and no end waits to be acknowledged. With
    /// `kill`, kill what runs first and do not wait for acknowledgements.
    Retire {
        /// Kill what runs.
        kill: bool,
    },
}

/// To which processes of a unit a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalScope {
    /// Only the processes that the unit started itself (for a batch unit the shell that runs the script;
    /// `scancel --batch`).
    Tasks,
    /// All processes of the unit.
    All,
    /// All processes except those that the unit started itself (`scancel --signal` on a batch step spares the
    /// script's shell).
    Children,
}

/// From supervisor to agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The first message on each connection.
    Hello(Box<Hello>),
    /// The unit's processes have been started.
    Started {
        /// Which.
        key: UnitKey,
        /// When its launch was accepted.
        at: Timestamp,
        /// Process numbers by rank.
        pids: Vec<(u32, u32)>,
    },
    /// The launch was not accepted; nothing was started and no end will come.
    Refused {
        /// Which.
        key: UnitKey,
        /// Why.
        why: Refused,
    },
    /// The unit has ended. To be acknowledged.
    Ended(Box<UnitEnd>),
    /// Answer to [`Request::Sample`].
    Sampled {
        /// Which request is answered.
        #[serde(default)]
        number: u64,
        /// What each unit uses.
        units: Vec<UnitSample>,
    },
}

/// Why a launch is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// A blob is not here (any more). Put it and launch again.
    UnknownBlob(BlobId),
    /// This key ended and the end was acknowledged.
    AlreadyEnded,
    /// The unit makes no sense; the text says why.
    Invalid(String),
    /// [`Request::Retire`] was asked for.
    Retiring,
    /// The launch could not be written down, so it must not be made.
    Journal(String),
}

/// Who the supervisor is and what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Its process number.
    pub pid: u32,
    /// How processes are tracked and limited: `cgroup/v2`, `cgroup/v1`, `none`.
    pub tracking: String,
    /// Units that have not ended.
    pub running: Vec<RunningUnit>,
    /// Ends not yet acknowledged.
    pub ends: Vec<UnitEnd>,
    /// Jobs that have something to themselves here; `None` from a supervisor that knows of no such thing.
    #[serde(default)]
    pub spaces: Option<Vec<SpaceKey>>,
    /// Whether it does [`Request::Say`].
    #[serde(default)]
    pub says: bool,
    /// The greatest number of a launch that this supervisor has taken in: what has a greater one was never started. `None` from one
    /// that does not count them, or has not seen any yet.
    #[serde(default)]
    pub launched: Option<u64>,
}

/// What a unit uses now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSample {
    /// Which.
    pub key: UnitKey,
    /// What its tasks used so far, those that have ended included. Supervisors from before measuring tell it otherwise; of theirs nothing is known.
    #[serde(default)]
    pub measured: Measured,
    /// Its processes.
    pub pids: Vec<u32>,
    /// Rank and process number of those that are tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<(u32, u32)>,
}

/// Makes the blob for [`LaunchUnit::environment`] of `NAME=value` strings. Strings with a NUL byte are left out:
/// no process can have them.
pub fn environment_blob<S: AsRef<[u8]>>(variables: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut blob = Vec::new();
    for variable in variables {
        let variable = variable.as_ref();
        if !variable.contains(&0) {
            blob.extend_from_slice(variable);
            blob.push(0);
        }
    }
    blob
}
