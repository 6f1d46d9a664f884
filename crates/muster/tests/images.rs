//! Tasks of dstack in images, with a real daemon of Docker or Podman: the runner starts them, and people come in with the real `ssh`, `scp` and
//! `rsync`.

mod support;

use support::Cluster;
use support::docker::{Docker, Kind};
use support::image;

mod docker {
    use super::Kind::Docker;

    #[test]
    fn people_come_into_the_container_of_a_task_and_its_end_is_that_of_the_run() {
        super::people_come_into_the_container_of_a_task_and_its_end_is_that_of_the_run(Docker);
    }

    #[test]
    fn what_is_wrong_with_an_image_is_told_in_the_log() {
        super::what_is_wrong_with_an_image_is_told_in_the_log(Docker);
    }

    #[test]
    fn registries_are_told_what_the_task_says_and_nobody_else_is() {
        super::registries_are_told_what_the_task_says_and_nobody_else_is(Docker);
    }
}

mod podman {
    use super::Kind::Podman;

    #[test]
    fn people_come_into_the_container_of_a_task_and_its_end_is_that_of_the_run() {
        super::people_come_into_the_container_of_a_task_and_its_end_is_that_of_the_run(Podman);
    }

    #[test]
    fn what_is_wrong_with_an_image_is_told_in_the_log() {
        super::what_is_wrong_with_an_image_is_told_in_the_log(Podman);
    }

    #[test]
    fn registries_are_told_what_the_task_says_and_nobody_else_is() {
        super::registries_are_told_what_the_task_says_and_nobody_else_is(Podman);
    }
}

const TASK: &str = "
type: task
name: inside
image: visited
env: [TOKEN=a-secret-word, COLOR=mine]
working_dir: /tmp
volumes: ['@W:/w']
resources: {cpu: 1.., memory: 100MB.., disk: 1GB.., shm_size: 32MB}
commands:
  - echo $TOKEN $COLOR $DSTACK_RUN_NAME $DSTACK_WORKING_DIR; pwd; echo $HOME
  - test -t 1 && echo terminal
  - stat -f -c '%b x %S' /dev/shm
  - while [ ! -e /w/go ]; do sleep 0.05; done
  - exit 5
";

fn people_come_into_the_container_of_a_task_and_its_end_is_that_of_the_run(kind: Kind) {
    let Some(mut docker) = Docker::start(kind) else { return };
    image::runner();
    let cluster = Cluster::start_with(&["--nodes", "2"], &[("DOCKER_HOST", docker.host())]);
    image::make(&docker, &cluster);
    // Keys of its own.
    cluster.out("mkdir home");
    let mine = |line: &str| format!("export HOME=$PWD/home; {line}");
    cluster.file("task.dstack.yml", &TASK.replace("@W", &cluster.work().display().to_string()));
    cluster.out(&mine("muster apply -f task.dstack.yml -y -d"));
    let log = || cluster.run("muster logs inside").stdout.replace('\r', "");
    cluster.wait("the commands to begin", || log().contains(" x "));
    assert_eq!(log(), "a-secret-word mine inside /tmp\n/tmp\n/root\nterminal\n8192 x 4096\n");

    // Nobody else sees what it was given.
    let seen = docker.docker(&format!("inspect {}", docker.containers().join(" ")));
    assert!(seen.contains("muster.unit") && !seen.contains("a-secret-word"), "{seen}");
    let lines = cluster.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").stdout;
    assert!(!lines.contains("a-secret-word"));
    assert!(!cluster.out("scontrol show job; squeue -O all; muster ps -a --json").contains("a-secret-word"));

    // The user's own clients.
    assert_eq!(cluster.out(&mine("muster ssh inside 'echo $TOKEN; cat /proc/self/comm'")), "a-secret-word\ncat");
    assert_eq!(cluster.run(&mine("muster ssh inside exit 7")).code, 7);
    cluster.file("data", "of the user\n");
    let copied = "muster ssh inside --config > conf; scp -q -F conf data inside:/tmp/a && \
                  rsync -e 'ssh -F conf' data inside:/tmp/b && ssh -F conf inside 'cat a b' && \
                  scp -q -F conf inside:/tmp/b back && cat back";
    assert_eq!(cluster.out(&mine(copied)), "of the user\nof the user\nof the user");
    let stranger = cluster.run("mkdir -p other/.muster/ssh; export HOME=$PWD/other; ssh-keygen -q -t ed25519 -N '' -f other/.muster/ssh/id_ed25519; muster ssh inside true");
    assert!(stranger.code == 255 && stranger.stderr.contains("Permission denied"), "{}", stranger.stderr);

    // The end is that of the run, also without Docker.
    docker.replace(|| {
        cluster.file("go", "");
        cluster.wait("the run to end", || cluster.out("squeue -h").is_empty());
    });
    assert_eq!(cluster.out("sacct -n -X -P -o State,ExitCode --name=inside"), "FAILED|5:0");
    cluster.wait("the container to be removed", || docker.containers().is_empty());
    assert_eq!(cluster.run("ls spool/*/containers/entrance.* 2>/dev/null").stdout, "");
    let late = cluster.run(&mine("muster ssh inside true"));
    assert!(late.code == 1 && late.stderr.contains("run inside is failed"), "{}", late.stderr);
}

fn what_is_wrong_with_an_image_is_told_in_the_log(kind: Kind) {
    let Some(docker) = Docker::start(kind) else { return };
    image::runner();
    let cluster = Cluster::start_with(&["--nodes", "1"], &[("DOCKER_HOST", docker.host())]);
    let task = |image: &str, more: &str| {
        format!(
            "type: task\nname: wrong\nimage: {image}\ncommands: [echo hello]\nresources: {{cpu: 1.., memory: 100MB.., disk: 1GB..}}\n{more}"
        )
    };
    let says = |text: &str, expected: &str| {
        cluster.file("task.dstack.yml", text);
        let ran = cluster.run("mkdir -p home; HOME=$PWD/home muster apply -f task.dstack.yml -y");
        assert!(ran.code == 1 && ran.stdout.contains(expected), "{} {}", ran.stdout, ran.stderr);
    };
    says(&task("dockerd://no", ""), "container: failed to import docker image: no such image: no:latest");
    says(&task("test", "working_dir: /no\n"), "container: chdir: /no: No such file or directory");
    says(&task("test", "volumes: ['/no:/x']\n"), "container: failed to mount: /no at /x: No such file");
    cluster.wait("all containers to be removed", || docker.containers().is_empty());
}

fn registries_are_told_what_the_task_says_and_nobody_else_is(kind: Kind) {
    let Some(docker) = Docker::start(kind) else { return };
    let Some(registry) = docker.registry() else { return };
    image::runner();
    let cluster = Cluster::start_with(&["--nodes", "1"], &[("DOCKER_HOST", docker.host())]);
    image::make(&docker, &cluster);
    let name = format!("{}/some/image:1", registry.name);
    docker.docker(&format!("tag visited {name}"));
    cluster.wait("the registry", || std::net::TcpStream::connect(&registry.name).is_ok());
    cluster.out("mkdir -p home config");
    let auths = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}}}}", registry.name);
    cluster.file("config/config.json", &auths);
    docker.docker(&format!("--config {}/config push -q {name}", cluster.work().display()));
    docker.docker(&format!("rmi {name}"));
    let run = |auth: &str| {
        let text = format!(
            "type: task\nname: told\nimage: {name}\nenv: [PASSWORD]\n{auth}privileged: true\n\
             commands: ['env; test -e /dev/kmsg && echo all devices']\nresources: {{cpu: 1.., memory: 100MB.., disk: 1GB..}}\n"
        );
        cluster.file("task.dstack.yml", &text);
        cluster.run("PASSWORD=secret HOME=$PWD/home muster apply -f task.dstack.yml -y --force")
    };
    let refused = run("");
    assert!(refused.code == 1 && refused.stdout.contains("failed to import docker image"), "{}", refused.stdout);
    let taken = run("registry_auth: {username: user, password: '${{ env.PASSWORD }}'}\n");
    assert!(taken.code == 0 && taken.stdout.contains("all devices"), "{} {}", taken.stdout, taken.stderr);
    assert!(!taken.stdout.contains("REGISTRY_AUTH"), "{}", taken.stdout);
    assert!(!cluster.out("scontrol show job; squeue -O all -t all; muster ps -a --json; sacct -l").contains("secret"));
}
