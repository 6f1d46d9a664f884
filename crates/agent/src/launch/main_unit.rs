//! The main unit of a job: its batch script on the first node, or on every node for a task of a run.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::PathBuf;

use muster_model::job::JobKind;
use muster_runtime::unit::{LaunchUnit, Output, Streams, TaskLaunch, UnitUser};
use muster_slurm::environment::{LaunchFacts, output_paths};

use super::streams::streams;
use super::{Caller, Context, Launch, LaunchError, Prepared, Site, environment};
use crate::outputs::Record;

pub(super) fn prepare(
    launch: &Launch,
    facts: &LaunchFacts<'_>,
    site: &Site,
    caller: Caller,
    context: &Context,
) -> Result<Prepared, LaunchError> {
    let spec = &launch.job.spec;
    let share = launch.share(&site.node_name).ok_or(LaunchError::Senseless("it holds nothing on this node"))?;
    let script = spec.script.clone().ok_or(LaunchError::Senseless("it has no script"))?;
    let environment = environment::of_main_unit(launch, facts, site, &context.names, caller.login.as_ref());
    let mut streams = streams(output_paths(facts, false));
    if spec.kind == JobKind::EveryNode && spec.output.is_none() {
        streams.output = Output::File(make_log(launch, site, &caller.user)?);
    }
    let record = record(launch, &caller.user, &streams);
    let environment_id = context.environment_id(&environment.removals);
    let other = |wanted: &str| {
        let mut others = spec.rare.iter().flat_map(|rare| &rare.others);
        others.find(|(name, text)| &**name == wanted && !text.is_empty()).map(|(_, text)| &**text)
    };
    let mut unit = LaunchUnit {
        key: launch.key(),
        user: caller.user,
        work_dir: spec.work_dir.to_string(),
        umask: context.umask(),
        limits: context.limits(),
        environment: environment_id.clone(),
        variables: environment.variables,
        script: Some(script),
        command: spec.arguments.iter().map(|argument| argument.to_string()).collect(),
        broadcast: None,
        streams,
        tasks: vec![TaskLaunch::default()],
        affinity: site.binding.whole(&share.cpus),
        memory_limit: None,
        confinement: None,
        space: Some(Box::new(site.space.clone())),
        client: None,
        pty: None,
        pmi: None,
        pmix: None,
        message_name: String::new(),
        after: launch.prolog(),
        task_hooks: launch.task_hooks(),
        time_limit_ms: None,
        bundle: other("container").and_then(|path| site.bundle(path, other("container-id"), launch)),
        container: site.container(spec.rare.as_ref().and_then(|rare| rare.container.as_deref())),
        refusal: None,
        measure_ms: launch.measure_ms(site),
        measure_how: None,
        sequence: launch.sequence,
        verbosity: 0,
        unkillable: launch.unkillable(launch.key(), site),
    };
    site.rules.apply(&mut unit, share, share.memory, &share.gres);
    Ok(Prepared { unit, environment: environment_id.map(|id| (id, environment.removals)), record: Some(record) })
}

/// Makes an empty log in the spool, which belongs to the user: nobody else can make files there, so nobody can have
/// made it before.
fn make_log(launch: &Launch, site: &Site, user: &UnitUser) -> Result<String, LaunchError> {
    let rank = launch.node_position(&site.node_name).unwrap_or(0);
    let path = site.logs.join(format!("{}.{rank}.log", launch.job.id));
    let made = || -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        if nix::unistd::Uid::effective().is_root() {
            fchown(&file, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    };
    made().map_err(|error| LaunchError::Node(format!("cannot make {}: {error}", path.display())))?;
    Ok(path.to_string_lossy().into_owned())
}

fn record(launch: &Launch, user: &UnitUser, streams: &Streams) -> Record {
    let path = |output: &Output| -> PathBuf {
        match output {
            Output::File(path) => path.into(),
            Output::Null | Output::Client => "/dev/null".into(),
        }
    };
    Record {
        job_id: launch.job.id,
        restart: launch.job.restart,
        user: user.clone(),
        output: path(&streams.output),
        error: streams.error.as_ref().map(path).filter(|error| *error != path(&streams.output)),
    }
}
