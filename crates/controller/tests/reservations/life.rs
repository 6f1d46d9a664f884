//! What becomes of reservations and of jobs in them as time passes.

use muster_model::time::Span;

use crate::stage::{Stage, at};

/// Plays `script` from 08:00:00: `$ scontrol …` must succeed, `@ TIME` lets time pass, `job WORDS` submits (numbers begin
/// with 1) and `= EXPECTED` compares the lines of jobs, separated by `; `, `res WORDS` the words of `scontrol -o show
/// reservation` that begin as those of the expected text.
#[track_caller]
fn play_on(stage: &mut Stage, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "@" => stage.wait_until(at(rest)),
            "$" => {
                let (told, code) = stage.run(rest);
                assert_eq!(code, 0, "{rest}: {told}");
            }
            "!" => {
                let (command, expected) = rest.split_once(" => ").expect("what is said");
                assert_eq!(stage.run(command), (format!("{expected}\n"), 1), "{command}");
            }
            "job" => {
                let (words, refused) = rest.split_once(" => ").map_or((rest, None), |(words, why)| (words, Some(why)));
                let told = stage.submit(words).err().map(|refusal| refusal.to_string());
                assert_eq!(told.as_deref(), refused, "{rest}");
            }
            "=" => assert_eq!(stage.jobs().trim().replace('\n', "; "), rest, "at {:?} in\n{script}", stage.now),
            "res" => {
                let (told, _) = stage.run("scontrol -o show reservation");
                let keys: Vec<&str> =
                    rest.split(' ').filter_map(|word| word.split_once('=')).map(|(key, _)| key).collect();
                let wanted = |word: &&str| word.split_once('=').is_some_and(|(key, _)| keys.contains(&key));
                let shown: Vec<&str> = told.split_whitespace().filter(wanted).collect();
                assert_eq!(shown.join(" "), rest, "{told}");
            }
            "node" => {
                let (name, expected) = rest.split_once(' ').expect("a state");
                let (told, _) = stage.run(&format!("scontrol -o show node {name}"));
                let state = told.split_whitespace().find_map(|word| word.strip_prefix("State="));
                assert_eq!(state, Some(expected), "{told}");
            }
            "none" => assert_eq!(stage.run("scontrol show res").0, "No reservations in the system\n"),
            other => panic!("unknown word {other}"),
        }
    }
}

#[track_caller]
fn play(script: &str) {
    play_on(&mut Stage::new("08:00:00", |_| {}), script);
}

#[test]
fn jobs_of_a_reservation_that_ends_are_ended_or_held() {
    play(
        "$ scontrol create reservation=a starttime=now duration=5 users=root nodes=n3
         $ scontrol create reservation=b starttime=now duration=5 users=root nodes=n4 flags=no_hold_jobs_after
         job resv=a c=16 t=10
         job resv=a c=16 t=10
         job resv=b c=16 t=10
         job resv=b c=16 t=10
         = 1 R n3 in a; 2 PD (Resources) in a; 3 R n4 in b; 4 PD (Resources) in b
         ! scontrol delete reservation=a => delete_reservation reservation=a: Requested reservation is in use
         @ 08:04:59
         = 1 R n3 in a; 2 PD (Resources) in a; 3 R n4 in b; 4 PD (Resources) in b
         @ 08:05:00
         = 1 TO (TimeLimit) in a; 2 RD (Reservation a was deleted); 3 TO (TimeLimit) in b; 4 R n1
         $ scontrol release 2
         = 1 TO (TimeLimit) in a; 2 R n2; 3 TO (TimeLimit) in b; 4 R n1
         job resv=a => Requested reservation is invalid",
    );
}

#[test]
fn jobs_may_stay_for_a_while_where_the_site_says_so() {
    let mut stage = Stage::new("08:00:00", |config| config.reservation_over_run = Some(Span::from_minutes(2)));
    play_on(
        &mut stage,
        "$ scontrol create reservation=a starttime=now duration=5 users=root nodes=n3
         $ scontrol create reservation=d starttime=now duration=5 users=root nodes=n4 flags=hourly
         job resv=a t=10
         job resv=d t=10
         @ 08:06:59
         = 1 R n3 in a; 2 R n4 in d
         @ 08:07:00
         = 1 TO (TimeLimit) in a; 2 TO (TimeLimit) in d
         res ReservationName=d StartTime=2026-11-28T09:00:00",
    );
}

#[test]
fn a_recurring_one_comes_back() {
    play(
        "$ scontrol create reservation=d starttime=09:00 duration=60 users=root nodes=n1 flags=daily
         job resv=d t=30
         = 1 PD (Reservation) in d
         node n1 IDLE
         @ 09:00:00
         = 1 R n1 in d
         node n1 MIXED+RESERVED
         job resv=d t=30 c=16
         @ 09:30:00
         = 1 TO (TimeLimit) in d; 2 R n1 in d
         @ 10:00:00
         = 2 TO (TimeLimit) in d
         node n1 IDLE
         res StartTime=2026-11-29T09:00:00 EndTime=2026-11-29T10:00:00
         $ scontrol update reservation=d skip
         res StartTime=2026-11-30T09:00:00 EndTime=2026-11-30T10:00:00",
    );
}

#[test]
fn idle_ones_are_purged() {
    play(
        "$ scontrol create reservation=p starttime=now duration=60 users=root nodes=n1 flags=purge_comp=10
         $ scontrol create reservation=q starttime=08:30 duration=60 users=root nodes=n2 flags=purge_comp
         @ 08:05:00
         job resv=p t=3
         @ 08:17:59
         res ReservationName=p ReservationName=q
         @ 08:18:00
         res ReservationName=q
         @ 08:35:00
         none",
    );
}

#[test]
fn nodes_are_replaced() {
    play(
        "$ scontrol create reservation=r starttime=now duration=60 users=root nodecnt=1 flags=replace
         $ scontrol create reservation=d starttime=now duration=60 users=root nodecnt=1
         $ scontrol create reservation=s starttime=now duration=60 users=root nodecnt=1 flags=static_alloc
         res Nodes=n1 Nodes=n2 Nodes=n3
         job resv=r t=10
         job resv=d t=10
         res Nodes=n4 Nodes=n2 Nodes=n3
         = 1 R n1 in r; 2 R n2 in d
         @ 08:10:00
         $ scontrol update node=n2 state=drain reason=x
         $ scontrol update node=n3 state=drain reason=x
         res Nodes=n4 Nodes=n1 Nodes=n3
         node n1 IDLE+RESERVED",
    );
}

#[test]
fn short_jobs_run_before_a_maintenance() {
    play(
        "$ scontrol create reservation=m starttime=09:00 duration=60 users=root nodes=all flags=maint,ignore_jobs
         job user=daemon t=60
         job user=daemon t=61 part=batch
         = 1 R n1; 2 PD (ReqNodeNotAvail, Reserved for maintenance)
         @ 09:00:00
         node n2 IDLE+MAINTENANCE+RESERVED
         = 1 TO (TimeLimit); 2 PD (ReqNodeNotAvail, Reserved for maintenance)
         @ 10:00:00
         = 2 R n1
         node n2 IDLE",
    );
}

#[test]
fn access_is_checked_at_submit_and_later() {
    play(
        "$ scontrol create reservation=a starttime=09:00 duration=60 users=daemon nodes=n1
         job user=bin resv=a => Access denied to requested reservation
         job resv=a => Access denied to requested reservation
         job user=daemon resv=a,gone => Requested reservation is invalid
         job user=daemon resv=a N=2 => Requested node configuration is not available
         job user=daemon resv=a t=10
         $ scontrol update reservation=a users=bin
         @ 09:10:00
         = 1 PD (Reservation) in a
         $ scontrol update reservation=a users=+daemon
         = 1 R n1 in a",
    );
}

#[test]
fn magnets_draw_and_float_ahead() {
    play(
        "$ scontrol create reservation=m starttime=now duration=60 users=daemon nodes=n4 flags=magnetic
         $ scontrol create reservation=f starttime=now+30minutes duration=60 users=root nodes=n[1-3] flags=time_float
         job user=daemon t=60
         job user=bin t=30
         job user=bin t=31
         = 1 R n4 in m; 2 R n1; 3 PD (ReqNodeNotAvail, May be reserved for other job)
         @ 08:20:00
         res StartTime=2026-11-28T08:00:00 StartTime=2026-11-28T08:50:00",
    );
}

#[test]
fn borrowers_are_told_to_go() {
    play(
        "$ scontrol create reservation=r starttime=08:30 duration=60 users=root nodes=n1 maxstartdelay=5
         job user=daemon t=60 w=n1 c=16 borrows=5
         job resv=r t=10
         @ 08:29:59
         = 1 R n1; 2 PD (Reservation) in r
         @ 08:34:59
         = 1 R n1; 2 PD (Resources) in r
         @ 08:35:00
         = 1 TO (TimeLimit); 2 R n1 in r",
    );
}

#[test]
fn cores_are_kept_exactly() {
    play(
        "$ scontrol create reservation=c starttime=now duration=60 users=root nodes=n1 corecnt=4
         job user=daemon w=n1 c=12 t=10
         job user=daemon w=n1 c=1 t=10
         job resv=c c=4 t=10
         = 1 R n1; 2 PD (Resources); 3 R n1 in c
         @ 08:10:00
         = 1 TO (TimeLimit); 2 R n1; 3 TO (TimeLimit) in c",
    );
}

#[test]
fn a_restart_changes_nothing() {
    let mut stage = Stage::new("08:00:00", |_| {});
    play_on(
        &mut stage,
        "$ scontrol create reservation=a starttime=now duration=5 users=root nodes=n3
         job resv=a c=16 t=10
         job resv=a c=16 t=10",
    );
    let stored = stage.stored();
    stage.restart(stored);
    play_on(
        &mut stage,
        "= 1 R n3 in a; 2 PD (Resources) in a
         node n3 ALLOCATED+RESERVED
         @ 08:05:00
         = 1 TO (TimeLimit) in a; 2 RD (Reservation a was deleted)",
    );
}

/// A job that does not say what it is charged to is admitted, and drawn, by what it is charged to.
#[test]
fn access_goes_by_the_account_that_a_job_is_charged_to() {
    use muster_model::accounting::{Account, AccountingChange, AccountingEnforce, AssociationChanges};
    use muster_model::request::Command;
    let mut stage = Stage::new("08:00:00", |config| {
        config.accounting = true;
        config.accounting_enforce = AccountingEnforce { associations: true, limits: true, qos: true, safe: false };
    });
    let account = |name: &str| Account {
        name: name.into(),
        description: "".into(),
        organization: "".into(),
        coordinators: Vec::new(),
    };
    let user = |name: &str, account: &str| AccountingChange::CreateUsers {
        names: vec![name.into()],
        accounts: vec![account.into()],
        partitions: Vec::new(),
        default_account: None,
        admin_level: None,
        association: AssociationChanges::default(),
    };
    let accounts = AccountingChange::CreateAccounts {
        accounts: vec![account("physics"), account("chemistry")],
        parent: "root".into(),
        association: AssociationChanges::default(),
    };
    for change in [accounts, user("daemon", "physics"), user("bin", "chemistry")] {
        stage.command("root", Command::ChangeAccounting(Box::new(change))).expect("a change that is allowed");
    }
    play_on(
        &mut stage,
        "$ scontrol create reservation=a starttime=now duration=60 accounts=physics nodes=n1
         $ scontrol create reservation=m starttime=now duration=60 accounts=physics nodes=n4 flags=magnetic
         job user=bin resv=a => Access denied to requested reservation
         job user=daemon resv=a t=10
         job user=daemon t=10
         job user=bin t=10
         = 1 R n1 in a; 2 R n4 in m; 3 R n2",
    );
}

#[test]
fn counted_nodes_are_taken_in_the_order_of_the_configuration() {
    let mut stage = Stage::new("08:00:00", |config| config.nodes[0].weight = 10);
    play_on(
        &mut stage,
        "$ scontrol create reservation=a starttime=now+60 duration=5 users=root nodecnt=1
         res Nodes=n1",
    );
}
