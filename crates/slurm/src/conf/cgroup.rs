//! `cgroup.conf`: how control groups hold jobs to what they were given. Keys, defaults and arithmetic are those of Slurm 22.05.
//!
//! What is in here counts where `slurm.conf` has `TaskPlugin=task/cgroup`. Keys of later versions are taken too; what does
//! nothing here is named.

use muster_model::resources::Megabytes;

use super::ConfError;
use super::lines::Line;

/// Which of the kernel's two interfaces is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupPlugin {
    /// What the machine has.
    #[default]
    Autodetect,
    /// `cgroup/v1`.
    V1,
    /// `cgroup/v2`.
    V2,
}

/// What a site says in `cgroup.conf`.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupSettings {
    /// `CgroupPlugin`.
    pub plugin: CgroupPlugin,
    /// `CgroupMountpoint`, where it is given.
    pub mountpoint: Option<String>,
    /// `CgroupAutomount`: hierarchies of version 1 that are not mounted are mounted.
    pub automount: bool,
    /// `ConstrainCores`.
    pub cores: bool,
    /// `ConstrainRAMSpace`.
    pub ram: bool,
    /// `ConstrainSwapSpace`.
    pub swap: bool,
    /// `ConstrainDevices`.
    pub devices: bool,
    /// `AllowedRAMSpace`, percent of what was allocated.
    pub ram_allowed_percent: f64,
    /// `AllowedSwapSpace`, percent of what was allocated.
    pub swap_allowed_percent: f64,
    /// `MaxRAMPercent`, percent of the memory of the node.
    pub ram_percent_max: f64,
    /// `MaxSwapPercent`, percent of the memory of the node, over `MaxRAMPercent`.
    pub swap_percent_max: f64,
    /// `MinRAMSpace`.
    pub ram_min: Megabytes,
    /// `MemorySwappiness`, 0 to 100.
    pub swappiness: Option<u8>,
    /// Keys and values as they were written, for `scontrol show config`.
    given: Vec<(String, String)>,
}

impl Default for CgroupSettings {
    fn default() -> Self {
        CgroupSettings {
            plugin: CgroupPlugin::Autodetect,
            mountpoint: None,
            automount: false,
            cores: false,
            ram: false,
            swap: false,
            devices: false,
            ram_allowed_percent: 100.0,
            swap_allowed_percent: 0.0,
            ram_percent_max: 100.0,
            swap_percent_max: 100.0,
            ram_min: Megabytes(30),
            swappiness: None,
            given: Vec::new(),
        }
    }
}

/// To how much memory a job or a step is held, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBounds {
    /// More is not given: a process is killed.
    pub hard: u64,
    /// Where memory is short on the node, what exceeds this is taken back first.
    pub soft: u64,
    /// Memory and swap together; `None` where swap is not limited.
    pub with_swap: Option<u64>,
    /// How gladly the kernel swaps; `None` for its own setting.
    pub swappiness: Option<u8>,
}

impl CgroupSettings {
    /// The bounds of what was given `allocated` (zero: memory is not counted) on a node of `node` memory; `None` where the site
    /// limits no memory. As Slurm calculates it: at least `MinRAMSpace`, at most `MaxRAMPercent` of the node.
    pub fn memory(&self, allocated: Megabytes, node: Megabytes) -> Option<MemoryBounds> {
        if !self.ram && !self.swap {
            return None;
        }
        let bytes = |amount: Megabytes| amount.0.saturating_mul(1 << 20);
        let (total, least) = (bytes(node), bytes(self.ram_min));
        let given = if allocated.0 == 0 { total } else { bytes(allocated) };
        let ram_most = percent(total, self.ram_percent_max);
        let both_most = percent(total, self.swap_percent_max).saturating_add(ram_most);
        // Without a limit of memory, that of memory and swap holds for both, for what was allocated.
        let allowed = if self.ram { self.ram_allowed_percent } else { 100.0 };
        let with_allowed = percent(given, allowed);
        let both = with_allowed.saturating_add(percent(given, self.swap_allowed_percent)).max(least).min(both_most);
        let hard = if self.ram { with_allowed.max(least).min(ram_most) } else { both };
        Some(MemoryBounds {
            hard,
            soft: given.max(least).min(ram_most).min(hard),
            with_swap: self.swap.then_some(both.max(hard)),
            swappiness: self.swappiness.filter(|_| self.swap),
        })
    }

    /// The section of `scontrol show config`.
    pub(super) fn shown(&self) -> Vec<(String, String)> {
        let flag = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let said = |key: &str| {
            let found = self.given.iter().rev().find(|(given, _)| given.eq_ignore_ascii_case(key));
            found.map(|(_, value)| value.as_str())
        };
        let said_flag = |key: &str| flag(said(key).and_then(boolean).unwrap_or(false));
        let share = |value: f64| format!("{value:.1}%");
        let said_share = |key: &str| share(said(key).and_then(|text| text.parse().ok()).unwrap_or(100.0));
        let plugin = match self.plugin {
            CgroupPlugin::Autodetect => "autodetect",
            CgroupPlugin::V1 => "cgroup/v1",
            CgroupPlugin::V2 => "cgroup/v2",
        };
        let rows = [
            ("AllowedKmemSpace", said("AllowedKmemSpace").map_or("(null)".to_owned(), |text| format!("{text} Bytes"))),
            ("AllowedRAMSpace", share(self.ram_allowed_percent)),
            ("AllowedSwapSpace", share(self.swap_allowed_percent)),
            ("CgroupAutomount", flag(self.automount)),
            ("CgroupMountpoint", self.mountpoint.clone().unwrap_or_else(|| "/sys/fs/cgroup".to_owned())),
            ("CgroupPlugin", plugin.to_owned()),
            ("ConstrainCores", flag(self.cores)),
            ("ConstrainDevices", flag(self.devices)),
            ("ConstrainKmemSpace", said_flag("ConstrainKmemSpace")),
            ("ConstrainRAMSpace", flag(self.ram)),
            ("ConstrainSwapSpace", flag(self.swap)),
            ("IgnoreSystemd", said_flag("IgnoreSystemd")),
            ("IgnoreSystemdOnFailure", said_flag("IgnoreSystemdOnFailure")),
            ("MaxKmemPercent", said_share("MaxKmemPercent")),
            ("MaxRAMPercent", share(self.ram_percent_max)),
            ("MaxSwapPercent", share(self.swap_percent_max)),
            ("MemorySwappiness", self.swappiness.map_or("(null)".to_owned(), |number| number.to_string())),
            ("MinKmemSpace", format!("{} MB", said("MinKmemSpace").unwrap_or("30"))),
            ("MinRAMSpace", format!("{} MB", self.ram_min.0)),
        ];
        let heading = ("Cgroup Support Configuration:".to_owned(), String::new());
        std::iter::once(heading).chain(rows.into_iter().map(|(key, value)| (key.to_owned(), value))).collect()
    }
}

fn percent(of: u64, percent: f64) -> u64 {
    // Rounded down, as the conversion of a positive number is; no memory is so large that the precision matters.
    (of as f64 * percent / 100.0) as u64
}

/// Slurm's words for yes and no.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "up" | "true" | "1" => Some(true),
        "no" | "down" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Reads the lines of the file.
///
/// # Errors
/// A key that does not exist or was removed, a value that is none.
pub(super) fn read(lines: &[Line], warnings: &mut Vec<String>) -> Result<CgroupSettings, ConfError> {
    let mut settings = CgroupSettings::default();
    for line in lines {
        for (key, value) in &line.pairs {
            take(&mut settings, line, key, value, warnings)?;
            settings.given.push((key.clone(), value.clone()));
        }
    }
    Ok(settings)
}

fn take(
    settings: &mut CgroupSettings,
    line: &Line,
    key: &str,
    value: &str,
    warnings: &mut Vec<String>,
) -> Result<(), ConfError> {
    let place = || format!("({} line {})", line.file.display(), line.number);
    let flag = || boolean(value).ok_or_else(|| line.error(format!("\"{value}\" is not a valid option for \"{key}\"")));
    let bad_number = || line.error(format!("{key} value ({value}) is not a valid number"));
    let share =
        || value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0).ok_or_else(bad_number);
    let number = || value.parse::<u64>().map_err(|_| bad_number());
    match key.to_ascii_lowercase().as_str() {
        "cgroupplugin" => settings.plugin = plugin(value).ok_or_else(|| line.error(no_plugin(value)))?,
        "cgroupmountpoint" => settings.mountpoint = Some(value.trim_end_matches('/').to_owned()),
        "cgroupautomount" => settings.automount = flag()?,
        "constraincores" => settings.cores = flag()?,
        "constrainramspace" => settings.ram = flag()?,
        "constrainswapspace" => settings.swap = flag()?,
        "constraindevices" => settings.devices = flag()?,
        "allowedramspace" => settings.ram_allowed_percent = share()?,
        "allowedswapspace" => settings.swap_allowed_percent = share()?,
        "maxrampercent" => settings.ram_percent_max = share()?,
        "maxswappercent" => settings.swap_percent_max = share()?,
        "minramspace" => settings.ram_min = Megabytes(number()?),
        "memoryswappiness" => {
            let wanted = number()?;
            if wanted > 100 {
                warnings.push(format!("Value for MemorySwappiness is too high, rounding down to 100. {}", place()));
            }
            settings.swappiness = u8::try_from(wanted.min(100)).ok();
        }
        "constrainkmemspace" if !flag()? => {}
        "constrainkmemspace" | "allowedkmemspace" | "maxkmempercent" | "minkmemspace" => {
            warnings.push(format!("{key} has no effect: Linux limits no kernel memory by itself any more {}", place()));
        }
        "ignoresystemd" | "ignoresystemdonfailure" | "systemdtimeout" | "cgroupslice" => {
            warnings.push(format!("{key} has no effect: control groups are made without asking systemd {}", place()));
        }
        // Controllers are enabled in any case, and signals go to all processes of a step.
        "enablecontrollers" | "enableextracontrollers" | "signalchildrenprocesses" => {}
        "alloweddevicesfile" => warnings.push(format!(
            "AllowedDevicesFile option is obsolete, please remove it from your configuration. {}",
            place()
        )),
        "cgroupreleaseagentdir" => {
            return Err(line.error("Support for CgroupReleaseAgentDir option has been removed."));
        }
        _ => return Err(line.error(format!("unrecognized key: {key}"))),
    }
    Ok(())
}

fn plugin(text: &str) -> Option<CgroupPlugin> {
    match text.to_ascii_lowercase().as_str() {
        "autodetect" => Some(CgroupPlugin::Autodetect),
        "cgroup/v1" => Some(CgroupPlugin::V1),
        "cgroup/v2" => Some(CgroupPlugin::V2),
        _ => None,
    }
}

fn no_plugin(text: &str) -> String {
    format!("cannot find cgroup plugin for {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(CgroupSettings, Vec<String>), String> {
        let read_file = |_: &std::path::Path| Ok(text.to_owned());
        let lines =
            super::super::lines::read("/c/cgroup.conf".as_ref(), &read_file).map_err(|error| error.to_string())?;
        let mut warnings = Vec::new();
        let settings = read(&lines, &mut warnings).map_err(|error| error.to_string())?;
        Ok((settings, warnings))
    }

    fn bounds(text: &str, allocated: u64) -> String {
        let (settings, _) = parse(text).unwrap();
        let megabytes = |bytes: u64| (bytes >> 20).to_string();
        match settings.memory(Megabytes(allocated), Megabytes(1000)) {
            None => "none".to_owned(),
            Some(MemoryBounds { hard, soft, with_swap, swappiness }) => format!(
                "hard {} soft {} with swap {} swappiness {swappiness:?}",
                megabytes(hard),
                megabytes(soft),
                with_swap.map_or("-".to_owned(), megabytes)
            ),
        }
    }

    #[test]
    fn memory_is_bounded_as_by_slurm() {
        let check =
            |text: &str, allocated: u64, expected: &str| assert_eq!(bounds(text, allocated), expected, "{text}");
        check("", 100, "none");
        check("ConstrainRAMSpace=yes", 100, "hard 100 soft 100 with swap - swappiness None");
        check("ConstrainRAMSpace=yes\nAllowedRAMSpace=150", 100, "hard 150 soft 100 with swap - swappiness None");
        check("ConstrainRAMSpace=yes\nAllowedRAMSpace=50", 100, "hard 50 soft 50 with swap - swappiness None");
        check("ConstrainRAMSpace=yes", 3, "hard 30 soft 30 with swap - swappiness None");
        check("ConstrainRAMSpace=yes\nMinRAMSpace=5", 3, "hard 5 soft 5 with swap - swappiness None");
        check("ConstrainRAMSpace=yes\nMaxRAMPercent=20", 500, "hard 200 soft 200 with swap - swappiness None");
        // A job to which no memory was given has the whole node.
        check("ConstrainRAMSpace=yes\nMaxRAMPercent=90", 0, "hard 900 soft 900 with swap - swappiness None");
        let both = "ConstrainRAMSpace=yes\nConstrainSwapSpace=yes\n";
        check(both, 100, "hard 100 soft 100 with swap 100 swappiness None");
        let more = format!("{both}AllowedSwapSpace=10.5\nMemorySwappiness=7");
        check(&more, 200, "hard 200 soft 200 with swap 221 swappiness Some(7)");
        // Only swap: both are held to the sum.
        let swap = "ConstrainSwapSpace=yes\nAllowedSwapSpace=20\nAllowedRAMSpace=300";
        check(swap, 100, "hard 120 soft 100 with swap 120 swappiness None");
        check("ConstrainRAMSpace=yes\nMemorySwappiness=7", 100, "hard 100 soft 100 with swap - swappiness None");
    }

    #[test]
    fn what_is_wrong_is_refused_in_slurms_words() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).unwrap_err(), format!("/c/cgroup.conf line 1: {expected}"), "{text}");
        };
        check("FooBar=3", "unrecognized key: FooBar");
        check("TaskAffinity=yes", "unrecognized key: TaskAffinity");
        check("ConstrainCores=maybe", "\"maybe\" is not a valid option for \"ConstrainCores\"");
        check("CgroupPlugin=cgroup/v9", "cannot find cgroup plugin for cgroup/v9");
        check("AllowedRAMSpace=abc", "AllowedRAMSpace value (abc) is not a valid number");
        check("AllowedRAMSpace=-1", "AllowedRAMSpace value (-1) is not a valid number");
        check("MaxRAMPercent=inf", "MaxRAMPercent value (inf) is not a valid number");
        check("MinRAMSpace=5x", "MinRAMSpace value (5x) is not a valid number");
        check("CgroupReleaseAgentDir=/x", "Support for CgroupReleaseAgentDir option has been removed.");
    }

    #[test]
    fn what_does_nothing_is_said() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).unwrap().1.join("; "), expected, "{text}");
        check("ConstrainKmemSpace=no\nEnableControllers=yes", "");
        check(
            "ConstrainKmemSpace=yes",
            "ConstrainKmemSpace has no effect: Linux limits no kernel memory by itself any more (/c/cgroup.conf line 1)",
        );
        check(
            "IgnoreSystemd=yes",
            "IgnoreSystemd has no effect: control groups are made without asking systemd (/c/cgroup.conf line 1)",
        );
        check(
            "MemorySwappiness=200",
            "Value for MemorySwappiness is too high, rounding down to 100. (/c/cgroup.conf line 1)",
        );
    }

    #[test]
    fn the_section_of_show_config_is_slurms() {
        let (settings, _) =
            parse("CgroupPlugin=cgroup/v1\nConstrainCores=yes ConstrainRAMSpace=yes\nAllowedRAMSpace=101.5").unwrap();
        let shown: Vec<String> = settings.shown().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            shown.join(" "),
            "Cgroup Support Configuration:= AllowedKmemSpace=(null) AllowedRAMSpace=101.5% AllowedSwapSpace=0.0% \
             CgroupAutomount=no CgroupMountpoint=/sys/fs/cgroup CgroupPlugin=cgroup/v1 ConstrainCores=yes \
             ConstrainDevices=no ConstrainKmemSpace=no ConstrainRAMSpace=yes ConstrainSwapSpace=no IgnoreSystemd=no \
             IgnoreSystemdOnFailure=no MaxKmemPercent=100.0% MaxRAMPercent=100.0% MaxSwapPercent=100.0% \
             MemorySwappiness=(null) MinKmemSpace=30 MB MinRAMSpace=30 MB"
        );
    }
}
