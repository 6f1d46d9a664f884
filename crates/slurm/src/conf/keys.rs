//! Which parameters exist, and which of them this version acts on.

use super::table::SHOWN;

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is acted on.
    Used,
    /// It is read and shown, and named once in the log as not acted on.
    Known,
    /// It is not set by anybody; its value comes from the running system.
    Computed,
}

/// One parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Spelling in `scontrol show config`.
    pub name: &'static str,
    /// Value when nobody sets it, without the unit.
    pub default: &'static str,
    /// What is printed after a number.
    pub unit: &'static str,
    /// What becomes of it.
    pub standing: Standing,
}

/// Parameters that exist, or existed in earlier versions and stand in many files, but are not listed by `show config`.
const OTHERS: &[&str] = &[
    "AccountingStorageLoc",
    "AccountingStoragePass",
    "AccountingStoreJobComment",
    "AcctGatherInfinibandType",
    "AllowSpecResourcesUsage",
    "AuthenticationMethod",
    "BackupAddr",
    "BackupController",
    "BOOT_TIME",
    "CacheGroups",
    "CheckpointType",
    "ConstrainRAMSpace",
    "ControlAddr",
    "ControlMachine",
    "CryptoType",
    "DefaultStorageHost",
    "DefaultStorageLoc",
    "DefaultStoragePass",
    "DefaultStoragePort",
    "DefaultStorageType",
    "DefaultStorageUser",
    "DefCpuPerGPU",
    "DefMemPerCPU",
    "DefMemPerGPU",
    "DisableRootJobs",
    "FastSchedule",
    "HashPlugin",
    "InteractiveStepOptions",
    "JobAcctGatherParams",
    "JobAcctFrequency",
    "JobAcctType",
    "JobCheckpointDir",
    "JobCompPass",
    "JobContainerPlugin",
    "JobCompParams",
    "KeepAliveTime",
    "MaxBatchRequeue",
    "MaxJobId",
    "MaxMemPerCPU",
    "MaxStepCount",
    "MCSPlugin",
    "MemLimitEnforce",
    "MetricsType",
    "NamespaceType",
    "NodeFeaturesPlugins",
    "Parameters",
    "PriorityWeightFairshare",
    "ProctrackType",
    "PropagatePrioProcess",
    "ResumeTimeout",
    "SallocDefaultCommand",
    "SchedulerAuth",
    "SchedulerPort",
    "SchedulerRootFilter",
    "SlurmctldAddr",
    "SlurmctldHost",
    "SlurmctldSyslogDebug",
    "SrunEpilog",
    "StateSaveLocation",
    "SuspendExcStates",
    "SwitchType",
    "TLSType",
    "TLSParameters",
    "UsePAM",
    "WCKey",
];

/// Parameters that belong to the site or to other daemons: silence about them is right, since nothing of what they say
/// concerns how jobs run here.
const QUIET: &[&str] = &[
    "SlurmUser",
    "SlurmdUser",
    "SlurmctldPidFile",
    "SlurmdPidFile",
    "SlurmctldLogFile",
    "SlurmdLogFile",
    "SlurmctldDebug",
    "SlurmdDebug",
    "SlurmctldHost",
    "ControlMachine",
    "ControlAddr",
    "AuthType",
    "CredType",
    "CryptoType",
    "SwitchType",
    "MpiDefault",
    "SlurmdPort",
];

/// How a key of the file is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nobody knows it.
    Unknown,
    /// It is acted on, or needs no word.
    Silently,
    /// It is to be named once in the log as not acted on.
    WithWarning,
}

/// Keys that are acted on although they are not listed by `show config`.
const ALSO_USED: &[&str] = &[
    "AllowSpecResourcesUsage",
    "DefCpuPerGPU",
    "DefMemPerGPU",
    "DefMemPerCPU",
    "MaxMemPerCPU",
    "MaxBatchRequeue",
    "PreemptParameters",
    "FastSchedule",
];

/// How `key` is to be taken.
pub(super) fn standing(key: &str) -> Taken {
    let among = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(key));
    let shown = SHOWN.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(key));
    match shown.map(|parameter| parameter.standing) {
        Some(Standing::Used) => Taken::Silently,
        _ if among(QUIET) || among(ALSO_USED) => Taken::Silently,
        Some(Standing::Known) => Taken::WithWarning,
        Some(Standing::Computed) => Taken::Unknown,
        None if among(OTHERS) => Taken::WithWarning,
        None => Taken::Unknown,
    }
}

/// All parameters that are acted on, for the documentation.
#[cfg(test)]
pub(crate) fn acted_on() -> Vec<&'static str> {
    let used = SHOWN.iter().filter(|parameter| parameter.standing == Standing::Used);
    let mut names: Vec<&str> = used.map(|parameter| parameter.name).chain(ALSO_USED.iter().copied()).collect();
    names.sort_unstable_by_key(|name| name.to_ascii_lowercase());
    names.dedup();
    names
}
