//! Conversations: requests of tasks in, answers out. The answers are those of real slurmstepd, but where it is said.

use super::*;

/// Two tasks on the first node of a step of three.
fn server() -> Server {
    let facts =
        StepFacts { step_name: "3.0".to_owned(), tasks: 3, process_mapping: "(vector,(0,1,2),(1,1,1))".to_owned() };
    Server::new(facts, [0, 1])
}

fn shown(actions: Vec<Action>) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "|");
    let lines = actions.into_iter().map(|action| match action {
        Action::Answer { rank, bytes } => format!("{rank}: {}", lossy(&bytes).trim_end_matches('\n')),
        Action::Fence(values) => format!("fence {}", lossy(&values)),
        Action::Abort { rank, message } => format!("abort {rank}: {message}"),
        Action::Complain(text) => format!("! {text}"),
        Action::Close { rank } => format!("close {rank}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What follows from `text` of a task.
#[track_caller]
fn check(server: &mut Server, rank: u32, text: &str, expected: &str) {
    assert_eq!(shown(server.take(rank, text.as_bytes())), expected, "{text:?}");
}

/// The same for a PMI-2 request without its length, and an answer without its length.
#[track_caller]
fn check_2(server: &mut Server, rank: u32, text: &str, expected: &str) {
    let framed = format!("{:<6}{text}", text.len());
    let answers = shown(server.take(rank, framed.as_bytes()));
    let short = answers.lines().map(|line| match line.split_once("cmd=") {
        Some((front, rest)) => format!("{}: cmd={rest}", front.split(':').next().unwrap()),
        None => line.to_owned(),
    });
    assert_eq!(short.collect::<Vec<_>>().join("\n"), expected, "{text:?}");
}

/// What follows when the fence opens.
fn pass(server: &mut Server, values: &[u8]) -> String {
    // In two parts, cut anywhere.
    let (front, back) = values.split_at(values.len() / 2);
    assert!(server.add_values(front) && server.add_values(back));
    shown(server.pass_fence())
}

fn start_1(server: &mut Server) {
    for rank in [0, 1] {
        let answer = format!("{rank}: cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1");
        check(server, rank, "cmd=init pmi_version=1 pmi_subversion=1\n", &answer);
    }
}

fn start_2(server: &mut Server) {
    for rank in [0, 1] {
        let answer = format!("{rank}: cmd=response_to_init rc=0 pmi_version=2 pmi_subversion=0");
        check(server, rank, "cmd=init pmi_version=2 pmi_subversion=0\n", &answer);
    }
}

#[test]
fn facts_of_the_step_by_pmi_1() {
    let mut server = server();
    start_1(&mut server);
    let server = &mut server;
    check(server, 0, "cmd=get_maxes\n", "0: cmd=maxes rc=0 kvsname_max=256 keylen_max=64 vallen_max=1024");
    check(server, 1, "cmd=get_appnum\n", "1: cmd=appnum rc=0 appnum=-1");
    check(server, 0, "cmd=get_my_kvsname\n", "0: cmd=my_kvsname rc=0 kvsname=3.0");
    check(server, 0, "cmd=get_universe_size\n", "0: cmd=universe_size rc=0 size=3");
    check(
        server,
        0,
        "cmd=get kvsname=3.0 key=PMI_process_mapping\n",
        "0: cmd=get_result rc=0 value=(vector,(0,1,2),(1,1,1))",
    );
    check(server, 0, "cmd=finalize\n", "0: cmd=finalize_ack rc=0\nclose 0");
}

#[test]
fn values_pass_a_fence_by_pmi_1() {
    let mut server = server();
    start_1(&mut server);
    let server = &mut server;
    check(server, 0, "cmd=put kvsname=3.0 key=k0 value=v0\ncmd=barrier_in\n", "0: cmd=put_result rc=0");
    check(server, 1, "cmd=put kvsname=3.0 key=k1 value=v1\n", "1: cmd=put_result rc=0");
    check(server, 1, "cmd=get kvsname=3.0 key=k2\n", "1: cmd=get_result rc=1 msg=key_not_found");
    check(server, 1, "cmd=barrier_in\n", "fence k0|v0|k1|v1|");
    let out = "0: cmd=barrier_out rc=0\n1: cmd=barrier_out rc=0";
    assert_eq!(pass(server, b"k0\0v0\0k1\0v1\0k2\0v2\0"), out);
    check(server, 1, "cmd=get kvsname=3.0 key=k2\n", "1: cmd=get_result rc=0 value=v2");
    // The next one begins with nothing.
    check(server, 1, "cmd=barrier_in\n", "");
    check(server, 0, "cmd=barrier_in\n", "fence ");
    assert_eq!(pass(server, b""), out);
}

#[test]
fn facts_of_the_step_by_pmi_2() {
    let mut server = server();
    start_2(&mut server);
    let server = &mut server;
    check_2(
        server,
        1,
        "cmd=fullinit;pmijobid=3.0;pmirank=1;threaded=FALSE;",
        "1: cmd=fullinit-response;rc=0;pmi-version=2;pmi-subversion=0;rank=1;size=3;appnum=-1;debugged=FALSE;pmiverbose=FALSE;",
    );
    check_2(server, 0, "cmd=job-getid;", "0: cmd=job-getid-response;rc=0;jobid=3.0;");
    check_2(
        server,
        0,
        "cmd=info-getjobattr;key=PMI_process_mapping;",
        "0: cmd=info-getjobattr-response;rc=0;found=TRUE;value=(vector,(0,1,2),(1,1,1));",
    );
    check_2(
        server,
        0,
        "cmd=info-getjobattr;key=universeSize;",
        "0: cmd=info-getjobattr-response;rc=0;found=TRUE;value=3;",
    );
    // Real slurmstepd answers any other key with the addresses of the node.
    check_2(server, 0, "cmd=info-getjobattr;key=nosuch;", "0: cmd=info-getjobattr-response;rc=0;found=FALSE;");
    check_2(server, 0, "cmd=finalize;thrid=5;", "0: cmd=finalize-response;thrid=5;rc=0;\nclose 0");
}

#[test]
fn values_by_pmi_2() {
    let mut server = server();
    start_2(&mut server);
    let server = &mut server;
    check_2(server, 0, "cmd=kvs-put;key=k0;value=a;;b;", "0: cmd=kvs-put-response;rc=0;");
    check_2(server, 0, "cmd=kvs-fence;thrid=1;", "");
    check_2(server, 1, "cmd=kvs-fence;", "fence k0|a;b|");
    let out = pass(server, b"k0\0a;b\0");
    assert_eq!(out, "0: 36    cmd=kvs-fence-response;thrid=1;rc=0;\n1: 28    cmd=kvs-fence-response;rc=0;");
    check_2(server, 1, "cmd=kvs-get;jobid=3.0;srcid=-1;key=k0;", "1: cmd=kvs-get-response;rc=0;found=TRUE;value=a;;b;");
    check_2(server, 1, "cmd=kvs-get;jobid=3.0;srcid=0;key=no;", "1: cmd=kvs-get-response;rc=0;found=FALSE;");
}

#[test]
fn who_waits_for_a_value_of_the_node_gets_it_when_it_is_put() {
    let mut server = server();
    start_2(&mut server);
    let server = &mut server;
    check_2(server, 0, "cmd=info-getnodeattr;key=a;wait=FALSE;", "0: cmd=info-getnodeattr-response;rc=0;found=FALSE;");
    check_2(server, 0, "cmd=info-getnodeattr;key=a;wait=TRUE;thrid=2;", "");
    check_2(
        server,
        1,
        "cmd=info-putnodeattr;key=a;value=b;",
        "1: cmd=info-putnodeattr-response;rc=0;\n0: cmd=info-getnodeattr-response;thrid=2;rc=0;found=TRUE;value=b;",
    );
}

#[test]
fn what_is_not_done_here_is_refused_with_a_word() {
    let mut one = server();
    start_1(&mut one);
    check(
        &mut one,
        0,
        "mcmd=spawn\nnprocs=1\nexecname=true\nendcmd\n",
        "! PMI1 request of 'spawn' not supported\n0: cmd=spawn_result rc=1 msg=not_supported",
    );
    check(&mut one, 0, "cmd=abort exitcode=5\n", "abort 0: 5");
    check(&mut one, 0, "nonsense\n", "! task 0 does not keep to the protocol\nclose 0");
    check(&mut one, 7, "cmd=get_maxes\n", "");
    let mut two = server();
    start_2(&mut two);
    check_2(
        &mut two,
        0,
        "cmd=job-connect;jobid=1;",
        "! PMI2 request of 'job-connect' not supported\n0: cmd=job-connect-response;rc=1;errmsg=not_supported;",
    );
    check_2(&mut two, 1, "cmd=abort;isworld=TRUE;msg=no luck;", "abort 1: no luck");
    let other = "0: cmd=response_to_init rc=1 pmi_version=2 pmi_subversion=0";
    check(&mut server(), 0, "cmd=init pmi_version=3 pmi_subversion=0\n", other);
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(pieces in proptest::collection::vec((0u32..3, "[a-z=; \n0-9]{0,30}"), 0..8)) {
        let mut server = server();
        for (rank, text) in pieces {
            server.take(rank, text.as_bytes());
        }
    }
}
