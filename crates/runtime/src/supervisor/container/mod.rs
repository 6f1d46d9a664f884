//! Containers: the file system of an image for the tasks of a unit.
//!
//! A daemon of the node (Docker, or Podman with Docker's interface) fetches images and makes the container, which holds only a
//! process that waits. The tasks are started by the supervisor like all others and enter the container's file system by
//! themselves: what pyxis does with enroot. They are in the unit's control groups and die with it; the container is removed when
//! nothing of the unit is left, and whatever an earlier supervisor left behind is removed when the next one starts.

mod api;
mod bundle;
mod bundle_lease;
mod credentials;
mod engine;
mod image;
mod kernel;
mod namespace;
mod pattern;
mod pause;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_model::container::{ContainerName, ContainerRequest, NameMode, NameScope, REGISTRY_AUTH, RunnerRequest};

pub(crate) use self::bundle::{BundleTask, Call, environment_lines};
pub(crate) use self::bundle_lease::{BundleLease, Within};
pub(crate) use self::runner::call as runner_call;

use self::api::{Engine, EngineError, Patience};
use self::credentials::Places;
use self::engine::{Gpus, NewContainer, OwnContainer};
use self::image::{ImageFacts, ImageName};
use self::namespace::{Insert, UserLine, Wanted, Words};
use super::files::UserRights;
use super::processes;
use super::spaces::Space;
use super::spawn::Stack;
use crate::cgroup::{self, Cgroups, UnitGroup};
use crate::space::SpaceKey;
use crate::system;
use crate::unit::LaunchUnit;
use crate::visit::entrance_path;

/// Directory in the spool for what containers need of the node.
const DIRECTORY: &str = "containers";

/// Variables that say what a task has here; an image cannot know better. Names that begin so.
const OWN_VARIABLES: [&str; 6] =
    ["SLURM", "PMI", "MUSTER_", "CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=", "ZE_AFFINITY_MASK="];

/// Variables by which a unit is known to have GPUs.
const GPU_VARIABLES: [&str; 3] = ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "SLURM_JOB_GPUS"];

/// How long the daemon may take to say what an image is.
const ANSWER_SILENCE: Duration = Duration::from_secs(60);

/// How long killed processes of a runtime may take to go.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);

/// What all containers of a supervisor share.
#[derive(Debug)]
pub(crate) struct Containers {
    /// `DOCKER_HOST`, where the node sets it.
    host: Option<String>,
    /// The number of the supervisor, by which its containers are known.
    owner: String,
    directory: PathBuf,
    spool: PathBuf,
    /// How many units use each container that stays. Locked while one is looked up, made, started or stopped.
    kept: Mutex<BTreeMap<String, u32>>,
    /// Jobs with named containers that go with them.
    of_jobs: Mutex<BTreeSet<SpaceKey>>,
    /// Names of containers that units of this supervisor use or are having made: no leftovers of an earlier one.
    in_use: Mutex<BTreeSet<String>>,
    /// What an earlier supervisor has left of bundles. Locked while it is removed.
    bundles_left: Mutex<Vec<PathBuf>>,
}

/// What has become of what was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    Done,
    /// It was not there. The daemon may be about to make it: it goes on with what it was asked for when nobody waits for the answer any
    /// more.
    MayCome,
}

/// What is to be given back when nothing of a unit is left.
#[derive(Debug)]
pub(crate) enum Lease {
    /// A container of a daemon.
    Daemon(DaemonLease),
    /// What the runtime of a bundle leaves.
    Bundle(BundleLease),
    /// The named containers of a job.
    OfJob(SpaceKey),
}

impl Lease {
    /// How long it may take to give it back among the processes of its unit; `None` where that is done apart from them.
    pub(crate) fn patience_within(&self) -> Option<Duration> {
        match self {
            Lease::Daemon(_) | Lease::OfJob(_) => None,
            Lease::Bundle(lease) => Some(lease.patience()),
        }
    }
}

/// A container of a daemon that a unit uses.
#[derive(Debug)]
pub(crate) struct DaemonLease {
    engine: Engine,
    name: String,
    is_kept: bool,
    /// Where a runner in it says where it listens.
    entrance: Option<PathBuf>,
}

/// What the tasks of a unit need to run in a container.
#[derive(Debug)]
pub(crate) struct Inside {
    /// The mount namespace that they enter.
    pub(crate) mounts: OwnedFd,
    /// Directory in which they start, and its path there.
    pub(crate) work_dir: OwnedFd,
    pub(crate) work_path: PathBuf,
    /// `NAME=value`, over those of the unit.
    pub(crate) variables: Vec<String>,
    /// What starts their programs, with its arguments; empty for nothing.
    pub(crate) entrypoint: Vec<String>,
    /// The runner starts them.
    pub(crate) runner: Option<RunnerRequest>,
}

/// A unit that wants a container.
pub(crate) struct Applicant<'a> {
    pub(crate) unit: &'a LaunchUnit,
    /// The variables that it shares with others, each ended by NUL.
    pub(crate) environment: &'a [u8],
    /// Its batch script on the node.
    pub(crate) script: Option<&'a Path>,
    /// What its job has to itself.
    pub(crate) space: Option<&'a Space>,
    /// Nobody wants it any more.
    pub(crate) cancelled: &'a AtomicBool,
}

impl Applicant<'_> {
    /// The value of a variable of the unit.
    fn variable(&self, name: &str) -> Option<String> {
        let of = |text: &str| text.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let own = self.unit.variables.iter().rev().find_map(|text| of(text));
        own.or_else(|| {
            let shared = self.environment.split(|byte| *byte == 0);
            shared.filter_map(|text| std::str::from_utf8(text).ok()).find_map(of)
        })
    }

    /// Root may have all of the node in a container.
    fn is_privileged(&self) -> bool {
        self.unit.user.uid == 0 && self.unit.container.as_ref().is_some_and(|request| request.privileged)
    }

    fn has_gpus(&self) -> bool {
        let tasks = self.unit.tasks.iter().flat_map(|task| &task.variables);
        let names_gpus = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            GPU_VARIABLES.contains(&name) && !value.is_empty() && value != "NoDevFiles"
        };
        tasks.chain(&self.unit.variables).any(names_gpus)
    }

    /// Where the user keeps what registries want to know.
    fn places(&self) -> Places {
        let path = |name: &str| self.variable(name).map(PathBuf::from);
        Places { home: path("HOME"), enroot: path("ENROOT_CONFIG_PATH"), docker: path("DOCKER_CONFIG") }
    }

    /// The line of the user in a table of users.
    fn user_line(&self) -> String {
        let user = &self.unit.user;
        let name = self.variable("SLURM_JOB_USER").or_else(|| self.variable("USER"));
        let name = name.filter(|name| !name.contains([':', '\n'])).unwrap_or_else(|| format!("user{}", user.uid));
        let home = self.variable("HOME").filter(|home| !home.contains([':', '\n'])).unwrap_or_else(|| "/".to_owned());
        format!("{name}:x:{}:{}::{home}:/bin/sh", user.uid, user.gid)
    }
}

impl Containers {
    /// Those of the supervisor with the number `owner`.
    pub(crate) fn new(host: Option<String>, owner: &str, spool: &Path) -> Containers {
        remove_files_left(&spool.join(DIRECTORY));
        Containers {
            host,
            owner: owner.to_owned(),
            directory: spool.join(DIRECTORY),
            spool: spool.to_owned(),
            kept: Mutex::default(),
            of_jobs: Mutex::default(),
            in_use: Mutex::default(),
            bundles_left: Mutex::new(bundle_lease::left(spool)),
        }
    }

    /// Makes or finds the container of a unit, and its interior for this unit. `tell` is told what takes long. The lease is put into `lease` as
    /// soon as there is something to give back.
    ///
    /// # Errors
    /// What to tell the user.
    pub(crate) fn enter(
        &self,
        applicant: &Applicant<'_>,
        request: &ContainerRequest,
        lease: &mut Option<DaemonLease>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Inside, Words> {
        // SAFETY: cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Err("containers need a supervisor that runs as root".to_owned());
        }
        let engine = Engine::find(self.host.as_deref())?;
        let (facts, pid) = match &request.name {
            Some(name) => self.enter_kept(engine, applicant, request, name, lease, tell)?,
            None => {
                let image = request.image.as_deref().ok_or("there is no image")?;
                let facts = provide(&engine, applicant, image, tell)?;
                let name = format!("muster-{}-{}", applicant.unit.key, self.owner);
                self.use_name(&name);
                // Even a refused request may have made it.
                let lease = lease.insert(DaemonLease {
                    engine,
                    name,
                    is_kept: false,
                    entrance: request.runner.is_some().then(|| entrance_path(&self.spool, applicant.unit.key)),
                });
                self.create(lease, applicant, &facts.id, None)?;
                (facts, start(lease, applicant.cancelled)?)
            }
        };
        self.interior(applicant, request, facts, pid)
    }

    /// Uses the container of this name and user, which is made if need be.
    fn enter_kept(
        &self,
        engine: Engine,
        applicant: &Applicant<'_>,
        request: &ContainerRequest,
        wanted: &ContainerName,
        lease: &mut Option<DaemonLease>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(ImageFacts, i32), Words> {
        let owner = self.owner.get(..8).unwrap_or(&self.owner);
        let key = applicant.unit.key;
        let job = (wanted.scope == NameScope::Job).then_some((key.job_id, key.restart));
        let of_job = job.map(|(id, restart)| format!("{id}.{}-", restart.0)).unwrap_or_default();
        let name = format!("pyxis-{}-{of_job}{}-{owner}", applicant.unit.user.uid, wanted.name);
        self.use_name(&name);
        let failed = |error: EngineError| error.to_string();
        let is_there = engine::find(&engine, &name, applicant.cancelled).map_err(failed)?.is_some();
        let image = request.image.as_deref().filter(|_| !is_there);
        let image = image.map(|image| provide(&engine, applicant, image, tell)).transpose()?;
        let mut kept = self.lock();
        let found = engine::find(&engine, &name, applicant.cancelled).map_err(failed)?;
        let is_running = found.as_ref().is_some_and(|found| found.pid.is_some());
        let clash = |flag: &str, state: &str| {
            Err(format!("\"{flag}\" flag was passed to --container-name but the container {state}"))
        };
        match wanted.mode {
            NameMode::Create if found.is_some() => return clash("create", "already exists"),
            NameMode::Exec if !is_running => return clash("exec", "is not running"),
            NameMode::NoExec if is_running => return clash("no_exec", "is already running"),
            _ => {}
        }
        let candidate = DaemonLease { engine, name, is_kept: true, entrance: None };
        let (facts, pid) = match (found, image) {
            (Some(found), _) => {
                let patience = Patience { cancelled: applicant.cancelled, silence: ANSWER_SILENCE };
                let facts = image::inspect(&candidate.engine, &found.image, patience).map_err(failed)?;
                tell(if is_running {
                    "reusing existing container PID"
                } else {
                    "reusing existing container filesystem"
                });
                (facts, found.pid)
            }
            (None, Some(facts)) => {
                // Before it is made, so that it is never forgotten.
                self.of_jobs.lock().unwrap_or_else(PoisonError::into_inner).extend(job);
                self.create(&candidate, applicant, &facts.id, job)?;
                (facts, None)
            }
            (None, None) => {
                let name = &wanted.name;
                return Err(format!(
                    "a container with name \"{name}\" does not exist, and --container-image is not set"
                ));
            }
        };
        let pid = pid.map_or_else(|| start(&candidate, applicant.cancelled), Ok)?;
        *kept.entry(candidate.name.clone()).or_default() += 1;
        *lease = Some(candidate);
        Ok((facts, pid))
    }

    fn create(
        &self,
        lease: &DaemonLease,
        applicant: &Applicant<'_>,
        image: &str,
        job: Option<SpaceKey>,
    ) -> Result<(), Words> {
        let pause = self
            .pause()
            .map_err(|error| format!("cannot write a program into {}: {error}", self.directory.display()))?;
        let new = NewContainer {
            name: &lease.name,
            image,
            pause: &pause,
            owner: &self.owner,
            unit: applicant.unit.key.to_string(),
            is_kept: lease.is_kept,
            job: job.map(engine::job_label),
            user: (applicant.unit.user.uid, applicant.unit.user.gid),
            gpus: if applicant.has_gpus() { Gpus::of_machine() } else { Gpus::default() },
        };
        let made = engine::create(&lease.engine, &new, applicant.cancelled);
        made.map_err(|error| format!("failed to create container filesystem: {error}"))
    }

    /// The program that holds containers open, on the node.
    fn pause(&self) -> io::Result<PathBuf> {
        let path = self.directory.join("pause");
        let program = pause::program().ok_or(io::ErrorKind::Unsupported)?;
        if std::fs::read(&path).is_ok_and(|present| present == program) {
            return Ok(path);
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.directory)?;
        // In one move, for another launch may be executing it.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let fresh = self.directory.join(format!("pause.{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        // One that an earlier supervisor did not finish. Nobody may ever have it open for writing: others execute it.
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&fresh)?;
        io::Write::write_all(&mut file, &program)?;
        drop(file);
        std::fs::rename(&fresh, &path)?;
        Ok(path)
    }

    /// The interior of a running container for the tasks of a unit.
    fn interior(
        &self,
        applicant: &Applicant<'_>,
        request: &ContainerRequest,
        facts: ImageFacts,
        pid: i32,
    ) -> Result<Inside, Words> {
        let unit = applicant.unit;
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        let mut inserts = Vec::new();
        if let Some(script) = applicant.script {
            let path = script.to_string_lossy();
            inserts.push(Insert::same_place(&path, &path).map_err(failed("the batch script"))?);
        }
        // The engine is not asked for it: that would need more rights than its container is to have.
        for path in ["/dev", "/sys"].into_iter().filter(|_| applicant.is_privileged()) {
            inserts.push(Insert::same_place(path, path).map_err(failed(path))?);
        }
        for dir in applicant.space.iter().flat_map(|space| space.dirs()) {
            let path = dir.to_string_lossy();
            inserts.push(Insert::same_place(&path, &path).map_err(failed(&path))?);
        }
        {
            let _rights = UserRights::of(&unit.user).map_err(failed("take the user's rights"))?;
            if let Some(home) = applicant.variable("HOME").filter(|_| request.mount_home) {
                inserts.push(Insert::same_place(&home, &home).map_err(failed(&home))?);
            }
            for mount in &request.mounts {
                inserts.push(Insert::of(mount, &unit.work_dir)?);
            }
        }
        if let Some(runner) = &request.runner {
            inserts.extend(runner::inserts(&self.spool, unit, runner)?);
        }
        let line = self.directory.join(format!("users.{}", unit.key));
        let user_line = UserLine::new(applicant.user_line(), &line).map_err(failed("the table of users"))?;
        let asked = request.work_dir.as_deref().unwrap_or(&facts.work_dir);
        let work_dir = if asked.is_empty() { "/" } else { asked }.to_owned();
        let work_path = Path::new("/").join(&work_dir);
        let wanted = Wanted {
            pid,
            inserts,
            read_only: request.read_only,
            is_privileged: applicant.is_privileged(),
            work_dir,
            user: unit.user.clone(),
            user_line: Some(user_line),
        };
        let made = namespace::make(wanted);
        // What is laid over the table lives on; the name is needed no more.
        let _ = std::fs::remove_file(&line);
        let interior = made?;
        let mut variables = image_variables(&facts.environment, &request.environment);
        variables.push(format!("PWD={}", work_path.display()));
        let entrypoint = if request.entrypoint { facts.entrypoint } else { Vec::new() };
        Ok(Inside {
            mounts: interior.mounts,
            work_dir: interior.work_dir,
            work_path,
            variables,
            entrypoint,
            runner: request.runner.as_deref().cloned(),
        })
    }

    /// Gives a container back: what does not stay is removed. Programs that are run for that are run `within`.
    pub(crate) fn release(&self, lease: &Lease, within: &Within, stack: &mut Stack) -> Result<Released, EngineError> {
        let lease = match lease {
            Lease::Daemon(lease) => lease,
            Lease::Bundle(lease) => {
                lease.release(within, stack);
                return Ok(Released::Done);
            }
            Lease::OfJob(key) => return self.remove_of_job(*key).map(|()| Released::Done),
        };
        if let Some(entrance) = &lease.entrance {
            // Nobody comes in any more; gone already when this is done again.
            let _ = std::fs::remove_file(entrance);
        }
        if !lease.is_kept {
            self.in_use.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.name);
            let was_there = engine::remove(&lease.engine, &lease.name)?;
            return Ok(if was_there { Released::Done } else { Released::MayCome });
        }
        let mut kept = self.lock();
        match kept.get_mut(&lease.name) {
            Some(users) if *users > 1 => {
                *users -= 1;
                return Ok(Released::Done);
            }
            _ => drop(kept.remove(&lease.name)),
        }
        engine::stop(&lease.engine, &lease.name).map(|()| Released::Done)
    }

    fn use_name(&self, name: &str) {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// Whether a job has named containers that go with it.
    pub(crate) fn has_of_job(&self, key: SpaceKey) -> bool {
        self.of_jobs.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    fn remove_of_job(&self, key: SpaceKey) -> Result<(), EngineError> {
        let label = engine::job_label(key);
        let is_its = |found: &OwnContainer| found.job.as_ref() == Some(&label);
        let of_job = format!("-{label}-");
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| !name.contains(&of_job));
        for engine in Engine::all(self.host.as_deref()) {
            let found = engine::of_supervisor(&engine, &self.owner)?.into_iter().filter(is_its);
            found.map(|found| engine::remove(&engine, &found.id).map(drop)).fold(Ok(()), Result::and)?;
        }
        self.of_jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(())
    }

    /// Removes what an earlier supervisor of this spool left behind, and stops what stays. `jobs` are not over. What units of this one use is
    /// left alone.
    pub(crate) fn sweep(
        &self,
        jobs: &[SpaceKey],
        cgroups: Option<&Cgroups>,
        stack: &mut Stack,
    ) -> Result<(), EngineError> {
        self.settle_bundles_left(cgroups, stack);
        // Of one that is away the others know nothing.
        Engine::all(self.host.as_deref()).iter().map(|engine| self.sweep_engine(engine, jobs)).fold(Ok(()), Result::and)
    }

    /// Removes what an earlier supervisor left of bundles, once; who comes meanwhile waits. A job that is started again has the same names
    /// for its containers, so nothing of it may be started before.
    pub(crate) fn settle_bundles_left(&self, cgroups: Option<&Cgroups>, stack: &mut Stack) {
        let mut left = self.bundles_left.lock().unwrap_or_else(PoisonError::into_inner);
        left.drain(..).for_each(|document| self.settle_bundles(&document, cgroups, stack));
    }

    fn sweep_engine(&self, engine: &Engine, jobs: &[SpaceKey]) -> Result<(), EngineError> {
        let is_left =
            |found: &OwnContainer| !self.in_use.lock().unwrap_or_else(PoisonError::into_inner).contains(&found.name);
        let settle = |found: OwnContainer| {
            tracing::info!(?found, "a container of an earlier supervisor");
            let job = found.job.map(|label| jobs.iter().find(|key| engine::job_label(**key) == label).copied());
            match job {
                // It may go on in another step, and goes with its job.
                Some(Some(key)) => {
                    self.of_jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
                    engine::stop(engine, &found.id)
                }
                None if found.is_kept => engine::stop(engine, &found.id),
                _ => engine::remove(engine, &found.id).map(drop),
            }
        };
        // One that does not go keeps no other.
        engine::of_supervisor(engine, &self.owner)?.into_iter().filter(is_left).map(settle).fold(Ok(()), Result::and)
    }

    /// Removes what is left of the bundles of a unit, and then whatever the runtime has left running.
    fn settle_bundles(&self, document: &Path, cgroups: Option<&Cgroups>, stack: &mut Stack) {
        let name = document.file_name().unwrap_or_default().to_string_lossy();
        let mark = format!("{name}@{}", self.owner);
        let nothing = cgroup::Wanted { memory_limit: None, cpus: "", confinement: None };
        let group = cgroups.zip(name.parse().ok()).and_then(|(cgroups, key)| cgroups.create(key, &nothing).ok());
        let groups = group.as_ref().map(UnitGroup::join_files).unwrap_or_default();
        bundle_lease::settle(document, &Within { groups, mark: mark.clone(), ..Within::default() }, stack);
        let until = Instant::now() + SWEEP_PATIENCE;
        loop {
            group.iter().for_each(UnitGroup::kill);
            let marked = processes::with_mark(&mark);
            marked.iter().for_each(|pid| system::kill(*pid, libc::SIGKILL));
            if marked.is_empty() && group.as_ref().is_none_or(|group| group.remove().is_ok()) {
                return;
            }
            if Instant::now() > until {
                return tracing::error!(unit = %name, "what removes containers leaves processes that do not go away");
            }
            // A short wait for the kernel to finish what was killed.
            let _ = system::poll(&mut [], 5);
        }
    }

    /// Whether there may be something to sweep.
    pub(crate) fn is_used(&self) -> bool {
        self.directory.exists() || !self.bundles_left.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes files of an earlier supervisor: entrances, behind which nothing listens, and what it was about to put in its place.
fn remove_files_left(directory: &Path) {
    const PREFIXES: [&str; 3] = ["entrance.", "users.", "pause."];
    let is_left = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_left(&entry.file_name().to_string_lossy())) {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Sees to it that the image is here.
fn provide(
    engine: &Engine,
    applicant: &Applicant<'_>,
    text: &str,
    tell: &mut dyn FnMut(&str),
) -> Result<ImageFacts, Words> {
    let image = ImageName::parse(text);
    let given = applicant.variable(REGISTRY_AUTH).map(|text| credentials::given(&text, &image)).transpose();
    let given = given.map_err(|error| format!("cannot read what the registry is to be told: {error}"))?;
    let credentials = || {
        if given.is_some() {
            return given;
        }
        let _rights = UserRights::of(&applicant.unit.user).ok()?;
        applicant.places().header(&image)
    };
    let provided = image::provide(engine, &image, applicant.cancelled, credentials, tell);
    provided.map_err(|error| format!("failed to import docker image: {error}"))
}

fn start(lease: &DaemonLease, cancelled: &AtomicBool) -> Result<i32, Words> {
    engine::start(&lease.engine, &lease.name, cancelled).map_err(|error| format!("container start failed: {error}"))
}

/// What of the image's environment counts: all but the variables that say what a task has here, and those of which the user
/// wants his own.
fn image_variables(of_image: &[String], kept: &[String]) -> Vec<String> {
    let is_own = |text: &str| OWN_VARIABLES.iter().any(|prefix| text.starts_with(prefix));
    let is_kept = |text: &str| text.split('=').next().is_some_and(|name| kept.iter().any(|kept| kept == name));
    of_image.iter().filter(|text| !is_own(text) && !is_kept(text)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_the_last_word_on_most_variables() {
        let texts = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
        let of_image =
            texts(&["PATH=/bin", "FOO=image", "SLURM_JOB_ID=1", "CUDA_VISIBLE_DEVICES=7", "CUDA_VERSION=12"]);
        assert_eq!(image_variables(&of_image, &texts(&["FOO"])), texts(&["PATH=/bin", "CUDA_VERSION=12"]));
    }
}
