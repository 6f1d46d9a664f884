//! What is wrong with this node, as heartbeats tell it: devices that were there when the agent started and are no more.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use muster_runtime::energy;
use muster_runtime::gpu::World;
use muster_runtime::measure::EnergySource;
use muster_slurm::conf::NodeGres;

use crate::gres::GresSource;

/// How often the devices are looked at. A look wakes sleeping GPUs, so it is not done all the time.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Shared by who looks and who tells.
#[derive(Debug, Default)]
pub(crate) struct Health {
    fault: Arc<Mutex<String>>,
    /// Who looks ends with this.
    looking: Option<Sender<()>>,
    /// Watts as they were read last; `None` where no sensor is read, or it never answered.
    watts: Arc<Mutex<Option<(u32, u32)>>>,
    /// As [`Health::looking`], for the sensor.
    sensing: Option<Sender<()>>,
}

/// The counter of energy at the start and when it was read last.
#[derive(Debug)]
struct Power {
    source: EnergySource,
    world: World,
    first: (Instant, u64),
    last: (Instant, u64),
    watts: u32,
}

/// How often the sensor is read: as often as heartbeats tell of it.
const POWER_INTERVAL: Duration = Duration::from_secs(10);

/// Less time between two readings says nothing of power: counters move in steps.
const POWER_INTERVAL_MIN: Duration = Duration::from_millis(500);

impl Power {
    fn start(source: EnergySource, world: &World) -> Option<Power> {
        let now = (Instant::now(), energy::counter_mj(source, world, &[])?);
        Some(Power { source, world: world.clone(), first: now, last: now, watts: 0 })
    }

    /// Reads the counter, and tells [`Power::watts`].
    fn read(&mut self, now: Instant) -> (u32, u32) {
        if now.saturating_duration_since(self.last.0) >= POWER_INTERVAL_MIN
            && let Some(counter) = energy::counter_mj(self.source, &self.world, &[])
        {
            self.watts = watts(self.last, (now, counter));
            self.last = (now, counter);
        }
        self.watts()
    }

    /// Watts since the last reading and since the first.
    fn watts(&self) -> (u32, u32) {
        (self.watts, watts(self.first, self.last))
    }
}

fn watts(since: (Instant, u64), until: (Instant, u64)) -> u32 {
    let millis = until.0.saturating_duration_since(since.0).as_millis().max(1);
    u32::try_from(u128::from(until.1.saturating_sub(since.1)) / millis).unwrap_or(u32::MAX)
}

impl Health {
    /// Looks at the devices from time to time, for as long as what is returned is kept. Only where they are found on the machine:
    /// what a file says does not change by itself.
    pub(crate) fn watch(source: &GresSource, at_start: &NodeGres) -> Health {
        Health::watch_each(LOOK_INTERVAL, source, at_start)
    }

    fn watch_each(interval: Duration, source: &GresSource, at_start: &NodeGres) -> Health {
        let mut health = Health::default();
        if !source.asks_machine() || at_start.units.is_empty() {
            return health;
        }
        let (sender, ends) = channel();
        let (source, told) = (source.clone(), Arc::clone(&health.fault));
        let mut judge = Judge { at_start: at_start.clone(), last: None, is_blind: false };
        let thread = std::thread::Builder::new().name("devices".to_owned()).stack_size(256 << 10);
        let started = thread.spawn(move || {
            while ends.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if let Some(fault) = judge.hear(source.look_again()) {
                    tell(&told, fault);
                }
            }
        });
        match started {
            Ok(_) => health.looking = Some(sender),
            Err(error) => tracing::warn!(%error, "devices are not watched"),
        }
        health
    }

    /// Reads the sensor of energy from now on, in a thread of its own: its driver may hang, and reports tell what was read last.
    pub(crate) fn with_power(mut self, source: Option<EnergySource>, world: &World) -> Health {
        let Some(source) = source else { return self };
        let (sender, ends) = channel();
        let (world, told) = (world.clone(), Arc::clone(&self.watts));
        let thread = std::thread::Builder::new().name("power".to_owned()).stack_size(256 << 10);
        let started = thread.spawn(move || {
            let mut power = None;
            loop {
                match &mut power {
                    None => power = Power::start(source, &world),
                    Some(power) => drop(power.read(Instant::now())),
                }
                *told.lock().unwrap_or_else(PoisonError::into_inner) = power.as_ref().map(Power::watts);
                if ends.recv_timeout(POWER_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        match started {
            Ok(_) => self.sensing = Some(sender),
            Err(error) => tracing::warn!(%error, "power is not measured"),
        }
        self
    }

    /// Watts between the last two readings and since the start; `None` where no sensor is read, or it does not answer.
    pub(crate) fn watts(&self) -> Option<(u32, u32)> {
        *self.watts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong; empty for nothing.
    pub(crate) fn fault(&self) -> String {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes a fault of what is seen. A node that tells of one is drained until an operator looks at it, so one look is not enough.
struct Judge {
    at_start: NodeGres,
    /// What the last look said; `None` where it failed.
    last: Option<String>,
    is_blind: bool,
}

impl Judge {
    /// What is to be told after this look, empty for nothing; `None` where that stays as it was. A fault is what two looks in a row
    /// say, that all is well one is enough for. A look that failed itself says nothing.
    fn hear(&mut self, look: Result<NodeGres, String>) -> Option<String> {
        let now = match look {
            Ok(now) => now,
            Err(problem) => {
                if !std::mem::replace(&mut self.is_blind, true) {
                    tracing::warn!(problem, "devices cannot be looked at as usual; it is not known how they are");
                }
                self.last = None;
                return None;
            }
        };
        self.is_blind = false;
        let seen = fault(&self.at_start, &now).unwrap_or_default();
        let before = self.last.replace(seen.clone());
        (seen.is_empty() || before.as_ref() == Some(&seen)).then_some(seen)
    }
}

fn tell(told: &Mutex<String>, fault: String) {
    let mut known = told.lock().unwrap_or_else(PoisonError::into_inner);
    if *known != fault {
        match fault.as_str() {
            "" => tracing::info!("all devices are there again"),
            text => tracing::error!("{text}"),
        }
        *known = fault;
    }
}

/// What of the devices is gone, in Slurm's words and with their files.
fn fault(before: &NodeGres, now: &NodeGres) -> Option<String> {
    let lost = |name: &str| -> Vec<&str> {
        let of = |gres: &NodeGres| gres.units.iter().filter(|unit| *unit.name == *name).count();
        if of(now) >= of(before) {
            return Vec::new();
        }
        let is_there = |files: &[String]| now.units.iter().any(|unit| *unit.name == *name && unit.files == files);
        let units = before.units.iter().filter(|unit| *unit.name == *name && !is_there(&unit.files));
        units.filter_map(|unit| unit.files.last().map(String::as_str)).collect()
    };
    let sum = |gres: &NodeGres, name: &str| -> u64 {
        gres.counts.iter().filter(|count| *count.name == *name).map(|count| count.count).sum()
    };
    before.counts.iter().find_map(|count| {
        let (was, is) = (sum(before, &count.name), sum(now, &count.name));
        let files = lost(&count.name).join(",");
        let words = || format!("gres/{} count reported lower than configured ({is} < {was})", count.name);
        (is < was).then(|| if files.is_empty() { words() } else { format!("{}: {files} lost", words()) })
    })
}

#[cfg(test)]
mod tests {
    use muster_model::resources::Gres;
    use muster_slurm::conf::{GpuVariables, GresUnit};

    use super::*;

    fn gres(files: &[&str]) -> NodeGres {
        let unit = |(unit, file): (u32, &&str)| GresUnit {
            name: "gpu".into(),
            kind: None,
            unit,
            index: unit,
            files: vec![(*file).to_owned()],
            cores: None,
            links: Vec::new(),
            unique_id: None,
            variables: GpuVariables::ALL,
        };
        let counts = vec![Gres { name: "gpu".into(), kind: None, count: files.len() as u64 }];
        NodeGres { units: (0..).zip(files).map(unit).collect(), counts, messages: Vec::new() }
    }

    #[test]
    fn what_is_gone_is_told_with_its_file() {
        let check = |now: &[&str], expected: Option<&str>| {
            assert_eq!(fault(&gres(&["/dev/nvidia0", "/dev/nvidia1"]), &gres(now)).as_deref(), expected);
        };
        check(&["/dev/nvidia0", "/dev/nvidia1"], None);
        let one = "gres/gpu count reported lower than configured (1 < 2): /dev/nvidia1 lost";
        check(&["/dev/nvidia0"], Some(one));
        let both = "gres/gpu count reported lower than configured (0 < 2): /dev/nvidia0,/dev/nvidia1 lost";
        check(&[], Some(both));
        // Another number for the same device is no loss.
        check(&["/dev/nvidia0", "/dev/nvidia7"], None);
    }

    #[test]
    fn a_fault_is_what_two_looks_in_a_row_say() {
        let (all, less, none) = (["/dev/nvidia0", "/dev/nvidia1"], ["/dev/nvidia0"], []);
        let mut judge = Judge { at_start: gres(&all), last: None, is_blind: false };
        let mut hear = |files: Option<&[&str]>| judge.hear(files.map(gres).ok_or_else(|| "no library".to_owned()));
        let lost = Some(fault(&gres(&all), &gres(&less)).unwrap());
        assert_eq!(hear(Some(&all)).as_deref(), Some(""));
        assert_eq!(hear(Some(&less)), None);
        assert_eq!(hear(Some(&all)).as_deref(), Some(""));
        assert_eq!(hear(Some(&less)), None);
        assert_eq!(hear(None), None, "a look that failed");
        assert_eq!(hear(Some(&less)), None);
        assert_eq!(hear(Some(&none)), None, "they do not agree");
        assert_eq!(hear(Some(&less)), None);
        assert_eq!(hear(Some(&less)), lost);
        assert_eq!(hear(None), None);
        assert_eq!(hear(Some(&all)).as_deref(), Some(""));
    }

    #[test]
    fn a_way_to_look_that_fails_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let program = root.path().join("nvidia-smi");
        put("dev/nvidia0", "");
        let gpu = "<gpu id=\"00000000:07:00.0\"><product_name>A100</product_name><minor_number>0</minor_number></gpu>";
        put("nvidia-smi", &format!("#!/bin/sh\necho '{gpu}'\n"));
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let files = |path: &std::path::Path| match path.to_str() {
            Some("/c/slurm.conf") => {
                Ok("ClusterName=x\nSlurmctldHost=h\nNodeName=n1 Gres=gpu:1\nPartitionName=p Nodes=n1\n".to_owned())
            }
            Some("/c/gres.conf") => Ok("AutoDetect=nvml\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let conf = muster_slurm::conf::load(std::path::Path::new("/c/slurm.conf"), &files).unwrap();
        let (node, world) = (conf.cluster.nodes.first().cloned(), World::below(root.path()));
        let mut source = GresSource { lines: conf.gres, node, world, usual: None };
        assert_eq!(source.look().units.len(), 1);
        assert_eq!(source.look_again().map(|gres| gres.units.len()), Ok(1));
        std::fs::remove_file(&program).unwrap();
        assert!(source.look_again().is_err_and(|problem| problem.contains("nvidia-smi")));
    }

    #[test]
    fn power_is_what_the_counter_gained() {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("sys/class/powercap/intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("name"), "package-0\n").unwrap();
        let energy = |uj: u64| std::fs::write(zone.join("energy_uj"), uj.to_string()).unwrap();
        energy(5_000_000);
        let world = World::below(root.path());
        let mut power = Power::start(EnergySource::Rapl, &world).unwrap();
        let start = power.first.0;
        energy(205_000_000);
        assert_eq!(power.read(start + Duration::from_secs(2)), (100, 100));
        energy(245_000_000);
        assert_eq!(power.read(start + Duration::from_secs(2)), (100, 100), "too soon");
        assert_eq!(power.read(start + Duration::from_secs(4)), (20, 60));
        assert!(Power::start(EnergySource::Gpu, &world).is_none());
    }

    #[test]
    fn reports_do_not_wait_for_a_sensor() {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("sys/class/powercap/intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("name"), "package-0\n").unwrap();
        // Who opens it waits for a writer.
        nix::unistd::mkfifo(&zone.join("energy_uj"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let health = Health::default().with_power(Some(EnergySource::Rapl), &World::below(root.path()));
        assert_eq!(health.watts(), None);
        std::fs::write(zone.join("energy_uj"), "5000000\n").unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while health.watts().is_none() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(health.watts(), Some((0, 0)));
    }

    #[test]
    fn a_device_that_goes_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let gpu = |place: &str, minor: u32| {
            let dir = root.path().join("proc/driver/nvidia/gpus").join(place);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("information"), format!("Model: \t A100\nDevice Minor: \t {minor}\n")).unwrap();
            std::fs::create_dir_all(root.path().join("dev")).unwrap();
            std::fs::write(root.path().join(format!("dev/nvidia{minor}")), "").unwrap();
            dir
        };
        gpu("0000:07:00.0", 0);
        let second = gpu("0000:0f:00.0", 1);
        let files = |path: &std::path::Path| match path.to_str() {
            Some("/c/slurm.conf") => {
                Ok("ClusterName=x\nSlurmctldHost=h\nNodeName=n1 Gres=gpu:2\nPartitionName=p Nodes=n1\n".to_owned())
            }
            Some("/c/gres.conf") => Ok("AutoDetect=nvidia\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let conf = muster_slurm::conf::load(std::path::Path::new("/c/slurm.conf"), &files).unwrap();
        let node = Some(conf.cluster.nodes[0].clone());
        let world = muster_runtime::gpu::World::below(root.path());
        let mut source = GresSource { lines: conf.gres, node, world, usual: None };
        let at_start = source.look();
        assert_eq!(at_start.units.len(), 2);
        let health = Health::watch_each(Duration::from_millis(1), &source, &at_start);
        std::fs::remove_dir_all(second).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while health.fault().is_empty() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(health.fault(), "gres/gpu count reported lower than configured (1 < 2): /dev/nvidia1 lost");
    }
}
