//! What is asked of the controller.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_client::{Blobs, Client};
use muster_model::ids::{Identity, JobId};
use muster_model::job::{ExecutionContext, JobKind, JobSpec};
use muster_model::planning::PlanView;
use muster_model::request::{Answer, Command, Query, Reply};
use muster_model::statistics::Statistics;

use crate::agents::Agents;
use crate::{Failure, cluster};

/// Jobs at the head of the queue that are read, one after the other.
const READ_JOBS: usize = 1000;

/// Makes requests, each another than the one before.
pub(crate) struct Requests {
    client: Client,
    agents: Arc<Agents>,
    waiting: Vec<JobId>,
    node_count: usize,
    turn: usize,
}

impl Requests {
    pub(crate) fn new(client: Client, agents: Agents, view: &PlanView) -> Requests {
        let waiting = view.queue.keys().take(READ_JOBS).map(|key| key.job_id).collect();
        Requests { client, agents: Arc::new(agents), waiting, node_count: view.nodes.len(), turn: 0 }
    }

    /// The next request of a kind; `false` where there is nothing to ask for any more.
    pub(crate) fn next(&mut self, kind: &'static str) -> impl Future<Output = Result<bool, Failure>> + Send + 'static {
        self.turn += 1;
        let (client, agents) = (self.client.clone(), self.agents.clone());
        let (node, job) = (self.turn % self.node_count.max(1), self.waiting.get(self.turn % READ_JOBS).copied());
        async move {
            match kind {
                "submit" => submit(&client, None).await.map(|_| true),
                "read" => {
                    let query = Query::Jobs { ids: job.map(|job| vec![job]), uids: None, active_only: false };
                    client.query(&query).await?;
                    Ok(true)
                }
                _ => agents.complete(node).await,
            }
        }
    }

    /// How long it takes until a job that fits on free nodes starts.
    pub(crate) async fn start(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        let job = submit(&self.client, Some(cluster::SPARE)).await?;
        self.agents.started(job).await?;
        let took = began.elapsed();
        // Jobs of one CPU fill the first node, so that is where it runs.
        self.agents.tell_end(self.node_count, job).await?;
        Ok(took)
    }

    pub(crate) async fn statistics(&self) -> Result<Statistics, Failure> {
        match self.client.query(&Query::Statistics).await?.pop() {
            Some(Reply::Statistics(statistics)) => Ok(*statistics),
            other => Err(format!("no statistics but {other:?}").into()),
        }
    }
}

async fn submit(client: &Client, partition: Option<&str>) -> Result<u32, Failure> {
    let identity = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
    let spec = JobSpec {
        work_dir: "/tmp".into(),
        submit_host: "bench".into(),
        partitions: partition.map(Into::into).into_iter().collect(),
        ..JobSpec::new(identity, "latency".into(), JobKind::Batch)
    };
    let context = ExecutionContext { environment: vec!["A=1".to_owned()], umask: 0o022, limits: Vec::new() };
    let blobs = Blobs { script: Some(b"#!/bin/sh\ntrue\n".to_vec()), context: Some(serde_json::to_vec(&context)?) };
    match client.command_with(&Command::Submit(Box::new(spec)), blobs).await? {
        Answer::Submitted(job) => Ok(job.0),
        other => Err(format!("not submitted but {other:?}").into()),
    }
}
