//! The job's command: its output, its end, and what it is given.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::Runner;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn output_and_exit_code_are_those_of_the_command() {
    let (output, status) = Runner::start("test -t 1 && stty size && echo $TOLD; exit 5", &[]).finish();
    assert_eq!(output, "24 80\r\nby the job\r\n");
    assert_eq!(status.code(), Some(5));
    let (output, status) = Runner::start("echo out; echo err >&2; kill -TERM $$", &[("terminal", "false")]).finish();
    assert_eq!(output, "out\n");
    assert_eq!(status.code(), Some(128 + 15));
}

#[test]
fn what_stays_behind_on_the_terminal_does_not_hold_the_job() {
    let (output, status) = Runner::start("(trap '' HUP; sleep 300) & echo started", &[]).finish();
    assert_eq!((output.as_str(), status.code()), ("started\r\n", Some(0)));
}

#[test]
fn a_directory_that_is_missing_is_made() {
    let place = tempfile::tempdir().unwrap();
    let wanted = format!("{:?}", place.path().join("made/here"));
    let (output, _) = Runner::start("pwd", &[("working_directory", &wanted)]).finish();
    assert!(output.trim().ends_with("made/here"), "{output}");
}

#[test]
fn who_is_asked_to_end_may_do_so_in_its_own_way() {
    let runner = Runner::start(
        "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done",
        &[("logs", "\"127.0.0.1:0\"")],
    );
    assert!(read_logs(&runner, "ready"));
    kill(Pid::from_raw(runner.child.id() as i32), Signal::SIGTERM).unwrap();
    let (output, status) = runner.finish();
    assert!(output.contains("bye"), "{output}");
    assert_eq!(status.code(), Some(4));
}

#[test]
fn who_does_not_end_is_ended() {
    let more = [("logs", "\"127.0.0.1:0\""), ("grace_seconds", "1")];
    let runner = Runner::start("trap '' TERM; echo ready; while :; do sleep 0.05; done", &more);
    assert!(read_logs(&runner, "ready"));
    let asked = Instant::now();
    kill(Pid::from_raw(runner.child.id() as i32), Signal::SIGTERM).unwrap();
    let (_, status) = runner.finish();
    assert_eq!(status.code(), Some(128 + 9));
    assert!(asked.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_first_process_buries_orphans_and_passes_signals_on() {
    let isolated = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let can = |words: &[&str]| std::process::Command::new(words[0]).args(&words[1..]).arg("true").status();
    if !can(&isolated).is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody make process namespaces");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let job = directory.path().join("job");
    // The orphan's parent goes at once; when the orphan has ended too, somebody must have waited for it.
    let line = "(sleep 0.05 &); sleep 0.4; ps -eo stat= | grep -c Z; trap 'exit 9' TERM; \
                kill -TERM 1; while :; do sleep 0.05; done";
    std::fs::write(&job, format!(r#"{{"command": ["sh", "-c", {line:?}], "terminal": false}}"#)).unwrap();
    let mut command = std::process::Command::new(isolated[0]);
    command.args(&isolated[1..]).arg(env!("CARGO_BIN_EXE_muster-runner")).args(["run", "--job"]).arg(&job);
    // What else the shell says of its children on the way is its own business.
    let output = command.output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (b"0\n".as_slice(), Some(9)));
}

#[test]
fn processes_are_those_of_the_user_who_is_named() {
    if crate::support::user() != "root" {
        eprintln!("skipped: only root becomes another user");
        return;
    }
    let (output, _) = Runner::start("id -un; echo $USER $HOME", &[("user", "\"daemon\"")]).finish();
    assert_eq!(output, "daemon\r\ndaemon /usr/sbin\r\n");
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let job = directory.path().join("job");
    let said = |document: &str| {
        std::fs::write(&job, document).unwrap();
        let program = env!("CARGO_BIN_EXE_muster-runner");
        let output = std::process::Command::new(program).args(["run", "--job"]).arg(&job).output().unwrap();
        crate::support::told(&output)
    };
    let text = said(r#"{"command": ["no-such-program"]}"#);
    assert!(text.contains("cannot start \"no-such-program\"") && text.contains("No such file"), "{text}");
    assert!(text.ends_with("|Some(126)"), "{text}");
    let text = said(r#"{"command": ["true"], "user": "nobody-knows"}"#);
    assert!(text.contains("no user nobody-knows in the image's /etc/passwd"), "{text}");
    let text = said(r#"{"command": "true"}"#);
    assert!(text.contains("is no valid job: invalid type: string"), "{text}");
}

/// Reads the websocket of live logs until `mark` has come.
fn read_logs(runner: &Runner, mark: &str) -> bool {
    let address = runner.logs.as_deref().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /logs_ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).unwrap();
        all.extend_from_slice(&piece[..count]);
        if String::from_utf8_lossy(&all).contains(mark) {
            return true;
        }
        if count == 0 {
            return false;
        }
    }
}
