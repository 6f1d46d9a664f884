//! How the controller refuses: Slurm's errors, with what else is to be told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the refusals with Slurm's error number and text.
macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $text:literal),+ $(,)?) => {
        /// Why the controller refuses a request: Slurm's error, so that each dialect can say it in its own way.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum RefusalCode { $($(#[$doc])* $variant),+ }

        impl RefusalCode {
            /// Slurm's error number (slurm_errno.h), used by the REST API.
            pub const fn number(self) -> u32 {
                match self { $(RefusalCode::$variant => $number),+ }
            }

            /// Slurm's text.
            pub const fn text(self) -> &'static str {
                match self { $(RefusalCode::$variant => $text),+ }
            }
        }
    };
}

refusals! {
    /// No such job.
    InvalidJobId = 2017 "Invalid job id specified",
    /// No such partition.
    InvalidPartition = 2000 "Invalid partition name specified",
    /// Partition is drained or inactive.
    PartitionUnavailable = 2070 "Required partition not available (inactive or drain)",
    /// Partition not usable by this user.
    AccessDenied = 2002 "Access/permission denied",
    /// No set of nodes can ever satisfy it.
    NodeConfigUnavailable = 2014 "Requested node configuration is not available",
    /// Node count makes no sense or exceeds the partition.
    InvalidNodeCount = 2006 "Node count specification invalid",
    /// More CPUs than can be.
    TooManyCpus = 2005 "More processors requested than permitted",
    /// No such node.
    InvalidNodeName = 2018 "Invalid node name specified",
    /// Job is held.
    JobHeld = 2042 "Job is in held state, pending scheduler release",
    /// No such account, or not for this user and partition.
    InvalidAccount = 2045 "Invalid account or account/partition combination specified",
    /// No such QOS.
    InvalidQos = 2066 "Invalid qos specification",
    /// Dependency on an unknown job, or on itself.
    Dependency = 2038 "Job dependency problem",
    /// Jobs would wait for each other for ever.
    CircularDependency = 2071 "Circular job dependency",
    /// Limit missing or beyond the partition's.
    InvalidTimeLimit = 2051 "Requested time limit is invalid (missing or exceeds some limit)",
    /// No such feature.
    InvalidFeature = 2029 "Invalid feature specification",
    /// A feature that a node is to have at present is none that it can have.
    ActiveFeature = 2031 "Active features not subset of available features",
    /// No such generic resource.
    InvalidGres = 2072 "Invalid generic resource (gres) specification",
    /// More memory than any node has.
    MemoryUnavailable = 2044 "Memory required by task is not available",
    /// No such reservation.
    InvalidReservation = 2053 "Requested reservation is invalid",
    /// Not for this user, account, QOS or partition.
    ReservationAccessDenied = 2052 "Access denied to requested reservation",
    /// A reservation of that name is there.
    ReservationNameDuplicate = 2082 "Duplicate reservation name",
    /// Jobs ask for it.
    ReservationInUse = 2055 "Requested reservation is in use",
    /// Begin or end makes no sense.
    InvalidTimeValue = 2054 "Invalid time specified",
    /// Somebody else has reserved what it asks for.
    ReservationOverlap = 2058 "Requested reservation overlaps with another reservation",
    /// Nobody may use it.
    ReservationEmpty = 2080 "Reservation request lacks users, groups or accounts",
    /// Its begin has passed.
    ReservationStarted = 2104 "Reservation already started",
    /// It does not recur, or has not come to its first time.
    ReservationNotSkippable = 2128 "Reservation given is not skipable, try deleting instead",
    /// Numbers of cores of a reservation cannot be changed.
    ReservationCoresFixed = 2109 "Core-based reservation can not be updated",
    /// Not as many numbers of cores as nodes, or more than they have.
    ReservationCores = 2111 "Core count for reservation node list is not consistent!",
    /// No such group.
    InvalidGroup = 2113 "Invalid group id",
    /// Bad array.
    InvalidArray = 2081 "Invalid job array specification",
    /// No such licence.
    InvalidLicense = 2048 "Invalid license specification",
    /// Script larger than allowed, or otherwise unusable.
    InvalidScript = 2012 "Pathname of a file, directory or other parameter too long",
    /// Job has ended.
    AlreadyDone = 2021 "Job/step already completing or completed",
    /// Job has ended (as `hold`, `suspend` and `update` say it).
    JobFinished = 2084 "Job has already finished",
    /// Job waits.
    JobPending = 2024 "Job is pending execution",
    /// Job runs.
    JobRunning = 2073 "Job is no longer pending execution",
    /// Not possible with this kind of job or setting.
    Disabled = 2037 "Requested operation is presently disabled",
    /// Transition not allowed.
    InvalidTransition = 2020 "Job can not be altered now, try again later",
    /// Cannot start at once.
    CannotStartImmediately = 2013 "Immediate execution impossible, insufficient priority",
    /// Too many jobs in memory.
    TooManyJobs = 11 "Slurm temporarily unable to accept job, sleeping and retrying",
    /// Resources of the job are busy; the step waits or is refused.
    NodesBusy = 2016 "Requested nodes are busy",
    /// Step asks for more than the job holds.
    StepTooLarge = 2014 "Requested node configuration is not available",
    /// Nodes asked for by name are elsewhere.
    NodesNotInPartition = 2004 "Requested nodes not in this partition",
    /// Of QOS that may preempt each other none would ever keep its place.
    QosPreemptionLoop = 2067 "QOS Preemption loop detected",
    /// Node state asked for makes no sense.
    InvalidNodeState = 2028 "Invalid node state specified",
    /// No partition named, and the cluster has no default one.
    NoPartition = 2001 "No partition specified or system default partition",
    /// User's groups may not use the partition.
    GroupNotAllowed = 2003 "User's group not permitted to use this partition",
    /// No such user.
    InvalidUser = 2010 "Invalid user id",
    /// More or fewer nodes, or more time, than the partition allows.
    PartitionConfigUnavailable = 2015 "Requested partition configuration not available now",
    /// Task count makes no sense.
    InvalidTaskCount = 2025 "Task count specification invalid",
    /// Beyond a limit of the account or QOS.
    AccountingPolicy = 2050 "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    /// A job gives what it has to another while something of its own runs.
    StepExists = 4026 "Job step already exists",
    /// Job is suspended.
    JobSuspended = 2077 "Job is current suspended, requested operation disabled",
    /// Job neither runs nor is suspended.
    JobNotRunning = 2085 "Job is not running",
    /// Job is not suspended.
    JobNotSuspended = 2087 "Job is not suspended",
    /// Memory that a job may use is watched more often than it wants to be looked at.
    InvalidFrequency = 4003 "Invalid accounting frequency requested",
    /// `--batch` names features that the job does not ask for.
    InvalidBatchFeature = 2114 "Job --batch option is invalid or not a subset of --constraints",
    /// A list of trackable resources that names nothing.
    InvalidTres = 2115 "Invalid Trackable RESource (TRES) specification",
    /// Weights of resources that are not counted.
    InvalidBillingWeights = 2116 "Invalid TRESBillingWeights specification",
    /// Negative nice value of an ordinary user.
    InvalidNice = 2123 "Invalid --nice value",
    /// `--time-min` above the time limit.
    InvalidTimeMin = 2124 "Invalid time-min specification (exceeds job's time or other limits)",
    /// No such feature in `--prefer`.
    InvalidPrefer = 2133 "Invalid preferred feature specification",
    /// Step asks for generic resources that the job does not have.
    InsufficientGres = 2134 "Insufficient GRES available in allocation",
    /// Request that this build does not know how to do.
    NotSupported = 2036 "Requested operation not supported on this system",
    /// A job waits in the partition or runs in it.
    PartitionInUse = 2075 "Partition is in use",
    /// The priority of a job follows from its nice value for ordinary users.
    PriorityNotPersistent = 2095 "Changes to job priority are not persistent, change nice instead",
    /// A change asks for more CPUs or nodes than there are.
    InvalidCpuCount = 2069 "CPU count specification invalid",
    /// A job that comes again is changed by its user's table.
    CronJobFixed = 2096 "Cannot modify scrontab jobs through scontrol",
    /// A request that makes no sense for what it names.
    UnexpectedMessage = 1000 "Unexpected message received",
    /// A security label that the user cannot have.
    InvalidMcsLabel = 2099 "Invalid mcs_label specified",
    /// The jobs are not components of one heterogeneous job.
    NotHetJob = 2106 "Job not heterogeneous job",
    /// Asked of one component, where only the whole can be meant.
    NotHetJobLeader = 2107 "Job not heterogeneous job leader",
    /// Not possible for one component alone.
    NotWholeHetJob = 2108 "Operation not permitted on individual component of heterogeneous job",
    /// The controller cannot write its state.
    WritingToFile = 2019 "I/O error writing script/environment to file",
    /// Another way of choosing nodes in a configuration that is read again.
    SelectTypeChange = 2033 "SelectType change requires restart of the slurmctld daemon to take effect",
    /// Another scheduler in it.
    SchedulerTypeChange = 2032 "SchedulerType change requires restart of the slurmctld daemon to take effect",
    /// Another interconnect in it.
    SwitchTypeChange = 2034 "SwitchType change requires restart of all Slurm daemons and jobs to take effect",
    /// Another authentication in it.
    AuthTypeChange = 2030 "AuthType change requires restart of all Slurm daemons and commands to take effect",
    /// A configuration that is read again is wrong, or needs a restart; the detail says what.
    InvalidConfiguration = 1 "Unable to process configuration file",
    /// Internal error; see the log of the controller.
    Internal = 1 "Unspecified error",
}

/// A refusal with what it was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Slurm's error.
    pub code: RefusalCode,
    /// What exactly was wrong, for people; may be empty.
    #[serde(default)]
    pub detail: String,
}

impl Refusal {
    /// A refusal with an explanation.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Refusal {
        Refusal { code, detail: detail.into() }
    }
}

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Refusal { code, detail: String::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.text())
    }
}

impl std::error::Error for Refusal {}
