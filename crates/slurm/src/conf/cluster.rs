//! From lines to the configuration of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_model::accounting::AccountingEnforce;
use muster_model::config::{ClusterConfig, CpuUnit, KeptPartitions, PartitionEnforcement, PlacementRules};
use muster_model::ids::{Name, NodeIndex};
use muster_model::mail::MailConfig;
use muster_model::mcs::{McsConfig, McsPlugin, McsSelect};
use muster_model::node::{InitialState, NodeConfig};
use muster_model::resources::IndexSet;
use muster_model::time::Span;

use super::keys::{self, Taken};
use super::lines::Line;
use super::partitions::{self, Known};
use super::{ConfError, gres_conf, hooks, nodes, preemption, priority, scheduler_words, scheduling, shown, topology};

/// Most nodes of a configuration: far above any cluster, low enough that a typing error cannot fill the memory.
const NODES_MAX: usize = 200_000;

/// The cluster, and what is to be said about parameters that are not acted on.
pub(super) fn read(
    path: &Path,
    lines: &[Line],
    gres: &[Line],
    topology_lines: Option<&[Line]>,
) -> Result<(ClusterConfig, Vec<String>), ConfError> {
    let mut warnings = Vec::new();
    let mut reader = Reader::new(path, lines);
    for line in lines {
        reader.check_parameters(line, &mut warnings)?;
    }
    let mut config = reader.parameters()?;
    reader.name_idle_words(&mut warnings);
    warnings.extend(reader.enforcement_left_out());
    config.preemption = preemption::read(&|key| reader.find(key), &mut warnings)?;
    reader.nodes(&mut config, &mut warnings)?;
    gres_conf::apply(gres, &mut config, &mut warnings)?;
    reader.partitions(&mut config, &mut warnings)?;
    let mode = preemption::words(&config.preemption);
    for partition in &mut config.partitions {
        let own = partition.preempt_mode.map(preemption::word);
        partition.others.push(("PreemptMode".into(), own.unwrap_or(&mode).into()));
        partition.others.push(("GraceTime".into(), partition.grace_time.seconds().to_string().into()));
    }
    config.priority.billing = priority::billing(&reader.blank(), &config.partitions)?;
    if config.nodes.is_empty() {
        return Err(reader.whole("no NodeName information available"));
    }
    if config.partitions.is_empty() {
        return Err(reader.whole("No PartitionName information available!"));
    }
    config.topology = match (reader.topology_kind()?, topology_lines) {
        (Some(kind), Some(lines)) => Some(topology::read(kind, lines, &config.nodes)?),
        (Some(_), None) => return Err(reader.whole("TopologyPlugin is set, and there is no topology.conf beside")),
        (None, _) => None,
    };
    config.shown = shown::show(lines, path, &config);
    Ok((config, warnings))
}

struct Reader<'a> {
    path: &'a Path,
    lines: &'a [Line],
    warned: BTreeSet<String>,
}

/// Keys with which a line begins that is not a list of parameters.
const RECORDS: &[&str] =
    &["NodeName", "PartitionName", "NodeSet", "DownNodes", "FrontendName", "SwitchName", "BlockName"];

pub(super) fn record_kind(line: &Line) -> Option<&'static str> {
    let (first, _) = line.pairs.first()?;
    RECORDS.iter().copied().find(|kind| kind.eq_ignore_ascii_case(first))
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, lines: &'a [Line]) -> Self {
        Reader { path, lines, warned: BTreeSet::new() }
    }

    fn whole(&self, message: &str) -> ConfError {
        ConfError { file: self.path.to_owned(), line: 0, message: message.to_owned() }
    }

    fn check_parameters(&mut self, line: &Line, warnings: &mut Vec<String>) -> Result<(), ConfError> {
        if record_kind(line).is_some() {
            return Ok(());
        }
        for (key, value) in &line.pairs {
            match keys::standing(key) {
                Taken::Unknown => return Err(line.error(format!("Parsing error at unrecognized key: {key}"))),
                Taken::Silently => {}
                Taken::WithWarning => {
                    let idle = ["", "no", "none", "0", "(null)"].iter().any(|idle| value.eq_ignore_ascii_case(idle))
                        || value.ends_with("/none");
                    if !idle && self.warned.insert(key.to_ascii_lowercase()) {
                        warnings.push(format!(
                            "{key} is not acted on by this version ({} line {})",
                            line.file.display(),
                            line.number
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// The last value of a parameter, with its line.
    fn find(&self, key: &str) -> Option<(&'a Line, &'a str)> {
        let lines = self.lines.iter().rev().filter(|line| record_kind(line).is_none());
        lines.filter_map(|line| line.get(key).map(|value| (line, value))).next()
    }

    /// `SchedulerTimeSlice`, within the bounds that slurm.conf(5) names.
    fn time_slice(&self) -> Result<Span, ConfError> {
        let seconds: i64 = self.number("SchedulerTimeSlice", 30)?;
        match self.find("SchedulerTimeSlice") {
            Some((line, text)) if !(5..=65_533).contains(&seconds) => {
                Err(line.error(format!("SchedulerTimeSlice value \"{text}\" is not between 5 and 65533")))
            }
            _ => Ok(Span::from_seconds(seconds)),
        }
    }

    fn number<T: std::str::FromStr>(&self, key: &str, otherwise: T) -> Result<T, ConfError> {
        match self.find(key) {
            None => Ok(otherwise),
            Some((line, text)) => {
                text.parse().map_err(|_| line.error(format!("{key} value \"{text}\" is not a valid number")))
            }
        }
    }

    fn flag(&self, key: &str, otherwise: bool) -> Result<bool, ConfError> {
        self.find(key).map_or(Ok(otherwise), |(line, text)| partitions::yes(line, Some(text), key))
    }

    /// Parameters of `SchedulerParameters=a=1,b`.
    fn scheduler(&self, name: &str) -> Option<&'a str> {
        let (_, list) = self.find("SchedulerParameters")?;
        list.split(',').find_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn scheduler_number<T: std::str::FromStr>(&self, name: &str, otherwise: T) -> Result<T, ConfError> {
        let Some(text) = self.scheduler(name) else {
            return Ok(otherwise);
        };
        let bad = |(line, _): (&Line, &str)| {
            line.error(format!("SchedulerParameters {name}=\"{text}\" is not a valid number"))
        };
        text.parse()
            .map_err(|_| self.find("SchedulerParameters").map_or_else(|| self.whole("bad SchedulerParameters"), bad))
    }

    fn parameters(&self) -> Result<ClusterConfig, ConfError> {
        let defaults = ClusterConfig::default();
        let seconds = |key: &str, otherwise: i64| self.number(key, otherwise).map(Span::from_seconds);
        let select = self.find("SelectType").map_or("select/cons_tres", |(_, value)| value).to_ascii_lowercase();
        let select_parameters =
            self.find("SelectTypeParameters").map_or("CR_Core_Memory", |(_, value)| value).to_ascii_lowercase();
        let over_time_limit = match self.find("OverTimeLimit") {
            Some((_, text)) if text.eq_ignore_ascii_case("unlimited") => Span::from_minutes(i64::from(u16::MAX)),
            _ => Span::from_minutes(self.number("OverTimeLimit", 0)?),
        };
        let reservation_over_run = match self.find("ResvOverRun") {
            Some((_, text)) if ["unlimited", "infinite"].iter().any(|word| text.eq_ignore_ascii_case(word)) => None,
            _ => Some(Span::from_minutes(self.number("ResvOverRun", 0_u16)?.into())),
        };
        let array_size_max = self.number("MaxArraySize", defaults.array_size_max)?;
        Ok(ClusterConfig {
            cluster_name: self
                .find("ClusterName")
                .map_or_else(|| "muster".into(), |(_, name)| name.to_ascii_lowercase().as_str().into()),
            first_job_id: self.number("FirstJobId", 1)?,
            array_size_max,
            job_count_max: self.number("MaxJobCount", defaults.job_count_max)?,
            script_size_max: self.scheduler_number("max_script_size", defaults.script_size_max)?,
            job_age_min: seconds("MinJobAge", 300)?,
            kill_wait: seconds("KillWait", 30)?,
            time_slice: self.time_slice()?,
            over_time_limit,
            reservation_over_run,
            node_timeout: seconds("SlurmdTimeout", 300)?,
            tree_width: self.number("TreeWidth", defaults.tree_width)?,
            return_to_service: self.number("ReturnToService", 0_u8)?.min(2),
            requeue_default: self.flag("JobRequeue", true)?,
            requeue_exits: self.exit_codes("RequeueExit")?,
            requeue_exits_held: self.exit_codes("RequeueExitHold")?,
            scheduling: scheduling::read(&|name, otherwise| self.scheduler_number(name, otherwise))?,
            requeue_delay: Span::from_seconds(self.requeue_delay_seconds()?),
            launch_failures_max: self.number("MaxBatchRequeue", 5)?,
            kill_invalid_dependency: self.scheduler("kill_invalid_depend").is_some(),
            append_output: self.flag("JobFileAppend", false)?,
            memory_is_consumed: select_parameters.contains("memory"),
            whole_nodes: select.contains("linear"),
            placement: self.placement(&select_parameters)?,
            backfill: !self.find("SchedulerType").is_some_and(|(_, value)| value.eq_ignore_ascii_case("sched/builtin"))
                && self.scheduler("bf_interval") != Some("-1"),
            gres_types: self.gres_types(),
            hardware_overrides: self.hardware_overrides(),
            accounting: self.accounting()?,
            accounting_enforce: self.accounting_enforce()?,
            enforce_partition_limits: self.enforce_partition_limits()?,
            limits_stop_queue: self.scheduler("assoc_limit_stop").is_some(),
            cron: self.find("ScronParameters").is_some_and(|(_, value)| value.to_ascii_lowercase().contains("enable")),
            mcs: self.mcs()?,
            mail: MailConfig {
                // The usual one is looked for where the machine has it.
                program: self.text("MailProg").filter(|program| &**program != "/bin/mail"),
                domain: self.text("MailDomain"),
            },
            kept_partitions: self.kept_partitions()?,
            hooks: hooks::read(&|key| self.find(key), |word| self.scheduler(word).is_some())?,
            het_jobs: scheduling::het_jobs(|name| self.scheduler(name)),
            resize: scheduling::resize(|name| self.scheduler(name)),
            priority: priority::read(&|key| self.find(key))?,
            ..defaults
        })
    }

    /// `SelectTypeParameters`, and what `SchedulerParameters` and `TopologyParam` say about the choice of nodes.
    fn placement(&self, select: &str) -> Result<PlacementRules, ConfError> {
        let has = |word: &str| select.split(',').any(|own| own.trim() == word);
        let defaults = PlacementRules::default();
        let seconds = self.scheduler_number("max_switch_wait", defaults.switch_wait_max.seconds())?;
        let topology = self.find("TopologyParam").map_or("", |(_, value)| value);
        Ok(PlacementRules {
            unit: match () {
                () if select.contains("cr_socket") => CpuUnit::Socket,
                () if select.contains("cr_cpu") => CpuUnit::Cpu,
                () => CpuUnit::Core,
            },
            one_task_per_core: has("cr_one_task_per_core"),
            cores_by_block: has("cr_core_default_dist_block"),
            least_loaded: has("cr_lln"),
            serial_at_end: self.scheduler("pack_serial_at_end").is_some(),
            busy_nodes: self.scheduler("bf_busy_nodes").is_some(),
            switch_wait_max: Span::from_seconds(seconds),
            topology_optional: topology.split(',').any(|word| word.eq_ignore_ascii_case("TopoOptional")),
        })
    }

    /// Words within parameters that are acted on that mean nothing to this version.
    fn name_idle_words(&self, warnings: &mut Vec<String>) {
        /// Parameters with those of their words that are acted on.
        const ACTING: &[(&str, &[&str])] = &[
            (
                "SelectTypeParameters",
                &[
                    "none",
                    "cr_cpu",
                    "cr_cpu_memory",
                    "cr_core",
                    "cr_core_memory",
                    "cr_socket",
                    "cr_socket_memory",
                    "cr_memory",
                    "cr_one_task_per_core",
                    "cr_core_default_dist_block",
                    "cr_lln",
                ],
            ),
            ("TopologyParam", &["topooptional", "none"]),
            ("MCSParameters", &["(null)", "ondemand", "enforced", "noselect", "select", "ondemandselect"]),
        ];
        if let Some((line, list)) = self.find("SchedulerParameters") {
            warnings.extend(scheduler_words::remarks(line, list));
        }
        for (key, known) in ACTING {
            let Some((line, value)) = self.find(key) else { continue };
            // Behind a colon there are names of groups.
            let words = value.split(':').next().unwrap_or_default().split(',').map(str::trim);
            for word in words
                .filter(|word| !word.is_empty())
                .filter(|word| !known.iter().any(|known| known.eq_ignore_ascii_case(word)))
            {
                let place = format!("{} line {}", line.file.display(), line.number);
                warnings.push(format!("{key}={word} is not acted on by this version ({place})"));
            }
        }
    }

    /// `tree` or `block` of `TopologyPlugin`; other plugins know no wiring.
    fn topology_kind(&self) -> Result<Option<topology::Kind>, ConfError> {
        let Some((line, plugin)) = self.find("TopologyPlugin") else { return Ok(None) };
        match plugin.to_ascii_lowercase().trim_start_matches("topology/") {
            "tree" => Ok(Some(topology::Kind::Tree)),
            "block" => Ok(Some(topology::Kind::Block)),
            "" | "none" | "default" | "flat" | "3d_torus" | "hypercube" | "node_rank" => Ok(None),
            _ => Err(line.error(format!("cannot find topo plugin for {plugin}"))),
        }
    }

    /// `MCSPlugin`, and `MCSParameters` as `[ondemand|enforced][,noselect|select|ondemandselect][,privatedata][:GROUP|GROUP]`.
    fn mcs(&self) -> Result<McsConfig, ConfError> {
        let mut mcs = McsConfig::default();
        if let Some((line, plugin)) = self.find("MCSPlugin") {
            mcs.plugin = match plugin.to_ascii_lowercase().trim_start_matches("mcs/") {
                "none" | "" => McsPlugin::None,
                "account" => McsPlugin::Account,
                "group" => McsPlugin::Group,
                "user" => McsPlugin::User,
                _ => return Err(line.error(format!("cannot find mcs plugin for {plugin}"))),
            };
        }
        let Some((_, value)) = self.find("MCSParameters").filter(|(_, value)| *value != "(null)") else {
            return Ok(mcs);
        };
        let (words, groups) = value.split_once(':').unwrap_or((value, ""));
        mcs.groups = groups.split('|').filter(|group| !group.is_empty()).map(Into::into).collect();
        for word in words.split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "enforced" => mcs.enforced = true,
                "noselect" => mcs.select = McsSelect::Never,
                "select" => mcs.select = McsSelect::Always,
                "ondemandselect" => mcs.select = McsSelect::OnDemand,
                // `ondemand` is what holds anyway; others are named in the log.
                _ => {}
            }
        }
        Ok(mcs)
    }

    /// A parameter as it is written; nothing where nothing is said.
    fn text(&self, key: &str) -> Option<Name> {
        let (_, value) = self.find(key)?;
        (!value.is_empty() && value != "(null)").then(|| value.into())
    }

    /// `ReconfigFlags`: `KeepPartInfo` is more than `KeepPartState`.
    fn kept_partitions(&self) -> Result<KeptPartitions, ConfError> {
        let Some((line, value)) = self.find("ReconfigFlags") else { return Ok(KeptPartitions::Nothing) };
        let mut kept = KeptPartitions::Nothing;
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "(null)") {
            match word.to_ascii_lowercase().as_str() {
                "keeppartinfo" => kept = KeptPartitions::Whole,
                "keeppartstate" if kept == KeptPartitions::Nothing => kept = KeptPartitions::State,
                "keeppartstate" => {}
                _ => return Err(line.error(format!("Invalid ReconfigFlag: {word}"))),
            }
        }
        Ok(kept)
    }

    /// Slurm holds a requeued job back until the credential of its last start has run out.
    fn requeue_delay_seconds(&self) -> Result<i64, ConfError> {
        const CREDENTIAL_SECONDS: i64 = 120;
        Ok(self.scheduler_number("requeue_delay", CREDENTIAL_SECONDS)?.saturating_add(1))
    }

    /// A list of exit codes as `1-9,18`.
    fn exit_codes(&self, key: &str) -> Result<IndexSet, ConfError> {
        let mut codes = IndexSet::default();
        let Some((line, text)) = self.find(key) else { return Ok(codes) };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "(null)") {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let code = |text: &str| text.trim().parse::<u8>().ok();
            let (Some(first), Some(last)) = (code(first), code(last).filter(|last| code(first) <= Some(*last))) else {
                return Err(line.error(format!("{key} value \"{text}\" is not a list of exit codes")));
            };
            (first..=last).for_each(|code| codes.insert(code.into()));
        }
        Ok(codes)
    }

    fn gres_types(&self) -> Vec<Name> {
        let list = self.find("GresTypes").map_or("", |(_, value)| value);
        list.split(',').filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("none")).map(Into::into).collect()
    }

    /// Whether accounting is kept. A daemon for it is not needed: its tables are part of the controller.
    fn accounting(&self) -> Result<bool, ConfError> {
        let Some((line, value)) = self.find("AccountingStorageType") else { return Ok(false) };
        match value.to_ascii_lowercase().trim_start_matches("accounting_storage/") {
            "none" | "" => Ok(false),
            "slurmdbd" => Ok(true),
            _ => Err(line.error(format!("Bad value \"{value}\" for AccountingStorageType"))),
        }
    }

    /// `EnforcePartLimits`; `YES` means `ALL`.
    fn enforce_partition_limits(&self) -> Result<PartitionEnforcement, ConfError> {
        let Some((line, value)) = self.find("EnforcePartLimits") else { return Ok(PartitionEnforcement::No) };
        match value.to_ascii_lowercase().as_str() {
            "no" | "false" => Ok(PartitionEnforcement::No),
            "any" => Ok(PartitionEnforcement::Any),
            "all" | "yes" | "true" => Ok(PartitionEnforcement::All),
            _ => Err(line.error(format!("Bad EnforcePartLimits: {value}"))),
        }
    }

    /// Words of `AccountingStorageEnforce` that change nothing here.
    fn enforcement_left_out(&self) -> Option<String> {
        let (_, value) = self.find("AccountingStorageEnforce")?;
        let left_out =
            |word: &&str| ["nojobs", "nosteps", "wckeys"].iter().any(|other| word.eq_ignore_ascii_case(other));
        let words: Vec<&str> = value.split(',').map(str::trim).filter(left_out).collect();
        (!words.is_empty())
            .then(|| format!("AccountingStorageEnforce: {} not acted on by this version", words.join(",")))
    }

    /// Limits are held only where there is something to hold them by.
    fn accounting_enforce(&self) -> Result<AccountingEnforce, ConfError> {
        let Some((line, value)) = self.find("AccountingStorageEnforce") else {
            return Ok(AccountingEnforce::default());
        };
        let enforce = AccountingEnforce::parse(value)
            .map_err(|word| line.error(format!("Bad value \"{word}\" for AccountingStorageEnforce")))?;
        Ok(if self.accounting()? { enforce } else { AccountingEnforce::default() })
    }

    /// `SlurmdParameters=config_overrides`, or `FastSchedule=2` of old files.
    fn hardware_overrides(&self) -> bool {
        let parameters = self.find("SlurmdParameters").map_or("", |(_, value)| value);
        parameters.split(',').any(|word| word.eq_ignore_ascii_case("config_overrides"))
            || self.find("FastSchedule").is_some_and(|(_, value)| value == "2")
    }

    fn nodes(&self, config: &mut ClusterConfig, warnings: &mut Vec<String>) -> Result<(), ConfError> {
        let mut default = self.blank();
        let mut all: BTreeMap<Name, usize> = BTreeMap::new();
        for line in self.records("NodeName") {
            if line.get("NodeName").is_some_and(|name| name.eq_ignore_ascii_case("default")) {
                default.pairs.extend(line.pairs.iter().skip(1).cloned());
                continue;
            }
            for node in nodes::read(line, &default, warnings)? {
                if all.insert(node.name.clone(), config.nodes.len()).is_some() {
                    return Err(line.error(format!("Duplicated NodeName {} in the config file", node.name)));
                }
                config.nodes.push(node);
            }
            if config.nodes.len() > NODES_MAX {
                return Err(line.error(format!("more than {NODES_MAX} nodes")));
            }
        }
        for line in self.records("DownNodes") {
            let names = muster_model::hostlist::expand(line.get("DownNodes").unwrap_or_default());
            for name in names.map_err(|problem| line.error(problem.to_string()))? {
                let node: &mut NodeConfig = all
                    .get(name.as_str())
                    .and_then(|at| config.nodes.get_mut(*at))
                    .ok_or_else(|| line.error(format!("no node {name} is defined")))?;
                let drain = line.get("State").is_some_and(|state| !state.eq_ignore_ascii_case("down"));
                node.initial_state = if drain { InitialState::Drain } else { InitialState::Down };
                node.reason = line.get("Reason").map(Into::into);
            }
        }
        Ok(())
    }

    fn partitions(&self, config: &mut ClusterConfig, warnings: &mut Vec<String>) -> Result<(), ConfError> {
        let nodes: BTreeMap<Name, NodeIndex> =
            config.nodes.iter().zip(0..).map(|(node, index)| (node.name.clone(), NodeIndex(index))).collect();
        let global = self.lines.iter().find(|line| record_kind(line).is_none() && has_memory_key(line));
        let blank = self.blank();
        let whole = global.unwrap_or(&blank);
        let mut known = Known {
            nodes: &nodes,
            sets: &BTreeMap::new(),
            cpus_per_gpu: self.find("DefCpuPerGPU").map(|_| self.number("DefCpuPerGPU", 0)).transpose()?,
            memory_per_gpu: match self.find("DefMemPerGPU") {
                Some((line, text)) => partitions::memory_per_gpu(line, Some(text))?,
                None => None,
            },
            memory_default: partitions::memory(whole, &blank, "Def")?,
            memory_max: partitions::memory(
                self.lines.iter().find(|line| has_max_memory_key(line)).unwrap_or(&blank),
                &blank,
                "Max",
            )?,
        };
        let sets = self.node_sets(config, &known)?;
        known.sets = &sets;
        let mut default = self.blank();
        for line in self.records("PartitionName") {
            if line.get("PartitionName").is_some_and(|name| name.eq_ignore_ascii_case("default")) {
                default.pairs.extend(line.pairs.iter().skip(1).cloned());
                continue;
            }
            for partition in partitions::read(line, &default, &known, warnings)? {
                if partition.default {
                    config.partitions.iter_mut().for_each(|earlier| earlier.default = false);
                }
                config.partitions.retain(|earlier| earlier.name != partition.name);
                config.partitions.push(partition);
            }
        }
        Ok(())
    }

    /// `NodeSet=name Feature=f` and `NodeSet=name Nodes=list`.
    fn node_sets(
        &self,
        config: &ClusterConfig,
        known: &Known<'_>,
    ) -> Result<BTreeMap<String, Vec<NodeIndex>>, ConfError> {
        let mut sets = BTreeMap::new();
        for line in self.records("NodeSet") {
            let mut nodes = partitions::resolve(line, line.get("Nodes").unwrap_or_default(), known)?;
            if let Some(feature) = line.get("Feature") {
                let with =
                    config.nodes.iter().zip(0..).filter(|(node, _)| node.features.iter().any(|own| &**own == feature));
                nodes.extend(with.map(|(_, index)| NodeIndex(index)));
            }
            nodes.sort_unstable();
            nodes.dedup();
            sets.insert(line.get("NodeSet").unwrap_or_default().to_owned(), nodes);
        }
        Ok(sets)
    }

    fn records(&self, kind: &'static str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| record_kind(line) == Some(kind))
    }

    fn blank(&self) -> Line {
        Line { file: self.path.to_owned(), number: 0, pairs: Vec::new() }
    }
}

fn has_memory_key(line: &Line) -> bool {
    record_kind(line).is_none() && (line.get("DefMemPerNode").is_some() || line.get("DefMemPerCPU").is_some())
}

fn has_max_memory_key(line: &Line) -> bool {
    record_kind(line).is_none() && (line.get("MaxMemPerNode").is_some() || line.get("MaxMemPerCPU").is_some())
}
