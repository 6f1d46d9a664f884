//! What has been measured, as text.

use std::collections::BTreeMap;

use muster_model::statistics::Statistics;

use crate::phases::Phase;

/// Least number of requests of a kind of which anything is told; of fewer than a hundred the last column is the longest.
const SAMPLES_MIN: usize = 10;

/// Times in milliseconds, by what was asked for and in which phase.
#[derive(Default)]
pub(crate) struct Samples(BTreeMap<(&'static str, Phase), Vec<f64>>);

impl Samples {
    pub(crate) fn add(&mut self, kind: &'static str, phase: Phase, took_ms: f64) {
        self.0.entry((kind, phase)).or_default().push(took_ms);
    }

    /// How many there are, the median and the 99th percentile.
    fn figures(&mut self, kind: &'static str, phase: Phase) -> Option<(usize, f64, f64)> {
        let times = self.0.get_mut(&(kind, phase)).filter(|times| times.len() >= SAMPLES_MIN)?;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
        Some((times.len(), at(0.5), at(0.99)))
    }

    /// A table, with the difference of the 99th percentile to that of the phase in which nothing is planned.
    pub(crate) fn print(&mut self, kinds: &[&'static str]) {
        println!("{:<12} {:<26} {:>6} {:>8} {:>8}", "request", "planner", "count", "p50 ms", "p99 ms");
        for kind in kinds {
            let rests = self.figures(kind, Phase::Rests);
            for phase in Phase::ALL {
                let Some((count, half, most)) = self.figures(kind, phase) else { continue };
                let than = rests.filter(|_| phase != Phase::Rests);
                let than =
                    than.map_or(String::new(), |(_, _, rests)| format!("{:+8.0} %", (most / rests - 1.0) * 100.0));
                println!("{kind:<12} {:<26} {count:>6} {half:>8.2} {most:>8.2} {than}", phase.name());
            }
        }
    }
}

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
        self.cpu.client += then.client - cpu.client;
    }

    pub(crate) fn print(&self, phase: Phase) {
        let share = |seconds: f64| 100.0 * seconds / self.seconds;
        println!(
            "{:<26} {:>4.0} s {:>6} passes, {:>4} over everything, {:>6.0} ms each; of one core: quick passes {:.0} %, long \
             passes {:.0} %, the rest of the controller {:.0} %, clients {:.0} %",
            phase.name(),
            self.seconds,
            self.passes,
            self.full,
            self.full_us as f64 / 1e3 / f64::from(self.full.max(1)),
            share(self.cpu.quick),
            share(self.cpu.long),
            share(self.cpu.controller),
            share(self.cpu.client)
        );
    }
}

impl Cpu {
    /// What the threads of this process have used so far.
    pub(crate) fn now() -> Cpu {
        let mut cpu = Cpu::default();
        for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let used = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let used = used.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9;
            match name.trim() {
                "planner" => cpu.quick += used,
                "planner-long" => cpu.long += used,
                "sequencer" | "committer" | "serve" => cpu.controller += used,
                _ => cpu.client += used,
            }
        }
        cpu
    }
}
