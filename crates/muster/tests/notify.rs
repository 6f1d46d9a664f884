//! `scontrol notify`: what somebody says to a job reaches its script's error file, or who holds it.

mod support;

use std::process::Child;

use support::Cluster;

fn said(cluster: &Cluster, line: &str) -> String {
    let ran = cluster.run(line);
    format!("{}{}[{}]", ran.stdout, ran.stderr, ran.code)
}

#[test]
fn a_script_finds_it_in_its_error_file() {
    let cluster = Cluster::start(&["--nodes", "1", "--cpus", "4"]);
    let job = cluster.submit("-o out -e errors --wrap 'echo up; exec sleep 400'");
    cluster.wait("the script to run", || cluster.read("out") == "up\n");
    assert_eq!(said(&cluster, &format!("scontrol notify {job} hello 'two  words'")), "[0]");
    assert_eq!(said(&cluster, &format!("scontrol notify {job}.batch $'two\\nlines'")), "[0]");
    let expected = "slurmstepd: error: hello two  words\nslurmstepd: error: two\nlines\n";
    cluster.wait("the messages", || cluster.read("errors").len() >= expected.len());
    assert_eq!(cluster.read("errors"), expected);

    let held = cluster.submit("-H --wrap true");
    let refused = |reason: &str| format!("job notify failure: {reason}\n[1]");
    let disabled = refused("Requested operation is presently disabled");
    assert_eq!(said(&cluster, &format!("scontrol notify {held} hello")), disabled);
    cluster.out("salloc --no-shell -n1 -J nobody");
    let left = cluster.out("squeue -h -n nobody -o %A");
    assert_eq!(said(&cluster, &format!("scontrol notify {left} hello")), disabled, "nobody stays with it");
    assert_eq!(said(&cluster, "scontrol notify 999 hello"), refused("Invalid job id specified"));
    cluster.out(&format!("scancel {job}"));
    cluster.wait_state(job, "CANCELLED");
    let over = refused("Job/step already completing or completed");
    assert_eq!(said(&cluster, &format!("scontrol notify {job} hello")), over);
}

/// Starts a command that holds a job, with its standard error in a file of that name.
fn start(cluster: &Cluster, line: &str, errors: &str) -> Child {
    cluster.command(&format!("exec {line} 2>{errors}")).spawn().expect("bash runs")
}

#[test]
fn who_holds_a_job_is_told() {
    let cluster = Cluster::start(&["--nodes", "1", "--cpus", "4"]);
    let task = |name: &str| format!("sh -c 'echo up >{name}; exec sleep 400'");
    let cases = [("srun -J run", "run"), ("salloc -K -J alloc", "alloc"), ("srun -Q -J quiet", "quiet")];
    let mut clients = Vec::new();
    for (program, name) in cases {
        clients.push(start(&cluster, &format!("{program} -n1 {}", task(&format!("{name}.up"))), name));
        cluster.wait(name, || cluster.read(&format!("{name}.up")) == "up\n");
    }
    // One that waits is told too.
    clients.push(start(&cluster, "salloc -J waits -n4 true", "waits"));
    cluster.wait("it to wait", || cluster.read("waits").contains("queued and waiting for resources"));
    let number = |name: &str| cluster.out(&format!("squeue -h -n {name} -o %A"));
    for name in ["run", "alloc", "quiet", "waits"] {
        // What is said last has come when all has.
        assert_eq!(said(&cluster, &format!("scontrol notify {} to {name}", number(name))), "[0]");
    }
    cluster.wait("all to be told", || {
        ["run", "alloc", "waits"].iter().all(|name| cluster.read(name).contains(&format!("to {name}\n")))
    });
    // On a slow machine they say before that they wait.
    for (name, line) in [("run", "srun: to run\n"), ("alloc", "salloc: to alloc\n"), ("waits", "salloc: to waits\n")] {
        assert!(cluster.read(name).ends_with(line), "{}", cluster.read(name));
    }

    let waits = number("waits");
    for name in ["waits", "run", "alloc", "quiet"] {
        cluster.out(&format!("scancel -n {name}"));
    }
    for mut client in clients {
        client.wait().expect("it ends");
    }
    assert!(!cluster.read("quiet").contains("to quiet"), "{}", cluster.read("quiet"));
    assert!(cluster.read("waits").contains(&format!("salloc: Job allocation {waits} has been revoked.\n")));
}
