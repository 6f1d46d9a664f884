//! Changes: checked for form, given their contents, and put before the sequencer.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_core::{Event, RequestId};
use muster_model::accounting::{ChargeRequest, charge};
use muster_model::fact::Fact;
use muster_model::hostlist;
use muster_model::ids::{Identity, NodeIndex, SubmitToken};
use muster_model::job::{JobSpec, OpenMode};
use muster_model::partition::Partition;
use muster_model::planning::{Expectation, PlanView};
use muster_model::request::{Answer, Command, CronJob, Refusal, RefusalCode};
use muster_model::statistics::CallKind;
use muster_proto::document::{decode, encode};
use muster_proto::{self as wire, command_reply};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, ApiService};
use crate::clock;
use crate::inbox::{Letter, Verdict};
use crate::statistics::OpenCall;

/// Largest environment accepted with a submit.
const CONTEXT_SIZE_MAX: usize = 8 << 20;

/// Takes a request back when its asker goes away before the answer came.
struct Abandon<'a> {
    service: &'a ApiService,
    request: Option<RequestId>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        self.service.dispatch.forget(request);
        // When the inbox is full the step stays in line; its client will not claim it, and its job's end removes it.
        drop(self.service.inbox.try_send(Event::RequestAbandoned(request).into()));
    }
}

/// What has come of a request before the sequencer has seen it.
enum Received {
    /// There is nothing for it to do.
    Answered(Verdict),
    /// It is to decide.
    Wanted(Box<Wanted>),
}

/// A change that the sequencer is asked for.
struct Wanted {
    command: Command,
    token: Option<SubmitToken>,
    /// Contents to be stored with it.
    attachments: Vec<Fact>,
    open: OpenCall,
}

impl ApiService {
    pub(super) async fn execute_one(
        &self,
        request: Request<wire::CommandRequest>,
    ) -> Result<Response<wire::CommandReply>, Status> {
        let identity = self.identities.caller(&request)?;
        let message = request.into_inner();
        let tag = message.tag;
        let Wanted { command, token, attachments, open: _open } = match self.receive(message, &identity).await {
            Received::Answered(verdict) => return Ok(Response::new(reply(tag, verdict))),
            Received::Wanted(wanted) => *wanted,
        };
        let (request_id, receiver) = self.dispatch.expect_reply();
        let mut abandon = Abandon { service: self, request: Some(request_id) };
        self.send(request_id, identity, (command, token), attachments).await?;
        let verdict = receiver.await.map_err(|_| Status::unavailable("the controller is stopping"))?;
        abandon.request = None;
        Ok(Response::new(reply(tag, verdict)))
    }

    pub(super) fn execute_stream(
        &self,
        request: Request<Streaming<wire::CommandRequest>>,
    ) -> Result<Response<Answers<wire::CommandReply>>, Status> {
        let identity = self.identities.caller(&request)?;
        let mut requests = request.into_inner();
        let (sender, receiver) = mpsc::unbounded_channel();
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = requests.message().await {
                let tag = message.tag;
                match service.receive(message, &identity).await {
                    Received::Answered(verdict) => drop(sender.send((tag, verdict))),
                    Received::Wanted(wanted) => {
                        let Wanted { command, token, attachments, open } = *wanted;
                        let request_id = service.dispatch.expect_tagged(sender.clone(), tag, open);
                        let what = (command, token);
                        if service.send(request_id, identity.clone(), what, attachments).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let replies = UnboundedReceiverStream::new(receiver).map(|(tag, verdict)| Ok(reply(tag, verdict)));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn send(
        &self,
        request: RequestId,
        identity: Identity,
        (command, token): (Command, Option<SubmitToken>),
        attachments: Vec<Fact>,
    ) -> Result<(), Status> {
        let command = Box::new(command);
        let event = match token {
            Some(token) => Event::Submit { request, identity, token, command },
            None => Event::Command { request, identity, command },
        };
        let sent = self.inbox.send(Letter { event, attachments }).await;
        sent.map_err(|_| Status::unavailable("the controller is stopping"))
    }

    /// Reads a request and answers what needs no sequencer.
    async fn receive(&self, message: wire::CommandRequest, caller: &Identity) -> Received {
        let token = match message.token.as_deref().map(<[u8; SubmitToken::SIZE]>::try_from).transpose() {
            Ok(token) => token.map(SubmitToken),
            Err(_) => {
                let detail = format!("the token of a submit has {} bytes", SubmitToken::SIZE);
                return Received::Answered(Err(Refusal::new(RefusalCode::Internal, detail)));
            }
        };
        let command: Command = match decode(&message.command_json, "command") {
            Ok(command) => command,
            Err(problem) => {
                let detail = format!("{problem}: {}", problem.source);
                return Received::Answered(Err(Refusal::new(RefusalCode::Internal, detail)));
            }
        };
        let open = self.meters.begin(CallKind::of_command(&command), caller);
        // One that has been made is not judged again, by what may have changed since.
        let made = token.and_then(|token| self.published.view().submits.made(clock::now(), caller, &command, token));
        if let Some(job_id) = made {
            return Received::Answered(Ok(Answer::Submitted(job_id)));
        }
        match self.prepare(command, message, caller).await {
            Err(refusal) => Received::Answered(Err(refusal)),
            Ok((Command::TestSubmit(spec), _)) => Received::Answered(self.expectation(vec![*spec]).await),
            Ok((Command::TestSubmitHet(specs), _)) => Received::Answered(self.expectation(specs).await),
            Ok((Command::CallNodes(call), _)) => Received::Answered(self.call_nodes(caller, &call)),
            Ok((command, attachments)) => Received::Wanted(Box::new(Wanted { command, token, attachments, open })),
        }
    }

    /// Checks of a command what needs no state, and takes its contents in.
    async fn prepare(
        &self,
        mut command: Command,
        message: wire::CommandRequest,
        caller: &Identity,
    ) -> Result<(Command, Vec<Fact>), Refusal> {
        let changes_nothing =
            matches!(command, Command::TestSubmit(_) | Command::TestSubmitHet(_) | Command::CallNodes(_));
        if let Some(why) = self.published.standstill().filter(|_| !changes_nothing) {
            return Err(Refusal::new(RefusalCode::WritingToFile, why));
        }
        if let Command::Reconfigure { config } = &mut command {
            *config = Some(self.read_config(caller).await?);
        }
        let mut attachments = Vec::new();
        let specs: &mut [JobSpec] = match &mut command {
            Command::Submit(spec) | Command::TestSubmit(spec) => std::slice::from_mut(spec),
            Command::SubmitHet(specs) | Command::TestSubmitHet(specs) => specs,
            _ => &mut [],
        };
        if let Some((spec, led)) = specs.split_first_mut() {
            let script_max = self.published.view().config.script_size_max;
            if message.script.as_ref().is_some_and(|script| script.len() as u64 > script_max) {
                return Err(Refusal::new(
                    RefusalCode::InvalidScript,
                    format!("scripts may have up to {script_max} bytes"),
                ));
            }
            if message.context.as_ref().is_some_and(|context| context.len() > CONTEXT_SIZE_MAX) {
                return Err(Refusal::new(
                    RefusalCode::Internal,
                    format!("environments may have up to {CONTEXT_SIZE_MAX} bytes"),
                ));
            }
            for (content, place) in [(message.script, &mut spec.script), (message.context, &mut spec.context)] {
                *place = content.map(|content| {
                    let (id, fact) = self.blobs.add(content.into());
                    attachments.push(fact);
                    id
                });
            }
            // The script runs in the component that leads.
            for spec in std::iter::once(spec).chain(led) {
                if self.published.view().config.append_output && spec.open_mode.is_none() {
                    spec.open_mode = Some(OpenMode::Append);
                }
                spec.nodes_when_empty = self.check_feasible(spec)?;
            }
        }
        if let Command::UpdateCrontab { jobs, .. } = &mut command {
            for job in jobs {
                self.take_in(job, &mut attachments)?;
            }
        }
        Ok((command, attachments))
    }

    /// Stores the script and the context of a job of a table.
    fn take_in(&self, job: &mut CronJob, attachments: &mut Vec<Fact>) -> Result<(), Refusal> {
        let lines = job.spec.cron.as_deref().map_or((0, 0), |entry| (entry.line_first, entry.line_last));
        let about =
            |refusal: Refusal| Refusal::new(refusal.code, format!("{}-{} {}", lines.0, lines.1, refusal.detail));
        if job.script.len() as u64 > self.published.view().config.script_size_max
            || job.context.len() > CONTEXT_SIZE_MAX
        {
            return Err(about(RefusalCode::InvalidScript.into()));
        }
        let contents = [(&mut job.script, &mut job.spec.script), (&mut job.context, &mut job.spec.context)];
        for (content, place) in contents {
            let (id, fact) = self.blobs.add(std::mem::take(content).into_bytes());
            attachments.push(fact);
            *place = Some(id);
        }
        job.spec.nodes_when_empty = self.check_feasible(&job.spec).map_err(about)?;
        Ok(())
    }

    /// Whether the configured nodes could ever run it, and how many of them it would take if nothing else ran.
    fn check_feasible(&self, spec: &JobSpec) -> Result<Option<u32>, Refusal> {
        let view = self.plan_view();
        let mut adviser = self.adviser.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        adviser.check_feasible(&view, spec)?;
        Ok(adviser.nodes_when_empty(&view, spec))
    }

    /// When and where it would start, found by the planner on a copy of the published state. Components of a heterogeneous
    /// job are asked for one by one, as real Slurm does it; the last to start decides.
    async fn expectation(&self, specs: Vec<JobSpec>) -> Verdict {
        let view = self.plan_view();
        specs.iter().try_for_each(|spec| is_charged(&view, spec))?;
        let adviser = Arc::clone(&self.adviser);
        let found = tokio::task::spawn_blocking(move || {
            let mut adviser = adviser.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let all = specs.iter().map(|spec| adviser.expect(&view, spec));
            all.reduce(|all, next| all.and_then(|all| next.map(|next| together(all, next))))
                .unwrap_or_else(|| Err(RefusalCode::NotSupported.into()))
        });
        match found.await {
            Ok(result) => result.map(|expected| Answer::Expected(self.named(expected))),
            Err(_) => Err(Refusal::new(RefusalCode::Internal, "the planner failed on this request")),
        }
    }

    /// With the names of its nodes and the number that the next job gets.
    fn named(&self, mut expected: Expectation) -> Expectation {
        let view = self.published.view();
        let indices: BTreeSet<NodeIndex> = expected.allocation.shares.iter().map(|share| share.node).collect();
        let nodes = indices.iter().filter_map(|index| view.nodes.get(index.0 as usize));
        expected.node_list = hostlist::compress(nodes.map(|node| &**node.name()));
        expected.job_id_next = view.job_id_next;
        expected
    }

    fn plan_view(&self) -> PlanView {
        self.published.view().plan_view(clock::now())
    }
}

/// What two components get that start together.
fn together(mut all: Expectation, next: Expectation) -> Expectation {
    all.start = all.start.max(next.start);
    all.allocation.shares.extend(next.allocation.shares);
    all
}

/// Whether the account and QOS of a job that is only tried exist, and may be used where it would run.
fn is_charged(view: &PlanView, spec: &JobSpec) -> Result<(), Refusal> {
    let wanted = |partition: &&Arc<Partition>| match spec.partitions.first() {
        Some(name) => partition.name == *name,
        None => partition.default,
    };
    // What is wrong with its partition, the planner says.
    let Some(partition) = view.partitions.iter().find(wanted) else { return Ok(()) };
    let (account, qos) = (spec.account.as_deref(), spec.qos.as_deref());
    let request = ChargeRequest { user: &spec.identity.user, account, qos, partition };
    charge(&view.accounting, view.config.accounting_enforce, &request).map(|_| ())
}

fn reply(tag: u64, verdict: Verdict) -> wire::CommandReply {
    let result = match verdict {
        Ok(answer) => command_reply::Result::AnswerJson(encode(&answer).into()),
        Err(refusal) => command_reply::Result::RefusalJson(encode(&refusal).into()),
    };
    wire::CommandReply { tag, result: Some(result) }
}
