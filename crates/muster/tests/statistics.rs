//! What the controller counts, through `sdiag`.

mod support;

use support::Cluster;

/// The number behind `label` on the page of `sdiag`; the first one of that label.
fn figure(page: &str, label: &str) -> u64 {
    let line = page.lines().find(|line| line.trim_start().starts_with(label));
    let value = line.and_then(|line| line.trim_start().strip_prefix(label));
    let word = value.and_then(|value| value.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {label} in\n{page}"))
}

/// `count:N` in the line that begins with `name`; 0 without such a line.
fn requests(page: &str, name: &str) -> u64 {
    let line = page.lines().find(|line| line.trim_start().starts_with(name));
    line.map_or(0, |line| figure(line.split_once("count").map_or("", |(_, rest)| rest), ":"))
}

#[test]
fn what_happens_is_counted_and_may_be_forgotten() {
    let cluster = Cluster::start(&["--nodes", "2", "--cpus", "4"]);
    cluster.out("sbatch -W -o /dev/null --wrap true; sbatch -W -o /dev/null --wrap false; sbatch -W -a 1-3 -o /dev/null --wrap true");
    let running = cluster.submit("-o /dev/null -N 2 --exclusive -t 10 --wrap 'sleep 300'");
    cluster.wait_state(running, "RUNNING");
    let waiting = cluster.submit("-o /dev/null -N 2 --exclusive -t 10 -a 1-4 --wrap 'sleep 300'");
    cluster.wait("it to be told why it waits", || cluster.out(&format!("squeue -h -j {waiting} -o %r")) == "Resources");
    let page = cluster.out("sdiag");
    let jobs: Vec<u64> = ["Jobs submitted:", "Jobs started:", "Jobs completed:", "Jobs canceled:", "Jobs failed:"]
        .iter()
        .map(|label| figure(&page, label))
        .collect();
    assert_eq!(jobs, [10, 6, 5, 0, 0], "{page}");
    assert_eq!((figure(&page, "Jobs pending:"), figure(&page, "Jobs running:")), (4, 1), "{page}");
    assert!(
        figure(&page, "Total cycles:") >= 5 && figure(&page, "Max cycle:") >= figure(&page, "Mean cycle:"),
        "{page}"
    );
    assert!(figure(&page, "Last queue length:") == 1 && figure(&page, "Last depth cycle:") == 1, "{page}");
    assert!(figure(&page, "Last table size:") >= 2, "two nodes become free: {page}");
    assert_eq!(requests(&page, "REQUEST_SUBMIT_BATCH_JOB"), 5, "{page}");
    assert_eq!(requests(&page, "REQUEST_COMPLETE_BATCH_SCRIPT"), 5, "{page}");
    assert!(requests(&page, "root  ") >= 10, "{page}");

    // Of the two, one is a job that ran, the other the tasks that waited.
    cluster.out(&format!("scancel {running} {waiting}"));
    cluster.wait_state(running, "CANCELLED");
    assert_eq!(figure(&cluster.out("sdiag"), "Jobs canceled:"), 2);
    let document: serde_json::Value = serde_json::from_str(&cluster.out("sdiag --json")).expect("a document");
    assert_eq!(document["statistics"]["jobs_submitted"], 10);

    let ran = cluster.run("setpriv --reuid=65534 --regid=65534 --clear-groups sdiag --reset");
    assert_eq!((ran.code, &*ran.stderr), (255, "slurm_reset_statistics: Access/permission denied\n"));
    assert_eq!(cluster.run("sdiag -r -M elsewhere").code, 1);
    assert_eq!(figure(&cluster.out("sdiag"), "Jobs submitted:"), 10);
    assert_eq!(cluster.out("sdiag --reset"), "Reset scheduling statistics");
    let page = cluster.out("sdiag");
    assert_eq!((figure(&page, "Jobs submitted:"), requests(&page, "REQUEST_SUBMIT_BATCH_JOB")), (0, 0), "{page}");
}
