//! `scontrol update JobId=…`: the keys of a job that can be changed.

use muster_model::ids::Name;
use muster_model::request::{Command, JobChanges, JobTarget, Query, RefusalCode};
use muster_model::resources::{GresRequest, GresScope, Megabytes, MemoryRequest, Sharing, SwitchLimit};
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::super::context::{Answers, Context, Outcome};
use super::super::ids;
use super::changes::{Change, Changes, What};
use super::show::is;
use super::update::{Setting, no_changes, not_a_setting, not_supported};
use super::{Action, Lookup, Next, resize};
use crate::grammar::{dependency, gres, mail, nodes, numbers, time_point};

/// Jobs whose limits become longer or shorter.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitChange {
    jobs: Vec<(String, JobTarget)>,
    seconds: i64,
    changes: Box<JobChanges>,
}

impl LimitChange {
    /// The changes, now that the present limits are known.
    pub(super) fn resume(self, answers: &Answers) -> Action {
        let limits =
            self.jobs.iter().filter_map(|(_, target)| answers.jobs.iter().find(|job| ids::matches(target, job)));
        let shortest = limits.filter_map(|job| job.time_limit.span()).map(Span::seconds).min();
        if let Some(now) = shortest.filter(|now| now + self.seconds < 0) {
            let (less, now) = (-self.seconds / 60, now / 60);
            let said = format!("TimeLimit decrement larger than current time limit ({less} > {now})");
            return Action::complain(&format!("scontrol: error: {said}\n"));
        }
        let each = self.jobs.into_iter().map(|(text, target)| {
            let now = answers.jobs.iter().find(|job| ids::matches(&target, job)).map(|job| job.time_limit);
            let time_limit = now.map(|limit| match limit {
                TimeLimit::Limited(span) => {
                    TimeLimit::Limited(Span::from_seconds((span.seconds() + self.seconds).max(0)))
                }
                TimeLimit::Unlimited => TimeLimit::Unlimited,
            });
            let changes = Box::new(JobChanges { time_limit, ..(*self.changes).clone() });
            Change { what: What::Job(text), command: Ok(Command::UpdateJob { target, changes }) }
        });
        Action::Change(Changes { list: each.collect(), trailer: None })
    }
}

/// What the words of `update` ask for.
#[derive(Default)]
struct Wanted {
    /// `JobId=`.
    subject: Option<String>,
    /// `JobName=`: the new name, or without `JobId=` the name of the jobs to change.
    name: Option<Name>,
    /// `UserId=`: whose jobs of that name.
    user: Option<u32>,
    /// The changes.
    changes: JobChanges,
    /// Seconds to add to the limits.
    seconds: Option<i64>,
    /// `NumNodes=ALL`: no other size, but the files that tell of the present one.
    keeps_size: bool,
    /// Why all of it is refused.
    refused: Option<RefusalCode>,
}

/// What the words of `update` mean, of which one names a job.
pub(super) fn parse(words: &[String], context: &Context) -> Action {
    let wanted = match read(words, context) {
        Ok(wanted) => wanted,
        Err(action) => return action,
    };
    let mut changes = Box::new(wanted.changes);
    let Some(subject) = wanted.subject else {
        if wanted.seconds.is_some() || wanted.refused.is_some() {
            return Action::complain("scontrol: error: name the jobs by JobId= for this change\n");
        }
        let name = wanted.name.unwrap_or_default().to_string();
        let query = Query::Jobs { ids: None, uids: None, active_only: true };
        return Action::Lookup(Box::new(Lookup { query, next: Next::UpdateNamed(name, wanted.user, changes) }));
    };
    changes.name = wanted.name;
    let nothing =
        *changes == JobChanges::default() && wanted.seconds.is_none() && wanted.refused.is_none() && !wanted.keeps_size;
    if subject.is_empty() || nothing {
        return no_changes();
    }
    let target = |text: &str| ids::target(text).filter(|target| target.step.is_none());
    let jobs: Vec<(String, Option<JobTarget>)> =
        ids::split(&subject).into_iter().map(|text| (text.to_owned(), target(text))).collect();
    let resizes = changes.nodes.is_some() || changes.nodes_required.is_some() || wanted.keeps_size;
    match wanted.seconds {
        None if resizes => {
            let whole = target(&subject);
            resize::begin(&subject, whole, update_each(jobs, &changes, wanted.refused))
        }
        Some(_) if wanted.refused.is_some() => Action::Change(update_each(jobs, &changes, wanted.refused)),
        Some(_) if jobs.iter().any(|(_, target)| target.is_none()) => {
            Action::Change(update_each(jobs, &changes, Some(RefusalCode::InvalidJobId)))
        }
        Some(seconds) => adjust_limits(jobs, seconds, changes),
        None => Action::Change(update_each(jobs, &changes, wanted.refused)),
    }
}

fn read(words: &[String], context: &Context) -> Result<Wanted, Action> {
    let mut wanted = Wanted::default();
    for word in words {
        let Some(setting) = Setting::read(word) else {
            if word.eq_ignore_ascii_case("nice") {
                wanted.changes.nice = Some(100);
                continue;
            }
            return Err(not_a_setting(word));
        };
        match () {
            () if setting.is("JobId", 3) && !setting.is("JobName", 4) => {
                wanted.subject = Some(setting.value.to_owned());
            }
            () if setting.is("JobName", 4) || setting.is("Name", 2) => wanted.name = Some(setting.value.into()),
            () if setting.is("Dependency", 1) => match dependency::parse(setting.value) {
                Ok(dependencies) => wanted.changes.dependencies = Some(dependencies),
                Err(_) => wanted.refused = Some(RefusalCode::Dependency),
            },
            () if setting.is("NumNodes", 8) && setting.value.eq_ignore_ascii_case("all") => wanted.keeps_size = true,
            // It chooses among the jobs of a name; beside a number it says nothing.
            () if setting.is("UserId", 3) => match context.user(setting.value) {
                Some(uid) => wanted.user = Some(uid),
                None => {
                    return Err(Action::complain(&format!("Invalid UserID: {}\nRequest aborted\n", setting.value)));
                }
            },
            () if refusal_of(&setting).is_some() => wanted.refused = refusal_of(&setting),
            () => {
                let seconds = apply(&mut wanted.changes, &setting, context)?;
                wanted.seconds = seconds.or(wanted.seconds);
            }
        }
    }
    Ok(wanted)
}

/// The present limits must be known first.
fn adjust_limits(jobs: Vec<(String, Option<JobTarget>)>, seconds: i64, changes: Box<JobChanges>) -> Action {
    let jobs: Vec<_> = jobs.into_iter().filter_map(|(text, target)| Some((text, target?))).collect();
    let ids = Some(jobs.iter().map(|(_, target)| target.job_id).collect());
    let query = Query::Jobs { ids, uids: None, active_only: false };
    let change = LimitChange { jobs, seconds, changes };
    Action::Lookup(Box::new(Lookup { query, next: Next::AdjustLimit(change) }))
}

fn update_each(jobs: Vec<(String, Option<JobTarget>)>, changes: &JobChanges, refused: Option<RefusalCode>) -> Changes {
    let each = jobs.into_iter().map(|(text, target)| {
        let command = match (target, refused) {
            (None, _) => Err(RefusalCode::InvalidJobId),
            (_, Some(code)) => Err(code),
            (Some(target), None) => Ok(Command::UpdateJob { target, changes: Box::new(changes.clone()) }),
        };
        Change { what: What::Job(text), command: command.map_err(|code| code.text().to_owned()) }
    });
    Changes { list: each.collect(), trailer: None }
}

/// Puts one setting into `changes`. Gives the seconds by which a limit is to change.
fn apply(changes: &mut JobChanges, setting: &Setting<'_>, context: &Context) -> Result<Option<i64>, Action> {
    if setting.is("TimeLimit", 5) {
        return apply_limit(changes, setting);
    }
    if setting.operator.is_some() {
        return Err(not_supported(setting.word));
    }
    if apply_text(changes, setting)
        || apply_resource(changes, setting)?
        || apply_shape(changes, setting)?
        || apply_shown(changes, setting)?
    {
        return Ok(None);
    }
    let value = setting.value;
    let invalid = |key: &str| complain(key, value);
    match () {
        () if setting.is("Priority", 2) => {
            changes.priority = Some(value.parse().map_err(|_| invalid("Priority"))?);
        }
        () if setting.is("Nice", 2) => {
            changes.nice = Some(within_offset("Nice", value)?);
        }
        () if setting.is("SiteFactor", 5) => {
            changes.site_factor = Some(within_offset("SiteFactor", value)?);
        }
        () if setting.is("MailType", 5) => {
            changes.mail_type = Some(mail::parse(value).ok_or_else(|| invalid("MailType"))?.into());
        }
        () if setting.is("Requeue", 4) => {
            changes.requeue = Some(value.parse::<u32>().map_err(|_| invalid("Requeue"))? != 0);
        }
        () if setting.is("ArrayTaskThrottle", 10) => {
            changes.array_throttle = Some(value.parse().map_err(|_| invalid("ArrayTaskThrottle"))?);
        }
        () if setting.is("StartTime", 2) || setting.is("EligibleTime", 2) => {
            changes.begin = Some(point_in_time(value, context)?);
        }
        () if setting.is("EndTime", 2) => changes.end_time = Some(point_in_time(value, context)?),
        () if setting.is("TimeMin", 5) => {
            changes.time_limit_min = Some(TimeLimit::parse(value).ok_or_else(|| invalid("TimeMin"))?);
        }
        () if setting.is("Deadline", 3) => changes.deadline = Some(point_in_time(value, context)?),
        () => return Err(not_supported(setting.word)),
    }
    Ok(None)
}

fn point_in_time(value: &str, context: &Context) -> Result<Timestamp, Action> {
    time_point::parse(value, context.now, &context.zone).map_err(|position| {
        let at = position.0;
        Action::complain(&format!("Invalid time specification (pos={at}): {value}\nNo changes specified\n"))
    })
}

/// How a job may share its nodes and what it needs on each; `false` when the setting is none of that.
fn apply_shape(changes: &mut JobChanges, setting: &Setting<'_>) -> Result<bool, Action> {
    let value = setting.value;
    match () {
        () if setting.is("NumCPUs", 6) => {
            let least = value.split('-').next().unwrap_or_default();
            changes.cpus =
                Some(least.parse().ok().filter(|cpus| *cpus > 0).ok_or_else(|| not_positive(value, "NumCPUs"))?);
        }
        () if setting.is("OverSubscribe", 5) || setting.is("Shared", 2) => {
            changes.sharing = Some(match () {
                () if is(value, "yes", 1) || value == "1" => Sharing::Oversubscribe,
                () if is(value, "no", 1) || value == "0" => Sharing::Exclusive,
                () => return Err(complain("OverSubscribe", value)),
            });
        }
        () if setting.is("Contiguous", 3) => {
            changes.contiguous = Some(match () {
                () if is(value, "yes", 1) || value == "1" => true,
                () if is(value, "no", 1) || value == "0" => false,
                () => return Err(complain("Contiguous", value)),
            });
        }
        () if setting.is("MinCPUsNode", 4) => changes.cpus_per_node_min = Some(positive(value, "MinCPUsNode")?),
        () if setting.is("MinTmpDiskNode", 5) => {
            let size = value.parse().map(Megabytes).map_err(|_| complain("MinTmpDiskNode", value))?;
            changes.tmp_disk_min = Some(size);
        }
        () => return Ok(false),
    }
    Ok(true)
}

/// Settings that are shown as they are written, as their options of `sbatch` are; `false` when this is none.
fn apply_shown(changes: &mut JobChanges, setting: &Setting<'_>) -> Result<bool, Action> {
    if setting.is("DelayBoot", 5) && TimeLimit::parse(setting.value).is_none() {
        return Err(complain("DelayBoot", setting.value));
    }
    let name = match () {
        () if setting.is("DelayBoot", 5) => "delay-boot",
        () if setting.is("Switches", 5) => {
            let limit = switch_limit(setting.value).ok_or_else(|| complain("Switches", setting.value))?;
            changes.switches = Some(limit);
            "switches"
        }
        () if setting.is("Prefer", 3) => {
            changes.preferred = Some(setting.value.into());
            "prefer"
        }
        () => return Ok(false),
    };
    changes.others.push((name.into(), setting.value.into()));
    Ok(true)
}

/// `count[@time]`.
fn switch_limit(text: &str) -> Option<SwitchLimit> {
    let (count, wait) = text.split_once('@').map_or((text, None), |(count, wait)| (count, Some(wait)));
    let wait = match wait {
        Some(wait) => TimeLimit::parse(wait)?.span(),
        None => None,
    };
    Some(SwitchLimit { count: count.parse().ok()?, wait })
}

/// Settings that real clusters refuse too, with their reason, unless they have what is named.
fn refusal_of(setting: &Setting<'_>) -> Option<RefusalCode> {
    match () {
        () if setting.is("CoreSpec", 4) || setting.is("ThreadSpec", 4) => Some(RefusalCode::AccessDenied),
        () if setting.is("BurstBuffer", 1) => Some(RefusalCode::NotSupported),
        () if setting.is("Clusters", 8) => Some(RefusalCode::Internal),
        () => None,
    }
}

/// As real `scontrol`, which says so and exits 0.
fn not_a_node_count(value: &str) -> Action {
    let said = format!("scontrol: error: Invalid numeric value \"{value}\" for requested node count.\n");
    Action::Print(Outcome::failure(said, 0))
}

/// Most by which a priority is moved either way.
const OFFSET_MAX: i32 = 2_147_483_645;

/// How far a priority is moved. What is no number is 0, as in Slurm.
fn within_offset(key: &str, value: &str) -> Result<i32, Action> {
    let number = i32::try_from(numbers::leading_or_zero(value)).ok();
    number.filter(|number| (-OFFSET_MAX..=OFFSET_MAX).contains(number)).ok_or_else(|| {
        Action::complain(&format!("scontrol: error: {key} value out of range (+/- {OFFSET_MAX}). Value ignored\n"))
    })
}

fn complain(key: &str, value: &str) -> Action {
    Action::complain(&format!("scontrol: error: Invalid {key} value: {value}\n"))
}

fn apply_limit(changes: &mut JobChanges, setting: &Setting<'_>) -> Result<Option<i64>, Action> {
    let invalid = || Action::complain("scontrol: error: Invalid TimeLimit value\n");
    // `TimeLimit+=5` and `TimeLimit=+5` mean the same.
    let sign = setting.value.chars().next().filter(|sign| setting.operator.is_none() && "+-".contains(*sign));
    let limit = TimeLimit::parse(setting.value.trim_start_matches(|c: char| Some(c) == sign)).ok_or_else(invalid)?;
    match (setting.operator.or(sign), limit.span()) {
        (None, _) => changes.time_limit = Some(limit),
        (Some('-'), Some(span)) => return Ok(Some(-span.seconds())),
        (Some(_), Some(span)) => return Ok(Some(span.seconds())),
        (Some(_), None) => return Err(invalid()),
    }
    Ok(None)
}

/// Settings that are taken as they are written.
fn apply_text(changes: &mut JobChanges, setting: &Setting<'_>) -> bool {
    let place = match () {
        () if setting.is("Partition", 2) => &mut changes.partition,
        () if setting.is("Account", 2) => &mut changes.account,
        () if setting.is("QOS", 3) => &mut changes.qos,
        () if setting.is("ReservationName", 3) => &mut changes.reservation,
        () if setting.is("WCKey", 1) => &mut changes.wckey,
        () if setting.is("Comment", 3) => &mut changes.comment,
        () if setting.is("AdminComment", 3) => &mut changes.admin_comment,
        () if setting.is("Features", 1) => &mut changes.constraint,
        () if setting.is("ReqNodeList", 8) || setting.is("NodeList", 8) => &mut changes.nodes_required,
        () if setting.is("ExcNodeList", 3) => &mut changes.nodes_excluded,
        () if setting.is("Licenses", 1) => &mut changes.licenses,
        () if setting.is("StdOut", 6) => &mut changes.output,
        () if setting.is("StdErr", 6) => &mut changes.error,
        () if setting.is("WorkDir", 4) => &mut changes.work_dir,
        () if setting.is("MailUser", 5) => &mut changes.mail_user,
        () => return false,
    };
    *place = Some(Name::from(setting.value));
    true
}

/// Settings of what a job asks for; `false` when this is none.
fn apply_resource(changes: &mut JobChanges, setting: &Setting<'_>) -> Result<bool, Action> {
    let value = setting.value;
    let megabytes = |key: &str| value.parse().map(Megabytes).map_err(|_| complain(key, value));
    match () {
        () if setting.is("NumTasks", 8) || setting.is("ReqProcs", 8) => {
            changes.tasks = Some(positive(value, "NumTasks")?);
        }
        () if setting.is("CPUsPerTask", 9) || setting.is("CPUs/Task", 9) => {
            changes.cpus_per_task = Some(positive(value, "CPUsPerTask")?);
        }
        () if setting.is("NumNodes", 8) || setting.is("ReqNodes", 8) || setting.is("NodeCnt", 7) => {
            changes.nodes = Some(nodes::parse(value).map_err(|_| not_a_node_count(value))?);
        }
        () if setting.is("MinMemoryNode", 10) => {
            changes.memory = Some(MemoryRequest::PerNode(megabytes("MinMemoryNode")?));
        }
        () if setting.is("MinMemoryCPU", 10) => {
            changes.memory = Some(MemoryRequest::PerCpu(megabytes("MinMemoryCPU")?));
        }
        () if setting.is("Gres", 2) || setting.is("TresPerNode", 8) => {
            changes.gres = Some(gres_requests(setting)?);
        }
        () => return Ok(false),
    }
    Ok(true)
}

fn positive(value: &str, key: &str) -> Result<u32, Action> {
    value.parse().ok().filter(|count| *count > 0).ok_or_else(|| not_positive(value, key))
}

fn not_positive(value: &str, key: &str) -> Action {
    Action::complain(&format!(
        "scontrol: error: Invalid numeric value \"{value}\" for {key}.\nscontrol: error: Invalid {key} value: {value}\n"
    ))
}

fn gres_requests(setting: &Setting<'_>) -> Result<Vec<GresRequest>, Action> {
    if setting.value.is_empty() {
        return Ok(Vec::new());
    }
    let list = gres::parse_list(setting.value, None)
        .map_err(|_| Action::complain(&format!("scontrol: error: Invalid Gres value: {}\n", setting.value)))?;
    Ok(list.into_iter().map(|gres| GresRequest { scope: GresScope::Node, gres }).collect())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use muster_model::ids::{Identity, JobId};

    use super::*;
    use crate::output::Environment;

    fn changes(line: &str) -> Vec<(String, Result<JobChanges, String>)> {
        let caller = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let context = Context::new(Timestamp::from_seconds(1000), TimeZone::UTC, &Environment::new(), caller);
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let changes = match parse(&words, &context) {
            Action::Change(changes) => changes,
            Action::Lookup(lookup) => match lookup.next {
                Next::Resize(resize) => resize.changes,
                other => panic!("{line}: {other:?}"),
            },
            other => panic!("{line}: {other:?}"),
        };
        let each = changes.list.into_iter().map(|change| match (change.what, change.command) {
            (What::Job(text), Ok(Command::UpdateJob { changes, .. })) => (text, Ok(*changes)),
            (What::Job(text), Err(reason)) => (text, Err(reason)),
            other => panic!("{line}: {other:?}"),
        });
        each.collect()
    }

    #[test]
    fn settings_become_changes() {
        let check = |setting: &str, expected: JobChanges| {
            assert_eq!(changes(&format!("jobid=12 {setting}")), [("12".to_owned(), Ok(expected))], "{setting}");
        };
        let none = JobChanges::default;
        check("TimeLimit=1:00:00", JobChanges { time_limit: Some(TimeLimit::from_minutes(60)), ..none() });
        check("starttime=now", JobChanges { begin: Some(Timestamp::from_seconds(1000)), ..none() });
        check("jobname=nn", JobChanges { name: Some("nn".into()), ..none() });
        check("partition=batch", JobChanges { partition: Some("batch".into()), ..none() });
        check("priority=500", JobChanges { priority: Some(500), ..none() });
        check("nice", JobChanges { nice: Some(100), ..none() });
        check("nice=-10", JobChanges { nice: Some(-10), ..none() });
        check("numnodes=1-2", JobChanges { nodes: Some((1, 2)), ..none() });
        check("arraytaskthrottle=2", JobChanges { array_throttle: Some(2), ..none() });
        check("requeue=0", JobChanges { requeue: Some(false), ..none() });
        let memory = Some(MemoryRequest::PerCpu(Megabytes(100)));
        check("minmemorycpu=100", JobChanges { memory, ..none() });
        check("reqnodelist=n1", JobChanges { nodes_required: Some("n1".into()), ..none() });
        check("timemin=5", JobChanges { time_limit_min: Some(TimeLimit::from_minutes(5)), ..none() });
        let others = |name: &str, value: &str| vec![(Name::from(name), Name::from(value))];
        check("prefer=a", JobChanges { preferred: Some("a".into()), others: others("prefer", "a"), ..none() });
        let limit = SwitchLimit { count: 1, wait: Some(Span::from_minutes(5)) };
        check("switches=1@5", JobChanges { switches: Some(limit), others: others("switches", "1@5"), ..none() });
    }

    #[test]
    fn limits_grow_and_shrink_from_what_they_are() {
        let caller = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let context = Context::new(Timestamp::from_seconds(1000), TimeZone::UTC, &Environment::new(), caller);
        let change = |setting: &str| {
            let Action::Lookup(lookup) = parse(&["jobid=12".to_owned(), setting.to_owned()], &context) else {
                panic!("{setting}: the present limit is not asked for");
            };
            let Next::AdjustLimit(change) = lookup.next else { panic!("{setting}") };
            let job = crate::output::tests::scenes::job(12, "limit", "08:00:00", |job, _| {
                job.time_limit = TimeLimit::from_minutes(10);
            });
            match change.resume(&Answers { jobs: vec![job], ..Answers::default() }) {
                Action::Change(changes) => match &changes.list[0].command {
                    Ok(Command::UpdateJob { changes, .. }) => format!("{:?}", changes.time_limit),
                    other => panic!("{setting}: {other:?}"),
                },
                Action::Print(outcome) => outcome.stderr,
                other => panic!("{setting}: {other:?}"),
            }
        };
        let minutes = |minutes| format!("{:?}", Some(TimeLimit::from_minutes(minutes)));
        assert_eq!(change("timelimit=+5"), minutes(15));
        assert_eq!(change("timelimit+=5"), minutes(15));
        assert_eq!(change("timelimit=-3"), minutes(7));
        let said = "scontrol: error: TimeLimit decrement larger than current time limit (1000 > 10)\n";
        assert_eq!(change("timelimit=-1000"), said);
    }

    #[test]
    fn each_job_is_told_apart() {
        let found = changes("job=12,abc_1 comment=x");
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], ("abc_1".to_owned(), Err("Invalid job id specified".to_owned())));
        let refused = changes("job=12 dependency=garbage");
        assert_eq!(refused, [("12".to_owned(), Err("Job dependency problem".to_owned()))]);
        assert_eq!(ids::target("12").map(|target| target.job_id), Some(JobId(12)));
    }
}
