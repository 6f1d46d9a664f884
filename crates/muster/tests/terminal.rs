//! `salloc` on a terminal, with a shell that has job control: who has the terminal, and what keys do.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::{Arc, Mutex};

use nix::pty::openpty;
use support::Cluster;

/// A terminal with a shell on it.
struct Terminal<'a> {
    cluster: &'a Cluster,
    keys: File,
    shown: Arc<Mutex<String>>,
    /// How much of what is shown has been waited for.
    seen: usize,
    shell: Child,
}

impl<'a> Terminal<'a> {
    fn open(cluster: &'a Cluster) -> Terminal<'a> {
        let pair = openpty(None, None).expect("a terminal");
        let mut command =
            cluster.command("exec env PS1='READY> ' SHELL=/bin/bash setsid --ctty --wait bash --norc --noediting -i");
        let stream = || pair.slave.try_clone().expect("another descriptor");
        let shell = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("a shell");
        drop(pair.slave);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, into) = (File::from(pair.master.try_clone().expect("another descriptor")), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                into.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut terminal = Terminal { cluster, keys: File::from(pair.master), shown, seen: 0, shell };
        terminal.wait("READY> ");
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` is shown behind what was waited for before.
    fn wait(&mut self, text: &str) {
        let shown = Arc::clone(&self.shown);
        let found = |from: usize| {
            let shown = shown.lock().expect("no panic");
            shown.get(from..).and_then(|rest| rest.find(text)).map(|at| from + at + text.len())
        };
        let from = self.seen;
        self.cluster.wait(&format!("{text:?} on the terminal"), || found(from).is_some());
        self.seen = found(from).unwrap_or(from);
    }

    /// What a command line prints: `told` has to stand there after what was typed.
    fn says(&mut self, line: &str, told: &str) {
        self.press(&format!("{line}\n"));
        self.wait(told);
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on the terminal:\n{}", self.shown.lock().map(|shown| shown.clone()).unwrap_or_default());
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn the_command_of_salloc_has_the_terminal() {
    let cluster = Cluster::start(&["--nodes", "1", "--cpus", "8"]);
    let mut terminal = Terminal::open(&cluster);

    // Keys reach the command alone, which has no use for Ctrl-Z; one that Ctrl-C ends has not failed.
    terminal.says("salloc -Q -n1 sh -c 'echo be''gun; exec cat'", "begun");
    terminal.says("hello", "hello\r\nhello");
    terminal.press("\x1a");
    terminal.says("again", "again\r\nagain");
    terminal.press("\x03");
    terminal.wait("READY> ");
    terminal.says("echo ended with $?", "ended with 0\r\n");

    // It is a group of its own in front, and nothing of what it did to the terminal stays.
    terminal.says("salloc -Q -n1 sh -c 'ps -o pgid=,tpgid= -p $$ | { read a b; [ $a = $b ] && echo in front; }; stty -echo; exit 3'", "in front");
    terminal.wait("READY> ");
    terminal.says("echo ended with $? $(stty -a | grep -o '[-]*echo ')", "ended with 3 echo\r\n");

    // A shell in it has job control.
    terminal.says("salloc -Q -n1 bash --norc --noediting", "READY> ");
    terminal.says("echo job $((SLURM_JOB_ID > 0))", "job 1\r\n");
    terminal.press("sleep 300\n");
    cluster.wait("the sleep in front", || in_front(&cluster, "sleep 300"));
    terminal.press("\x1a");
    terminal.wait("Stopped");
    terminal.wait("READY> ");
    terminal.says("fg", "sleep 300");
    cluster.wait("the sleep in front again", || in_front(&cluster, "sleep 300"));
    terminal.press("\x03");
    terminal.wait("READY> ");
    terminal.says("exit 4", "READY> ");
    terminal.says("echo ended with $?", "ended with 4\r\n");

    // What was started in the background stands when it wants to read, and goes on in front.
    terminal.press("salloc -Q -n1 sh -c 'echo be''gun; exec cat' &\n");
    terminal.wait("begun");
    cluster.wait("salloc to stand", || cluster.run("ps -e -o stat=,args= | grep -q '^T.* salloc -Q -n1 '").code == 0);
    terminal.press("fg\n");
    terminal.wait("salloc -Q");
    terminal.says("hello", "hello\r\nhello");
    terminal.press("\x04");
    terminal.wait("READY> ");

    // A shell survives its allocation, not what it runs in front.
    terminal.says("salloc -n1 -J revoked bash --norc --noediting", "READY> ");
    terminal.press("sleep 400\n");
    cluster.wait("the sleep in front", || in_front(&cluster, "sleep 400"));
    cluster.out("scancel -n revoked");
    terminal.wait("has been revoked.");
    cluster.wait("the sleep to be gone", || !in_front(&cluster, "sleep 400"));
    terminal.says("echo still $((1 + 1))", "still 2\r\n");
    terminal.says("exit", "READY> ");
    terminal.says("echo back $((3 + 4))", "back 7\r\n");
}

/// Whether a process with these arguments belongs to the group in front of its terminal.
fn in_front(cluster: &Cluster, arguments: &str) -> bool {
    let line = format!("ps -e -o pgid=,tpgid=,args= | awk '$1 == $2' | grep -c ' {arguments}$'");
    cluster.run(&line).stdout.trim() != "0"
}
