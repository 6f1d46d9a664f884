//! To which CPUs and which memory the tasks of this node are bound.
//!
//! Three things decide: whether this node binds at all, what the site says (`TaskPlugin`), and what the step asks for. Scripts
//! are bound as a whole to what their job has here.

use muster_model::ids::StepId;
use muster_model::resources::IndexSet;
use muster_model::step::{Step, StepLaunch};
use muster_runtime::detect;
use muster_runtime::unit::{TaskLaunch, TaskMemory};
use muster_slurm::binding::{self, CpuBind, How, Machine, Second, Shape, StepFacts, memory, request};
use muster_slurm::conf::TaskSettings;

use super::environment;
use crate::options::AgentOptions;

/// How tasks are bound here.
#[derive(Debug)]
pub(crate) struct Binding {
    /// `None` binds nothing.
    machine: Option<Machine>,
    task: TaskSettings,
    cores_by_block: bool,
    /// CPUs of each domain of memory of the real machine.
    domains: Vec<IndexSet>,
}

impl Binding {
    /// From what the agent was told and what the machine is.
    pub(crate) fn new(options: &AgentOptions) -> Binding {
        let by_cgroup = options.task.cgroup && options.cgroup.cores;
        let unbound = options.task.given && !options.task.affinity && !by_cgroup;
        let domains = domains();
        let machine = (options.cpu_binding && !unbound).then(|| {
            let order = detect::cpu_order();
            let flat = Shape { sockets: 1, cores_per_socket: order.len() as u32, threads_per_core: 1 };
            let shape = options.shape.unwrap_or(flat);
            // Where more or other CPUs are configured than there are, their numbers stand for themselves.
            let order = if order.len() == shape.cpus() as usize { order } else { Vec::new() };
            Machine { shape, order, domains: domains.clone() }
        });
        Binding { machine, task: options.task.clone(), cores_by_block: options.cores_by_block, domains }
    }

    /// A machine of two cores that binds as a whole.
    #[cfg(test)]
    pub(crate) fn flat() -> Binding {
        let shape = Shape { sockets: 1, cores_per_socket: 2, threads_per_core: 1 };
        let machine = Machine { shape, order: Vec::new(), domains: vec![IndexSet::first_n(2)] };
        let domains = machine.domains.clone();
        Binding { machine: Some(machine), task: TaskSettings::default(), cores_by_block: false, domains }
    }

    /// CPUs for all of a unit; empty for any.
    pub(super) fn whole(&self, cpus: &IndexSet) -> Vec<u32> {
        self.machine.as_ref().map(|machine| machine.numbers(cpus).iter().collect()).unwrap_or_default()
    }

    /// The cores, as allocations count them, of machine numbers of CPUs; `None` for all.
    pub(super) fn cores(&self, cpus: &[u32]) -> Option<IndexSet> {
        let machine = self.machine.as_ref().filter(|_| !cpus.is_empty())?;
        let place = |cpu: &u32| machine.order.iter().position(|own| own == cpu).map_or(*cpu, |place| place as u32);
        Some(set(cpus.iter().map(|cpu| place(cpu) / machine.shape.threads_per_core.max(1))))
    }

    /// Binds each task of a step, and tells it.
    ///
    /// # Errors
    /// What the step asks for cannot be done with what it has here.
    pub(super) fn bind(
        &self,
        tasks: &mut [TaskLaunch],
        step: &Step,
        how: &StepLaunch,
        cpus: &IndexSet,
        node_name: &str,
    ) -> Result<(), String> {
        let asked = self.asked(step, how)?;
        let (Some(machine), Some(asked)) = (&self.machine, asked) else {
            return Ok(());
        };
        let facts = StepFacts {
            cpus,
            tasks: u32::try_from(tasks.len()).unwrap_or(u32::MAX),
            cpus_per_task: how.binding.cpus_per_task,
            second: self.second(how),
            otherwise: self.task.otherwise,
        };
        let bound = binding::bind(machine, &facts, &asked)?;
        let variables = environment::lines(bound.variables.clone());
        for (local, (task, cpus)) in tasks.iter_mut().zip(&bound.tasks).enumerate() {
            task.affinity = Some(cpus.iter().collect());
            task.variables.extend(variables.iter().cloned());
            task.announcement = asked.verbose.then(|| bound.line(node_name, task.rank, local));
        }
        Ok(())
    }

    /// Binds the memory of each task of a step, as it asks for, and tells it. One that cannot be bound so is told why.
    pub(super) fn bind_memory(&self, tasks: &mut [TaskLaunch], how: &StepLaunch, node_name: &str) {
        // srun has refused what cannot be read.
        let Some(asked) = how.binding.memory.as_deref().and_then(|text| memory::parse(text).ok()) else { return };
        let variables = environment::lines(asked.variables());
        // A site that wants no binding says so, as in Slurm.
        let is_done = !self.task.given || self.task.affinity;
        for (local, task) in tasks.iter_mut().enumerate() {
            task.variables.extend(variables.iter().cloned());
            if !is_done {
                continue;
            }
            let cpus = set(task.affinity.iter().flatten().copied());
            match asked.bind(&self.domains, &cpus, (node_name, task.rank, local)) {
                Ok(bound) => {
                    let announcement = asked.verbose.then_some(bound.line);
                    let domains = bound.domains.iter().collect();
                    task.memory = Some(TaskMemory { domains, prefer: asked.prefer, announcement });
                }
                Err(why) => {
                    task.refusal = vec![why, "Failed to invoke task plugins: task_p_pre_launch error".to_owned()];
                }
            }
        }
    }

    /// What a step asks for, or the site for it; `None` leaves it bound as a whole, without a word.
    fn asked(&self, step: &Step, how: &StepLaunch) -> Result<Option<CpuBind>, String> {
        let own = how.binding.cpus.as_deref().map(request::parse).transpose()?;
        // Whoever works in the shell of an allocation would hand its binding on to all steps that he starts.
        let site = (self.task.affinity && step.step_id != StepId::Interactive).then(|| self.task.bind.clone());
        Ok(match (own, site) {
            (Some(CpuBind { how: How::Automatic, verbose }), site) => {
                let how = site.map_or(How::Whole, |site| site.how);
                Some(CpuBind { verbose, how })
            }
            (own, site) => own.or(site),
        })
    }

    fn second(&self, how: &StepLaunch) -> Second {
        match how.binding.distribution.as_deref().and_then(|text| text.split([':', ',']).nth(1)) {
            Some("block") => Second::Block,
            Some("fcyclic") => Second::FullCyclic,
            Some("cyclic") => Second::Cyclic,
            _ if self.cores_by_block => Second::Block,
            _ => Second::Cyclic,
        }
    }
}

fn set(numbers: impl IntoIterator<Item = u32>) -> IndexSet {
    let mut set = IndexSet::default();
    numbers.into_iter().for_each(|number| set.insert(number));
    set
}

/// CPUs of each domain of memory of this machine.
fn domains() -> Vec<IndexSet> {
    detect::memory_domains().into_iter().map(set).collect()
}
