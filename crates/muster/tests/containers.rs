//! Scripts and tasks in containers of Docker images, with real daemons of Docker and Podman and a real registry.

mod support;

use support::Cluster;
use support::docker::{Docker, Kind, mounts};

/// Each of these is a test on Docker and one on Podman.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod docker {
            $(#[test] fn $name() { super::$name(super::Kind::Docker); })*
        }
        mod podman {
            $(#[test] fn $name() { super::$name(super::Kind::Podman); })*
        }
    };
}

on_both! {
    tasks_see_the_files_of_the_image_and_are_tasks_like_others,
    a_container_gives_no_rights_and_says_what_is_wrong,
    named_containers_stay_and_others_go_whatever_is_killed,
    images_are_fetched_once_with_the_credentials_of_the_user,
    a_user_is_himself_in_a_container,
    what_a_job_has_to_itself_it_has_in_containers_too,
    nothing_of_a_daemon_stays,
}

fn start(kind: Kind) -> Option<(Docker, Cluster)> {
    let docker = Docker::start(kind)?;
    let cluster = Cluster::start_with(&["--nodes", "2"], &[("DOCKER_HOST", docker.host())]);
    Some((docker, cluster))
}

fn tasks_see_the_files_of_the_image_and_are_tasks_like_others(kind: Kind) {
    let Some((docker, cluster)) = start(kind) else { return };
    let inside = "srun --container-image=test";
    assert_eq!(
        cluster.out(&format!("COLOR=mine {inside} sh -c 'echo $COLOR $PWD; pwd; ls /here'")),
        "image /here\n/here"
    );
    assert_eq!(cluster.out(&format!("COLOR=mine {inside} --container-env=COLOR sh -c 'echo $COLOR'")), "mine");
    assert_eq!(
        cluster.out(&format!("{inside} -N2 -n4 -l sh -c 'echo $SLURM_PROCID' | sort")),
        "0: 0\n1: 1\n2: 2\n3: 3"
    );
    assert_eq!(cluster.out(&format!("echo hello | {inside} --container-workdir=/tmp cat")), "hello");
    assert_eq!(cluster.run(&format!("{inside} sh -c 'exit 7'")).code, 7);
    let killed = cluster.run(&format!("{inside} sh -c 'kill -9 $$'"));
    assert_eq!((killed.code, killed.stderr.contains(": task 0: Killed\n")), (137, true), "{}", killed.stderr);
    assert_eq!(cluster.run(&format!("{inside} /nothing")).code, 2);
    assert_eq!(cluster.out(&format!("{inside} --container-entrypoint echo out")), "entered\nout");
    let terminal = cluster.out(&format!("script -qec \"{inside} --pty sh -c 'test -t 0 && echo terminal'\" /dev/null"));
    // What `script` itself makes of the end of its input may stand around it.
    assert!(terminal.contains("terminal"), "{terminal}");

    cluster.file("data", "of the node\n");
    let mounts = "--container-mounts=./data:/a/b:ro,tmpfs:/m";
    let mounted = cluster.run(&format!("{inside} {mounts} sh -c 'cat /a/b; stat -c %a /m; echo x > /a/b'"));
    assert_eq!((mounted.stdout.as_str(), mounted.code), ("of the node\n1777\n", 2));
    assert!(mounted.stderr.contains("/a/b: Read-only file system"), "{}", mounted.stderr);
    let read_only = cluster.run(&format!("PYXIS_CONTAINER_READONLY=1 {inside} touch /x"));
    assert!(read_only.stderr.contains("Read-only file system"), "{}", read_only.stderr);

    cluster.file("job.sh", "#!/bin/sh\n#SBATCH --container-image=test\necho $1; ls /here; touch /made; exit 3\n");
    let job = cluster.submit("-W -o out job.sh word || true");
    assert_eq!(cluster.read("out"), "word\n");
    assert_eq!(cluster.out(&format!("sacct -n -X -P -o State,ExitCode -j {job}")), "FAILED|3:0");
    assert_eq!(cluster.out("salloc -Q --container-image=test srun sh -c 'echo $COLOR'"), "image");
    cluster.wait("all containers to be removed", || docker.containers().is_empty());
}

fn a_container_gives_no_rights_and_says_what_is_wrong(kind: Kind) {
    let Some((docker, cluster)) = start(kind) else { return };
    let fails = |words: &str, expected: &str| {
        let ran = cluster.run(&format!("srun {words}"));
        assert!(ran.code != 0 && ran.stderr.contains(expected), "{words}: {} {}", ran.code, ran.stderr);
    };
    fails(
        "--container-image=test --container-workdir=/no true",
        "error: pyxis: chdir: /no: No such file or directory\n",
    );
    fails(
        "--container-image=test --container-mounts=/no:/x true",
        "error: pyxis: failed to mount: /no at /x: No such file",
    );
    fails(
        "--container-image=dockerd://no true",
        "error: pyxis: failed to import docker image: no such image: no:latest",
    );
    fails(
        "--container-name=no true",
        "error: pyxis: a container with name \"no\" does not exist, and --container-image",
    );
    fails("--container-name=a:b true", "srun: error: pyxis: --container-name: flag must be \"auto\", \"create\"");
    fails(
        "--container-image=test --container-mounts=a true",
        "pyxis: could not add mount entry: a:a: mount source must be",
    );
    // As another user: a set-user-ID program of the image is of no use, and paths are taken with the user's own rights.
    cluster.out("cp $(command -v id) setid && chmod 4755 setid; mkdir -p closed/in; chmod 700 closed; chmod 777 .");
    docker.docker("create --name maker test");
    let work = cluster.work();
    docker.docker(&format!("cp {}/setid maker:/bin/setid", work.display()));
    docker.commit("maker", "setid");
    docker.docker("rm maker");
    let other = |words: &str| cluster.run(&format!("chmod 755 .. && srun --uid=65534 --gid=65534 {words}"));
    let ran = other(
        "--container-image=setid sh -c 'stat -c %a /bin/setid; setid -u; whoami; grep NoNewPrivs /proc/self/status'",
    );
    assert_eq!(ran.stdout, "4755\n65534\nnobody\nNoNewPrivs:\t1\n", "{}", ran.stderr);
    let ran = other(&format!("--container-image=test --container-mounts={}/closed/in:/x ls /x", work.display()));
    assert!(ran.stderr.contains("Permission denied"), "{}", ran.stderr);
}

fn named_containers_stay_and_others_go_whatever_is_killed(kind: Kind) {
    let Some((mut docker, cluster)) = start(kind) else { return };
    cluster.out("srun -w n1 --container-image=test --container-name=kept touch /here/made");
    assert_eq!(cluster.out("srun -w n1 --container-name=kept ls /here"), "made");
    let again = cluster.run("srun -w n1 --container-image=test --container-name=kept:create true");
    assert!(again.stderr.contains("the container already exists"), "{}", again.stderr);
    let stopped = cluster.run("srun -w n1 --container-name=kept:exec true");
    assert!(stopped.stderr.contains("the container is not running"), "{}", stopped.stderr);
    let kept = docker.containers();
    assert!(kept.len() == 1 && kept[0].starts_with("pyxis-0-kept-"), "{kept:?}");

    // The daemon is killed: tasks go on, and the container is removed when it is back.
    let waiting = "'echo begin; while [ ! -e /w/go ]; do sleep 0.05; done; echo end; exit 4'";
    let mounts = "--container-mounts=.:/w";
    let job = cluster.submit(&format!("-w n1 -o survived --container-image=test {mounts} --wrap {waiting}"));
    cluster.wait("the script to begin", || cluster.read("survived") == "begin\n");
    docker.replace(|| {
        cluster.file("go", "");
        cluster.wait("the script to end", || cluster.read("survived") == "begin\nend\n");
    });
    cluster.wait("the container to be removed", || docker.containers() == kept);
    cluster.wait_state(job, "FAILED");
    assert_eq!(cluster.out(&format!("sacct -n -X -P -o State,ExitCode -j {job}")), "FAILED|4:0");

    // Agent and supervisor are killed: nothing is left of the first start.
    let job = cluster.submit("-w n1 --no-requeue -o lost --container-image=test --wrap 'echo begin; sleep 600'");
    cluster.wait("the script to begin", || cluster.read("lost") == "begin\n");
    cluster.kill("n1");
    let spool = cluster.path().join("spool/n1");
    cluster.out(&format!("pkill -9 -f 'supervisor --dir {}'", spool.display()));
    cluster.up(&[]);
    cluster.wait("the container to be removed", || docker.containers() == kept);
    cluster.wait("the job to end", || !["RUNNING", "COMPLETING"].contains(&cluster.state(job).as_str()));
}

fn images_are_fetched_once_with_the_credentials_of_the_user(kind: Kind) {
    let Some((docker, cluster)) = start(kind) else { return };
    let Some(registry) = docker.registry() else { return };
    let image = format!("{}/some/image:1", registry.name);
    docker.docker(&format!("tag test {image}"));
    cluster.wait("the registry", || std::net::TcpStream::connect(&registry.name).is_ok());
    let config = cluster.work().join("home/.docker");
    std::fs::create_dir_all(&config).unwrap();
    let auths = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}}}}", registry.name);
    std::fs::write(config.join("config.json"), auths).unwrap();
    docker.docker(&format!("--config {} push -q {image}", config.display()));
    docker.docker(&format!("rmi {image}"));
    let enroot_name = image.replacen('/', "#", 1);
    let denied = cluster.run(&format!("HOME=/nowhere srun --container-image={enroot_name} true"));
    assert!(
        denied.code == 1 && denied.stderr.contains("error: pyxis: failed to import docker image: "),
        "{}",
        denied.stderr
    );
    let line = format!("HOME=$PWD/home srun --container-image={enroot_name} sh -c 'echo $COLOR'");
    let fetched = cluster.run(&line);
    assert_eq!(fetched.stdout, "image\n", "{}", fetched.stderr);
    assert_eq!(
        fetched.stderr,
        format!("pyxis: importing docker image: {image}\npyxis: imported docker image: {image}\n")
    );
    // Once it is here the registry is not asked.
    drop(registry);
    let again = cluster.run(&line);
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("image\n", ""));
    // A registry that does not answer keeps nobody from cancelling.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = silent.local_addr().unwrap();
    let job = cluster.submit(&format!("-o waits --container-image={name}#x --wrap true"));
    cluster.wait("the import to begin", || cluster.read("waits").contains("importing docker image"));
    cluster.out(&format!("scancel {job}"));
    cluster.wait_state(job, "CANCELLED");
}

/// A user and a group of this machine that are made for a test.
struct Made {
    name: String,
}

impl Made {
    /// `None`, with words on standard error, where none can be made.
    fn user(cluster: &Cluster) -> Option<Made> {
        let name = format!("mt{}", std::process::id());
        // Others of these tests may be making theirs.
        let line = format!("flock /tmp/muster-test-users sh -c 'groupadd {name}g && useradd -M -U -G {name}g {name}'");
        let made = cluster.run(&line);
        if made.code != 0 {
            eprintln!("SKIPPED: no user can be made: {}", made.stderr);
            return None;
        }
        Some(Made { name })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let line = format!("flock /tmp/muster-test-users sh -c 'userdel {0}; groupdel {0}g'", self.name);
        let _ = std::process::Command::new("sh").args(["-c", &line]).status();
    }
}

fn a_user_is_himself_in_a_container(kind: Kind) {
    use std::os::unix::fs::MetadataExt;
    let Some((docker, cluster)) = start(kind) else { return };
    let Some(user) = Made::user(&cluster) else { return };
    let numbers = cluster.out(&format!("id -u {0}; id -g {0}; echo $(id -G {0} | tr ' ' '\\n' | sort -n)", user.name));
    let (uid, rest) = numbers.split_once('\n').unwrap();
    let (gid, groups) = rest.split_once('\n').unwrap();
    assert_ne!(gid, groups, "a second group");
    cluster.out("chmod 755 ..; chmod 777 .; mkdir -m 777 data");
    let script = "id -u; id -g; grep Groups /proc/self/status; whoami; touch /w/of-script; touch /no || echo denied\n";
    cluster.file("job.sh", &format!("#!/bin/sh\n{script}"));
    let expected = format!("{uid}\n{gid}\nGroups:\t{groups} \n{}\n", user.name);
    let options = "--container-image=test --container-mounts=$PWD/data:/w";
    cluster.out(&format!("sbatch -Q -W -o out --uid={0} --gid={gid} {options} job.sh", user.name));
    let said = cluster.read("out");
    assert!(said.starts_with(&expected) && said.ends_with("denied\n"), "{said}");
    let ran = cluster.run(&format!(
        "srun --uid={} --gid={gid} {options} sh -c 'id -u; id -g; grep Groups /proc/self/status; whoami; touch /w/of-step'",
        user.name
    ));
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
    for name in ["data/of-script", "data/of-step"] {
        let found = cluster.work().join(name).metadata().unwrap();
        assert_eq!((found.uid().to_string(), found.gid().to_string()), (uid.to_owned(), gid.to_owned()), "{name}");
    }
    cluster.wait("all containers to be removed", || docker.containers().is_empty());
}

fn what_a_job_has_to_itself_it_has_in_containers_too(kind: Kind) {
    let Some((docker, cluster)) = start(kind) else { return };
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    // A directory that the image lacks, and that of the daemon of this test with its socket.
    let private = format!(
        "Dirs={0}/own,/dev/shm,{1}\nBasePath={0}/base\nAutoBasePath=true\n",
        place.path().display(),
        docker.directory().display()
    );
    std::fs::create_dir(place.path().join("own")).unwrap();
    let inside = "srun -w n1 --container-image=test";
    let scratch = format!("{inside} sh -c 'touch $SLURM_TMPDIR/x && ls $SLURM_TMPDIR'");
    assert_eq!(cluster.out(&scratch), "x");
    std::fs::write(cluster.path().join("job_container.conf"), private).unwrap();
    std::fs::write(
        cluster.path().join("plugstack.conf"),
        "optional spank_pyxis.so container_scope=job execute_entrypoint=1\n",
    )
    .unwrap();
    cluster.out("echo JobContainerType=job_container/tmpfs >> ../slurm.conf");
    cluster.kill("n1");
    cluster.up(&[]);
    let own = place.path().join("own");
    let script = format!(
        "#!/bin/sh\necho a > {0}/a; echo b > /dev/shm/b
         {inside} --container-name=kept sh -c 'cat {0}/a /dev/shm/b; echo c > {0}/c; touch /here/made; pwd'
         cat {0}/c
         {inside} --no-container-entrypoint --container-name=kept ls /here
         {inside} --container-name=other:create --container-mounts={0}/a:/x cat /x\n",
        own.display()
    );
    cluster.file("job.sh", &script);
    let job = cluster.submit("-w n1 -o out job.sh");
    cluster.wait_state(job, "COMPLETED");
    assert_eq!(
        cluster.read("out"),
        "entered\na\nb\n/here\nc\npyxis: reusing existing container filesystem\nmade\nentered\na\n"
    );
    // Named containers have gone with their job, and others do not see them.
    cluster.wait("the containers to be removed", || docker.containers().is_empty());
    let missing = cluster.run("srun -w n1 --container-name=kept true");
    assert!(missing.stderr.contains("does not exist"), "{}", missing.stderr);
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0);

    // And they go whatever is killed.
    let job = cluster.submit(
        "-w n1 --no-requeue -o lost --container-image=test --container-name=lost --wrap 'echo begin; sleep 600'",
    );
    cluster.wait("the script to begin", || cluster.read("lost").ends_with("begin\n"));
    let spool = cluster.path().join("spool/n1");
    cluster.kill("n1");
    cluster.out(&format!("pkill -9 -f 'supervisor --dir {}'", spool.display()));
    cluster.up(&[]);
    cluster.wait("the job to end", || !["RUNNING", "COMPLETING"].contains(&cluster.state(job).as_str()));
    cluster.wait("the container to be removed", || docker.containers().is_empty());
}

/// Of the daemons of these tests: many are started on one machine.
fn nothing_of_a_daemon_stays(kind: Kind) {
    let Some(mut docker) = Docker::start(kind) else { return };
    let directory = docker.directory();
    docker.docker(
        "run -d --stop-timeout 1 --ulimit nofile=999 --ulimit nproc=999 --net host --entrypoint sleep test 600",
    );
    docker.replace(|| {});
    assert!(!mounts(&directory).is_empty());
    drop(docker);
    assert_eq!((mounts(&directory), directory.exists()), (Vec::new(), false));
}
