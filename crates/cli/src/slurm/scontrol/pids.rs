//! `scontrol listpids` and `scontrol pidinfo`: the nodes of this machine tell this command straight of their processes.

use muster_client::{Client, ClientError};
use muster_model::ids::JobId;
use muster_slurm::output::Outcome;
use muster_slurm::output::scontrol::{Pids, Told};
use muster_slurm::output::sstat::Reported;

use super::super::ask::{Call, ask_with, failure};
use super::super::sstat;
use super::super::surroundings::Gathered;

/// Asks the nodes, and tells.
pub(super) async fn tell(wanted: &Pids, call: &Call) -> Outcome {
    match gather(wanted, call).await {
        Ok(outcome) => outcome,
        Err(error) => match error.downcast::<ClientError>() {
            Ok(error) => failure("scontrol", "slurm_load_jobs error", &error),
            Err(error) => Outcome::failure(format!("scontrol: error: {error:#}\n"), 1),
        },
    }
}

async fn gather(wanted: &Pids, call: &Call) -> anyhow::Result<Outcome> {
    let host = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    let client = Client::connect().await?;
    let answers = ask_with(&client, Pids::queries()).await?;
    let (jobs, nodes) = wanted.jobs(&answers, host.split('.').next().unwrap_or_default());
    let ids = jobs.iter().map(|job| job.id).collect();
    let client_host = Gathered::new("scontrol", Vec::new()).client_host();
    let mut told = Told::new();
    for (job_id, reported) in sstat::reports(&client, ids, &client_host).await? {
        // Of the jobs of others only root hears.
        let Reported::Nodes(units) = reported else { continue };
        let here = units.into_iter().filter(|(node, _)| nodes.contains(node));
        told.extend(here.filter_map(|(node, units)| Some(((JobId(job_id.0), node), units?))));
    }
    Ok(wanted.render(&jobs, &told, &call.context))
}
