//! The public face: plans passes, and keeps between them what is costly to work out.
//!
//! Everything kept here is a function of objects that are compared by identity (and kept alive, so that no address is
//! used twice): a pass with warm caches gives the same plan as one with cold ones.

// tidy: both tables are only looked up, never iterated
use std::collections::HashMap;
use std::sync::Arc;

use imbl::OrdMap;
use muster_model::accounting::{ChargeRequest, Freedom, charge};
use muster_model::config::PartitionEnforcement;
use muster_model::ids::Name;
use muster_model::job::{Job, JobSpec};
use muster_model::licenses;
use muster_model::partition::Partition;
use muster_model::planning::{Expectation, Plan, PlanView};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::Reservation;
use muster_model::resources::{ResourceRequest, Sharing};
use muster_model::time::{Span, Timestamp};

use crate::books::Books;
use crate::budget::Budget;
use crate::choose::Candidate;
use crate::classes::Classes;
use crate::enforce;
use crate::expect;
use crate::feasible::{self, Verdict};
use crate::fleet::Fleet;
use crate::hash::FixedState;
use crate::licenses::Holdings;
use crate::pass::{self, Pass};
use crate::queue::{Changes, Groups};
use crate::reservation::{self, Reservations};

/// Most compiled requests to keep; beyond it all are dropped and made anew as needed.
const ASKS_MAX: usize = 200_000;

/// Plans which jobs start where. Keep one and use it for every pass.
#[derive(Debug, Default)]
pub struct Planner {
    tables: Option<Tables>,
    groups: Groups,
    /// As the last pass left them; `None` when the next one has to begin anew.
    books: Option<Kept>,
    /// Books without planned starts, for explanations.
    pub(crate) plain: Option<Books>,
}

/// The books, and what they were true for beside what they remember themselves.
#[derive(Debug)]
struct Kept {
    books: Books,
    budget: Budget,
    /// Reservations, and when they were looked at: what is open changes with both.
    reservations: OrdMap<Name, Arc<Reservation>>,
    time: Timestamp,
}

impl Kept {
    /// Whether the same reservations are in force as when it was made.
    fn has_reservations_of(&self, view: &PlanView) -> bool {
        let passed = |moment: Timestamp| self.time < moment && moment <= view.now;
        let turned = |row: &Reservation| row.float.is_some() || passed(row.start) || passed(row.end);
        self.reservations.ptr_eq(&view.reservations) && !view.reservations.values().any(|row| turned(row))
    }
}

impl Planner {
    /// A planner that knows nothing yet.
    pub fn new() -> Planner {
        Planner::default()
    }

    /// Proposes which jobs of the queue start now and why the others wait. A function of `view` and `budget` alone.
    pub fn plan(&mut self, view: &PlanView, budget: &Budget) -> Plan {
        self.follow_queue(view);
        let Planner { tables, groups, books: kept, .. } = self;
        let tables = tables.get_or_insert_with(|| Tables::new(Fleet::build(view)));
        let mut books = match kept.take() {
            Some(kept) => kept.books.renew(&tables.fleet, view),
            None => Books::open(&tables.fleet, view),
        };
        let plan = Pass::new(view, budget, tables, groups, &mut books).run();
        *kept = Some(Kept { books, budget: *budget, reservations: view.reservations.clone(), time: view.now });
        plan
    }

    /// As [`Planner::plan`], but looks only at what has changed since the last pass: at jobs that are new, and at those
    /// that can use what has become free or whose planned start has come. Starts no job that the planned starts of jobs
    /// before it do not leave room for. Planned starts stay as they are; [`Plan::is_partial`] tells that a pass over
    /// everything would say more. Where there is nothing to go on from it is a pass over everything.
    pub fn plan_changes(&mut self, view: &PlanView, budget: &Budget) -> Plan {
        let plan = if self.goes_on(view, budget) { self.walk_changes(view, budget, false) } else { None };
        plan.unwrap_or_else(|| self.plan(view, budget))
    }

    /// As [`Planner::plan_changes`], after a pass during which somebody else has started jobs: nothing where one of them is
    /// in the way of a planned start of that pass, as what it decided does not hold together then.
    pub(crate) fn plan_beside(&mut self, view: &PlanView, budget: &Budget) -> Option<Plan> {
        if self.goes_on(view, budget) { self.walk_changes(view, budget, true) } else { Some(self.plan(view, budget)) }
    }

    /// Whether a pass over what has changed can go on from the last one.
    fn goes_on(&mut self, view: &PlanView, budget: &Budget) -> bool {
        let is_known =
            self.tables.as_mut().is_some_and(|tables| tables.fleet.follow(view) && !tables.fleet.has_quotas());
        is_known
            && view.config.backfill
            && self.books.as_ref().is_some_and(|kept| kept.budget == *budget && kept.has_reservations_of(view))
    }

    /// The pass over what has changed; nothing where there is nothing to go on from, or where what others have started is
    /// in the way of planned starts and that matters.
    fn walk_changes(&mut self, view: &PlanView, budget: &Budget, others_start: bool) -> Option<Plan> {
        let changes = self.follow_queue(view);
        let Planner { tables: Some(tables), groups, books: Some(Kept { books, time, .. }), .. } = self else {
            return None;
        };
        let started = if others_start { books.started_since(view, *time) } else { Vec::new() };
        let in_service = books.in_service.clone();
        let nodes = books.follow(&tables.fleet, view);
        let is_dated = in_service != books.in_service;
        let is_disturbed =
            started.iter().any(|job| books.is_in_the_way(job)) || books.put_anybody_off(&tables.fleet, view, &started);
        (!is_disturbed).then(|| {
            let plan = Pass::new(view, budget, tables, groups, books).run_changes(&changes, &nodes);
            Plan { is_dated, ..plan }
        })
    }

    /// Whether a pass has left books to go on from.
    pub(crate) fn has_books(&self) -> bool {
        self.books.is_some()
    }

    /// Tables and groups as the last pass used them.
    pub(crate) fn parts(&mut self) -> Option<(&mut Tables, &Groups)> {
        Some((self.tables.as_mut()?, &self.groups))
    }

    /// Brings tables and groups in line with `view`.
    pub(crate) fn follow_queue(&mut self, view: &PlanView) -> Changes {
        let outdated = |tables: &mut Tables| !tables.fleet.follow(view) || tables.asks.len() > ASKS_MAX;
        if self.tables.as_mut().is_some_and(outdated) || self.groups.is_stale() {
            *self = Planner::default();
        }
        let tables = self.tables.get_or_insert_with(|| Tables::new(Fleet::build(view)));
        tables.pass += 1;
        let changes = self.groups.follow(tables, &view.queue);
        tables.forget_unused(view.queue.len());
        changes
    }

    /// Whether `spec` can ever run on the nodes that are configured, in one of its partitions; neither use nor state
    /// of nodes matters. A request that only the limits of a partition forbid is accepted and will wait, unless
    /// `EnforcePartLimits` says otherwise.
    ///
    /// # Errors
    /// As Slurm refuses it at submit: `InvalidPartition`, `InvalidNodeName`, `InvalidFeature`, `InvalidGres`,
    /// `InvalidLicense`, `InvalidReservation`, `NodeConfigUnavailable`. The detail is what Slurm's client prints in
    /// a line of its own before the error; empty where it prints none.
    pub fn check_feasible(&mut self, view: &PlanView, spec: &JobSpec) -> Result<(), Refusal> {
        match self.judge(view, spec) {
            // Of a held job Slurm asks only once it is released whether any node could ever run it.
            Err(refusal) if spec.hold && refusal.code == RefusalCode::NodeConfigUnavailable => Ok(()),
            judged => judged,
        }
    }

    /// How many nodes a job with `spec` takes where nothing else runs, in the first of its partitions that can hold it;
    /// `None` where none can.
    pub fn nodes_when_empty(&mut self, view: &PlanView, spec: &JobSpec) -> Option<u32> {
        let tables = self.tables_for(view);
        let partitions = partitions_of(&tables.fleet, spec).ok()?;
        partitions.into_iter().find_map(|partition| {
            let ask = tables.ask(&spec.request, partition, freedom_of(view, &tables.fleet, spec, partition));
            match &**tables.verdict(ask) {
                Verdict::Possible(ask) => Some(ask.nodes_when_empty),
                Verdict::Waits(_) | Verdict::Never(_) => None,
            }
        })
    }

    fn judge(&mut self, view: &PlanView, spec: &JobSpec) -> Result<(), Refusal> {
        let tables = self.tables_for(view);
        let partitions = partitions_of(&tables.fleet, spec)?;
        reservation::check(view, spec, &tables.fleet.partition(partitions[0]).name)?;
        let reservations = Reservations::of(&tables.fleet, view);
        let enforced = view.config.enforce_partition_limits;
        let (mut first_refusal, mut last_forbidden, mut forbidden) = (None, None, 0);
        for partition in &partitions {
            let freedom = freedom_of(view, &tables.fleet, spec, *partition);
            let ask = tables.ask(&spec.request, *partition, freedom);
            if enforced != PartitionEnforcement::No
                && let Some(refusal) =
                    enforce::refusal(&tables.fleet, view, spec, (*partition, freedom), tables.verdict(ask))
            {
                if enforced == PartitionEnforcement::All {
                    return Err(refusal);
                }
                forbidden += 1;
                last_forbidden = Some(refusal);
            }
        }
        // As Slurm 22.05 tells it where any partition would do: what the last one says.
        if let Some(refusal) = last_forbidden.filter(|_| forbidden == partitions.len()) {
            return Err(refusal);
        }
        let is_licensed = licenses::suffice(&tables.fleet.licenses, &licenses::wanted(spec));
        for partition in partitions {
            let ask = tables.ask(&spec.request, partition, freedom_of(view, &tables.fleet, spec, partition));
            let refusal = match &**tables.verdict(ask) {
                // What makes no sense is told first, what no node can do last.
                Verdict::Never(refusal) if is_licensed || refusal.code != RefusalCode::NodeConfigUnavailable => {
                    refusal.clone()
                }
                _ if !is_licensed => RefusalCode::InvalidLicense.into(),
                Verdict::Possible(ask) if !reservations.could_hold(&tables.fleet, ask, spec) => {
                    RefusalCode::NodeConfigUnavailable.into()
                }
                _ => return Ok(()),
            };
            first_refusal.get_or_insert(refusal);
        }
        Err(first_refusal.unwrap_or(RefusalCode::InvalidPartition.into()))
    }

    /// When and where a job with `spec` would start if it came next (`--test-only`): beside the running jobs, without
    /// regard to those that wait and to limits on time, as Slurm answers.
    ///
    /// # Errors
    /// As [`Planner::check_feasible`]; further `NodeConfigUnavailable` where limits of the partition forbid it, and
    /// `NodesBusy` where too few nodes are in service.
    pub fn expect(&mut self, view: &PlanView, spec: &JobSpec) -> Result<Expectation, Refusal> {
        self.judge(view, spec)?;
        let tables = self.tables_for(view);
        let partitions = partitions_of(&tables.fleet, spec)?;
        let mut asks = Vec::new();
        for partition in partitions {
            let ask = tables.ask(&spec.request, partition, freedom_of(view, &tables.fleet, spec, partition));
            if let Verdict::Possible(ask) = &**tables.verdict(ask) {
                asks.push(ask.clone());
            }
        }
        if asks.is_empty() {
            return Err(RefusalCode::NodeConfigUnavailable.into());
        }
        let free_licenses = Holdings::of(view).free_at(&tables.fleet.licenses, view.now);
        if !licenses::suffice(&free_licenses, &asks[0].licenses) {
            return Err(Refusal::new(RefusalCode::NodesBusy, "licenses are in use"));
        }
        let earliest = asks.iter().filter_map(|ask| {
            let duration = duration_in(tables.fleet.partition(ask.partition), spec);
            expect::earliest(&tables.fleet, view, ask, spec, duration)
        });
        // The first partition wins a tie.
        let best = earliest.reduce(|best, other| if other.start < best.start { other } else { best });
        best.ok_or_else(|| RefusalCode::NodesBusy.into())
    }

    fn tables_for(&mut self, view: &PlanView) -> &mut Tables {
        if self.tables.as_mut().is_some_and(|tables| !tables.fleet.follow(view) || tables.asks.len() > ASKS_MAX) {
            *self = Planner::default();
        }
        self.tables.get_or_insert_with(|| Tables::new(Fleet::build(view)))
    }
}

/// How long a job with `spec` may run in `partition`.
fn duration_in(partition: &Partition, spec: &JobSpec) -> Span {
    let limit = spec.time_limit.or(partition.time_default).unwrap_or(partition.time_max);
    limit.span().unwrap_or(pass::UNLIMITED)
}

/// Which limits of a partition will not hold for a job with `spec`, under the QOS that it will be charged to.
fn freedom_of(view: &PlanView, fleet: &Fleet, spec: &JobSpec, partition: u32) -> Freedom {
    if !fleet.has_freedoms() {
        return Freedom::default();
    }
    let request = ChargeRequest {
        user: &spec.identity.user,
        account: spec.account.as_deref(),
        qos: spec.qos.as_deref(),
        partition: fleet.partition(partition),
    };
    let charge = charge(&view.accounting, view.config.accounting_enforce, &request);
    fleet.freedom_under(charge.ok().and_then(|charge| charge.qos).as_ref())
}

/// Indices of the partitions that `spec` names, or of the default one.
fn partitions_of(fleet: &Fleet, spec: &JobSpec) -> Result<Vec<u32>, Refusal> {
    if spec.partitions.is_empty() {
        let default = fleet.partition_default().ok_or(RefusalCode::InvalidPartition)?;
        return Ok(vec![default]);
    }
    let index = |name: &Name| {
        let unknown = || Refusal::new(RefusalCode::InvalidPartition, format!("no partition {name}"));
        fleet.partition_named(name).ok_or_else(unknown)
    };
    spec.partitions.iter().map(index).collect()
}

/// Number of a compiled request: index into [`Tables::verdicts`].
pub(crate) type AskId = u32;

/// What is kept between passes.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) fleet: Fleet,
    pub(crate) classes: Classes,
    requests: HashMap<ResourceRequest, usize, FixedState>, // tidy: only looked up
    /// By request, what is not limited, and partition.
    asks: Vec<Vec<Option<AskId>>>,
    verdicts: Vec<Arc<Verdict>>,
    /// Partition of each ask.
    partitions: Vec<u32>,
    /// By address of the specification.
    specs: HashMap<usize, KnownSpec, FixedState>, // tidy: only looked up
    /// Whether any request is for nodes shared with nobody else (`--exclusive=user`).
    pub(crate) asks_for_users: bool,
    pass: u64,
    scratch: Vec<Candidate>,
}

/// A specification that has been seen, kept alive so that its address stays its own.
#[derive(Debug)]
struct KnownSpec {
    spec: Arc<JobSpec>,
    /// The job's partition when it was seen: stands in where the specification names none.
    partition: Name,
    /// What the job's QOS let it pass then.
    freedom: Freedom,
    /// By position of the partition; nothing where there is no such partition.
    asks: Vec<Arc<[AskId]>>,
    last_used: u64,
}

impl Tables {
    fn new(fleet: Fleet) -> Tables {
        Tables {
            classes: Classes::of(&fleet),
            fleet,
            requests: HashMap::default(), // tidy: only looked up
            asks: Vec::new(),
            verdicts: Vec::new(),
            partitions: Vec::new(),
            specs: HashMap::default(), // tidy: only looked up
            asks_for_users: false,
            pass: 0,
            scratch: Vec::new(),
        }
    }

    /// The number of `request` in `partition`, where the limits of the partition hold but for those in `freedom`.
    pub(crate) fn ask(&mut self, request: &ResourceRequest, partition: u32, freedom: Freedom) -> AskId {
        let row = match self.requests.get(request) {
            Some(row) => *row,
            None => {
                let row = self.asks.len();
                self.requests.insert(request.clone(), row);
                self.asks.push(vec![None; self.fleet.partition_count()]);
                row
            }
        };
        let column = freedom.node_kind() * self.fleet.partition_count() + partition as usize;
        if let Some(ask) = self.asks[row].get(column).copied().flatten() {
            return ask;
        }
        let ask = self.verdicts.len() as AskId;
        let verdict = feasible::judge(&self.fleet, (partition, freedom), request, &mut self.scratch);
        self.asks_for_users |= matches!(request.sharing, Sharing::ExclusiveUser | Sharing::ExclusiveMcs)
            || self.fleet.partition(partition).exclusive_user;
        self.verdicts.push(Arc::new(verdict));
        self.partitions.push(partition);
        let columns = self.asks[row].len().max(column + 1);
        self.asks[row].resize(columns, None);
        self.asks[row][column] = Some(ask);
        ask
    }

    /// What is known about `ask`.
    pub(crate) fn verdict(&self, ask: AskId) -> &Arc<Verdict> {
        &self.verdicts[ask as usize]
    }

    /// The partition of `ask`.
    pub(crate) fn partition_of(&self, ask: AskId) -> u32 {
        self.partitions[ask as usize]
    }

    /// The compiled request of `job` in the partition at `position` of those that it asks for; nothing where that does not
    /// exist.
    pub(crate) fn asks_of(&mut self, job: &Job, position: u32) -> Arc<[AskId]> {
        let at = position as usize;
        let address = Arc::as_ptr(&job.spec) as usize;
        let freedom = self.fleet.freedom_of(job);
        if let Some(known) = self.specs.get_mut(&address)
            && known.partition == job.partition
            && known.freedom == freedom
        {
            known.last_used = self.pass;
            return known.asks.get(at).cloned().unwrap_or_default();
        }
        let mut asks: Vec<Arc<[AskId]>> = Vec::new();
        for name in job.partitions_wanted() {
            let partition = self.fleet.partition_named(name);
            asks.push(partition.map(|partition| self.ask(&job.spec.request, partition, freedom)).into_iter().collect());
        }
        let wanted = asks.get(at).cloned().unwrap_or_default();
        let (spec, partition) = (job.spec.clone(), job.partition.clone());
        let known = KnownSpec { spec, partition, freedom, asks, last_used: self.pass };
        debug_assert_eq!(Arc::as_ptr(&known.spec) as usize, address);
        self.specs.insert(address, known);
        wanted
    }

    /// Drops specifications of jobs that have left the queue, once there are many.
    fn forget_unused(&mut self, queue_len: usize) {
        if self.specs.len() > 2 * queue_len + 1000 {
            let pass = self.pass;
            self.specs.retain(|_, known| known.last_used == pass);
        }
    }

    /// A buffer for candidates; give it back with [`Tables::return_scratch`].
    pub(crate) fn borrow_scratch(&mut self) -> Vec<Candidate> {
        std::mem::take(&mut self.scratch)
    }

    /// Gives the buffer back.
    pub(crate) fn return_scratch(&mut self, scratch: Vec<Candidate>) {
        self.scratch = scratch;
    }
}
