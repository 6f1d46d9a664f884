//! Submits whose reply is lost: the controller is killed once the job is durable and before anybody is told.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use muster_client::Client;
use muster_model::request::{Query, Reply};
use support::Cluster;

/// Stands between commands and the controller. Of the first connection it passes on what the command says and no answer; others
/// it leaves alone. It lives as long as the test.
fn deaf_socket(cluster: &Cluster, name: &str) -> PathBuf {
    let (path, controller) = (cluster.work().join(name), socket(cluster));
    let listener = UnixListener::bind(&path).expect("a socket in the work directory");
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            // While the controller is away, the connection ends at once.
            if let (Ok(stream), Ok(upstream)) = (stream, UnixStream::connect(&controller)) {
                join(&stream, &upstream, true);
                join(&upstream, &stream, number > 0);
            }
        }
    });
    path
}

/// Passes on what comes, or drops it, until it ends; then the other side ends too.
fn join(from: &UnixStream, to: &UnixStream, passes: bool) {
    let (mut from, mut to) = (from.try_clone().expect("a stream"), to.try_clone().expect("a stream"));
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(size) = from.read(&mut buffer)
            && size > 0
            && (!passes || to.write_all(&buffer[..size]).is_ok())
        {}
        drop(to.shutdown(Shutdown::Both));
    });
}

fn socket(cluster: &Cluster) -> PathBuf {
    cluster.path().join("state/muster.sock")
}

/// Numbers of all jobs that the controller knows.
async fn jobs(client: &Client) -> Vec<u32> {
    let replies = client.query(&Query::Jobs { ids: None, uids: None, active_only: false }).await.expect("an answer");
    let parts = replies.into_iter().map(|reply| if let Reply::Jobs(jobs) = reply { jobs } else { Vec::new() });
    parts.flatten().map(|job| job.id.0).collect()
}

/// Starts a command that submits, and kills the controller as soon as its job is there. A client of an allocation may be away for
/// five seconds only, so nothing slow lies between.
fn submit_and_kill(cluster: &Cluster, line: &str, socket_of_command: &Path) -> (u32, Child) {
    let mut command = cluster.command(&format!("exec {line}"));
    command.env("MUSTER_SOCKET", socket_of_command).stdout(Stdio::piped()).stderr(Stdio::piped());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(Client::connect_to(&socket(cluster))).expect("a controller");
    let known = runtime.block_on(jobs(&client));
    let child = command.spawn().expect("bash runs");
    let mut made = None;
    cluster.wait(&format!("the job of {line}"), || {
        made = runtime.block_on(jobs(&client)).into_iter().find(|job| !known.contains(job));
        made.is_some()
    });
    cluster.kill("controller");
    (made.expect("a job"), child)
}

#[test]
fn a_submit_whose_reply_is_lost_makes_one_job() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let lines = [
        "sbatch --parsable -n1 -o /dev/null --wrap true",
        "sbatch --parsable --array=1-2 -n1 -o /dev/null --wrap true",
        "srun -n1 sh -c 'echo $SLURM_JOB_ID'",
        "salloc -Q -n1 sh -c 'echo $SLURM_JOB_ID'",
        "salloc -Q -n1 : -n1 sh -c 'echo $SLURM_JOB_ID'",
    ];
    let mut expected = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let socket = deaf_socket(&cluster, &format!("deaf-{number}.sock"));
        let (made, child) = submit_and_kill(&cluster, line, &socket);
        cluster.up(&[]);
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{line}: {output:?}\n{}", cluster.logs());
        assert_eq!(told, made.to_string(), "{line}");
        expected.push(told);
        cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    }
    let made = cluster.out("sacct -X -n -P -o JobID | sed 's/[_+].*//' | uniq");
    assert_eq!(made, expected.join("\n"), "{}", cluster.logs());
}
