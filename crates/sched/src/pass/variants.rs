//! What a job that waits could ask for instead, to start earlier.

use muster_model::explain::{Alternative, Change};
use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::planning::PlanView;
use muster_model::resources::{Megabytes, MemoryRequest, ResourceRequest, Sharing};
use muster_model::time::{Span, TimeLimit, Timestamp};

/// Partitions that are tried instead of its own.
const PARTITIONS_MAX: usize = 8;

/// Things the job could ask for instead.
pub(crate) fn of(view: &PlanView, job: &Job) -> Vec<Variant> {
    let own = job.partitions_wanted();
    let request = &job.spec.request;
    let mut all = Vec::new();
    if let TimeLimit::Limited(limit) = job.time_limit {
        // From long to short, in parts that people would choose.
        for part in LIMIT_PARTS {
            let minutes = limit.minutes_rounded_up() * part / 100;
            if minutes > 0 {
                let duration = Span::from_minutes(minutes);
                let change = Change::TimeLimit(TimeLimit::Limited(duration));
                all.push(Variant::new(change, request, own, Some(duration)));
            }
        }
    }
    let others = view.partitions.iter().filter(|part| !own.contains(&part.name) && !part.root_only);
    for part in others.take(PARTITIONS_MAX) {
        let other = std::slice::from_ref(&part.name);
        all.push(Variant::new(Change::Partition(part.name.clone()), request, other, None));
    }
    for (change, request) in lesser_requests(request) {
        all.push(Variant::new(change, &request, own, None));
    }
    all
}

/// Starts in the order in which they are told: of the shorter limits the longest that starts at the same time says all.
pub(crate) fn arrange(mut found: Vec<Alternative>) -> Vec<Alternative> {
    found.sort_by_key(|alternative| alternative.start);
    let mut seen: Vec<Timestamp> = Vec::new();
    found.retain(|alternative| {
        let is_limit = matches!(alternative.change, Change::TimeLimit(_));
        let known = is_limit && seen.contains(&alternative.start);
        if is_limit {
            seen.push(alternative.start);
        }
        !known
    });
    found
}

/// Parts of its limit that a job could do with, percent.
const LIMIT_PARTS: [i64; 6] = [75, 50, 33, 25, 10, 5];

/// What a job could ask for instead.
pub(crate) struct Variant {
    pub(crate) change: Change,
    pub(crate) request: ResourceRequest,
    pub(crate) partitions: Vec<Name>,
    /// In place of its limit.
    pub(crate) duration: Option<Span>,
}

impl Variant {
    fn new(change: Change, request: &ResourceRequest, partitions: &[Name], duration: Option<Span>) -> Variant {
        Variant { change, request: request.clone(), partitions: partitions.to_vec(), duration }
    }
}

/// Requests for less than `request`, each different in one thing.
fn lesser_requests(request: &ResourceRequest) -> Vec<(Change, ResourceRequest)> {
    let mut all = Vec::new();
    let mut with = |applies: bool, change: Change, edit: &dyn Fn(&mut ResourceRequest)| {
        if applies {
            let mut request = request.clone();
            edit(&mut request);
            all.push((change, request));
        }
    };
    with(request.constraint.is_some(), Change::NoConstraint, &|request| request.constraint = None);
    with(request.nodes_required.is_some(), Change::AnyNode, &|request| request.nodes_required = None);
    with(request.nodes_excluded.is_some(), Change::NoExclusion, &|request| request.nodes_excluded = None);
    let is_exclusive = !matches!(request.sharing, Sharing::Default | Sharing::Oversubscribe);
    with(is_exclusive, Change::Shared, &|request| request.sharing = Sharing::Default);
    with(request.contiguous, Change::Scattered, &|request| request.contiguous = false);
    let half = request.nodes_min / 2;
    with(request.nodes_min > 1 && !request.tasks_given, Change::Nodes(half), &|request| {
        (request.nodes_min, request.nodes_max) = (half, Some(half));
        request.tasks = half.saturating_mul(request.tasks_per_node.unwrap_or(1));
    });
    with(request.memory.is_some(), Change::HalfMemory, &|request| {
        let half = |amount: Megabytes| Megabytes(amount.0 / 2);
        request.memory = request.memory.map(|memory| match memory {
            MemoryRequest::PerNode(amount) => MemoryRequest::PerNode(half(amount)),
            MemoryRequest::PerCpu(amount) => MemoryRequest::PerCpu(half(amount)),
            MemoryRequest::PerGpu(amount) => MemoryRequest::PerGpu(half(amount)),
        });
    });
    all
}
