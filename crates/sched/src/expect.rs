//! When a job that is not in the queue would start (`--test-only`).

use muster_model::ids::NodeIndex;
use muster_model::node::Node;
use muster_model::planning::{Expectation, PlanView};
use muster_model::resources::{Allocation, IndexSet, Megabytes, NodeShare};
use muster_model::time::Span;

use crate::ask::Ask;
use crate::choose::Choice;
use crate::fleet::Fleet;
use crate::free::Free;
use crate::future::{Future, Rank};
use crate::nodeset::NodeSet;
use crate::people::People;
use crate::search::{self, Place, Wanted};
use crate::share::{self, UnitsTaken};

/// The nodes that take jobs.
pub(crate) fn in_service(view: &PlanView) -> NodeSet {
    (0..).zip(&view.nodes).filter(|(_, node)| node.is_schedulable()).map(|(index, _)| index).collect()
}

/// The earliest start of `ask` beside the running jobs; `None` when the nodes in service do not suffice.
pub(crate) fn earliest(fleet: &Fleet, view: &PlanView, ask: &Ask, uid: u32) -> Option<Expectation> {
    let usable = in_service(view);
    let free = Free::now(fleet, view);
    let people = People::of(fleet, view);
    let mut future = Future::build(fleet, view, &free);
    let place = Place { fleet, people: &people, usable: &usable, now: view.now };
    let wanted = Wanted { ask, duration: Span::ZERO, rank: Rank::LAST, uid, not_before: view.now };
    let found = search::earliest(&mut future, &free, place, wanted, &mut Vec::new())?;
    let start = found.start;
    let shares = shares(fleet, view, ask, &found.choices, &found.free, start <= view.now)?;
    Some(Expectation {
        start,
        allocation: Allocation { shares },
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
    let mut units = UnitsTaken::default();
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
        shares.push(NodeShare {
            node: NodeIndex(choice.node),
            cpus: cpus(example, amounts.cpus),
            memory: Megabytes(amounts.memory),
            gres: units.choose(fleet, choice.node, example, &amounts.columns)?,
            tasks: 0,
        });
    }
    let counts: Vec<u32> = shares.iter().map(|share| share.cpus.len()).collect();
    for (share, tasks) in shares.iter_mut().zip(share::task_counts(ask, choices, &counts)) {
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
