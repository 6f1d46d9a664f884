//! Mails to users, by a mail program of the site.

mod support;

use support::Cluster;

#[test]
fn the_mail_program_gets_what_slurm_gives_it() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let (program, sent) = (cluster.path().join("mailer"), cluster.path().join("sent"));
    let script = format!(
        "#!/bin/sh\necho \"$* $SLURM_JOB_MAIL_TYPE $SLURM_JOB_RUN_TIME$SLURM_JOB_QUEUED_TIME\" >>{}\n",
        sent.display()
    );
    std::fs::write(&program, script).unwrap();
    cluster.out(&format!("chmod +x {}", program.display()));
    cluster.out(&format!("echo MailProg={} >>../slurm.conf; scontrol reconfigure", program.display()));
    let job = cluster.submit("-J news --mail-type=BEGIN,FAIL --mail-user=me@example.org --wrap 'exit 3'");
    let mails = || std::fs::read_to_string(&sent).unwrap_or_default();
    cluster.wait("two mails", || mails().lines().count() == 2);
    let of = |verb: &str| mails().lines().find(|line| line.contains(verb)).unwrap_or_default().to_owned();
    let head = format!("-s Slurm Job_id={job} Name=news");
    let (began, failed) = (of("Began"), of("Failed"));
    assert!(began.starts_with(&format!("{head} Began, Queued time 00:00:")), "{began}");
    assert!(began.contains(" me@example.org Began 00:00:"), "{began}");
    assert!(failed.starts_with(&format!("{head} Failed, Run time 00:00:")), "{failed}");
    assert!(failed.contains(", FAILED, ExitCode 3 me@example.org Failed 00:00:"), "{failed}");
}
