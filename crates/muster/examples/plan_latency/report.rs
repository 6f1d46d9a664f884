//! What the planner did meanwhile, and who used the processors.

use std::time::Instant;

use muster_model::statistics::Statistics;

use crate::phases::Phase;

/// In which `/proc/stat` counts, on every machine that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the planner did and who used how much of the processors, in one kind of phase.
#[derive(Default, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) seconds: f64,
    pub(crate) passes: u32,
    pub(crate) full: u32,
    pub(crate) full_us: u64,
    pub(crate) cpu: Cpu,
}

/// Seconds of processor time, by who used them.
#[derive(Default, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) quick: f64,
    pub(crate) long: f64,
    /// Sequencer, committer and the threads that serve.
    pub(crate) controller: f64,
    /// What takes a processor for the sake of comparison.
    pub(crate) counter: f64,
    /// Whoever asks and plays agents.
    pub(crate) client: f64,
}

impl Effort {
    pub(crate) fn add(&mut self, seconds: f64, (cpu, then): (&Cpu, &Cpu), (before, after): (&Statistics, &Statistics)) {
        self.seconds += seconds;
        self.passes += after.passes.count - before.passes.count;
        self.full += after.full_passes.count - before.full_passes.count;
        self.full_us += after.full_passes.total_us - before.full_passes.total_us;
        self.cpu.quick += then.quick - cpu.quick;
        self.cpu.long += then.long - cpu.long;
        self.cpu.controller += then.controller - cpu.controller;
        self.cpu.counter += then.counter - cpu.counter;
        self.cpu.client += then.client - cpu.client;
    }

    pub(crate) fn print(&self, phase: Phase) {
        let share = |seconds: f64| 100.0 * seconds / self.seconds;
        println!(
            "{:<26} {:>4.0} s {:>6} passes, {:>4} over everything, {:>6.0} ms each; of one core: quick passes {:.0} %, long \
             passes {:.0} %, the rest of the controller {:.0} %, clients {:.0} %, the other program {:.0} %",
            phase.name(),
            self.seconds,
            self.passes,
            self.full,
            self.full_us as f64 / 1e3 / f64::from(self.full.max(1)),
            share(self.cpu.quick),
            share(self.cpu.long),
            share(self.cpu.controller),
            share(self.cpu.client),
            share(self.cpu.counter)
        );
    }
}

impl Cpu {
    /// What the controller, whatever takes a processor, and this process have used so far.
    pub(crate) fn now(controller: u32, counter: u32) -> Cpu {
        let mut cpu = Cpu::default();
        for (name, used) in threads(controller) {
            match name.as_str() {
                "planner" => cpu.quick += used,
                "planner-long" => cpu.long += used,
                _ => cpu.controller += used,
            }
        }
        cpu.counter = threads(counter).map(|(_, used)| used).sum();
        cpu.client = threads(std::process::id()).map(|(_, used)| used).sum();
        cpu
    }

    fn sum(&self) -> f64 {
        self.quick + self.long + self.controller + self.counter + self.client
    }
}

/// The threads of a process: name, and seconds used.
fn threads(pid: u32) -> impl Iterator<Item = (String, f64)> {
    std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let used = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        let used = used.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9;
        (name.trim().to_owned(), used)
    })
}

/// What whoever does not belong to the measurement has used of the processors, a host that takes them away from this
/// machine included.
pub(crate) struct Others {
    began: Instant,
    used: f64,
}

impl Others {
    /// From here on, where `own` is what the measurement has used until now.
    pub(crate) fn now(own: Cpu) -> Others {
        Others { began: Instant::now(), used: used_by_all() - own.sum() }
    }

    /// How much of one processor it was since then.
    pub(crate) fn share_since(&self, own: Cpu) -> f64 {
        (used_by_all() - own.sum() - self.used) / self.began.elapsed().as_secs_f64()
    }
}

/// Seconds until now.
fn used_by_all() -> f64 {
    /// Columns of `/proc/stat` in which a processor works: user, nice, system, irq, softirq, steal.
    const BUSY: [usize; 6] = [1, 2, 3, 6, 7, 8];
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let columns: Vec<&str> = stat.lines().next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = BUSY.iter().filter_map(|at| columns.get(*at)?.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}
