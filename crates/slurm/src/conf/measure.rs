//! `JobAcctGather…` and `AcctGatherEnergyType`: whether, how often and how it is measured what tasks use.

use super::ConfError;
use super::lines::Line;
use crate::grammar::numbers;

/// Seconds from one measurement to the next where nothing is said.
pub(super) const SECONDS: u32 = 30;

/// What a site says of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureSettings {
    /// Whether tasks are looked at. Otherwise only what the kernel tells with their ends is known.
    pub is_on: bool,
    /// Seconds from one look to the next; 0 for one at the end only.
    pub seconds: u32,
    /// What counts as memory (`UsePss`, `NoShared`).
    pub memory: MemoryCount,
    /// Who is seen with more memory than he may have is killed (`OverMemoryKill`).
    pub over_memory_kill: bool,
    /// The sensor of energy.
    pub energy: Option<EnergySensor>,
    /// Use of GPUs is measured (`AccountingStorageTRES` has `gres/gpuutil` or `gres/gpumem`).
    pub gpus: bool,
}

/// What of a process counts as its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryCount {
    /// All that it has in memory.
    #[default]
    Resident,
    /// Without what it shares.
    Unshared,
    /// Of what it shares its part.
    Proportional,
}

/// A sensor of energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnergySensor {
    /// `acct_gather_energy/rapl`.
    Rapl,
    /// `acct_gather_energy/gpu`.
    Gpu,
}

impl Default for MeasureSettings {
    fn default() -> MeasureSettings {
        MeasureSettings {
            is_on: false,
            seconds: SECONDS,
            memory: MemoryCount::Resident,
            over_memory_kill: false,
            energy: None,
            gpus: false,
        }
    }
}

/// Reads all of them. Processes are measured in the same way whichever plugin is named.
///
/// # Errors
/// A plugin that does not exist, a frequency that is none.
pub(super) fn read(lines: &[Line], warnings: &mut Vec<String>) -> Result<MeasureSettings, ConfError> {
    let find = |key: &str| lines.iter().rev().find_map(|line| line.get(key).map(|value| (line, value)));
    let mut settings = MeasureSettings::default();
    if let Some((line, plugin)) = find("JobAcctGatherType") {
        settings.is_on = match plugin.to_ascii_lowercase().as_str() {
            "jobacct_gather/none" | "none" => false,
            "jobacct_gather/linux" | "linux" | "jobacct_gather/cgroup" | "cgroup" => true,
            other => return Err(line.error(format!("cannot find jobacct_gather plugin for {other}"))),
        };
    }
    if let Some((line, text)) = find("JobAcctGatherFrequency") {
        if !is_frequency(text) {
            return Err(line.error(format!("Invalid JobAcctGatherFrequency {text}")));
        }
        settings.seconds = task_seconds(text).unwrap_or(SECONDS);
    }
    if let Some((line, text)) = find("JobAcctGatherParams") {
        parameters(line, text, &mut settings, warnings);
    }
    if let Some((line, text)) = find("AcctGatherEnergyType") {
        settings.energy = energy(line, text, warnings)?;
    }
    let tracked = find("AccountingStorageTRES").map_or("", |(_, list)| list).split(',').map(str::trim);
    settings.gpus =
        tracked.clone().any(|name| ["gres/gpuutil", "gres/gpumem"].iter().any(|gpu| name.eq_ignore_ascii_case(gpu)));
    Ok(settings)
}

fn parameters(line: &Line, text: &str, settings: &mut MeasureSettings, warnings: &mut Vec<String>) {
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "noshared" => settings.memory = MemoryCount::Unshared,
            "usepss" => settings.memory = MemoryCount::Proportional,
            "overmemorykill" => settings.over_memory_kill = true,
            _ => {
                let at = format!("({} line {})", line.file.display(), line.number);
                warnings.push(format!("JobAcctGatherParams={word} is not acted on by this version {at}"));
            }
        }
    }
}

fn energy(line: &Line, text: &str, warnings: &mut Vec<String>) -> Result<Option<EnergySensor>, ConfError> {
    let mut sensor = None;
    for plugin in text.split(',').map(str::trim) {
        let name = plugin.strip_prefix("acct_gather_energy/").unwrap_or(plugin);
        let found = match name.to_ascii_lowercase().as_str() {
            "none" => None,
            "rapl" => Some(EnergySensor::Rapl),
            "gpu" => Some(EnergySensor::Gpu),
            "ipmi" | "xcc" | "pm_counters" | "ibmaem" | "cray_aries" => {
                let at = format!("({} line {})", line.file.display(), line.number);
                warnings.push(format!("AcctGatherEnergyType={plugin} is not acted on by this version {at}"));
                None
            }
            _ => return Err(line.error(format!("cannot find acct_gather_energy plugin for {plugin}"))),
        };
        sensor = sensor.or(found);
    }
    Ok(sensor)
}

/// Whether `text` is what `JobAcctGatherFrequency` and `--acctg-freq` take: `30`, or `task=30,energy=10`.
pub(crate) fn is_frequency(text: &str) -> bool {
    const KINDS: &[&str] = &["task", "energy", "network", "filesystem"];
    text.split(',').all(|part| match part.split_once('=') {
        Some((kind, seconds)) => {
            KINDS.contains(&kind.to_ascii_lowercase().as_str()) && numbers::not_negative(seconds).is_some()
        }
        None => numbers::not_negative(part).is_some(),
    })
}

/// Seconds from one measurement of tasks to the next in a frequency; `None` where it says nothing of tasks.
pub fn task_seconds(text: &str) -> Option<u32> {
    let seconds = text.split(',').find_map(|part| match part.split_once('=') {
        Some((kind, seconds)) => kind.eq_ignore_ascii_case("task").then_some(seconds),
        None => Some(part),
    })?;
    numbers::not_negative(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_of_tasks() {
        let check = |text: &str, expected: Option<u32>| assert_eq!(task_seconds(text), expected, "{text}");
        check("30", Some(30));
        check("task=7", Some(7));
        check("energy=3,Task=0", Some(0));
        check("energy=3", None);
        assert!(is_frequency("task=30,energy=10") && !is_frequency("tusk=1") && !is_frequency("task=x"));
    }

    #[test]
    fn what_is_measured_and_how() {
        let check = |text: &str, expected: &str| {
            let conf = format!("ClusterName=x\nSlurmctldHost=h\n{text}\nNodeName=n1\nPartitionName=p Nodes=n1\n");
            let loaded = super::super::tests::load_files(&[("/c/slurm.conf", &conf)]);
            let shown = match loaded {
                Err(error) => error.to_string(),
                Ok(loaded) => {
                    let MeasureSettings { memory, over_memory_kill, energy, gpus, .. } = loaded.measure;
                    format!("{memory:?} {over_memory_kill} {energy:?} {gpus} {}", loaded.warnings.join(" "))
                }
            };
            assert_eq!(shown.trim(), expected, "{text}");
        };
        check("", "Resident false None false");
        check("JobAcctGatherParams=UsePss,OverMemoryKill", "Proportional true None false");
        check("JobAcctGatherParams=noshared", "Unshared false None false");
        let named = "Resident false None false JobAcctGatherParams=DisableGPUAcct is not acted on by this version (/c/slurm.conf line 3)";
        check("JobAcctGatherParams=DisableGPUAcct", named);
        check("AcctGatherEnergyType=acct_gather_energy/rapl", "Resident false Some(Rapl) false");
        check("AcctGatherEnergyType=acct_gather_energy/gpu", "Resident false Some(Gpu) false");
        check("AcctGatherEnergyType=magic", "/c/slurm.conf line 3: cannot find acct_gather_energy plugin for magic");
        check("AccountingStorageTRES=gres/gpu,gres/gpuutil", "Resident false None true");
    }
}
