//! `sattach`: the nodes of a running step call this command, show it what its tasks write, and take input for them.

use std::ffi::OsString;
use std::process::ExitCode;

use muster_client::{Client, ClientError};
use muster_model::hostlist;
use muster_model::ids::StepId;
use muster_model::node_call::{CallPurpose, NodeCall, NodesCalled};
use muster_model::request::{Answer, Command, Query, RefusalCode};
use muster_model::step::Step;
use muster_slurm::output::Outcome;
use muster_slurm::output::sattach::{Sattach, layout};

use super::ask::{Call, ask_with, print, reason};
use super::end;
use super::srun::terminal;
use super::streams::attached::Watching;
use super::streams::{InputTo, RanksShown, Streams};
use super::surroundings::Gathered;
use crate::runtime::block_on;

/// Runs `sattach`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let gathered = Gathered::new("sattach", args.clone());
    let call = Call::new(args);
    let done = Sattach::new(&call.args).and_then(|wanted| {
        if wanted.verbose > 1 {
            eprint!("{}", wanted.dump(&call.context.caller));
        }
        block_on(attach(&wanted, &gathered.client_host()))
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(outcome) => print(&outcome),
    }
}

fn fail(text: &str) -> Outcome {
    Outcome::failure(format!("sattach: error: {text}\n"), 1)
}

async fn attach(wanted: &Sattach, host: &str) -> Result<u8, Outcome> {
    let client = Client::connect().await.map_err(|error| wanted.no_step(&reason(&error)))?;
    let query = Query::Steps { job_id: Some(wanted.job_id) };
    let answers = ask_with(&client, vec![query]).await.map_err(|error| wanted.no_step(&reason(&error)))?;
    let step = wanted.find(&answers)?;
    if wanted.layout {
        return Err(Outcome::success(layout(&step)));
    }
    if !matches!(step.step_id, StepId::Number(_)) {
        let name = format!("{}.{}", step.job_id, step.step_id);
        return Err(fail(&format!("StepId={name} writes to files, so there is nothing to attach to")));
    }
    if wanted.pty {
        terminal::make_raw();
    }
    let watched = watch(wanted, &client, &step, host).await;
    if wanted.pty && !terminal::restore() {
        eprintln!("tcsetattr: {}", end::words(libc::ENOTTY));
    }
    watched
}

async fn watch(wanted: &Sattach, client: &Client, step: &Step, host: &str) -> Result<u8, Outcome> {
    let problem = |error: anyhow::Error| fail(&format!("{error:#}"));
    let streams = Streams::open(host).await.map_err(problem)?;
    let port = streams.address().map_err(problem)?.port();
    let call = NodeCall {
        job_id: step.job_id,
        step: Some(step.step_id),
        address: format!("{host}:{port}"),
        cookie: streams.cookie().to_owned(),
        purpose: CallPurpose::Attach,
    };
    let nodes = match client.command(&Command::CallNodes(call)).await {
        Ok(Answer::NodesCalled(nodes)) => nodes,
        Ok(other) => return Err(fail(&format!("unexpected answer of the controller: {other:?}"))),
        // Whoever may not see it is told what real sattach tells.
        Err(ClientError::Refused(refusal)) if refusal.code == RefusalCode::InvalidUser => {
            let names = hostlist::expand(&step.node_list).unwrap_or_default();
            names.iter().filter(|_| !wanted.quiet).for_each(|node| eprintln!("sattach: Node {node}: no tasks running"));
            return Ok(0);
        }
        Err(error) => return Err(wanted.no_step(&reason(&error))),
    };
    let NodesCalled { called, absent } = nodes;
    absent.iter().for_each(|node| eprintln!("sattach: error: Node {node}: {}", end::words(libc::EHOSTUNREACH)));
    let watching = Watching {
        labels: wanted.label.then_some(step.tasks),
        ranks_shown: RanksShown { stdout: wanted.output, stderr: wanted.error },
        // A terminal belongs to the first task.
        input: wanted.input.or(wanted.pty.then_some(0)).map_or(InputTo::All, InputTo::Rank),
        quiet: wanted.quiet,
    };
    streams.watch(&called, watching).await.map_err(problem)
}
