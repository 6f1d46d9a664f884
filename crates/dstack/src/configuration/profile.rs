//! Profile properties: where and how a run is placed, retried and ended. Part of every run's configuration, and of
//! `profiles.yml` files.

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read, Value};
use crate::values::{Cron, Duration, EntityReference, IdleDuration, InstanceSelector, OffDuration, Tags, words};

words! {
    /// A kind of provider.
    BackendType {
        /// AMD Developer Cloud.
        AmdDevCloud = "amddevcloud",
        /// Amazon Web Services.
        Aws = "aws",
        /// Microsoft Azure.
        Azure = "azure",
        /// CloudRift.
        CloudRift = "cloudrift",
        /// Crusoe.
        Crusoe = "crusoe",
        /// Cudo.
        Cudo = "cudo",
        /// DataCrunch, now Verda.
        DataCrunch = "datacrunch",
        /// Daytona.
        Daytona = "daytona",
        /// DigitalOcean.
        DigitalOcean = "digitalocean",
        /// dstack Sky.
        Dstack = "dstack",
        /// Google Cloud.
        Gcp = "gcp",
        /// Hot Aisle.
        HotAisle = "hotaisle",
        /// JarvisLabs.
        JarvisLabs = "jarvislabs",
        /// Kubernetes.
        Kubernetes = "kubernetes",
        /// Lambda.
        Lambda = "lambda",
        /// Lium.
        Lium = "lium",
        /// Hosts reached by SSH.
        Remote = "remote",
        /// Nebius.
        Nebius = "nebius",
        /// Oracle Cloud.
        Oci = "oci",
        /// Runpod.
        Runpod = "runpod",
        /// Seeweb.
        Seeweb = "seeweb",
        /// TensorDock.
        TensorDock = "tensordock",
        /// Vast.ai.
        VastAi = "vastai",
        /// Verda.
        Verda = "verda",
        /// Vultr.
        Vultr = "vultr",
        /// A Slurm cluster.
        Slurm = "slurm",
    }
}

words! {
    /// Whether interruptible instances are used.
    SpotPolicy {
        /// Only those.
        Spot = "spot",
        /// Never.
        OnDemand = "on-demand",
        /// Either.
        Auto = "auto",
    }
}

words! {
    /// Whether new instances may be made.
    CreationPolicy {
        /// Only existing ones are used.
        Reuse = "reuse",
        /// New ones are made where needed.
        ReuseOrCreate = "reuse-or-create",
    }
}

words! {
    /// In what order the nodes of a run start.
    StartupOrder {
        /// No order.
        Any = "any",
        /// The master before the others.
        MasterFirst = "master-first",
        /// The master last.
        WorkersFirst = "workers-first",
    }
}

words! {
    /// When a run of several nodes is over.
    StopCriteria {
        /// When all nodes are done.
        AllDone = "all-done",
        /// When the master is done.
        MasterDone = "master-done",
    }
}

words! {
    /// What a run is started again for.
    RetryEvent {
        /// There was no room for it.
        NoCapacity = "no-capacity",
        /// Its instance was taken away.
        Interruption = "interruption",
        /// It failed.
        Error = "error",
    }
}

words! {
    /// Order in which offers of Vast.ai are tried.
    OfferOrder {
        /// Best score first.
        Score = "score",
        /// Cheapest first.
        Price = "price",
    }
}

/// When a run is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Retry {
    /// `true`: for all events, within an hour. `false`: never.
    Switch(bool),
    /// For some events, or for some time.
    Policy {
        /// For these; `None` for all.
        #[serde(skip_serializing_if = "Option::is_none")]
        on_events: Option<Vec<RetryEvent>>,
        /// For so long; `None` for an hour.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration: Option<Duration>,
    },
}

/// How long retries go on where nothing is said.
const RETRY_DURATION_DEFAULT: Duration = Duration(3600);

impl Retry {
    /// The events and the time; `None` when nothing is retried.
    pub fn terms(&self) -> Option<(Vec<RetryEvent>, Duration)> {
        let all = vec![RetryEvent::NoCapacity, RetryEvent::Interruption, RetryEvent::Error];
        match self {
            Retry::Switch(false) => None,
            Retry::Switch(true) => Some((all, RETRY_DURATION_DEFAULT)),
            Retry::Policy { on_events, duration } => {
                Some((on_events.clone().unwrap_or(all), duration.unwrap_or(RETRY_DURATION_DEFAULT)))
            }
        }
    }
}

impl Read for Retry {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        if !matches!(node.value, Value::Map(_)) {
            return bool::read(node, path)
                .map(Retry::Switch)
                .map_err(|_| node.unexpected(path, "true, false or a mapping"));
        }
        let mut fields = Fields::open(node, path)?;
        let on_events: Option<Vec<RetryEvent>> = fields.optional("on_events");
        if on_events.as_ref().is_some_and(Vec::is_empty) {
            fields.problem("on_events", "is empty");
        }
        let duration = fields.optional("duration");
        fields.finish(Some(Retry::Policy { on_events, duration }))
    }
}

/// When a run is ended for doing too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UtilizationPolicy {
    /// Percent below which a GPU counts as idle.
    pub min_gpu_utilization: u32,
    /// For how long.
    pub time_window: Duration,
}

impl Read for UtilizationPolicy {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let percent: Option<u32> = fields.required("min_gpu_utilization");
        if percent.is_some_and(|percent| percent > 100) {
            fields.problem("min_gpu_utilization", "is a percentage, 0 to 100");
        }
        let window: Option<Duration> = fields.required("time_window");
        if window.is_some_and(|window| window < Duration(300)) {
            fields.problem("time_window", "must be 5m or longer");
        }
        let pair = percent.zip(window);
        fields.finish(
            pair.map(|(min_gpu_utilization, time_window)| UtilizationPolicy { min_gpu_utilization, time_window }),
        )
    }
}

/// Times at which a run starts, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// Any of these; at least one.
    pub cron: Vec<Cron>,
}

impl Read for Schedule {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let lines = fields.node("cron").map(|cron| match cron.value {
            Value::List(_) => Vec::<Cron>::read(cron, &Path::Property(path, "cron")),
            _ => Cron::read(cron, &Path::Property(path, "cron")).map(|line| vec![line]),
        });
        let cron = match lines {
            Some(lines) => fields.take(lines),
            None => {
                fields.problem("cron", "is required");
                None
            }
        };
        if cron.as_ref().is_some_and(Vec::is_empty) {
            fields.problem("cron", "is empty");
        }
        fields.finish(cron.map(|cron| Schedule { cron }))
    }
}

/// Options of one provider; only Vast.ai has any.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename = "vastai")]
pub struct BackendOptions {
    /// Order of offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer_order: Option<OfferOrder>,
    /// Least reliability, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_reliability: Option<f64>,
    /// Least score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<u32>,
}

impl Read for BackendOptions {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        if fields.or("type", "vastai".to_owned()) != "vastai" {
            fields.problem("type", "only vastai has options");
        }
        let options = BackendOptions {
            offer_order: fields.optional("offer_order"),
            min_reliability: fields.optional("min_reliability"),
            min_score: fields.optional("min_score"),
        };
        if options.min_reliability.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            fields.problem("min_reliability", "goes from 0 to 1");
        }
        fields.finish(Some(options))
    }
}

/// Where and how a run is placed, retried and ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Profile {
    /// Providers to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<Vec<BackendType>>,
    /// Regions to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// Availability zones to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zones: Option<Vec<String>>,
    /// Kinds of instances to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_types: Option<Vec<String>>,
    /// Reservation at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    /// Whether interruptible instances are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_policy: Option<SpotPolicy>,
    /// When it is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long it may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<OffDuration>,
    /// How long it has to stop by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_duration: Option<OffDuration>,
    /// Highest price in dollars an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<f64>,
    /// Whether new instances may be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_policy: Option<CreationPolicy>,
    /// How long an idle instance is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_duration: Option<IdleDuration>,
    /// When it is ended for doing too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization_policy: Option<UtilizationPolicy>,
    /// In what order its nodes start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_order: Option<StartupOrder>,
    /// When it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_criteria: Option<StopCriteria>,
    /// When it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Fleets it may run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleets: Option<Vec<EntityReference>>,
    /// Instances it may run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<InstanceSelector>>,
    /// Tags for the provider's resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Options of providers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_options: Option<Vec<BackendOptions>>,
}

impl Profile {
    /// Takes the profile properties out of a mapping that has others too.
    pub(crate) fn take(fields: &mut Fields<'_>) -> Profile {
        let profile = Profile {
            backends: fields.optional("backends"),
            regions: fields.optional("regions"),
            availability_zones: fields.optional("availability_zones"),
            instance_types: fields.optional("instance_types"),
            reservation: fields.optional("reservation"),
            spot_policy: fields.optional("spot_policy"),
            retry: fields.optional("retry"),
            max_duration: fields.optional_with("max_duration", OffDuration::read_optional),
            stop_duration: fields.optional_with("stop_duration", OffDuration::read_optional),
            max_price: fields.optional("max_price"),
            creation_policy: fields.optional("creation_policy"),
            idle_duration: fields.optional_with("idle_duration", IdleDuration::read_optional),
            utilization_policy: fields.optional("utilization_policy"),
            startup_order: fields.optional("startup_order"),
            stop_criteria: fields.optional("stop_criteria"),
            schedule: fields.optional("schedule"),
            fleets: fields.optional("fleets"),
            instances: fields.optional("instances"),
            tags: fields.optional("tags"),
            backend_options: fields.optional("backend_options"),
        };
        if profile.max_price.is_some_and(|price| price <= 0.0) {
            fields.problem("max_price", "must be more than 0");
        }
        if profile.instances.as_ref().is_some_and(Vec::is_empty) {
            fields.problem("instances", "is empty");
        }
        if profile.backend_options.as_ref().is_some_and(|options| options.len() > 1) {
            fields.problem("backend_options", "has more than one entry for vastai");
        }
        profile
    }

    /// This profile with the gaps filled from `other`: what a configuration says wins over its profile.
    #[must_use]
    pub fn or(self, other: Profile) -> Profile {
        Profile {
            backends: self.backends.or(other.backends),
            regions: self.regions.or(other.regions),
            availability_zones: self.availability_zones.or(other.availability_zones),
            instance_types: self.instance_types.or(other.instance_types),
            reservation: self.reservation.or(other.reservation),
            spot_policy: self.spot_policy.or(other.spot_policy),
            retry: self.retry.or(other.retry),
            max_duration: self.max_duration.or(other.max_duration),
            stop_duration: self.stop_duration.or(other.stop_duration),
            max_price: self.max_price.or(other.max_price),
            creation_policy: self.creation_policy.or(other.creation_policy),
            idle_duration: self.idle_duration.or(other.idle_duration),
            utilization_policy: self.utilization_policy.or(other.utilization_policy),
            startup_order: self.startup_order.or(other.startup_order),
            stop_criteria: self.stop_criteria.or(other.stop_criteria),
            schedule: self.schedule.or(other.schedule),
            fleets: self.fleets.or(other.fleets),
            instances: self.instances.or(other.instances),
            tags: self.tags.or(other.tags),
            backend_options: self.backend_options.or(other.backend_options),
        }
    }
}

/// A `profiles.yml` file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProfilesFile {
    profiles: Vec<(String, bool, Profile)>,
}

impl ProfilesFile {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it, with line and column.
    pub fn from_yaml(text: &str) -> Result<ProfilesFile, Problems> {
        let root = crate::document::from_yaml(text)?;
        let mut fields = Fields::open(&root, &Path::Root)?;
        let profiles = fields.required("profiles");
        fields.finish(profiles.map(|named: Vec<Named>| ProfilesFile {
            profiles: named.into_iter().map(|named| (named.name, named.default, named.profile)).collect(),
        }))
    }

    /// The profile of that name.
    pub fn named(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|(known, _, _)| known == name).map(|(_, _, profile)| profile)
    }

    /// The profile with `default: true`.
    pub fn default_profile(&self) -> Option<&Profile> {
        self.profiles.iter().find(|(_, default, _)| *default).map(|(_, _, profile)| profile)
    }
}

struct Named {
    name: String,
    default: bool,
    profile: Profile,
}

impl Read for Named {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let named = Named {
            name: fields.or_default("name"),
            default: fields.or_default("default"),
            profile: Profile::take(&mut fields),
        };
        fields.finish(Some(named))
    }
}
