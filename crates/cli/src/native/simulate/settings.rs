//! `--set KEY=VALUE`: a slurm.conf with something else in it.
//!
//! The text is changed and then read as any other, so that every key means what it means in a file, and a wrong value is
//! refused in the same words.

use anyhow::Context;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    place: Place,
    key: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A key of the file.
    File,
    /// A key within `SchedulerParameters`.
    SchedulerParameters,
    /// A key of a partition.
    Partition(String),
}

/// Keys of the file that decide what a replay does. Others are read and checked, and change nothing.
const WITH_EFFECT: &[&str] = &["SchedulerType", "SelectType", "SelectTypeParameters", "GresTypes"];

/// Keys of `SchedulerParameters` that do.
const SCHEDULING: &[&str] = &[
    "bf_window",
    "bf_max_job_test",
    "bf_max_job_part",
    "bf_max_job_user",
    "bf_max_job_array_resv",
    "bf_job_part_count_reserve",
    "bf_min_age_reserve",
    "bf_min_prio_reserve",
    "bf_max_job_start",
    "sched_max_job_start",
];

/// Reads `KEY=VALUE`. A key in lower case is one of `SchedulerParameters`, one with a dot that of a partition.
pub(super) fn read(text: &str) -> Result<Setting, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let (place, key) = match key.rsplit_once('.') {
        Some((partition, key)) => (Place::Partition(partition.to_owned()), key),
        None if key.chars().any(char::is_uppercase) => (Place::File, key),
        None => (Place::SchedulerParameters, key),
    };
    let is_word = |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "#\\,".contains(c));
    let needs_value = place != Place::SchedulerParameters;
    if !is_word(key) || value.contains(['\n', '#']) || (needs_value && value.is_empty()) {
        return Err("expected KEY=VALUE".to_owned());
    }
    Ok(Setting { place, key: key.to_owned(), value: value.to_owned() })
}

/// The changed text.
pub(super) fn apply(text: &str, settings: &[Setting]) -> anyhow::Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut scheduler: Vec<String> = Vec::new();
    for setting in settings {
        match &setting.place {
            // Of several lines with one key, the last counts.
            Place::File => lines.push(format!("{}={}", setting.key, setting.value)),
            Place::SchedulerParameters if setting.value.is_empty() => scheduler.push(setting.key.clone()),
            Place::SchedulerParameters => scheduler.push(format!("{}={}", setting.key, setting.value)),
            Place::Partition(name) => extend_partition(&mut lines, name, &setting.key, &setting.value)?,
        }
    }
    if !scheduler.is_empty() {
        // Of several entries with one name, the first counts, so what is set goes before what was there.
        let before = lines.iter().rev().find_map(|line| value_of(line, "SchedulerParameters"));
        scheduler.extend(before.map(str::to_owned));
        lines.push(format!("SchedulerParameters={}", scheduler.join(",")));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Names of what is set and cannot make a difference.
pub(super) fn without_effect(settings: &[Setting]) -> Vec<&str> {
    let counts = |setting: &Setting| match setting.place {
        Place::Partition(_) => true,
        Place::File => WITH_EFFECT.iter().any(|key| key.eq_ignore_ascii_case(&setting.key)),
        Place::SchedulerParameters => SCHEDULING.contains(&setting.key.as_str()),
    };
    settings.iter().filter(|setting| !counts(setting)).map(|setting| setting.key.as_str()).collect()
}

/// The value of `key` where a line sets it.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, rest) = line.split_once('=')?;
    let rest = rest.split('#').next().unwrap_or_default().trim();
    name.trim().eq_ignore_ascii_case(key).then_some(rest)
}

/// Appends to the line of a partition, where it counts more than what stands before.
fn extend_partition(lines: &mut [String], name: &str, key: &str, value: &str) -> anyhow::Result<()> {
    let is_of = |line: &String| {
        let first = value_of(line, "PartitionName").and_then(|rest| rest.split_whitespace().next());
        first.is_some_and(|first| first == name)
    };
    let begin = lines.iter().position(is_of).with_context(|| {
        format!("--set {name}.{key}: there is no line PartitionName={name} in the configuration (or it is in an included file)")
    })?;
    let more = lines[begin..].iter().take_while(|line| line.trim_end().ends_with('\\')).count();
    let Some(line) = lines.get_mut(begin + more) else {
        anyhow::bail!("--set {name}.{key}: the line of the partition does not end");
    };
    let (kept, comment) = match line.split_once('#') {
        Some((kept, comment)) => (kept.to_owned(), format!(" #{comment}")),
        None => (line.clone(), String::new()),
    };
    *line = format!("{} {key}={value}{comment}", kept.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, set: &[&str], expected: &str) {
        let settings: Vec<Setting> = set.iter().map(|text| read(text).unwrap()).collect();
        assert_eq!(apply(text, &settings).unwrap(), expected);
    }

    #[test]
    fn each_kind_of_key_goes_to_its_place() {
        check("A=1\n", &["SchedulerType=sched/builtin"], "A=1\nSchedulerType=sched/builtin\n");
        check(
            "SchedulerParameters=defer,bf_window=60 # mine\n",
            &["bf_window=120", "bf_continue"],
            "SchedulerParameters=defer,bf_window=60 # mine\nSchedulerParameters=bf_window=120,bf_continue,defer,bf_window=60\n",
        );
        check(
            "PartitionName=a Nodes=n1\npartitionname=b.c \\\n  Nodes=n2 # the second\n",
            &["b.c.MaxTime=60"],
            "PartitionName=a Nodes=n1\npartitionname=b.c \\\n  Nodes=n2 MaxTime=60 # the second\n",
        );
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        for bad in ["", "=1", "SchedulerType", "A=#x", "p.=1", "p.MaxTime"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        let error = apply("PartitionName=a\n", &[read("b.MaxTime=1").unwrap()]).unwrap_err().to_string();
        assert!(error.starts_with("--set b.MaxTime: there is no line PartitionName=b"), "{error}");
    }

    #[test]
    fn what_makes_no_difference_is_named() {
        let settings =
            ["KillWait=5", "a.MaxTime=1", "bf_window=5", "schedulerType=x", "defer"].map(|text| read(text).unwrap());
        assert_eq!(without_effect(&settings), ["KillWait", "defer"]);
    }
}
