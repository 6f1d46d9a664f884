//! The other processes of the measurement, which are this program again: the controller, and those that play nodes.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_agent::bare::BareNode;
use muster_controller::{ControllerOptions, Pace, ReadConfig};
use muster_model::config::ClusterConfig;
use muster_model::node::NodeConfig;
use muster_model::partition::Partition;
use muster_model::request::RefusalCode;
use muster_testkit::builders;

use crate::Failure;

/// First word of the controller's command line; then directory, port, nodes and width of the tree.
pub(crate) const SERVE: &str = "serve";
/// First word of those of the others; then directory, port, first node and the one behind the last.
pub(crate) const NODES: &str = "nodes";
/// The secret of the cluster.
pub(crate) const TOKEN: &str = "bench";

/// One of these processes. It ends when this is dropped.
pub(crate) struct Helper(Child);

/// All nodes of a process have been told to start this job.
pub(crate) struct Word(pub(crate) u32);

/// Where clients find the controller.
pub(crate) fn socket(directory: &Path) -> PathBuf {
    directory.join("muster.sock")
}

/// Where the secret is.
pub(crate) fn token_file(directory: &Path) -> PathBuf {
    directory.join("token")
}

/// What to wait for can only be looked at.
#[expect(clippy::disallowed_methods, reason = "a measurement, which has nothing else to do meanwhile")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Helper {
    pub(crate) fn controller(directory: &Path, port: u16, nodes: u32, width: u32) -> Result<Helper, Failure> {
        let numbers = [port.to_string(), nodes.to_string(), width.to_string()];
        Ok(Helper(command(SERVE, directory, &numbers)?.stdout(Stdio::null()).spawn()?))
    }

    /// Plays nodes, and passes on when all of them have been told.
    pub(crate) fn nodes(directory: &Path, port: u16, nodes: Range<u32>, told: Sender<Word>) -> Result<Helper, Failure> {
        let numbers = [port.to_string(), nodes.start.to_string(), nodes.end.to_string()];
        let mut child = command(NODES, directory, &numbers)?.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no pipe")?;
        std::thread::spawn(move || {
            let lines = std::io::BufReader::new(output).lines().map_while(Result::ok);
            for word in lines.filter_map(|line| line.parse().ok()).map(Word) {
                if told.send(word).is_err() {
                    return;
                }
            }
        });
        Ok(Helper(child))
    }

    /// Processor time that it has used, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> Result<f64, Failure> {
        let mut sum = 0.0;
        for entry in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))?.flatten() {
            let used = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            sum += used.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6;
        }
        Ok(sum)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program with other words, and with room for a connection to each node.
fn command(word: &str, directory: &Path, numbers: &[String]) -> Result<Command, Failure> {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"]).arg(std::env::current_exe()?);
    command.arg(word).arg(directory).args(numbers).stdin(Stdio::piped());
    Ok(command)
}

fn name(number: u32) -> String {
    format!("n{number}")
}

/// Runs the controller.
pub(crate) fn serve(words: &[String]) -> Result<(), Failure> {
    let [directory, port, nodes, width] = words else { return Err("not the words of a controller".into()) };
    let (nodes, width): (u32, u32) = (nodes.parse()?, width.parse()?);
    let node = |number| NodeConfig { address: "127.0.0.1".into(), ..builders::node_config(&name(number), 1) };
    let config = ClusterConfig {
        nodes: (0..nodes).map(node).collect(),
        partitions: vec![Partition { default: true, ..builders::partition("all", 0..nodes) }],
        tree_width: width,
        ..ClusterConfig::default()
    };
    let directory = Path::new(directory);
    let options = ControllerOptions {
        read_config: ReadConfig::new(|| Err(RefusalCode::NotSupported.into())),
        config,
        state_directory: directory.to_owned(),
        socket: socket(directory),
        listen: format!("127.0.0.1:{port}"),
        agent_token: TOKEN.to_owned(),
        host: "bench".to_owned(),
        pace: Pace::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(muster_controller::run(options))?)
}

/// Plays nodes until the input ends.
pub(crate) fn nodes(words: &[String]) -> Result<(), Failure> {
    let [directory, port, from, to] = words else { return Err("not the words of nodes".into()) };
    let (from, to): (u32, u32) = (from.parse()?, to.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let launched: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
    for number in from..to {
        let node = BareNode {
            name: name(number),
            controller: format!("127.0.0.1:{port}"),
            token_file: token_file(Path::new(directory)),
        };
        let launched = Arc::clone(&launched);
        runtime.spawn(node.keep(move |job| {
            let mut launched = launched.lock().unwrap_or_else(PoisonError::into_inner);
            let count = launched.entry(job).or_default();
            *count += 1;
            if *count == to - from {
                println!("{job}");
            }
        }));
    }
    let _ = std::io::stdin().lock().lines().count();
    Ok(())
}
