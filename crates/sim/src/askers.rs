//! Clients that make steps: `srun` in a batch script, and `salloc` with what runs in it. They wait, give up, die, and
//! ask again when the controller was away.

use muster_core::{Event, RequestId};
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::Job;
use muster_model::request::{Answer, Command, Refusal, RefusalCode};
use muster_model::state::ExitStatus;
use muster_model::step::{Distribution, StepLaunch, StepPart, StepRequest, StreamTarget};
use muster_model::time::{TimeLimit, Timestamp};
use muster_runtime::unit::UnitKey;

use crate::users::Asked;
use crate::world::{Happening, World};

/// One client.
#[derive(Debug)]
pub(crate) struct Asker {
    job_id: JobId,
    uid: u32,
    kind: Kind,
    steps_left: u32,
    /// The step that was asked for and not answered.
    waiting: Option<(RequestId, StepRequest, StepLaunch)>,
    cookies: u32,
    /// When the last thing it said arrives; the next comes no earlier.
    last_said: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Holds the allocation.
    Holder,
    /// Part of a script; gone with it.
    Script(NodeIndex, UnitKey),
}

impl World {
    pub(crate) fn holder_attaches(&mut self, job_id: JobId, uid: u32) {
        let steps_left = self.random.small(0, 5);
        let number = self.new_asker(job_id, uid, Kind::Holder, steps_left);
        self.tell(number, Event::HolderPresent(job_id));
    }

    pub(crate) fn script_runs(&mut self, node: NodeIndex, key: UnitKey, job: &Job) {
        if self.random.chance(400) {
            let steps_left = self.random.small(1, 4);
            self.new_asker(job.id, job.spec.identity.uid, Kind::Script(node, key), steps_left);
        }
    }

    fn new_asker(&mut self, job_id: JobId, uid: u32, kind: Kind, steps_left: u32) -> u64 {
        let number = self.askers.last_key_value().map_or(0, |(last, _)| last + 1);
        self.askers
            .insert(number, Asker { job_id, uid, kind, steps_left, waiting: None, cookies: 0, last_said: self.now });
        let pause = self.random.span(0, 5_000);
        self.after(pause, Happening::AskerActs(number));
        number
    }

    /// What a client says reaches the controller in the order in which it said it.
    fn arrival(&mut self, number: u64) -> Timestamp {
        let soon = self.now + self.message_delay();
        let Some(asker) = self.askers.get_mut(&number) else { return soon };
        asker.last_said = asker.last_said.max(soon);
        asker.last_said
    }

    fn tell(&mut self, number: u64, event: Event) {
        let at = self.arrival(number);
        let life = self.controller.life();
        self.at(at, Happening::ClientEvent { life, event });
    }

    pub(crate) fn asker_acts(&mut self, number: u64) {
        let Some(asker) = self.askers.get(&number) else {
            return;
        };
        let (job_id, kind, waits, steps_left) = (asker.job_id, asker.kind, asker.waiting.is_some(), asker.steps_left);
        if let Kind::Script(node, key) = kind
            && !self.node(node).supervisor.running.contains_key(&key)
        {
            self.asker_gives_up(number);
            self.askers.remove(&number);
            return;
        }
        let pause = self.random.span(500, 30_000);
        if kind == Kind::Holder && self.random.chance(20) {
            self.note(format!("the client of job {job_id} dies"));
            self.tell(number, Event::HolderGone(job_id));
            self.asker_gives_up(number);
            self.holder_died(job_id);
            self.askers.remove(&number);
            return;
        }
        if kind == Kind::Holder && self.random.chance(100) {
            // A new connection, before the old one was noticed to be broken.
            self.tell(number, Event::HolderPresent(job_id));
            self.tell(number, Event::HolderGone(job_id));
        }
        if waits {
            if self.random.chance(100) {
                self.asker_gives_up(number);
            }
        } else if steps_left > 0 && (!self.winding_up || self.random.chance(500)) {
            self.asker_asks(number);
        } else if kind == Kind::Holder {
            self.holder_ends(number);
        }
        self.after(pause, Happening::AskerActs(number));
    }

    fn asker_gives_up(&mut self, number: u64) {
        let Some(asker) = self.askers.get_mut(&number) else {
            return;
        };
        if let Some((request, _, _)) = asker.waiting.take() {
            self.tell(number, Event::RequestAbandoned(request));
        }
    }

    fn asker_asks(&mut self, number: u64) {
        let Some(asker) = self.askers.get_mut(&number) else {
            return;
        };
        asker.cookies += 1;
        let cookie = format!("c{number}-{}", asker.cookies);
        let request = draw_request(&mut self.random);
        self.send_step(number, request, launch(cookie));
    }

    fn send_step(&mut self, number: u64, request: StepRequest, launch: StepLaunch) {
        let Some(asker) = self.askers.get(&number) else {
            return;
        };
        let (uid, job_id) = (asker.uid, asker.job_id);
        let role = self.store.job(job_id).and_then(|job| job.het).filter(|role| role.is_leader());
        let command = match role.filter(|_| request.exact) {
            Some(role) => {
                let part = |job_id| StepPart { job_id, request: request.clone(), launch: launch.clone() };
                Command::CreateHetStep(role.ids().map(part).collect())
            }
            None => {
                Command::CreateStep { job_id, request: Box::new(request.clone()), launch: Box::new(launch.clone()) }
            }
        };
        let at = self.arrival(number);
        let id = self.ask_at(at, uid, command, Asked::Step(number));
        if let Some(asker) = self.askers.get_mut(&number) {
            asker.waiting = Some((id, request, launch));
        }
    }

    fn holder_ends(&mut self, number: u64) {
        let Some(asker) = self.askers.get(&number) else {
            return;
        };
        let (job_id, uid) = (asker.job_id, asker.uid);
        // Repeated until it is known that the job has ended.
        if self.store.job(job_id).is_none_or(|job| job.state.is_final()) {
            self.askers.remove(&number);
            return;
        }
        let exit = if self.random.chance(700) { ExitStatus::SUCCESS } else { ExitStatus::exited(3) };
        self.truth.holder_said(job_id, exit);
        let at = self.arrival(number);
        self.ask_at(at, uid, Command::EndAllocation { job_id, exit }, Asked::Change);
    }

    pub(crate) fn step_answered(&mut self, number: u64, request: RequestId, result: Result<Answer, Refusal>) {
        let Some(asker) = self.askers.get_mut(&number) else {
            return;
        };
        if asker.waiting.as_ref().is_none_or(|(waiting, _, _)| *waiting != request) {
            return;
        }
        asker.waiting = None;
        match result {
            Ok(Answer::StepCreated(_) | Answer::StepsCreated(_)) => {
                asker.steps_left = asker.steps_left.saturating_sub(1);
                self.counts.steps_created += 1;
            }
            Err(refusal) if refusal.code == RefusalCode::JobPending => {}
            _ => asker.steps_left = asker.steps_left.saturating_sub(1),
        }
    }

    /// The controller is back: clients make themselves known and ask again for what was not answered.
    pub(crate) fn askers_notice_start(&mut self) {
        for number in self.askers.keys().copied().collect::<Vec<_>>() {
            let delay = self.client_delay();
            let life = self.controller.life();
            self.after(delay, Happening::AskerReturns { life, asker: number });
        }
    }

    pub(crate) fn asker_returns(&mut self, life: u64, number: u64) {
        if !self.controller.is_alive(life) {
            return;
        }
        let again = self.random.chance(700);
        let Some(asker) = self.askers.get_mut(&number) else {
            return;
        };
        let (job_id, is_holder) = (asker.job_id, asker.kind == Kind::Holder);
        let waiting = asker.waiting.take();
        if is_holder {
            self.tell(number, Event::HolderPresent(job_id));
        }
        if let Some((_, request, launch)) = waiting.filter(|_| again) {
            self.send_step(number, request, launch);
        }
    }
}

fn draw_request(random: &mut crate::random::Random) -> StepRequest {
    let tasks = random.small(1, 3);
    StepRequest {
        name: "step".into(),
        tasks,
        nodes: random.chance(200).then(|| (1, random.small(1, 2))),
        cpus_per_task: 1,
        tasks_per_node: random.chance(100).then_some(1),
        memory: None,
        gres: Vec::new(),
        nodes_required: None,
        task_nodes: None,
        nodes_excluded: None,
        first_node: 0,
        exact: random.chance(500),
        overlap: random.chance(200),
        overcommit: random.chance(200),
        distribution: if random.chance(500) { Distribution::Block } else { Distribution::Cyclic },
        time_limit: random.chance(150).then(|| TimeLimit::from_minutes(1)),
        immediate: random.chance(100),
    }
}

fn launch(cookie: String) -> StepLaunch {
    StepLaunch {
        broadcast: None,
        task_prolog: None,
        task_epilog: None,
        binding: Default::default(),
        container: None,
        bundle: None,
        bundle_id: None,
        measure_seconds: None,
        keeps_counts: false,
        node_verbosity: 0,
        command: vec!["true".to_owned()],
        programs: Vec::new(),
        work_dir: "/".to_owned(),
        environment: Vec::new(),
        umask: 0o22,
        limits: Vec::new(),
        input: StreamTarget::Client,
        input_rank: None,
        output: StreamTarget::Client,
        error: None,
        append: false,
        client_address: "login:1".to_owned(),
        client_cookie: cookie,
        client_process: (String::new(), 0),
        pty: None,
        kill_on_bad_exit: false,
        labels_files: false,
        unbuffered: false,
        mpi: String::new(),
    }
}
