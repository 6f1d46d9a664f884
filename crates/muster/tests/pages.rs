//! What the local socket tells those who speak HTTP.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use support::Cluster;

/// Status line, and what follows the headers.
fn get(cluster: &Cluster, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(cluster.path().join("state/muster.sock")).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("headers");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[test]
fn a_waiting_job_is_explained() {
    let cluster = Cluster::start(&["--nodes", "1", "--cpus", "1"]);
    let running = cluster.submit("-t 10 --wrap 'sleep 60'");
    cluster.wait_state(running, "RUNNING");
    let waiting = cluster.submit("-t 5 --wrap true");
    cluster.wait("the job to have been looked at", || {
        cluster.out(&format!("squeue -h -j {waiting} -o %r")) == "Resources"
    });

    let (status, body) = get(&cluster, &format!("/muster/v1/jobs/{waiting}/explanation"));
    assert_eq!(status, "HTTP/1.1 200 OK");
    let found: serde_json::Value = serde_json::from_str(&body).expect("a document");
    let told: serde_json::Value =
        serde_json::from_str(&cluster.out(&format!("muster explain --json {waiting}"))).expect("a document");
    for key in ["job_id", "reason", "causes", "expected_start", "blockers"] {
        assert_eq!(found[key], told[key], "{key}");
    }
    let (status, page) = get(&cluster, &format!("/jobs/{waiting}"));
    assert_eq!(status, "HTTP/1.1 200 OK");
    for text in [format!("Job {waiting} waits"), format!("{running} (runs)"), "Starts in ".to_owned()] {
        assert!(page.contains(&text), "{text} is not in\n{page}");
    }

    assert_eq!(get(&cluster, &format!("/jobs/{running}")).0, "HTTP/1.1 409 Conflict");
    assert_eq!(get(&cluster, "/jobs/4000").0, "HTTP/1.1 404 Not Found");
    let (status, body) = get(&cluster, "/muster/v1/jobs/x/explanation");
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(body.contains("is not the number of a job"), "{body}");
    assert_eq!(get(&cluster, "/nothing").0, "HTTP/1.1 404 Not Found");
}
