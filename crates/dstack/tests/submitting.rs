//! Tasks in, jobs out.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_dstack::Configuration;
use muster_dstack::run::{PlanView, offers, plan_text};
use muster_dstack::task::{Applicant, ClusterView, Overrides, Submission, submission};
use muster_dstack::values::Env;
use muster_model::ids::{Identity, NodeIndex};
use muster_model::job::JobKind;
use muster_model::node::Node;
use muster_model::partition::Partition;
use muster_model::resources::{Megabytes, MemoryRequest};
use serde_json::json;

/// Four nodes: n0 and n1 with 16 CPUs and four A100, n2 small, n3 with ARM CPUs; partitions `debug` (all) and `gpu`.
struct Cluster {
    nodes: Vec<Arc<Node>>,
    partitions: Vec<Arc<Partition>>,
}

impl Cluster {
    fn new() -> Cluster {
        let node = |name: &str, cpus: u32, memory: u64, gpus: u64, architecture: &str| -> Arc<Node> {
            let gres = if gpus > 0 { json!([{ "name": "gpu", "kind": "a100", "count": gpus }]) } else { json!([]) };
            let node = json!({
                "config": {
                    "name": name, "host_name": format!("{name}.example.org"), "address": "10.0.0.1", "weight": 1,
                    "hardware": {
                        "cpus": cpus, "boards": 1, "sockets": 1, "cores_per_socket": cpus, "threads_per_core": 1,
                        "memory": memory, "tmp_disk": 0, "gres": gres,
                    },
                },
                "health": "up",
                "report": {
                    "architecture": architecture, "operating_system": "", "version": "", "boot_time": 0,
                    "agent_start_time": 0, "load_hundredths": 0, "memory_free": 0,
                },
            });
            serde_json::from_value(node).expect("a node")
        };
        let partition = |name: &str, nodes: &[u32], default: bool| -> Arc<Partition> {
            let partition = json!({
                "name": name, "node_list": "", "nodes": nodes.iter().copied().map(NodeIndex).collect::<Vec<_>>(),
                "default": default, "state": "up", "time_default": { "limited": 600_000 },
                "time_max": { "limited": 3_600_000 }, "nodes_min": 0, "priority_tier": 1, "priority_job_factor": 1,
                "over_subscribe": "no", "hidden": false, "root_only": false,
            });
            serde_json::from_value(partition).expect("a partition")
        };
        Cluster {
            nodes: vec![
                node("n0", 16, 64_000, 4, "x86_64"),
                node("n1", 16, 64_000, 4, "x86_64"),
                node("n2", 4, 4000, 0, "x86_64"),
                node("n3", 8, 16_000, 0, "aarch64"),
            ],
            partitions: vec![partition("debug", &[0, 1, 2, 3], true), partition("gpu", &[0, 1], false)],
        }
    }

    fn view(&self) -> ClusterView<'_> {
        ClusterView { nodes: &self.nodes, partitions: &self.partitions }
    }
}

fn submit_with(text: &str, overrides: &Overrides, cluster: &ClusterView<'_>) -> Result<Submission, String> {
    let identity = Identity { uid: 1000, gid: 1000, user: "alice".into(), group: "users".into() };
    let environment = [("PATH", "/usr/bin"), ("HOME", "/home/alice"), ("HF_TOKEN", "abc"), ("OTHER", "x")];
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let applicant = Applicant {
        identity: &identity,
        project: "main",
        environment: &environment,
        configuration_dir: "/home/alice/project/conf",
        current_dir: "/home/alice/project",
        host: "login",
        session: 1,
        command_line: "muster apply",
        umask: 0o022,
        limits: &[(7, 1024)],
    };
    let task = Configuration::from_yaml(text).and_then(Configuration::into_task);
    let task = task.unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    submission(task, "calm-otter-1", &applicant, overrides, cluster).map_err(|problems| problems.render("f"))
}

/// A task with `lines`, on the sample cluster.
#[track_caller]
fn submit(lines: &str) -> Submission {
    let text = format!("type: task\n{lines}\n");
    submit_with(&text, &Overrides::default(), &Cluster::new().view())
        .unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

#[track_caller]
fn refused(lines: &str, expected: &str) {
    let text = format!("type: task\n{lines}\n");
    let problems = submit_with(&text, &Overrides::default(), &Cluster::new().view()).expect_err(&text);
    assert_eq!(problems.trim_end(), expected, "{text}");
}

const COMMANDS: &str = "commands: [a]\n";

#[test]
fn a_plain_task_becomes_a_job() {
    let submission = submit("name: train\ncommands: [echo one, 'echo two # last']\nenv: [A=1, HF_TOKEN]");
    let spec = &submission.spec;
    assert_eq!((&*spec.name, spec.kind, &*spec.work_dir), ("train", JobKind::EveryNode, "/home/alice/project"));
    assert_eq!((spec.request.nodes_min, spec.request.nodes_max, spec.request.tasks), (1, Some(1), 1));
    assert_eq!(spec.request.cpus_per_task, 2, "dstack's default");
    assert_eq!(spec.request.memory, Some(MemoryRequest::PerNode(Megabytes(8000))), "the CPUs' share of n0");
    assert!(spec.request.gres.is_empty() && spec.partitions.is_empty() && spec.priority.is_none());
    assert_eq!(spec.time_limit.unwrap().to_string(), "01:00:00", "as far as the partition allows");
    assert_eq!(spec.requeue, Some(false));
    assert_eq!(
        submission.script,
        "#!/bin/bash
echo one

MUSTER_CODE=$?; [ \"$MUSTER_CODE\" -eq 0 ] || exit \"$MUSTER_CODE\"
echo two # last

MUSTER_CODE=$?; [ \"$MUSTER_CODE\" -eq 0 ] || exit \"$MUSTER_CODE\"
"
    );
    assert_eq!(submission.context.environment, ["A=1", "HF_TOKEN=abc", "HOME=/home/alice", "PATH=/usr/bin"]);
    assert_eq!((submission.context.umask, &submission.context.limits[..]), (0o022, &[(7, 1024)][..]));
    assert_eq!(submission.notices, [""; 0]);
}

#[test]
fn what_others_can_see_has_no_values_of_variables() {
    let lines = "commands: [a]\nenv: [A=secret, HF_TOKEN]\nimage: x\nregistry_auth: {username: u, password: hidden}";
    let submission = submit(lines);
    let run = submission.spec.run.as_ref().unwrap();
    let shown = serde_json::to_string(&submission.spec).unwrap();
    assert!(!shown.contains("secret") && !shown.contains("hidden") && !shown.contains("abc"), "{shown}");
    let auth = r#"MUSTER_REGISTRY_AUTH={"password":"hidden","username":"u"}"#;
    assert!(submission.context.environment.iter().any(|line| line == auth));
    let auth = |words: &str| {
        let lines =
            format!("commands: [a]\nenv: [A=secret]\nimage: x\nregistry_auth: {{username: u, password: '{words}'}}");
        submit(&lines).context.environment.into_iter().find(|line| line.starts_with("MUSTER_REGISTRY_AUTH"))
    };
    let found = auth("${{ env.A }}-x");
    assert_eq!(found.as_deref(), Some(r#"MUSTER_REGISTRY_AUTH={"password":"secret-x","username":"u"}"#));
    assert_eq!((&*run.run_name, &*run.project), ("calm-otter-1", "main"));
    let read = Configuration::from_json(&run.configuration).unwrap().into_task().unwrap();
    assert_eq!(read.base.name.as_deref(), Some("calm-otter-1"));
    assert_eq!(read.base.env.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["A", "HF_TOKEN"]);
}

#[test]
fn resources_are_asked_of_each_node() {
    let check = |lines: &str, expected: &str| {
        let request = submit(&format!("{COMMANDS}{lines}")).spec.request;
        let gres: Vec<String> = request.gres.iter().map(|gres| format!(" {}", gres.gres)).collect();
        let Some(MemoryRequest::PerNode(memory)) = request.memory else { panic!("{:?}", request.memory) };
        let shown = format!("{} x {} cpus {} mb{}", request.nodes_min, request.cpus_per_task, memory.0, gres.concat());
        assert_eq!(shown, expected, "{lines}");
        assert_eq!((request.tasks, request.tasks_per_node), (request.nodes_min, Some(1)));
    };
    check("nodes: 2\nresources: {cpu: 8.., memory: 16GB..}", "2 x 8 cpus 16384 mb");
    check("resources: {cpu: 1, memory: 512MB}", "1 x 1 cpus 512 mb");
    check("resources: {gpu: 2}", "1 x 2 cpus 8000 mb gpu:2");
    check("resources: {gpu: 'A100:2..4'}", "1 x 2 cpus 8000 mb gpu:a100:2");
    check("resources: {gpu: 'H100,A100'}", "1 x 2 cpus 8000 mb gpu:a100:1");
    check("resources: {gpu: 'H100:8'}", "1 x 2 cpus 8000 mb gpu:h100:8");
    check("resources: {gpu: 0..}", "1 x 2 cpus 8000 mb");
    check("resources: {gpu: {count: 1, name: A100}}", "1 x 2 cpus 8000 mb gpu:a100:1");
    check("fleets: [gpu]\nresources: {cpu: ..4}", "1 x 2 cpus 8000 mb");
}

#[test]
fn defaults_shrink_to_small_nodes() {
    let small = Cluster::new();
    let small = Cluster { nodes: vec![small.nodes[2].clone()], partitions: vec![small.partitions[0].clone()] };
    let submission = submit_with("type: task\ncommands: [a]", &Overrides::default(), &small.view()).unwrap();
    assert_eq!(submission.spec.request.memory, Some(MemoryRequest::PerNode(Megabytes(2000))));
    let unknown = submit_with("type: task\ncommands: [a]", &Overrides::default(), &ClusterView::default()).unwrap();
    assert_eq!((unknown.spec.request.cpus_per_task, unknown.spec.request.memory), (1, None));
}

#[test]
fn fleets_are_partitions_and_instances_are_nodes() {
    let check = |lines: &str, expected: (&str, Option<&str>, Option<&str>)| {
        let spec = submit(&format!("{COMMANDS}{lines}")).spec;
        let partitions = spec.partitions.join(",");
        let request = &spec.request;
        let found = (&*partitions, request.nodes_required.as_deref(), request.nodes_excluded.as_deref());
        assert_eq!(found, expected, "{lines}");
    };
    check("fleets: [gpu, other/debug]", ("gpu,debug", None, None));
    check("instances: [n1]", ("", Some("n1"), None));
    check("instances: [n1, n2]", ("", None, Some("n0,n3")));
    check("nodes: 2\ninstances: [n1, {hostname: n2.example.org}]", ("", Some("n1,n2"), None));
    check("instances: [{fleet: gpu, instance: 1}]", ("", Some("n1"), None));
    check("resources: {cpu: 'arm:2'}", ("", None, Some("n0,n1,n2")));
    refused("commands: [a]\ninstances: [n9]", "f: instances: there is no node n9");
    refused("commands: [a]\nnodes: 2\ninstances: [n1]", "f: instances: 1 given, but the task has 2 nodes");
}

#[test]
fn limits_priorities_and_retries() {
    let spec = |lines: &str| submit(&format!("{COMMANDS}{lines}")).spec;
    assert_eq!(spec("max_duration: 90").time_limit.unwrap().span().unwrap().seconds(), 90);
    assert_eq!(spec("max_duration: 2h").time_limit.unwrap().to_string(), "02:00:00");
    assert_eq!((spec("priority: 50").priority, spec("priority: 50").site_factor), (None, 32_500));
    assert_eq!(spec("priority: 0").site_factor, 0);
    assert_eq!(spec("retry: {on_events: [interruption]}").requeue, Some(true));
    assert_eq!(spec("retry: {on_events: [error]}").requeue, Some(false));
}

#[test]
fn the_directory_follows_the_files() {
    let directory = |lines: &str| submit(&format!("{COMMANDS}{lines}")).spec.work_dir.to_string();
    assert_eq!(directory("working_dir: /data/../work"), "/work");
    assert_eq!(directory("repos: [.]"), "/home/alice/project/conf");
    assert_eq!(directory("repos: [..]"), "/home/alice/project");
    assert_eq!(directory("repos: ['~/code']"), "/home/alice/code");
    assert_eq!(directory("files: [train.py]"), "/home/alice/project/conf");
    refused("commands: [a]\nworking_dir: rel", "f: working_dir: \"rel\" must be an absolute path");
}

#[test]
fn scripts_follow_the_shell() {
    let script = |lines: &str| submit(lines).script;
    assert!(script("commands: [a]\nshell: sh").starts_with("#!/bin/sh\na\n"));
    assert!(script("commands: [a]\nshell: /usr/bin/zsh").starts_with("#!/usr/bin/zsh\na\n"));
    assert_eq!(script("commands: [a, 'b &', c]\nshell: /usr/bin/fish"), "#!/usr/bin/fish\na && { b & } && c\n");
    assert_eq!(
        script("entrypoint: bash -c\ncommands: ['echo $X', 'it''s']"),
        "#!/bin/bash\nexec bash -c 'echo $X' 'it'\"'\"'s'\n"
    );
    assert!(script("commands: [a]\nnodes: 2").contains("DSTACK_MPI_HOSTFILE=$(mktemp)"));
    assert!(!script("commands: [a]").contains("mktemp"));
    refused("image: x", "f: commands: an image's own command cannot be run yet by this version; give commands");
    refused("entrypoint: \"'open\"\ncommands: [a]", "f: entrypoint: \"'open\" is no command line");
}

#[test]
fn an_image_makes_a_container() {
    let submission = submit(
        "image: org/x:1\ncommands: [a]\nenv: [A=1, HOME=/h]\nworking_dir: /w\nresources: {shm_size: 64MB}\nvolumes: ['/data:/mnt']",
    );
    let container = submission.spec.rare.as_ref().and_then(|rare| rare.container.as_ref()).unwrap();
    assert_eq!(
        serde_json::to_string(container).unwrap(),
        r#"{"image":"org/x:1","mounts":[{"source":{"path":"/data"},"target":"/mnt"}],"work_dir":"/w","environment":["A","HOME"],"runner":{"shm_megabytes":64,"account_variables":["HOME=/h"]}}"#
    );
    assert!(submission.script.starts_with("#!/bin/sh\n"), "{}", submission.script);
    assert_eq!((&*submission.spec.work_dir, submission.context.environment.join(" ").as_str()), ("/", "A=1 HOME=/h"));
}

#[test]
fn the_command_line_wins() {
    let mut overrides = Overrides {
        name: Some("other".to_owned()),
        env: ["A=2", "OTHER", "NEW=3"].iter().map(|item| Env::parse_item(item).unwrap()).collect(),
        run_args: vec!["--lr".to_owned(), "a b".to_owned()],
        ..Overrides::default()
    };
    for (property, words) in [("cpu", "4.."), ("max_duration", "5m"), ("fleet", "gpu")] {
        overrides.set(property, words).unwrap();
    }
    let text = "type: task\nname: train\ncommands: ['python ${{ run.args }} x']\nenv: [A=1]\nmax_duration: 2h\nresources: {cpu: 1, gpu: 1}";
    let submission = submit_with(text, &overrides, &Cluster::new().view()).unwrap();
    let spec = &submission.spec;
    assert_eq!(&*spec.name, "other");
    assert_eq!((spec.request.cpus_per_task, spec.request.gres.len()), (4, 1));
    assert_eq!((spec.time_limit.unwrap().to_string().as_str(), &*spec.partitions[0]), ("00:05:00", "gpu"));
    assert!(overrides.set("cpu", "x").is_err() && overrides.set("nodes", "1").is_err());
    assert!(submission.script.contains("python --lr 'a b' x\n"), "{}", submission.script);
    assert_eq!(submission.context.environment, ["A=2", "HOME=/home/alice", "NEW=3", "OTHER=x", "PATH=/usr/bin"]);
}

#[test]
fn what_cannot_be_done_is_refused() {
    refused(
        "commands: ['x ${{ secrets.key }}']\nenv: ['T=${{ secrets.token }}']",
        concat!(
            "f: commands[0]: secrets.key: this version keeps no secrets yet; pass the value with -e or from your environment\n",
            "f: env.T: secrets.token: this version keeps no secrets yet; pass the value with -e or from your environment",
        ),
    );
    refused("commands: ['${{ run.name }}']", "f: commands[0]: there is no run.name here; commands know run.args");
    refused("commands: ['${{ x']", "f: commands[0]: `${{` without `}}`");
    refused("commands: [a]\nenv: [MISSING]", "f: env.MISSING: is taken from your environment, but is not set there");
    refused(
        "commands: [a]\nschedule: {cron: 0 8 * * *}",
        "f: schedule: runs at set times are not started yet by this version",
    );
    refused(
        "groups: [{commands: [a]}]",
        "f: groups: groups of nodes that differ are not run yet by this version\nf: commands: an image's own command cannot be run yet by this version; give commands",
    );
}

#[test]
fn what_is_not_done_is_said() {
    let check = |lines: &str, expected: &[&str]| {
        assert_eq!(submit(&format!("{COMMANDS}{lines}")).notices, expected, "{lines}");
    };
    check("image: org/x:1\nuser: root", &["user: runs as alice, not as root"]);
    check("image: org/x:1\nrepos: [.]", &["repos: . is not copied into the container"]);
    check(
        "python: 3.12",
        &["runs as a process, since there is no image; python: 3.12 is not provided; the node's own is used"],
    );
    check("docker: true", &["runs as a process, since there is no image; docker: none is provided"]);
    check("user: root", &["user: runs as alice, not as root"]);
    check("user: '1000'", &[]);
    check(
        "repos: [.]",
        &["repos: not copied; the run starts in /home/alice/project/conf, which must be there on the nodes"],
    );
    check("repos: ['https://example.org/a']", &["repos: https://example.org/a is not cloned"]);
    check("files: [train.py]", &[]);
    check("files: ['../configs:~/configs']", &["files: ../configs is not copied to ~/configs"]);
    check(
        "volumes: ['/data:/data', '/a:/b', 'v:/c']",
        &["volumes: /a is not mounted at /b", "volumes: nothing is mounted at /c"],
    );
    check("ports: [80]", &["ports: not forwarded; they are those of the node"]);
    check(
        "nodes: 2\nstop_criteria: master-done\nstartup_order: workers-first",
        &[
            "startup_order: workers-first is not kept; all nodes start together",
            "stop_criteria: master-done is not done; the run ends when all nodes are done",
        ],
    );
    check(
        "retry: {on_events: [no-capacity, error], duration: 48h}",
        &[
            "retry: the run waits in the queue until there is room, not only for 2d",
            "retry: a run that fails is not started again",
        ],
    );
    check("backends: [aws]\nmax_price: 2", &["backends, max_price: no effect on a cluster's own nodes"]);
    check(
        "resources: {disk: 100GB, shm_size: 8GB}",
        &[
            "resources.disk: not looked at; 100GB must be free on the nodes",
            "resources.shm_size: not set; a process shares /dev/shm of its node (8GB wished)",
        ],
    );
    check(
        "resources: {gpu: 'nvidia:24GB:1'}",
        &["resources.gpu: vendor, memory not looked at; nodes say only how many GPUs they have, and of what type"],
    );
    check(
        "spot_policy: auto\nmax_duration: 5m\nsingle_branch: true\nhome_dir: /root",
        &["single_branch, home_dir: no effect on tasks"],
    );
}

#[test]
fn a_plan_shows_what_will_be_done() {
    let cluster = Cluster::new();
    let text = "type: task\nname: train\ncommands: [a]\nresources: {gpu: 'A100:2'}\nretry: true\nmax_duration: 2h";
    let submission = submit_with(text, &Overrides::default(), &cluster.view()).unwrap();
    let found = offers(&submission.spec, &cluster.view());
    let plan = PlanView {
        project: "main",
        user: "alice",
        file: "train.dstack.yml",
        task: &submission.configuration,
        offers: &found,
        offers_max: 3,
        verbose: false,
        width: None,
    };
    assert_eq!(
        plan_text(&plan),
        " Project        main
 User           alice
 Configuration  train.dstack.yml
 Type           task (nodes=1)
 Resources      cpu=2.. mem=8GB.. disk=100GB.. gpu=A100:2
 Spot policy    on-demand
 Max price      off
 Retry policy   1h[no-capacity, interruption, error]
 Idle duration  -
 Max duration   2h

 #  BACKEND         RESOURCES                     INSTANCE TYPE  PRICE
 1  muster (debug)  cpu=16 mem=62.5GB gpu=a100:4  n[0-1]         $0     idle
"
    );
    let none = PlanView { offers: &[], ..plan };
    assert!(plan_text(&none).ends_with("\nNo node is large enough for this run, or none may be used for it.\n"));
    let many = submit_with("type: task\ncommands: [a]\nnodes: 5", &Overrides::default(), &cluster.view()).unwrap();
    let found = offers(&many.spec, &cluster.view());
    let plan = plan_text(&PlanView { task: &many.configuration, offers: &found, offers_max: 1, ..plan });
    assert!(plan.contains(" Shown 1 of 2 offers, $0 max\nThe run needs 5 nodes; only 3 are large enough"), "{plan}");
}
