//! What associations and QOS are made of, as far as `add` and `modify` set it.

use muster_model::accounting::{AssociationChanges, LimitChanges, ListChange, QosChanges, QosFlag, Shares};
use muster_model::preemption::PreemptMode;
use muster_model::time::{Span, parse_seconds};

use super::super::job_text::NULL;
use super::Scene;
use super::limits_text;
use super::words::{self, Complaint, Setting};

/// Takes in a setting of an association; `false` when it is none.
pub(super) fn association(
    setting: &Setting,
    changes: &mut AssociationChanges,
    scene: &Scene<'_>,
) -> Result<bool, Complaint> {
    let invalid = |name: &str| format!("sacctmgr: error: Invalid value for {name} ({})\n", setting.value);
    if setting.is(&[("fairshare", 1), ("shares", 1)]) {
        changes.shares = Some(match setting.value.as_str() {
            "parent" => Shares::Parent,
            "-1" => Shares::Raw(1),
            text => Shares::Raw(text.parse().map_err(|_| invalid("FairShare"))?),
        });
    } else if setting.is(&[("priority", 3)]) {
        changes.priority = Some(match setting.value.as_str() {
            "-1" => 0,
            text => text.parse().map_err(|_| invalid("Priority"))?,
        });
    } else if setting.is(&[("qoslevel", 1), ("qos", 1)]) {
        changes.qos_allowed = Some(match setting.value.as_str() {
            "" | "-1" => ListChange::Set(Vec::new()),
            text => setting.list(words::qos_list(text, scene.policy)?),
        });
    } else if setting.is(&[("defaultqos", 8)]) {
        let name = setting.value.to_ascii_lowercase();
        changes.qos_default = Some((!name.is_empty() && name != "-1").then(|| name.as_str().into()));
    } else {
        return words::limit(setting, false, &mut changes.limits, &scene.tracked);
    }
    Ok(true)
}

/// Takes in a setting of a QOS; `false` when it is none.
pub(super) fn qos(setting: &Setting, changes: &mut QosChanges, scene: &Scene<'_>) -> Result<bool, Complaint> {
    let value = setting.value.as_str();
    let invalid = |name: &str| format!("sacctmgr: error: Invalid value for {name} ({value})\n");
    let factor = |name: &str| -> Result<Option<f64>, Complaint> {
        if value == "-1" {
            return Ok(None);
        }
        let number = value.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.map(Some).ok_or_else(|| invalid(name))
    };
    let time = |name: &str| -> Result<Option<Span>, Complaint> {
        match value {
            "-1" => Ok(None),
            // A plain number is seconds here.
            text => match text.parse().ok().or_else(|| parse_seconds(text)) {
                Some(seconds) => Ok(Some(Span::from_seconds(seconds))),
                None => Err(invalid(name)),
            },
        }
    };
    if setting.is(&[("description", 1)]) {
        changes.description = Some(value.to_ascii_lowercase().as_str().into());
    } else if setting.is(&[("flags", 2)]) {
        changes.flags = Some(if value == "-1" { ListChange::Set(Vec::new()) } else { setting.list(flags(value)?) });
    } else if setting.is(&[("gracetime", 3)]) {
        changes.grace_time = Some(time("GraceTime")?);
    } else if setting.is(&[("preemptmode", 8)]) {
        changes.preempt_mode = Some(preempt_mode(value).ok_or_else(|| invalid("PreemptMode"))?);
    } else if setting.is(&[("preemptexempttime", 8)]) {
        changes.preempt_exempt_time = Some(time("PreemptExemptTime")?);
    } else if setting.is(&[("preempt", 3)]) {
        let list = if value == "-1" { Vec::new() } else { words::qos_list(value, scene.policy)? };
        changes.preempts = Some(setting.list(list));
    } else if setting.is(&[("priority", 3)]) {
        changes.priority = Some(if value == "-1" { 0 } else { value.parse().map_err(|_| invalid("Priority"))? });
    } else if setting.is(&[("usagefactor", 6)]) {
        changes.usage_factor = Some(factor("UsageFactor")?.unwrap_or(1.0));
    } else if setting.is(&[("usagethreshold", 6)]) {
        changes.usage_threshold = Some(factor("UsageThreshold")?);
    } else if setting.is(&[("limitfactor", 6)]) {
        changes.limit_factor = Some(factor("LimitFactor")?);
    } else {
        return words::limit(setting, true, &mut changes.limits, &scene.tracked);
    }
    Ok(true)
}

/// Flags of a QOS by their words.
///
/// # Errors
/// Slurm's complaint about one that means nothing.
fn flags(text: &str) -> Result<Vec<QosFlag>, Complaint> {
    let mut found = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let flag = QosFlag::ALL.iter().find(|(_, name)| words::is_cut(word, name, 3));
        match flag {
            Some((flag, _)) => found.push(*flag),
            None => {
                // The last flag is younger than the version whose words these are.
                let known = QosFlag::ALL.iter().filter(|(flag, _)| *flag != QosFlag::Relative);
                let known = known.map(|(_, name)| *name).collect::<Vec<_>>().join(",");
                return Err(format!(" Unknown QOS flag used in:\n  '{text}'\n Valid QOS flags are\n  '{known}'\n"));
            }
        }
    }
    Ok(found)
}

/// `None` for a word that is no mode; `Some(None)` for what the cluster says.
fn preempt_mode(text: &str) -> Option<Option<PreemptMode>> {
    match text.to_ascii_lowercase().as_str() {
        "cluster" | "-1" => Some(None),
        "off" => Some(Some(PreemptMode::Off)),
        "cancel" => Some(Some(PreemptMode::Cancel)),
        "requeue" => Some(Some(PreemptMode::Requeue)),
        "suspend" => Some(Some(PreemptMode::Suspend)),
        _ => None,
    }
}

/// What is announced of limits and shares that are set: `  MaxJobs       = 3`.
pub(super) fn announce_association(changes: &AssociationChanges) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<14}= {value}\n"));
    if let Some(shares) = changes.shares {
        line("Fairshare", shares_text(shares));
    }
    let mut limits = limit_lines(&changes.limits);
    // In Slurm's order this one stands before the minutes.
    limits.sort_by_key(|(name, _)| if *name == "MaxTRESPerNode" { "MaxTRESM" } else { name });
    for (name, value) in limits {
        line(announced(name), value);
    }
    if let Some(priority) = changes.priority {
        line("Priority", if priority == 0 { "NONE".to_owned() } else { priority.to_string() });
    }
    if let Some(list) = &changes.qos_allowed {
        let sign = match list {
            ListChange::Set(_) => "",
            ListChange::Add(_) => "+",
            ListChange::Remove(_) => "-",
        };
        let mut names: Vec<String> = list.items().iter().map(|name| format!("{sign}{name}")).collect();
        names.sort();
        line("QOS", names.join(","));
    }
    if let Some(default) = &changes.qos_default {
        line("DefQOS", default.as_deref().unwrap_or(NULL).to_owned());
    }
    lines.concat()
}

/// What a limit of an association is called there.
fn announced(name: &str) -> &str {
    match name {
        "GrpJobsAccrue" => "GrpJobsAccrue            ",
        "MaxJobsAccrue" => "MaxJobsPrioAcc",
        "MinPrioThreshold" => "MinPrioThresh",
        other => other,
    }
}

/// Limits with the names that announcements use.
pub(super) fn limit_lines(limits: &LimitChanges) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    for (limit, value) in &limits.counts {
        let text = value.map_or("NONE".to_owned(), |value| limits_text::count_value(*limit, value));
        lines.push((limit.as_str(), text));
    }
    for (limit, amounts) in &limits.tres {
        let text = limits_text::join(amounts.iter().map(|(name, amount)| (name, *amount)));
        let name = match limit.as_str() {
            "MaxTRESPU" => "MaxTRESPerUser",
            "MaxTRESPA" => "MaxTRESPerAccount",
            other => other,
        };
        lines.push((name, text));
    }
    lines.sort_by_key(|(name, _)| *name);
    lines
}

/// Shares as they are shown.
pub(super) fn shares_text(shares: Shares) -> String {
    match shares {
        Shares::Raw(number) => number.to_string(),
        Shares::Parent => "parent".to_owned(),
    }
}
