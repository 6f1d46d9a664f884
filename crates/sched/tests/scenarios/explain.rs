//! Explanations: texts for small cases, and laws over random ones.

use std::sync::Arc;

use muster_model::accounting::{Holder, Qos, TresLimit, Used};
use muster_model::explain::{Blocker, Change, Explanation, distance};
use muster_model::ids::{JobId, Name};
use muster_model::job::Job;
use muster_model::planning::PlanView;
use muster_model::priority::{PrioritySnapshot, PriorityType, UsageResetPeriod};
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_sched::{Budget, Planner};
use muster_testkit::cases;
use proptest::prelude::*;

use crate::common::view;
use crate::properties::{advance, apply, end, keep, remaining, scenario, without_arrays};

fn explain(view: &PlanView, id: u32) -> Option<Explanation> {
    Planner::new().explain(view, &far(), JobId(id))
}

/// A budget that plans every start exactly.
fn far() -> Budget {
    Budget { window: Span::from_minutes(1_000_000), ..Budget::default() }
}

fn show(view: &PlanView, explanation: &Explanation) -> String {
    let mut lines: Vec<String> = explanation.causes.iter().map(|cause| cause.to_string()).collect();
    if !explanation.blockers.is_empty() {
        let names = explanation.blockers.iter().map(|blocker| match blocker {
            Blocker::Running(id) => format!("running {id}"),
            Blocker::Waiting(id) => format!("waiting {id}"),
        });
        lines.push(format!("blocked by {}", names.collect::<Vec<_>>().join(", ")));
    }
    if let Some(start) = explanation.expected_start {
        lines.push(format!("starts {}", distance(start.since(view.now))));
    }
    for other in &explanation.alternatives {
        lines.push(format!("{}: {}", other.change, distance(other.start.since(view.now))));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn check(text: &str, id: u32, expected: &str) {
    let view = view(text);
    let actual = show(&view, &explain(&view, id).unwrap());
    let expected: String = expected.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert!(actual == expected, "expected:\n{expected}\nactual:\n{actual}");
}

#[test]
fn what_is_lacking_is_counted() {
    check(
        "nodes n[1-2] cpus=4
         nodes n[3-4] cpus=4 gres=gpu:h100:2
         nodes n5 cpus=4 gres=gpu:h100:2 state=drain
         partition p
         partition q nodes=n[1-2] max=30
         run 8 on=n3:0-3 t=120 gres=gpu:h100:0-1
         run 9 on=n4:0-0 t=600 gres=gpu:h100:0-0
         job 1 gres=gpu:h100:2 t=60 n=1",
        1,
        "partition p: needs 1 of 5 nodes; 1 out of service (n5 drained), 2 too small (gres/gpu:h100), 1 in use (cpu and more), 1 in use (gres/gpu:h100)
         blocked by running 9
         starts in 2 h 00 min",
    );
}

#[test]
fn a_shorter_limit_or_another_partition_may_start_at_once() {
    check(
        "nodes n[1-2] cpus=4
         nodes n3 cpus=4
         partition p nodes=n[1-2]
         partition q nodes=n3
         run 8 part=p on=n1:0-3 t=120
         job 1 part=p n=8 t=60
         job 2 part=p n=4 t=240",
        2,
        "partition p: needs 1 of 2 nodes; 1 in use (cpu), 1 kept for jobs before it
         blocked by waiting 1
         starts in 3 h 00 min
         with --time=02:00:00: now
         in partition q: now",
    );
}

#[test]
fn components_start_otherwise_when_all_of_them_would() {
    let text = "nodes n[1-2] cpus=4
         nodes n3 cpus=4
         partition p nodes=n[1-2]
         partition q nodes=n3
         run 8 part=p on=n1:0-3 t=120
         job 1 part=p n=8 t=60
         job 2 het=2/2 part=p n=4 t=240
         job 3 het=2/2 part=q n=4 t=300";
    // Without a shorter limit of the other component too, job 1 would still be before them.
    check(
        text,
        2,
        "partition p: needs 1 of 2 nodes; 1 in use (cpu), 1 kept for jobs before it
         blocked by waiting 1
         starts in 3 h 00 min
         with --time=02:00:00: now",
    );
    // What this component has is free; a shorter limit helps if it is also that of the other.
    check(
        text,
        3,
        "Resources
         blocked by waiting 1
         starts in 3 h 00 min
         with --time=01:39:00: now",
    );
}

#[test]
fn a_limit_is_told_with_its_numbers_and_with_those_who_use_it_up() {
    let text = "nodes n[1-3] cpus=4
         qos small cpus=6
         run 8 qos=small on=n1:0-3 t=120
         run 9 on=n2:0-3 t=120
         job 1 qos=small n=4 t=60
         job 2 qos=small n=2 N=1 exclusive t=60
         job 3 qos=small n=8 t=60";
    check(
        text,
        1,
        "QOS small allows 6 cpu, 4 in use, 4 asked; room in 2 h 00 min at the latest, when 8 ends
         blocked by running 8
         starts in 2 h 00 min",
    );
    // Four CPUs where it asks for two: that is found only with the node that it would get.
    check(
        text,
        2,
        "QOS small allows 6 cpu, 4 in use, 4 asked; room in 2 h 00 min at the latest, when 8 ends
         blocked by running 8, waiting 1
         starts in 3 h 00 min
         without --exclusive: now",
    );
    check(
        text,
        3,
        "QOS small allows 6 cpu, 4 in use, 8 asked: it cannot start unless one of the two is changed
         partition main: needs 1 of 3 nodes; 2 in use (cpu), 1 could take part now",
    );
}

/// A plan does not know that others use up a limit before a job; those who play the queue on find it out.
#[test]
fn those_who_are_before_it_under_a_limit_are_waited_for() {
    let text = "nodes n[1-3] cpus=4
         qos small cpus=6
         run 8 on=n1:0-3 t=30
         run 9 on=n2:0-3 t=30
         run 10 on=n3:0-3 t=30
         job 1 qos=small n=4 t=60
         job 2 qos=small n=4 t=60";
    check(text, 1, "partition main: needs 1 of 3 nodes; 3 in use (cpu)\nblocked by running 10\nstarts in 30 min");
    let told = "partition main: needs 1 of 3 nodes; 3 in use (cpu)
         blocked by running 10, waiting 1
         starts in 1 h 30 min";
    check(text, 2, told);
}

/// A job is given up as soon as it cannot end by its deadline; what it was told to get then is free for others.
#[test]
fn who_is_too_late_for_a_deadline_is_not_waited_for() {
    let text = "nodes n[1-2] cpus=4
         run 8 on=n1:0-3 t=30
         run 9 on=n2:0-3 t=200
         job 1 n=4 t=60 deadline=80
         job 2 n=4 t=40 deadline=80
         job 3 n=4 t=60";
    let view = view(text);
    let minutes =
        |id| explain(&view, id).and_then(|told| told.expected_start).map(|start| start.since(view.now).0 / 60_000);
    assert_eq!([1, 2, 3].map(minutes), [Some(30), Some(30), Some(70)]);
    let late = explain(&view, 1).unwrap();
    assert!(late.is_too_late());
    assert_eq!(show(&view, &late).lines().last(), Some("with --time=00:45:00: in 30 min"));
}

/// In another partition a job has another priority, and stands elsewhere in the queue.
#[test]
fn another_partition_is_told_with_the_priority_that_the_job_has_there() {
    let text = "nodes n1 cpus=4
         partition slow
         partition quick
         partition other
         run 8 part=slow on=n1:0-3 t=30
         job 1 part=slow n=4 t=60 prio=500
         job 2 part=slow n=4 t=60 prio=400
         job 3 part=slow n=4 t=60 prio=300";
    let mut view = view(text);
    let priority = &mut Arc::make_mut(&mut view.config).priority;
    (priority.kind, priority.weight_partition) = (PriorityType::Multifactor, 1_000);
    for (part, factor) in view.partitions.iter_mut().zip([1, 10, 0]) {
        Arc::make_mut(part).priority_job_factor = factor;
    }
    let priority = &view.config.priority;
    let (nodes, partitions) = (&view.nodes, &view.partitions);
    let taken = PrioritySnapshot::take(view.now, priority, nodes, partitions, &view.accounting, &view.usage);
    view.priorities.current = Arc::new(taken);
    let others =
        |id| explain(&view, id).map(|told| show(&view, &told).lines().skip(3).map(str::to_owned).collect::<Vec<_>>());
    // It is before job 1 where its partition counts for 900 more, and behind it where it counts for 100 less.
    assert_eq!(others(2), Some(vec!["in partition quick: in 30 min".to_owned()]));
    assert_eq!(others(3), Some(vec!["in partition quick: in 30 min".to_owned()]));
}

/// Room under a limit is there when enough of those have ended who count against it, and none earlier for others.
#[test]
fn a_limit_is_told_with_the_time_at_which_there_is_room() {
    let text = "nodes n[1-4] cpus=4
         qos small cpus=9
         run 7 on=n1:0-3 t=30
         run 8 qos=small on=n2:0-3 t=120
         run 9 qos=small on=n3:0-3 t=60
         job 1 qos=small n=2 t=60
         job 2 qos=small n=8 t=60";
    check(
        text,
        1,
        "QOS small allows 9 cpu, 8 in use, 2 asked; room in 1 h 00 min at the latest, when 9 ends
         blocked by running 8
         starts in 1 h 00 min",
    );
    check(
        text,
        2,
        "QOS small allows 9 cpu, 8 in use, 8 asked; room in 2 h 00 min at the latest, when 8 ends
         partition main: needs 1 of 4 nodes; 3 in use (cpu), 1 could take part now
         blocked by running 8, running 9, waiting 1
         starts in 2 h 00 min",
    );
}

/// A limit on nodes is one on what running jobs hold.
#[test]
fn a_limit_on_nodes_is_told_with_the_time_at_which_there_is_room() {
    check(
        "nodes n[1-4] cpus=4
         qos small nodes=2
         run 8 qos=small on=n1:0-3 t=120
         run 9 qos=small on=n2:0-3 t=60
         job 1 qos=small N=1 t=60",
        1,
        "QOS small allows 2 node, 2 in use, 1 asked; room in 1 h 00 min at the latest, when 9 ends
         blocked by running 8
         starts in 1 h 00 min",
    );
}

fn with_minutes(used: u64, half_life_days: i64, reset: UsageResetPeriod) -> String {
    let mut view = view("nodes n1 cpus=4\nqos small jobs=9\njob 1 qos=small n=1 t=60");
    let name = Name::from("small");
    let mut qos = Qos::clone(&view.accounting.qos[&name]);
    qos.limits.tres.entry(TresLimit::GrpTresMins).or_default().0.insert("cpu".into(), 1000);
    view.accounting.qos.insert(name.clone(), Arc::new(qos));
    let mut past = Used::default();
    past.tres_minutes.0.insert("cpu".into(), used);
    view.past_use.holders.insert(Holder::Qos(name), past);
    let config = Arc::make_mut(&mut view.config);
    config.priority.decay_half_life = Span::from_minutes(half_life_days * 1440);
    config.priority.usage_reset = reset;
    let explanation = Planner::new().explain(&view, &Budget::default(), JobId(1)).expect("it waits");
    assert_eq!(explanation.expected_start, None);
    explanation.causes.iter().map(|cause| format!("{cause}\n")).collect()
}

/// Minutes that are used up come back as they are forgotten; where nobody forgets them, no end is known.
#[test]
fn used_up_minutes_are_told_with_when_they_are_forgotten() {
    use UsageResetPeriod::{None, Weekly};
    assert_eq!(
        with_minutes(1999, 7, None),
        "QOS small allows 1000 cpu minutes in all, 1999 in use, 60 asked; enough of it is forgotten in 7 d 0 h, if no more is used (half in \
         10080 min, PriorityDecayHalfLife)\n"
    );
    let told = with_minutes(1999, 0, None);
    assert!(told.contains("1999 in use, 60 asked; no end is known, as use is never forgotten here"), "{told}");
    let told = with_minutes(1999, 0, Weekly);
    assert!(told.contains("; all of it is forgotten in ") && told.contains("PriorityUsageResetPeriod"), "{told}");
    let told = with_minutes(1001, 7, Weekly);
    assert!(told.contains("; enough of it is forgotten in 35 min"), "{told}");
}

/// Nodes that are missed are named with what is wrong with them, as far as they would be of use.
#[test]
fn nodes_out_of_service_are_named_and_nobody_is_waited_for_in_their_place() {
    let text = "nodes n[1-2] cpus=4
         nodes n[3-4] cpus=8 state=drain reason=bad_fan
         nodes n5 cpus=8 state=down reason=Not_responding
         nodes n6 cpus=4 state=drain reason=too_small_anyway
         run 8 on=n1:0-3+n2:0-3 t=120
         job 1 n=8 N=2 t=60
         job 2 n=8 N=1 t=60
         job 3 n=4 N=1 t=60";
    let reason = |id| explain(&view(text), id).unwrap().reason.to_string();
    assert_eq!([1, 2, 3].map(reason), ["Resources", "Resources", "Priority"]);
    check(
        text,
        2,
        "partition main: needs 1 of 6 nodes; 4 out of service (n[3-4] drained: bad fan; n5 down: Not responding), 2 too small (cpu)",
    );
}

/// Nodes that are free but reserved while a job would run are told apart from those that it could have.
#[test]
fn reserved_nodes_are_told_with_their_reservation() {
    let text = "nodes n[1-2] cpus=4
         nodes n3 cpus=4
         nodes n4 cpus=4 state=drain
         reservation later nodes=n[1-2] from=40 until=100
         reservation now nodes=n3 from=0 until=200
         job 1 n=4 t=60
         job 2 N=2 n=2 t=30 x=n1";
    let counted = "partition main: needs 1 of 4 nodes; 1 out of service (n4 drained), 2 reserved (later in 40 min), 1 reserved (now)";
    let told =
        format!("ReqNodeNotAvail, UnavailableNodes:n4\n{counted}\nstarts in 1 h 40 min\nwith --time=00:30:00: now");
    check(text, 1, &told);
    let counted = "partition main: needs 2 of 4 nodes; 1 out of service (n4 drained), 1 not matching, 1 reserved (now), 1 could take part now";
    let told = format!("ReqNodeNotAvail, UnavailableNodes:n4\n{counted}\nstarts in 3 h 20 min\nwithout --exclude: now");
    check(text, 2, &told);
}

#[test]
fn what_a_partition_allows_is_told_with_what_is_asked() {
    let text = "nodes n[1-2] cpus=4
         partition p max=30
         partition q state=down
         job 1 part=p n=1 t=60
         job 2 part=p N=3 t=20
         job 3 part=q n=1 t=20";
    check(
        text,
        1,
        "partition p allows a time limit of 00:30:00, 01:00:00 asked
         with --time=00:30:00: now",
    );
    check(text, 2, "partition p has 2 nodes and allows 1-2 per job, 3 asked\nwith --nodes=1: now");
    check(text, 3, "partition q is down and starts no jobs\nin partition p: now");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(256)) })]

    /// Without exactly the named blockers the job starts in the next pass, and with any one of them it does not.
    #[test]
    fn the_named_blockers_and_nobody_else_stand_in_the_way(seed: u64) {
        let text = scenario(seed);
        let view = view(&text);
        let waiting: Vec<u32> = view.queue.values().map(|job| job.id.0).collect();
        for id in waiting {
            let Some(explanation) = explain(&view, id) else { continue };
            let blockers = &explanation.blockers;
            if blockers.is_empty() {
                continue;
            }
            prop_assert!(starts_without(&view, id, blockers), "{} does not start without {:?}\n{}", id, blockers, text);
            for left in 0..blockers.len() {
                let mut fewer = blockers.clone();
                fewer.remove(left);
                prop_assert!(!starts_without(&view, id, &fewer), "{} starts without {:?} already\n{}", id, fewer, text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(256)) })]

    /// What is told about another limit comes true when the queue is played on with it, to the second.
    #[test]
    fn other_starts_come_true(seed: u64) {
        let text = without_arrays(&scenario(seed)).replace("t=0 ", "t=5 ").replace(" exclusive=user", "");
        let view = view(&text);
        let waiting: Vec<u32> = view.queue.values().map(|job| job.id.0).collect();
        for id in waiting {
            let Some(explanation) = explain(&view, id) else { continue };
            if let Some(start) = explanation.expected_start {
                prop_assert_eq!(play(&view, id, start), Some(start), "job {}\n{}", id, text);
            }
            let limits = explanation.alternatives.iter().filter_map(|other| match other.change {
                Change::TimeLimit(limit) => Some((limit, other.start)),
                _ => None,
            });
            for (limit, start) in limits {
                let started = play(&with_limit(&view, id, limit), id, start);
                prop_assert_eq!(started, Some(start), "job {} with {}\n{}", id, limit, text);
            }
        }
    }
}

/// Whether it starts in the next pass, made by a planner that goes on from the books of this one.
fn starts_without(view: &PlanView, id: u32, gone: &[Blocker]) -> bool {
    let mut planner = Planner::new();
    planner.plan(view, &far());
    let mut view = view.clone();
    keep(&mut view, |job| !gone.contains(&Blocker::Waiting(job.id)));
    let ended: Vec<_> = view.running.keys().copied().filter(|(_, id)| gone.contains(&Blocker::Running(*id))).collect();
    ended.into_iter().for_each(|key| end(&mut view, key));
    planner.plan(&view, &far()).starts.iter().any(|start| start.job_id.0 == id)
}

fn with_limit(view: &PlanView, id: u32, limit: TimeLimit) -> PlanView {
    let mut view = view.clone();
    let change = |job: &Arc<Job>| {
        if job.id.0 != id {
            return job.clone();
        }
        let mut job = Job::clone(job);
        job.time_limit = limit;
        let mut spec = (*job.spec).clone();
        spec.time_limit = Some(limit);
        job.spec = Arc::new(spec);
        Arc::new(job)
    };
    view.queue = view.queue.iter().map(|(key, job)| (*key, change(job))).collect();
    view
}

/// Plays the queue on until job `id` starts, every job running to its limit; no further than `until`.
fn play(view: &PlanView, id: u32, until: Timestamp) -> Option<Timestamp> {
    let mut view = view.clone();
    let mut planner = Planner::new();
    loop {
        let plan = planner.plan(&view, &far());
        if plan.starts.iter().any(|start| start.job_id.0 == id) {
            return Some(view.now);
        }
        apply(&mut view, &plan);
        view = remaining(&view, &plan);
        view.outlook = plan.outlook;
        let next = view.running.keys().map(|(end, _)| *end).find(|end| *end > view.now)?;
        if next > until {
            return None;
        }
        advance(&mut view, next);
    }
}
