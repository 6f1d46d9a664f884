//! Launches of two levels, as `torchrun` does them: `srun` starts one launcher on each node, each launcher starts the ranks of its
//! node, and all ranks meet at the address of the first.

mod support;

use support::Cluster;

const LAUNCHER: &str = include_str!("two_levels/launcher.py");

const RANKS: usize = 64;

/// The script that everybody copies, but for `torchrun`. The port is none of those that the kernel gives to connections.
fn script(mode: &str) -> String {
    format!(
        "#!/bin/bash\n#SBATCH -N4 --ntasks-per-node=1 --cpus-per-task=16 -o ranks.out\n\
         first=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n1)\n\
         export MASTER_ADDR=$(scontrol -o show node $first | grep -o 'NodeAddr=[^ ]*' | cut -d= -f2)\n\
         export MASTER_PORT=$((20000 + $$ % 12000))\n\
         srun -N4 --ntasks-per-node=1 --kill-on-bad-exit=1 python3 launcher.py 16 {mode}\n"
    )
}

fn start(mode: &str) -> (Cluster, u32) {
    let cluster = Cluster::start(&["--nodes", "4", "--cpus", "16"]);
    cluster.file("launcher.py", LAUNCHER);
    cluster.file("train.sh", &script(mode));
    let job = cluster.submit("train.sh");
    (cluster, job)
}

/// Lines of the ranks, by rank.
fn told(cluster: &Cluster) -> Vec<String> {
    let mut lines: Vec<String> =
        cluster.read("ranks.out").lines().filter(|line| line.contains(" on ")).map(str::to_owned).collect();
    lines.sort_by_key(|line| line.split_once('/').and_then(|(rank, _)| rank.parse::<usize>().ok()));
    lines
}

fn expected() -> Vec<String> {
    (0..RANKS).map(|rank| format!("{rank}/{RANKS} on n{} as {}", rank / 16 + 1, rank % 16)).collect()
}

#[test]
fn all_ranks_of_all_nodes_meet_and_leave() {
    let (cluster, job) = start("leave");
    cluster.wait("the job to end", || !matches!(cluster.state(job).as_str(), "PENDING" | "RUNNING" | "COMPLETING"));
    assert_eq!(told(&cluster), expected(), "{}", cluster.read("ranks.out"));
    assert_eq!(cluster.state(job), "COMPLETED", "{}", cluster.read("ranks.out"));
}

#[test]
fn the_ranks_of_all_nodes_end_when_one_node_loses_its_own() {
    let (cluster, job) = start("stay");
    cluster.wait("all ranks to have met", || told(&cluster).len() == RANKS);
    let pids: Vec<Vec<i32>> = (0..4)
        .map(|node| {
            cluster.read(&format!("pids.{node}")).split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
        })
        .collect();
    assert!(pids.iter().all(|pids| pids.len() == 16), "{pids:?}");
    let kill = pids[2].iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    cluster.out(&format!("kill -KILL {kill}"));
    cluster.wait_state(job, "FAILED");
    let lives = |pid: &i32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    cluster.wait("all ranks to be gone", || !pids.iter().flatten().any(lives));
    let output = cluster.read("ranks.out");
    for line in [
        "n3: task 2: Exited with exit code 1",
        "n1: task 0: Terminated",
        "n2: task 1: Terminated",
        "n4: task 3: Terminated",
    ] {
        assert!(output.contains(&format!("srun: error: {line}\n")), "{line}\n{output}");
    }
    // As with real Slurm, where the exit code of a step that `srun` ended is the signal.
    assert_eq!(cluster.out(&format!("sacct -n -P -X -j {job} -o State,ExitCode")), "FAILED|15:0", "{output}");
}
