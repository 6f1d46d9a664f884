//! `job_container.conf`: directories that each job has to itself (`JobContainerType=job_container/tmpfs`). Keys of Slurm 22.05
//! and those that later versions added.

use muster_model::hostlist;

use super::ConfError;
use super::lines::Line;

/// Directories that are private where a site names none.
const DIRS_DEFAULT: [&str; 2] = ["/tmp", "/dev/shm"];

/// Seconds that `CloneNSScript` and `CloneNSEpilog` have.
const SCRIPT_SECONDS_DEFAULT: u32 = 10;

/// What the file says, for all nodes; nothing where jobs have no directories to themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobContainers {
    everywhere: JobContainer,
    /// Lines that begin with `NodeName`.
    of_nodes: Vec<(Vec<String>, JobContainer)>,
}

/// How a node makes directories that are private to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobContainer {
    /// `BasePath`: where the content of the directories is; empty for no private directories.
    pub base: String,
    /// `AutoBasePath`: it is made where it is missing.
    pub makes_base: bool,
    /// `Dirs`: which directories are private.
    pub dirs: Vec<String>,
    /// `Shared`: what is mounted on the node later is seen by jobs.
    pub shared: bool,
    /// `InitScript`: run before the directories are made.
    pub init_script: Option<String>,
    /// `CloneNSScript`: run when they are there, with its seconds.
    pub clone_script: Option<(String, u32)>,
    /// `CloneNSEpilog`: run before they go, with its seconds.
    pub clone_epilog: Option<(String, u32)>,
}

impl Default for JobContainer {
    fn default() -> Self {
        JobContainer {
            base: String::new(),
            makes_base: false,
            dirs: DIRS_DEFAULT.map(str::to_owned).to_vec(),
            shared: false,
            init_script: None,
            clone_script: None,
            clone_epilog: None,
        }
    }
}

impl JobContainers {
    /// What counts on `node`; `None` where jobs have nothing to themselves. `%n` and `%h` in the path are the names of the node and
    /// of its host.
    pub fn of_node(&self, node: &str, host: &str) -> Option<JobContainer> {
        let own = self.of_nodes.iter().rev().find(|(names, _)| names.iter().any(|name| name == node));
        let mut found = own.map_or(&self.everywhere, |(_, own)| own).clone();
        found.base = found.base.replace("%n", node).replace("%h", host);
        (!found.base.is_empty()).then_some(found)
    }
}

/// Whether `JobContainerType` wants private directories.
///
/// # Errors
/// A plugin that does not exist.
pub(super) fn is_wanted(lines: &[Line], warnings: &mut Vec<String>) -> Result<bool, ConfError> {
    let given = lines.iter().rev().find_map(|line| line.get("JobContainerType").map(|value| (line, value)));
    let Some((line, plugin)) = given else { return Ok(false) };
    match plugin.to_ascii_lowercase().as_str() {
        "job_container/tmpfs" => Ok(true),
        "job_container/none" | "(null)" | "" => Ok(false),
        "job_container/cncu" => {
            let place = format!("{} line {}", line.file.display(), line.number);
            warnings
                .push(format!("JobContainerType=job_container/cncu is not acted on: it is for Cray systems ({place})"));
            Ok(false)
        }
        _ => Err(line.error(format!("cannot find job_container plugin for {plugin}"))),
    }
}

/// Reads the lines of the file. As in Slurm, what stands on lines of its own counts for what `NodeName` lines leave open, wherever
/// it stands.
///
/// # Errors
/// A key that does not exist, a value that is none, a path inside a private directory.
pub(super) fn read(lines: &[Line]) -> Result<JobContainers, ConfError> {
    let (of_nodes, everywhere): (Vec<&Line>, Vec<&Line>) =
        lines.iter().partition(|line| line.get("NodeName").is_some());
    let mut containers = JobContainers::default();
    for line in everywhere {
        apply(&mut containers.everywhere, line)?;
    }
    for line in of_nodes {
        let names = line.get("NodeName").unwrap_or_default();
        let names = hostlist::expand(names).map_err(|problem| line.error(problem.to_string()))?;
        let mut own = containers.everywhere.clone();
        apply(&mut own, line)?;
        containers.of_nodes.push((names, own));
    }
    Ok(containers)
}

fn apply(own: &mut JobContainer, line: &Line) -> Result<(), ConfError> {
    let seconds = |key: &str, value: &str| {
        value.parse().map_err(|_| line.error(format!("{key} value ({value}) is not a valid number")))
    };
    let mut waits = (None, None);
    for (key, value) in &line.pairs {
        let flag = || {
            let refused = || line.error(format!("\"{value}\" is not a valid option for \"{key}\""));
            super::cgroup::boolean(value).ok_or_else(refused)
        };
        match key.to_ascii_lowercase().as_str() {
            "nodename" => {}
            "autobasepath" => own.makes_base = flag()?,
            "basepath" if value.eq_ignore_ascii_case("none") => own.base.clear(),
            "basepath" => own.base = path(line, key, value)?,
            "dirs" => {
                let dirs = value.split(',').filter(|dir| !dir.is_empty());
                own.dirs = dirs.map(|dir| path(line, key, dir)).collect::<Result<_, _>>()?;
            }
            "shared" => own.shared = flag()?,
            // Whoever starts the processes of a step stays outside here, so this changes nothing a job can see.
            "entirestepinns" => {
                flag()?;
            }
            "initscript" => own.init_script = Some(path(line, key, value)?),
            "clonensscript" => own.clone_script = Some((path(line, key, value)?, SCRIPT_SECONDS_DEFAULT)),
            "clonensepilog" => own.clone_epilog = Some((path(line, key, value)?, SCRIPT_SECONDS_DEFAULT)),
            "clonensscript_wait" => waits.0 = Some(seconds(key, value)?),
            "clonensepilog_wait" => waits.1 = Some(seconds(key, value)?),
            _ => return Err(line.error(format!("unrecognized key: {key}"))),
        }
    }
    for (script, wait) in [(&mut own.clone_script, waits.0), (&mut own.clone_epilog, waits.1)] {
        match (script, wait) {
            (Some((_, seconds)), Some(wait)) => *seconds = wait,
            (None, Some(_)) => {
                let text = "CloneNSScript_Wait and CloneNSEpilog_Wait must stand in the line of their scripts";
                return Err(line.error(text.to_owned()));
            }
            (_, None) => {}
        }
    }
    let is_inside = |dir: &String| own.base == *dir || own.base.starts_with(&format!("{dir}/"));
    match own.dirs.iter().any(is_inside) {
        true => Err(line.error(format!("Cannot use {} as BasePath", own.dirs.join(" or ")))),
        false => Ok(()),
    }
}

fn path(line: &Line, key: &str, value: &str) -> Result<String, ConfError> {
    match value.strip_prefix('/') {
        Some(_) => Ok(value.trim_end_matches('/').to_owned()),
        None => Err(line.error(format!("{key} value \"{value}\" is not an absolute path"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<JobContainers, String> {
        let read_file = |_: &std::path::Path| Ok(text.to_owned());
        let lines = super::super::lines::read("/c/job_container.conf".as_ref(), &read_file);
        lines.and_then(|lines| read(&lines)).map_err(|error| error.to_string())
    }

    #[test]
    fn nodes_may_differ() {
        let conf = "AutoBasePath=true\nBasePath=/var/base/%n Dirs=/tmp,/var/tmp/\nNodeName=big[1-2] BasePath=/nvme Shared=yes\n\
                    NodeName=small BasePath=none\nCloneNSScript=/s/clone CloneNSScript_Wait=3\n";
        let containers = parse(conf).unwrap();
        let check = |node: &str, expected: &str| {
            let shown = containers.of_node(node, "host").map(|own| {
                format!("{} {} {} {:?} {:?}", own.base, own.makes_base, own.shared, own.dirs, own.clone_script)
            });
            assert_eq!(shown.unwrap_or_default(), expected, "{node}");
        };
        check("n1", "/var/base/n1 true false [\"/tmp\", \"/var/tmp\"] Some((\"/s/clone\", 3))");
        check("big2", "/nvme true true [\"/tmp\", \"/var/tmp\"] Some((\"/s/clone\", 3))");
        check("small", "");
        assert_eq!(parse("").unwrap().of_node("n1", "host"), None);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).unwrap_err(), format!("/c/job_container.conf line 1: {expected}"));
        };
        check("BasePath=/tmp/x", "Cannot use /tmp or /dev/shm as BasePath");
        check("BasePath=x", "BasePath value \"x\" is not an absolute path");
        check("Base=/x", "unrecognized key: Base");
        check("Shared=maybe", "\"maybe\" is not a valid option for \"Shared\"");
        check(
            "CloneNSEpilog_Wait=3",
            "CloneNSScript_Wait and CloneNSEpilog_Wait must stand in the line of their scripts",
        );
        check("CloneNSScript_Wait=x", "CloneNSScript_Wait value (x) is not a valid number");
    }
}
