//! What `srun`, `salloc` and `sbatch` answer to their options: `launch_options.txt` was written by real Slurm 22.05 (see its head), and
//! each of its lines is run here.

mod support;

use std::fmt::Write as _;

use support::Cluster;

const RECORDED: &str = include_str!("launch_options.txt");

/// Clusters, each of which runs one line at a time, so that it is known which node a job gets.
const CLUSTERS: usize = 2;

/// Files that the lines name.
const FILES: [(&str, &str); 7] = [
    ("mp.conf", "0 echo zero\n1 echo one %t %o\n"),
    ("in.txt", "a\nb\n"),
    ("noshebang.sh", "echo hi\n"),
    ("empty.sh", ""),
    ("crlf.sh", "#!/bin/sh\r\ntrue\r\n"),
    ("badopt.sh", "#!/bin/sh\n#SBATCH --bogus\ntrue\n"),
    ("file.sh", "#!/bin/sh\ntrue\n"),
];

/// What is only said where a job has to wait, or is said by chance.
const PASSED_OVER: [&str; 4] =
    ["queued and waiting for resources", "has been allocated resources", "Pending job allocation", "has been revoked."];

/// What stands before the number of a job.
const BEFORE_NUMBERS: [&str; 6] = ["job ", "Job ", "allocation ", "JobId=", "StepId=", "batch job "];

/// One line and what it gave, as the record has it. What `never_ends` is ended as soon as it waits.
fn ran(cluster: &Cluster, line: &str, never_ends: bool) -> String {
    let ran = if never_ends {
        cluster.run_until_it_waits(line)
    } else {
        cluster.run(&format!("export FOO=bar; timeout 60 bash -c '{}'", line.replace('\'', "'\\''")))
    };
    let mut lines: Vec<String> = Vec::new();
    for (mark, text) in [("1>", &ran.stdout), ("2>", &ran.stderr)] {
        let told = text.lines().filter(|line| !PASSED_OVER.iter().any(|what| line.contains(what)));
        lines.extend(told.map(|line| format!("{mark} {}", without_numbers(line))));
    }
    lines.sort();
    let mut block = format!("$ {line}\n");
    for line in lines {
        let _ = writeln!(block, "{line}");
    }
    let _ = writeln!(block, "rc {}", ran.code);
    block
}

fn without_numbers(line: &str) -> String {
    if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) {
        return "N".to_owned();
    }
    let mut rest = line;
    let mut told = String::new();
    while let Some(digit) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(digit);
        let end = from.find(|character: char| !character.is_ascii_digit()).unwrap_or(from.len());
        let is_job = BEFORE_NUMBERS.iter().any(|mark| before.ends_with(mark));
        told.push_str(before);
        told.push_str(if is_job { "N" } else { &from[..end] });
        rest = &from[end..];
    }
    told + rest
}

#[test]
fn options_are_answered_as_real_slurm_does() {
    let body = RECORDED.split_once("$ ").expect("a first line").1;
    let recorded: Vec<String> = body.split("\n$ ").map(|block| format!("$ {}\n", block.trim_end())).collect();
    assert!(recorded.len() > 100);
    let differences: Vec<String> = std::thread::scope(|scope| {
        let part = |number: usize| recorded.iter().skip(number).step_by(CLUSTERS);
        let workers: Vec<_> = (0..CLUSTERS)
            .map(|number| {
                let own = part(number);
                scope.spawn(move || differences(own))
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("its lines run")).collect()
    });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn differences<'a>(recorded: impl Iterator<Item = &'a String>) -> Vec<String> {
    let cluster = Cluster::start(&["--nodes", "4", "--cpus", "16"]);
    for (name, content) in FILES {
        cluster.file(name, content);
    }
    let mut found = Vec::new();
    for expected in recorded {
        let line = expected.lines().next().and_then(|line| line.strip_prefix("$ ")).expect("a line");
        let is = ran(&cluster, line, expected.ends_with("rc 124\n"));
        if is != *expected {
            found.push(format!("--- Slurm\n{expected}--- Muster\n{is}"));
        }
    }
    found
}
