//! `--container`: scripts and tasks in OCI bundles, run by a real crun or runc.

mod support;

use support::Cluster;
use support::bundle::{self, name};

/// A cluster whose nodes run bundles, with one at `bundle` in the directory for jobs.
struct Site {
    cluster: Cluster,
    runtime: &'static str,
}

/// Starts one, with `more` in `oci.conf`; `None`, with words on standard error, where none can run.
fn start(more: &str) -> Option<Site> {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let runtime = bundle::prepare(&cluster, &["n1", "n2"], more)?;
    Some(Site { cluster, runtime })
}

/// What is left of containers, bundles and their processes.
fn left(site: &Site) -> String {
    let (cluster, runtime) = (&site.cluster, site.runtime);
    let containers = format!("{runtime} list -q | grep {}", name(cluster));
    let files = format!("ls -d {0}/spool/*/oci-job* {0}/spool/*/bundles/*", cluster.path().display());
    let processes = format!("grep -l {}/bundle /proc/[0-9]*/mountinfo", cluster.work().display());
    cluster.run(&format!("({containers}; {files}; {processes}) 2>/dev/null; true")).stdout
}

#[test]
fn tasks_run_in_bundles_and_are_tasks_like_others() {
    let Some(site) = start("") else { return };
    let cluster = &site.cluster;
    let inside = "srun --container=$PWD/bundle";
    assert_eq!(
        cluster.out(&format!("{inside} sh -c 'echo $COLOR $SLURM_PROCID $SLURM_CONTAINER; pwd; cat /proc/1/comm'")),
        format!("bundle 0 {}/bundle\n/tmp\nsh", cluster.work().display())
    );
    assert_eq!(cluster.out(&format!("COLOR=job {inside} sh -c 'echo $COLOR'")), "job");
    assert_eq!(
        cluster.out(&format!("{inside} -N2 -n4 -l sh -c 'echo $SLURM_PROCID' | sort")),
        "0: 0\n1: 1\n2: 2\n3: 3"
    );
    assert_eq!(cluster.out(&format!("echo hello | {inside} cat")), "hello");
    let failed = cluster.run(&format!("{inside} sh -c 'exit 7'"));
    assert_eq!(
        (failed.code, failed.stderr.contains("task 0: Exited with exit code 7\n")),
        (7, true),
        "{}",
        failed.stderr
    );
    assert_eq!(cluster.run(&format!("{inside} sh -c 'kill -9 $$; sleep 1'")).code, 0, "the first of a container stays");
    let terminal = cluster.out(&format!("script -qec \"{inside} --pty sh -c 'test -t 0 && echo terminal'\" /dev/null"));
    // What `script` itself makes of the end of its input may stand around it.
    assert!(terminal.contains("terminal"), "{terminal}");
    let missing = cluster.run("srun --container=/nothing true");
    assert!(
        missing.code != 0
            && missing
                .stderr
                .contains("task launch on n1 failed: read /nothing/config.json: No such file or directory"),
        "{}",
        missing.stderr
    );

    let script = "#!/bin/sh\n#SBATCH --container=bundle\necho $0 $1 $COLOR; id -u; exit 3\n";
    cluster.file("job.sh", script.replace("=bundle", &format!("={}/bundle", cluster.work().display())).as_str());
    let job = cluster.submit("-W -o out job.sh word || true");
    assert_eq!(cluster.read("out"), "/tmp/slurm/startup word bundle\n0\n");
    assert_eq!(cluster.out(&format!("sacct -n -X -P -o State,ExitCode -j {job}")), "FAILED|3:0");
    let shown = cluster.out(&format!("scontrol show job {job} | grep -A1 Power="));
    assert_eq!(shown, format!("   Power=\n   Container={}/bundle", cluster.work().display()));
    let refused = cluster.run("salloc --container=/x true");
    assert!(refused.code == 1 && refused.stderr.contains("requires LaunchParameters=use_interactive_step"));
    let both = cluster.run("srun --container=/x --container-image=y true");
    assert!(both.code == 255 && both.stderr.contains("exclude each other"), "{}", both.stderr);
    cluster.wait("everything to be removed", || left(&site).is_empty());
}

#[test]
fn tables_tell_the_bundles_of_steps() {
    // Where nodes have no `oci.conf` the option is passed over, and shown all the same, as in Slurm.
    let cluster = Cluster::start(&["--nodes", "1"]);
    let script = cluster.submit("--container=/script -n1 --wrap 'sleep 300'");
    let plain = cluster.submit("-n1 --wrap 'srun --container=/step --container-id=name sleep 300'");
    let steps = || cluster.out("squeue -h -s -O StepID:12,Container:12,ContainerID:12 | sort");
    let expected = format!(
        "{script}.batch     /script     (null)      \n{plain}.0         /step       name        \n{plain}.batch     (null)      (null)      "
    );
    cluster.wait("all steps to run", || steps().lines().count() == 3);
    assert_eq!(steps(), expected);
    let shown = |step: &str| cluster.out(&format!("scontrol -o show step {step} | grep -o ' Container.*' || true"));
    assert_eq!(shown(&format!("{plain}.0")).trim(), "Container=/step ContainerID=name");
    assert_eq!(shown(&format!("{plain}.batch")).trim(), "");
    cluster.out(&format!("scancel {script} {plain}"));
    cluster.wait_state(script, "CANCELLED");
    cluster.wait_state(plain, "CANCELLED");
    assert_eq!(
        cluster.out("sacct -n -P -o JobID,Container"),
        format!("{script}|/script\n{script}.batch|/script\n{plain}|\n{plain}.batch|\n{plain}.0|/step")
    );
}

#[test]
fn a_container_has_the_name_that_its_user_wants() {
    let Some(site) = start("") else { return };
    let (cluster, runtime) = (&site.cluster, site.runtime);
    // Others on this machine have containers too.
    let (bundle, id) = (cluster.work().join("bundle"), format!("box-{}", name(cluster)));
    let options = format!("--container={} --container-id={id}", bundle.display());
    cluster.file("job.sh", "#!/bin/sh\necho $SLURM_CONTAINER_ID; while [ ! -e /w/go ]; do sleep 0.05; done; exit 3\n");
    let job = cluster.submit(&format!("-w n1 --no-requeue -o out {options} job.sh"));
    cluster.wait("the script to begin", || cluster.read("out") == format!("{id}\n"));
    // A list of all fails where another one is just being removed.
    let is_there = |id: &str| cluster.run(&format!("{runtime} state {id}")).code == 0;
    assert!(is_there(&id) && !is_there(&format!("{id}.0")));
    let shown = cluster.out(&format!("scontrol show job {job} | grep Container="));
    assert_eq!(shown, format!("   Container={} ContainerID={id}", bundle.display()));
    assert_eq!(cluster.out(&format!("squeue -h -j {job} -O ContainerID:.50 | tr -d ' '")), id);
    // Another one of that name is refused, and does no harm to the first.
    let second = cluster.run(&format!("srun -w n1 {options} true"));
    let said = format!(
        "task launch on n1 failed: call a container {id}: step batch of job {job} has one of that name on this node"
    );
    assert!(second.code != 0 && second.stderr.contains(&said), "{}", second.stderr);
    assert!(is_there(&id));
    cluster.file("go", "");
    cluster.wait_state(job, "FAILED");
    assert_eq!(cluster.out(&format!("sacct -n -X -P -o State,ExitCode -j {job}")), "FAILED|3:0");
    // The name is free again; tasks that are not alone add their numbers.
    assert_eq!(cluster.out(&format!("srun -w n1 {options} sh -c 'echo $SLURM_CONTAINER_ID'")), id);
    let step = format!(
        "srun -w n1 -n2 {options} sh -c 'echo > /w/begun.$SLURM_PROCID; while [ ! -e /w/end ]; do sleep 0.05; done'"
    );
    let mut several = cluster.command(&step).spawn().expect("a shell");
    cluster.wait("both tasks to begin", || (0..2).all(|rank| cluster.work().join(format!("begun.{rank}")).exists()));
    assert!(is_there(&format!("{id}.0")) && is_there(&format!("{id}.1")) && !is_there(&id));
    cluster.file("end", "");
    assert!(several.wait().expect("its end").success());
    let refused = cluster.run(&format!("srun --container={} --container-id=../x true", bundle.display()));
    assert!(refused.code != 0 && refused.stderr.contains("call a container ../x: only letters"), "{}", refused.stderr);
    cluster.wait("everything to be removed", || left(&site).is_empty());
}

#[test]
fn nothing_of_a_bundle_is_left_whatever_is_killed() {
    let more = "CreateEnvFile=null\nEnvExclude=^HIDDEN_WORD=\nRunTimeEnvExclude=^COLOR=\nContainerPath=%m/x.%j.%s\nMountSpoolDir=";
    let place = tempfile::tempdir().expect("a directory");
    let Some(site) = start(&format!("{more}{}\n", place.path().display())) else { return };
    let cluster = &site.cluster;
    let bundle = cluster.work().join("bundle");
    let line = "test -z \"$HIDDEN_WORD\" && echo begin; while [ ! -e /w/go ]; do sleep 0.05; done; exit 4";
    cluster.file("job.sh", &format!("#!/bin/sh\n{line}\n"));
    let submit = |name: &str| {
        cluster.submit(&format!(
            "-w n1 --no-requeue --export=ALL,HIDDEN_WORD=x -o {name} --container={} job.sh",
            bundle.display()
        ))
    };
    // Cancelled.
    let job = submit("cancelled");
    cluster.wait("the script to begin", || cluster.read("cancelled") == "begin\n");
    let files = cluster.out(&format!(
        "cd {}/x.{job}.4294967291/task-00000 && ls && tr '\\0' '\\n' < environment",
        place.path().display()
    ));
    assert!(files.starts_with("config.json\nenvironment\n") && !files.contains("\nHIDDEN_WORD="), "{files}");
    cluster.out(&format!("scancel {job}"));
    cluster.wait_state(job, "CANCELLED");
    cluster.wait("everything to be removed", || left(&site).is_empty());
    assert_eq!(std::fs::read_dir(place.path()).expect("the directory").count(), 0);

    // The agent is killed: the script goes on.
    let job = submit("survived");
    cluster.wait("the script to begin", || cluster.read("survived") == "begin\n");
    cluster.kill("n1");
    cluster.up(&[]);
    cluster.file("go", "");
    cluster.wait_state(job, "FAILED");
    assert_eq!(cluster.out(&format!("sacct -n -X -P -o State,ExitCode -j {job}")), "FAILED|4:0");
    cluster.out("rm go");

    // The supervisor too: nothing is left of it.
    let job = submit("lost");
    cluster.wait("the script to begin", || cluster.read("lost") == "begin\n");
    let spool = cluster.path().join("spool/n1");
    cluster.kill("n1");
    cluster.out(&format!("pkill -9 -f 'supervisor --dir {}'", spool.display()));
    cluster.up(&[]);
    cluster.wait("the job to end", || !["RUNNING", "COMPLETING"].contains(&cluster.state(job).as_str()));
    cluster.wait("everything to be removed", || left(&site).is_empty());
    assert_eq!(std::fs::read_dir(place.path()).expect("the directory").count(), 0);
}

#[test]
fn a_runtime_sees_what_the_job_has_to_itself() {
    let place = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let own = place.path().join("own");
    std::fs::create_dir(&own).expect("a directory");
    let seen = place.path().join("seen");
    let more = format!("ContainerPath={0}/x\nRunTimeKill=\"ls {0} > {1}\"\n", own.display(), seen.display());
    let Some(site) = start(&more) else { return };
    let cluster = &site.cluster;
    let private = format!("Dirs={}\nBasePath={}/base\nAutoBasePath=true\n", own.display(), place.path().display());
    std::fs::write(cluster.path().join("job_container.conf"), private).expect("a configuration");
    cluster.out("echo JobContainerType=job_container/tmpfs >> ../slurm.conf");
    cluster.kill("n1");
    cluster.up(&[]);
    // The bundle itself lies there.
    let line = format!("cp -r bundle {0}/b && ls {0}; srun --container={0}/b sh -c 'echo $COLOR'", own.display());
    cluster.file("job.sh", &format!("#!/bin/sh\n{line}\n"));
    cluster.out("sbatch -Q -w n1 -W -o out job.sh");
    assert_eq!(cluster.read("out"), "b\nbundle\n");
    assert_eq!(std::fs::read_to_string(&seen).expect("what was seen"), "b\nx\n");
    assert_eq!(std::fs::read_dir(&own).expect("the directory").count(), 0);
    cluster.wait("everything to be removed", || left(&site).is_empty());
}
