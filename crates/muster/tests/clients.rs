//! Real client tools against a development cluster, installed as their users install them.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::Cluster;

/// The version that is driven; others may parse other words.
const SUBMITIT: &str = "submitit==1.5.4";

/// A Python with submitit, installed once and kept beside the build.
fn python_with_submitit() -> PathBuf {
    let venv = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("venv-submitit");
    let python = venv.join("bin/python");
    let ready = venv.join("ready");
    if std::fs::read_to_string(&ready).is_ok_and(|version| version == SUBMITIT) {
        return python;
    }
    drop(std::fs::remove_dir_all(&venv));
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SUBMITIT]));
    std::fs::write(ready, SUBMITIT).unwrap();
    python
}

fn run(command: &mut Command) {
    let output = command.output().expect("python3 with venv is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const PROGRAM: &str = r#"
import os, sys, time
import submitit

def executor(folder, **more):
    ex = submitit.AutoExecutor(folder="logs/" + folder, cluster="slurm", slurm_max_num_timeout=2)
    ex.update_parameters(timeout_min=2, slurm_partition="debug", name=folder, cpus_per_task=1, **more)
    return ex

def add(a, b):
    return a + b

def where():
    env = submitit.JobEnvironment()
    return env.global_rank, env.num_tasks, len(env.hostnames)

def fail():
    raise ValueError("intended")

job = executor("one").submit(add, 40, 2)
assert job.result() == 42

jobs = executor("array", slurm_array_parallelism=2).map_array(add, range(4), range(4))
assert [j.result() for j in jobs] == [0, 2, 4, 6]
assert all("_" in j.job_id for j in jobs), [j.job_id for j in jobs]

ranks = executor("ranks", tasks_per_node=2, nodes=2).submit(where).results()
assert sorted(ranks) == [(r, 4, 2) for r in range(4)], ranks

error = executor("bad").submit(fail).exception()
assert "ValueError: intended" in str(error), error

job = executor("cancelled").submit(time.sleep, 100)
deadline = time.time() + 20
while job.watcher.get_state(job.job_id, mode="force") != "RUNNING":
    assert time.time() < deadline, "not running"
    time.sleep(0.1)
job.cancel(check=False)
while not job.watcher.get_state(job.job_id, mode="force").startswith("CANCELLED"):
    assert time.time() < deadline, "not cancelled"
    time.sleep(0.1)
print("all is well")
"#;

#[test]
fn submitit_submits_maps_fails_and_cancels() {
    let python = python_with_submitit();
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("program.py", PROGRAM);
    let ran = cluster.run(&format!("HOME=$PWD {} program.py", python.display()));
    assert_eq!((ran.code, ran.stdout.trim()), (0, "all is well"), "{}\n{}", ran.stderr, cluster.logs());
}
