//! People come in with the real clients: shells, commands, files and ports.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Runner, told};

fn waits() -> Runner {
    Runner::start("sleep 300", &[])
}

#[test]
fn commands_end_as_they_end_and_see_the_job() {
    let runner = waits();
    assert_eq!(told(&runner.ssh("echo out; echo err >&2; exit 7")), "out\n|err\n|Some(7)");
    assert_eq!(told(&runner.ssh("echo $TOLD; test -n \"$SSH_CONNECTION\" && echo $USER")), {
        format!("by the job\n{}\n||Some(0)", crate::support::user())
    });
    // A signal has no exit code; the client then gives 255, and says so.
    assert_eq!(runner.ssh("kill -9 $$").status.code(), Some(255));
    let mut cat = runner
        .client("ssh")
        .args(["here", "cat; echo over"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sent = "line of input\n".repeat(100_000);
    let mut input = cat.stdin.take().unwrap();
    let text = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = cat.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == format!("{sent}over\n").as_bytes(), "{} bytes came back", output.stdout.len());
}

#[test]
fn a_terminal_is_one() {
    let runner = waits();
    let line = "test -t 0 && echo $TERM $SSH_TTY && stty -a | grep -o 'rows [0-9]*'";
    let output = runner.client("ssh").args(["-tt", "here", line]).env("TERM", "vt220").output().unwrap();
    let text = told(&output);
    assert!(text.starts_with("vt220 /dev/pts/") && text.contains("rows "), "{text}");
    assert!(text.ends_with("|Some(0)"), "{text}");
    // A login shell takes commands until it is left.
    let mut shell = runner
        .client("ssh")
        .args(["-tt", "here"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(b"echo mark$((20 + 22)); exit 3\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("mark42"));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn only_holders_of_a_key_come_in() {
    let runner = waits();
    let other = runner.directory.path().join("other");
    assert!(
        Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-N", "", "-f"]).arg(&other).status().unwrap().success()
    );
    let configuration = fs::read_to_string(runner.configuration()).unwrap();
    let of_other: Vec<_> = configuration.lines().filter(|line| !line.contains("IdentityFile")).collect();
    let path = runner.directory.path().join("config-of-other");
    fs::write(&path, format!("{}\n IdentityFile {}\n", of_other.join("\n"), other.display())).unwrap();
    let output = Command::new("ssh").arg("-F").arg(&path).args(["here", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert!(told(&output).contains("Permission denied (publickey)"), "{}", told(&output));
    // The name is of no account: whoever comes in is who the runner runs as.
    let output = runner.client("ssh").args(["-l", "somebody", "here", "id", "-u"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), nix::unistd::getuid().to_string(), "{}", told(&output));
}

#[test]
fn files_go_both_ways_with_scp_sftp_and_rsync() {
    let runner = waits();
    let place = runner.directory.path();
    let (tree, there) = (place.join("tree"), place.join("there"));
    fs::create_dir_all(tree.join("deep")).unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7 + at / 251) as u8).collect();
    fs::write(tree.join("deep/large"), &content).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    let copied = |from: &str, to: &str| {
        let output = runner.client("scp").args(["-q", "-p", "-r", from, to]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
    };
    copied(tree.to_str().unwrap(), &format!("here:{}", there.display()));
    assert!(fs::read(there.join("deep/large")).unwrap() == content);
    let back = place.join("back");
    copied(&format!("here:{}", there.display()), back.to_str().unwrap());
    assert!(fs::read(back.join("deep/large")).unwrap() == content && back.join("empty").exists());
    let times = |path: &std::path::Path| {
        fs::metadata(path).unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    };
    assert_eq!(times(&back.join("deep/large")), times(&tree.join("deep/large")));

    let output = runner.client("scp").args(["here:/nowhere/at-all", place.to_str().unwrap()]).output().unwrap();
    assert!(told(&output).contains("No such file") && !output.status.success(), "{}", told(&output));

    let mut sftp = runner
        .client("sftp")
        .args(["-b", "-", "here"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let batch = format!(
        "cd {}\nmkdir new\nrename empty new/moved\nln -s moved new/link\nchmod 600 new/moved\nls -l new\nrm new/link\nrm new/moved\nrmdir new\nls\n",
        there.display()
    );
    sftp.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    let output = sftp.wait_with_output().unwrap();
    let text = told(&output);
    assert!(output.status.success() && text.contains("-rw-------"), "{text}");
    assert!(text.contains("lrwxrwxrwx") && !there.join("new").exists(), "{text}");

    let synced = place.join("synced");
    let shell = format!("ssh -F {}", runner.configuration().display());
    let output = Command::new("rsync")
        .args(["-a", "-e", &shell])
        .arg(format!("{}/", tree.display()))
        .arg(format!("here:{}", synced.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(fs::read(synced.join("deep/large")).unwrap() == content);
}

#[test]
fn ports_are_forwarded_both_ways() {
    let runner = waits();
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let inside = echo.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in echo.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (local, remote) = (free(), free());
    let mut ssh = runner
        .client("ssh")
        .args(["-N", "-o", "ExitOnForwardFailure=yes", "-L", &format!("{local}:localhost:{inside}")])
        .args(["-R", &format!("{remote}:127.0.0.1:{inside}"), "here"])
        .spawn()
        .unwrap();
    for port in [local, remote] {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "port {port}: {error}"),
            }
            #[expect(clippy::disallowed_methods, reason = "the interval of a wait with a deadline")]
            std::thread::sleep(Duration::from_millis(20));
        };
        let sent = vec![b'x'; 1 << 20];
        let text = sent.clone();
        let mut writer = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            writer.write_all(&text).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut came = Vec::new();
        stream.read_to_end(&mut came).unwrap();
        assert!(came == sent, "{} bytes came back through {port}", came.len());
    }
    ssh.kill().unwrap();
    ssh.wait().unwrap();
}
