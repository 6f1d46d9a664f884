//! One round: start jobs of every kind, kill, start again what is to be, and look at how all ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::census;
use crate::dice::Dice;
use crate::kinds::{self, KINDS, Kind};
use crate::support::Cluster;
use crate::support::docker::Docker;

/// Which process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Agent,
    Supervisor,
    Controller,
    /// An `srun` or `salloc`, wherever it runs.
    Client,
    /// The daemon of containers; jobs of the round run in them.
    Docker,
    /// What starts the commands of a task in its container.
    Runner,
}

/// What was killed.
#[derive(Debug, PartialEq, Eq)]
enum Killed {
    /// Nothing is lost.
    Daemon,
    /// What ran on this node.
    Node(String),
    /// The client of this kind, or nothing when all had ended.
    ClientOf(Option<&'static str>),
}

/// Longest life of a job in a round, in milliseconds.
const LIFE_MAX_MS: u64 = 1500;

/// How long until the queue must be empty. A client that did not hear the number of its job, because the controller was killed
/// in between, cannot give it back; after a restart the controller waits a minute for clients to come back.
const QUEUE_PATIENCE: Duration = Duration::from_secs(90);

/// Plays one round.
pub fn play(
    cluster: &Cluster,
    victim: Victim,
    kinds: &[&'static Kind],
    docker: Option<&mut Docker>,
    mut dice: Dice,
    seed: u64,
) {
    let dir = cluster.work().join(format!("round-{seed}"));
    fs::create_dir(&dir).expect("a directory for the round");
    let image = if docker.is_some() { "--container-image=test" } else { "" };
    let life_ms = 100 + dice.below(LIFE_MAX_MS - 100);
    let mut clients: Vec<(&Kind, Child)> =
        kinds.iter().map(|kind| (*kind, start(cluster, &dir, kind, image, seed, life_ms))).collect();
    let waits_for_all = dice.below(4) > 0;
    if waits_for_all {
        wait_until_all_run(cluster, seed, &mut clients);
    }
    pause(dice.below(life_ms + 300));
    let killed = match docker.filter(|_| victim == Victim::Docker) {
        Some(docker) => {
            let away_ms = dice.below(600);
            docker.replace(|| pause(away_ms));
            Killed::Daemon
        }
        None => kill(cluster, victim, &dir, &mut dice),
    };
    if matches!(victim, Victim::Agent | Victim::Controller) {
        pause(dice.below(300));
        cluster.up(&[]);
    }
    let what = format!("{victim:?} killed ({killed:?}), seed {seed}, life {life_ms} ms");
    let codes: Vec<(&Kind, i32)> =
        clients.iter_mut().map(|(kind, child)| (*kind, end_of(cluster, &what, kind, child))).collect();
    cluster
        .wait_within(QUEUE_PATIENCE, &format!("{what}: the queue to be empty"), || cluster.out("squeue -h").is_empty());
    for (kind, code) in codes {
        judge(cluster, &Scene { dir: &dir, seed, killed: &killed, what: &what }, kind, code);
    }
    let panics = Command::new("grep").args(["-rl", "panicked at"]).arg(cluster.path().join("log")).output();
    let panics = panics.expect("grep runs").stdout;
    assert!(panics.is_empty(), "{what}: a daemon panicked: {}", String::from_utf8_lossy(&panics));
    fs::remove_dir_all(dir).expect("the directory of the round");
}

fn start(cluster: &Cluster, dir: &Path, kind: &Kind, image: &str, seed: u64, life_ms: u64) -> Child {
    let life = format!("{}.{:03}", life_ms / 1000, life_ms % 1000);
    let line = kind.line.replace("@J", &format!("{}-{seed}", kind.name)).replace("@T", &life).replace("@I", image);
    let file = |suffix: &str| File::create(dir.join(format!("{}.{suffix}", kind.name))).expect("a file of the round");
    let mut command = cluster.command(&line);
    command.current_dir(dir).stdout(file("out")).stderr(file("err")).env("DRILL", dir);
    command.spawn().expect("bash runs")
}

/// Waits until every job has started, or is over already.
fn wait_until_all_run(cluster: &Cluster, seed: u64, clients: &mut [(&Kind, Child)]) {
    cluster.wait("all jobs to run", || {
        let names = cluster.out("sacct -X -n -P -o JobName,State | grep -v PENDING");
        clients.iter_mut().all(|(kind, child)| {
            let name = format!("{}-{seed}|", kind.name);
            let wanted = kind.ends.len();
            names.lines().filter(|line| line.starts_with(&name)).count() >= wanted
                || child.try_wait().is_ok_and(|status| status.is_some_and(|status| !status.success()))
        })
    });
}

fn pause(milliseconds: u64) {
    #[expect(clippy::disallowed_methods, reason = "the moment of a kill is drawn, not waited for")]
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn kill(cluster: &Cluster, victim: Victim, dir: &Path, dice: &mut Dice) -> Killed {
    let node = (*dice.choose(&["n1", "n2", "n3"])).to_owned();
    match victim {
        Victim::Agent => {
            cluster.kill(&node);
            Killed::Daemon
        }
        Victim::Controller => {
            cluster.kill("controller");
            Killed::Daemon
        }
        Victim::Supervisor => {
            let pid = census::supervisor(cluster, &node).expect("a supervisor on each node");
            kill_process(pid);
            Killed::Node(node)
        }
        Victim::Client => {
            let clients = clients(dir);
            if clients.is_empty() {
                return Killed::ClientOf(None);
            }
            let (pid, kind) = *dice.choose(&clients);
            kill_process(pid);
            Killed::ClientOf(Some(kind))
        }
        Victim::Runner => {
            let runners = census::runners(cluster);
            if runners.is_empty() {
                return Killed::ClientOf(None);
            }
            kill_process(*dice.choose(&runners));
            Killed::ClientOf(Some("task"))
        }
        // It is no process of the cluster.
        Victim::Docker => Killed::Daemon,
    }
}

fn kill_process(pid: i32) {
    // It may have ended by itself in this moment.
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status().expect("kill runs");
}

/// Every `srun` and `salloc` of this round, with the kind that it belongs to.
fn clients(dir: &Path) -> Vec<(i32, &'static str)> {
    let variable = format!("DRILL={}", dir.display());
    let is_ours = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == variable.as_bytes())
    };
    let kind_of = |pid: i32, words: &[String]| {
        let named = |text: &str| KINDS.iter().map(|kind| kind.name).find(|name| text.starts_with(&format!("{name}-")));
        words.iter().find_map(|word| named(word)).or_else(|| {
            let environment = String::from_utf8(fs::read(format!("/proc/{pid}/environ")).ok()?).ok()?;
            environment.split('\0').find_map(|found| named(found.strip_prefix("SLURM_JOB_NAME=")?))
        })
    };
    let is_client = |words: &[String]| {
        words.first().is_some_and(|word| word.rsplit('/').next().is_some_and(|name| name == "srun" || name == "salloc"))
    };
    census::processes()
        .into_iter()
        .filter(|(pid, words)| is_client(words) && is_ours(*pid))
        .filter_map(|(pid, words)| Some((pid, kind_of(pid, &words)?)))
        .collect()
}

/// Waits for the end of a line; its code, 128 and more for a signal as the shell has it.
fn end_of(cluster: &Cluster, what: &str, kind: &Kind, child: &mut Child) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let mut status = None;
    cluster.wait(&format!("{what}: the line of {} to end", kind.name), || {
        status = child.try_wait().expect("a child can be waited for");
        status.is_some()
    });
    status.map_or(-1, |status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// What is known when the kinds are judged.
struct Scene<'a> {
    dir: &'a PathBuf,
    seed: u64,
    killed: &'a Killed,
    what: &'a str,
}

/// One row of `sacct`.
struct Row {
    end: String,
    nodes: String,
}

fn judge(cluster: &Cluster, scene: &Scene<'_>, kind: &Kind, code: i32) {
    let about = || {
        let name = kind.name;
        let rows =
            cluster.run(&format!("sacct -D -n -P --name={name}-{} -o JobID,State,ExitCode,NodeList", scene.seed));
        let (out, err) =
            (kinds::read(scene.dir, &format!("{name}.out")), kinds::read(scene.dir, &format!("{name}.err")));
        let out: String = out.chars().take(300).collect();
        let log = cluster.run(&format!("HOME={}/home muster logs {name}-{}", scene.dir.display(), scene.seed));
        let out = format!("{out}\nlog: {}{}", log.stdout, log.stderr);
        format!("{}: {name}, code {code}\n{}out: {out}\nerr: {err}\n{}", scene.what, rows.stdout, cluster.logs())
    };
    let rows = rows(cluster, kind, scene.seed, "");
    let all = self::rows(cluster, kind, scene.seed, "-D");
    let unfinished =
        rows.iter().find(|row| ["RUNNING", "PENDING", "SUSPENDED"].iter().any(|state| row.end.starts_with(state)));
    assert!(unfinished.is_none(), "not at its end: {}", about());
    let steps = cluster.out(&format!("sacct -D -n -P --name={}-{} -o State", kind.name, scene.seed));
    assert!(!steps.lines().any(|state| state == "RUNNING"), "a step goes on: {}", about());
    // The controller, or the daemon of containers, was away when it was asked.
    const REFUSED: [&str; 3] = [
        "Unable to contact slurm controller",
        "pyxis: couldn't start container",
        "container: couldn't start container",
    ];
    // What a run writes is in its log.
    let log = match kind.name {
        "task" => cluster.run(&format!("HOME={}/home muster logs task-{}", scene.dir.display(), scene.seed)).stdout,
        _ => String::new(),
    };
    let is_refusal = |said: &str| REFUSED.iter().any(|words| said.contains(words));
    let was_refused = is_refusal(&log)
        || ["err", "out", "job", "0.job", "1.job", "2.job"].iter().any(|end| {
            let said = kinds::read(scene.dir, &format!("{}.{end}", kind.name));
            is_refusal(&said)
        });
    let is_hit = match scene.killed {
        Killed::Daemon => was_refused,
        Killed::Node(node) => all.iter().any(|row| holds(cluster, &row.nodes, node)) && !kind.comes_again,
        Killed::ClientOf(victim) => *victim == Some(kind.name),
    };
    if is_hit {
        return;
    }
    let mut ends: Vec<&str> = rows.iter().map(|row| row.end.as_str()).collect();
    ends.sort_unstable();
    assert_eq!(ends, kind.ends, "{}", about());
    assert_eq!(code, kind.code, "{}", about());
    if let Err(problem) = (kind.check)(scene.dir) {
        panic!("{problem}\n{}", about());
    }
    if *scene.killed == Killed::Daemon && kind.name == "batch" {
        assert_eq!(kinds::read(scene.dir, "batch.ran"), "begin\n", "it ran more than once: {}", about());
    }
}

fn rows(cluster: &Cluster, kind: &Kind, seed: u64, options: &str) -> Vec<Row> {
    let text = cluster.out(&format!("sacct -X -n -P {options} --name={}-{seed} -o State,ExitCode,NodeList", kind.name));
    let row = |line: &str| {
        let mut fields = line.split('|').map(str::to_owned);
        let end = format!("{} {}", fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        Row { end, nodes: fields.next().unwrap_or_default() }
    };
    text.lines().map(row).collect()
}

/// Whether a list of nodes has this one in it.
fn holds(cluster: &Cluster, nodes: &str, node: &str) -> bool {
    nodes.starts_with('n')
        && cluster.out(&format!("scontrol show hostnames '{nodes}'")).lines().any(|name| name == node)
}
