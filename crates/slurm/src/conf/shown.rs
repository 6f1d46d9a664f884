//! What `scontrol show config` prints: every parameter with its value in force.

use std::path::Path;

use muster_model::config::ClusterConfig;
use muster_model::time::{TimeLimit, format_days_hours};

use super::cluster::record_kind;
use super::keys::{Parameter, Standing};
use super::lines::Line;
use super::preemption;
use super::table::SHOWN;

/// Parameters in order. Values that only the running controller knows (`BOOT_TIME`, `NEXT_JOB_ID`) are left out here and
/// added by it.
pub(super) fn show(lines: &[Line], path: &Path, config: &ClusterConfig) -> Vec<(String, String)> {
    // What lines of nodes and partitions say is about these alone.
    let find = |key: &str| lines.iter().rev().filter(|line| record_kind(line).is_none()).find_map(|line| line.get(key));
    let mut shown = Vec::with_capacity(SHOWN.len());
    for parameter in SHOWN {
        match parameter.standing {
            Standing::Computed => match parameter.name {
                "SLURM_CONF" => shown.push((parameter.name.to_owned(), path.display().to_string())),
                "MaxNodeCount" => shown.push((parameter.name.to_owned(), config.nodes.len().to_string())),
                "SlurmctldHost[0]" => shown.extend(hosts(lines)),
                "HASH_VAL" => shown.push((parameter.name.to_owned(), "Match".to_owned())),
                "MULTIPLE_SLURMD" => shown.push((parameter.name.to_owned(), "Yes".to_owned())),
                _ => {}
            },
            _ if parameter.name == "AccountingStorageTRES" => {
                shown.push((parameter.name.to_owned(), config.priority.tracked.join(",")));
            }
            _ if parameter.name == "PreemptMode" => {
                shown.push((parameter.name.to_owned(), preemption::words(&config.preemption)));
            }
            _ => shown.push((parameter.name.to_owned(), value(parameter, find(parameter.name)))),
        }
    }
    shown
}

fn hosts(lines: &[Line]) -> impl Iterator<Item = (String, String)> + '_ {
    let hosts = lines.iter().filter_map(|line| line.get("SlurmctldHost").or_else(|| line.get("ControlMachine")));
    hosts.enumerate().map(|(at, host)| (format!("SlurmctldHost[{at}]"), host.to_owned()))
}

fn value(parameter: &Parameter, given: Option<&str>) -> String {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return format!("{}{}", parameter.default, parameter.unit);
    };
    let is_number = given.bytes().all(|byte| byte.is_ascii_digit());
    match parameter.default {
        "Yes" | "No" => match given.to_ascii_lowercase().as_str() {
            "yes" | "1" | "true" => "Yes".to_owned(),
            _ => "No".to_owned(),
        },
        "0" | "1" if parameter.unit.is_empty() && given.eq_ignore_ascii_case("yes") => "1".to_owned(),
        "0" | "1" if parameter.unit.is_empty() && given.eq_ignore_ascii_case("no") => "0".to_owned(),
        default
            if default.contains(':')
                && default.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'-')) =>
        {
            TimeLimit::parse(given)
                .and_then(TimeLimit::span)
                .map_or_else(|| given.to_owned(), |span| format_days_hours(span.seconds()))
        }
        _ if parameter.name == "SelectTypeParameters" => given.to_ascii_uppercase(),
        _ if parameter.name == "EnforcePartLimits" => match given.to_ascii_uppercase().as_str() {
            "YES" | "TRUE" => "ALL".to_owned(),
            "FALSE" => "NO".to_owned(),
            upper => upper.to_owned(),
        },
        _ if parameter.name == "ClusterName" => given.to_ascii_lowercase(),
        _ if matches!(parameter.name, "SlurmUser" | "SlurmdUser") && given == "root" => "root(0)".to_owned(),
        _ if is_number => format!("{given}{}", parameter.unit),
        _ => given.to_owned(),
    }
}
