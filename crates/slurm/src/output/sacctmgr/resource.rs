//! `sacctmgr` about resources that servers give to several clusters: remote licences.
//!
//! A resource belongs to a name and a server; what a cluster may use of it is a percentage that is added, changed and taken
//! away with `cluster=`. There is one cluster here. Texts are those of Slurm 22.05.

use std::sync::Arc;

use muster_model::accounting::{AccountingChange, RemoteResource, ResourceChanges};
use muster_model::ids::Name;

use super::super::context::Outcome;
use super::table::{self, Column, column};
use super::words::{Setting, is_cut, names, number};
use super::{Scene, Step};

/// Server of a resource for which none is named.
const SERVER_DEFAULT: &str = "slurmdb";
/// How many there are where the number is without a limit (`count=-1`).
const COUNT_ENDLESS: u32 = u32::MAX;
/// What a percentage is taken for that is missing or no number, so that it is refused.
const PERCENT_NONE: u32 = 65534;

fn fail(stderr: impl Into<String>) -> Outcome {
    Outcome::failure(stderr, 1)
}

fn said(stdout: impl Into<String>) -> Outcome {
    Outcome { stdout: stdout.into(), stderr: String::new(), code: 1 }
}

/// A word that only separates conditions from changes.
fn is_word(setting: &Setting, word: &str) -> bool {
    setting.key.is_empty() && setting.value.eq_ignore_ascii_case(word)
}

fn lower(setting: &Setting) -> Name {
    setting.value.to_ascii_lowercase().as_str().into()
}

fn is_server(setting: &Setting) -> bool {
    setting.is(&[("server", 2)])
}

fn is_server_kind(setting: &Setting) -> bool {
    setting.is(&[("servertype", 7)])
}

/// Takes in `cluster=`, which can only name this cluster.
fn this_cluster(setting: &Setting, scene: &Scene<'_>) -> Result<(), Outcome> {
    match setting.names().iter().find(|name| !name.eq_ignore_ascii_case(&scene.cluster)) {
        Some(name) => Err(fail(format!(
            " This cluster '{name}' doesn't exist.\n        Contact your admin to add it to accounting.\n Need a valid \
             cluster name to add a cluster resource.\n"
        ))),
        None => Ok(()),
    }
}

/// Flags exist only in versions after the one whose texts these are.
fn no_flag(setting: &Setting) -> Outcome {
    let flags = setting.value.to_ascii_lowercase();
    said(format!(" Unknown Server Resource flag used in:\n  '{flags}'\n Valid Server Resource flags are\n '(null)'\n"))
}

fn unknown_option(setting: &Setting) -> Outcome {
    said(format!(" Unknown option: {}\n Use keyword 'where' to modify condition\n", setting.text))
}

/// What is given for new resources and new allotments.
#[derive(Default)]
struct Wanted {
    names: Vec<Name>,
    server: Option<Name>,
    server_kind: Option<Name>,
    description: Option<Name>,
    count: Option<u32>,
    percent: Option<u32>,
    is_license: bool,
    is_allotted: bool,
    /// What is wrong with values, told before anything else.
    complaints: String,
}

impl Wanted {
    fn read(settings: &[Setting], scene: &Scene<'_>) -> Result<Wanted, Outcome> {
        let mut wanted = Wanted::default();
        for setting in settings.iter().filter(|setting| !is_word(setting, "set") && !is_word(setting, "where")) {
            match setting {
                name if name.key.is_empty() || name.is(&[("names", 1)]) => wanted.names.extend(names(&name.value)),
                cluster if cluster.is(&[("clusters", 2)]) => {
                    this_cluster(cluster, scene)?;
                    wanted.is_allotted = true;
                }
                count if count.is(&[("count", 2)]) => {
                    wanted.count = number_of(count, "count", COUNT_ENDLESS, &mut wanted.complaints);
                }
                percent if percent.is(&[("percentallowed", 1), ("allowed", 2)]) => {
                    let read = number_of(percent, "PercentAllowed", PERCENT_NONE, &mut wanted.complaints);
                    wanted.percent = read;
                }
                text if text.is(&[("description", 1)]) => wanted.description = Some(lower(text)),
                server if is_server(server) => wanted.server = Some(lower(server)),
                kind if is_server_kind(kind) => wanted.server_kind = Some(lower(kind)),
                flags if flags.is(&[("flags", 2)]) => return Err(no_flag(flags)),
                kind if kind.is(&[("type", 1)]) => {
                    if !is_cut(&kind.value, "license", 1) {
                        let kind = &kind.value;
                        let text = format!(" Unknown resource type: '{kind}'  Valid resources is License.\n");
                        return Err(fail(text));
                    }
                    wanted.is_license = true;
                }
                other => return Err(unknown_option(other)),
            }
        }
        Ok(wanted)
    }

    fn row(&self, name: &Name, percent_allowed: Option<u32>, count: u32) -> RemoteResource {
        RemoteResource {
            name: name.clone(),
            server: self.server(),
            description: self.description.clone().unwrap_or_else(|| name.clone()),
            server_kind: self.server_kind.clone().unwrap_or_else(|| "".into()),
            count,
            percent_allowed,
            ..RemoteResource::default()
        }
    }

    fn server(&self) -> Name {
        self.server.clone().unwrap_or_else(|| SERVER_DEFAULT.into())
    }
}

/// A number, or -1 for `endless`; `None` with a complaint where it is neither.
fn number_of(setting: &Setting, called: &str, endless: u32, complaints: &mut String) -> Option<u32> {
    match number(&setting.value) {
        Some(value) => Some(value.and_then(|value| u32::try_from(value).ok()).unwrap_or(endless)),
        None => {
            complaints.push_str(&format!("sacctmgr: error: Invalid value for {called} ({})\n", setting.value));
            None
        }
    }
}

pub(super) fn add(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let wanted = Wanted::read(settings, scene)?;
    let told = |text: String| fail(format!("{}{text}", wanted.complaints));
    if wanted.names.is_empty() {
        return Err(told(" Need name of resource to add.\n".to_owned()));
    }
    let (mut text, mut changes, mut newest) = (String::new(), Vec::new(), None);
    for name in &wanted.names {
        let key: Name = format!("{name}@{}", wanted.server()).as_str().into();
        let known = scene.policy.resources.get(&key);
        if known.is_none() && !wanted.is_license {
            return Err(told(format!(" Need to designate a resource type to initially add '{name}'.\n")));
        }
        let Some(count) = known.map(|row| row.count).or(wanted.count) else {
            return Err(told(format!(" Need to designate a resource count to initially add '{name}'.\n")));
        };
        let is_allotted = wanted.is_allotted && known.is_none_or(|row| row.percent_allowed.is_none());
        let percent = wanted.percent.unwrap_or(PERCENT_NONE);
        if is_allotted && percent > 100 {
            return Err(told(format!(
                " Adding this 1 clusters to resource {key} at {percent}% each , with 0% already used,  would go over \
                 100%.  Please redo your math and resubmit.\n"
            )));
        }
        if known.is_some() && !is_allotted {
            continue;
        }
        text.push_str(&format!("  {key}\n"));
        if is_allotted {
            text.push_str(&format!("   Cluster - {}\t{percent}%\n", scene.cluster));
        }
        match known {
            Some(_) => changes.push(AccountingChange::ModifyResources {
                keys: vec![key],
                changes: ResourceChanges { percent_allowed: Some(Some(percent)), ..ResourceChanges::default() },
            }),
            None => {
                let row = wanted.row(name, is_allotted.then_some(percent), count);
                newest = Some(row.clone());
                changes.push(AccountingChange::CreateResources { resources: vec![row] });
            }
        }
    }
    if changes.is_empty() {
        return Err(said(" Nothing new added.\n"));
    }
    let text = format!(" Adding Resource(s)\n{text} Settings\n{}", announce(newest.as_ref(), &wanted));
    Ok(scene.change(text, changes))
}

/// The settings of the last new one; where there is only more allotted, little is said.
fn announce(newest: Option<&RemoteResource>, wanted: &Wanted) -> String {
    let mut lines = Vec::new();
    if let Some(row) = newest {
        lines.push(("Name", row.name.to_string()));
    }
    lines.push(("Server", wanted.server().to_string()));
    if let Some(row) = newest {
        lines.push(("Description", row.description.to_string()));
        if !row.server_kind.is_empty() {
            lines.push(("ServerType", row.server_kind.to_string()));
        }
        lines.push(("Count", row.count.to_string()));
    }
    lines.push(("Type", "License".to_owned()));
    lines.into_iter().map(|(name, value)| format!("  {name:<14} = {value}\n")).collect()
}

/// Which resources a command is about; an empty list is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Which {
    names: Vec<Name>,
    servers: Vec<Name>,
    server_kinds: Vec<Name>,
    descriptions: Vec<Name>,
    ids: Vec<Name>,
    /// The part of this cluster is meant, and not the resource.
    is_allotment: bool,
}

impl Which {
    fn take(&mut self, setting: &Setting, scene: &Scene<'_>) -> Result<(), Outcome> {
        match setting {
            name if name.key.is_empty() || name.is(&[("names", 1)]) => self.names.extend(names(&name.value)),
            cluster if cluster.is(&[("clusters", 2)]) => {
                this_cluster(cluster, scene)?;
                self.is_allotment = true;
            }
            text if text.is(&[("descriptions", 1)]) => self.descriptions.extend(names(&text.value)),
            server if is_server(server) => self.servers.extend(names(&server.value)),
            kind if is_server_kind(kind) => self.server_kinds.extend(names(&kind.value)),
            id if id.is(&[("ids", 1)]) => self.ids.extend(names(&id.value)),
            // How many percent are allotted is no condition, but one may name it.
            percent if percent.is(&[("percentallowed", 1)]) => {}
            other => {
                return Err(fail(format!(
                    " Unknown condition: {}\n Use keyword 'set' to modify SLURM_PRINT_VALUE\n",
                    other.text
                )));
            }
        }
        Ok(())
    }

    /// What it finds, in the order in which they were added.
    fn find(&self, scene: &Scene<'_>) -> Vec<Arc<RemoteResource>> {
        let among = |list: &[Name], value: &str| list.is_empty() || list.iter().any(|name| **name == *value);
        let found = scene.policy.resources.values().filter(|row| {
            among(&self.names, &row.name)
                && among(&self.servers, &row.server)
                && among(&self.server_kinds, &row.server_kind)
                && among(&self.descriptions, &row.description)
                && among(&self.ids, &row.id.to_string())
        });
        let mut rows: Vec<Arc<RemoteResource>> = found.cloned().collect();
        rows.sort_by_key(|row| row.id);
        rows
    }
}

/// Reads `where … set …`, in either order.
fn read_changes(settings: &[Setting], scene: &Scene<'_>) -> Result<(Which, ResourceChanges), Outcome> {
    let (mut which, mut changes) = (Which::default(), ResourceChanges::default());
    let (mut complaints, mut sets) = (String::new(), false);
    for setting in settings {
        match setting {
            word if is_word(word, "set") => sets = true,
            word if is_word(word, "where") => sets = false,
            condition if !sets => which.take(condition, scene)?,
            count if count.is(&[("count", 2)]) => {
                changes.count = number_of(count, "count", COUNT_ENDLESS, &mut complaints);
            }
            percent if percent.is(&[("percentallowed", 1), ("allowed", 2)]) => {
                let read = number_of(percent, "PercentAllowed", PERCENT_NONE, &mut complaints);
                changes.percent_allowed = read.map(Some);
            }
            text if text.is(&[("description", 1)]) => changes.description = Some(lower(text)),
            kind if is_server_kind(kind) => changes.server_kind = Some(lower(kind)),
            flags if flags.is(&[("flags", 2)]) => return Err(no_flag(flags)),
            server if is_server(server) => {
                return Err(Outcome {
                    stdout: " Nothing modified\n".to_owned(),
                    stderr: "sacctmgr: error: a resource stays with its server; add it with another, then delete it\n"
                        .to_owned(),
                    code: 1,
                });
            }
            // It stays what it is called and what it is: Slurm takes these words, too, and does nothing.
            fixed if fixed.key.is_empty() || fixed.is(&[("names", 1), ("type", 1)]) => {}
            other => return Err(unknown_option(other)),
        }
    }
    if changes == ResourceChanges::default() {
        return Err(fail(format!("{complaints} You didn't give me anything to set\n")));
    }
    Ok((which, changes))
}

pub(super) fn modify(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (which, changes) = read_changes(settings, scene)?;
    let percent = changes.percent_allowed.flatten();
    if percent.is_some() && !which.is_allotment {
        return Err(fail("Can't change \"percentallowed\" without specifying a cluster.\n"));
    }
    if changes.count.is_some() && which.is_allotment {
        return Err(fail("Can't change \"count\" on a cluster-based resource. Remove cluster selection.\n"));
    }
    let mut rows = which.find(scene);
    if which.is_allotment {
        rows.retain(|row| row.percent_allowed.is_some());
    }
    if rows.is_empty() {
        return Err(said(" Nothing modified\n"));
    }
    if let Some(percent) = percent.filter(|percent| *percent > 100) {
        let key = rows[0].key();
        let cluster = &scene.cluster;
        return Err(fail(format!(
            "sacctmgr: error: You can not allocate more than 100% of a resource\n If change was accepted it would look \
             like this...\n  {key}\n   Cluster - {cluster}\t {percent}%\n   total\t\t{percent}%\n"
        )));
    }
    let touches_allotment = which.is_allotment || changes.count.is_some() || changes.server_kind.is_some();
    let text = format!(" Modified server resource ...\n{}", listed(&rows, &which, touches_allotment, scene));
    let keys = rows.iter().map(|row| row.key()).collect();
    Ok(scene.change(text, vec![AccountingChange::ModifyResources { keys, changes }]))
}

/// A line for each resource, unless only its allotment is meant, and one for that.
fn listed(rows: &[Arc<RemoteResource>], which: &Which, with_allotments: bool, scene: &Scene<'_>) -> String {
    let mut text = String::new();
    for row in rows {
        let key = row.key();
        if !which.is_allotment {
            text.push_str(&format!("  {key}\n"));
        }
        if with_allotments && row.percent_allowed.is_some() {
            text.push_str(&format!("  Cluster - {}\t- {key}\n", scene.cluster));
        }
    }
    text
}

pub(super) fn delete(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let mut which = Which::default();
    for setting in settings.iter().filter(|setting| !is_word(setting, "where")) {
        if let Err(mut outcome) = which.take(setting, scene) {
            if outcome.stderr.starts_with(" Unknown condition") && which == Which::default() {
                outcome.stderr.push_str(" No conditions given to remove, not executing.\n");
            }
            return Err(outcome);
        }
    }
    if which == Which::default() {
        return Err(fail(" No conditions given to remove, not executing.\n"));
    }
    let mut rows = which.find(scene);
    if which.is_allotment {
        rows.retain(|row| row.percent_allowed.is_some());
    }
    if rows.is_empty() {
        return Err(said(" Nothing deleted\n"));
    }
    let text = format!(" Deleting resource(s)...\n{}", listed(&rows, &which, true, scene));
    let keys = rows.iter().map(|row| row.key()).collect();
    let change = if which.is_allotment {
        let changes = ResourceChanges { percent_allowed: Some(None), ..ResourceChanges::default() };
        AccountingChange::ModifyResources { keys, changes }
    } else {
        AccountingChange::DeleteResources { keys }
    };
    Ok(scene.change(text, vec![change]))
}

/// A resource, with the cluster where its allotment is asked for.
struct Row {
    resource: Arc<RemoteResource>,
    cluster: Option<String>,
}

fn percent(row: &Row) -> String {
    row.resource.percent_allowed.unwrap_or(0).to_string()
}

static COLUMNS: &[Column<Row>] = &[
    column("Name", &[], 10, |row| row.resource.name.to_string()),
    column("Server", &[], 10, |row| row.resource.server.to_string()),
    column("Type", &[], 8, |_| "License".to_owned()),
    column("Count", &[], 6, |row| match row.resource.count {
        COUNT_ENDLESS => String::new(),
        count => count.to_string(),
    }),
    column("% Allocated", &["Allocated"], 11, percent),
    column("ServerType", &[], 10, |row| row.resource.server_kind.to_string()),
    column("Cluster", &[], 10, |row| row.cluster.clone().unwrap_or_default()),
    column("% Allowed", &["Allowed"], 10, |row| row.cluster.as_ref().map(|_| percent(row)).unwrap_or_default()),
    column("Descr", &["Description"], 20, |row| row.resource.description.to_string()),
    column("Flags", &[], 10, |_| String::new()),
    column("ID", &[], 6, |row| row.resource.id.to_string()),
    column("# Used", &["CountUsed"], 6, |row| row.resource.allotted().unwrap_or(0).to_string()),
];

const FORMAT: &str = "name,server,type,count,allocated,servertype";

pub(super) fn show(settings: &[Setting], scene: &Scene<'_>) -> Result<Step, Outcome> {
    let (mut which, mut wanted, mut with_clusters) = (Which::default(), None, false);
    for setting in settings {
        let is_plain = setting.key.is_empty();
        match setting {
            word if is_word(word, "where") || is_word(word, "set") => {}
            word if is_plain && is_cut(&word.value, "withclusters", 5) => with_clusters = true,
            // Nothing is kept of what was deleted.
            word if is_plain && is_cut(&word.value, "withdeleted", 5) => {}
            format if format.is(&[("format", 1)]) => wanted = Some(format.value.clone()),
            condition => which.take(condition, scene)?,
        }
    }
    let mut text = FORMAT.to_owned();
    if with_clusters {
        text.push_str(",cluster,allowed");
    }
    let cluster = with_clusters.then(|| scene.cluster.clone());
    let mut rows = which.find(scene);
    rows.retain(|row| !with_clusters || row.percent_allowed.is_some());
    let rows: Vec<Row> = rows.into_iter().map(|resource| Row { resource, cluster: cluster.clone() }).collect();
    let format =
        table::read(wanted.as_deref().unwrap_or(&text), COLUMNS).map_err(|problem| Outcome::failure(problem, 1))?;
    Ok(Step::Print(Outcome::success(table::render(&format, &rows, scene.flags.style, !scene.flags.no_header))))
}
