//! The cluster that is measured: a database of what it would hold, and the options of its controller.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use muster_controller::{ControllerOptions, Pace, ReadConfig};
use muster_model::config::ClusterConfig;
use muster_model::fact::Fact;
use muster_model::ids::{CommitSequence, JobId, SpecId};
use muster_model::job::Job;
use muster_model::planning::PlanView;
use muster_model::request::RefusalCode;
use muster_model::time::{Span, Timestamp};
use muster_store::{SqliteStore, Store};
use muster_testkit::builders;

use crate::Failure;

/// Facts of one commit while the database is filled.
const FACTS_PER_COMMIT: usize = 5000;
/// Nodes that the waiting jobs may not use, so that a job can start there at any time.
const SPARE_NODES: u32 = 16;
/// Their partition.
pub(crate) const SPARE: &str = "spare";

/// The names of these nodes.
pub(crate) fn spare_names() -> impl Iterator<Item = String> {
    (0..SPARE_NODES).map(|number| format!("{SPARE}{number}"))
}

/// Whether a node is one of them.
pub(crate) fn is_spare(name: &str) -> bool {
    name.starts_with(SPARE)
}

/// Writes the cluster down as if it had run until now. Gives the running jobs by node.
pub(crate) fn fill(directory: &Path, view: &PlanView) -> Result<BTreeMap<u32, Vec<JobId>>, Failure> {
    let mut store = SqliteStore::open(directory)?;
    let shift = now().since(builders::NOW);
    let later = |time: Option<Timestamp>| time.map(|time| time + shift);
    let (mut specs, mut facts) = (BTreeMap::new(), Vec::new());
    let mut running: BTreeMap<u32, Vec<JobId>> = BTreeMap::new();
    for job in view.running.values().chain(view.queue.values()) {
        let next = SpecId(specs.len() as u64 + 1);
        let spec_id = *specs.entry(Arc::as_ptr(&job.spec) as usize).or_insert(next);
        if spec_id == next {
            facts.push(Fact::Spec(spec_id, job.spec.clone()));
        }
        for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
            running.entry(share.node.0).or_default().push(job.id);
        }
        let row = Job {
            spec_id,
            submit_time: job.submit_time + shift,
            eligible_time: later(job.eligible_time),
            start_time: later(job.start_time),
            // Long enough for the measurement.
            end_time: later(job.end_time).map(|end| end + Span::from_minutes(60)),
            ..Job::clone(job)
        };
        facts.push(Fact::Job(Arc::new(row)));
    }
    for (number, part) in (1..).zip(facts.chunks(FACTS_PER_COMMIT)) {
        store.commit(CommitSequence(number), part)?;
    }
    Ok(running)
}

/// Where clients find the controller.
pub(crate) fn socket(directory: &Path) -> PathBuf {
    directory.join("muster.sock")
}

/// How the controller is started: the nodes and partitions of `view`, and some nodes apart.
pub(crate) fn options(directory: &Path, port: u16, view: &PlanView, pace: Pace) -> ControllerOptions {
    let count = view.nodes.len() as u32;
    let spare = spare_names().map(|name| builders::node_config(&name, 64));
    let mut partitions: Vec<_> = view.partitions.iter().map(|partition| (**partition).clone()).collect();
    partitions.push(builders::partition(SPARE, count..count + SPARE_NODES));
    let config = ClusterConfig {
        nodes: view.nodes.iter().map(|node| (*node.config).clone()).chain(spare).collect(),
        partitions,
        job_count_max: u32::MAX,
        ..(*view.config).clone()
    };
    ControllerOptions {
        config,
        read_config: ReadConfig::new(|| Err(RefusalCode::NotSupported.into())),
        state_directory: directory.to_owned(),
        socket: socket(directory),
        listen: format!("127.0.0.1:{port}"),
        agent_token: "bench".to_owned(),
        host: "bench".to_owned(),
        pace,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
