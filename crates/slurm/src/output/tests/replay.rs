//! Runs the command lines of a transcript against a scene and compares what they print.

use std::sync::Arc;

use muster_model::ids::Identity;
use muster_model::request::{Query, Reply};
use muster_model::time::Timestamp;

use super::scenes::{Scene, at, scene};
use crate::output::sacct::Sacct;
use crate::output::scancel::Scancel;
use crate::output::scontrol::{self, Action};
use crate::output::sdiag::Sdiag;
use crate::output::sinfo::Sinfo;
use crate::output::sprio::Sprio;
use crate::output::squeue::Squeue;
use crate::output::sshare::Sshare;
use crate::output::{Answers, Context, Environment, Outcome};

/// Checks every entry of `transcript` and tells all differences together.
pub fn replay(transcript: &str) {
    let mut current: Option<(Scene, Timestamp)> = None;
    let (mut differences, mut count) = (Vec::new(), 0);
    for block in
        transcript.split_inclusive('\n').collect::<String>().split("\n$ ").flat_map(|block| block.split("\n@ "))
    {
        let block = block.trim_start_matches("@ ").trim_start_matches("$ ");
        let Some((first, rest)) = block.split_once('\n') else {
            current = Some(read_scene(block));
            continue;
        };
        if !rest.contains("--- stdout\n") {
            current = Some(read_scene(first));
            continue;
        }
        // A command may itself go over several lines.
        let (command, rest) = block.split_once("\n--- stdout\n").expect("an entry has a stdout");
        let (stdout, rest) = rest.split_once("--- stderr\n").expect("an entry has a stderr");
        let (stderr, code) = rest.split_once("--- exit ").expect("an entry has an exit");
        let expected = Outcome {
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
            code: code.trim().parse().expect("an exit code is a number"),
        };
        let (scene, now) = current.as_ref().expect("a scene comes first");
        let found = run(command, scene, *now);
        count += 1;
        if found != expected {
            differences.push(format!("$ {command}\n{}", difference(&expected, &found)));
        }
    }
    assert!(count > 5, "a transcript has entries");
    assert!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences.join("\n"));
}

/// The lines that one has and the other lacks, by their place.
fn difference(expected: &Outcome, found: &Outcome) -> String {
    let mut text = String::new();
    for (expected, found) in [(&expected.stdout, &found.stdout), (&expected.stderr, &found.stderr)] {
        let (mut left, mut right) = (expected.lines(), found.lines());
        loop {
            match (left.next(), right.next()) {
                (None, None) => break,
                (left, right) if left == right => {}
                (left, right) => {
                    text.push_str(&format!("- {}\n+ {}\n", left.unwrap_or("(nothing)"), right.unwrap_or("(nothing)")))
                }
            }
        }
        if text.is_empty() && expected != found {
            text.push_str(&format!("- {expected:?}\n+ {found:?}\n"));
        }
    }
    if expected.code != found.code {
        text.push_str(&format!("- exit {}\n+ exit {}\n", expected.code, found.code));
    }
    text
}

fn read_scene(line: &str) -> (Scene, Timestamp) {
    let (name, time) = line.trim().split_once(' ').expect("a scene has a time");
    (scene(name), at(time))
}

fn run(command: &str, scene: &Scene, now: Timestamp) -> Outcome {
    let (user, command) = match command.strip_prefix("(user alice) ") {
        Some(rest) => ("alice", rest),
        None => ("root", command),
    };
    let mut words = scontrol::split_line(command);
    let mut environment = Environment::new();
    while let Some((name, value)) = words
        .first()
        .and_then(|word| word.split_once('='))
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()))
    {
        environment.insert(name.to_owned(), value.to_owned());
        words.remove(0);
    }
    let number = if user == "alice" { 1001 } else { 0 };
    let caller = Identity { uid: number, gid: number, user: user.into(), group: user.into() };
    let mut context = Context::new(now, jiff::tz::TimeZone::UTC, &environment, caller);
    context.user_number = |name| match name {
        "root" | "0" => Some(0),
        "bin" | "2" => Some(2),
        "games" | "5" => Some(5),
        "alice" | "1001" => Some(1001),
        "bob" | "1002" => Some(1002),
        _ => None,
    };
    context.group_number = context.user_number;
    let program = words.remove(0);
    let ask = |queries: Vec<Query>| Answers::gather(queries.iter().flat_map(|query| answer(scene, query)));
    let result = match program.as_str() {
        "squeue" => {
            Squeue::new(&words, &environment, &context).map(|squeue| squeue.render(&ask(squeue.queries()), &context))
        }
        "sinfo" => Sinfo::new(&words, &environment).map(|sinfo| sinfo.render(&ask(sinfo.queries()), &context)),
        "sacct" => {
            Sacct::new(&words, &environment, &context).map(|sacct| sacct.render(&ask(sacct.queries()), &context))
        }
        "sprio" => Sprio::new(&words, &environment, &context).map(|sprio| sprio.render(&ask(sprio.queries()))),
        "sdiag" => Sdiag::new(&words, &environment).map(|sdiag| sdiag.render(&ask(sdiag.queries()), &context)),
        "sshare" => Sshare::new(&words, &environment, &context).map(|sshare| sshare.render(&ask(sshare.queries()))),
        "scancel" => Scancel::new(&words, &environment, &context).map(|_| Outcome::default()),
        "scontrol" => scontrol::start(&words, &environment).map(|start| {
            match scontrol::parse(&start.words, start.flags, &environment, &context) {
                Action::Print(outcome) => outcome,
                Action::Show(show) => show.render(&ask(show.queries(start.flags)), &context, start.flags),
                Action::Change(changes) => {
                    let refusals: Vec<_> =
                        changes.list.iter().map(|change| change.command.as_ref().err().cloned()).collect();
                    changes.outcome(&refusals)
                }
                Action::Set(_) | Action::Quit => Outcome::default(),
                other => panic!("{command}: nothing can be compared with {other:?}"),
            }
        }),
        other => panic!("unknown program {other}"),
    };
    result.unwrap_or_else(|outcome| outcome)
}

/// What a controller would answer.
fn answer(scene: &Scene, query: &Query) -> Vec<Reply> {
    match query {
        Query::Jobs { ids, uids, active_only } => {
            let wanted = |job: &&Arc<muster_model::job::Job>| {
                ids.as_ref()
                    .is_none_or(|ids| ids.contains(&job.id) || job.array_job_id().is_some_and(|id| ids.contains(&id)))
                    && uids.as_ref().is_none_or(|uids| uids.contains(&job.spec.identity.uid))
                    && !(*active_only && job.state.is_final() && !job.completing)
            };
            vec![Reply::Jobs(scene.jobs.iter().filter(wanted).cloned().collect())]
        }
        Query::Nodes => vec![Reply::Nodes { nodes: scene.nodes.clone(), partitions: scene.partitions.clone() }],
        Query::Partitions => vec![Reply::Partitions(scene.partitions.clone())],
        Query::Steps { job_id } => {
            let wanted = |step: &&Arc<muster_model::step::Step>| job_id.is_none_or(|id| step.job_id == id);
            vec![Reply::Steps(scene.steps.iter().filter(wanted).cloned().collect())]
        }
        Query::Reservations => vec![Reply::Reservations(Vec::new())],
        Query::Config => vec![Reply::Config(scene.parameters.clone())],
        Query::Priorities => scene.priorities.iter().cloned().map(|it| Reply::Priorities(Box::new(it))).collect(),
        Query::Shares => scene.shares.iter().cloned().map(|it| Reply::Shares(Box::new(it))).collect(),
        Query::Statistics => scene.statistics.iter().cloned().map(|it| Reply::Statistics(Box::new(it))).collect(),
        Query::ResetStatistics => vec![Reply::Done],
        Query::Topology => vec![Reply::Topology(None)],
        Query::Crontab(_) | Query::Accounting | Query::RemoteLicenses | Query::Explain(_) | Query::ExplainTask(..) => {
            Vec::new()
        }
        Query::Ping => vec![Reply::Pong(scene.pong())],
        Query::History(filter) => {
            let ids = filter.ids.as_ref();
            let wanted = |row: &&muster_model::request::HistoryRow| {
                ids.is_none_or(|ids| {
                    ids.contains(&row.job.id) || row.job.array_job_id().is_some_and(|id| ids.contains(&id))
                })
            };
            vec![Reply::History(scene.history.iter().filter(wanted).cloned().collect())]
        }
    }
}
