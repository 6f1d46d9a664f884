//! `scontrol update`: what is to be changed, and changes of nodes. Jobs are in [`update_job`](super::update_job),
//! partitions in [`partition`](super::partition).

use muster_model::ids::Name;
use muster_model::request::{Command, NodeChanges, NodeTransition};

use super::super::context::Context;
use super::changes::{Change, Changes, What};
use super::show::is;
use super::{Action, partition, reservation, update_job, update_step};

/// `KEY=VALUE`, `KEY+=VALUE`, `KEY-=VALUE`.
pub(super) struct Setting<'a> {
    /// The word as written.
    pub word: &'a str,
    /// The key as written.
    pub key: &'a str,
    /// `+` or `-` before the sign of equality.
    pub operator: Option<char>,
    /// The value.
    pub value: &'a str,
}

impl<'a> Setting<'a> {
    /// Takes `word` apart; `None` without a sign of equality.
    pub fn read(word: &'a str) -> Option<Setting<'a>> {
        let (key, value) = word.split_once('=')?;
        let operator = key.chars().last().filter(|c| matches!(c, '+' | '-'));
        let key = if operator.is_some() { &key[..key.len() - 1] } else { key };
        Some(Setting { word, key, operator, value })
    }

    /// Whether the key is `name` or a beginning of it of at least `least` letters.
    pub fn is(&self, name: &str, least: usize) -> bool {
        is(self.key, name, least)
    }
}

/// What the words behind `update` mean.
pub fn parse(arguments: &[String], context: &Context) -> Action {
    if arguments.is_empty() {
        return Action::complain("too few arguments for update keyword\n");
    }
    let words = join_subject(arguments);
    let settings: Vec<Option<Setting<'_>>> = words.iter().map(|word| Setting::read(word)).collect();
    let given = |names: &[(&str, usize)]| {
        settings.iter().flatten().any(|setting| names.iter().any(|(name, least)| setting.is(name, *least)))
    };
    if given(&[("NodeName", 4)]) {
        return nodes(&words);
    }
    if given(&[("ReservationName", 3)]) && !given(&[("JobId", 3), ("JobName", 4)]) {
        return reservation::update(&words, context);
    }
    if given(&[("PartitionName", 9), ("Partition", 9)]) && !given(&[("JobId", 3), ("JobName", 4)]) {
        return partition::update(&words);
    }
    if given(&[("JobId", 3), ("JobName", 4)]) {
        return update_job::parse(&join_pairs(&words), context);
    }
    if given(&[("StepId", 4)]) {
        return update_step::parse(&words);
    }
    if given(&[("SlurmctldDebug", 3)]) {
        return Action::complain("slurm_update error: Requested operation not supported on this system\n");
    }
    Action::complain(
        "No valid entity in update command\nInput line must include \"NodeName\", \"PartitionName\", \"Reservation\", \"JobId\", or \"SlurmctldDebug\"\n",
    )
}

/// `update job 68 …` is `update job=68 …`.
fn join_subject(arguments: &[String]) -> Vec<String> {
    match arguments {
        [subject, name, rest @ ..]
            if ["job", "jobid", "node", "nodename", "partition", "partitionname"]
                .iter()
                .any(|word| subject.eq_ignore_ascii_case(word)) =>
        {
            std::iter::once(format!("{subject}={name}")).chain(rest.iter().cloned()).collect()
        }
        _ => arguments.to_vec(),
    }
}

/// Changes of jobs may stand as `KEY VALUE`, as real scontrol takes them.
fn join_pairs(words: &[String]) -> Vec<String> {
    let mut joined = Vec::with_capacity(words.len());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let stands_alone = word.contains('=') || word.eq_ignore_ascii_case("nice");
        let value = if stands_alone { None } else { rest.next() };
        joined.push(value.map_or_else(|| word.clone(), |value| format!("{word}={value}")));
    }
    joined
}

/// The complaint about a word without a sign of equality.
pub(super) fn not_a_setting(word: &str) -> Action {
    Action::complain(&format!("Invalid input: {word}\nRequest aborted\n"))
}

/// The complaint about a key that cannot be changed.
pub(super) fn not_supported(word: &str) -> Action {
    Action::complain(&format!("Update of this parameter is not supported: {word}\nRequest aborted\n"))
}

/// What is left when nothing is to be changed.
pub(super) fn no_changes() -> Action {
    Action::complain("No changes specified\n")
}

fn nodes(words: &[String]) -> Action {
    let names = |list: &str| list.split(',').filter(|part| !part.is_empty()).map(Name::from).collect::<Vec<_>>();
    let mut name = "";
    let mut changes = NodeChanges::default();
    for word in words {
        let Some(setting) = Setting::read(word) else {
            return not_a_setting(word);
        };
        let value = setting.value;
        match () {
            () if setting.is("NodeName", 4) => name = value,
            () if setting.is("Weight", 1) => match value.parse() {
                Ok(weight) => changes.weight = Some(weight),
                Err(_) => {
                    return Action::complain(&format!(
                        "scontrol: error: Weight value ({value}) is not a valid number\nNo changes specified\n"
                    ));
                }
            },
            () if setting.is("AvailableFeatures", 2) || setting.is("Features", 1) => {
                changes.features = Some(names(value));
            }
            () if setting.is("ActiveFeatures", 2) => changes.features_active = Some(names(value)),
            () if setting.is("Comment", 3) => changes.comment = Some(value.into()),
            () if setting.is("Extra", 3) => changes.extra = Some(value.into()),
            () if setting.is("Reason", 1) => changes.reason = Some(value.into()).filter(|_| !value.is_empty()),
            () if setting.is("State", 1) => match node_state(value) {
                Ok(state) => changes.state = Some(state),
                // Slurm finds out about the node before the state.
                Err(_) if name.is_empty() => changes.state = Some(NodeTransition::Resume),
                Err(text) => return Action::complain(&text.replace("{}", word)),
            },
            () => return not_supported(word),
        }
    }
    let needs_reason =
        matches!(changes.state, Some(NodeTransition::Drain | NodeTransition::Down | NodeTransition::Fail));
    if needs_reason && changes.reason.is_none() {
        return Action::complain("You must specify a reason when DOWNING or DRAINING a node. Request denied\n");
    }
    if changes == NodeChanges::default() {
        return no_changes();
    }
    one(Command::UpdateNodes { nodes: name.into(), changes })
}

pub(super) fn one(command: Command) -> Action {
    Action::Change(Changes { list: vec![Change { what: What::Other, command: Ok(command) }], trailer: None })
}

/// Reads `State=` of a node; the complaint has `{}` where the word stands.
fn node_state(value: &str) -> Result<NodeTransition, &'static str> {
    const REFUSED: &[&str] = &[
        "NoResp",
        "FUTURE",
        "POWER_DOWN",
        "POWER_UP",
        "IDLE",
        "ALLOCATED",
        "MIXED",
        "UNKNOWN",
        "ERROR",
        "CLOUD",
        "REBOOT",
    ];
    match () {
        () if is(value, "DRAIN", 3) => Ok(NodeTransition::Drain),
        () if is(value, "DOWN", 2) => Ok(NodeTransition::Down),
        () if is(value, "RESUME", 3) => Ok(NodeTransition::Resume),
        () if is(value, "UNDRAIN", 3) => Ok(NodeTransition::Undrain),
        () if is(value, "FAIL", 3) => Ok(NodeTransition::Fail),
        () if REFUSED.iter().any(|word| is(value, word, 3)) => {
            Err("slurm_update error: Invalid node state specified\n")
        }
        () => Err(
            "Invalid input: {}\nRequest aborted\nValid states are: NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN\nNot all states are valid given a node's prior state\n",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_jobs_may_stand_without_a_sign_of_equality() {
        let joined = |line: &str| join_pairs(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
        assert_eq!(
            joined("jobid=12 arraytaskthrottle 2 nice comment=x"),
            "jobid=12 arraytaskthrottle=2 nice comment=x"
        );
        assert_eq!(joined("jobid=12 noequals"), "jobid=12 noequals");
    }
}
