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
        /// A size that a job had before it changed. Only in the history.
        Resizing = "RESIZING",
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
            JobState::Resizing => "RS",
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
        /// As many jobs of an association and those below it run as may.
        AssocGrpJobs = "AssocGrpJobsLimit",
        /// As many jobs of an association and those below it wait or run as may.
        AssocGrpSubmitJobs = "AssocGrpSubmitJobsLimit",
        /// An association has used up its run time.
        AssocGrpWall = "AssocGrpWallLimit",
        /// As many jobs of its association run as may.
        AssocMaxJobs = "AssocMaxJobsLimit",
        /// As many jobs of its association wait or run as may.
        AssocMaxSubmitJobs = "AssocMaxSubmitJobLimit",
        /// Asks for more time than a job of its association may.
        AssocMaxWallPerJob = "AssocMaxWallDurationPerJobLimit",
        /// As many jobs of a QOS run as may.
        QosGrpJobs = "QOSGrpJobsLimit",
        /// As many jobs of a QOS wait or run as may.
        QosGrpSubmitJobs = "QOSGrpSubmitJobsLimit",
        /// A QOS has used up its run time.
        QosGrpWall = "QOSGrpWallLimit",
        /// As many jobs of the user run under its QOS as may.
        QosMaxJobsPerUser = "QOSMaxJobsPerUserLimit",
        /// As many jobs of the account run under its QOS as may.
        QosMaxJobsPerAccount = "MaxJobsPerAccount",
        /// As many jobs of the user wait or run under its QOS as may.
        QosMaxSubmitJobsPerUser = "QOSMaxSubmitJobPerUserLimit",
        /// As many jobs of the account wait or run under its QOS as may.
        QosMaxSubmitJobsPerAccount = "MaxSubmitJobsPerAccount",
        /// Asks for more time than a job of its QOS may.
        QosMaxWallPerJob = "QOSMaxWallDurationPerJobLimit",
        /// The fair-share factor of its association is below what its QOS asks for.
        QosUsageThreshold = "QOSUsageThreshold",
        /// Its QOS may not be used with its association or in its partition.
        QosNotAllowed = "QOSNotAllowed",
        /// An association with all below it holds as much as it may: CPUs.
        AssocGrpCpu = "AssocGrpCpuLimit",
        /// An association with all below it holds as much as it may: memory.
        AssocGrpMem = "AssocGrpMemLimit",
        /// An association with all below it holds as much as it may: nodes.
        AssocGrpNode = "AssocGrpNodeLimit",
        /// An association with all below it holds as much as it may: billing.
        AssocGrpBilling = "AssocGrpBilling",
        /// An association with all below it holds as much as it may: energy.
        AssocGrpEnergy = "AssocGrpEnergy",
        /// An association with all below it holds as much as it may: generic resources.
        AssocGrpGres = "AssocGrpGRES",
        /// An association with all below it holds as much as it may: licences.
        AssocGrpLicense = "AssocGrpLicense",
        /// An association with all below it holds as much as it may: burst buffer.
        AssocGrpBurstBuffer = "AssocGrpBB",
        /// An association with all below it holds as much as it may: another resource.
        AssocGrpUnknown = "AssocGrpUnknown",
        /// An association has used up its minutes: CPUs.
        AssocGrpCpuMinutes = "AssocGrpCPUMinutesLimit",
        /// An association has used up its minutes: memory.
        AssocGrpMemMinutes = "AssocGrpMemMinutes",
        /// An association has used up its minutes: nodes.
        AssocGrpNodeMinutes = "AssocGrpNodeMinutes",
        /// An association has used up its minutes: billing.
        AssocGrpBillingMinutes = "AssocGrpBillingMinutes",
        /// An association has used up its minutes: energy.
        AssocGrpEnergyMinutes = "AssocGrpEnergyMinutes",
        /// An association has used up its minutes: generic resources.
        AssocGrpGresMinutes = "AssocGrpGRESMinutes",
        /// An association has used up its minutes: licences.
        AssocGrpLicenseMinutes = "AssocGrpLicenseMinutes",
        /// An association has used up its minutes: burst buffer.
        AssocGrpBurstBufferMinutes = "AssocGrpBBMinutes",
        /// An association has used up its minutes: another resource.
        AssocGrpUnknownMinutes = "AssocGrpUnknownMinutes",
        /// What runs in an association may still use as much as it may: CPUs.
        AssocGrpCpuRunMinutes = "AssocGrpCPURunMinutesLimit",
        /// What runs in an association may still use as much as it may: memory.
        AssocGrpMemRunMinutes = "AssocGrpMemRunMinutes",
        /// What runs in an association may still use as much as it may: nodes.
        AssocGrpNodeRunMinutes = "AssocGrpNodeRunMinutes",
        /// What runs in an association may still use as much as it may: billing.
        AssocGrpBillingRunMinutes = "AssocGrpBillingRunMinutes",
        /// What runs in an association may still use as much as it may: energy.
        AssocGrpEnergyRunMinutes = "AssocGrpEnergyRunMinutes",
        /// What runs in an association may still use as much as it may: generic resources.
        AssocGrpGresRunMinutes = "AssocGrpGRESRunMinutes",
        /// What runs in an association may still use as much as it may: licences.
        AssocGrpLicenseRunMinutes = "AssocGrpLicenseRunMinutes",
        /// What runs in an association may still use as much as it may: burst buffer.
        AssocGrpBurstBufferRunMinutes = "AssocGrpBBRunMinutes",
        /// What runs in an association may still use as much as it may: another resource.
        AssocGrpUnknownRunMinutes = "AssocGrpUnknownRunMinutes",
        /// Asks for more than a job of its association may: CPUs.
        AssocMaxCpuPerJob = "AssocMaxCpuPerJobLimit",
        /// Asks for more than a job of its association may: memory.
        AssocMaxMemPerJob = "AssocMaxMemPerJob",
        /// Asks for more than a job of its association may: nodes.
        AssocMaxNodePerJob = "AssocMaxNodePerJobLimit",
        /// Asks for more than a job of its association may: billing.
        AssocMaxBillingPerJob = "AssocMaxBillingPerJob",
        /// Asks for more than a job of its association may: energy.
        AssocMaxEnergyPerJob = "AssocMaxEnergyPerJob",
        /// Asks for more than a job of its association may: generic resources.
        AssocMaxGresPerJob = "AssocMaxGRESPerJob",
        /// Asks for more than a job of its association may: licences.
        AssocMaxLicensePerJob = "AssocMaxLicensePerJob",
        /// Asks for more than a job of its association may: burst buffer.
        AssocMaxBurstBufferPerJob = "AssocMaxBBPerJob",
        /// Asks for more than a job of its association may: another resource.
        AssocMaxUnknownPerJob = "AssocMaxUnknownPerJob",
        /// Asks for more on a node than a job of its association may: CPUs.
        AssocMaxCpuPerNode = "AssocMaxCpuPerNode",
        /// Asks for more on a node than a job of its association may: memory.
        AssocMaxMemPerNode = "AssocMaxMemPerNode",
        /// Asks for more on a node than a job of its association may: nodes.
        AssocMaxNodePerNode = "AssocMaxUnknownPerNode",
        /// Asks for more on a node than a job of its association may: billing.
        AssocMaxBillingPerNode = "AssocMaxBillingPerNode",
        /// Asks for more on a node than a job of its association may: energy.
        AssocMaxEnergyPerNode = "AssocMaxEnergyPerNode",
        /// Asks for more on a node than a job of its association may: generic resources.
        AssocMaxGresPerNode = "AssocMaxGRESPerNode",
        /// Asks for more on a node than a job of its association may: burst buffer.
        AssocMaxBurstBufferPerNode = "AssocMaxBBPerNode",
        /// May take more minutes than a job of its association may: CPUs.
        AssocMaxCpuMinutesPerJob = "AssocMaxCpuMinutesPerJobLimit",
        /// May take more minutes than a job of its association may: memory.
        AssocMaxMemMinutesPerJob = "AssocMaxMemMinutesPerJob",
        /// May take more minutes than a job of its association may: nodes.
        AssocMaxNodeMinutesPerJob = "AssocMaxNodeMinutesPerJob",
        /// May take more minutes than a job of its association may: billing.
        AssocMaxBillingMinutesPerJob = "AssocMaxBillingMinutesPerJob",
        /// May take more minutes than a job of its association may: energy.
        AssocMaxEnergyMinutesPerJob = "AssocMaxEnergyMinutesPerJob",
        /// May take more minutes than a job of its association may: generic resources.
        AssocMaxGresMinutesPerJob = "AssocMaxGRESMinutesPerJob",
        /// May take more minutes than a job of its association may: licences.
        AssocMaxLicenseMinutesPerJob = "AssocMaxLicenseMinutesPerJob",
        /// May take more minutes than a job of its association may: burst buffer.
        AssocMaxBurstBufferMinutesPerJob = "AssocMaxBBMinutesPerJob",
        /// May take more minutes than a job of its association may: another resource.
        AssocMaxUnknownMinutesPerJob = "AssocMaxUnknownMinutesPerJob",
        /// All jobs of a QOS hold as much as they may: CPUs.
        QosGrpCpu = "QOSGrpCpuLimit",
        /// All jobs of a QOS hold as much as they may: memory.
        QosGrpMem = "QOSGrpMemLimit",
        /// All jobs of a QOS hold as much as they may: nodes.
        QosGrpNode = "QOSGrpNodeLimit",
        /// All jobs of a QOS hold as much as they may: billing.
        QosGrpBilling = "QOSGrpBilling",
        /// All jobs of a QOS hold as much as they may: energy.
        QosGrpEnergy = "QOSGrpEnergy",
        /// All jobs of a QOS hold as much as they may: generic resources.
        QosGrpGres = "QOSGrpGRES",
        /// All jobs of a QOS hold as much as they may: licences.
        QosGrpLicense = "QOSGrpLicense",
        /// All jobs of a QOS hold as much as they may: burst buffer.
        QosGrpBurstBuffer = "QOSGrpBB",
        /// All jobs of a QOS hold as much as they may: another resource.
        QosGrpUnknown = "QOSGrpUnknown",
        /// A QOS has used up its minutes: CPUs.
        QosGrpCpuMinutes = "QOSGrpCPUMinutesLimit",
        /// A QOS has used up its minutes: memory.
        QosGrpMemMinutes = "QOSGrpMemoryMinutes",
        /// A QOS has used up its minutes: nodes.
        QosGrpNodeMinutes = "QOSGrpNodeMinutes",
        /// A QOS has used up its minutes: billing.
        QosGrpBillingMinutes = "QOSGrpBillingMinutes",
        /// A QOS has used up its minutes: energy.
        QosGrpEnergyMinutes = "QOSGrpEnergyMinutes",
        /// A QOS has used up its minutes: generic resources.
        QosGrpGresMinutes = "QOSGrpGRESMinutes",
        /// A QOS has used up its minutes: licences.
        QosGrpLicenseMinutes = "QOSGrpLicenseMinutes",
        /// A QOS has used up its minutes: burst buffer.
        QosGrpBurstBufferMinutes = "QOSGrpBBMinutes",
        /// A QOS has used up its minutes: another resource.
        QosGrpUnknownMinutes = "QOSGrpUnknownMinutes",
        /// What runs under a QOS may still use as much as it may: CPUs.
        QosGrpCpuRunMinutes = "QOSGrpCPURunMinutesLimit",
        /// What runs under a QOS may still use as much as it may: memory.
        QosGrpMemRunMinutes = "QOSGrpMemoryRunMinutes",
        /// What runs under a QOS may still use as much as it may: nodes.
        QosGrpNodeRunMinutes = "QOSGrpNodeRunMinutes",
        /// What runs under a QOS may still use as much as it may: billing.
        QosGrpBillingRunMinutes = "QOSGrpBillingRunMinutes",
        /// What runs under a QOS may still use as much as it may: energy.
        QosGrpEnergyRunMinutes = "QOSGrpEnergyRunMinutes",
        /// What runs under a QOS may still use as much as it may: generic resources.
        QosGrpGresRunMinutes = "QOSGrpGRESRunMinutes",
        /// What runs under a QOS may still use as much as it may: licences.
        QosGrpLicenseRunMinutes = "QOSGrpLicenseRunMinutes",
        /// What runs under a QOS may still use as much as it may: burst buffer.
        QosGrpBurstBufferRunMinutes = "QOSGrpBBRunMinutes",
        /// What runs under a QOS may still use as much as it may: another resource.
        QosGrpUnknownRunMinutes = "QOSGrpUnknownRunMinutes",
        /// Asks for more than a job of its QOS may: CPUs.
        QosMaxCpuPerJob = "QOSMaxCpuPerJobLimit",
        /// Asks for more than a job of its QOS may: memory.
        QosMaxMemPerJob = "QOSMaxMemoryPerJob",
        /// Asks for more than a job of its QOS may: nodes.
        QosMaxNodePerJob = "QOSMaxNodePerJobLimit",
        /// Asks for more than a job of its QOS may: billing.
        QosMaxBillingPerJob = "QOSMaxBillingPerJob",
        /// Asks for more than a job of its QOS may: energy.
        QosMaxEnergyPerJob = "QOSMaxEnergyPerJob",
        /// Asks for more than a job of its QOS may: generic resources.
        QosMaxGresPerJob = "QOSMaxGRESPerJob",
        /// Asks for more than a job of its QOS may: licences.
        QosMaxLicensePerJob = "QOSMaxLicensePerJob",
        /// Asks for more than a job of its QOS may: burst buffer.
        QosMaxBurstBufferPerJob = "QOSMaxBBPerJob",
        /// Asks for more than a job of its QOS may: another resource.
        QosMaxUnknownPerJob = "QOSMaxUnknownPerJob",
        /// Asks for more on a node than a job of its QOS may: CPUs.
        QosMaxCpuPerNode = "QOSMaxCpuPerNode",
        /// Asks for more on a node than a job of its QOS may: memory.
        QosMaxMemPerNode = "QOSMaxMemoryPerNode",
        /// Asks for more on a node than a job of its QOS may: nodes.
        QosMaxNodePerNode = "QOSMaxUnknownPerNode",
        /// Asks for more on a node than a job of its QOS may: billing.
        QosMaxBillingPerNode = "QOSMaxBillingPerNode",
        /// Asks for more on a node than a job of its QOS may: energy.
        QosMaxEnergyPerNode = "QOSMaxEnergyPerNode",
        /// Asks for more on a node than a job of its QOS may: generic resources.
        QosMaxGresPerNode = "QOSMaxGRESPerNode",
        /// Asks for more on a node than a job of its QOS may: burst buffer.
        QosMaxBurstBufferPerNode = "QOSMaxBBPerNode",
        /// The user holds as much under its QOS as one may: CPUs.
        QosMaxCpuPerUser = "QOSMaxCpuPerUserLimit",
        /// The user holds as much under its QOS as one may: memory.
        QosMaxMemPerUser = "QOSMaxMemoryPerUser",
        /// The user holds as much under its QOS as one may: nodes.
        QosMaxNodePerUser = "QOSMaxNodePerUserLimit",
        /// The user holds as much under its QOS as one may: billing.
        QosMaxBillingPerUser = "QOSMaxBillingPerUser",
        /// The user holds as much under its QOS as one may: energy.
        QosMaxEnergyPerUser = "QOSMaxEnergyPerUser",
        /// The user holds as much under its QOS as one may: generic resources.
        QosMaxGresPerUser = "QOSMaxGRESPerUser",
        /// The user holds as much under its QOS as one may: licences.
        QosMaxLicensePerUser = "QOSMaxLicensePerUser",
        /// The user holds as much under its QOS as one may: burst buffer.
        QosMaxBurstBufferPerUser = "QOSMaxBBPerUser",
        /// The user holds as much under its QOS as one may: another resource.
        QosMaxUnknownPerUser = "QOSMaxUnknownPerUser",
        /// The account holds as much under its QOS as one may: CPUs.
        QosMaxCpuPerAccount = "MaxCpuPerAccount",
        /// The account holds as much under its QOS as one may: memory.
        QosMaxMemPerAccount = "MaxMemoryPerAccount",
        /// The account holds as much under its QOS as one may: nodes.
        QosMaxNodePerAccount = "MaxNodePerAccount",
        /// The account holds as much under its QOS as one may: billing.
        QosMaxBillingPerAccount = "MaxBillingPerAccount",
        /// The account holds as much under its QOS as one may: energy.
        QosMaxEnergyPerAccount = "MaxEnergyPerAccount",
        /// The account holds as much under its QOS as one may: generic resources.
        QosMaxGresPerAccount = "MaxGRESPerAccount",
        /// The account holds as much under its QOS as one may: licences.
        QosMaxLicensePerAccount = "MaxLicensePerAccount",
        /// The account holds as much under its QOS as one may: burst buffer.
        QosMaxBurstBufferPerAccount = "MaxBBPerAccount",
        /// The account holds as much under its QOS as one may: another resource.
        QosMaxUnknownPerAccount = "MaxUnknownPerAccount",
        /// May take more minutes than a job of its QOS may: CPUs.
        QosMaxCpuMinutesPerJob = "QOSMaxCpuMinutesPerJobLimit",
        /// May take more minutes than a job of its QOS may: memory.
        QosMaxMemMinutesPerJob = "QOSMaxMemoryMinutesPerJob",
        /// May take more minutes than a job of its QOS may: nodes.
        QosMaxNodeMinutesPerJob = "QOSMaxNodeMinutesPerJob",
        /// May take more minutes than a job of its QOS may: billing.
        QosMaxBillingMinutesPerJob = "QOSMaxBillingMinutesPerJob",
        /// May take more minutes than a job of its QOS may: energy.
        QosMaxEnergyMinutesPerJob = "QOSMaxEnergyMinutesPerJob",
        /// May take more minutes than a job of its QOS may: generic resources.
        QosMaxGresMinutesPerJob = "QOSMaxGRESMinutesPerJob",
        /// May take more minutes than a job of its QOS may: licences.
        QosMaxLicenseMinutesPerJob = "QOSMaxLicenseMinutesPerJob",
        /// May take more minutes than a job of its QOS may: burst buffer.
        QosMaxBurstBufferMinutesPerJob = "QOSMaxBBMinutesPerJob",
        /// May take more minutes than a job of its QOS may: another resource.
        QosMaxUnknownMinutesPerJob = "QOSMaxUnknownMinutesPerJob",
        /// Asks for less than a job of its QOS must: CPUs.
        QosMinCpu = "QOSMinCpuNotSatisfied",
        /// Asks for less than a job of its QOS must: memory.
        QosMinMem = "QOSMinMemory",
        /// Asks for less than a job of its QOS must: nodes.
        QosMinNode = "QOSMinNode",
        /// Asks for less than a job of its QOS must: billing.
        QosMinBilling = "QOSMinBilling",
        /// Asks for less than a job of its QOS must: energy.
        QosMinEnergy = "QOSMinEnergy",
        /// Asks for less than a job of its QOS must: generic resources.
        QosMinGres = "QOSMinGRES",
        /// Asks for less than a job of its QOS must: licences.
        QosMinLicense = "QOSMinLicense",
        /// Asks for less than a job of its QOS must: burst buffer.
        QosMinBurstBuffer = "QOSMinBB",
        /// Asks for less than a job of its QOS must: another resource.
        QosMinUnknown = "QOSMinUnknown",
    }
}

impl Reason {
    /// Whether it is a limit of an association or QOS, which passes when others end or the limit is changed.
    pub fn is_limit(self) -> bool {
        (Reason::AssocGrpJobs..=Reason::QosMinUnknown).contains(&self)
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

    /// The kernel killed a process of it for lack of memory, as Slurm tells it (`0:125`).
    pub const OUT_OF_MEMORY: ExitStatus = ExitStatus { code: 0, signal: 125 };

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
