//! What is to be done in the outside world after the facts of an event are durable.

use std::sync::Arc;

use muster_model::fact::Fact;
use muster_model::hooks::HookMoment;
use muster_model::ids::{JobId, NodeIndex, RestartCount, StepId};
use muster_model::job::Job;
use muster_model::mail::Mail;
use muster_model::request::{Answer, Refusal};
use muster_model::step::Step;

use crate::event::{RequestId, UnitKey};

/// One thing to do. Each may be done twice or be lost without harm; what matters is repeated when an agent connects.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// With what.
        result: Result<Answer, Refusal>,
    },
    /// Tell the agent of a node, if it is connected.
    Send {
        /// The node.
        node: NodeIndex,
        /// What.
        command: NodeCommand,
    },
    /// Tell those who wait for news about this job.
    News(Arc<Job>),
    /// Tell the client that holds this job what somebody says to it.
    Message {
        /// The job; of a heterogeneous one the leader.
        job: Arc<Job>,
        /// What, as it was written.
        text: Arc<str>,
    },
    /// Write a mail to the user of a job. One that is lost with the controller is not written again.
    Mail(Box<Mail>),
    /// Run what the site has for this moment where the controller is. The end of a prolog comes back as
    /// [`Event::PrologEnded`](crate::Event::PrologEnded); it is run again where a restart of the controller lost it.
    RunHook {
        /// Before or after the job.
        moment: HookMoment,
        /// The job as it is to see it.
        job: Arc<Job>,
    },
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeCommand {
    /// Read the configuration again.
    Reconfigure,
    /// Start the main unit of a job, or a step.
    Launch {
        /// Ascending on each node. The agent drops what it has passed and does not know.
        sequence: u64,
        /// The job with its specification and allocation.
        job: Arc<Job>,
        /// The step; `None` for the main unit.
        step: Option<Arc<Step>>,
        /// For the main unit of a heterogeneous job, all its components: the script is told what they hold.
        components: Vec<Arc<Job>>,
    },
    /// Send a signal.
    Signal {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// Only to this step; `None` for what `scope` names.
        step: Option<StepId>,
        /// Signal number.
        signal: u8,
        /// To which units.
        scope: SignalScope,
    },
    /// End all processes of that start of the job, or of one step, on the node.
    Clean {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// Only this step.
        step: Option<StepId>,
        /// Time between TERM and KILL, milliseconds.
        kill_wait_ms: u32,
        /// Why, for the job's standard error.
        cause: Option<EndCause>,
    },
    /// Stop or continue all processes of a job.
    Pause {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// Continue rather than stop.
        resume: bool,
    },
    /// Write what somebody says to a job into the error stream of its main unit.
    Say {
        /// The job.
        job_id: JobId,
        /// Which start of it.
        restart: RestartCount,
        /// What, as it was written.
        text: Arc<str>,
    },
    /// The end of this unit is durable; forget it.
    Acknowledge(UnitKey),
}

/// Which units of a job a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalScope {
    /// Steps, not the batch shell.
    Steps,
    /// The batch shell.
    Batch,
    /// Both.
    All,
}

/// Why a job or step is ended from outside; printed as `CANCELLED AT time [DUE TO cause]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// A user or an operator.
    Cancelled,
    /// Its time limit.
    TimeLimit,
    /// It goes back to the queue.
    Requeue,
    /// A node of it failed.
    NodeFailure,
    /// A more important job.
    Preemption,
}

/// What came out of one or several events.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows to make durable, in order.
    pub facts: Vec<Fact>,
    /// What to do once they are.
    pub effects: Vec<Effect>,
    /// Whether something changed that the scheduler should look at.
    pub plan_needed: bool,
}

impl Outcome {
    pub(crate) fn reply(&mut self, request: RequestId, result: Result<Answer, Refusal>) {
        self.effects.push(Effect::Reply { request, result });
    }

    pub(crate) fn send(&mut self, node: NodeIndex, command: NodeCommand) {
        self.effects.push(Effect::Send { node, command });
    }
}
