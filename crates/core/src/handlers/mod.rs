//! One file for each family of events. This file only dispatches.

pub(crate) mod accounting;
mod ageing;
pub(crate) mod agent;
pub(crate) mod authorisation;
mod cancel;
mod cron;
pub(crate) mod dependency;
pub(crate) mod ending;
mod evict;
pub(crate) mod expand;
mod hold;
pub(crate) mod holder;
pub(crate) mod hooks;
mod least_time;
mod nodes;
mod notify;
mod partitions;
pub(crate) mod plan;
pub(crate) mod priority;
mod reconfigure;
mod requeue;
pub(crate) mod reservations;
mod resize;
pub(crate) mod steps;
mod submit;
mod suspend;
mod targets;
pub(crate) mod tick;
pub(crate) mod turns;
mod units;
mod update_check;
mod update_job;
mod update_step;

use muster_model::ids::{Identity, SubmitToken};
use muster_model::request::{Answer, Command, Refusal, RefusalCode};
use muster_model::step::StepPart;
use muster_model::time::Timestamp;

use crate::cluster::{Cluster, WaitingStep};
use crate::effect::Outcome;
use crate::event::RequestId;

/// Carries out a submit that may be said again: once.
pub(crate) fn submit_once(
    cluster: &mut Cluster,
    now: Timestamp,
    (request, identity): (RequestId, &Identity),
    token: SubmitToken,
    wanted: Command,
    out: &mut Outcome,
) {
    if let Some(made) = cluster.submits.made(now, identity, &wanted, token) {
        return out.reply(request, Ok(Answer::Submitted(made)));
    }
    let token = Some(token);
    let result = match wanted {
        Command::Submit(spec) => submit::submit(cluster, now, identity, *spec, token, out),
        Command::SubmitHet(specs) => submit::submit_het(cluster, now, identity, specs, token, out),
        other => return command(cluster, now, request, identity, other, out),
    };
    out.reply(request, result.map(Answer::Submitted));
}

/// Carries out one change asked for by a client and replies to it.
pub(crate) fn command(
    cluster: &mut Cluster,
    now: Timestamp,
    request: RequestId,
    identity: &Identity,
    command: Command,
    out: &mut Outcome,
) {
    let done = |result: Result<(), Refusal>| result.map(|()| Answer::Done);
    let result = match command {
        Command::Submit(spec) => submit::submit(cluster, now, identity, *spec, None, out).map(Answer::Submitted),
        Command::SubmitHet(specs) => {
            submit::submit_het(cluster, now, identity, specs, None, out).map(Answer::Submitted)
        }
        // Answered by the scheduler on a copy of the state, or by nodes; it never comes here.
        Command::TestSubmit(_) | Command::TestSubmitHet(_) | Command::CallNodes(_) => {
            Err(RefusalCode::NotSupported.into())
        }
        Command::Cancel(cancel) => done(cancel::cancel(cluster, now, identity, &cancel, out)),
        Command::Hold { target, as_user } => done(hold::hold(cluster, now, identity, &target, as_user, out)),
        Command::Release(target) => done(hold::release(cluster, now, identity, &target, out)),
        Command::Requeue { target, hold, special_exit } => {
            done(requeue::requeue(cluster, now, identity, &target, requeue::Held { hold, special_exit }, out))
        }
        Command::Reconfigure { config } => done(reconfigure::reconfigure(cluster, now, identity, config, out)),
        Command::ResetUsage(of) => done(priority::reset(cluster, now, identity, &of, out)),
        Command::Top(jobs) => done(priority::top(cluster, now, identity, &jobs, out)),
        Command::Notify { job_id, message } => done(notify::notify(cluster, identity, job_id, &message, out)),
        Command::Suspend(target) => done(suspend::suspend(cluster, now, identity, &target, out)),
        Command::Resume(target) => done(suspend::resume(cluster, now, identity, &target, out)),
        Command::UpdateJob { target, changes } => {
            done(update_job::update(cluster, now, identity, &target, &changes, out))
        }
        Command::UpdateStep { target, limit } => {
            done(update_step::set_limit(cluster, now, identity, &target, limit, out))
        }
        Command::UpdateNodes { nodes, changes } => done(nodes::update(cluster, now, identity, &nodes, &changes, out)),
        Command::UpdatePartition { name, state } => {
            done(partitions::set_state(cluster, now, identity, &name, state, out))
        }
        Command::ChangePartition { name, changes, create } => {
            done(partitions::change(cluster, now, identity, &name, &changes, create, out))
        }
        Command::DeletePartition { name } => done(partitions::delete(cluster, now, identity, &name, out)),
        Command::CreateReservation { name, changes } => {
            reservations::create(cluster, now, identity, name, &changes, out).map(Answer::ReservationCreated)
        }
        Command::UpdateReservation { name, changes } => {
            done(reservations::update(cluster, now, identity, &name, &changes, out))
        }
        Command::DeleteReservation { name } => done(reservations::delete(cluster, identity, &name, out)),
        Command::UpdateCrontab { uid, text, jobs } => {
            cron::update(cluster, now, identity, uid, text, jobs, out).map(Answer::CrontabInstalled)
        }
        Command::ChangeAccounting(change) => done(accounting::change(cluster, now, identity, &change, out)),
        Command::CreateStep { job_id, request: step, launch } => {
            // Replies by itself: at once, or when the step has found its resources.
            let parts = vec![StepPart { job_id, request: *step, launch: *launch }];
            return steps::create(cluster, now, identity, WaitingStep { request_id: request, parts }, out);
        }
        Command::CreateHetStep(parts) => {
            return steps::create(cluster, now, identity, WaitingStep { request_id: request, parts }, out);
        }
        Command::EndAllocation { job_id, exit } => done(holder::end(cluster, now, identity, job_id, exit, out)),
    };
    out.reply(request, result);
}
