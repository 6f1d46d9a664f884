//! What must hold whatever is reserved and submitted.
//!
//! Every event is followed by the invariants of the core, which know reservations, and by plans until nothing is left to
//! do: a start that the scheduler proposes and the core refuses would go round for ever, and is found.

use muster_model::reservation::ReservationFlag;
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, Timestamp};
use muster_testkit::cases;
use muster_testkit::load::Numbers;
use proptest::prelude::*;

use crate::stage::{Stage, at};

/// One random thing that people do.
fn act(stage: &mut Stage, numbers: &mut Numbers, reservations: &mut u32) {
    let mut pick = |bound: u32| numbers.below(bound);
    match pick(10) {
        0..3 => {
            let nodes = [
                "nodes=n1",
                "nodes=n[1-2]",
                "nodes=n4",
                "nodecnt=2",
                "nodecnt=1",
                "corecnt=6",
                "nodes=all",
                "flags=any_nodes licenses=matlab:5",
                "nodecnt=1 licenses=matlab:3,ansys:4",
            ];
            let flags = [
                "",
                "",
                " flags=maint",
                " flags=overlap",
                " flags=flex",
                " flags=magnetic",
                " flags=daily",
                " flags=hourly",
                " flags=ignore_jobs",
                " flags=replace",
                " flags=purge_comp=5",
                " flags=no_hold_jobs",
            ];
            let users = ["root", "daemon", "root,daemon", "-daemon"][pick(4) as usize];
            let delay = ["", "", " maxstartdelay=5"][pick(3) as usize];
            let line = format!(
                "scontrol create reservation=r{reservations} starttime=now+{}minutes duration={} users={users} {}{}{delay}",
                pick(4) * 10,
                5 + pick(50),
                nodes[pick(nodes.len() as u32) as usize],
                flags[pick(flags.len() as u32) as usize],
            );
            *reservations += 1;
            // Some are refused, as they should be.
            stage.run(&line);
        }
        3 => drop(stage.run(&format!("scontrol delete reservation=r{}", pick(*reservations + 1)))),
        4 => {
            let change = [
                "duration=20",
                "duration+=10",
                "users=root",
                "nodecnt=1",
                "flags+=flex",
                "starttime=now+15minutes",
                "licenses=matlab:4",
            ];
            let line = format!("scontrol update reservation=r{} {}", pick(*reservations + 1), change[pick(7) as usize]);
            stage.run(&line);
        }
        5..9 => {
            let size =
                ["c=1", "c=16", "c=5", "N=2 c=16", "N=3", "w=n1", "w=n4 c=12", "L=matlab:6", "L=matlab:3,ansys:2"];
            let inside = match pick(3) {
                0 => format!(" resv=r{}", pick(*reservations + 1)),
                1 => [" ", " borrows=5", " borrows=9"][pick(3) as usize].to_owned(),
                _ => String::new(),
            };
            let user = ["root", "daemon", "bin"][pick(3) as usize];
            let part = ["debug", "batch"][pick(2) as usize];
            let size = size[pick(size.len() as u32) as usize];
            let line = format!("user={user} part={part} t={} {size}{inside}", 1 + pick(60));
            drop(stage.submit(&line));
        }
        _ => stage.wait_until(stage.now + Span::from_minutes(i64::from(1 + pick(15)))),
    }
}

/// One random thing that people do with licences.
fn act_on_licences(stage: &mut Stage, numbers: &mut Numbers, reservations: &mut u32) {
    let mut pick = |bound: u32| numbers.below(bound);
    match pick(8) {
        0 => {
            let flags = ["", ",daily", ",magnetic", ",flex"][pick(4) as usize];
            let line = format!(
                "scontrol create reservation=r{reservations} starttime=now+{}minutes duration={} users={} licenses={} \
                 flags=any_nodes{flags}",
                pick(4) * 10,
                5 + pick(50),
                ["root", "daemon", "root,daemon"][pick(3) as usize],
                ["matlab:5", "matlab:10", "ansys:3", "matlab:2,ansys:2"][pick(4) as usize],
            );
            *reservations += 1;
            stage.run(&line);
        }
        1 => drop(stage.run(&format!("scontrol delete reservation=r{}", pick(*reservations + 1)))),
        2 => drop(stage.run(&format!("scontrol update jobid={} licenses=matlab:{}", 1 + pick(30), pick(8)))),
        3..7 => {
            let licences = ["matlab:6", "matlab:3", "matlab", "ansys:5", "ansys:2,matlab:4"][pick(5) as usize];
            let inside = if pick(3) == 0 { format!(" resv=r{}", pick(*reservations + 1)) } else { String::new() };
            let user = ["root", "daemon", "bin"][pick(3) as usize];
            let line = format!("user={user} part=batch t={} c=1 L={licences}{inside}", 1 + pick(60));
            drop(stage.submit(&line));
        }
        _ => stage.wait_until(stage.now + Span::from_minutes(i64::from(1 + pick(15)))),
    }
}

/// Written without the code it checks: jobs hold no more licences than there are.
fn licences_add_up(stage: &Stage) {
    let view = stage.cluster.read_view();
    let runs = |state: JobState| matches!(state, JobState::Running | JobState::Suspended);
    for (name, total) in [("matlab", 10), ("ansys", 5)] {
        let lists =
            view.jobs.values().filter(|job| runs(job.state)).filter_map(|job| job.spec.request.licenses.clone());
        let count = |list: &str| -> u64 {
            let words = list.split(',').filter_map(|word| word.strip_prefix(name));
            words.map(|count| count.strip_prefix(':').map_or(1, |count| count.parse().expect("a number"))).sum()
        };
        let held: u64 = lists.map(|list| count(&list)).sum();
        assert!(held <= total, "{held} of {total} {name} are held");
    }
}

/// Written without the code it checks: nobody without rights is on nodes that are reserved as a whole, beyond what was so
/// when the reservation was made or changed.
fn nobody_intrudes(stage: &Stage) {
    let view = stage.cluster.read_view();
    for job in view.running.values().filter(|job| job.state == JobState::Running) {
        let (Some(start), Some(end)) = (job.start_time, job.end_time) else { continue };
        for row in view.reservations.values() {
            let excused = job.reservation.is_some() || job.spec.early_signal.is_some() || row.changed >= start;
            let apart = row.end <= start || end <= row.start;
            let touches = job
                .allocation
                .iter()
                .flat_map(|all| &all.shares)
                .any(|share| row.nodes.iter().any(|kept| kept.node == share.node && kept.cpus.is_none()));
            assert!(excused || apart || !touches, "job {} is on nodes of {}", job.id, row.name);
        }
    }
}

fn pending_for_reservations(stage: &Stage) -> Vec<u32> {
    let view = stage.cluster.read_view();
    let waits = |reason: Reason| matches!(reason, Reason::ReqNodeNotAvail | Reason::Reservation);
    let told = view.jobs.values().map(|job| view.outlook.told(job));
    told.filter(|job| job.state == JobState::Pending && waits(job.reason)).map(|job| job.id.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(30)) })]

    #[test]
    fn nobody_without_rights_is_on_reserved_nodes(seed in any::<u64>()) {
        let mut stage = Stage::new("08:00:00", |_| {});
        let mut numbers = Numbers::new(seed);
        let mut reservations = 0;
        for _ in 0..40 {
            act(&mut stage, &mut numbers, &mut reservations);
            nobody_intrudes(&stage);
        }
        // Once all is over, nobody waits for a reservation any more, and none is left but those that recur.
        stage.wait_until(at("23:00:00"));
        let view = stage.cluster.read_view();
        prop_assert!(view.reservations.values().all(|row| row.recurrence().is_some()));
    }

    #[test]
    fn licences_are_given_once_and_kept_for_reservations(seed in any::<u64>()) {
        let mut stage = Stage::new("08:00:00", |_| {});
        let mut numbers = Numbers::new(seed);
        let mut reservations = 0;
        for _ in 0..40 {
            act_on_licences(&mut stage, &mut numbers, &mut reservations);
            licences_add_up(&stage);
        }
        stage.wait_until(at("23:00:00"));
        // Nobody waits for a licence for ever.
        let view = stage.cluster.read_view();
        // Those of a reservation that is gone are held, which is another matter.
        let is_free = |job: &muster_model::job::Job| job.spec.reservation.is_none() && job.hold.is_none();
        let waits = view.jobs.values().find(|job| job.state == JobState::Pending && is_free(job));
        prop_assert!(waits.is_none(), "{:?} {:?}", waits.map(|job| view.outlook.told(job)), view.reservations);
    }

    #[test]
    fn the_job_starts_once_the_reservation_is_gone(seed in any::<u64>()) {
        let mut stage = Stage::new("08:00:00", |_| {});
        let mut numbers = Numbers::new(seed);
        let nodes = ["nodes=all", "nodes=n[1-4] flags=maint", "nodes=all flags=daily"][numbers.below(3) as usize];
        let start = numbers.below(20);
        let line = format!("scontrol create reservation=r starttime=now+{start}minutes duration=600 users=bin {nodes}");
        prop_assert_eq!(stage.run(&line).1, 0);
        for _ in 0..3 {
            let words = format!("user=daemon part=batch c=4 t={}", start + 1 + numbers.below(100));
            prop_assert!(stage.submit(&words).is_ok());
        }
        prop_assert_eq!(pending_for_reservations(&stage), vec![1, 2, 3]);
        let expected: Vec<Option<Timestamp>> =
            stage.cluster.read_view().jobs.keys().map(|id| stage.cluster.read_view().job(*id)?.start_time).collect();
        let end = at("08:00:00") + Span::from_minutes(i64::from(start) + 600);
        prop_assert_eq!(expected, vec![Some(end); 3]);
        prop_assert_eq!(stage.run("scontrol delete reservation=r").1, 0);
        prop_assert_eq!(pending_for_reservations(&stage), Vec::<u32>::new());
        let view = stage.cluster.read_view();
        prop_assert!(view.jobs.values().all(|job| job.state == JobState::Running));
    }
}

#[test]
fn maintenance_flags_are_only_shown_while_it_lasts() {
    let mut stage = Stage::new("08:00:00", |_| {});
    assert_eq!(
        stage.run("scontrol create reservation=m starttime=08:10 duration=10 users=root nodes=n1 flags=maint").1,
        0
    );
    let shown = |stage: &Stage| {
        let view = stage.cluster.read_view();
        let node = view.nodes.iter().next().expect("a node").clone();
        (node.reserved, node.maintenance, view.reservations.values().any(|row| row.has(ReservationFlag::Maint)))
    };
    assert_eq!(shown(&stage), (false, false, true));
    stage.wait_until(at("08:10:00"));
    assert_eq!(shown(&stage), (true, true, true));
    stage.wait_until(at("08:20:00"));
    assert_eq!(shown(&stage), (false, false, false));
}
