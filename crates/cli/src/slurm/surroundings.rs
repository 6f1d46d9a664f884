//! What the submitting commands know of the machine, the user and the cluster, gathered once at their start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use muster_model::ids::Identity;
use muster_slurm::conf::{ClientSettings, client_settings};
use muster_slurm::environment::ClientFacts;
use muster_slurm::submit::{Host, ReadError, Surroundings, World};
use nix::unistd::{Gid, Group, Uid, User};

use crate::caller;

/// The system answers for everything that must be looked up.
pub(super) struct System;

impl Host for System {
    fn user_id(&self, name: &str) -> Option<u32> {
        User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        std::fs::read(path).map_err(read_error)
    }

    fn standard_input(&self) -> Result<Vec<u8>, ReadError> {
        let mut content = Vec::new();
        std::io::stdin().lock().read_to_end(&mut content).map(|_| content).map_err(read_error)
    }

    fn read_descriptor(&self, descriptor: i32) -> Result<Vec<u8>, ReadError> {
        std::fs::read(format!("/proc/self/fd/{descriptor}")).map_err(read_error)
    }

    fn pmix_version(&self) -> Option<u32> {
        muster_runtime::pmix::library_version().ok()
    }
}

fn read_error(error: std::io::Error) -> ReadError {
    match error.kind() {
        std::io::ErrorKind::NotFound => ReadError::Missing,
        std::io::ErrorKind::IsADirectory => ReadError::Directory,
        _ => ReadError::Other(super::end::words(error.raw_os_error().unwrap_or(0))),
    }
}

/// Everything that [`Surroundings`] borrows.
pub(super) struct Gathered {
    /// Arguments after the command's name.
    pub args: Vec<String>,
    environment: BTreeMap<String, String>,
    identity: Identity,
    host_name: String,
    work_dir: String,
    limits: Vec<(u32, u64)>,
    settings: ClientSettings,
    umask: u32,
    session: u32,
}

impl Gathered {
    /// Gathers it. Names and values of the environment that are no UTF-8 are left out, and the user is told.
    pub(super) fn new(program: &str, args: Vec<OsString>) -> Gathered {
        let mut environment = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(environment.insert(name, value)),
                (Ok(name), Err(_)) | (Err(_), Ok(name)) => {
                    eprintln!("{program}: warning: {name:.40} is not UTF-8 and is not passed on")
                }
                (Err(_), Err(_)) => {}
            }
        }
        Gathered {
            args: args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            identity: caller::identity(),
            host_name: host_name(),
            work_dir: work_dir(&environment),
            limits: limits(),
            settings: settings(&environment),
            umask: caller::umask(),
            session: nix::unistd::getsid(None).map_or(0, |pid| pid.as_raw().unsigned_abs()),
            environment,
        }
    }

    /// Name of the cluster, as far as it is known here.
    pub(super) fn cluster_name(&self) -> &str {
        self.settings.cluster_name.as_deref().unwrap_or_default()
    }

    /// The address at which nodes reach this command: loopback when the controller is there, else this host.
    pub(super) fn client_host(&self) -> String {
        let controller = self.settings.controller_address.as_deref().unwrap_or("127.0.0.1");
        let is_loopback = controller == "localhost"
            || controller.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_loopback { "127.0.0.1".to_owned() } else { self.host_name.clone() }
    }

    /// Where it was called.
    pub(super) fn work_dir(&self) -> &str {
        &self.work_dir
    }

    /// Name of the caller.
    pub(super) fn user(&self) -> &str {
        &self.identity.user
    }

    /// `KillWait` of the cluster, as far as it is known here; else Slurm's default.
    pub(super) fn kill_wait(&self) -> Duration {
        Duration::from_secs(self.settings.kill_wait_seconds.unwrap_or(30).into())
    }

    /// `SrunProlog` and `SrunEpilog` of the cluster.
    pub(super) fn srun_hooks(&self) -> (Option<&str>, Option<&str>) {
        (self.settings.srun_prolog.as_deref(), self.settings.srun_epilog.as_deref())
    }

    /// What the cluster's configuration says to commands.
    pub(super) fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// What the environment of a command in an allocation is made of.
    pub(super) fn client_facts(&self) -> ClientFacts<'_> {
        ClientFacts {
            work_dir: &self.work_dir,
            host_name: &self.host_name,
            nice: nice(),
            umask: self.umask,
            export: None,
        }
    }

    /// Whether the configuration lets users have tables of jobs that come again.
    pub(super) fn cron(&self) -> bool {
        self.settings.cron
    }

    /// The same for jobs of another user, or of a later day: his home directory, and an empty environment that a login
    /// fills.
    pub(super) fn at_home(&self, identity: Identity, home: String) -> Gathered {
        Gathered {
            args: Vec::new(),
            environment: BTreeMap::new(),
            identity,
            host_name: self.host_name.clone(),
            work_dir: home,
            limits: Vec::new(),
            settings: self.settings.clone(),
            umask: self.umask,
            session: self.session,
        }
    }

    /// As the pure part wants it.
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            world: World {
                now: super::ask::now(),
                zone: TimeZone::system(),
                work_dir: &self.work_dir,
                uid: self.identity.uid,
                gres_types: Some(&self.settings.gres_types),
                spec_resources_allowed: self.settings.spec_resources_allowed,
                tasks_are_unbound: self.settings.tasks_are_unbound,
                cluster_name: self.settings.cluster_name.as_deref(),
                host: &System,
            },
            environment: &self.environment,
            identity: self.identity.clone(),
            host_name: &self.host_name,
            session: self.session,
            umask: self.umask,
            limits: &self.limits,
            array_size_max: self.settings.array_size_max,
            script_size_max: self.settings.script_size_max,
            measure_seconds_max: self.settings.measure_seconds_max(),
            memory_by_default: self.settings.memory_by_default,
            limits_propagated: self.settings.limits_propagated.as_deref(),
        }
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// The directory as the shell calls it, where that is true: paths through links stay as the user knows them.
fn work_dir(environment: &BTreeMap<String, String>) -> String {
    let real = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let named =
        environment.get("PWD").map(PathBuf::from).filter(|named| named.canonicalize().is_ok_and(|path| path == real));
    named.unwrap_or(real).display().to_string()
}

/// The scheduling priority of this process.
fn nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(16).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn limits() -> Vec<(u32, u64)> {
    use nix::sys::resource::{Resource, getrlimit};
    const PASSED_ON: &[Resource] = &[
        Resource::RLIMIT_CPU,
        Resource::RLIMIT_FSIZE,
        Resource::RLIMIT_DATA,
        Resource::RLIMIT_STACK,
        Resource::RLIMIT_CORE,
        Resource::RLIMIT_RSS,
        Resource::RLIMIT_NPROC,
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_MEMLOCK,
        Resource::RLIMIT_AS,
    ];
    PASSED_ON.iter().filter_map(|resource| Some((*resource as u32, getrlimit(*resource).ok()?.0))).collect()
}

fn settings(environment: &BTreeMap<String, String>) -> ClientSettings {
    let path = environment.get("SLURM_CONF").map_or("/etc/slurm/slurm.conf", String::as_str);
    std::fs::read_to_string(path).map(|text| client_settings(&text)).unwrap_or_default()
}
