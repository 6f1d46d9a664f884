//! The whole: one agenda of things to come, in virtual time, and everybody they happen to.

use std::collections::BTreeMap;

use muster_core::{Event, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::ids::NodeIndex;
use muster_model::planning::Plan;
use muster_model::request::Command;
use muster_model::time::{Span, Timestamp};

use crate::askers::Asker;
use crate::controller::{Controller, LongPass};
use crate::network::{ConnectionId, FromAgent, Network, ToAgent};
use crate::node::SimNode;
use crate::options::{Counts, Hazards, Options, Report};
use crate::patience::{Patience, WATCH_INTERVAL};
use crate::random::Random;
use crate::store::Store;
use crate::supervisor::Notice;
use crate::trace::Trace;
use crate::truth::Truth;
use crate::users::Users;

/// When the simulated time begins: any time will do that is not near zero.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_000_000);
/// Most happenings of one run: far more than any run needs that comes to an end.
const HAPPENINGS_MAX: u64 = 400_000;

/// Something that will happen. What has a `life` is forgotten when whom it was for has died before.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The controller accepts a connection; its first message, the hello, follows.
    SessionOpens(ConnectionId),
    /// A message of an agent reaches the controller.
    ToController(ConnectionId, FromAgent),
    /// A message of the controller reaches an agent.
    ToAgent(ConnectionId, ToAgent),
    /// The planner wants to look at everything again.
    PlanWanted { life: u64 },
    /// The controller notices that a connection is gone.
    ControllerHangsUp(ConnectionId),
    /// The core is told of it, maybe after the agent has called again.
    NodeMissed { life: u64, node: NodeIndex, session: ConnectionId },
    /// An agent notices it.
    AgentHangsUp(ConnectionId),
    /// An agent tries to connect.
    AgentConnects { node: NodeIndex, life: u64 },
    /// An agent does the next thing on its list.
    AgentActs { node: NodeIndex, life: u64 },
    /// A supervisor tells its agent something.
    AgentHears { node: NodeIndex, life: u64, notice: Notice },
    /// An agent is started.
    AgentStarts { node: NodeIndex },
    /// An agent says that it is alive.
    Heartbeat { node: NodeIndex, life: u64, connection: ConnectionId },
    /// A process reaches its end.
    ProcessEnds { node: NodeIndex, process: u64 },
    /// A machine can be reached again.
    MachineReachable { node: NodeIndex },
    /// A user's request reaches the controller.
    Request { life: u64, request: RequestId, uid: u32, command: Box<Command> },
    /// Something else that a client tells the controller.
    ClientEvent { life: u64, event: Event },
    /// The scheduler has finished a pass.
    Planned { life: u64, plan: Plan },
    /// The scheduler has finished a pass over everything that it made beside others.
    LongPassOver { life: u64, pass: Box<LongPass> },
    /// The controller writes what has come together to the disk.
    Commit { life: u64 },
    /// The controller does what is on the disk.
    Release { life: u64 },
    /// A timer of the controller.
    Tick { life: u64 },
    /// The controller is started.
    ControllerStarts,
    /// A user does something.
    UserActs,
    /// A client that makes steps does something.
    AskerActs(u64),
    /// A client that makes steps notices that the controller is back.
    AskerReturns { life: u64, asker: u64 },
    /// Something may happen to a machine.
    Misfortune,
    /// Has everything happened that must happen within a time?
    Watch,
    /// Everything that is broken is repaired, so that all can come to an end.
    Repair,
    /// Has all come to an end?
    Look,
}

/// Everything that exists.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Happening>,
    agenda_count: u64,
    pub(crate) random: Random,
    pub(crate) hazards: Hazards,
    pub(crate) config: ClusterConfig,
    pub(crate) options: Options,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    pub(crate) store: Store,
    pub(crate) controller: Controller,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) users: Users,
    pub(crate) askers: BTreeMap<u64, Asker>,
    pub(crate) truth: Truth,
    pub(crate) patience: Patience,
    /// Nothing new is asked for and nothing fails any more; all has to come to an end.
    pub(crate) winding_up: bool,
    failure: Option<String>,
    finished: bool,
}

/// Runs the simulation of `seed` to its end, or to the first thing that is wrong.
pub fn run(seed: u64, options: &Options) -> Report {
    let mut world = World::new(seed, options.clone());
    world.run_to_end();
    Report {
        seed,
        trace_count: world.trace.count(),
        trace_hash: world.trace.hash(),
        counts: world.counts,
        failure: world.failure,
        trace: world.trace.into_lines(),
    }
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut random = Random::new(seed);
        let config = crate::scenario::cluster(&mut random);
        let hazards = if options.faults { Hazards::draw(&mut random) } else { Hazards::none() };
        let nodes = (0..).map(NodeIndex).zip(&config.nodes).map(|(index, _)| SimNode::new(index, START)).collect();
        let mut world = World {
            now: START,
            agenda: BTreeMap::new(),
            agenda_count: 0,
            random,
            hazards,
            config,
            trace: Trace::new(options.trace),
            options,
            counts: Counts::default(),
            store: Store::default(),
            controller: Controller::default(),
            network: Network::default(),
            nodes,
            users: Users::default(),
            askers: BTreeMap::new(),
            truth: Truth::default(),
            patience: Patience::default(),
            winding_up: false,
            failure: None,
            finished: false,
        };
        world.controller_starts();
        for node in (0..world.nodes.len()).map(node_index) {
            let delay = world.random.span(0, 3_000);
            world.after(delay, Happening::AgentStarts { node });
        }
        world.after(Span(0), Happening::UserActs);
        world.after(Span::from_seconds(30), Happening::Misfortune);
        world.after(WATCH_INTERVAL, Happening::Watch);
        world.after(world.options.activity, Happening::Repair);
        world
    }

    fn run_to_end(&mut self) {
        let mut happenings = 0_u64;
        while self.failure.is_none() && !self.finished {
            let Some(((at, _), happening)) = self.agenda.pop_first() else {
                self.fail("nothing will happen any more");
                return;
            };
            happenings += 1;
            if happenings > HAPPENINGS_MAX {
                self.fail("it does not come to an end");
                return;
            }
            self.now = self.now.max(at);
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::SessionOpens(connection) => self.session_opens(connection),
            Happening::ToController(connection, message) => self.controller_receives(connection, message),
            Happening::ToAgent(connection, message) => self.agent_receives(connection, message),
            Happening::ControllerHangsUp(connection) => self.controller_hangs_up(connection),
            Happening::PlanWanted { life } => self.want_plan(life),
            Happening::NodeMissed { life, node, session } => self.node_missed(life, node, session),
            Happening::AgentHangsUp(connection) => self.agent_hangs_up(connection),
            Happening::AgentConnects { node, life } => self.agent_connects(node, life),
            Happening::AgentActs { node, life } => self.agent_acts(node, life),
            Happening::AgentHears { node, life, notice } => self.agent_hears(node, life, notice),
            Happening::AgentStarts { node } => self.agent_starts(node),
            Happening::Heartbeat { node, life, connection } => self.heartbeat(node, life, connection),
            Happening::ProcessEnds { node, process } => self.process_ends(node, process),
            Happening::MachineReachable { node } => self.machine_reachable(node),
            Happening::Request { life, request, uid, command } => self.request_arrives(life, request, uid, command),
            Happening::ClientEvent { life, event } => self.client_event(life, event),
            Happening::Planned { life, plan } => self.planned(life, plan),
            Happening::LongPassOver { life, pass } => self.long_pass_over(life, pass),
            Happening::Commit { life } => self.commit(life),
            Happening::Release { life } => self.release(life),
            Happening::Tick { life } => self.tick(life),
            Happening::ControllerStarts => self.controller_starts(),
            Happening::UserActs => self.user_acts(),
            Happening::AskerActs(asker) => self.asker_acts(asker),
            Happening::AskerReturns { life, asker } => self.asker_returns(life, asker),
            Happening::Misfortune => self.misfortune(),
            Happening::Watch => self.watch(),
            Happening::Repair => self.repair(),
            Happening::Look => self.look(),
        }
    }

    /// Puts something on the agenda.
    pub(crate) fn after(&mut self, delay: Span, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// Puts something on the agenda; of two at the same time the one put there first happens first.
    pub(crate) fn at(&mut self, time: Timestamp, happening: Happening) {
        self.agenda_count += 1;
        self.agenda.insert((time, self.agenda_count), happening);
    }

    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        self.trace.line(self.now, text.as_ref());
    }

    /// Something is wrong: the run ends here.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(format!("WRONG: {what}"));
        self.failure.get_or_insert(what);
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn node(&mut self, node: NodeIndex) -> &mut SimNode {
        &mut self.nodes[node.0 as usize]
    }
}

pub(crate) fn node_index(at: usize) -> NodeIndex {
    NodeIndex(u32::try_from(at).unwrap_or(u32::MAX))
}
