//! The development cluster: start, restart, status, two side by side, stop.

mod support;

use support::Cluster;

#[test]
fn comes_up_tells_its_status_and_leaves_nothing_running() {
    let cluster = Cluster::start(&["--nodes", "3", "--cpus", "8"]);
    let status = cluster.out(&format!("muster dev status --json {}", cluster.path().display()));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["controller"]["pid"].is_u64() && status["controller"]["address"].is_string(), "{status}");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(status["nodes"][0]["name"], "n1");
    assert_eq!(status["nodes"][0]["state"], "idle");

    let job = cluster.submit("--wrap 'sleep 300'");
    cluster.wait_state(job, "RUNNING");
    let directory = cluster.path().display().to_string();
    assert_eq!(cluster.run(&format!("muster dev down {directory}")).code, 0);
    let left = cluster.run(&format!("pgrep -af -- '{directory}/' | grep -v pgrep")).stdout;
    assert!(left.trim().is_empty(), "still running: {left}");
}

#[test]
fn env_points_a_shell_at_it_and_two_clusters_coexist() {
    let (one, two) = (Cluster::start(&["--nodes", "1"]), Cluster::start(&["--nodes", "2"]));
    for (cluster, nodes) in [(&one, "1"), (&two, "2")] {
        let line = format!(
            "eval \"$(muster dev env {})\"; sinfo -h -p debug -o %D; echo $SLURMRESTD_URL",
            cluster.path().display()
        );
        let text = cluster.out(&line);
        assert_eq!(text.lines().next().map(str::trim), Some(nodes), "{text}");
        assert!(text.contains("http://127.0.0.1:"), "{text}");
    }
}

#[test]
fn up_again_restarts_what_has_died_on_its_state() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let job = cluster.submit("--hold --job-name=kept --wrap true");
    cluster.kill("controller");
    cluster.kill("n2");
    cluster.up(&[]);
    assert_eq!(cluster.out(&format!("squeue -h -j {job} -o '%j %r'")), "kept JobHeldUser");
    assert_eq!(cluster.out("sinfo -h -N -p debug -o '%N %t' | sort | xargs"), "n1 idle n2 idle");
}
