//! When a job that is not in the queue would start (`--test-only`).

use muster_model::ids::NodeIndex;
use muster_model::job::JobSpec;
use muster_model::node::Node;
use muster_model::planning::{Expectation, PlanView};
use muster_model::reservation::Applicant;
use muster_model::resources::{Allocation, IndexSet, Megabytes, NodeShare};
use muster_model::time::Span;

use crate::ask::Ask;
use crate::choose::Choice;
use crate::exact::{Exact, Taken};
use crate::fleet::Fleet;
use crate::free::Free;
use crate::future::{Future, Rank};
use crate::nodeset::NodeSet;
use crate::people::{Guest, People};
use crate::reservation::{Open, Reservations};
use crate::search::{self, Place, Wanted};
use crate::share;

/// The nodes that take jobs.
pub(crate) fn in_service(view: &PlanView) -> NodeSet {
    (0..).zip(&view.nodes).filter(|(_, node)| node.is_schedulable()).map(|(index, _)| index).collect()
}

/// The earliest start of `ask` of a job with `spec` that may run for `duration`, beside the running jobs and as far as
/// reservations leave room; `None` when the nodes in service do not suffice.
pub(crate) fn earliest(
    fleet: &Fleet,
    view: &PlanView,
    ask: &Ask,
    spec: &JobSpec,
    duration: Span,
) -> Option<Expectation> {
    let reservations = Reservations::of(fleet, view);
    let partition = &fleet.partition(ask.partition).name;
    let ways = reservations.ways_of(spec, &Applicant::of(spec, partition));
    let found = ways.into_iter().filter_map(|inside| {
        let moments = reservations.moments(inside, view.now, duration);
        (0..moments.len()).find_map(|at| {
            let open = reservations.open(spec, inside, ask.whole_node, moments[at], moments[at] + duration)?;
            let wanted = Wanted {
                ask,
                duration,
                rank: Rank::LAST,
                guest: Guest::of(spec),
                not_before: moments[at],
                before: moments.get(at + 1).copied(),
                since: view.now,
                is_licensed: None,
            };
            earliest_while(fleet, view, wanted, (&reservations, &open))
        })
    });
    found.reduce(|best, other| if other.start < best.start { other } else { best })
}

/// As [`earliest`] within one stretch of time, while the same is open.
fn earliest_while(
    fleet: &Fleet,
    view: &PlanView,
    wanted: Wanted<'_>,
    open: (&Reservations<'_>, &Open),
) -> Option<Expectation> {
    let ask = wanted.ask;
    let usable = open.1.narrow(&in_service(view));
    let free = Free::now(fleet, view);
    let people = People::of(fleet, view);
    let nothing = Taken::default();
    let mut future = Future::build(fleet, view, &free);
    let exact = Exact::Now(&view.nodes, &nothing);
    let place = Place { fleet, people: &people, usable: &usable, now: view.now, open, exact };
    future.sort();
    let found = search::earliest(&future, &free, place, wanted, &mut Vec::new())?;
    let start = found.start;
    let shares = shares(fleet, view, ask, &found.choices, &found.free, start <= view.now)?;
    Some(Expectation {
        start,
        allocation: Allocation::from(shares),
        partition: fleet.partition(ask.partition).name.clone(),
        job_id_next: 0,
        node_list: String::new(),
    })
}

fn shares(
    fleet: &Fleet,
    view: &PlanView,
    ask: &Ask,
    choices: &[Choice],
    free: &Free,
    is_now: bool,
) -> Option<Vec<NodeShare>> {
    let mut units = Taken::default();
    let mut shares = Vec::new();
    for choice in choices {
        let amounts = share::amounts(ask, fleet, choice, &free.of(choice.node))?;
        let node = view.nodes.get(choice.node as usize)?;
        // Later, other units will be free than now; any will do as an example.
        let vacant;
        let example = if is_now {
            node
        } else {
            vacant = Node { used: Default::default(), ..Node::clone(node) };
            &vacant
        };
        let pieces = units.choose(ask, fleet, choice, example, &amounts, &[])?;
        shares.push(NodeShare {
            node: NodeIndex(choice.node),
            cpus: pieces.cpus.unwrap_or_else(|| cpus(example, amounts.cpus)),
            memory: Megabytes(amounts.memory),
            gres: pieces.gres,
            tasks: 0,
        });
    }
    let counts: Vec<u32> = shares.iter().map(|share| share.cpus.len()).collect();
    for (share, tasks) in shares.iter_mut().zip(share::task_counts(ask, fleet, choices, &counts)) {
        share.tasks = tasks;
    }
    Some(shares)
}

/// The lowest free CPUs.
fn cpus(node: &Node, count: u32) -> IndexSet {
    let mut chosen = IndexSet::default();
    let free = (0..node.config.hardware.cpus).filter(|cpu| !node.used.cpus.contains(*cpu));
    free.take(count as usize).for_each(|cpu| chosen.insert(cpu));
    chosen
}
