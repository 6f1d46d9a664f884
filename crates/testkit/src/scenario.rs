//! Views of a cluster written as text, so that a test of the scheduler is text in, text out.
//!
//! One thing for each line; words are `key=value` or flags. `#` begins a comment.
//!
//! ```text
//! config gang memory=on backfill=off whole_nodes licenses=matlab:2 preempt=qos:requeue
//! qos high prio=10 preempts=low,lower jobs=2 cpus=16 flags=NoReserve
//! nodes n[1-4] cpus=16 threads=1 mem=64000 gres=gpu:a100:2 features=fast,ssd weight=1 tmp=0 state=drain reason=bad_fan
//! partition debug nodes=n[1-4] max=60 default_time=10 nodes_min=1 nodes_max=2 cpus_per_node_max=8 mem_per_cpu=100
//! run 1 t=30 since=5 user=1000 part=debug qos=low on=n1:0-3+n2:0-7 mem=1000 gres=gpu:0-1 yields=2
//! reservation noon nodes=n[1-2] from=60 until=120 users=u1001 flags=maint,overlap cpus=0-3 gres=gpu:0 delay=10 L=matlab:2
//! job 2 N=1-2 n=4 c=2 t=60 tmin=10 deadline=90 mem=1000 gres=gpu:1 C=fast w=n1 x=n2 array=0-9 slots=2 exclusive
//! ```
//!
//! Hardware and wiring in detail:
//!
//! ```text
//! config unit=socket one_task_per_core block_cores lln serial_at_end topology_optional block_sizes=4,8
//! nodes n1 cpus=16 sockets=2 threads=2 reserved=6-7 spec_mem=1000 gres=gpu:4,shard:16 near=gpu:2@0-3+gpu:2@4-7
//! partition p share=force:2 lln exclusive_user cpus_per_gpu=4 mem_per_gpu=500
//! switch s1 nodes=n[1-4]
//! switch top switches=s1,s2
//! block b1 nodes=n[1-4]
//! job 1 tpc=1 tpcore=1 tpsocket=2 sockets=2 cores=4 S=1 m=block spread min_nodes prefer=fast switches=1@5 segment=4
//! job 3 het=1/2 n=2
//! job 2 binding=enforced cpus_per_gpu=2 share mcs=red exclusive=mcs
//! ```
//!
//! Times are minutes. Without a `partition` line there is one called `main` with all nodes; the first partition is the
//! default one. Memory is given away only with `config memory=on`. A `run` holds the same memory and units on each of
//! its nodes. Jobs are queued in the order in which they are written unless `prio` says otherwise.

use std::sync::Arc;

use muster_model::accounting::{Charged, CountLimit, Qos, QosFlag, TresLimit};
use muster_model::array::{ArraySpec, TaskSet};
use muster_model::config::{ClusterConfig, CpuUnit};
use muster_model::heterogeneous::HetRole;
use muster_model::hostlist;
use muster_model::ids::{JobId, Name, NodeIndex};
use muster_model::job::{ArrayRole, EarlySignal};
use muster_model::node::{CpuRow, GresPlace, Node, NodeHealth, NodeReason};
use muster_model::partition::{MemoryDefault, OverSubscribe, Partition, PartitionState};
use muster_model::planning::PlanView;
use muster_model::preemption::{PreemptMode, PreemptType};
use muster_model::reservation::{Reservation, ReservationFlag, ReservedNode};
use muster_model::resources::{
    CoreOrder, Gres, GresBinding, GresRequest, GresScope, GresShare, IndexSet, Megabytes, MemoryRequest, NodeShare,
    ResourceRequest, Sharing, SwitchLimit,
};
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_model::topology::{Block, Blocks, Switch, Topology};

use crate::builders;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine(pub String);

/// Reads a scenario.
///
/// # Errors
/// The first line that is not understood, with what is wrong.
pub fn parse(text: &str) -> Result<PlanView, BadLine> {
    let mut reader = Reader::default();
    reader.config.memory_is_consumed = false;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            reader.line(line).map_err(|what| BadLine(format!("{line}: {what}")))?;
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    config: ClusterConfig,
    nodes: Vec<Node>,
    partitions: Vec<Partition>,
    reservations: Vec<Reservation>,
    switches: Vec<Switch>,
    blocks: Vec<Block>,
    block_sizes: Vec<u32>,
    qos: Vec<Qos>,
    /// Read once nodes and partitions are known.
    jobs: Vec<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "config" => self.config(rest),
            "nodes" => self.nodes(rest),
            "partition" => self.partition(rest),
            "reservation" => self.reservation(rest),
            "switch" => self.switch(rest),
            "block" => self.block(rest),
            "qos" => self.qos(rest),
            "run" | "job" => {
                self.jobs.push(line.to_owned());
                Ok(())
            }
            _ => Err(format!("unknown word {word}")),
        }
    }

    fn config(&mut self, rest: &str) -> Result<(), String> {
        for (key, value) in words(rest) {
            match key {
                "memory" => self.config.memory_is_consumed = value == "on",
                "backfill" => self.config.backfill = value != "off",
                "preempt" => self.preemption(value)?,
                "gang" => self.config.preemption.gang = true,
                "exempt" => self.config.preemption.exempt_time = Span::from_minutes(number(value)?),
                "whole_nodes" => self.config.whole_nodes = true,
                "gres_types" => self.config.gres_types = names(value),
                "unit" => self.config.placement.unit = if value == "socket" { CpuUnit::Socket } else { CpuUnit::Core },
                "one_task_per_core" => self.config.placement.one_task_per_core = true,
                "block_cores" => self.config.placement.cores_by_block = true,
                "lln" => self.config.placement.least_loaded = true,
                "serial_at_end" => self.config.placement.serial_at_end = true,
                "topology_optional" => self.config.placement.topology_optional = true,
                "block_sizes" => {
                    self.block_sizes = value.split(',').map(number).collect::<Result<_, _>>()?;
                }
                "busy_nodes" => self.config.placement.busy_nodes = value == "on",
                "licenses" => self.config.shown.push(("Licenses".to_owned(), value.to_owned())),
                _ => return Err(format!("unknown key {key}")),
            }
        }
        Ok(())
    }

    fn qos(&mut self, rest: &str) -> Result<(), String> {
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut qos = Qos { name: name.into(), ..Qos::default() };
        for (key, value) in words(rest) {
            match key {
                "prio" => qos.priority = number(value)?,
                "preempts" => qos.preempts = names(value),
                "mode" => qos.preempt_mode = Some(preempt_mode(value)?),
                "grace" => qos.grace_time = Some(Span::from_minutes(number(value)?)),
                // Limits: jobs and CPUs that run at once under it.
                "jobs" => drop(qos.limits.counts.insert(CountLimit::GrpJobs, number(value)?)),
                "cpus" => qos.limits.tres.entry(TresLimit::GrpTres).or_default().add(&"cpu".into(), number(value)?),
                "nodes" => qos.limits.tres.entry(TresLimit::GrpTres).or_default().add(&"node".into(), number(value)?),
                "exempt" => qos.preempt_exempt_time = Some(Span::from_minutes(number(value)?)),
                "flags" => qos.flags = value.split(',').map(qos_flag).collect::<Result<_, _>>()?,
                _ => return Err(format!("unknown key {key}")),
            }
        }
        self.config.accounting_enforce.limits |= !qos.limits.is_empty();
        self.qos.push(qos);
        Ok(())
    }

    fn preemption(&mut self, value: &str) -> Result<(), String> {
        let (kind, mode) = value.split_once(':').ok_or("preempt= wants partition:mode or qos:mode")?;
        self.config.preemption.kind = match kind {
            "partition" => PreemptType::Partition,
            "qos" => PreemptType::Qos,
            _ => return Err(format!("unknown kind {kind}")),
        };
        self.config.preemption.mode = preempt_mode(mode)?;
        Ok(())
    }

    fn nodes(&mut self, rest: &str) -> Result<(), String> {
        let (list, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        for name in hostlist::expand(list).map_err(|error| error.to_string())? {
            let mut config = builders::node_config(&name, 1);
            let (mut state, mut reason) = ("", "");
            for (key, value) in words(rest) {
                match key {
                    "cpus" => config.hardware.cpus = number(value)?,
                    "threads" => config.hardware.threads_per_core = number(value)?,
                    "sockets" => config.hardware.sockets = number(value)?,
                    "reserved" => config.hardware.cpus_reserved = index_set(value)?,
                    "spec_mem" => config.hardware.memory_reserved = Megabytes(number(value)?),
                    "restricted" => config.hardware.cores_per_gpu_restricted = number(value)?,
                    "near" => config.hardware.places = value.split('+').map(place).collect::<Result<_, _>>()?,
                    "mem" => config.hardware.memory = Megabytes(number(value)?),
                    "tmp" => config.hardware.tmp_disk = Megabytes(number(value)?),
                    "gres" => config.hardware.gres = value.split(',').map(gres).collect::<Result<_, _>>()?,
                    "kept" => config.hardware.gres_unconsumed = value.split(',').map(gres).collect::<Result<_, _>>()?,
                    // Links of each GPU to all: `links=-1,2,1/2,-1,1/1,1,-1`.
                    "links" => config.hardware.places = value.split('/').map(linked).collect::<Result<_, _>>()?,
                    "features" => config.features = names(value),
                    "weight" => config.weight = number(value)?,
                    "state" => state = value,
                    "reason" => reason = value,
                    _ => return Err(format!("unknown key {key}")),
                }
            }
            let hardware = &mut config.hardware;
            hardware.cores_per_socket = hardware.cpus / hardware.threads_per_core.max(1) / hardware.sockets.max(1);
            let mut node = builders::node(config);
            match state {
                "" => {}
                "drain" => node.drain = true,
                "down" => node.health = NodeHealth::Down,
                "silent" => node.not_responding = true,
                _ => return Err(format!("unknown state {state}")),
            }
            if !reason.is_empty() {
                let text = reason.replace('_', " ").into();
                node.reason = Some(NodeReason { text, user: "root".into(), uid: 0, time: Timestamp(0) });
            }
            self.nodes.push(node);
        }
        Ok(())
    }

    fn partition(&mut self, rest: &str) -> Result<(), String> {
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut part = builders::partition(name, 0..self.nodes.len() as u32);
        part.default = self.partitions.is_empty();
        for (key, value) in words(rest) {
            match key {
                "nodes" => part.nodes = self.indices(value)?,
                "max" => part.time_max = TimeLimit::from_minutes(number(value)?),
                "default_time" => part.time_default = Some(TimeLimit::from_minutes(number(value)?)),
                "nodes_min" => part.nodes_min = number(value)?,
                "nodes_max" => part.nodes_max = Some(number(value)?),
                "cpus_per_node_max" => part.cpus_per_node_max = Some(number(value)?),
                "preempt" => part.preempt_mode = Some(preempt_mode(value)?),
                "grace" => part.grace_time = Span::from_minutes(number(value)?),
                "tier" => part.priority_tier = number(value)?,
                "mem_per_cpu" => part.memory_default = Some(MemoryDefault::PerCpu(Megabytes(number(value)?))),
                "mem_per_node" => part.memory_default = Some(MemoryDefault::PerNode(Megabytes(number(value)?))),
                "max_mem_per_cpu" => part.memory_max = Some(MemoryDefault::PerCpu(Megabytes(number(value)?))),
                "max_mem_per_node" => part.memory_max = Some(MemoryDefault::PerNode(Megabytes(number(value)?))),
                "share" => part.over_subscribe = sharing(value)?,
                "lln" => part.least_loaded = true,
                "exclusive_user" => part.exclusive_user = true,
                "cpus_per_gpu" => part.cpus_per_gpu_default = Some(number(value)?),
                "mem_per_gpu" => part.memory_per_gpu_default = Some(Megabytes(number(value)?)),
                "cpus_per_socket_max" => part.cpus_per_socket_max = Some(number(value)?),
                "exclusive" => part.over_subscribe = OverSubscribe::Exclusive,
                "state" => part.state = partition_state(value)?,
                _ => return Err(format!("unknown key {key}")),
            }
        }
        self.partitions.push(part);
        Ok(())
    }

    fn reservation(&mut self, rest: &str) -> Result<(), String> {
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut row = builders::reservation(name);
        row.number = self.reservations.len() as u64;
        let (mut cpus, mut gres, mut nodes) = (None, Vec::new(), Vec::new());
        for (key, value) in words(rest) {
            match key {
                "nodes" => nodes = self.indices(value)?,
                "from" => row.start = builders::NOW + Span::from_minutes(number(value)?),
                "until" => row.end = builders::NOW + Span::from_minutes(number(value)?),
                "users" => row.users.allowed = names(value),
                "not" => row.users.denied = names(value),
                "flags" => {
                    for word in value.split(',') {
                        row.set(reservation_flag(word)?, true);
                    }
                }
                "cpus" => cpus = Some(index_set(value)?),
                "gres" => gres = value.split('+').map(gres_share).collect::<Result<_, _>>()?,
                "delay" => row.start_delay_max = Some(Span::from_minutes(number(value)?)),
                "L" => {
                    let (name, count) = value.split_once(':').unwrap_or((value, "1"));
                    row.tres.add(&format!("license/{name}").into(), number(count)?);
                }
                _ => return Err(format!("unknown key {key}")),
            }
        }
        let kept = |node| ReservedNode { node, cpus: cpus.clone(), gres: gres.clone() };
        row.nodes = nodes.into_iter().map(kept).collect();
        self.reservations.push(row);
        Ok(())
    }

    fn indices(&self, list: &str) -> Result<Vec<NodeIndex>, String> {
        let names = hostlist::expand(list).map_err(|error| error.to_string())?;
        let index = |name: &String| {
            let at = self.nodes.iter().position(|node| **node.name() == **name);
            at.map(|at| NodeIndex(at as u32)).ok_or_else(|| format!("unknown node {name}"))
        };
        names.iter().map(index).collect()
    }

    fn switch(&mut self, rest: &str) -> Result<(), String> {
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let own = self.switches.len() as u32;
        let mut switch = Switch {
            name: name.into(),
            level: 0,
            parent: None,
            nodes: Vec::new(),
            switches_text: None,
            nodes_text: None,
            link_speed: 1,
        };
        for (key, value) in words(rest) {
            match key {
                "nodes" => switch.nodes = self.indices(value)?,
                "switches" => {
                    for name in value.split(',') {
                        let below = self.switches.iter_mut().find(|other| &*other.name == name).ok_or("no switch")?;
                        below.parent = Some(own);
                        switch.level = switch.level.max(below.level + 1);
                        switch.nodes.extend(below.nodes.iter().copied());
                    }
                    switch.nodes.sort_unstable();
                }
                _ => return Err(format!("unknown key {key}")),
            }
        }
        self.switches.push(switch);
        Ok(())
    }

    fn block(&mut self, rest: &str) -> Result<(), String> {
        let (name, list) = rest.split_once(" nodes=").ok_or("block NAME nodes=LIST")?;
        self.blocks.push(Block { name: name.into(), nodes: self.indices(list)?, nodes_text: list.into() });
        Ok(())
    }

    fn finish(mut self) -> Result<PlanView, BadLine> {
        if !self.blocks.is_empty() {
            let (blocks, sizes) = (self.blocks.clone(), self.block_sizes.clone());
            self.config.topology = Some(Topology::Block(Blocks { blocks, sizes }));
        } else if !self.switches.is_empty() {
            self.config.topology = Some(Topology::Tree(self.switches.clone()));
        }
        if self.partitions.is_empty() {
            self.partition("main").map_err(BadLine)?;
        }
        let mut view = builders::view(self.config.clone(), self.nodes.clone(), self.partitions.clone());
        for row in &self.reservations {
            view.reservations.insert(row.name.clone(), Arc::new(row.clone()));
        }
        for qos in std::mem::take(&mut self.qos) {
            view.accounting.qos.insert(qos.name.clone(), Arc::new(qos));
        }
        for (position, line) in self.jobs.iter().enumerate() {
            let bad = |what: String| BadLine(format!("{line}: {what}"));
            let mut words = line.splitn(3, ' ');
            let (word, id, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
            let id: u32 = number(id).map_err(bad)?;
            match word {
                Some("run") => self.run(&mut view, id, rest).map_err(bad)?,
                _ => self.job(&mut view, id, position, rest).map_err(bad)?,
            }
        }
        for job in view.running.values() {
            view.tallies.add(&Charged::of(&view.accounting, job, None));
        }
        Ok(view)
    }

    fn run(&self, view: &mut PlanView, id: u32, rest: &str) -> Result<(), String> {
        let mut spec = builders::spec(ResourceRequest::default());
        let mut shares: Vec<NodeShare> = Vec::new();
        let (mut minutes, mut since, mut memory, mut held): (i64, i64, u64, Vec<GresShare>) = (60, 0, 0, Vec::new());
        let (mut inside, mut yields_to, mut het) = (None, None, None);
        for (key, value) in words(rest) {
            match key {
                "het" => het = Some(het_role(id, value)?),
                "t" => minutes = number(value)?,
                "since" => since = number(value)?,
                "qos" => spec.qos = Some(value.into()),
                "user" => spec.identity = builders::identity(number(value)?),
                "part" => spec.partitions = names(value),
                "L" => spec.request.licenses = Some(value.into()),
                "resv" => inside = Some(value.into()),
                "yields" => yields_to = Some(JobId(number(value)?)),
                "share" => spec.request.sharing = Sharing::Oversubscribe,
                "mcs" => spec.request.mcs_label = Some(value.into()),
                "mem" => memory = number(value)?,
                "gres" => held = value.split('+').map(gres_share).collect::<Result<_, _>>()?,
                "on" => {
                    for part in value.split('+') {
                        let (node, cpus) = part.split_once(':').ok_or("on= wants node:cpus+node:cpus")?;
                        let node = *self.indices(node)?.first().ok_or("no node")?;
                        shares.push(NodeShare {
                            node,
                            cpus: index_set(cpus)?,
                            memory: Megabytes(0),
                            gres: Vec::new(),
                            tasks: 1,
                        });
                    }
                }
                _ => return Err(format!("unknown key {key}")),
            }
        }
        for share in &mut shares {
            share.memory = Megabytes(memory);
            share.gres.clone_from(&held);
        }
        let mut job = builders::pending(id, spec, &self.partitions[0].name);
        job.reservation = inside;
        job.yields_to = yields_to;
        job.het = het;
        job.qos.clone_from(&job.spec.qos);
        let (sharing, turns) = (job.spec.request.sharing, self.config.preemption.gang);
        let named = self.partitions.iter().find(|part| part.name == job.partition);
        if let Some(part) = named.filter(|part| part.over_subscribe.rows(sharing, turns) > 1) {
            for share in &shares {
                if let Some(node) = view.nodes.get_mut(share.node.0 as usize) {
                    let used = &mut std::sync::Arc::make_mut(node).used;
                    let rows = part.over_subscribe.rows(sharing, turns);
                    let row = CpuRow::room(&used.rows, &part.name, rows, &share.cpus).unwrap_or(usize::MAX);
                    CpuRow::put(&mut used.rows, &part.name, row, &share.cpus);
                }
            }
        }
        job.priority = 1;
        let now = std::mem::replace(&mut view.now, builders::NOW - Span::from_minutes(since));
        builders::start(view, job, shares, builders::NOW + Span::from_minutes(minutes));
        view.now = now;
        Ok(())
    }

    fn job(&self, view: &mut PlanView, id: u32, position: usize, rest: &str) -> Result<(), String> {
        let mut spec = builders::spec(ResourceRequest::default());
        let (mut priority, mut slots, mut het) = (None, None, None);
        for (key, value) in words(rest) {
            match key {
                "user" => spec.identity = builders::identity(number(value)?),
                "part" => spec.partitions = names(value),
                "t" => spec.time_limit = Some(TimeLimit::from_minutes(number(value)?)),
                "deadline" => spec.deadline = Some(builders::NOW + Span::from_minutes(number(value)?)),
                "tmin" => spec.time_limit_min = Some(TimeLimit::from_minutes(number(value)?)),
                "prio" => priority = Some(number(value)?),
                "qos" => spec.qos = Some(value.into()),
                "slots" => slots = Some(number(value)?),
                // The number of the leader, and how many components there are.
                "het" => het = Some(het_role(id, value)?),
                // Minutes of warning that it wants before it gives a reservation its nodes.
                "borrows" => {
                    let before_end = Span::from_minutes(number(value)?);
                    spec.early_signal =
                        Some(EarlySignal { signal: 10, before_end, batch_only: false, reservation: true });
                }
                "resv" => spec.reservation = Some(value.into()),
                "array" => {
                    let tasks = TaskSet::parse(value, 1_000_000).ok_or("bad array")?;
                    spec.array = Some(ArraySpec { tasks, throttle: None });
                }
                _ => request_word(&mut spec.request, key, value)?,
            }
        }
        derive_tasks(&mut spec.request);
        let array = spec.array.as_ref().map(|array| ArrayRole::Waiting { tasks: array.tasks.clone() });
        let mut job = builders::pending(id, spec, &self.partitions[0].name);
        let part = self.partitions.iter().find(|part| part.name == job.partition);
        if let (None, Some(part)) = (job.spec.time_limit, part) {
            job.time_limit = part.time_default.unwrap_or(part.time_max);
        }
        job.array = array;
        job.het = het;
        job.qos.clone_from(&job.spec.qos);
        // Components stand side by side: with the priority of the first, if they are written one after the other.
        let position = position as u32 - het.map_or(0, |role| role.offset);
        job.priority = priority.unwrap_or(1_000_000 - position);
        if let Some(slots) = slots {
            view.array_slots.insert(JobId(id), slots);
        }
        builders::enqueue(view, job);
        Ok(())
    }
}

/// The words of a request; also usable by other readers.
fn request_word(request: &mut ResourceRequest, key: &str, value: &str) -> Result<(), String> {
    let scoped = |scope: GresScope, text: &str| gres(text).map(|gres| GresRequest { scope, gres });
    let gpus = |list: &mut Vec<GresRequest>, scope: GresScope, text: &str| -> Result<(), String> {
        for part in text.split(',') {
            list.push(scoped(scope, &format!("gpu:{part}"))?);
        }
        Ok(())
    };
    match key {
        "N" => {
            let (min, max) = value.split_once('-').unwrap_or((value, value));
            (request.nodes_min, request.nodes_max) = (number(min)?, Some(number(max)?));
        }
        "n" => (request.tasks, request.tasks_given) = (number(value)?, true),
        "c" => (request.cpus_per_task, request.cpus_per_task_given) = (number(value)?, true),
        "tpn" => request.tasks_per_node = Some(number(value)?),
        "mincpus" => request.cpus_per_node_min = Some(number(value)?),
        "mem" => request.memory = Some(MemoryRequest::PerNode(Megabytes(number(value)?))),
        "mem_per_cpu" => request.memory = Some(MemoryRequest::PerCpu(Megabytes(number(value)?))),
        "mem_per_gpu" => request.memory = Some(MemoryRequest::PerGpu(Megabytes(number(value)?))),
        "tmp" => request.tmp_disk_min = Some(Megabytes(number(value)?)),
        "gres" => {
            for part in value.split(',') {
                request.gres.push(scoped(GresScope::Node, part)?);
            }
        }
        "gpus" => gpus(&mut request.gres, GresScope::Job, value)?,
        "gpus_per_node" => gpus(&mut request.gres, GresScope::Node, value)?,
        "gpus_per_task" => gpus(&mut request.gres, GresScope::Task, value)?,
        "gpus_per_socket" => gpus(&mut request.gres, GresScope::Socket, value)?,
        "C" => request.constraint = Some(value.into()),
        "w" => request.nodes_required = Some(value.into()),
        "x" => request.nodes_excluded = Some(value.into()),
        "L" => request.licenses = Some(value.into()),
        "tpc" => request.layout.threads_per_core = Some(number(value)?),
        "tpcore" => request.layout.tasks_per_core = Some(number(value)?),
        "tpsocket" => request.layout.tasks_per_socket = Some(number(value)?),
        "sockets" => request.layout.sockets_per_node = Some(number(value)?),
        "cores" => request.layout.cores_per_socket = Some(number(value)?),
        "S" => request.layout.cores_reserved = Some(number(value)?),
        "m" => request.layout.order = if value == "block" { CoreOrder::Block } else { CoreOrder::Cyclic },
        "spread" => request.preference.spread = true,
        "min_nodes" => request.preference.fewest_nodes = true,
        "prefer" => request.preference.features = Some(value.into()),
        "segment" => request.preference.segment = Some(number(value)?),
        "switches" => {
            let (count, wait) = value.split_once('@').map_or((value, None), |(count, wait)| (count, Some(wait)));
            let wait = wait.map(number).transpose()?.map(Span::from_minutes);
            request.preference.switches = Some(SwitchLimit { count: number(count)?, wait });
        }
        "binding" if value == "enforced" => request.gpu_terms.binding = GresBinding::Enforced,
        "binding" => request.gpu_terms.binding = GresBinding::Disabled,
        "cpus_per_gpu" => request.gpu_terms.cpus = Some(number(value)?),
        "share" => request.sharing = Sharing::Oversubscribe,
        "mcs" => request.mcs_label = Some(value.into()),
        "exclusive" if value == "mcs" => request.sharing = Sharing::ExclusiveMcs,
        "exclusive" if value == "user" => request.sharing = Sharing::ExclusiveUser,
        "exclusive" => request.sharing = Sharing::Exclusive,
        "contiguous" => request.contiguous = true,
        "O" => request.overcommit = true,
        _ => return Err(format!("unknown key {key}")),
    }
    Ok(())
}

/// Without `-n`: one task for each node, or as many as are wanted on each.
fn derive_tasks(request: &mut ResourceRequest) {
    if !request.tasks_given {
        request.tasks = request.nodes_min.saturating_mul(request.tasks_per_node.unwrap_or(1));
    }
}

/// `1/3`: the component of a heterogeneous job of three that job 1 leads.
fn het_role(id: u32, text: &str) -> Result<HetRole, String> {
    let (leader, size) = text.split_once('/').ok_or("het= wants LEADER/SIZE")?;
    let (leader, size): (u32, u32) = (number(leader)?, number(size)?);
    let offset = id.checked_sub(leader).filter(|offset| *offset < size).ok_or("not a component of it")?;
    Ok(HetRole { leader: JobId(leader), offset, size })
}

fn reservation_flag(word: &str) -> Result<ReservationFlag, String> {
    Ok(match word {
        "maint" => ReservationFlag::Maint,
        "overlap" => ReservationFlag::Overlap,
        "flex" => ReservationFlag::Flex,
        "magnetic" => ReservationFlag::Magnetic,
        "any_nodes" => ReservationFlag::AnyNodes,
        "daily" => ReservationFlag::Daily,
        "hourly" => ReservationFlag::Hourly,
        _ => return Err(format!("unknown flag {word}")),
    })
}

/// `yes:3`, `force:2`.
fn sharing(text: &str) -> Result<OverSubscribe, String> {
    match text.split_once(':') {
        Some(("yes", rows)) => Ok(OverSubscribe::Yes(number(rows)?)),
        Some(("force", rows)) => Ok(OverSubscribe::Force(number(rows)?)),
        _ => Err(format!("not yes:N or force:N: {text}")),
    }
}

/// One GPU with its links to all.
fn linked(row: &str) -> Result<GresPlace, String> {
    let links = row.split(',').map(number).collect::<Result<_, _>>()?;
    Ok(GresPlace { name: "gpu".into(), count: 1, cores: None, gpu: None, links })
}

/// `gpu:2@0-3`: two units near these cores.
fn place(text: &str) -> Result<GresPlace, String> {
    let (gres, cores) = text.split_once('@').map_or((text, None), |(gres, cores)| (gres, Some(cores)));
    let (name, count) = gres.split_once(':').ok_or("name:count@cores")?;
    let cores = cores.map(index_set).transpose()?;
    Ok(GresPlace { name: name.into(), count: number(count)?, cores, gpu: None, links: Vec::new() })
}

fn qos_flag(word: &str) -> Result<QosFlag, String> {
    let known = QosFlag::ALL.iter().find(|(_, name)| *name == word);
    known.map(|(flag, _)| *flag).ok_or_else(|| format!("unknown flag {word}"))
}

fn preempt_mode(word: &str) -> Result<PreemptMode, String> {
    Ok(match word {
        "off" => PreemptMode::Off,
        "cancel" => PreemptMode::Cancel,
        "requeue" => PreemptMode::Requeue,
        "suspend" => PreemptMode::Suspend,
        _ => return Err(format!("unknown mode {word}")),
    })
}

fn partition_state(word: &str) -> Result<PartitionState, String> {
    Ok(match word {
        "up" => PartitionState::Up,
        "down" => PartitionState::Down,
        "drain" => PartitionState::Drain,
        "inactive" => PartitionState::Inactive,
        _ => return Err(format!("unknown state {word}")),
    })
}

fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

fn names(text: &str) -> Vec<Name> {
    text.split(',').map(Name::from).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}

/// `name[:type]:count`.
fn gres(text: &str) -> Result<Gres, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name, count] => Ok(Gres { name: (*name).into(), kind: None, count: number(count)? }),
        [name, kind, count] => Ok(Gres { name: (*name).into(), kind: Some((*kind).into()), count: number(count)? }),
        _ => Err(format!("not a gres: {text}")),
    }
}

/// `name[:type]:units`.
fn gres_share(text: &str) -> Result<GresShare, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name, units] => Ok(GresShare { name: (*name).into(), kind: None, units: index_set(units)? }),
        [name, kind, units] => {
            Ok(GresShare { name: (*name).into(), kind: Some((*kind).into()), units: index_set(units)? })
        }
        _ => Err(format!("not units of a gres: {text}")),
    }
}

/// `0-3,8`.
fn index_set(text: &str) -> Result<IndexSet, String> {
    let set = TaskSet::parse(text, 65_536).ok_or_else(|| format!("not a set: {text}"))?;
    let mut indices = IndexSet::default();
    set.iter().for_each(|index| indices.insert(index));
    Ok(indices)
}
