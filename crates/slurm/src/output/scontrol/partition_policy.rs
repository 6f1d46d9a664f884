//! What of `scontrol update PartitionName=` decides how jobs are treated: preemption, time beyond limits, memory, bills.
//!
//! Words, messages and what is refused: real behaviour of Slurm 22.05.

use muster_model::partition::MemoryDefault;
use muster_model::request::{BillingWeights, JobDefaults, PartitionChanges};
use muster_model::resources::Megabytes;
use muster_model::time::Span;

use super::super::context::Outcome;
use super::Action;
use super::partition::{number, yes};
use super::show::is;
use super::update::Setting;
use crate::conf::partitions::over_time_limit;
use crate::conf::preemption::mode_of;
use crate::conf::priority::weights_of;

/// Takes a setting in; `false` when it is none of these.
pub(super) fn apply(changes: &mut PartitionChanges, setting: &Setting<'_>) -> Result<bool, Action> {
    match () {
        () if setting.is("LLN", 3) => changes.least_loaded = Some(yes(setting)?),
        () if setting.is("ReqResv", 4) => changes.reservation_required = Some(yes(setting)?),
        () if setting.is("ExclusiveUser", 9) => changes.exclusive_user = Some(yes(setting)?),
        () if setting.is("OverTimeLimit", 5) => {
            let limit = over_time_limit(setting.value);
            changes.over_time_limit = Some(limit.ok_or_else(|| bad_value(setting, "OverTimeLimit"))?);
        }
        () if setting.is("PreemptMode", 3) => {
            let unknown = || {
                let word = setting.word;
                Action::complain(&format!("scontrol: error: Invalid input: {word}\nslurm_update error: No error\n"))
            };
            changes.preempt_mode = Some(mode_of(setting.value).ok_or_else(unknown)?);
        }
        () if setting.is("GraceTime", 5) => {
            let seconds: u32 = setting.value.parse().map_err(|_| bad_value(setting, "GraceTime"))?;
            changes.grace_time = Some(Span::from_seconds(seconds.into()));
        }
        () if setting.is("Priority", 8) => {
            let both = number(setting, "Priority")?;
            (changes.priority_tier, changes.priority_job_factor) = (Some(both), Some(both));
        }
        () if setting.is("DefMemPerCPU", 10) => {
            changes.memory_default = Some(memory(setting, "DefMemPerCPU")?.map(MemoryDefault::PerCpu));
        }
        () if setting.is("DefMemPerNode", 10) => {
            changes.memory_default = Some(memory(setting, "DefMemPerNode")?.map(MemoryDefault::PerNode));
        }
        () if setting.is("MaxMemPerCPU", 10) => {
            changes.memory_max = Some(memory(setting, "MaxMemPerCPU")?.map(MemoryDefault::PerCpu));
        }
        () if setting.is("MaxMemPerNode", 10) => {
            changes.memory_max = Some(memory(setting, "MaxMemPerNode")?.map(MemoryDefault::PerNode));
        }
        () if setting.is("JobDefaults", 4) => {
            let defaults = job_defaults(setting.value);
            changes.job_defaults = Some(defaults.ok_or_else(|| refused("Invalid JobDefaults specification"))?);
        }
        () if setting.is("TRESBillingWeights", 5) => {
            let weights = weights_of(setting.value, true);
            let weights = weights.map_err(|_| refused("Invalid TRESBillingWeights specification"))?;
            changes.billing = Some(BillingWeights { text: setting.value.into(), weights });
        }
        () => return Ok(false),
    }
    Ok(true)
}

fn bad_value(setting: &Setting<'_>, key: &str) -> Action {
    let value = setting.value;
    Action::complain(&format!("scontrol: error: Invalid {key} value: {value}\nslurm_update error: No error\n"))
}

/// As the controller refuses it.
fn refused(why: &str) -> Action {
    Action::Print(Outcome::failure(format!("slurm_update error: {why}\n"), 1))
}

/// MiB; 0 for no such limit.
fn memory(setting: &Setting<'_>, key: &str) -> Result<Option<Megabytes>, Action> {
    let amount: u64 = setting.value.parse().map_err(|_| bad_value(setting, key))?;
    Ok((amount > 0).then_some(Megabytes(amount)))
}

/// `DefCpuPerGPU=2,DefMemPerGPU=100`; what is not named, or 0, is taken away.
fn job_defaults(text: &str) -> Option<JobDefaults> {
    let mut defaults = JobDefaults::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=')?;
        match () {
            () if is(key, "DefCpuPerGPU", 12) => {
                defaults.cpus_per_gpu = Some(value.parse().ok()?).filter(|cpus| *cpus > 0);
            }
            () if is(key, "DefMemPerGPU", 12) => {
                defaults.memory_per_gpu = Some(Megabytes(value.parse().ok()?)).filter(|memory| memory.0 > 0);
            }
            () => return None,
        }
    }
    Some(defaults)
}

#[cfg(test)]
mod tests {
    use muster_model::preemption::PreemptMode;
    use muster_model::priority::Weight;

    use super::*;

    fn read(word: &str) -> Result<PartitionChanges, String> {
        let mut changes = PartitionChanges::default();
        match apply(&mut changes, &Setting::read(word).expect("a setting")) {
            Ok(true) => Ok(changes),
            Ok(false) => Err("no such setting".to_owned()),
            Err(Action::Print(outcome)) => Err(outcome.stderr),
            Err(other) => panic!("{word}: {other:?}"),
        }
    }

    #[test]
    fn settings_become_changes() {
        let none = PartitionChanges::default;
        let check = |word: &str, expected: PartitionChanges| assert_eq!(read(word), Ok(expected), "{word}");
        check("lln=yes", PartitionChanges { least_loaded: Some(true), ..none() });
        check("reqresv=no", PartitionChanges { reservation_required: Some(false), ..none() });
        check("ExclusiveUser=YES", PartitionChanges { exclusive_user: Some(true), ..none() });
        check("OverTimeLimit=5", PartitionChanges { over_time_limit: Some(Span::from_minutes(5)), ..none() });
        check("PreemptMode=requeue", PartitionChanges { preempt_mode: Some(PreemptMode::Requeue), ..none() });
        check("GraceTime=30", PartitionChanges { grace_time: Some(Span::from_seconds(30)), ..none() });
        check("Priority=5", PartitionChanges { priority_tier: Some(5), priority_job_factor: Some(5), ..none() });
        let per_cpu = MemoryDefault::PerCpu(Megabytes(100));
        check("DefMemPerCPU=100", PartitionChanges { memory_default: Some(Some(per_cpu)), ..none() });
        check("MaxMemPerNode=0", PartitionChanges { memory_max: Some(None), ..none() });
        let defaults = JobDefaults { cpus_per_gpu: Some(2), memory_per_gpu: Some(Megabytes(100)) };
        let word = "JobDefaults=DefCpuPerGPU=2,DefMemPerGPU=100";
        check(word, PartitionChanges { job_defaults: Some(defaults), ..none() });
        let word = "JobDefaults=DefCpuPerGPU=0";
        check(word, PartitionChanges { job_defaults: Some(JobDefaults::default()), ..none() });
        check("JobDefaults=", PartitionChanges { job_defaults: Some(JobDefaults::default()), ..none() });
        let weights = vec![("cpu".into(), Weight(1.0)), ("mem".into(), Weight(-0.5 / 1024.0))];
        let billing = BillingWeights { text: "cPu=1,mem=-0.5G".into(), weights };
        check("TRESBillingWeights=cPu=1,mem=-0.5G", PartitionChanges { billing: Some(billing), ..none() });
    }

    /// As Slurm 22.05 says it.
    #[test]
    fn bad_values_are_told_as_slurm_tells_them() {
        let check = |word: &str, expected: &str| assert_eq!(read(word), Err(expected.to_owned()), "{word}");
        check(
            "LLN=maybe",
            "scontrol: error: Invalid input: LLN=maybe\nscontrol: error: Acceptable LLN values are YES and NO\nslurm_update error: No error\n",
        );
        for (key, value) in [("OverTimeLimit", "70000"), ("GraceTime", "00:01:00"), ("MaxMemPerNode", "1G")] {
            let expected = format!("scontrol: error: Invalid {key} value: {value}\nslurm_update error: No error\n");
            check(&format!("{key}={value}"), &expected);
        }
        check("PreemptMode=x", "scontrol: error: Invalid input: PreemptMode=x\nslurm_update error: No error\n");
        check("JobDefaults=DefCpuPerGPU=a", "slurm_update error: Invalid JobDefaults specification\n");
        check("TRESBillingWeights=cpu=abc", "slurm_update error: Invalid TRESBillingWeights specification\n");
        check("MaxCPUsPerSocket=2", "no such setting");
    }
}
