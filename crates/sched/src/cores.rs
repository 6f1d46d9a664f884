//! Which cores of one node a job gets, given which are free.
//!
//! The rules are Slurm's (select/cons_tres, 22.05), as observed on nodes of two sockets. One core after the other is
//! taken round the sockets; tasks of several cores stay on one socket each as long as one has room for a whole task.
//! By block the socket that fits tightest is filled, and where none suffices the fullest first. Cores near the generic
//! resources of the job are used where they suffice, and only these where that is enforced.

use muster_model::config::CpuUnit;
use muster_model::node::Hardware;
use muster_model::resources::IndexSet;

/// What is wanted of the cores of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct CoreWish {
    /// How many.
    pub(crate) cores: u32,
    /// Cores of one task, which stay together on a socket where they can.
    pub(crate) cores_per_task: u32,
    /// Socket by socket rather than round the sockets.
    pub(crate) by_block: bool,
    /// Most cores of each socket; 0 for no limit.
    pub(crate) cores_per_socket_max: u32,
    /// Cores to prefer, counted over the sockets.
    pub(crate) near: Option<IndexSet>,
    /// Whether no others will do.
    pub(crate) only_near: bool,
}

/// Free cores by socket, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FreeCores {
    sockets: Vec<Vec<u32>>,
}

impl FreeCores {
    /// The cores of `hardware` none of whose CPUs is in `reserved` or `busy`. Where sockets are given whole, a socket
    /// with a busy CPU has none.
    pub(crate) fn of(hardware: &Hardware, unit: CpuUnit, busy: &IndexSet, reserved: &IndexSet) -> FreeCores {
        let threads = hardware.cpus_per_core();
        let per_socket = hardware.cores_per_socket.max(1);
        let cores = hardware.cpus / threads;
        let mut sockets = vec![Vec::new(); cores.div_ceil(per_socket) as usize];
        let mut touched = vec![false; sockets.len()];
        for core in 0..cores {
            let socket = (core / per_socket) as usize;
            let mut cpus = core * threads..(core + 1) * threads;
            touched[socket] |= cpus.clone().any(|cpu| busy.contains(cpu));
            if cpus.all(|cpu| !busy.contains(cpu) && !reserved.contains(cpu)) {
                sockets[socket].push(core);
            }
        }
        if unit == CpuUnit::Socket {
            sockets.iter_mut().zip(touched).filter(|(_, touched)| *touched).for_each(|(cores, _)| cores.clear());
        }
        FreeCores { sockets }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.sockets.iter().map(|cores| cores.len() as u32).sum()
    }

    /// Leaves out the cores in `cores`.
    pub(crate) fn without(&mut self, cores: &IndexSet) {
        self.sockets.iter_mut().for_each(|socket| socket.retain(|core| !cores.contains(*core)));
    }

    /// Keeps only the cores in `cores`.
    pub(crate) fn only(&self, cores: &IndexSet) -> FreeCores {
        let kept = |socket: &Vec<u32>| socket.iter().copied().filter(|core| cores.contains(*core)).collect();
        FreeCores { sockets: self.sockets.iter().map(kept).collect() }
    }

    /// At most so many of each socket; 0 for no limit.
    pub(crate) fn limit_sockets(&mut self, most: u32) {
        if most > 0 {
            self.sockets.iter_mut().for_each(|socket| socket.truncate(most as usize));
        }
    }

    /// The cores for `wish`; `None` when there are too few.
    pub(crate) fn choose(mut self, wish: &CoreWish) -> Option<IndexSet> {
        self.limit_sockets(wish.cores_per_socket_max);
        if let Some(near) = &wish.near {
            let close = self.only(near);
            if wish.only_near || close.count() >= wish.cores {
                self = close;
            }
        }
        if self.count() < wish.cores {
            return None;
        }
        let mut chosen = IndexSet::default();
        if wish.by_block {
            self.by_block(wish.cores, &mut chosen)
        } else {
            self.by_turns(wish, &mut chosen)
        }
        Some(chosen)
    }

    /// The tightest socket that suffices; while none does, the fullest one first.
    fn by_block(&mut self, mut left: u32, chosen: &mut IndexSet) {
        while left > 0 {
            let size = |socket: &usize| self.sockets[*socket].len() as u32;
            let sockets = 0..self.sockets.len();
            let tightest =
                sockets.clone().filter(|socket| size(socket) >= left).min_by_key(|socket| (size(socket), *socket));
            let fullest = || sockets.filter(|socket| size(socket) > 0).min_by_key(|s| (std::cmp::Reverse(size(s)), *s));
            let Some(socket) = tightest.or_else(fullest) else { return };
            let count = size(&socket).min(left);
            self.sockets[socket].drain(..count as usize).for_each(|core| chosen.insert(core));
            left -= count;
        }
    }

    fn by_turns(&mut self, wish: &CoreWish, chosen: &mut IndexSet) {
        let mut left = wish.cores;
        let together = wish.cores_per_task.max(1);
        while together > 1 && left >= together {
            let Some(socket) = self.sockets.iter_mut().find(|cores| cores.len() >= together as usize) else { break };
            socket.drain(..together as usize).for_each(|core| chosen.insert(core));
            left -= together;
        }
        let mut turn = 0;
        while left > 0 {
            for cores in &mut self.sockets {
                if left > 0 && turn < cores.len() {
                    chosen.insert(cores[turn]);
                    left -= 1;
                }
            }
            turn += 1;
        }
    }
}

/// The CPUs of `cores`.
pub(crate) fn cpus_of(hardware: &Hardware, cores: &IndexSet) -> IndexSet {
    let threads = hardware.cpus_per_core();
    let mut cpus = IndexSet::default();
    cores.iter().for_each(|core| (core * threads..(core + 1) * threads).for_each(|cpu| cpus.insert(cpu)));
    cpus
}

/// Cores that a job with `--core-spec=count` leaves to the system: first those that the node reserves anyway, then
/// from the last core of the last socket, round the sockets backwards.
pub(crate) fn left_to_system(hardware: &Hardware, count: u32) -> IndexSet {
    let threads = hardware.cpus_per_core();
    let (sockets, per_socket) = (hardware.sockets.max(1), hardware.cores_per_socket.max(1));
    let mut left = IndexSet::default();
    let reserved = (0..hardware.cpus / threads).filter(|core| hardware.cpus_reserved.contains(core * threads));
    let backwards = (0..per_socket).rev().flat_map(|core| (0..sockets).rev().map(move |s| s * per_socket + core));
    for core in reserved.chain(backwards) {
        if left.len() >= count {
            break;
        }
        left.insert(core);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(sockets: u32, cores: u32, threads: u32) -> Hardware {
        Hardware {
            sockets,
            cores_per_socket: cores,
            threads_per_core: threads,
            ..Hardware::of_cpus(sockets * cores * threads)
        }
    }

    fn set(cpus: &[u32]) -> IndexSet {
        let mut set = IndexSet::default();
        cpus.iter().for_each(|cpu| set.insert(*cpu));
        set
    }

    /// CPUs of two sockets of four cores.
    #[track_caller]
    fn check(threads: u32, busy: &[u32], wish: CoreWish, expected: &str) {
        let hardware = node(2, 4, threads);
        let cores = FreeCores::of(&hardware, CpuUnit::Core, &set(busy), &IndexSet::default()).choose(&wish);
        let text = cores.map_or("-".to_owned(), |cores| cpus_of(&hardware, &cores).to_string());
        assert_eq!(text, expected, "{wish:?}");
    }

    fn wish(cores: u32, cores_per_task: u32) -> CoreWish {
        CoreWish { cores, cores_per_task, ..CoreWish::default() }
    }

    /// Each line is what Slurm 22.05 gave on such a node.
    #[test]
    fn cores_are_taken_round_the_sockets() {
        check(1, &[], wish(1, 1), "0");
        check(1, &[], wish(2, 1), "0,4");
        check(1, &[], wish(3, 1), "0-1,4");
        check(1, &[], wish(5, 1), "0-2,4-5");
        check(2, &[], wish(1, 1), "0-1");
        check(2, &[], wish(2, 1), "0-1,8-9");
        check(2, &[], wish(3, 1), "0-3,8-9");
        check(2, &[], wish(4, 1), "0-3,8-11");
    }

    #[test]
    fn a_task_stays_on_one_socket_where_it_fits() {
        check(1, &[], wish(3, 3), "0-2");
        check(1, &[], wish(5, 5), "0-2,4-5");
        check(1, &[], wish(4, 2), "0-3");
        check(2, &[], wish(2, 2), "0-3");
        check(2, &[], wish(4, 2), "0-7");
        check(2, &[], wish(5, 5), "0-5,8-11");
    }

    #[test]
    fn by_block_a_socket_is_filled() {
        let block = |cores| CoreWish { by_block: true, ..wish(cores, 1) };
        check(1, &[], block(4), "0-3");
        check(1, &[], block(5), "0-4");
        check(2, &[], block(3), "0-5");
        check(1, &[4, 5], block(2), "6-7");
        check(1, &[0, 4, 5], block(4), "1-3,6");
    }

    #[test]
    fn near_cores_come_first() {
        let near = |cores, only_near| CoreWish { near: Some(set(&[4, 5, 6, 7])), only_near, ..wish(cores, 1) };
        check(1, &[], near(4, false), "4-7");
        check(1, &[], near(6, false), "0-2,4-6");
        check(1, &[], near(4, true), "4-7");
        check(1, &[], near(6, true), "-");
    }

    #[test]
    fn reserved_cores_are_not_given() {
        let mut hardware = node(2, 4, 2);
        hardware.cpus_reserved = set(&[6, 7, 14, 15]);
        assert_eq!(FreeCores::of(&hardware, CpuUnit::Core, &IndexSet::default(), &hardware.cpus_reserved).count(), 6);
        assert_eq!(left_to_system(&hardware, 1).to_string(), "3");
        assert_eq!(left_to_system(&node(2, 4, 2), 3).to_string(), "3,6-7");
        assert_eq!(FreeCores::of(&node(2, 4, 1), CpuUnit::Socket, &set(&[1]), &IndexSet::default()).count(), 4);
    }

    /// Whatever is free and wanted: exactly so many free cores, none twice, or none at all when they do not suffice.
    #[test]
    fn what_is_chosen_is_free_and_enough() {
        for seed in 0..4096_u32 {
            let busy = set(&(0..8).filter(|bit| seed & (1 << bit) != 0).collect::<Vec<_>>());
            let (cores, together, by_block) = (1 + seed / 256 % 4, 1 + seed / 1024 % 2, seed & 0x800 != 0);
            let free = FreeCores::of(&node(2, 4, 1), CpuUnit::Core, &busy, &IndexSet::default());
            let enough = free.count() >= cores;
            let chosen = free.choose(&CoreWish { by_block, ..wish(cores, together) });
            assert_eq!(chosen.is_some(), enough, "{seed}");
            if let Some(chosen) = chosen {
                assert!(chosen.len() == cores && chosen.is_disjoint(&busy), "{seed}");
            }
        }
    }
}
