//! From an order of the controller to a unit for the supervisor.

mod binding;
mod confine;
mod context;
mod environment;
mod hook;
mod main_unit;
mod mpi;
mod space;
mod step;
mod streams;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use muster_model::container::{ContainerRequest, OciSettings};
use muster_model::hooks::NodeHooks;
use muster_model::ids::{BlobId, Name, NodeIndex, StepId};
use muster_model::job::{Job, JobKind};
use muster_model::resources::NodeShare;
use muster_model::state::JobState;
use muster_model::step::{Step, StepLaunch, StepNode};
use muster_proto::document::{self, DocumentError};
use muster_proto::{self as wire, NodeAddress};
use muster_runtime::pmix::Settings as PmixSettings;
use muster_runtime::space::JobSpace;
use muster_runtime::unit::{BundleLaunch, LaunchUnit, TaskHooks, UnitKey, UnitUser, UnkillableRule};
use muster_slurm::conf::{MeasureSettings, PyxisSettings, task_seconds};
use muster_slurm::environment::{GpuFacts, LaunchFacts, NodeFacts, unkillable_environment};

pub(crate) use self::binding::Binding;
pub(crate) use self::confine::{Rules, energy_source};
pub(crate) use self::context::{Context, Contexts};
pub(crate) use self::space::of_site as space_of_site;
use crate::outputs::Record;
use crate::users::Login;

/// An order, read.
#[derive(Debug, PartialEq)]
pub(crate) struct Launch {
    /// Its number.
    pub(crate) sequence: u64,
    /// The job with its specification and allocation.
    pub(crate) job: Job,
    /// The step; `None` for the main unit.
    pub(crate) step: Option<Step>,
    /// Nodes of the job in the order of its allocation.
    pub(crate) nodes: Vec<NodeAddress>,
    /// All components of a heterogeneous job, for its main unit.
    pub(crate) components: Vec<Job>,
    /// Name of the cluster.
    pub(crate) cluster_name: String,
    /// Host and port of the controller; port 0 when it did not say.
    pub(crate) controller: (String, u16),
    /// What the site has run around it.
    pub(crate) hooks: NodeHooks,
}

/// What of the agent's own matters to a launch.
#[derive(Debug)]
pub(crate) struct Site {
    /// Name of this node.
    pub(crate) node_name: String,
    /// How tasks are bound to CPUs.
    pub(crate) binding: Binding,
    /// What control groups hold tasks to.
    pub(crate) rules: Rules,
    /// What each job has to itself.
    pub(crate) space: JobSpace,
    /// Where output of tasks of runs goes.
    pub(crate) logs: PathBuf,
    /// Where prologs and epilogs leave what they print.
    pub(crate) hook_outputs: PathBuf,
    /// Path of `slurm.conf`, told to jobs.
    pub(crate) slurm_conf: Option<String>,
    /// How bundles of OCI containers are run; `None` where `--container` is only remembered, as without an `oci.conf`.
    pub(crate) oci: Option<OciSettings>,
    /// What it says of containers of images.
    pub(crate) pyxis: PyxisSettings,
    /// What it says of PMIx.
    pub(crate) pmix: PmixSettings,
    /// Whether and how often it is measured what tasks use.
    pub(crate) measure: MeasureSettings,
    /// What processes are told of the GPUs of this node.
    pub(crate) gpus: GpuFacts,
}

impl Site {
    /// How the bundle at `path` is run for a unit of `launch`, in a container that is called `id`.
    fn bundle(&self, path: &str, id: Option<&str>, launch: &Launch) -> Option<Box<BundleLaunch>> {
        Some(Box::new(BundleLaunch {
            path: path.to_owned(),
            id: id.map(str::to_owned),
            settings: self.oci.clone()?,
            node_name: self.node_name.clone(),
            user_name: launch.job.spec.identity.user.to_string(),
        }))
    }

    /// The container of an image that `asked` wants, as it is on this node.
    fn container(&self, asked: Option<&ContainerRequest>) -> Option<Box<ContainerRequest>> {
        let mut request = asked?.clone();
        request.name.iter_mut().for_each(|name| name.scope = self.pyxis.scope);
        // The runner has a way of its own to start what it is told.
        request.entrypoint |= self.pyxis.entrypoint && !request.no_entrypoint && request.runner.is_none();
        Some(Box::new(request))
    }
}

/// What the node knows of the user of a job.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: UnitUser,
    /// For environments that are to be filled up with what a login sets.
    pub(crate) login: Option<Login>,
}

/// A unit that is ready, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) unit: LaunchUnit,
    /// Name of the environment that the supervisor has to be given, and what is left out of the context's.
    pub(crate) environment: Option<(BlobId, Vec<&'static str>)>,
    /// Where the output of a main unit goes.
    pub(crate) record: Option<Record>,
}

/// Why a unit cannot be made of an order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The order contradicts itself; a bug, or another version.
    #[error("the order to start it makes no sense: {0}")]
    Senseless(&'static str),
    /// This node cannot do its part.
    #[error("{0}")]
    Node(String),
}

impl Launch {
    /// Reads an order.
    pub(crate) fn decode(message: wire::Launch) -> Result<Launch, DocumentError> {
        let step = match message.step_json.is_empty() {
            true => None,
            false => Some(document::decode(&message.step_json, "the step of a launch")?),
        };
        let components = message.components_json.iter();
        let components = components.map(|json| document::decode(json, "a component of the job of a launch"));
        let components = components.collect::<Result<_, _>>()?;
        let hooks = match message.hooks_json.is_empty() {
            true => NodeHooks::default(),
            false => document::decode(&message.hooks_json, "the prolog and epilog of a launch")?,
        };
        Ok(Launch {
            hooks,
            sequence: message.launch_sequence,
            job: document::decode(&message.job_json, "the job of a launch")?,
            step,
            nodes: message.nodes,
            components,
            cluster_name: message.cluster_name,
            controller: (message.controller_host, u16::try_from(message.controller_port).unwrap_or(0)),
        })
    }

    /// Which unit.
    pub(crate) fn key(&self) -> UnitKey {
        let (step, restart) = match &self.step {
            Some(step) => (step.step_id, step.restart),
            None => (StepId::Batch, self.job.restart),
        };
        UnitKey { job_id: self.job.id, restart, step }
    }

    /// Whether nothing of the job is to be started here after this unit: it is the only main unit of the job.
    pub(crate) fn ends_job(&self) -> bool {
        // With an epilog the controller says when the job is to be cleaned.
        self.step.is_none()
            && self.hooks.epilog.is_none()
            && match self.job.spec.kind {
                JobKind::Batch => true,
                // A script on another node may still make steps here.
                JobKind::EveryNode => self.nodes.len() == 1,
                JobKind::Allocation => false,
            }
    }

    /// The unit without which it must not be started.
    fn prolog(&self) -> Option<UnitKey> {
        self.hooks.prolog.is_some().then(|| UnitKey { step: StepId::Prolog, ..self.key() })
    }

    /// What is run around each of its tasks: the site's first before them and last after them, as in Slurm.
    fn task_hooks(&self) -> TaskHooks {
        let how = self.step.as_ref().and_then(|step| step.launch.as_deref());
        let site = |hook: &Option<Name>| hook.as_ref().map(ToString::to_string);
        let own = |hook: fn(&StepLaunch) -> &Option<String>| how.and_then(|how| hook(how).clone());
        let prologs = [site(&self.hooks.task_prolog), own(|how| &how.task_prolog)];
        let epilogs = [own(|how| &how.task_epilog), site(&self.hooks.task_epilog)];
        TaskHooks { prologs: prologs.into_iter().flatten().collect(), epilogs: epilogs.into_iter().flatten().collect() }
    }

    /// What is done about processes of the unit `key` that outlive KILL.
    fn unkillable(&self, key: UnitKey, site: &Site) -> Option<Box<UnkillableRule>> {
        let rule = UnkillableRule { node_name: site.node_name.clone(), ..UnkillableRule::default() };
        let after = self.hooks.unkillable_after.and_then(|after| u64::try_from(after.0).ok());
        let program = self.hooks.unkillable.as_ref().map(ToString::to_string);
        let variables = program.iter().flat_map(|_| unkillable_environment(key.job_id, key.step));
        let variables = environment::lines(variables.collect());
        Some(Box::new(UnkillableRule { after_ms: after.unwrap_or(rule.after_ms), program, variables, ..rule }))
    }

    /// How often it is measured what its tasks use: as the step, else the job, else the site wants it.
    fn measure_ms(&self, site: &Site) -> Option<u64> {
        let of_step = self.step.as_ref().and_then(|step| step.launch.as_deref()).and_then(|how| how.measure_seconds);
        let rare = self.job.spec.rare.iter().flat_map(|rare| &rare.others);
        let of_job = || rare.clone().find(|(name, _)| **name == *"acctg-freq").and_then(|(_, text)| task_seconds(text));
        let seconds = of_step.or_else(of_job).unwrap_or(site.measure.seconds);
        site.measure.is_on.then_some(u64::from(seconds) * 1000)
    }

    /// Whether its job is suspended: it is to stand from the first moment.
    pub(crate) fn stands(&self) -> bool {
        self.job.state == JobState::Suspended
    }

    /// Script and execution context that must be here first.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &BlobId> {
        let spec = self.step.is_none().then_some(&self.job.spec);
        spec.into_iter().flat_map(|spec| spec.script.iter().chain(&spec.context))
    }

    /// Ranks of its tasks on the node named so.
    pub(crate) fn ranks(&self, node_name: &str) -> Vec<u32> {
        match self.step_node(node_name) {
            Some((_, node)) => node.ranks.clone(),
            None => vec![0],
        }
    }

    /// Whether this node is the one that speaks for the unit: the first of a step, any of a main unit.
    pub(crate) fn is_first_node(&self, node_name: &str) -> bool {
        self.step_node(node_name).is_none_or(|(position, _)| position == 0)
    }

    /// Position within the nodes of the job.
    fn node_position(&self, node_name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == node_name)
    }

    /// What the job holds here.
    fn share(&self, node_name: &str) -> Option<&NodeShare> {
        let index = self.nodes.get(self.node_position(node_name)?)?.index;
        self.job.allocation.as_ref()?.shares.iter().find(|share| share.node.0 == index)
    }

    /// The name of a node of the job.
    fn name_of(&self, index: NodeIndex) -> Option<&str> {
        self.nodes.iter().find(|node| node.index == index.0).map(|node| node.name.as_str())
    }

    /// What the step has here, and at which position among its nodes.
    fn step_node(&self, node_name: &str) -> Option<(usize, &StepNode)> {
        let index = self.nodes.get(self.node_position(node_name)?)?.index;
        let layout = &self.step.as_ref()?.layout;
        layout.iter().enumerate().find(|(_, node)| node.node.0 == index)
    }
}

/// Makes the unit `key`, which is that of the order or a hook around it. `context` is that of the job; of no use for a step.
pub(crate) fn prepare(
    key: UnitKey,
    launch: &Launch,
    site: &Site,
    caller: Caller,
    context: &Context,
) -> Result<Prepared, LaunchError> {
    let position =
        launch.node_position(&site.node_name).ok_or(LaunchError::Senseless("this node is not one of its nodes"))?;
    let nodes: Vec<NodeFacts<'_>> = launch
        .nodes
        .iter()
        .map(|node| NodeFacts {
            index: NodeIndex(node.index),
            name: &node.name,
            address: &node.address,
            topology: Some((node.topology_address.as_str(), node.topology_pattern.as_str()))
                .filter(|(address, _)| !address.is_empty()),
        })
        .collect();
    let facts = LaunchFacts {
        components: &launch.components,
        job: &launch.job,
        cluster_name: &launch.cluster_name,
        controller: Some((launch.controller.0.as_str(), launch.controller.1)).filter(|(_, port)| *port > 0),
        nodes: &nodes,
        here: nodes.get(position).map_or(NodeIndex(0), |node| node.index),
        slurm_conf: site.slurm_conf.as_deref(),
        gpus: &site.gpus,
    };
    match &launch.step {
        _ if key.step.is_hook() => hook::prepare(key, launch, &facts, site),
        None => main_unit::prepare(launch, &facts, site, caller, context),
        Some(step) => step::prepare(launch, &facts, step, site, caller),
    }
}
