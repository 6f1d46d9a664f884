//! Tables of jobs that come again, through `scrontab` and the commands that show and change jobs. How they go round in
//! time is tested where time is an argument.

mod support;

use support::Cluster;

fn cluster(more: &str) -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let conf = directory.path().join("cron.conf");
    let text = format!(
        "ClusterName=peer\nSlurmctldHost=localhost\n{more}SelectTypeParameters=CR_Core\n\
         NodeName=n[1-2] CPUs=4 RealMemory=1000 State=UNKNOWN\nPartitionName=debug Nodes=n[1-2] Default=YES MaxTime=01:00:00\n"
    );
    std::fs::write(&conf, text).expect("a file");
    Cluster::start(&["--conf", conf.to_str().expect("a plain path")])
}

const TABLE: &str = "\
# mine
WHO=world
#SCRON -J yearly -t 5
0 0 1 jan * echo $WHO
@yearly true
";

#[test]
fn a_table_is_installed_shown_and_taken_away() {
    let cluster = cluster("ScronParameters=enable\n");
    let ran = cluster.run("scrontab -l");
    assert_eq!((ran.code, &*ran.stdout), (1, "no crontab for root\n"));
    cluster.file("table", TABLE);
    assert_eq!(cluster.out("scrontab table"), "");
    assert_eq!(cluster.out("scrontab -l") + "\n", TABLE);
    assert_eq!(
        cluster.out("squeue -h -o '%i %j %t %r %l' --sort=i"),
        "1 yearly PD BeginTime 5:00\n2 true PD BeginTime 1:00:00"
    );
    let record = cluster.out("scontrol show job 1");
    assert!(record.contains("\n   CronJob=Yes CrontabSpec=\"0 0 1 1 *\"\n"), "{record}");
    let begin = cluster.out("squeue -h -j 1 -o %S");
    assert!(begin.ends_with("-01-01T00:00:00"), "{begin}");
    let script = "#!/bin/sh\n# This job was submitted through scrontab\n#SCRON -J yearly -t 5\n# crontab time request was: \
                  '0 0 1 jan *'\necho world";
    assert_eq!(cluster.out("scontrol write batch_script 1 -"), script);

    // The controller keeps it.
    cluster.kill("controller");
    cluster.up(&[]);
    assert_eq!(cluster.out("scrontab -l") + "\n", TABLE);
    for change in ["hold 1", "release 1", "update JobId=1 Comment=x"] {
        let ran = cluster.run(&format!("scontrol {change}"));
        assert!(
            ran.code == 1 && ran.stderr.contains("Cannot modify scrontab jobs through scontrol"),
            "{change}: {ran:?}"
        );
    }
    cluster.out("scancel 1");
    let disabled = TABLE.replace("#SCRON -J", "#DISABLED: #SCRON -J").replace("0 0 1 jan", "#DISABLED: 0 0 1 jan");
    assert_eq!(cluster.out("scrontab -l") + "\n", disabled);

    // Others may not, for others; what comes from standard input takes the place of all.
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let ran = cluster.run(&format!("{nobody} scrontab -u root -l"));
    assert_eq!(ran.stderr, "scrontab: fatal: slurm_request_crontab failed: Access/permission denied\n");
    let ran = cluster.run(&format!("{nobody} scrontab -u root -r"));
    assert_eq!(ran.stderr, "scrontab: fatal: slurm_remove_crontab failed: Access/permission denied\n");
    cluster.out("echo '@hourly date' | scrontab -u nobody -");
    assert_eq!(cluster.out("squeue -h -u nobody -o '%i %u %j'"), "3 nobody date");
    cluster.out("scrontab -u nobody -r; scrontab -r");
    assert_eq!(cluster.out("squeue -h; scrontab -l || true"), "no crontab for root");
}

const BAD_DAY: &str = "scrontab: error: bad day specification\nscrontab: error: something is broken\n";

#[test]
fn what_is_wrong_with_a_table_is_told() {
    let cluster = cluster("ScronParameters=enable\n");
    cluster.file("table", "0 5 * * * true\n0 5 * * true\n");
    let ran = cluster.run("scrontab table");
    let said = (ran.code, &*ran.stdout, &*ran.stderr);
    assert_eq!(said, (1, "There are errors in your crontab.\n", BAD_DAY));
    cluster.file("table", "@daily true\n#SCRON -p nowhere\n@daily true\n");
    let ran = cluster.run("scrontab table");
    let said = "There was an issue with the job submission on lines 1-2\nThe error code return was: Invalid partition name \
                specified\nThe error message was: no partition nowhere\n";
    assert_eq!((ran.code, &*ran.stdout), (1, said));
    assert_eq!(cluster.out("squeue -h"), "", "all or nothing");
    assert_eq!(cluster.run("scrontab nofile").stderr, "scrontab: fatal: failed to open nofile\n");
    assert_eq!(cluster.run("scrontab -u nosuchuser -l").stderr, "scrontab: fatal: Could not find user nosuchuser\n");
    assert_eq!(cluster.run("scrontab -e").stderr, "scrontab: fatal: Standard input is not a TTY\n");

    // With a terminal: the editor, and what is wrong is marked for the next try.
    cluster
        .file("editor", "#!/bin/sh\ncp \"$1\" seen-$(ls seen-* 2>/dev/null | wc -l)\necho '*/1 * * * * x' >\"$1\"\n");
    let talk = cluster.out("chmod +x editor; printf 'y\\nn\\n' | EDITOR=./editor script -qec 'scrontab -e' /dev/null");
    assert!(
        talk.contains("There are errors in your crontab.\r\nThe failed line(s) is commented out with #BAD:"),
        "{talk}"
    );
    assert!(cluster.read("seen-0").contains("#SCRON --time=10"), "{}", cluster.read("seen-0"));
    assert_eq!(cluster.read("seen-1"), "#BAD: */1 * * * * x\n");
}

#[test]
fn tables_have_to_be_allowed() {
    let cluster = cluster("");
    for action in ["-l", "-r", "/dev/null"] {
        let ran = cluster.run(&format!("scrontab {action}"));
        assert_eq!(
            (ran.code, &*ran.stderr),
            (1, "scrontab: fatal: scrontab is disabled on this cluster\n"),
            "{action}"
        );
    }
}
