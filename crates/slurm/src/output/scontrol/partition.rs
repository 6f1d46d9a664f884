//! `scontrol update`, `create` and `delete PartitionName=…`.

use muster_model::ids::Name;
use muster_model::partition::{OverSubscribe, PartitionState};
use muster_model::request::{Command, PartitionChanges};
use muster_model::time::TimeLimit;

use super::super::context::{Context, Outcome};
use super::Action;
use super::changes::{Change, Changes, What};
use super::show::is;
use super::update::{Setting, no_changes, not_a_setting, one};
use super::{partition_policy, reservation};

/// What the words behind `update` mean, of which one names a partition.
pub(super) fn update(words: &[String]) -> Action {
    let (name, changes) = match read(words) {
        Ok(found) => found,
        Err(action) => return action,
    };
    if changes == PartitionChanges::default() {
        return no_changes();
    }
    one(Command::ChangePartition { name, changes: Box::new(changes), create: false })
}

/// What the words behind `create` mean.
pub(super) fn create(words: &[String], context: &Context) -> Action {
    let Some(first) = words.first() else {
        return Action::complain("too few arguments for create keyword\n");
    };
    let names =
        |key: &str, least: usize| words.iter().any(|word| is(word.split('=').next().unwrap_or_default(), key, least));
    if is(first, "reservation", 3) || names("ReservationName", 3) {
        return reservation::create(words, context);
    }
    if !names("PartitionName", 4) {
        return Action::complain(&format!("scontrol: error: Invalid creation entity: {first}\n"));
    }
    let (name, changes) = match read(words) {
        Ok(found) => found,
        Err(action) => return action,
    };
    let command = Command::ChangePartition { name, changes: Box::new(changes), create: true };
    told_as("Error creating the partition", command)
}

/// What the words behind `delete` mean.
pub(super) fn delete(words: &[String]) -> Action {
    let Some(first) = words.first() else {
        return Action::complain("too few arguments for delete keyword\n");
    };
    let (key, name) = match (first.split_once('='), words.get(1)) {
        (Some((key, name)), _) => (key, name),
        (None, Some(name)) => (first.as_str(), name.as_str()),
        (None, None) => {
            let text = "scontrol: error: Proper format is 'delete <ENTITY>=<ID>' or 'delete <ENTITY> <ID>'\n";
            return Action::complain(text);
        }
    };
    match () {
        () if is(key, "ReservationName", 3) => reservation::delete(first, name),
        () if is(key, "PartitionName", 4) => {
            let command = Command::DeletePartition { name: name.into() };
            told_as(&format!("delete_partition {first}"), command)
        }
        () => Action::complain(&format!("Invalid deletion entity: {first}\n")),
    }
}

fn told_as(words: &str, command: Command) -> Action {
    Action::Change(Changes {
        list: vec![Change { what: What::Named(words.to_owned()), command: Ok(command) }],
        trailer: None,
    })
}

fn read(words: &[String]) -> Result<(Name, PartitionChanges), Action> {
    let mut name = Name::from("");
    let mut changes = PartitionChanges::default();
    for word in words {
        let setting = Setting::read(word).ok_or_else(|| not_a_setting(word))?;
        if setting.is("PartitionName", 4) {
            name = setting.value.into();
        // Nothing of a partition is added to or taken from: real behaviour of Slurm 22.05.
        } else if setting.operator.is_some()
            || !apply_limit(&mut changes, &setting)?
                && !apply_access(&mut changes, &setting)?
                && !partition_policy::apply(&mut changes, &setting)?
        {
            return Err(Action::complain(&format!(
                "scontrol: error: Update of this parameter is not supported: {word}\n\nscontrol: error: Request aborted\nslurm_update error: No error\n"
            )));
        }
    }
    Ok((name, changes))
}

/// Sizes, times and weights; `false` when the setting is none of them.
fn apply_limit(changes: &mut PartitionChanges, setting: &Setting<'_>) -> Result<bool, Action> {
    match () {
        () if setting.is("MaxTime", 4) => {
            changes.time_max = Some(time(setting)?);
        }
        () if setting.is("DefaultTime", 8) => {
            let none = setting.value.eq_ignore_ascii_case("none");
            changes.time_default = Some(if none { None } else { Some(time(setting)?) });
        }
        () if setting.is("MaxNodes", 4) => changes.nodes_max = Some(limit(setting, "MaxNodes")?),
        () if setting.is("MinNodes", 4) => changes.nodes_min = Some(number(setting, "MinNodes")?),
        () if setting.is("MaxCPUsPerNode", 4) => {
            changes.cpus_per_node_max = Some(limit(setting, "MaxCPUsPerNode")?);
        }
        () if setting.is("PriorityTier", 9) => changes.priority_tier = Some(number(setting, "PriorityTier")?),
        () if setting.is("PriorityJobFactor", 9) => {
            changes.priority_job_factor = Some(number(setting, "PriorityJobFactor")?);
        }
        () if setting.is("Nodes", 1) => changes.nodes = Some(setting.value.into()),
        () => return Ok(false),
    }
    Ok(true)
}

/// State, sharing and who may use it; `false` when the setting is none of them.
fn apply_access(changes: &mut PartitionChanges, setting: &Setting<'_>) -> Result<bool, Action> {
    match () {
        () if setting.is("State", 2) => changes.state = Some(state(setting)?),
        () if setting.is("Default", 7) => changes.default = Some(yes(setting)?),
        () if setting.is("Hidden", 1) => changes.hidden = Some(yes(setting)?),
        () if setting.is("RootOnly", 3) => changes.root_only = Some(yes(setting)?),
        () if setting.is("OverSubscribe", 5) || setting.is("Shared", 2) => {
            changes.over_subscribe = Some(over_subscribe(setting)?);
        }
        () if setting.is("AllowGroups", 6) => changes.groups_allowed = Some(names(setting.value)),
        () if setting.is("AllowAccounts", 6) => changes.accounts_allowed = Some(names(setting.value)),
        () if setting.is("AllowQos", 6) => changes.qos_allowed = Some(names(setting.value)),
        () if setting.is("DenyAccounts", 5) => changes.accounts_denied = Some(names(setting.value)),
        () if setting.is("DenyQos", 5) => changes.qos_denied = Some(names(setting.value)),
        () if setting.is("QoS", 3) => {
            changes.qos = Some(Some(setting.value.into()).filter(|_| !setting.value.is_empty()))
        }
        () => return Ok(false),
    }
    Ok(true)
}

pub(super) fn invalid(setting: &Setting<'_>, acceptable: &str) -> Action {
    let word = setting.word;
    Action::Print(Outcome::failure(
        format!(
            "scontrol: error: Invalid input: {word}\nscontrol: error: Acceptable {acceptable}\nslurm_update error: No error\n"
        ),
        1,
    ))
}

fn time(setting: &Setting<'_>) -> Result<TimeLimit, Action> {
    TimeLimit::parse(setting.value).ok_or_else(|| {
        let word = setting.word;
        Action::complain(&format!("scontrol: error: Invalid input {word}\nslurm_update error: No error\n"))
    })
}

pub(super) fn number<T: std::str::FromStr>(setting: &Setting<'_>, key: &str) -> Result<T, Action> {
    let value = setting.value;
    let complaint = || Action::complain(&format!("scontrol: error: Invalid numeric value \"{value}\" for {key}.\n"));
    value.parse().map_err(|_| complaint())
}

fn limit(setting: &Setting<'_>, key: &str) -> Result<Option<u32>, Action> {
    if ["unlimited", "infinite"].iter().any(|word| setting.value.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    number(setting, key).map(Some)
}

fn state(setting: &Setting<'_>) -> Result<PartitionState, Action> {
    let value = setting.value;
    match () {
        () if is(value, "INACTIVE", 1) => Ok(PartitionState::Inactive),
        () if is(value, "DOWN", 2) => Ok(PartitionState::Down),
        () if is(value, "UP", 1) => Ok(PartitionState::Up),
        () if is(value, "DRAIN", 2) => Ok(PartitionState::Drain),
        () => Err(invalid(setting, "State values are UP, DOWN, DRAIN and INACTIVE")),
    }
}

pub(super) fn yes(setting: &Setting<'_>) -> Result<bool, Action> {
    match () {
        () if is(setting.value, "yes", 1) => Ok(true),
        () if is(setting.value, "no", 1) => Ok(false),
        () => Err(invalid(setting, &format!("{} values are YES and NO", setting.key))),
    }
}

fn over_subscribe(setting: &Setting<'_>) -> Result<OverSubscribe, Action> {
    /// Jobs on one core where none are named.
    const DEFAULT_SHARE: u32 = 4;
    let complaint = || invalid(setting, "OverSubscribe values are NO, EXCLUSIVE, YES:#, and FORCE:#");
    let (word, count) = setting.value.split_once(':').unwrap_or((setting.value, ""));
    let count = if count.is_empty() { DEFAULT_SHARE } else { count.parse().map_err(|_| complaint())? };
    match () {
        () if is(word, "no", 1) => Ok(OverSubscribe::No),
        () if is(word, "exclusive", 1) => Ok(OverSubscribe::Exclusive),
        () if is(word, "yes", 1) => Ok(OverSubscribe::Yes(count)),
        () if is(word, "force", 1) => Ok(OverSubscribe::Force(count)),
        () => Err(complaint()),
    }
}

/// A list, where `ALL` is everybody.
fn names(value: &str) -> Vec<Name> {
    if value.eq_ignore_ascii_case("all") {
        return Vec::new();
    }
    value.split(',').filter(|name| !name.is_empty()).map(Name::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn changed(line: &str) -> PartitionChanges {
        match read(&words(line)) {
            Ok((_, changes)) => changes,
            Err(action) => panic!("{line}: {action:?}"),
        }
    }

    fn complaint(action: &Action) -> &str {
        match action {
            Action::Print(outcome) => &outcome.stderr,
            other => panic!("{other:?} is no complaint"),
        }
    }

    #[test]
    fn settings_become_changes() {
        let none = PartitionChanges::default;
        assert_eq!(
            changed("partitionname=p state=down"),
            PartitionChanges { state: Some(PartitionState::Down), ..none() }
        );
        assert_eq!(
            changed("partitionname=p maxtime=4:00:00"),
            PartitionChanges { time_max: Some(TimeLimit::from_minutes(240)), ..none() }
        );
        assert_eq!(changed("partitionname=p default=yes"), PartitionChanges { default: Some(true), ..none() });
        assert_eq!(changed("partitionname=p maxnodes=unlimited"), PartitionChanges { nodes_max: Some(None), ..none() });
        assert_eq!(
            changed("partitionname=p oversubscribe=force:2"),
            PartitionChanges { over_subscribe: Some(OverSubscribe::Force(2)), ..none() }
        );
        assert_eq!(
            changed("partitionname=p qos=high denyqos=low,slow"),
            PartitionChanges {
                qos: Some(Some("high".into())),
                qos_denied: Some(vec!["low".into(), "slow".into()]),
                ..none()
            }
        );
        assert_eq!(changed("partitionname=p qos="), PartitionChanges { qos: Some(None), ..none() });
        assert_eq!(
            changed("partitionname=p allowgroups=ALL"),
            PartitionChanges { groups_allowed: Some(Vec::new()), ..none() }
        );
    }

    #[test]
    fn bad_values_are_told_as_slurm_tells_them() {
        let check = |line: &str, expected: &str| assert_eq!(complaint(&update(&words(line))), expected, "{line}");
        check("partitionname=p maxnodes=abc", "scontrol: error: Invalid numeric value \"abc\" for MaxNodes.\n");
        check(
            "partitionname=p maxtime=bad",
            "scontrol: error: Invalid input maxtime=bad\nslurm_update error: No error\n",
        );
        check(
            "partitionname=p oversubscribe=bad",
            "scontrol: error: Invalid input: oversubscribe=bad\nscontrol: error: Acceptable OverSubscribe values are NO, EXCLUSIVE, YES:#, and FORCE:#\nslurm_update error: No error\n",
        );
    }

    /// As Slurm 22.05 says it; the setting must not be taken for the whole list.
    #[test]
    fn lists_are_set_as_a_whole() {
        for word in ["Nodes+=n1", "nodes-=n1", "AllowAccounts+=x", "foo=1"] {
            let expected = format!(
                "scontrol: error: Update of this parameter is not supported: {word}\n\nscontrol: error: Request aborted\nslurm_update error: No error\n"
            );
            assert_eq!(complaint(&update(&words(&format!("partitionname=p {word}")))), expected);
        }
    }

    #[test]
    fn what_cannot_be_made_or_deleted_is_refused() {
        let root = muster_model::ids::Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let now = muster_model::time::Timestamp(0);
        let context = Context::new(now, jiff::tz::TimeZone::UTC, &Default::default(), root);
        let create = |words: &[String]| create(words, &context);
        assert_eq!(complaint(&create(&[])), "too few arguments for create keyword\n");
        assert_eq!(complaint(&create(&words("foo=1"))), "scontrol: error: Invalid creation entity: foo=1\n");
        assert_eq!(complaint(&delete(&words("foo=1"))), "Invalid deletion entity: foo=1\n");
        let Action::Change(changes) = delete(&words("partitionname=debug")) else { panic!("no change") };
        let told = changes.outcome(&[Some("Partition is in use".to_owned())]);
        assert_eq!(told.stderr, "delete_partition partitionname=debug: Partition is in use\n");
    }
}
