//! Looks at running tasks now and then: what they use at that moment is nowhere to be read afterwards.
//!
//! One thread does it for all units, so that a look at many tasks delays neither launches nor ends. It sleeps until a unit is due;
//! units are due at whole seconds after its start, so that those of many small jobs are looked at together. Where control groups
//! list the processes of a unit only these are read, otherwise all of the machine, once for all units that are due.
//!
//! A process belongs to the task in whose session it is, or whose descendant it is; one that left both but carries the mark of the
//! unit counts for its first task. What ended and was waited for by its parent is counted there by the kernel.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use muster_model::measure::TaskMeasure;

use super::inbox::{Inbox, Mailbox, Message};
use super::meter::Meter;
use super::processes::{self, ProcessStat};
use crate::cgroup;
use crate::gpu::usage::{self, GpuUse};
use crate::measure::MemoryCount;
use crate::protocol::UnitSample;
use crate::system;

/// Units are looked at together when they are due in the same of these.
const GRID: Duration = Duration::from_secs(1);

/// What the main thread tells the sampler.
#[derive(Debug)]
enum Order {
    /// Look at this unit from time to time, as long as it is there.
    Watch(Weak<Meter>),
    /// Look at these now and tell.
    Look { number: u64, meters: Vec<Arc<Meter>> },
    /// Read the counter of energy of a unit that has started.
    Start(Weak<Meter>),
    /// Read it for the last time, and tell.
    End(Arc<Meter>),
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Sampler {
    orders: Arc<Mailbox<Order>>,
}

impl Sampler {
    /// Starts it. What it is asked for it tells `main`.
    pub(crate) fn start(main: Arc<Inbox>) -> io::Result<Sampler> {
        let orders = Arc::new(Mailbox::new()?);
        let mut work =
            Work { orders: Arc::clone(&orders), main, start: Instant::now(), watched: Vec::new(), marks: Marks::new() };
        std::thread::Builder::new().name("sampler".into()).stack_size(256 << 10).spawn(move || work.run())?;
        Ok(Sampler { orders })
    }

    /// From now on looks at the unit as often as it wants.
    pub(crate) fn watch(&self, meter: &Arc<Meter>) {
        if meter.has_energy() {
            self.orders.send(Order::Start(Arc::downgrade(meter)));
        }
        if meter.is_periodic() {
            self.orders.send(Order::Watch(Arc::downgrade(meter)));
        }
    }

    /// Reads the energy of a unit that ends; [`Message::EnergyRead`] comes when that is done.
    pub(crate) fn end(&self, meter: Arc<Meter>) {
        self.orders.send(Order::End(meter));
    }

    /// Looks at once; the answer comes as [`Message::Looked`].
    pub(crate) fn look(&self, number: u64, meters: Vec<Arc<Meter>>) {
        self.orders.send(Order::Look { number, meters });
    }
}

/// Marks of processes that left their parents, by process number with the time of their start: each is read once.
type Marks = HashMap<(i32, u64), Option<String>>;

struct Work {
    orders: Arc<Mailbox<Order>>,
    main: Arc<Inbox>,
    start: Instant,
    /// When each unit is due, in [`GRID`] after the start.
    watched: Vec<(u64, Weak<Meter>)>,
    marks: Marks,
}

impl Work {
    fn run(&mut self) {
        loop {
            let mut fds = [system::pollfd(self.orders.fd(), libc::POLLIN)];
            if let Err(error) = system::poll(&mut fds, self.timeout_ms()) {
                tracing::error!(%error, "what tasks use is not looked at any more");
                return;
            }
            for order in self.orders.take() {
                match order {
                    Order::Watch(meter) => self.watch(meter),
                    Order::Look { number, meters } => self.answer(number, &meters),
                    Order::Start(meter) => meter.upgrade().iter().for_each(|meter| meter.read_energy()),
                    Order::End(meter) => {
                        meter.read_energy();
                        self.main.send(Message::EnergyRead { key: meter.key });
                    }
                }
            }
            self.look_at_due();
            if self.watched.is_empty() {
                usage::close();
            }
        }
    }

    fn timeout_ms(&self) -> i32 {
        let Some(due) = self.watched.iter().map(|(due, _)| *due).min() else { return -1 };
        let at = GRID.saturating_mul(u32::try_from(due).unwrap_or(u32::MAX));
        let wait = at.saturating_sub(self.start.elapsed());
        i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    }

    /// The first look comes soon, so that little is missed of what runs for a short time.
    fn watch(&mut self, meter: Weak<Meter>) {
        if let Some(unit) = meter.upgrade() {
            let first = unit.since + unit.interval.unwrap_or(GRID).min(GRID);
            self.watched.push((self.grid(first), meter));
        }
    }

    /// The first of the grid's moments at or after `at`.
    fn grid(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start).as_millis();
        u64::try_from(since.div_ceil(GRID.as_millis())).unwrap_or(u64::MAX)
    }

    fn look_at_due(&mut self) {
        let now = Instant::now();
        let passed = u64::try_from(self.start.elapsed().as_millis() / GRID.as_millis()).unwrap_or(u64::MAX);
        let mut due = Vec::new();
        for (at, meter) in std::mem::take(&mut self.watched) {
            let Some(unit) = meter.upgrade() else { continue };
            if at > passed {
                self.watched.push((at, meter));
            } else {
                self.watched.push((self.grid(now + unit.interval.unwrap_or(GRID)), meter));
                due.push(unit);
            }
        }
        if !due.is_empty() {
            look(&due, &mut self.marks);
            for unit in due {
                if let Some((used, limit)) = unit.over_memory() {
                    self.main.send(Message::OverMemory { key: unit.key, used, limit });
                }
            }
        }
    }

    fn answer(&mut self, number: u64, meters: &[Arc<Meter>]) {
        let pids = look(meters, &mut self.marks);
        let samples = meters.iter().zip(pids).map(|(meter, mut pids)| {
            pids.sort_unstable();
            let tasks = meter.tasks.iter().map(|(rank, pid)| (*rank, *pid as u32));
            let tasks = tasks.filter(|(_, pid)| pids.binary_search(pid).is_ok()).collect();
            UnitSample { key: meter.key, measured: meter.measured(), pids, tasks }
        });
        self.main.send(Message::Looked { number, units: samples.collect() });
    }
}

/// Looks at all tasks of these units, and gives the processes of each unit.
fn look(meters: &[Arc<Meter>], marks: &mut Marks) -> Vec<Vec<u32>> {
    let processes = read(meters);
    let owners = Owners::new(meters, &processes);
    let mut looks: Vec<HashMap<usize, TaskMeasure>> = vec![HashMap::new(); meters.len()];
    let mut pids: Vec<Vec<u32>> = vec![Vec::new(); meters.len()];
    let mut present = Marks::new();
    let gpus = meters.iter().find(|meter| meter.how.gpus).map(|meter| usage::by_process(&meter.how.world()));
    for process in processes.iter().filter(|process| !process.is_zombie) {
        let Some((unit, task)) = owners.of(process, marks, &mut present) else { continue };
        if let (Some(looks), Some(pids)) = (looks.get_mut(unit), pids.get_mut(unit)) {
            let look = looks.entry(task).or_default();
            let how = meters.get(unit).map(|meter| &meter.how);
            add(look, process, how.map(|how| how.memory).unwrap_or_default());
            if how.is_some_and(|how| how.gpus) {
                let used = gpus.as_ref().and_then(|gpus| gpus.get(&(process.pid as u32)).copied());
                add_gpus(look, used.unwrap_or_default());
            }
            pids.push(process.pid as u32);
        }
    }
    *marks = present;
    for (meter, looks) in meters.iter().zip(looks) {
        meter.see_all(&looks);
        // Counters of energy begin anew when they are full; so they are read with each look.
        meter.read_energy();
    }
    pids
}

/// The processes among which those of the units are.
fn read(meters: &[Arc<Meter>]) -> Vec<ProcessStat> {
    let groups: Option<Vec<_>> = meters.iter().map(|meter| meter.group.as_deref()).collect();
    match groups {
        Some(groups) => groups.into_iter().flat_map(cgroup::pids_below).filter_map(processes::stat).collect(),
        None => processes::all(),
    }
}

/// To which task a process belongs.
struct Owners<'a> {
    own: i32,
    /// Tasks by process number: place of the unit, and of the task in it.
    tasks: HashMap<i32, (usize, usize)>,
    parents: HashMap<i32, (i32, i32)>,
    units: HashMap<&'a str, usize>,
    /// All units are in control groups, so that nothing of others is among the processes.
    are_grouped: bool,
}

/// Longest way up that is followed; a longer one is a circle, since numbers are used again while one reads.
const ANCESTORS_MAX: usize = 1000;

impl<'a> Owners<'a> {
    fn new(meters: &'a [Arc<Meter>], processes: &[ProcessStat]) -> Owners<'a> {
        let tasks = meters
            .iter()
            .enumerate()
            .flat_map(|(unit, meter)| meter.tasks.iter().enumerate().map(move |(task, (_, pid))| (*pid, (unit, task))));
        Owners {
            own: std::process::id() as i32,
            tasks: tasks.collect(),
            parents: processes.iter().map(|process| (process.pid, (process.parent, process.session))).collect(),
            units: meters.iter().enumerate().map(|(unit, meter)| (meter.mark.as_str(), unit)).collect(),
            are_grouped: meters.iter().all(|meter| meter.group.is_some()),
        }
    }

    fn of(&self, process: &ProcessStat, marks: &Marks, present: &mut Marks) -> Option<(usize, usize)> {
        let (mut pid, mut parent, mut session) = (process.pid, process.parent, process.session);
        for _ in 0..ANCESTORS_MAX {
            if let Some(owner) = self.tasks.get(&pid).or_else(|| self.tasks.get(&session)) {
                return Some(*owner);
            }
            if parent == self.own {
                break;
            }
            pid = parent;
            (parent, session) = match self.parents.get(&pid) {
                Some(next) => *next,
                None if self.are_grouped => break,
                None => return None,
            };
        }
        let key = (process.pid, process.started_ticks);
        let mark = present.entry(key).or_insert_with(|| match marks.get(&key) {
            Some(known) => known.clone(),
            None => processes::mark(process.pid),
        });
        Some((*self.units.get(mark.as_deref()?)?, 0))
    }
}

/// Adds a process to what its task uses.
fn add(task: &mut TaskMeasure, process: &ProcessStat, count: MemoryCount) {
    // SAFETY: asks for plain numbers.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let (tick_us, page_kb) = (1_000_000 / ticks.max(1) as u64, page.max(1024) as u64 / 1024);
    let plus = |sum: &mut Option<u64>, more: u64| *sum = Some(sum.unwrap_or(0).saturating_add(more));
    let both = |sum: &mut Option<(u64, u64)>, more: u64| {
        let now = sum.map_or(0, |(_, now)| now).saturating_add(more);
        *sum = Some((now, now));
    };
    plus(&mut task.cpu_us, process.cpu_ticks.saturating_mul(tick_us));
    plus(&mut task.pages, process.pages);
    let resident = || process.rss_pages.saturating_mul(page_kb);
    let memory = match count {
        MemoryCount::Resident => resident(),
        MemoryCount::Unshared => {
            process.rss_pages.saturating_sub(processes::shared_pages(process.pid)).saturating_mul(page_kb)
        }
        MemoryCount::Proportional => processes::proportional_kb(process.pid).unwrap_or_else(resident),
    };
    both(&mut task.rss_kb, memory);
    both(&mut task.vm_kb, process.vm_bytes / 1024);
    if let Some(io) = processes::io(process.pid) {
        plus(&mut task.read_bytes, io.read_bytes);
        plus(&mut task.write_bytes, io.write_bytes);
    }
}

fn add_gpus(task: &mut TaskMeasure, used: GpuUse) {
    let both = |sum: &mut Option<(u64, u64)>, more: u64| {
        let now = sum.map_or(0, |(_, now)| now).saturating_add(more);
        *sum = Some((now, now));
    };
    both(&mut task.gpu_percent, used.percent);
    both(&mut task.gpu_memory_kb, used.memory_kb);
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use muster_model::ids::{JobId, RestartCount, StepId};

    use super::*;
    use crate::measure::{EnergySource, MeasureHow};
    use crate::supervisor::processes::MARK_NAME;
    use crate::unit::UnitKey;

    /// A shell that has started another process, and has said so.
    fn task(mark: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; read nothing"])
            .env(MARK_NAME, mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("output")).read_line(&mut line).expect("a line");
        child
    }

    fn meter(tasks: &[&Child], interval: Option<Duration>) -> Arc<Meter> {
        meter_with(tasks, interval, MeasureHow::default())
    }

    fn meter_with(tasks: &[&Child], interval: Option<Duration>, how: MeasureHow) -> Arc<Meter> {
        let key = UnitKey { job_id: JobId(1), restart: RestartCount(0), step: StepId::Batch };
        let tasks = (5..).zip(tasks).map(|(rank, child)| (rank, child.id() as i32)).collect();
        Arc::new(Meter::new(key, "sampler-test@x", None, tasks, interval, how))
    }

    fn work() -> Work {
        let start = Instant::now().checked_sub(Duration::from_secs(60)).unwrap_or_else(Instant::now);
        let (orders, main) = (Arc::new(Mailbox::new().unwrap()), Arc::new(Inbox::new().unwrap()));
        Work { orders, main, start, watched: Vec::new(), marks: Marks::new() }
    }

    fn end(mut child: Child, pids: &[u32]) {
        pids.iter().for_each(|pid| system::kill(*pid as i32, libc::SIGKILL));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_look_counts_all_processes_of_a_task() {
        let (first, second, alien) = (task("sampler-test@x"), task("sampler-test@x"), task("other@x"));
        let mut work = work();
        work.answer(9, &[meter(&[&first, &second], None)]);
        let Some(Message::Looked { number: 9, units }) = work.main.take().pop() else { panic!("no answer") };
        let [unit] = units.as_slice() else { panic!("{units:?}") };
        assert_eq!(unit.pids.len(), 4, "{unit:?}");
        assert!(unit.pids.contains(&first.id()) && !unit.pids.contains(&alien.id()));
        let rss = unit.measured.rss_kb.expect("memory");
        assert!(unit.measured.tasks == 2 && rss.min > 0 && rss.total >= 2 * rss.min, "{unit:?}");
        assert!(unit.measured.read_bytes.is_some_and(|bytes| bytes.min > 0), "{unit:?}");
        let others: Vec<u32> = processes::all()
            .iter()
            .filter(|process| process.parent == alien.id() as i32)
            .map(|process| process.pid as u32)
            .collect();
        end(alien, &others);
        end(second, &unit.pids);
        first.wait_with_output().unwrap();
    }

    #[test]
    fn gpus_energy_and_too_much_memory_are_seen() {
        let child = task("sampler-test@z");
        let root = tempfile::tempdir().unwrap();
        let card = |energy: u64, percent: u64, last: u64| {
            let pid = child.id();
            format!(
                "card 3 A100|GPU-a|0:07:00.0\nenergy {energy} 1\nprocess {pid} 2097152 {percent} 5\nprocess {pid} 0 {last} 9\n"
            )
        };
        let library = crate::gpu::tests::fake_library(root.path(), &card(1000, 90, 40));
        std::fs::rename(library, root.path().join("libnvidia-ml.so.1")).unwrap();
        let how = MeasureHow {
            memory: MemoryCount::Proportional,
            memory_kill: Some(4096),
            energy: Some(EnergySource::Gpu),
            gpus: true,
            gpu_files: vec!["/dev/nvidia3".to_owned()],
            root: Some(root.path().display().to_string()),
        };
        let unit = meter_with(&[&child], Some(Duration::from_secs(30)), how);
        let mut work = work();
        unit.read_energy();
        work.watched.push((0, Arc::downgrade(&unit)));
        std::fs::write(root.path().join("cards"), card(4500, 90, 40)).unwrap();
        work.look_at_due();
        let seen = unit.measured();
        let amounts = |spread: Option<muster_model::measure::Spread>| spread.map(|spread| (spread.max, spread.total));
        assert_eq!(amounts(seen.gpu_percent), Some((40, 40)), "the last that was seen of the process");
        assert_eq!(amounts(seen.gpu_memory_kb), Some((2048, 2048)));
        assert_eq!(amounts(seen.energy_mj), Some((3500, 3500)));
        let rss = amounts(seen.rss_kb).expect("memory").1;
        let Some(Message::OverMemory { used, limit: 4096, .. }) = work.main.take().pop() else { panic!("not killed") };
        assert_eq!(used, rss * 1024);
        let plain = meter(&[&child], None);
        work.answer(1, std::slice::from_ref(&plain));
        let resident = plain.measured().rss_kb.expect("memory").total;
        assert!(rss < resident, "{rss} of {resident}: shared pages count in part");
        let Some(Message::Looked { units, .. }) = work.main.take().pop() else { panic!("no answer") };
        end(child, &units[0].pids.iter().copied().filter(|pid| *pid != std::process::id()).collect::<Vec<_>>()[1..]);
    }

    #[test]
    fn units_are_looked_at_when_they_are_due_until_they_are_gone() {
        let child = task("sampler-test@y");
        let mut work = work();
        let unit = meter(&[&child], Some(Duration::from_secs(30)));
        work.watch(Arc::downgrade(&unit));
        work.look_at_due();
        assert!(unit.measured().is_empty(), "the first look is due a second after the start");
        assert!((1..=2000).contains(&work.timeout_ms()), "{}", work.timeout_ms());
        work.start = work.start.checked_sub(Duration::from_secs(2)).expect("time");
        work.look_at_due();
        assert_eq!(unit.measured().tasks, 1);
        assert!((28_000..=31_000).contains(&work.timeout_ms()), "{}", work.timeout_ms());
        let never = meter(&[&child], Some(Duration::ZERO));
        assert!(!never.is_periodic() && !meter(&[&child], None).is_periodic());
        drop(unit);
        work.start = work.start.checked_sub(Duration::from_secs(60)).expect("time");
        work.look_at_due();
        assert_eq!(work.timeout_ms(), -1);
        let children: Vec<u32> = processes::all()
            .iter()
            .filter(|process| process.parent == child.id() as i32)
            .map(|process| process.pid as u32)
            .collect();
        end(child, &children);
    }
}
