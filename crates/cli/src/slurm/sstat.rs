//! `sstat`: the nodes of running steps tell this command straight what their tasks use.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use muster_client::{Client, ClientError};
use muster_model::ids::JobId;
use muster_model::measure::UnitMeasure;
use muster_model::node_call::{CallPurpose, NodeCall, NodesCalled};
use muster_model::request::{Answer, Command};
use muster_slurm::output::Outcome;
use muster_slurm::output::sstat::{Item, Reported, Sstat};

use super::ask::{Call, ask_with, failure, print, reason};
use super::streams::Streams;
use super::surroundings::Gathered;
use crate::runtime::block_on;

/// How long nodes may be silent: a look at thousands of processes takes well under a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is said before the reason where the controller does not tell of steps.
const NO_STEPS: &str = "sstat: error: couldn't get steps for job";

/// Runs `sstat`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("sstat", args.clone());
    let call = Call::new(args);
    match Sstat::new(&call.args) {
        Ok(sstat) => print(&block_on(tell(&sstat, &gathered.client_host()))),
        Err(outcome) => print(&outcome),
    }
}

async fn tell(sstat: &Sstat, host: &str) -> Outcome {
    let client = match Client::connect().await {
        Ok(client) => client,
        Err(error) => return failure("sstat", NO_STEPS, &error),
    };
    let answers = match ask_with(&client, sstat.queries()).await {
        Ok(answers) => answers,
        Err(error) => return failure("sstat", NO_STEPS, &error),
    };
    let items = sstat.items(&answers);
    let jobs = items.iter().filter_map(|item| match item {
        Item::Step(step) => Some(step.job_id),
        Item::Complaint(_) => None,
    });
    match reports(&client, jobs.collect(), host).await {
        Ok(reported) => sstat.render(&items, &reported),
        Err(error) => Outcome::failure(format!("sstat: error: {error:#}\n"), 1),
    }
}

/// Asks the nodes of all these jobs at once.
pub(super) async fn reports(
    client: &Client,
    jobs: BTreeSet<JobId>,
    host: &str,
) -> anyhow::Result<BTreeMap<JobId, Reported>> {
    let streams = Streams::open(host).await?;
    let address = format!("{host}:{}", streams.address()?.port());
    let mut reported = BTreeMap::new();
    let mut asked = BTreeSet::new();
    for job_id in jobs {
        let call = NodeCall {
            job_id,
            step: None,
            address: address.clone(),
            cookie: streams.cookie().to_owned(),
            purpose: CallPurpose::Measure,
        };
        match client.command(&Command::CallNodes(call)).await {
            Ok(Answer::NodesCalled(NodesCalled { called, absent })) => {
                asked.extend(called.iter().map(|node| (job_id.0, node.clone())));
                let nodes = called.into_iter().chain(absent).map(|node| (node, None)).collect();
                reported.insert(job_id, Reported::Nodes(nodes));
            }
            Ok(other) => anyhow::bail!("unexpected answer of the controller: {other:?}"),
            Err(error @ ClientError::Refused(_)) => {
                reported.insert(job_id, Reported::Refused(reason(&error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for ((job_id, node), document) in streams.gather(asked, PATIENCE).await {
        // What cannot be read counts as no answer.
        let units: Option<Vec<UnitMeasure>> = serde_json::from_slice(&document).ok();
        if let Some(Reported::Nodes(nodes)) = reported.get_mut(&JobId(job_id)) {
            nodes.insert(node, units);
        }
    }
    Ok(reported)
}
