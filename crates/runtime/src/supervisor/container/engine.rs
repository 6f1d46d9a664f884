//! Containers of a daemon: made, started, looked up, removed.
//!
//! A container here is a file system, its devices and a process that waits; tasks are not started by the daemon but by the
//! supervisor, which enters the container's file system. So streams, signals, exit codes and control groups are those of any
//! other task, and a daemon that dies takes no task along.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Value, json};

use super::api::{Engine, EngineError, Patience, escaped};
use crate::space::SpaceKey;

/// How long the daemon may take to answer.
const SILENCE: Duration = Duration::from_secs(120);

/// How long it may take to remove a container.
const REMOVAL_SILENCE: Duration = Duration::from_secs(30);

/// Where the program lies that holds the container open.
const PAUSE_PATH: &str = "/.muster-pause";

/// Label of all containers of a supervisor; its value tells supervisors apart.
const LABEL_OWNER: &str = "muster.supervisor";

/// Label with the unit that made it.
const LABEL_UNIT: &str = "muster.unit";

/// Label with the job that a named container goes with.
const LABEL_JOB: &str = "muster.job";

/// Label of containers that stay.
const LABEL_KEPT: &str = "muster.kept";

/// A container to be made.
#[derive(Debug)]
pub(crate) struct NewContainer<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The image, by its number.
    pub(crate) image: &'a str,
    /// The program that holds it open, on the node.
    pub(crate) pause: &'a Path,
    /// The supervisor.
    pub(crate) owner: &'a str,
    /// The unit.
    pub(crate) unit: String,
    /// It stays when its unit has ended.
    pub(crate) is_kept: bool,
    /// It goes with the job of this label.
    pub(crate) job: Option<String>,
    /// As whom the waiting process runs.
    pub(crate) user: (u32, u32),
    /// GPUs and their drivers are wanted.
    pub(crate) gpus: Gpus,
}

/// What of the GPUs of this node is put into a container. Which of them a task uses is told by its environment, as outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Gpus {
    /// Those of NVIDIA, by the daemon's own means.
    pub(crate) nvidia: bool,
    /// Those of AMD, as devices.
    pub(crate) amd: bool,
}

impl Gpus {
    /// Those that this machine has.
    pub(crate) fn of_machine() -> Gpus {
        let is_there = |path: &str| Path::new(path).exists();
        Gpus { nvidia: is_there("/dev/nvidiactl"), amd: is_there("/dev/kfd") }
    }
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The number of its image.
    pub(crate) image: String,
    /// The process that holds it open; `None` where it is not running.
    pub(crate) pid: Option<i32>,
}

/// Makes a container. What a supervisor before left under the name is removed.
pub(crate) fn create(engine: &Engine, new: &NewContainer<'_>, cancelled: &AtomicBool) -> Result<(), EngineError> {
    let patience = Patience { cancelled, silence: SILENCE };
    let (path, document) = match new.gpus.nvidia && engine.is_podman(patience)? {
        false => (format!("/containers/create?name={}", escaped(new.name)), describe(new)),
        // What Docker calls a device request Podman drops without a word; its own way is the Container Device Interface.
        true => ("/v4.0.0/libpod/containers/create".to_owned(), describe_for_podman(new)),
    };
    let is_taken = |error: &EngineError| match error {
        EngineError::Refused { status, message } => *status == 409 || message.contains("already in use"),
        _ => false,
    };
    match engine.send("POST", &path, "", Some(&document), patience) {
        Err(error) if is_taken(&error) && !new.is_kept => {
            remove(engine, new.name)?;
            engine.send("POST", &path, "", Some(&document), patience)?.document()?;
        }
        result => drop(result?.document()?),
    }
    Ok(())
}

/// Limits of the process that waits, which does next to nothing. Those that Podman would set are more than some machines allow.
fn limits() -> impl Iterator<Item = (&'static str, i64)> {
    /// Enough for the processes of its user, which count where it changes to that user.
    const MAX: u64 = 16_384;
    [("nofile", libc::RLIMIT_NOFILE), ("nproc", libc::RLIMIT_NPROC)].into_iter().filter_map(|(name, resource)| {
        // SAFETY: all-zero is a valid value; the structure is our own.
        let hard = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            (libc::getrlimit(resource, &mut limit) == 0).then_some(limit.rlim_max)
        };
        Some((name, i64::try_from(hard?.min(MAX)).ok()?))
    })
}

/// What of the node's files is seen in containers, as enroot has it: `/sys`, where libraries look for networks and control groups, and
/// how hosts are found.
fn files_of_node() -> impl Iterator<Item = &'static str> {
    ["/sys", "/etc/hosts", "/etc/resolv.conf"].into_iter().filter(|path| Path::new(path).exists())
}

/// Everything but the file system is that of the node, as enroot has it; which is also what MPI libraries need.
///
/// The daemon is to make no network: tasks never enter that of the container. Docker keeps books of it even where it is the node's, and
/// its version 20.10 stands still for ever when several containers end at once, for two threads of it wait for each other's locks.
fn describe(new: &NewContainer<'_>) -> Value {
    let mut binds = vec![format!("{}:{PAUSE_PATH}:ro", new.pause.display())];
    binds.extend(files_of_node().map(|path| format!("{path}:{path}:ro")));
    let mut host = json!({
        "NetworkMode": "host", "PidMode": "host", "IpcMode": "host", "UTSMode": "host",
        "CgroupnsMode": "host", "UsernsMode": "host",
        "Binds": binds,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "none"},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Ulimits": limits().map(|(name, limit)| json!({"Name": name, "Soft": limit, "Hard": limit})).collect::<Value>(),
    });
    if new.gpus.nvidia {
        host["DeviceRequests"] = json!([{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]);
    }
    if new.gpus.amd {
        let device = |path: &str| json!({"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"});
        host["Devices"] = json!([device("/dev/kfd"), device("/dev/dri")]);
    }
    json!({
        "Image": new.image,
        "Entrypoint": [PAUSE_PATH],
        "Cmd": [],
        "User": format!("{}:{}", new.user.0, new.user.1),
        "NetworkDisabled": true,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": labels(new),
        "HostConfig": host,
    })
}

/// The same in Podman's own words, with the GPUs of NVIDIA.
fn describe_for_podman(new: &NewContainer<'_>) -> Value {
    let of_node = json!({"nsmode": "host"});
    let mut devices = vec![json!({"path": "nvidia.com/gpu=all"})];
    devices.extend(["/dev/kfd", "/dev/dri"].into_iter().filter(|_| new.gpus.amd).map(|path| json!({"path": path})));
    json!({
        "name": new.name,
        "image": new.image,
        "entrypoint": [PAUSE_PATH],
        "command": [],
        "user": format!("{}:{}", new.user.0, new.user.1),
        "labels": labels(new),
        "netns": of_node, "pidns": of_node, "ipcns": of_node, "utsns": of_node, "cgroupns": of_node, "userns": of_node,
        "mounts": [{"type": "bind", "source": new.pause, "destination": PAUSE_PATH, "options": ["ro"]}],
        "restart_policy": "no",
        "log_configuration": {"driver": "none"},
        "cap_drop": ["ALL"],
        "no_new_privileges": true,
        "r_limits": limits().map(|(name, limit)| json!({"type": name, "soft": limit, "hard": limit})).collect::<Value>(),
        "devices": devices,
    })
}

fn labels(new: &NewContainer<'_>) -> Value {
    let mut labels = json!({LABEL_OWNER: new.owner, LABEL_UNIT: new.unit});
    if new.is_kept {
        labels[LABEL_KEPT] = json!("yes");
    }
    if let Some(job) = &new.job {
        labels[LABEL_JOB] = json!(job);
    }
    labels
}

/// Starts a container, if it is not running, and gives the process that holds it open.
pub(crate) fn start(engine: &Engine, name: &str, cancelled: &AtomicBool) -> Result<i32, EngineError> {
    let patience = Patience { cancelled, silence: SILENCE };
    engine.send("POST", &format!("/containers/{}/start", escaped(name)), "", None, patience)?.document()?;
    let found = find(engine, name, cancelled)?.and_then(|found| found.pid);
    found.ok_or_else(|| EngineError::Refused { status: 0, message: "its first process does not stay".to_owned() })
}

/// Looks a container up.
pub(crate) fn find(engine: &Engine, name: &str, cancelled: &AtomicBool) -> Result<Option<Found>, EngineError> {
    let patience = Patience { cancelled, silence: SILENCE };
    let document = match engine.send("GET", &format!("/containers/{}/json", escaped(name)), "", None, patience) {
        Err(error) if error.is_absence() => return Ok(None),
        result => result?.document()?,
    };
    let state = document.get("State").unwrap_or(&Value::Null);
    let is_running = state.get("Running").and_then(Value::as_bool) == Some(true);
    let pid = state.get("Pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    Ok(Some(Found {
        image: document.get("Image").and_then(Value::as_str).unwrap_or_default().to_owned(),
        pid: pid.filter(|pid| is_running && *pid > 0),
    }))
}

/// Removes a container, whatever its state; whether there was one.
pub(crate) fn remove(engine: &Engine, name: &str) -> Result<bool, EngineError> {
    settle(engine, "DELETE", &format!("/containers/{}?force=1&v=1", escaped(name)))
}

/// Ends the process of a container that stays. That it has ended already is no error.
pub(crate) fn stop(engine: &Engine, name: &str) -> Result<(), EngineError> {
    settle(engine, "POST", &format!("/containers/{}/kill", escaped(name))).map(drop)
}

/// Whether there was something to do it to.
fn settle(engine: &Engine, method: &str, path: &str) -> Result<bool, EngineError> {
    let never = AtomicBool::new(false);
    let patience = Patience { cancelled: &never, silence: REMOVAL_SILENCE };
    match engine.send(method, path, "", None, patience).and_then(|mut answer| answer.document()) {
        Err(error) if error.is_absence() => Ok(false),
        // On its way out by another's hand, or not running.
        Err(EngineError::Refused { status: 409, .. }) => Ok(true),
        // Podman's words for one that is not running.
        Err(EngineError::Refused { message, .. }) if message.contains("container state improper") => Ok(true),
        result => result.map(|_| true),
    }
}

/// A job in the label of its containers.
pub(crate) fn job_label((job_id, restart): SpaceKey) -> String {
    format!("{job_id}.{}", restart.0)
}

/// A container of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnContainer {
    /// Its number.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// It stays when its unit has ended.
    pub(crate) is_kept: bool,
    /// The label of the job that it goes with.
    pub(crate) job: Option<String>,
}

/// The containers of a supervisor.
pub(crate) fn of_supervisor(engine: &Engine, owner: &str) -> Result<Vec<OwnContainer>, EngineError> {
    let never = AtomicBool::new(false);
    let patience = Patience { cancelled: &never, silence: REMOVAL_SILENCE };
    let filters = json!({"label": [format!("{LABEL_OWNER}={owner}")]}).to_string();
    let path = format!("/containers/json?all=1&filters={}", escaped(&filters));
    let document = engine.send("GET", &path, "", None, patience)?.document()?;
    let containers = document.as_array().into_iter().flatten();
    let read = |container: &Value| -> Option<OwnContainer> {
        let label = |name: &str| container.get("Labels")?.get(name)?.as_str().map(str::to_owned);
        let id = container.get("Id")?.as_str()?.to_owned();
        let name = container.get("Names").and_then(|names| names.get(0)?.as_str()).unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        Some(OwnContainer { id, name, is_kept: label(LABEL_KEPT).is_some(), job: label(LABEL_JOB) })
    };
    Ok(containers.filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_all_of_the_node_but_its_files() {
        let new = NewContainer {
            name: "n",
            image: "sha256:1",
            pause: Path::new("/spool/pause"),
            owner: "12ab",
            unit: "1.0.batch".to_owned(),
            is_kept: false,
            job: None,
            user: (1000, 100),
            gpus: Gpus::default(),
        };
        let document = describe(&new);
        assert_eq!(document["User"], "1000:100");
        assert_eq!(document["Labels"], json!({"muster.supervisor": "12ab", "muster.unit": "1.0.batch"}));
        assert_eq!(document["HostConfig"]["Binds"][0], "/spool/pause:/.muster-pause:ro");
        assert_eq!(document["HostConfig"]["Binds"][1], "/sys:/sys:ro");
        assert_eq!(document["HostConfig"]["PidMode"], "host");
        assert_eq!(document["HostConfig"].get("DeviceRequests"), None);
        let gpus = Gpus { nvidia: true, amd: true };
        let new = NewContainer { gpus, is_kept: true, job: Some("7.1".to_owned()), ..new };
        let of_podman = describe_for_podman(&new);
        assert_eq!(
            of_podman["devices"].to_string(),
            r#"[{"path":"nvidia.com/gpu=all"},{"path":"/dev/kfd"},{"path":"/dev/dri"}]"#
        );
        assert_eq!((&of_podman["user"], &of_podman["labels"]["muster.kept"]), (&json!("1000:100"), &json!("yes")));
        let document = describe(&new);
        assert_eq!(document["HostConfig"]["DeviceRequests"][0]["Capabilities"], json!([["gpu"]]));
        assert_eq!(document["HostConfig"]["Devices"][1]["PathOnHost"], "/dev/dri");
        assert_eq!(
            (&document["Labels"]["muster.kept"], &document["Labels"]["muster.job"]),
            (&json!("yes"), &json!("7.1"))
        );
    }
}
