//! Which of Slurm's reasons belongs to which limit.

use super::{CountLimit, TresClass, TresLimit};
use crate::state::Reason;

/// The reason for a limit that is a number, set by a QOS or by an association.
pub(super) fn of_count(is_qos: bool, limit: CountLimit) -> Reason {
    match (limit, is_qos) {
        (CountLimit::GrpJobs, true) => Reason::QosGrpJobs,
        (CountLimit::GrpJobs, false) => Reason::AssocGrpJobs,
        (CountLimit::GrpSubmitJobs, true) => Reason::QosGrpSubmitJobs,
        (CountLimit::GrpSubmitJobs, false) => Reason::AssocGrpSubmitJobs,
        (CountLimit::GrpWall, true) => Reason::QosGrpWall,
        (CountLimit::GrpWall, false) => Reason::AssocGrpWall,
        (CountLimit::MaxWall, true) => Reason::QosMaxWallPerJob,
        (CountLimit::MaxWall, false) => Reason::AssocMaxWallPerJob,
        (CountLimit::MaxJobs, _) => Reason::AssocMaxJobs,
        (CountLimit::MaxSubmitJobs, _) => Reason::AssocMaxSubmitJobs,
        (CountLimit::MaxJobsPerUser, _) => Reason::QosMaxJobsPerUser,
        (CountLimit::MaxJobsPerAccount, _) => Reason::QosMaxJobsPerAccount,
        (CountLimit::MaxSubmitJobsPerUser, _) => Reason::QosMaxSubmitJobsPerUser,
        (CountLimit::MaxSubmitJobsPerAccount, _) => Reason::QosMaxSubmitJobsPerAccount,
        // These keep no job from starting.
        (
            CountLimit::GrpJobsAccrue
            | CountLimit::MaxJobsAccrue
            | CountLimit::MaxJobsAccruePerUser
            | CountLimit::MaxJobsAccruePerAccount
            | CountLimit::MinPrioThreshold,
            _,
        ) => Reason::Priority,
    }
}

/// The reason for a limit on an amount of `name`.
pub(super) fn of_tres(is_qos: bool, limit: TresLimit, name: &str) -> Reason {
    let row = match (limit, is_qos) {
        (TresLimit::GrpTres, true) => &QOS_GRP,
        (TresLimit::GrpTres, false) => &ASSOC_GRP,
        (TresLimit::GrpTresMins, true) => &QOS_GRP_MINUTES,
        (TresLimit::GrpTresMins, false) => &ASSOC_GRP_MINUTES,
        // Slurm has no words of their own for run minutes of users and accounts.
        (TresLimit::GrpTresRunMins | TresLimit::MaxTresRunMinsPerUser | TresLimit::MaxTresRunMinsPerAccount, true) => {
            &QOS_GRP_RUN_MINUTES
        }
        (TresLimit::GrpTresRunMins | TresLimit::MaxTresRunMinsPerUser | TresLimit::MaxTresRunMinsPerAccount, false) => {
            &ASSOC_GRP_RUN_MINUTES
        }
        (TresLimit::MaxTresPerJob, true) => &QOS_MAX_PER_JOB,
        (TresLimit::MaxTresPerJob, false) => &ASSOC_MAX_PER_JOB,
        (TresLimit::MaxTresPerNode, true) => &QOS_MAX_PER_NODE,
        (TresLimit::MaxTresPerNode, false) => &ASSOC_MAX_PER_NODE,
        (TresLimit::MaxTresMinsPerJob, true) => &QOS_MAX_MINUTES_PER_JOB,
        (TresLimit::MaxTresMinsPerJob, false) => &ASSOC_MAX_MINUTES_PER_JOB,
        (TresLimit::MaxTresPerUser, _) => &QOS_MAX_PER_USER,
        (TresLimit::MaxTresPerAccount, _) => &QOS_MAX_PER_ACCOUNT,
        (TresLimit::MinTresPerJob, _) => &QOS_MIN,
    };
    row[match TresClass::of(name) {
        TresClass::Cpu => 0,
        TresClass::Mem => 1,
        TresClass::Node => 2,
        TresClass::Billing => 3,
        TresClass::Energy => 4,
        TresClass::Gres => 5,
        TresClass::License => 6,
        TresClass::BurstBuffer => 7,
        TresClass::Unknown => 8,
    }]
}

// In the order of the numbers above.
const ASSOC_GRP: [Reason; 9] = [
    Reason::AssocGrpCpu,
    Reason::AssocGrpMem,
    Reason::AssocGrpNode,
    Reason::AssocGrpBilling,
    Reason::AssocGrpEnergy,
    Reason::AssocGrpGres,
    Reason::AssocGrpLicense,
    Reason::AssocGrpBurstBuffer,
    Reason::AssocGrpUnknown,
];
const ASSOC_GRP_MINUTES: [Reason; 9] = [
    Reason::AssocGrpCpuMinutes,
    Reason::AssocGrpMemMinutes,
    Reason::AssocGrpNodeMinutes,
    Reason::AssocGrpBillingMinutes,
    Reason::AssocGrpEnergyMinutes,
    Reason::AssocGrpGresMinutes,
    Reason::AssocGrpLicenseMinutes,
    Reason::AssocGrpBurstBufferMinutes,
    Reason::AssocGrpUnknownMinutes,
];
const ASSOC_GRP_RUN_MINUTES: [Reason; 9] = [
    Reason::AssocGrpCpuRunMinutes,
    Reason::AssocGrpMemRunMinutes,
    Reason::AssocGrpNodeRunMinutes,
    Reason::AssocGrpBillingRunMinutes,
    Reason::AssocGrpEnergyRunMinutes,
    Reason::AssocGrpGresRunMinutes,
    Reason::AssocGrpLicenseRunMinutes,
    Reason::AssocGrpBurstBufferRunMinutes,
    Reason::AssocGrpUnknownRunMinutes,
];
const ASSOC_MAX_PER_JOB: [Reason; 9] = [
    Reason::AssocMaxCpuPerJob,
    Reason::AssocMaxMemPerJob,
    Reason::AssocMaxNodePerJob,
    Reason::AssocMaxBillingPerJob,
    Reason::AssocMaxEnergyPerJob,
    Reason::AssocMaxGresPerJob,
    Reason::AssocMaxLicensePerJob,
    Reason::AssocMaxBurstBufferPerJob,
    Reason::AssocMaxUnknownPerJob,
];
const ASSOC_MAX_PER_NODE: [Reason; 9] = [
    Reason::AssocMaxCpuPerNode,
    Reason::AssocMaxMemPerNode,
    Reason::AssocMaxNodePerNode,
    Reason::AssocMaxBillingPerNode,
    Reason::AssocMaxEnergyPerNode,
    Reason::AssocMaxGresPerNode,
    Reason::AssocMaxNodePerNode,
    Reason::AssocMaxBurstBufferPerNode,
    Reason::AssocMaxNodePerNode,
];
const ASSOC_MAX_MINUTES_PER_JOB: [Reason; 9] = [
    Reason::AssocMaxCpuMinutesPerJob,
    Reason::AssocMaxMemMinutesPerJob,
    Reason::AssocMaxNodeMinutesPerJob,
    Reason::AssocMaxBillingMinutesPerJob,
    Reason::AssocMaxEnergyMinutesPerJob,
    Reason::AssocMaxGresMinutesPerJob,
    Reason::AssocMaxLicenseMinutesPerJob,
    Reason::AssocMaxBurstBufferMinutesPerJob,
    Reason::AssocMaxUnknownMinutesPerJob,
];
const QOS_GRP: [Reason; 9] = [
    Reason::QosGrpCpu,
    Reason::QosGrpMem,
    Reason::QosGrpNode,
    Reason::QosGrpBilling,
    Reason::QosGrpEnergy,
    Reason::QosGrpGres,
    Reason::QosGrpLicense,
    Reason::QosGrpBurstBuffer,
    Reason::QosGrpUnknown,
];
const QOS_GRP_MINUTES: [Reason; 9] = [
    Reason::QosGrpCpuMinutes,
    Reason::QosGrpMemMinutes,
    Reason::QosGrpNodeMinutes,
    Reason::QosGrpBillingMinutes,
    Reason::QosGrpEnergyMinutes,
    Reason::QosGrpGresMinutes,
    Reason::QosGrpLicenseMinutes,
    Reason::QosGrpBurstBufferMinutes,
    Reason::QosGrpUnknownMinutes,
];
const QOS_GRP_RUN_MINUTES: [Reason; 9] = [
    Reason::QosGrpCpuRunMinutes,
    Reason::QosGrpMemRunMinutes,
    Reason::QosGrpNodeRunMinutes,
    Reason::QosGrpBillingRunMinutes,
    Reason::QosGrpEnergyRunMinutes,
    Reason::QosGrpGresRunMinutes,
    Reason::QosGrpLicenseRunMinutes,
    Reason::QosGrpBurstBufferRunMinutes,
    Reason::QosGrpUnknownRunMinutes,
];
const QOS_MAX_PER_JOB: [Reason; 9] = [
    Reason::QosMaxCpuPerJob,
    Reason::QosMaxMemPerJob,
    Reason::QosMaxNodePerJob,
    Reason::QosMaxBillingPerJob,
    Reason::QosMaxEnergyPerJob,
    Reason::QosMaxGresPerJob,
    Reason::QosMaxLicensePerJob,
    Reason::QosMaxBurstBufferPerJob,
    Reason::QosMaxUnknownPerJob,
];
const QOS_MAX_PER_NODE: [Reason; 9] = [
    Reason::QosMaxCpuPerNode,
    Reason::QosMaxMemPerNode,
    Reason::QosMaxNodePerNode,
    Reason::QosMaxBillingPerNode,
    Reason::QosMaxEnergyPerNode,
    Reason::QosMaxGresPerNode,
    Reason::QosMaxNodePerNode,
    Reason::QosMaxBurstBufferPerNode,
    Reason::QosMaxNodePerNode,
];
const QOS_MAX_PER_USER: [Reason; 9] = [
    Reason::QosMaxCpuPerUser,
    Reason::QosMaxMemPerUser,
    Reason::QosMaxNodePerUser,
    Reason::QosMaxBillingPerUser,
    Reason::QosMaxEnergyPerUser,
    Reason::QosMaxGresPerUser,
    Reason::QosMaxLicensePerUser,
    Reason::QosMaxBurstBufferPerUser,
    Reason::QosMaxUnknownPerUser,
];
const QOS_MAX_PER_ACCOUNT: [Reason; 9] = [
    Reason::QosMaxCpuPerAccount,
    Reason::QosMaxMemPerAccount,
    Reason::QosMaxNodePerAccount,
    Reason::QosMaxBillingPerAccount,
    Reason::QosMaxEnergyPerAccount,
    Reason::QosMaxGresPerAccount,
    Reason::QosMaxLicensePerAccount,
    Reason::QosMaxBurstBufferPerAccount,
    Reason::QosMaxUnknownPerAccount,
];
const QOS_MAX_MINUTES_PER_JOB: [Reason; 9] = [
    Reason::QosMaxCpuMinutesPerJob,
    Reason::QosMaxMemMinutesPerJob,
    Reason::QosMaxNodeMinutesPerJob,
    Reason::QosMaxBillingMinutesPerJob,
    Reason::QosMaxEnergyMinutesPerJob,
    Reason::QosMaxGresMinutesPerJob,
    Reason::QosMaxLicenseMinutesPerJob,
    Reason::QosMaxBurstBufferMinutesPerJob,
    Reason::QosMaxUnknownMinutesPerJob,
];
const QOS_MIN: [Reason; 9] = [
    Reason::QosMinCpu,
    Reason::QosMinMem,
    Reason::QosMinNode,
    Reason::QosMinBilling,
    Reason::QosMinEnergy,
    Reason::QosMinGres,
    Reason::QosMinLicense,
    Reason::QosMinBurstBuffer,
    Reason::QosMinUnknown,
];
