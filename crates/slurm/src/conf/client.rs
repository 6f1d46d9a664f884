//! The few parameters that commands look at before they ask the controller.

use muster_model::ids::Name;

use super::measure::{SECONDS as MEASURE_SECONDS, task_seconds};
use crate::grammar::rlimits;

/// What a command takes from slurm.conf. Everything is optional: the controller has the last word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientSettings {
    /// `ClusterName`.
    pub cluster_name: Option<String>,
    /// `GresTypes`; empty when none are configured.
    pub gres_types: Vec<Name>,
    /// `AllowSpecResourcesUsage`.
    pub spec_resources_allowed: bool,
    /// `TaskPlugin=task/none`.
    pub tasks_are_unbound: bool,
    /// Address of the first controller: what stands in brackets after `SlurmctldHost`, else the host.
    pub controller_address: Option<String>,
    /// `ScronParameters=enable`.
    pub cron: bool,
    /// `MaxArraySize`.
    pub array_size_max: Option<u32>,
    /// `KillWait` in seconds.
    pub kill_wait_seconds: Option<u32>,
    /// `MpiDefault`.
    pub mpi_default: Option<String>,
    /// `KillOnBadExit`.
    pub kill_on_bad_exit: bool,
    /// `WaitTime` in seconds.
    pub wait_time_seconds: Option<u32>,
    /// `SrunProlog`.
    pub srun_prolog: Option<String>,
    /// `SrunEpilog`.
    pub srun_epilog: Option<String>,
    /// `PropagateResourceLimits` or what `PropagateResourceLimitsExcept` leaves: numbers of limits; `None` for all.
    pub limits_propagated: Option<Vec<u32>>,
    /// `max_script_size` of `SchedulerParameters`.
    pub script_size_max: Option<u64>,
    /// `JobAcctGatherFrequency` for tasks, in seconds, where it is given.
    pub measure_seconds: Option<u32>,
    /// `JobAcctGatherType` names a plugin that looks at tasks.
    pub measured: bool,
    /// `DefMemPerCPU` or `DefMemPerNode`: jobs that ask for no memory have some.
    pub memory_by_default: bool,
}

impl ClientSettings {
    /// The longest time from one look at the tasks of a job with limited memory to the next, in seconds; `None` where that is the
    /// job's own affair.
    pub fn measure_seconds_max(&self) -> Option<u32> {
        Some(self.measure_seconds.unwrap_or(MEASURE_SECONDS)).filter(|seconds| self.measured && *seconds > 0)
    }
}

/// Reads them from the text of a slurm.conf, line by line and without included files, in a time that does not depend on
/// what the nodes of the cluster are.
pub fn client_settings(text: &str) -> ClientSettings {
    let mut settings = ClientSettings::default();
    for line in text.lines() {
        let Some((key, value)) = line.split('#').next().and_then(|line| line.split_once('=')) else {
            continue;
        };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "clustername" => settings.cluster_name = Some(value.to_ascii_lowercase()),
            "slurmctldhost" if settings.controller_address.is_none() => {
                let address = value.split_once('(').map_or(value, |(_, address)| address.trim_end_matches(')'));
                settings.controller_address = Some(address.to_owned());
            }
            "grestypes" => {
                settings.gres_types = value.split(',').filter(|kind| !kind.is_empty()).map(Into::into).collect()
            }
            "allowspecresourcesusage" => {
                settings.spec_resources_allowed =
                    ["yes", "1", "true", "up"].iter().any(|word| value.eq_ignore_ascii_case(word));
            }
            "propagateresourcelimits" => settings.limits_propagated = rlimits::parse(value).ok(),
            "propagateresourcelimitsexcept" => {
                let except = rlimits::parse(value).unwrap_or_default();
                let all = rlimits::KNOWN.iter().map(|(_, number)| *number);
                settings.limits_propagated = Some(all.filter(|number| !except.contains(number)).collect());
            }
            "taskplugin" => settings.tasks_are_unbound = value.eq_ignore_ascii_case("task/none"),
            "scronparameters" => settings.cron = value.to_ascii_lowercase().contains("enable"),
            "srunprolog" => settings.srun_prolog = program(value),
            "srunepilog" => settings.srun_epilog = program(value),
            "killwait" => settings.kill_wait_seconds = value.parse().ok(),
            "mpidefault" => settings.mpi_default = Some(value.to_ascii_lowercase()),
            "killonbadexit" => settings.kill_on_bad_exit = value.parse().is_ok_and(|number: u32| number > 0),
            "waittime" => settings.wait_time_seconds = value.parse().ok(),
            "jobacctgatherfrequency" => settings.measure_seconds = task_seconds(value),
            "jobacctgathertype" => settings.measured = !value.to_ascii_lowercase().ends_with("none"),
            "defmempercpu" | "defmempernode" => {
                settings.memory_by_default = value.parse().is_ok_and(|memory: u64| memory > 0);
            }
            "maxarraysize" => settings.array_size_max = value.parse().ok(),
            "schedulerparameters" => {
                let size = value.split(',').find_map(|part| part.trim().strip_prefix("max_script_size="));
                settings.script_size_max = size.and_then(|size| size.parse().ok());
            }
            _ => {}
        }
    }
    settings
}

/// `none` names none.
fn program(value: &str) -> Option<String> {
    (!value.is_empty() && !value.eq_ignore_ascii_case("none")).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_commands_need() {
        let settings = client_settings(
            "ClusterName=Big # x\nKillWait=5\nSrunProlog=/s/prolog\nSrunEpilog=none\nGresTypes=gpu,mps\nmaxarraysize=5\nSchedulerParameters=defer,max_script_size=9\n",
        );
        assert_eq!(settings.cluster_name.as_deref(), Some("big"));
        assert_eq!(
            (settings.gres_types.len(), settings.array_size_max, settings.script_size_max),
            (2, Some(5), Some(9))
        );
        assert_eq!(settings.kill_wait_seconds, Some(5));
        assert_eq!((settings.srun_prolog.as_deref(), settings.srun_epilog), (Some("/s/prolog"), None));
        let settings = client_settings("MpiDefault=PMI2\nKillOnBadExit=1\nWaitTime=7\n");
        let found = (settings.mpi_default.as_deref(), settings.kill_on_bad_exit, settings.wait_time_seconds);
        assert_eq!(found, (Some("pmi2"), true, Some(7)));
        let limits = |text: &str| client_settings(text).limits_propagated.map_or(99, |limits| limits.len());
        assert_eq!(limits("PropagateResourceLimits=NONE"), 0);
        assert_eq!(limits("PropagateResourceLimits=CORE,NOFILE"), 2);
        assert_eq!(limits("PropagateResourceLimitsExcept=MEMLOCK"), 9);
        assert_eq!((limits(""), limits("PropagateResourceLimits=ALL")), (99, 10));
        assert_eq!(client_settings(""), ClientSettings::default());
        let often = |text: &str| client_settings(text).measure_seconds_max();
        assert_eq!((often(""), often("JobAcctGatherType=jobacct_gather/linux\n")), (None, Some(30)));
        assert_eq!(often("JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=5\n"), Some(5));
        assert_eq!(often("JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=0\n"), None);
        assert_eq!(often("JobAcctGatherType=jobacct_gather/none\nJobAcctGatherFrequency=5\n"), None);
    }
}
