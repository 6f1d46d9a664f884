//! Launches on their way: those that wait for a script, and those that the supervisor has not confirmed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_model::ids::{BlobId, Identity};
use muster_proto as wire;
use muster_runtime::space::JobSpace;
use muster_runtime::unit::{LaunchUnit, UnitKey, UnitUser};

use crate::blobs::Blobs;
use crate::launch::{self, Binding, Caller, Context, Contexts, Launch, LaunchError, Rules, Site};
use crate::options::AgentOptions;
use crate::outputs::Record;
use crate::report;
use crate::spool::Spool;
use crate::users::Users;

/// How long a launch waits for its script. The controller has it; only a broken store keeps it from coming.
const CONTENT_WAIT: Duration = Duration::from_secs(120);

/// Names of contents that the supervisor was given are remembered up to this number. It has room for fewer.
const GIVEN_MAX: usize = 100_000;

/// How often a launch is given again to a supervisor that lacks what was just put there. More often means that its
/// room is too small for it.
const REFUSALS_MAX: u32 = 5;

/// A unit with what has to go to the supervisor before it.
pub(super) struct Ready {
    pub(super) unit: Box<LaunchUnit>,
    pub(super) contents: Vec<(BlobId, Arc<[u8]>)>,
    pub(super) record: Option<Record>,
}

/// How far a launch has come.
pub(super) enum Readiness {
    Ready(Ready),
    /// These were not asked for before.
    Waiting(Vec<wire::BlobRequest>),
    Hopeless(Box<wire::UnitEnded>),
}

pub(super) struct Launches {
    site: Site,
    blobs: Blobs,
    contexts: Contexts,
    users: Users,
    /// Contents that the supervisor has, as far as known.
    given: HashSet<BlobId>,
    waiting: BTreeMap<UnitKey, Waiting>,
    /// Sent to the supervisor, not yet confirmed.
    launched: HashMap<UnitKey, Arc<Launch>>,
    /// How often the supervisor lacked a content for a launch.
    refusals: HashMap<UnitKey, u32>,
    /// Steps that began on another node; of others nothing is known here.
    begun_elsewhere: HashSet<UnitKey>,
}

struct Waiting {
    launch: Arc<Launch>,
    missing: HashSet<BlobId>,
    until: Instant,
}

impl Launches {
    pub(super) fn open(options: &AgentOptions, spool: &Spool) -> Launches {
        Launches {
            site: site(options, spool),
            blobs: Blobs::open(spool.dir()),
            contexts: Contexts::default(),
            users: Users::default(),
            given: HashSet::new(),
            waiting: BTreeMap::new(),
            launched: HashMap::new(),
            refusals: HashMap::new(),
            begun_elsewhere: HashSet::new(),
        }
    }

    /// From now on launches are made by these options; those under way stay as they are.
    pub(super) fn go_by(&mut self, options: &AgentOptions, spool: &Spool) {
        self.site = site(options, spool);
    }

    /// Makes a unit of an order, if all it needs is here.
    pub(super) fn prepare(&mut self, key: UnitKey, launch: Arc<Launch>) -> Readiness {
        let missing: HashSet<BlobId> = match key.step.is_hook() {
            true => HashSet::new(),
            false => launch.contents().filter(|id| self.blobs.get(id).is_none()).cloned().collect(),
        };
        if !missing.is_empty() {
            let wanted = self.not_yet_asked(&missing).map(|id| request(id, key)).collect();
            let until = Instant::now() + CONTENT_WAIT;
            self.waiting.insert(key, Waiting { launch, missing, until });
            return Readiness::Waiting(wanted);
        }
        match self.make(key, &launch) {
            Ok(ready) => {
                if !launch.is_first_node(&self.site.node_name) {
                    self.begun_elsewhere.insert(key);
                }
                self.launched.insert(key, launch);
                Readiness::Ready(ready)
            }
            Err(error) => {
                let node_at_fault = matches!(error, LaunchError::Node(_));
                Readiness::Hopeless(Box::new(report::not_started(key, error.to_string(), node_at_fault)))
            }
        }
    }

    fn make(&mut self, key: UnitKey, launch: &Launch) -> Result<Ready, LaunchError> {
        let spec = &launch.job.spec;
        let context = match &spec.context {
            Some(id) if launch.step.is_none() && !key.step.is_hook() => self.context(id)?,
            _ => Arc::default(),
        };
        let caller = Caller {
            user: self.users.unit_user(&spec.identity),
            login: if context.wants_login { self.users.login(&spec.identity) } else { None },
        };
        let prepared = launch::prepare(key, launch, &self.site, caller, &context)?;
        let mut contents = Vec::new();
        if let Some(id) = &prepared.unit.script
            && self.is_to_be_given(id)
        {
            contents.extend(self.blobs.get(id).map(|content| (id.clone(), content)));
        }
        if let Some((id, removals)) = prepared.environment
            && self.is_to_be_given(&id)
        {
            contents.push((id, context.environment(&removals)));
        }
        Ok(Ready { unit: Box::new(prepared.unit), contents, record: prepared.record })
    }

    /// What each job has to itself here.
    pub(super) fn space(&self) -> &JobSpace {
        &self.site.space
    }

    /// The user as whom the node does something for `identity`.
    pub(super) fn unit_user(&mut self, identity: &Identity) -> UnitUser {
        self.users.unit_user(identity)
    }

    fn context(&mut self, id: &BlobId) -> Result<Arc<Context>, LaunchError> {
        let content = self.blobs.get(id).ok_or(LaunchError::Senseless("its environment is gone"))?;
        self.contexts.read(id, &content).map_err(|error| {
            tracing::error!(%error, source = %error.source, id = &*id.0, "an environment cannot be read");
            LaunchError::Senseless("its environment cannot be read")
        })
    }

    fn is_to_be_given(&mut self, id: &BlobId) -> bool {
        if self.given.len() >= GIVEN_MAX {
            self.given.clear();
        }
        self.given.insert(id.clone())
    }

    fn not_yet_asked<'a>(&'a self, missing: &'a HashSet<BlobId>) -> impl Iterator<Item = &'a BlobId> {
        missing.iter().filter(|id| !self.waiting.values().any(|waiting| waiting.missing.contains(*id)))
    }

    /// All contents that launches wait for.
    pub(super) fn wanted(&self) -> Vec<wire::BlobRequest> {
        let all: BTreeMap<&BlobId, UnitKey> =
            self.waiting.iter().flat_map(|(key, waiting)| waiting.missing.iter().map(move |id| (id, *key))).collect();
        all.into_iter().map(|(id, key)| request(id, key)).collect()
    }

    /// Keeps a content; gives the launches that need not wait any more.
    pub(super) fn content_came(&mut self, id: &BlobId, content: &[u8]) -> Vec<(UnitKey, Arc<Launch>)> {
        self.blobs.put(id, content);
        let mut ready = Vec::new();
        self.waiting.retain(|key, waiting| {
            waiting.missing.remove(id);
            if waiting.missing.is_empty() {
                ready.push((*key, waiting.launch.clone()));
            }
            !waiting.missing.is_empty()
        });
        ready
    }

    /// Takes a launch back that waits still; gives its end.
    pub(super) fn cancel(&mut self, key: &UnitKey) -> Option<wire::UnitEnded> {
        let waiting = self.waiting.remove(key)?;
        Some(report::ended_early(*key, &waiting.launch.ranks(&self.site.node_name)))
    }

    /// Launches that have waited for too long, with their ends.
    pub(super) fn expired(&mut self) -> Vec<(UnitKey, wire::UnitEnded)> {
        let now = Instant::now();
        let expired: Vec<UnitKey> =
            self.waiting.iter().filter(|(_, waiting)| waiting.until <= now).map(|(key, _)| *key).collect();
        let end = |key: UnitKey| {
            self.waiting.remove(&key);
            (key, report::not_started(key, "the controller did not send its script", false))
        };
        expired.into_iter().map(end).collect()
    }

    /// The supervisor has started or refused it, or it has ended.
    pub(super) fn confirmed(&mut self, key: &UnitKey) {
        self.launched.remove(key);
        self.refusals.remove(key);
    }

    /// The supervisor has no content `id` (any more). Gives the launch that needs it, to be tried again; `None` when
    /// that is of no use.
    pub(super) fn lacks_content(&mut self, key: &UnitKey, id: &BlobId) -> Option<Arc<Launch>> {
        self.given.remove(id);
        let refusals = self.refusals.entry(*key).or_default();
        *refusals += 1;
        let launch = self.launched.get(key).filter(|_| *refusals <= REFUSALS_MAX)?;
        Some(launch.clone())
    }

    /// Whether this node says for the unit what is to be said once.
    pub(super) fn is_first_node(&self, key: &UnitKey) -> bool {
        !self.begun_elsewhere.contains(key)
    }

    /// The unit is over and told.
    pub(super) fn forget(&mut self, key: &UnitKey) {
        self.confirmed(key);
        self.begun_elsewhere.remove(key);
    }

    /// Nothing is known of what the supervisor has.
    pub(super) fn supervisor_is_new(&mut self) {
        self.given.clear();
        self.launched.clear();
        self.refusals.clear();
    }
}

/// What launches are made by.
fn site(options: &AgentOptions, spool: &Spool) -> Site {
    Site {
        node_name: options.node_name.clone(),
        binding: Binding::new(options),
        rules: Rules::new(options),
        space: launch::space_of_site(options),
        logs: spool.logs(),
        hook_outputs: spool.hook_outputs(),
        measure: options.measure,
        oci: options.oci.clone(),
        pyxis: options.pyxis,
        pmix: options.pmix.clone(),
        gpus: options.gpu_facts(),
        slurm_conf: options.slurm_conf.as_ref().map(|path| path.to_string_lossy().into_owned()),
    }
}

fn request(id: &BlobId, key: UnitKey) -> wire::BlobRequest {
    wire::BlobRequest { id: id.0.to_string(), job_id: key.job_id.0 }
}
