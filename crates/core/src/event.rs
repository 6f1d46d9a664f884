//! Everything that can happen to the cluster.

use muster_model::ids::{Identity, JobId, NodeIndex, RestartCount, StepId, SubmitToken};
use muster_model::measure::Measured;
use muster_model::node::{Hardware, NodeReport};
use muster_model::planning::Plan;
use muster_model::request::Command;
use muster_model::state::{ExitStatus, Usage};

/// Names a request until its reply; given by the caller, never interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A client asks for a change.
    Command {
        /// Where the reply goes.
        request: RequestId,
        /// Who asks.
        identity: Identity,
        /// What.
        command: Box<Command>,
    },
    /// A client submits, and says so again where it does not hear that it has been done.
    Submit {
        /// Where the reply goes.
        request: RequestId,
        /// Who asks.
        identity: Identity,
        /// Which submit it is.
        token: SubmitToken,
        /// What.
        command: Box<Command>,
    },
    /// A client that waits for a step gave up; its request needs no reply any more.
    RequestAbandoned(RequestId),
    /// The client that holds an allocation is connected (again).
    HolderPresent(JobId),
    /// The connection of the client that holds an allocation broke.
    HolderGone(JobId),
    /// The agent of a node tells something.
    Agent(NodeIndex, AgentReport),
    /// What the site runs before a job, where the controller is, has ended.
    PrologEnded {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// How.
        end: HookEnd,
    },
    /// The scheduler proposes something.
    Plan(Plan),
    /// The scheduler wants to look at the present state.
    PlanWanted,
    /// Time has passed; see [`Cluster::next_timer`](crate::Cluster::next_timer).
    Tick,
}

/// One start of one step of a job on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitKey {
    /// The job.
    pub job_id: JobId,
    /// Which start of it.
    pub restart: RestartCount,
    /// The step; [`StepId::Batch`] for the job's own main unit.
    pub step: StepId,
}

/// What an agent tells.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentReport {
    /// It connected, or connected anew.
    Connected {
        /// Number of the connection; a later one of the same node has a greater number.
        session: u64,
        /// Hardware as detected; `None` when the configuration declares it.
        hardware: Option<Hardware>,
        /// The machine.
        report: NodeReport,
        /// Greatest launch sequence number it has ever seen.
        launch_sequence_seen: u64,
        /// Units that run, or ended and were not acknowledged.
        units: Vec<UnitKey>,
    },
    /// Its connection broke. Told by another thread than the next connection, hence maybe after it.
    Disconnected {
        /// Which connection.
        session: u64,
    },
    /// Sign of life.
    Heartbeat(NodeReport),
    /// A unit ended. Repeated until acknowledged.
    UnitEnded(UnitEnd),
    /// No process of that start of the job is left on the node.
    JobCleaned {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// The site's epilog was run, with this result; repeated until acknowledged.
        epilog: Option<HookEnd>,
    },
}

/// How a unit ended on one node.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitEnd {
    /// Which.
    pub key: UnitKey,
    /// Worst end of its tasks.
    pub exit: ExitStatus,
    /// What its tasks used.
    pub usage: Usage,
    /// What was measured of its tasks on that node.
    pub measured: Option<Box<Measured>>,
    /// Why it could not be started or was lost sight of; `None` for an ordinary end.
    pub failure: Option<UnitFailure>,
    /// The job has no process left on the node.
    pub job_is_clean: bool,
    /// The kernel ended a process of it for lack of memory.
    pub out_of_memory: bool,
    /// It was killed because it had more memory than it may, by what was measured (`OverMemoryKill`).
    pub over_memory: bool,
    /// What of it could not be killed, so that it was given up.
    pub kill_failure: Option<KillFailure>,
}

/// What outlived KILL for `UnkillableStepTimeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillFailure {
    /// Only what its tasks left behind; how they ended is known.
    Descendants,
    /// A task itself, so that nobody knows how it ends.
    Task,
}

/// How a prolog or epilog of the site ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEnd {
    /// Why it failed; `None` where it did not.
    pub failure: Option<String>,
}

/// Why a unit did not run to its own end.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitFailure {
    /// What happened, for people.
    pub text: String,
    /// Whether the node is to blame, rather than the job.
    pub node_at_fault: bool,
    /// The site's prolog failed before it.
    pub prolog: bool,
}
