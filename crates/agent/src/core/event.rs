//! What goes into the state machine and what comes out.

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::UnitKey;

/// Which units of a job a signal is for, where it names no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Steps, not the batch script.
    Steps,
    /// The batch script's own shell.
    Batch,
    /// The batch script with all it started, and all steps.
    All,
}

/// To which processes of a unit a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only those that the unit started itself.
    Tasks,
    /// All.
    All,
}

/// One thing that happened. `L` is what is needed to launch a unit, `E` how one ended; neither is looked into.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<L, E> {
    /// A connection to the controller was made and the hello is on its way.
    Connected,
    /// The controller wants a unit started.
    Launch {
        /// Its number; ascending on each node.
        sequence: u64,
        /// Which unit.
        key: UnitKey,
        /// Nothing of the job is to be started here once this unit has ended: it is the job's only main unit.
        ends_job: bool,
        /// Its job is suspended: it is to stand as soon as it is there.
        stands: bool,
        /// The site has a prolog, which goes before everything of the job. The unit itself waits for it; here is only seen to
        /// it that there is one to wait for.
        has_prolog: bool,
        /// What to start.
        launch: L,
    },
    /// The controller wants a signal sent.
    Signal {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// Only this step.
        step: Option<StepId>,
        /// Signal number.
        signal: u8,
        /// Which units, and for a named step which processes.
        scope: Scope,
    },
    /// The controller wants all processes of a start of a job, or of one step of it, ended.
    Clean {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// Only this step.
        step: Option<StepId>,
        /// Time between TERM and KILL.
        kill_wait_ms: u64,
        /// A line for the error stream of what is ended.
        message: Option<String>,
        /// For the whole job: what the site has run when all is gone.
        epilog: Option<L>,
    },
    /// The controller wants the processes of a job stopped or continued.
    Pause {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// Continue rather than stop.
        resume: bool,
    },
    /// The controller wants a line written into the error stream of a job's main unit.
    Say {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// The line, without its end.
        line: String,
    },
    /// The controller has made this end durable.
    Acknowledge(UnitKey),
    /// A connection to the supervisor was made: this is all it has.
    Supervisor {
        /// Units that have not ended.
        running: Vec<UnitKey>,
        /// Ends that were not forgotten.
        ends: Vec<(UnitKey, E)>,
        /// Units that a supervisor before this one left behind; how they ended is not known.
        lost: Vec<UnitKey>,
    },
    /// The unit's processes are there.
    Started(UnitKey),
    /// The unit has ended, or never came to run.
    Ended(UnitKey, E),
}

/// One thing to do. Those about one unit are to be done in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action<L, E> {
    /// Start a unit. [`Machine::launch_sequence`](super::Machine::launch_sequence) must be durable before.
    Start(UnitKey, L),
    /// Send a signal.
    Signal {
        /// To which unit.
        key: UnitKey,
        /// Signal number.
        signal: u8,
        /// To which of its processes.
        reach: Reach,
    },
    /// End a unit.
    Terminate {
        /// Which.
        key: UnitKey,
        /// Time between TERM and KILL.
        kill_wait_ms: u64,
        /// A line for its error stream.
        message: Option<String>,
    },
    /// Stop or continue a unit.
    Pause {
        /// Which.
        key: UnitKey,
        /// Continue rather than stop.
        resume: bool,
    },
    /// Write a line into the error stream of a unit.
    Say {
        /// Which.
        key: UnitKey,
        /// The line, without its end.
        line: String,
    },
    /// The supervisor may forget the end of this unit.
    Forget(UnitKey),
    /// The controller wants a unit ended that is not here. To be answered with [`Event::Ended`], so that it does not
    /// wait for ever.
    Unknown(UnitKey),
    /// Units are gone and nobody knows how they ended. Make a new connection: what the hello does not name, the
    /// controller treats as lost with the node, rather than as failed by itself.
    Reconnect,
    /// Tell the controller how a unit ended.
    ReportEnd {
        /// Which.
        key: UnitKey,
        /// How.
        end: E,
        /// Nothing of that start of the job runs here, and nothing of it will.
        job_is_clean: bool,
    },
    /// Tell the controller that nothing of that start of the job runs here, and nothing of it will.
    ReportClean {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// How its epilog ended, which is told until it is acknowledged; `None` where none was run.
        epilog: Option<E>,
    },
}
