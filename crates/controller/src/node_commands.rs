//! From decisions of the core to messages for an agent, with the scripts and environments they need.

use std::sync::Arc;

use jiff::tz::TimeZone;
use muster_core::NodeCommand;
use muster_core::effect::{EndCause, SignalScope};
use muster_model::ids::{BlobId, JobId, NodeIndex, RestartCount, StepId};
use muster_model::job::Job;
use muster_model::step::Step;
use muster_model::time::Timestamp;
use muster_proto::document::encode;
use muster_proto::{self as wire, signal_unit, to_agent};
use tokio::sync::mpsc;
use tracing::error;

use crate::blobs::Blobs;
use crate::clock;
use crate::outbox::{Order, Outgoing, Parcel, Target};
use crate::published::Published;
use crate::sink::Sink;

/// Turns decisions into messages for one connection.
pub(crate) struct Writer {
    pub published: Published,
    pub blobs: Arc<Blobs>,
    pub host: Arc<str>,
    pub port: u16,
    pub sink: Sink,
}

impl Writer {
    /// Runs until the connection or the controller ends.
    pub(crate) async fn run(self, mut parcels: mpsc::UnboundedReceiver<Parcel>) {
        while let Some(parcel) = parcels.recv().await {
            if self.deliver(&parcel).await.is_err() {
                return;
            }
        }
    }

    async fn deliver(&self, parcel: &Parcel) -> Result<(), ()> {
        let targets = parcel.targets();
        match parcel.outgoing() {
            Outgoing::Ready(message) => self.sink.write(targets, message.clone()).await,
            Outgoing::Part(status) => self.sink.part(targets, status).await,
            Outgoing::Blob(id) => {
                for target in targets {
                    target.recipient.note_blob(id);
                }
                self.write_blob(id, targets).await
            }
            Outgoing::Command(order) => match &order.command {
                NodeCommand::Launch { .. } => self.launch(order, targets).await,
                // What a job had on its nodes differs, and its epilogs are told.
                NodeCommand::Clean { step: None, .. } if self.has_epilog() => {
                    for target in targets {
                        self.write_command(std::slice::from_ref(target), &order.command, target.node).await?;
                    }
                    Ok(())
                }
                command => match targets.first() {
                    Some(first) => self.write_command(targets, command, first.node).await,
                    None => Ok(()),
                },
            },
        }
    }

    /// Sends a command other than a launch, in the words for `node`.
    async fn write_command(&self, targets: &[Target], command: &NodeCommand, node: NodeIndex) -> Result<(), ()> {
        match self.message(command, node) {
            Some(message) => self.sink.write(targets, message).await,
            None => Ok(()),
        }
    }

    async fn write_blob(&self, id: &BlobId, targets: &[Target]) -> Result<(), ()> {
        let blobs = self.blobs.clone();
        let wanted = id.clone();
        let found = tokio::task::spawn_blocking(move || blobs.get(&wanted)).await;
        match found {
            Ok(Ok(Some(content))) => {
                let blob = wire::Blob { id: id.0.to_string(), content: content.to_vec().into() };
                self.sink.write(targets, to_agent::Message::Blob(blob)).await
            }
            Ok(Ok(None)) => {
                error!(id = &*id.0, "a job refers to a script or environment that is not in the store");
                Ok(())
            }
            Ok(Err(problem)) => {
                error!(id = &*id.0, "cannot read a script or environment from the store: {problem}");
                Ok(())
            }
            Err(_) => Err(()),
        }
    }

    async fn launch(&self, order: &Order, targets: &[Target]) -> Result<(), ()> {
        let NodeCommand::Launch { job, step, components, .. } = &order.command else { return Ok(()) };
        if step.is_none() {
            for id in [&job.spec.script, &job.spec.context].into_iter().flatten() {
                let lacking = |target: &&Target| target.recipient.note_blob(id);
                let lacking: Vec<Target> = targets.iter().filter(lacking).cloned().collect();
                if !lacking.is_empty() {
                    self.write_blob(id, &lacking).await?;
                }
            }
        }
        let launch = order.launch.get_or_init(|| wire::Launch {
            components_json: components.iter().map(|job| encode(&**job).into()).collect(),
            ..self.launch_message(job, step.as_deref())
        });
        self.sink.write(targets, to_agent::Message::Launch(launch.clone())).await
    }

    /// The launch for any node; its number there is filled in when it is sent.
    fn launch_message(&self, job: &Job, step: Option<&Step>) -> wire::Launch {
        let view = self.published.view();
        let held = job.allocation.iter().flat_map(|allocation| &allocation.shares);
        let nodes = held.filter_map(|share| {
            let node = view.nodes.get(share.node.0 as usize)?;
            let (name, address) = (node.config.name.to_string(), node.config.address.to_string());
            let topology = view.config.topology.as_ref().map(|topology| topology.address(share.node, &name));
            let (topology_address, topology_pattern) = topology.unwrap_or_default();
            Some(wire::NodeAddress { index: share.node.0, name, address, topology_address, topology_pattern })
        });
        wire::Launch {
            launch_sequence: 0,
            job_json: encode(job).into(),
            step_json: step.map(encode).unwrap_or_default().into(),
            components_json: Vec::new(),
            nodes: nodes.collect(),
            cluster_name: view.config.cluster_name.to_string(),
            controller_host: self.host.to_string(),
            controller_port: self.port.into(),
            kill_wait_ms: u32::try_from(view.config.kill_wait.0).unwrap_or(u32::MAX),
            hooks_json: Some(&view.config.hooks.node)
                .filter(|hooks| !hooks.is_empty())
                .map(encode)
                .unwrap_or_default()
                .into(),
        }
    }

    fn message(&self, command: &NodeCommand, node: NodeIndex) -> Option<to_agent::Message> {
        Some(match *command {
            // Needs contents to be sent first; see `launch`.
            NodeCommand::Launch { .. } => return None,
            NodeCommand::Signal { job_id, restart, step, signal, scope } => {
                to_agent::Message::Signal(wire::SignalUnit {
                    job_id: job_id.0,
                    restart: restart.0,
                    step: step_text(step),
                    signal: signal.into(),
                    scope: match scope {
                        SignalScope::Steps => signal_unit::Scope::Steps,
                        SignalScope::Batch => signal_unit::Scope::Batch,
                        SignalScope::All => signal_unit::Scope::All,
                    }
                    .into(),
                })
            }
            NodeCommand::Clean { job_id, restart, step, kill_wait_ms, cause } => {
                to_agent::Message::CleanJob(wire::CleanJob {
                    job_id: job_id.0,
                    restart: restart.0,
                    step: step_text(step),
                    kill_wait_ms,
                    message: cause.map(|cause| self.farewell(job_id, restart, step, cause)).unwrap_or_default(),
                    epilog: if step.is_none() { self.epilog(job_id, restart, node).map(Box::new) } else { None },
                })
            }
            NodeCommand::Reconfigure => to_agent::Message::Reconfigure(wire::Reconfigure {}),
            NodeCommand::Pause { job_id, restart, resume } => {
                to_agent::Message::Pause(wire::Pause { job_id: job_id.0, restart: restart.0, resume })
            }
            NodeCommand::Say { job_id, restart, ref text } => to_agent::Message::Say(wire::Say {
                job_id: job_id.0,
                restart: restart.0,
                line: format!("slurmstepd: error: {text}"),
            }),
            NodeCommand::Acknowledge(ref key) => to_agent::Message::Acknowledge(wire::UnitKey {
                job_id: key.job_id.0,
                restart: key.restart.0,
                step: key.step.to_string(),
            }),
        })
    }

    /// The job as its epilog is to see it, where the site has one. Of a job that nobody remembers nothing can be told.
    fn epilog(&self, job_id: JobId, restart: RestartCount, node: NodeIndex) -> Option<wire::Launch> {
        let view = self.published.view();
        view.config.hooks.node.epilog.as_ref()?;
        // One that goes back to the queue holds what it had until it is clean.
        let job = Job { restart, ..view.jobs.get(&job_id)?.ending_on(node) };
        Some(self.launch_message(&job, None))
    }

    fn has_epilog(&self) -> bool {
        self.published.view().config.hooks.node.epilog.is_some()
    }

    /// The line that a job finds in its standard error, in Slurm's words.
    fn farewell(&self, job_id: JobId, restart: RestartCount, step: Option<StepId>, cause: EndCause) -> String {
        let view = self.published.view();
        let what = match step {
            Some(step) => format!("STEP {job_id}.{step}"),
            None => format!("JOB {job_id}"),
        };
        let job = view.jobs.get(&job_id).filter(|job| job.restart == restart || job.restart.0 == restart.0 + 1);
        let host =
            job.and_then(|job| job.batch_host.clone()).or_else(|| first_node(&view.nodes, job.map(|job| &**job)));
        let host = host.as_deref().unwrap_or("unknown");
        let due_to = match cause {
            EndCause::Cancelled => "",
            EndCause::TimeLimit => " DUE TO TIME LIMIT",
            EndCause::Requeue => " DUE TO JOB REQUEUE",
            EndCause::NodeFailure => " DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS",
            EndCause::Preemption => " DUE TO PREEMPTION",
        };
        format!("slurmstepd: error: *** {what} ON {host} CANCELLED AT {}{due_to} ***", local_time(clock::now()))
    }
}

fn first_node(
    nodes: &imbl::Vector<Arc<muster_model::node::Node>>,
    job: Option<&Job>,
) -> Option<muster_model::ids::Name> {
    let first: NodeIndex = job?.allocation.as_ref()?.shares.first()?.node;
    nodes.get(first.0 as usize).map(|node| node.name().clone())
}

fn step_text(step: Option<StepId>) -> String {
    step.map(|step| step.to_string()).unwrap_or_default()
}

/// `YYYY-MM-DDTHH:MM:SS` in the time zone of the machine.
fn local_time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S").to_string())
        .unwrap_or_default()
}
