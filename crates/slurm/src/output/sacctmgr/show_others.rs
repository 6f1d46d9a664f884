//! `sacctmgr show` of QOS, clusters, resources, the configuration and problems.

use std::sync::Arc;

use muster_model::accounting::{CountLimit, Qos, QosFlag, TresLimit};
use muster_model::ids::Name;
use muster_model::preemption::PreemptMode;
use muster_model::time::{Span, TimeLimit};

use super::super::context::Outcome;
use super::super::{VERSION, time_text};
use super::conditions::Conditions;
use super::limits_text::{count, tres};
use super::show::Options;
use super::table::{self, Column, column};
use super::words::TRES_STATIC;
use super::{Entity, Scene};

pub(super) fn show(
    entity: Entity,
    found: &Conditions,
    options: &Options,
    scene: &Scene<'_>,
) -> Result<String, Outcome> {
    match entity {
        Entity::Qos => print(&qos_rows(found, scene), QOS, QOS_FORMAT, options, scene),
        Entity::Cluster => clusters(found, options, scene),
        Entity::Tres => resources(options, scene),
        Entity::Problem => problems(options, scene),
        _ => Ok(configuration(scene)),
    }
}

fn print<R>(
    rows: &[R],
    columns: &'static [Column<R>],
    wanted: &str,
    options: &Options,
    scene: &Scene<'_>,
) -> Result<String, Outcome> {
    let text = options.format.as_deref().unwrap_or(wanted);
    let format = table::read(text, columns).map_err(|problem| Outcome::failure(problem, 1))?;
    Ok(table::render(&format, rows, scene.flags.style, !scene.flags.no_header))
}

/// QOS that pass, in the order of their numbers.
pub(super) fn qos_rows(found: &Conditions, scene: &Scene<'_>) -> Vec<Arc<Qos>> {
    let wanted = |qos: &&Arc<Qos>| {
        (found.names.is_empty() || found.names.contains(&qos.name))
            && (found.ids.is_empty() || found.ids.iter().any(|id| **id == *qos.id.to_string()))
    };
    let mut rows: Vec<Arc<Qos>> = scene.policy.qos.values().filter(wanted).cloned().collect();
    rows.sort_by_key(|qos| qos.id);
    rows
}

/// Flags with commas, in Slurm's order.
pub(super) fn flags_text(flags: &[QosFlag]) -> String {
    let known = QosFlag::ALL.iter().filter(|(flag, _)| flags.contains(flag));
    known.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

fn mode(mode: Option<PreemptMode>) -> &'static str {
    match mode {
        None => "cluster",
        Some(PreemptMode::Off) => "off",
        Some(PreemptMode::Cancel) => "cancel",
        Some(PreemptMode::Requeue) => "requeue",
        Some(PreemptMode::Suspend) => "suspend",
    }
}

fn time(span: Option<Span>) -> String {
    span.map(|span| TimeLimit::Limited(span).to_string()).unwrap_or_default()
}

fn factor(factor: Option<f64>) -> String {
    factor.map(|factor| format!("{factor:.6}")).unwrap_or_default()
}

type QosRow = Arc<Qos>;

static QOS: &[Column<QosRow>] = &[
    column("Name", &[], 10, |qos| qos.name.to_string()),
    column("Priority", &[], 10, |qos| qos.priority.to_string()),
    column("GraceTime", &[], 10, |qos| time(Some(qos.grace_time.unwrap_or(Span::ZERO)))),
    column("Preempt", &[], 10, |qos| qos.preempts.join(",")),
    column("PreemptExemptTime", &[], 19, |qos| time(qos.preempt_exempt_time)),
    column("PreemptMode", &[], 11, |qos| mode(qos.preempt_mode).to_owned()),
    column("Flags", &[], 40, |qos| flags_text(&qos.flags)),
    column("UsageThres", &["UsageThreshold"], 10, |qos| factor(qos.usage_threshold)),
    column("UsageFactor", &[], 11, |qos| factor(Some(qos.usage_factor))),
    column("LimitFactor", &[], 11, |qos| factor(qos.limit_factor)),
    column("GrpTRES", &[], 13, |qos| tres(&qos.limits, TresLimit::GrpTres)),
    column("GrpTRESMins", &[], 13, |qos| tres(&qos.limits, TresLimit::GrpTresMins)),
    column("GrpTRESRunMins", &[], 13, |qos| tres(&qos.limits, TresLimit::GrpTresRunMins)),
    column("GrpJobs", &[], 7, |qos| count(&qos.limits, CountLimit::GrpJobs)),
    column("GrpJobsAccrue", &[], 13, |qos| count(&qos.limits, CountLimit::GrpJobsAccrue)),
    column("GrpSubmit", &["GrpSubmitJobs"], 9, |qos| count(&qos.limits, CountLimit::GrpSubmitJobs)),
    column("GrpWall", &[], 11, |qos| count(&qos.limits, CountLimit::GrpWall)),
    column("MaxTRES", &["MaxTRESPerJob"], 13, |qos| tres(&qos.limits, TresLimit::MaxTresPerJob)),
    column("MaxTRESPerNode", &[], 14, |qos| tres(&qos.limits, TresLimit::MaxTresPerNode)),
    column("MaxTRESMins", &["MaxTRESMinsPerJob"], 13, |qos| tres(&qos.limits, TresLimit::MaxTresMinsPerJob)),
    column("MaxWall", &["MaxWallDurationPerJob"], 11, |qos| count(&qos.limits, CountLimit::MaxWall)),
    column("MaxTRESPU", &["MaxTRESPerUser"], 13, |qos| tres(&qos.limits, TresLimit::MaxTresPerUser)),
    column("MaxJobsPU", &["MaxJobsPerUser"], 9, |qos| count(&qos.limits, CountLimit::MaxJobsPerUser)),
    column("MaxSubmitPU", &["MaxSubmitJobsPerUser"], 11, |qos| count(&qos.limits, CountLimit::MaxSubmitJobsPerUser)),
    column("MaxTRESPA", &["MaxTRESPerAccount"], 13, |qos| tres(&qos.limits, TresLimit::MaxTresPerAccount)),
    column("MaxJobsPA", &["MaxJobsPerAccount"], 9, |qos| count(&qos.limits, CountLimit::MaxJobsPerAccount)),
    column("MaxSubmitPA", &["MaxSubmitJobsPerAccount"], 11, |qos| {
        count(&qos.limits, CountLimit::MaxSubmitJobsPerAccount)
    }),
    column("MaxTRESRunMinsPU", &[], 15, |qos| tres(&qos.limits, TresLimit::MaxTresRunMinsPerUser)),
    column("MaxTRESRunMinsPA", &[], 15, |qos| tres(&qos.limits, TresLimit::MaxTresRunMinsPerAccount)),
    column("MinPrioThres", &["MinPrioThreshold"], 12, |qos| count(&qos.limits, CountLimit::MinPrioThreshold)),
    column("MinTRES", &["MinTRESPerJob"], 13, |qos| tres(&qos.limits, TresLimit::MinTresPerJob)),
    column("Descr", &["Description"], 20, |qos| qos.description.to_string()),
    column("ID", &[], 6, |qos| qos.id.to_string()),
];

const QOS_FORMAT: &str = "name,priority,gracetime,preempt,preemptexempttime,preemptmode,flags,usagethres,usagefactor,grptres,\
     grptresmins,grptresrunmins,grpjobs,grpsubmit,grpwall,maxtres,maxtrespernode,maxtresmins,maxwall,maxtrespu,maxjobspu,\
     maxsubmitpu,maxtrespa,maxjobspa,maxsubmitpa,mintres";

/// Column of texts that are ready.
type Texts = Vec<String>;

const fn text_column(
    heading: &'static str,
    names: &'static [&'static str],
    width: i32,
    text: fn(&Texts) -> String,
) -> Column<Texts> {
    Column { heading, names, width, text }
}

fn nth(texts: &Texts, at: usize) -> String {
    texts.get(at).cloned().unwrap_or_default()
}

static CLUSTER: &[Column<Texts>] = &[
    text_column("Cluster", &["Name"], 10, |texts| nth(texts, 0)),
    text_column("ControlHost", &[], 15, |texts| nth(texts, 1)),
    text_column("ControlPort", &[], 12, |texts| nth(texts, 2)),
    text_column("RPC", &[], 5, |texts| nth(texts, 3)),
    text_column("Share", &["Fairshare"], 9, |texts| nth(texts, 4)),
    text_column("GrpJobs", &[], 7, |texts| nth(texts, 5)),
    text_column("GrpTRES", &[], 13, |texts| nth(texts, 6)),
    text_column("GrpSubmit", &[], 9, |texts| nth(texts, 7)),
    text_column("MaxJobs", &[], 7, |texts| nth(texts, 8)),
    text_column("MaxTRES", &[], 13, |texts| nth(texts, 9)),
    text_column("MaxSubmit", &[], 9, |texts| nth(texts, 10)),
    text_column("MaxWall", &[], 11, |texts| nth(texts, 11)),
    text_column("QOS", &[], 20, |texts| nth(texts, 12)),
    text_column("Def QOS", &["DefaultQOS"], 9, |texts| nth(texts, 13)),
];

const CLUSTER_FORMAT: &str = "cluster,controlhost,controlport,rpc,share,grpjobs,grptres,grpsubmit,maxjobs,maxtres,maxsubmit,\
     maxwall,qos,defaultqos";

/// Number of the protocol of the version whose behaviour is shown.
const RPC: &str = "9728";

fn clusters(found: &Conditions, options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    let root = scene.policy.associations.values().find(|association| association.parent.is_none());
    let here = found.names.is_empty() || found.names.iter().any(|name| name.eq_ignore_ascii_case(&scene.cluster));
    let rows: Vec<Texts> = root.filter(|_| here && found.ids.is_empty()).map_or_else(Vec::new, |root| {
        let limits = &root.limits;
        let host = scene.answers.pong.as_ref().map(|pong| pong.host.to_string()).unwrap_or_default();
        let port = scene.answers.cluster.parameter("SlurmctldPort").unwrap_or("0").to_owned();
        vec![vec![
            scene.cluster.clone(),
            host,
            port,
            RPC.to_owned(),
            super::fields::shares_text(root.shares),
            count(limits, CountLimit::GrpJobs),
            tres(limits, TresLimit::GrpTres),
            count(limits, CountLimit::GrpSubmitJobs),
            count(limits, CountLimit::MaxJobs),
            tres(limits, TresLimit::MaxTresPerJob),
            count(limits, CountLimit::MaxSubmitJobs),
            count(limits, CountLimit::MaxWall),
            sorted(scene.policy.qos_allowed(root)).join(","),
            scene.policy.qos_default(root).map(|name| name.to_string()).unwrap_or_default(),
        ]]
    });
    print(&rows, CLUSTER, CLUSTER_FORMAT, options, scene)
}

fn sorted(mut names: Vec<Name>) -> Vec<Name> {
    names.sort();
    names
}

static TRES: &[Column<Texts>] = &[
    text_column("Type", &[], 8, |texts| nth(texts, 0)),
    text_column("Name", &[], 15, |texts| nth(texts, 1)),
    text_column("ID", &[], 6, |texts| nth(texts, 2)),
];

/// Number of the first resource that a configuration names.
const TRES_ID_FIRST: usize = 1001;

fn resources(options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    let mut rows: Vec<Texts> = Vec::new();
    for (at, (kind, name)) in TRES_STATIC.iter().enumerate() {
        rows.push(vec![(*kind).to_owned(), (*name).to_owned(), (at + 1).to_string()]);
    }
    let is_static = |name: &&str| TRES_STATIC.iter().any(|(kind, _)| kind == name);
    let tracked = scene.tracked.iter().map(|name| &**name).filter(|name| !is_static(name) && *name != "fs/disk");
    for (at, name) in tracked.enumerate() {
        let (kind, name) = name.split_once('/').unwrap_or((name, ""));
        rows.push(vec![kind.to_owned(), name.to_owned(), (TRES_ID_FIRST + at).to_string()]);
    }
    print(&rows, TRES, "type,name,id", options, scene)
}

static PROBLEM: &[Column<Texts>] = &[
    text_column("Cluster", &[], 10, |texts| nth(texts, 0)),
    text_column("Account", &[], 10, |texts| nth(texts, 1)),
    text_column("User", &[], 10, |texts| nth(texts, 2)),
    text_column("Problem", &[], 40, |texts| nth(texts, 3)),
];

fn problems(options: &Options, scene: &Scene<'_>) -> Result<String, Outcome> {
    let policy = scene.policy;
    let row = |account: &str, user: &str, problem: &str| {
        vec![String::new(), account.to_owned(), user.to_owned(), problem.to_owned()]
    };
    let mut rows = Vec::new();
    for name in policy.accounts.keys().filter(|name| policy.account_association(name).is_none()) {
        rows.push(row(name, "", "Account has no Associations"));
    }
    for name in policy.users.keys() {
        if !policy.association_index.keys().any(|key| key.user == *name) {
            rows.push(row("", name, "User does not have any Associations"));
        }
        if scene.context.user(name).is_none() {
            rows.push(row("", name, "User does not have a uid"));
        }
    }
    print(&rows, PROBLEM, "cluster,account,user,problem", options, scene)
}

fn configuration(scene: &Scene<'_>) -> String {
    let stamp = time_text::standard(scene.context.now, &scene.context.zone);
    let mut text = format!("Configuration data as of {stamp}\n");
    for name in [
        "AccountingStorageBackupHost",
        "AccountingStorageEnforce",
        "AccountingStorageHost",
        "AccountingStorageParameters",
        "AccountingStoragePort",
        "AccountingStorageTRES",
        "AccountingStorageType",
        "AccountingStorageUser",
        "AuthType",
        "MessageTimeout",
        "PluginDir",
        "PrivateData",
        "SLURM_CONF",
    ] {
        if let Some(value) = scene.answers.cluster.parameter(name) {
            text.push_str(&format!("{name:<22} = {value}\n"));
        }
    }
    text.push_str(&format!("{:<22} = {VERSION}\n\nAccounting is kept by the controller itself.\n", "SLURM_VERSION"));
    text
}
