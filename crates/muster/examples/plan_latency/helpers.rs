//! The other processes of the measurement: the controller, and a program that only takes a processor away.
//!
//! Both are this program again. They are told what to do by lines on their standard input, and end with it.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use muster_controller::{Pace, Planning};
use muster_testkit::load::{self, Load};

use crate::{Failure, cluster};

/// First word of the controller's command line; then directory, port, nodes, pending jobs and shapes.
pub(crate) const SERVE: &str = "serve";
/// First word of that of the other.
pub(crate) const COUNT: &str = "count";
/// About as far back as the planner makes its long passes; see `niceness.rs` of the controller.
const NICE: &str = "19";

/// One of these processes. It ends when this is dropped.
pub(crate) struct Helper(Child);

impl Helper {
    /// A controller of the cluster in `directory`.
    pub(crate) fn controller(directory: &Path, port: u16, load: [u32; 3]) -> Result<Helper, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SERVE).arg(directory).arg(port.to_string()).args(load.map(|number| number.to_string()));
        Ok(Helper(command.stdin(Stdio::piped()).spawn()?))
    }

    /// What counts, or rests.
    pub(crate) fn counter() -> Result<Helper, Failure> {
        let mut command = Command::new("nice");
        command.args(["-n", NICE]).arg(std::env::current_exe()?).arg(COUNT);
        Ok(Helper(command.stdin(Stdio::piped()).spawn()?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn tell(&mut self, word: &str) -> Result<(), Failure> {
        writeln!(self.0.stdin.as_mut().ok_or("a helper without an input")?, "{word}")?;
        Ok(())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the controller and lets its planner work as it is told.
pub(crate) fn serve(words: &[String]) -> Result<(), Failure> {
    let [directory, port, nodes, pending, shapes] = words else { return Err("not the words of a controller".into()) };
    let (nodes, pending, shapes) = (nodes.parse()?, pending.parse()?, shapes.parse()?);
    let view = load::make(&Load { nodes, pending, shapes, busy_percent: 100, seed: 1 });
    let pace = Pace::default();
    let options = cluster::options(Path::new(directory), port.parse()?, &view, pace.clone());
    drop(view);
    let serving =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).thread_name("serve").enable_all().build()?;
    let controller = serving.spawn(muster_controller::run(options));
    for line in std::io::stdin().lock().lines() {
        pace.set(planning(&line?)?);
    }
    // It waits to be told to stop, and ends with this process.
    controller.abort();
    Ok(())
}

/// The word for an order to the planner, as it is sent.
pub(crate) fn word(planning: Planning) -> &'static str {
    match planning {
        Planning::Usual => "usual",
        Planning::Rests => "rests",
        Planning::Always => "always",
        Planning::AlwaysAlone => "alone",
    }
}

fn planning(given: &str) -> Result<Planning, Failure> {
    let all = [Planning::Usual, Planning::Rests, Planning::Always, Planning::AlwaysAlone];
    let found = all.into_iter().find(|planning| word(*planning) == given);
    found.ok_or_else(|| format!("no order to the planner: {given}").into())
}

/// Takes a processor from `on` to `off`, and touches no memory meanwhile.
pub(crate) fn count() -> Result<(), Failure> {
    let (sender, orders) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        // Nobody listens any more at the end.
        let _ = lines.map(|line| sender.send(line == "on")).take_while(Result::is_ok).count();
    });
    while let Ok(is_on) = orders.recv() {
        let mut is_on = is_on;
        let mut number = 0_u64;
        while is_on {
            (0..100_000_u64).for_each(|step| number = std::hint::black_box(number.wrapping_mul(step) ^ step));
            is_on = match orders.try_recv() {
                Ok(order) => order,
                Err(mpsc::TryRecvError::Empty) => true,
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            };
        }
    }
    Ok(())
}
