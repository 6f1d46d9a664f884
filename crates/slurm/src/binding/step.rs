//! The binding of the tasks of one step on one node, and what they are told of it.

use muster_model::resources::IndexSet;

use super::layout::{self, Second, Shape, Unit};
use super::request::{CpuBind, How, print_mask};
use crate::environment::Variables;

/// A node as its CPUs are bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// How it is made.
    pub shape: Shape,
    /// Machine numbers of its CPUs in abstract order; a CPU beyond has its own number.
    pub order: Vec<u32>,
    /// CPUs of each domain of memory, machine numbers.
    pub domains: Vec<IndexSet>,
}

impl Machine {
    /// Machine numbers of abstract ones.
    pub fn numbers(&self, cpus: &IndexSet) -> IndexSet {
        let mut set = IndexSet::default();
        cpus.iter().for_each(|cpu| set.insert(self.order.get(cpu as usize).copied().unwrap_or(cpu)));
        set
    }

    fn print(&self, set: &IndexSet) -> String {
        format!("0x{}", print_mask(set, self.shape.cpus().div_ceil(4) as usize))
    }
}

/// A step on a node.
#[derive(Debug, Clone, Copy)]
pub struct StepFacts<'a> {
    /// CPUs that it has there, abstract numbers.
    pub cpus: &'a IndexSet,
    /// Tasks there.
    pub tasks: u32,
    /// CPUs of each task.
    pub cpus_per_task: u32,
    /// The second level of its distribution.
    pub second: Second,
    /// To what tasks are bound of which there are neither sockets nor cores nor threads in their number
    /// (`TaskPluginParam=Autobind=`).
    pub otherwise: Option<Unit>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// CPUs of each task, machine numbers; an empty set binds it to nothing.
    pub tasks: Vec<IndexSet>,
    /// `SLURM_CPU_BIND` and its kin.
    pub variables: Variables,
    /// The word that says in the line of a verbose task how it was bound: `MASK`, `MAP `, `RANK`.
    pub action: &'static str,
}

impl Bound {
    /// What a verbose task says: before and behind its process number. `local` is its place among the tasks of the node. Where
    /// the CPUs cannot be set, `FAILED` is to follow.
    pub fn line(&self, node_name: &str, rank: u32, local: usize) -> (String, String) {
        let mask = self.tasks.get(local).map(|cpus| print_mask(cpus, 0).to_ascii_lowercase()).unwrap_or_default();
        let action = self.action;
        let before = format!("cpu-bind={action} - {node_name}, task {rank:2} {local:2} [");
        let set = if action == "NONE" { "" } else { " set" };
        (before, format!("]: mask 0x{mask}{set}"))
    }
}

/// Binds the tasks of a step.
///
/// # Errors
/// What `srun` is told where the step must not be bound so.
pub fn bind(machine: &Machine, step: &StepFacts<'_>, asked: &CpuBind) -> Result<Bound, String> {
    let verbosity = if asked.verbose { "verbose" } else { "quiet" };
    let own = machine.numbers(step.cpus);
    let is_whole = step.cpus.len() >= machine.shape.cpus();
    let allocated = |word: &str| match is_whole {
        true => Ok(()),
        false => Err(format!("Entire node must be allocated for {verbosity},{word}")),
    };
    let round = |list: &[IndexSet]| round(list, step.tasks);
    let all = IndexSet::first_n(machine.shape.cpus());
    let (tasks, kind, list, action) = match &asked.how {
        How::None => (vec![IndexSet::default(); step.tasks as usize], "none", String::new(), "NONE"),
        How::Rank => {
            allocated("rank")?;
            let each: Vec<IndexSet> = machine.numbers(&all).iter().map(single).collect();
            (round(&each), "rank", String::new(), "RANK")
        }
        How::Map(cpus) => {
            let each: Vec<IndexSet> = cpus.iter().copied().map(single).collect();
            within(machine, &each, &own, is_whole)?;
            (round(&each), "map_cpu:", join(cpus), "MAP ")
        }
        How::Mask(masks) => {
            within(machine, masks, &own, is_whole)?;
            let list: Vec<String> = masks.iter().map(|mask| print_mask(mask, 0)).collect();
            (round(masks), "mask_cpu:", list.join(","), "MASK")
        }
        How::RankDomain => {
            allocated("rank_ldom")?;
            (round(&machine.domains), "rank_ldom", String::new(), "LDRANK")
        }
        How::MapDomain(numbers) => {
            allocated("map_ldom")?;
            let each: Vec<IndexSet> = numbers.iter().map(|number| domain(machine, *number)).collect();
            (round(&each), "map_ldom:", join(numbers), "LDMAP ")
        }
        How::MaskDomain(masks) => {
            allocated("mask_ldom")?;
            let each: Vec<IndexSet> = masks.iter().map(|mask| domains(machine, mask)).collect();
            let list: Vec<String> = masks.iter().map(|mask| print_mask(mask, 0)).collect();
            (round(&each), "mask_ldom:", list.join(","), "LDMASK")
        }
        How::Automatic | How::Whole | How::Unit(_) | How::Domains | How::OneThread => {
            let masks = generated(machine, step, &asked.how);
            let list: Vec<String> = masks.iter().map(|mask| machine.print(mask)).collect();
            (round(&masks), "mask_cpu:", list.join(","), "MASK")
        }
    };
    Ok(Bound { tasks, variables: variables(verbosity, kind, &list), action })
}

fn variables(verbosity: &str, kind: &str, list: &str) -> Variables {
    vec![
        ("SLURM_CPU_BIND".to_owned(), format!("{verbosity},{kind}{list}")),
        ("SLURM_CPU_BIND_VERBOSE".to_owned(), verbosity.to_owned()),
        ("SLURM_CPU_BIND_TYPE".to_owned(), kind.to_owned()),
        ("SLURM_CPU_BIND_LIST".to_owned(), list.to_owned()),
    ]
}

/// Masks that follow from the layout: one for each task, or one for all.
fn generated(machine: &Machine, step: &StepFacts<'_>, how: &How) -> Vec<IndexSet> {
    let first_threads;
    let available = match how {
        How::OneThread => {
            first_threads = one_of_each_core(machine.shape, step.cpus);
            &first_threads
        }
        _ => step.cpus,
    };
    let counts = (step.tasks, step.cpus_per_task);
    let deal = |unit| layout::deal(machine.shape, available, counts, unit, step.second);
    let unit = match how {
        How::Unit(unit) => Some(*unit),
        How::Domains => {
            let near = |cpus: &IndexSet| near(machine, &machine.numbers(cpus));
            return deal(Unit::Threads).iter().map(near).collect();
        }
        How::Whole => None,
        _ => {
            let wanted = counts.0.saturating_mul(counts.1.max(1));
            layout::automatic(machine.shape, available, wanted).or(step.otherwise)
        }
    };
    let masks = unit.map_or_else(|| vec![available.clone()], deal);
    masks.iter().map(|mask| machine.numbers(mask)).collect()
}

fn one_of_each_core(shape: Shape, cpus: &IndexSet) -> IndexSet {
    let mut set = IndexSet::default();
    let mut last = None;
    for cpu in cpus.iter() {
        let core = cpu / shape.threads_per_core.max(1);
        if last != Some(core) {
            set.insert(cpu);
            last = Some(core);
        }
    }
    set
}

/// All CPUs of the domains that these belong to.
fn near(machine: &Machine, cpus: &IndexSet) -> IndexSet {
    let mut set = cpus.clone();
    machine.domains.iter().filter(|domain| !domain.is_disjoint(cpus)).for_each(|domain| set.add_all(domain));
    set
}

fn domain(machine: &Machine, number: u32) -> IndexSet {
    machine.domains.get(number as usize).cloned().unwrap_or_default()
}

fn domains(machine: &Machine, numbers: &IndexSet) -> IndexSet {
    let mut set = IndexSet::default();
    numbers.iter().for_each(|number| set.add_all(&domain(machine, number)));
    set
}

/// A list that is begun again for tasks beyond its end.
fn round(list: &[IndexSet], tasks: u32) -> Vec<IndexSet> {
    list.iter().cycle().take(tasks as usize).cloned().collect()
}

/// What a user names must be the step's, unless it has the whole node.
fn within(machine: &Machine, masks: &[IndexSet], own: &IndexSet, is_whole: bool) -> Result<(), String> {
    if is_whole || masks.iter().all(|mask| mask.iter().all(|cpu| own.contains(cpu))) {
        return Ok(());
    }
    Err(format!("CPU binding outside of job step allocation, allocated CPUs are: {}.", machine.print(own)))
}

fn single(cpu: u32) -> IndexSet {
    let mut set = IndexSet::default();
    set.insert(cpu);
    set
}

fn join(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::request::parse;

    fn machine(order: Vec<u32>) -> Machine {
        let shape = Shape { sockets: 2, cores_per_socket: 4, threads_per_core: 2 };
        let halves = [0..8, 8..16];
        let domains = halves.map(|half| {
            half.fold(IndexSet::default(), |mut set, cpu| {
                set.insert(cpu);
                set
            })
        });
        Machine { shape, order, domains: domains.to_vec() }
    }

    fn check(machine: &Machine, (from, to): (u32, u32), tasks: u32, asked: &str, expected: &str) {
        let mut cpus = IndexSet::default();
        (from..to).for_each(|cpu| cpus.insert(cpu));
        let step = StepFacts { cpus: &cpus, tasks, cpus_per_task: 1, second: Second::Cyclic, otherwise: None };
        let found = match bind(machine, &step, &parse(asked).unwrap()) {
            Ok(bound) => {
                let (before, after) = bound.line("n1", 7, tasks as usize - 1);
                format!("{} | {before}9{after}", bound.variables[0].1)
            }
            Err(error) => error,
        };
        assert_eq!(found, expected, "{asked}");
    }

    /// Texts of real Slurm 22.05, ranks apart.
    #[test]
    fn texts_are_those_of_real_slurm() {
        let check =
            |cpus, tasks, asked: &str, expected: &str| check(&machine(Vec::new()), cpus, tasks, asked, expected);
        check((0, 16), 2, "v", "verbose,mask_cpu:0x00FF,0xFF00 | cpu-bind=MASK - n1, task  7  1 [9]: mask 0xff00 set");
        check((0, 16), 3, "q", "quiet,mask_cpu:0xFFFF | cpu-bind=MASK - n1, task  7  2 [9]: mask 0xffff set");
        check((0, 16), 2, "v,none", "verbose,none | cpu-bind=NONE - n1, task  7  1 [9]: mask 0x0");
        check((0, 16), 2, "v,rank", "verbose,rank | cpu-bind=RANK - n1, task  7  1 [9]: mask 0x2 set");
        check((0, 16), 3, "v,map_cpu:1,0", "verbose,map_cpu:1,0 | cpu-bind=MAP  - n1, task  7  2 [9]: mask 0x2 set");
        check(
            (0, 16),
            3,
            "mask_cpu:0x1*2,0x3",
            "quiet,mask_cpu:1,1,3 | cpu-bind=MASK - n1, task  7  2 [9]: mask 0x3 set",
        );
        check((0, 16), 2, "v,rank_ldom", "verbose,rank_ldom | cpu-bind=LDRANK - n1, task  7  1 [9]: mask 0xff00 set");
        check((0, 16), 1, "map_ldom:1", "quiet,map_ldom:1 | cpu-bind=LDMAP  - n1, task  7  0 [9]: mask 0xff00 set");
        check((0, 4), 1, "ldoms", "quiet,mask_cpu:0x00FF | cpu-bind=MASK - n1, task  7  0 [9]: mask 0xff set");
        check(
            (0, 4),
            2,
            "one_thread",
            "quiet,mask_cpu:0x0001,0x0004 | cpu-bind=MASK - n1, task  7  1 [9]: mask 0x4 set",
        );
        check((0, 4), 2, "v,rank", "Entire node must be allocated for verbose,rank");
        let outside = "CPU binding outside of job step allocation, allocated CPUs are: 0x000F.";
        check((0, 4), 2, "v,map_cpu:1,12", outside);
        check((0, 4), 2, "v,mask_cpu:0x1,0x8000", outside);
    }

    /// Where the kernel counts second threads behind all cores.
    #[test]
    fn numbers_are_those_of_the_machine() {
        let order = (0..8).flat_map(|core| [core, core + 8]).collect();
        let expected = "quiet,mask_cpu:0x0101,0x1010 | cpu-bind=MASK - n1, task  7  1 [9]: mask 0x1010 set";
        check(&machine(order), (0, 16), 2, "cores", expected);
    }
}
