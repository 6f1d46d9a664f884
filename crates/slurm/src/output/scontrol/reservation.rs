//! `scontrol create`, `update` and `delete ReservationName=…`.
//!
//! Words, order of checks and complaints are those of Slurm 22.05. `QOS=`, `AllowedPartitions=` and `Comment=` are taken
//! from newer versions.

use muster_model::accounting::TresAmounts;
use muster_model::ids::Name;
use muster_model::request::{Command, RefusalCode};
use muster_model::reservation::{DurationChange, FlagChange, ListChange, ReservationChanges, SetOperation};
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::super::context::{Context, Outcome};
use super::Action;
use super::changes::{Change, Changes, What};
use super::update::Setting;
use crate::grammar::{reservation_flags, time_point};

/// What is done with a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Create,
    Update,
}

impl Verb {
    /// What stands at the end of a complaint.
    fn undone(self) -> &'static str {
        match self {
            Verb::Create => "No reservation created.",
            Verb::Update => "No reservation update.",
        }
    }

    /// A complaint found here.
    fn complain(self, text: &str) -> Action {
        self.say(format!("scontrol: error: {text}  {}\n", self.undone()))
    }

    fn say(self, text: String) -> Action {
        let end = if self == Verb::Update { "slurm_update error: No error\n" } else { "" };
        Action::Print(Outcome::failure(text + end, 1))
    }

    /// What the controller would refuse, found here.
    fn refuse(self, code: RefusalCode) -> Action {
        let change = Change { what: self.what(), command: Err(code.text().to_owned()) };
        Action::Change(Changes { list: vec![change], trailer: None })
    }

    fn what(self) -> What {
        match self {
            Verb::Create => What::NewReservation,
            Verb::Update => What::Reservation,
        }
    }
}

/// What the words behind `create` mean, which make a reservation.
pub(super) fn create(words: &[String], context: &Context) -> Action {
    let words = match words.split_first() {
        Some((first, rest)) if !first.contains('=') => rest,
        _ => words,
    };
    let (name, changes) = match read(words, Verb::Create, context) {
        Ok(found) => found,
        Err(action) => return *action,
    };
    if let Err(action) = check_new(&changes) {
        return *action;
    }
    let command = Command::CreateReservation { name, changes: Box::new(changes) };
    carry_out(Verb::Create, command)
}

/// What the words behind `update` mean, of which one names a reservation.
pub(super) fn update(words: &[String], context: &Context) -> Action {
    let (name, changes) = match read(words, Verb::Update, context) {
        Ok(found) => found,
        Err(action) => return *action,
    };
    carry_out(
        Verb::Update,
        Command::UpdateReservation { name: name.unwrap_or_else(|| "".into()), changes: Box::new(changes) },
    )
}

/// What `delete` of the reservation `name` means; `first` is the word that says so.
pub(super) fn delete(first: &str, name: &str) -> Action {
    let what = What::Named(format!("delete_reservation {first}"));
    let command = Ok(Command::DeleteReservation { name: name.into() });
    Action::Change(Changes { list: vec![Change { what, command }], trailer: None })
}

fn carry_out(verb: Verb, command: Command) -> Action {
    Action::Change(Changes { list: vec![Change { what: verb.what(), command: Ok(command) }], trailer: None })
}

/// What a new reservation must say, in the order in which Slurm looks.
fn check_new(changes: &ReservationChanges) -> Result<(), Box<Action>> {
    use muster_model::reservation::ReservationFlag::PartNodes;
    let complain = |text: &str| Err(Box::new(Verb::Create.complain(text)));
    let Some(start) = changes.start else {
        return complain("A start time must be given.");
    };
    if changes.end.is_none() && changes.duration.is_none() {
        return complain("An end time or duration must be given.");
    }
    if changes.end.is_some_and(|end| end < start) && changes.duration.is_none() {
        return complain("Start time cannot be after end time.");
    }
    let all = changes.nodes.as_deref().is_some_and(|list| list.eq_ignore_ascii_case("all"));
    let part_nodes = changes.flags.as_ref().is_some_and(|change| change.flags.contains(&PartNodes));
    if part_nodes && !(all && changes.partition.is_some()) {
        return complain("PART_NODES flag requires specifying a Partition and ALL nodes.");
    }
    let has_resources = changes.nodes.as_ref().is_some_and(|list| !list.is_empty())
        || changes.node_count.is_some_and(|count| count > 0)
        || changes.core_counts.is_some()
        || changes.partition.is_some()
        || changes.licenses.is_some()
        || changes.tres.is_some();
    if !has_resources {
        return complain("CoreCnt, Nodes, NodeCnt, BurstBuffer, Licenses or Watts must be specified.");
    }
    if changes.users.is_some() && changes.groups.is_some() {
        return complain("Users and Groups are mutually exclusive.  You can have one or the other, but not both.");
    }
    let lists = [&changes.users, &changes.groups, &changes.accounts, &changes.qos, &changes.partitions];
    if lists.iter().all(|list| list.is_none()) {
        return complain("Either Users/Groups and/or Accounts must be specified.");
    }
    Ok(())
}

type Read = (Option<Name>, ReservationChanges);

fn read(words: &[String], verb: Verb, context: &Context) -> Result<Read, Box<Action>> {
    let mut name = None;
    let mut changes = ReservationChanges::default();
    for word in words {
        if super::show::is(word, "skip", 2) && verb == Verb::Update {
            changes.skip = true;
            continue;
        }
        let Some(setting) = Setting::read(word) else {
            let text = format!("Misformatted parameter '{word}', most options have a parameter after '='.");
            return Err(Box::new(verb.complain(&text)));
        };
        if setting.is("ReservationName", 3) {
            name = Some(setting.value.into()).filter(|name: &Name| !name.is_empty());
        } else if !read_times(&mut changes, &setting, verb, context)?
            && !read_resources(&mut changes, &setting, verb)?
            && !read_lists(&mut changes, &setting, verb, context)?
        {
            return Err(Box::new(verb.complain(&format!("Unknown parameter {word}."))));
        }
    }
    Ok((name, changes))
}

fn operation(setting: &Setting<'_>) -> SetOperation {
    match setting.operator {
        Some('+') => SetOperation::Add,
        Some(_) => SetOperation::Remove,
        None => SetOperation::Replace,
    }
}

/// Times and flags; `false` when the setting is none of them.
fn read_times(
    changes: &mut ReservationChanges,
    setting: &Setting<'_>,
    verb: Verb,
    context: &Context,
) -> Result<bool, Box<Action>> {
    match () {
        () if setting.is("StartTime", 1) => changes.start = Some(time(setting, "start", verb, context)?),
        () if setting.is("EndTime", 1) => changes.end = Some(time(setting, "end", verb, context)?),
        () if setting.is("Duration", 1) => {
            let limit = span(setting, "duration", verb)?;
            changes.duration = Some(match (limit, operation(setting)) {
                (TimeLimit::Unlimited, _) => DurationChange::Unlimited,
                (TimeLimit::Limited(span), SetOperation::Replace) => DurationChange::To(span),
                (TimeLimit::Limited(span), SetOperation::Add) => DurationChange::Longer(span),
                (TimeLimit::Limited(span), SetOperation::Remove) => DurationChange::Shorter(span),
            });
        }
        () if setting.is("MaxStartDelay", 1) => {
            let limit = span(setting, "MaxStartDelay", verb)?;
            changes.start_delay_max = Some(limit.span().filter(|span| *span > Span::ZERO));
        }
        () if setting.is("Flags", 2) => {
            let operation = operation(setting);
            let sign = setting.operator.map(String::from).unwrap_or_default();
            let bad = || Box::new(verb.complain(&format!("Error parsing flags {sign}{}.", setting.value)));
            let (flags, purge_after) =
                reservation_flags::parse(setting.value, operation == SetOperation::Remove).ok_or_else(bad)?;
            changes.flags = Some(FlagChange { operation, flags, purge_after });
        }
        () => return Ok(false),
    }
    Ok(true)
}

fn time(setting: &Setting<'_>, which: &str, verb: Verb, context: &Context) -> Result<Timestamp, Box<Action>> {
    let value = setting.value;
    time_point::parse(value, context.now, &context.zone).map_err(|bad| {
        Box::new(verb.say(format!(
            "Invalid time specification (pos={}): {value}\nscontrol: error: Invalid {which} time {}.  {}\n",
            bad.0,
            setting.word,
            verb.undone()
        )))
    })
}

fn span(setting: &Setting<'_>, which: &str, verb: Verb) -> Result<TimeLimit, Box<Action>> {
    TimeLimit::parse(setting.value)
        .ok_or_else(|| Box::new(verb.complain(&format!("Invalid {which} {}.", setting.word))))
}

/// Nodes, cores, licences and where they come from; `false` when the setting is none of them.
fn read_resources(changes: &mut ReservationChanges, setting: &Setting<'_>, verb: Verb) -> Result<bool, Box<Action>> {
    let value = setting.value;
    match () {
        () if setting.is("NodeCnt", 5) || setting.is("NodeCount", 5) => {
            let counts = counts(value, true).ok_or_else(|| bad_count("node", value, verb))?;
            changes.node_count = Some(counts.iter().fold(0, |sum, count| u32::saturating_add(sum, *count)));
        }
        () if setting.is("CoreCnt", 5) || setting.is("CoreCount", 5) => {
            changes.core_counts = Some(counts(value, false).ok_or_else(|| bad_count("core", value, verb))?);
        }
        () if setting.is("Nodes", 5) || setting.is("NodeList", 5) => {
            if setting.operator.is_some() {
                return Err(Box::new(verb.complain("The +=/-= notation is not supported when updating nodes.")));
            }
            changes.nodes = Some(value.into());
        }
        () if setting.is("Features", 2) => changes.features = Some(value.into()),
        () if setting.is("Licenses", 1) => {
            let refuse = || Box::new(verb.refuse(RefusalCode::InvalidLicense));
            changes.licenses = Some(licenses(value).ok_or_else(refuse)?);
        }
        () if setting.is("PartitionName", 1) => changes.partition = Some(value.into()),
        () if setting.is("TRES", 1) => read_tres(changes, value, verb)?,
        () if setting.is("BurstBuffer", 2) || setting.is("Watts", 1) => {
            let text = format!("{} of a reservation is not supported here.", setting.key);
            return Err(Box::new(verb.complain(&text)));
        }
        () => return Ok(false),
    }
    Ok(true)
}

fn bad_count(what: &str, value: &str, verb: Verb) -> Box<Action> {
    Box::new(verb.say(format!("scontrol: error: Invalid {what} count {value}\n")))
}

/// `2,3`; with `k` for 1024 where that is allowed. Zero stands for nothing.
fn counts(text: &str, with_suffix: bool) -> Option<Vec<u32>> {
    let number = |part: &str| {
        let kilo = part.strip_suffix(['k', 'K']).filter(|_| with_suffix);
        let number: u32 = kilo.unwrap_or(part).parse().ok()?;
        number.checked_mul(if kilo.is_some() { 1024 } else { 1 })
    };
    text.split(',').map(number).collect()
}

fn licenses(text: &str) -> Option<TresAmounts> {
    let mut found = TresAmounts::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, count) =
            part.split_once([':', '=']).map_or((part, Some(1)), |(name, count)| (name, count.parse().ok()));
        if name.is_empty() || name.contains('|') {
            return None;
        }
        found.add(&name.into(), count?);
    }
    Some(found)
}

/// `TRES=cpu=4,node=1,gres/gpu=2,license/matlab=1`.
fn read_tres(changes: &mut ReservationChanges, text: &str, verb: Verb) -> Result<(), Box<Action>> {
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let unknown =
            |name: &str| Box::new(verb.say(format!("scontrol: error: couldn't identify configured TRES '{name}'\n")));
        let (name, count) = part.split_once('=').ok_or_else(|| unknown(part))?;
        let number: u64 = count.parse().map_err(|_| unknown(name))?;
        let small = u32::try_from(number).map_err(|_| unknown(name))?;
        match name.to_ascii_lowercase().as_str() {
            "cpu" => changes.core_counts = Some(vec![small]),
            "node" => changes.node_count = Some(small),
            lower if lower.starts_with("gres/") && lower.len() > 5 => {
                changes.tres.get_or_insert_default().add(&name.into(), number);
            }
            lower if lower.starts_with("license/") && lower.len() > 8 => {
                changes.licenses.get_or_insert_default().add(&name[8..].into(), number);
            }
            _ => return Err(unknown(name)),
        }
    }
    Ok(())
}

/// Who may use it; `false` when the setting is something else.
fn read_lists(
    changes: &mut ReservationChanges,
    setting: &Setting<'_>,
    verb: Verb,
    context: &Context,
) -> Result<bool, Box<Action>> {
    let place = match () {
        () if setting.is("Users", 1) => {
            let known = |name: &Name| context.user(name).is_some();
            check_names(setting, known, verb, RefusalCode::InvalidUser)?;
            &mut changes.users
        }
        () if setting.is("Groups", 1) => {
            let known = |name: &Name| context.group(name).is_some();
            check_names(setting, known, verb, RefusalCode::InvalidGroup)?;
            &mut changes.groups
        }
        () if setting.is("Accounts", 1) => &mut changes.accounts,
        () if setting.is("QOS", 1) => &mut changes.qos,
        () if setting.is("AllowedPartitions", 8) => &mut changes.partitions,
        () if setting.is("Comment", 2) => {
            changes.comment = Some(setting.value.into());
            return Ok(true);
        }
        () => return Ok(false),
    };
    let names = names(setting);
    let denied = names.iter().filter(|(_, denied)| *denied).count();
    if denied > 0 && denied < names.len() {
        // Who may and who may not cannot be told in one list.
        return Err(Box::new(verb.refuse(RefusalCode::ReservationEmpty)));
    }
    // `Users=+bob` means what `Users+=bob` does.
    let adds = setting.operator.is_none() && setting.value.starts_with('+');
    *place = Some(ListChange {
        operation: if adds { SetOperation::Add } else { operation(setting) },
        denied: denied > 0,
        names: names.into_iter().map(|(name, _)| name).collect(),
    });
    Ok(true)
}

/// Names with whether they are written with a leading `-`.
fn names(setting: &Setting<'_>) -> Vec<(Name, bool)> {
    let parts =
        setting.value.split(',').map(|part| part.strip_prefix('+').unwrap_or(part)).filter(|part| !part.is_empty());
    parts.map(|part| part.strip_prefix('-').map_or((part.into(), false), |name| (name.into(), true))).collect()
}

fn check_names(
    setting: &Setting<'_>,
    is_known: impl Fn(&Name) -> bool,
    verb: Verb,
    otherwise: RefusalCode,
) -> Result<(), Box<Action>> {
    if names(setting).iter().all(|(name, _)| is_known(name)) { Ok(()) } else { Err(Box::new(verb.refuse(otherwise))) }
}
