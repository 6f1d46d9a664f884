//! Where scripts and tasks write to.

use std::sync::Arc;

use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job, JobSpec, OpenMode};
use muster_model::step::{StepLaunch, StreamTarget};

use super::fixture::{allocate, change, job, launch, nodes, step};
use crate::environment::{OutputPaths, Stream, output_paths, task_paths};

fn script(job: &Job, append_default: bool) -> OutputPaths {
    output_paths(&launch(job, &nodes(job), 0), append_default)
}

fn file(path: &str) -> Stream {
    Stream::File(path.to_owned())
}

#[test]
fn files_of_scripts() {
    let plain = script(&job(7), false);
    assert_eq!(
        plain,
        OutputPaths { stdin: Stream::Null, stdout: file("/tmp/w/slurm-7.out"), stderr: None, append: false }
    );
    let mut task = job(741);
    task.array = Some(ArrayRole::Task { array_job_id: JobId(740), task_index: 3 });
    assert_eq!(script(&task, false).stdout, file("/tmp/w/slurm-740_3.out"));
    let check = |with: &dyn Fn(&mut JobSpec), expected: OutputPaths| {
        let mut job = job(7);
        change(&mut job, |spec| with(spec));
        assert_eq!(script(&job, false), expected);
    };
    check(
        &|spec| {
            (spec.work_dir, spec.name) = ("/".into(), "nm".into());
            (spec.input, spec.output, spec.error) =
                (Some("in".into()), Some("%x-%j.o".into()), Some("/var/%N_%u.e".into()));
        },
        OutputPaths {
            stdin: file("/in"),
            stdout: file("/nm-7.o"),
            stderr: Some(file("/var/n1_root.e")),
            append: false,
        },
    );
    check(
        &|spec| (spec.output, spec.open_mode) = (Some("/dev/null".into()), Some(OpenMode::Append)),
        OutputPaths { stdin: Stream::Null, stdout: Stream::Null, stderr: None, append: true },
    );
}

#[test]
fn the_option_wins_over_the_configuration() {
    let mut job = job(7);
    assert!(script(&job, true).append);
    change(&mut job, |spec| spec.open_mode = Some(OpenMode::Truncate));
    assert!(!script(&job, true).append);
}

#[test]
fn files_of_tasks() {
    let mut job = job(751);
    allocate(&mut job, &[(0, 3, 3, 0), (1, 1, 1, 0)]);
    let nodes = nodes(&job);
    let mut four = step(&job, 2, 1, Vec::new(), &[(0, &[0, 2, 3], 3, 0), (1, &[1], 1, 0)]);
    let how = four.launch.as_deref().unwrap().clone();
    let output = |pattern: &str| StreamTarget::File(pattern.into());
    let how = StepLaunch {
        output: output("p_%j-%3t.%n"),
        error: Some(output("/e/%J")),
        input_rank: Some(2),
        append: true,
        ..how
    };
    four.launch = Some(Arc::new(how));
    let paths = |here, rank| task_paths(&launch(&job, &nodes, here), &four, rank);
    let expected =
        |stdin, name| OutputPaths { stdin, stdout: file(name), stderr: Some(file("/e/751.2")), append: true };
    assert_eq!(paths(0, 2), Some(expected(Stream::Client, "/tmp/w/p_751-002.0")));
    assert_eq!(paths(1, 1), Some(expected(Stream::Null, "/tmp/w/p_751-001.1")));
    assert_eq!(paths(1, 2), None, "it is on another node");
}
