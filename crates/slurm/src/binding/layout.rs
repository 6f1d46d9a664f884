//! Dealing the tasks of a step to the CPUs that it has on a node.
//!
//! What comes out was compared with the task/affinity plugin of Slurm 22.05 on a machine of two sockets, eight cores and
//! sixteen threads: `masks.txt` holds what that printed.

use muster_model::resources::IndexSet;

/// How a node is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Sockets.
    pub sockets: u32,
    /// Cores of each socket.
    pub cores_per_socket: u32,
    /// Hardware threads of each core.
    pub threads_per_core: u32,
}

impl Shape {
    /// All its CPUs.
    pub fn cpus(self) -> u32 {
        self.sockets.saturating_mul(self.cores_per_socket).saturating_mul(self.threads_per_core)
    }

    fn core(self, cpu: u32) -> u32 {
        cpu / self.threads_per_core.max(1)
    }

    fn socket(self, cpu: u32) -> u32 {
        self.core(cpu) / self.cores_per_socket.max(1)
    }

    /// The thing of this kind that a CPU belongs to.
    fn place(self, unit: Unit, cpu: u32) -> u32 {
        match unit {
            Unit::Threads => cpu,
            Unit::Cores => self.core(cpu),
            Unit::Sockets => self.socket(cpu),
        }
    }
}

/// What tasks are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole sockets.
    Sockets,
    /// Whole cores.
    Cores,
    /// Hardware threads.
    Threads,
}

impl Unit {
    /// Its word in Slurm.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Sockets => "sockets",
            Unit::Cores => "cores",
            Unit::Threads => "threads",
        }
    }
}

/// The second level of `--distribution`: how tasks go over the sockets of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// Fill a socket before the next.
    Block,
    /// Each task on the next socket.
    Cyclic,
    /// Each CPU of each task on the next socket.
    FullCyclic,
}

/// What tasks are bound to where nobody says it: to that of which the step has just as many as its tasks want CPUs.
/// `None` binds them to all that the step has.
pub fn automatic(shape: Shape, available: &IndexSet, cpus_wanted: u32) -> Option<Unit> {
    [Unit::Sockets, Unit::Cores, Unit::Threads].into_iter().find(|unit| {
        let each = match unit {
            Unit::Sockets => shape.cores_per_socket.saturating_mul(shape.threads_per_core),
            Unit::Cores => shape.threads_per_core,
            Unit::Threads => 1,
        };
        // Only whole ones count, and none may be there in part. One task that gets all is not bound further.
        available.len() == cpus_wanted.saturating_mul(each) && whole(shape, available, *unit, each)
    })
}

fn whole(shape: Shape, available: &IndexSet, unit: Unit, each: u32) -> bool {
    let mut last = None;
    let mut places = 0;
    for cpu in available.iter() {
        let place = shape.place(unit, cpu);
        if last != Some(place) {
            places += 1;
            last = Some(place);
        }
    }
    places * each == available.len()
}

/// The CPUs of each of `tasks` tasks that want `cpus_per_task` each, out of `available`. All numbers are abstract. Where
/// there are fewer CPUs than wanted, tasks get fewer, and share them in the end.
pub fn deal(
    shape: Shape,
    available: &IndexSet,
    (tasks, cpus_per_task): (u32, u32),
    unit: Unit,
    second: Second,
) -> Vec<IndexSet> {
    let all: Vec<u32> = available.iter().collect();
    if all.is_empty() || tasks == 0 {
        return vec![IndexSet::default(); tasks as usize];
    }
    let most = u32::try_from(all.len()).unwrap_or(u32::MAX) / tasks;
    let each = cpus_per_task.clamp(1, most.max(1)) as usize;
    let taken = match second {
        Second::Block => in_order(shape, &all, tasks, each, unit),
        Second::Cyclic | Second::FullCyclic => round_sockets(shape, &all, (tasks, each), unit, second),
    };
    taken.iter().map(|cpus| expand(shape, &all, cpus, unit)).collect()
}

/// All available CPUs of the units that `cpus` belong to.
fn expand(shape: Shape, all: &[u32], cpus: &[u32], unit: Unit) -> IndexSet {
    let mut places: Vec<u32> = cpus.iter().map(|cpu| shape.place(unit, *cpu)).collect();
    places.sort_unstable();
    let mut set = IndexSet::default();
    let belongs = |cpu: &&u32| places.binary_search(&shape.place(unit, **cpu)).is_ok();
    all.iter().filter(belongs).for_each(|cpu| set.insert(*cpu));
    set
}

/// CPUs that are given one after the other, from the beginning again when all are given.
struct Row {
    cpus: Vec<u32>,
    next: usize,
}

impl Row {
    fn take(&mut self) -> Option<u32> {
        let cpu = self.cpus.get(self.next).copied()?;
        self.next += 1;
        Some(cpu)
    }

    /// Leaves out what is left of the core that was given last.
    fn leave_core(&mut self, shape: Shape) {
        let Some(last) = self.next.checked_sub(1).and_then(|last| self.cpus.get(last)) else { return };
        let core = shape.core(*last);
        while self.cpus.get(self.next).is_some_and(|cpu| shape.core(*cpu) == core) {
            self.next += 1;
        }
    }
}

fn in_order(shape: Shape, all: &[u32], tasks: u32, each: usize, unit: Unit) -> Vec<Vec<u32>> {
    let mut row = Row { cpus: all.to_vec(), next: 0 };
    let mut taken = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        if unit == Unit::Cores {
            row.leave_core(shape);
        }
        let mut cpus = Vec::with_capacity(each);
        while cpus.len() < each {
            match row.take() {
                Some(cpu) => cpus.push(cpu),
                None => row.next = 0,
            }
        }
        taken.push(cpus);
    }
    taken
}

fn round_sockets(shape: Shape, all: &[u32], (tasks, each): (u32, usize), unit: Unit, second: Second) -> Vec<Vec<u32>> {
    let mut rows: Vec<Row> = Vec::new();
    for part in all.chunk_by(|one, other| shape.socket(*one) == shape.socket(*other)) {
        rows.push(Row { cpus: part.to_vec(), next: 0 });
    }
    let full = second == Second::FullCyclic;
    // A task that fills its cores leaves nothing to leave out.
    let new_core = unit == Unit::Cores && each % (shape.threads_per_core.max(1) as usize) != 0;
    let mut at = 0;
    let mut taken = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        if let Some(row) = rows.get_mut(at).filter(|_| new_core) {
            row.leave_core(shape);
        }
        let mut cpus = Vec::with_capacity(each);
        let mut empty = 0;
        while cpus.len() < each {
            if empty == rows.len() {
                rows.iter_mut().for_each(|row| row.next = 0);
                (at, empty) = (0, 0);
            }
            let next = (at + 1) % rows.len();
            let Some(row) = rows.get_mut(at) else { break };
            match row.take() {
                Some(cpu) => {
                    cpus.push(cpu);
                    empty = 0;
                    let is_last = cpus.len() == each;
                    if is_last && unit == Unit::Cores && !full {
                        row.leave_core(shape);
                    }
                    at = if full || is_last { next } else { at };
                }
                None => (at, empty) = (next, empty + 1),
            }
        }
        taken.push(cpus);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { sockets: 2, cores_per_socket: 4, threads_per_core: 2 };

    /// Where real Slurm gives another CPU: it goes over a core twice before all are given once.
    const OTHERWISE: &[&str] = &["16 1 cores block:fcyclic 0xFFFF", "2 5 cores block:fcyclic 0x0F3F"];

    fn set(mask: &str) -> IndexSet {
        let bits = u64::from_str_radix(mask.trim_start_matches("0x"), 16).unwrap();
        let mut set = IndexSet::default();
        (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| set.insert(bit));
        set
    }

    fn mask(set: &IndexSet) -> String {
        format!("0x{:04X}", set.iter().map(|bit| 1u64 << bit).sum::<u64>())
    }

    fn second(distribution: &str) -> Second {
        match distribution.split(':').nth(1) {
            Some("block") => Second::Block,
            Some("fcyclic") => Second::FullCyclic,
            _ => Second::Cyclic,
        }
    }

    #[test]
    fn masks_are_those_of_real_slurm() {
        let mut compared = 0;
        for line in include_str!("masks.txt").lines() {
            let (asked, expected) = line.split_once(" => ").unwrap();
            let words: Vec<&str> = asked.split(' ').collect();
            let [tasks, each, bind, distribution, available] = words.as_slice() else { panic!("{line}") };
            let counts: (u32, u32) = (tasks.parse().unwrap(), each.parse().unwrap());
            let available = set(available);
            let unit = match *bind {
                "cores" => Some(Unit::Cores),
                "sockets" => Some(Unit::Sockets),
                "threads" => Some(Unit::Threads),
                "auto" => automatic(SHAPE, &available, counts.0 * counts.1),
                _ => continue,
            };
            let found = unit.map_or("whole".to_owned(), |unit| {
                let masks = deal(SHAPE, &available, counts, unit, second(distribution));
                format!("{} {}", unit.word(), masks.iter().map(mask).collect::<Vec<_>>().join(","))
            });
            let as_slurm = !OTHERWISE.contains(&asked);
            assert_eq!(found == expected, as_slurm, "{line}\nfound {found}");
            compared += 1;
        }
        assert!(compared > 300, "{compared}");
    }

    #[test]
    fn odd_counts_are_no_trouble() {
        let none = IndexSet::default();
        let some = set("0x0005");
        let deal = |available: &IndexSet, counts, second| super::deal(SHAPE, available, counts, Unit::Cores, second);
        assert_eq!(deal(&none, (2, 1), Second::Cyclic), vec![none.clone(), none]);
        for second in [Second::Block, Second::Cyclic, Second::FullCyclic] {
            assert!(deal(&some, (0, 1), second).is_empty());
            let found = deal(&some, (5, u32::MAX), second);
            assert!(found.len() == 5 && found.iter().all(|cpus| cpus.len() == 1), "{found:?}");
        }
    }

    proptest::proptest! {
        /// Nobody gets what the step has not, everybody gets something, and bound to threads nobody shares while there is
        /// enough for all.
        #[test]
        fn tasks_stay_within_their_step(bits in 1u64..0x10000, tasks in 1u32..20, each in 0u32..9, which in 0usize..9) {
            let available = set(&format!("{bits:x}"));
            let unit = [Unit::Sockets, Unit::Cores, Unit::Threads][which / 3];
            let second = [Second::Block, Second::Cyclic, Second::FullCyclic][which % 3];
            let dealt = deal(SHAPE, &available, (tasks, each), unit, second);
            proptest::prop_assert_eq!(dealt.len(), tasks as usize);
            let mut seen = IndexSet::default();
            for cpus in &dealt {
                proptest::prop_assert!(!cpus.is_empty() && cpus.iter().all(|cpu| available.contains(cpu)));
                if unit == Unit::Threads && tasks <= available.len() {
                    proptest::prop_assert!(seen.is_disjoint(cpus));
                    seen.add_all(cpus);
                }
            }
        }
    }
}
