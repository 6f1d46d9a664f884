//! `TaskPlugin`, `TaskPluginParam` and `ProctrackType`: how tasks are bound, and whether control groups hold them together and to
//! what they have.

use super::ConfError;
use super::lines::Line;
use crate::binding::{CpuBind, How, Unit};

/// What a site says of the binding of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskSettings {
    /// Whether there is a `TaskPlugin` at all. Where there is none, tasks are bound as a whole to what their step has, and held
    /// to it by control groups; in Slurm neither is done.
    pub given: bool,
    /// `task/affinity`: tasks are bound to CPUs.
    pub affinity: bool,
    /// `task/cgroup`: what `cgroup.conf` says is done.
    pub cgroup: bool,
    /// `ProctrackType=proctrack/cgroup` was asked for: nothing is started where no control group can be made. Without it they
    /// are used where they can be.
    pub tracked: bool,
    /// The binding of steps that ask for none; [`How::Automatic`] unless a parameter says otherwise.
    pub bind: CpuBind,
    /// `Autobind`: to what tasks are bound whose number fits nothing.
    pub otherwise: Option<Unit>,
}

/// Reads them.
///
/// # Errors
/// A plugin or a parameter that does not exist.
pub(super) fn read(lines: &[Line]) -> Result<TaskSettings, ConfError> {
    let find = |key: &str| lines.iter().rev().find_map(|line| line.get(key).map(|value| (line, value)));
    let mut settings = TaskSettings::default();
    if let Some((line, plugins)) = find("TaskPlugin") {
        settings.given = true;
        for plugin in plugins.split(',') {
            match plugin.trim().to_ascii_lowercase().as_str() {
                "task/none" | "none" => {}
                "task/affinity" | "affinity" => settings.affinity = true,
                "task/cgroup" | "cgroup" => settings.cgroup = true,
                other => return Err(line.error(format!("cannot find task plugin for {other}"))),
            }
        }
    }
    if let Some((line, plugin)) = find("ProctrackType") {
        settings.tracked = match plugin.to_ascii_lowercase().as_str() {
            "proctrack/cgroup" => true,
            "proctrack/linuxproc" | "proctrack/pgid" => false,
            _ => return Err(line.error(format!("cannot find proctrack plugin for {plugin}"))),
        };
    }
    if let Some((line, parameters)) = find("TaskPluginParam") {
        for parameter in parameters.split(',').map(|word| word.trim().to_ascii_lowercase()) {
            match parameter.as_str() {
                // The system's own CPUs are left out of what jobs get here, whoever is bound to what.
                "" | "(null)" | "slurmdoffspec" => {}
                "none" => settings.bind.how = How::None,
                "verbose" => settings.bind.verbose = true,
                "sockets" => settings.bind.how = How::Unit(Unit::Sockets),
                "cores" => settings.bind.how = How::Unit(Unit::Cores),
                "threads" => settings.bind.how = How::Unit(Unit::Threads),
                "autobind=sockets" => settings.otherwise = Some(Unit::Sockets),
                "autobind=cores" => settings.otherwise = Some(Unit::Cores),
                "autobind=threads" => settings.otherwise = Some(Unit::Threads),
                "autobind=none" => settings.otherwise = None,
                other => return Err(line.error(format!("Bad TaskPluginParam: {other}"))),
            }
        }
    }
    Ok(settings)
}
