//! States of jobs and the reasons why pending jobs wait, with the names Slurm prints.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an enum whose variants print as fixed words and can be found by them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $long:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// All values, in the order of declaration.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word that is printed.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $long),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The base state of a job. Flags such as [`Job::completing`](crate::job::Job::completing) may be shown instead.
    JobState {
        /// Waits in the queue.
        Pending = "PENDING",
        /// Holds its allocation.
        Running = "RUNNING",
        /// Stopped; its CPUs may be used by others, its memory not.
        Suspended = "SUSPENDED",
        /// Ended with exit code 0.
        Completed = "COMPLETED",
        /// Ended by a user or an operator.
        Cancelled = "CANCELLED",
        /// Ended with another exit code or by a signal.
        Failed = "FAILED",
        /// Ended because it reached its time limit.
        Timeout = "TIMEOUT",
        /// Ended because a node of it failed.
        NodeFail = "NODE_FAIL",
        /// Ended in favour of a more important job.
        Preempted = "PREEMPTED",
        /// Ended because its nodes did not boot.
        BootFail = "BOOT_FAIL",
        /// Ended because it could not finish before its deadline.
        Deadline = "DEADLINE",
        /// Ended because it used more memory than it holds.
        OutOfMemory = "OUT_OF_MEMORY",
        /// An earlier start of a job that was put back into the queue. Only in the history.
        Requeued = "REQUEUED",
    }
}

impl JobState {
    /// The short form: `PD`, `R`, `CD`, …
    pub const fn compact(self) -> &'static str {
        match self {
            JobState::Pending => "PD",
            JobState::Running => "R",
            JobState::Suspended => "S",
            JobState::Completed => "CD",
            JobState::Cancelled => "CA",
            JobState::Failed => "F",
            JobState::Timeout => "TO",
            JobState::NodeFail => "NF",
            JobState::Preempted => "PR",
            JobState::BootFail => "BF",
            JobState::Deadline => "DL",
            JobState::OutOfMemory => "OOM",
            JobState::Requeued => "RQ",
        }
    }

    /// Whether a job in this state will never run again.
    pub const fn is_final(self) -> bool {
        !matches!(self, JobState::Pending | JobState::Running | JobState::Suspended)
    }
}

words! {
    /// Why a job is in its state; for a pending job, what it waits for (Slurm's `Reason`).
    Reason {
        /// Not yet looked at, or nothing to say.
        None = "None",
        /// Jobs ahead of it in the queue come first.
        Priority = "Priority",
        /// It is the first that waits for resources in use.
        Resources = "Resources",
        /// Waits for other jobs.
        Dependency = "Dependency",
        /// A job it depends on ended in a way that can never satisfy the dependency.
        DependencyNeverSatisfied = "DependencyNeverSatisfied",
        /// Its begin time has not come.
        BeginTime = "BeginTime",
        /// Held by its user.
        JobHeldUser = "JobHeldUser",
        /// Held by an operator.
        JobHeldAdmin = "JobHeldAdmin",
        /// As many tasks of the array run as its throttle allows.
        JobArrayTaskLimit = "JobArrayTaskLimit",
        /// A licence it needs is in use.
        Licenses = "Licenses",
        /// Its reservation has not begun or its resources are in use.
        Reservation = "Reservation",
        /// The reservation it asked for is gone.
        ReservationDeleted = "ReservationDeleted",
        /// A node it named cannot be used now.
        ReqNodeNotAvail = "ReqNodeNotAvail",
        /// Its partition is down.
        PartitionDown = "PartitionDown",
        /// Its partition is inactive.
        PartitionInactive = "PartitionInactive",
        /// It asks for more time than its partition allows.
        PartitionTimeLimit = "PartitionTimeLimit",
        /// It asks for more or fewer nodes than its partition allows.
        PartitionNodeLimit = "PartitionNodeLimit",
        /// Something else about its partition forbids it.
        PartitionConfig = "PartitionConfig",
        /// It asks for more memory than its partition allows.
        MaxMemPerLimit = "MaxMemPerLimit",
        /// No node of the cluster can ever satisfy it.
        BadConstraints = "BadConstraints",
        /// Features it needs are not available now.
        Constraints = "Constraints",
        /// A node it needs is down.
        NodeDown = "NodeDown",
        /// Ended with an exit code other than 0.
        NonZeroExitCode = "NonZeroExitCode",
        /// Ended by a signal.
        RaisedSignal = "RaisedSignal",
        /// Reached its time limit.
        TimeLimit = "TimeLimit",
        /// Used more memory than it holds.
        OutOfMemory = "OutOfMemory",
        /// The launch failed on a node.
        JobLaunchFailure = "JobLaunchFailure",
        /// The launch failed too often; held.
        JobHoldMaxRequeue = "JobHoldMaxRequeue",
        /// The last processes of an earlier start are being cleaned up.
        Cleaning = "Cleaning",
        /// The node failed or did not answer.
        SystemFailure = "SystemFailure",
        /// Could not finish before its deadline.
        DeadLine = "DeadLine",
        /// Account not allowed or unknown.
        InvalidAccount = "InvalidAccount",
        /// QOS unknown.
        InvalidQos = "InvalidQOS",
    }
}

/// How a process, step or job ended: an exit code, and the signal that killed it (0 for none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ExitStatus {
    /// Exit code, 0 to 255.
    pub code: u8,
    /// Signal number, 0 when the process ended by itself.
    pub signal: u8,
}

impl ExitStatus {
    /// Ended by itself with code 0.
    pub const SUCCESS: ExitStatus = ExitStatus { code: 0, signal: 0 };

    /// Ended by itself with `code`.
    pub const fn exited(code: u8) -> ExitStatus {
        ExitStatus { code, signal: 0 }
    }

    /// Killed by `signal`.
    pub const fn signaled(signal: u8) -> ExitStatus {
        ExitStatus { code: 0, signal }
    }

    /// Whether it ended by itself with code 0.
    pub const fn is_success(self) -> bool {
        self.code == 0 && self.signal == 0
    }

    /// Which of two ends describes a step of several tasks: a signal beats a code, a higher code beats a lower one.
    pub fn worse(self, other: ExitStatus) -> ExitStatus {
        if (other.signal, other.code) > (self.signal, self.code) { other } else { self }
    }
}

/// Prints Slurm's `code:signal`.
impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code, self.signal)
    }
}

/// Resources used by processes that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, microseconds.
    pub user_cpu_us: u64,
    /// CPU time in system mode, microseconds.
    pub system_cpu_us: u64,
    /// Largest resident set of any one process, KiB.
    pub rss_kb_max: u64,
}

impl Usage {
    /// Adds the times and keeps the larger peak.
    pub fn add(&mut self, other: Usage) {
        self.user_cpu_us += other.user_cpu_us;
        self.system_cpu_us += other.system_cpu_us;
        self.rss_kb_max = self.rss_kb_max.max(other.rss_kb_max);
    }
}
