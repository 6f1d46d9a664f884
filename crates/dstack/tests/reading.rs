//! Configuration files in, JSON or the list of what is wrong out.

use muster_dstack::Configuration;

/// The JSON form of a good file; what is wrong with a bad one.
fn read(text: &str) -> String {
    match Configuration::from_yaml(text) {
        Ok(configuration) => {
            let json = configuration.to_json();
            let again = Configuration::from_json(&json).unwrap_or_else(|problems| panic!("{json}: {problems}"));
            assert_eq!(again, configuration, "{json}");
            json
        }
        Err(problems) => problems.render("f").trim_end().to_owned(),
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(read(text), expected, "{text}");
}

/// A file that is read, whatever it means.
#[track_caller]
fn good(text: &str) {
    assert!(read(text).starts_with('{'), "{text}\n{}", read(text));
}

/// A task with `lines` beside its commands.
#[track_caller]
fn bad_task(lines: &str, expected: &str) {
    check(&format!("type: task\ncommands: [a]\n{lines}\n"), expected);
}

#[test]
fn the_smallest_task() {
    check(
        "type: task\ncommands: [echo hi]\n",
        r#"{"type":"task","privileged":false,"env":{},"resources":{},"volumes":[],"repos":[],"files":[],"dstack":false,"ports":[],"commands":["echo hi"]}"#,
    );
}

#[test]
fn a_task_with_everything() {
    let text = "
type: task
name: train-all
image: example.org/pytorch:2
user: 1000:1000
privileged: true
entrypoint: bash -c
working_dir: /work
registry_auth: {username: me, password: '${{ secrets.token }}'}
env: [A=1, B=x=y, C=]
shell: /usr/bin/zsh
resources: {cpu: 'x86:4..', memory: 16GB.., shm_size: 8GB, gpu: 'A100:80GB:2..8', disk: 500GB..}
priority: 50
volumes: ['data:/data', '/host/cache:/cache', {name: [v1, v2], path: /v}, {instance_path: /x, path: /y, optional: true}]
repos: ['https://example.org/a/b:/src']
files: [train.py, '../configs:~/configs']
nodes: 4
ports: [6006, '8080:80', '*:9000', {container_port: 22}]
backends: [aws, gcp]
regions: [eu-west-1]
spot_policy: auto
retry: {on_events: [no-capacity, error], duration: 48h}
max_duration: 2h
stop_duration: off
max_price: 1.5
creation_policy: reuse
idle_duration: off
utilization_policy: {min_gpu_utilization: 10, time_window: 1h}
startup_order: workers-first
stop_criteria: master-done
schedule: {cron: 0 8 * * mon-fri}
fleets: [mine, team-a/theirs]
instances: [n1, {hostname: n2.example.org}, {fleet: mine, instance: 0}]
tags: {team: ml}
backend_options: [{type: vastai, offer_order: price}]
commands:
  - python train.py
      --epochs 3
  - |
    echo one
    echo two
";
    check(
        text,
        concat!(
            r#"{"type":"task","name":"train-all","image":"example.org/pytorch:2","user":"1000:1000","privileged":true,"#,
            r#""entrypoint":"bash -c","working_dir":"/work","registry_auth":{"username":"me","password":"${{ secrets.token }}"},"#,
            r#""env":{"A":"1","B":"x=y","C":""},"shell":"/usr/bin/zsh","resources":{"cpu":{"arch":"x86","count":{"min":4,"max":null}},"#,
            r#""memory":{"min":16.0,"max":null},"shm_size":8.0,"gpu":{"vendor":null,"name":["A100"],"count":{"min":2,"max":8},"#,
            r#""memory":{"min":80.0,"max":80.0},"total_memory":null,"compute_capability":null},"disk":{"size":{"min":500.0,"max":null}}},"#,
            r#""priority":50,"volumes":[{"name":"data","path":"/data"},{"instance_path":"/host/cache","path":"/cache","optional":false},"#,
            r#"{"name":["v1","v2"],"path":"/v"},{"instance_path":"/x","path":"/y","optional":true}],"#,
            r#""repos":[{"url":"https://example.org/a/b","path":"/src","if_exists":"error"}],"#,
            r#""files":[{"local_path":"train.py","path":"train.py"},{"local_path":"../configs","path":"~/configs"}],"dstack":false,"#,
            r#""backends":["aws","gcp"],"regions":["eu-west-1"],"spot_policy":"auto","retry":{"on_events":["no-capacity","error"],"duration":172800},"#,
            r#""max_duration":7200,"stop_duration":"off","max_price":1.5,"creation_policy":"reuse","idle_duration":-1,"#,
            r#""utilization_policy":{"min_gpu_utilization":10,"time_window":3600},"startup_order":"workers-first","stop_criteria":"master-done","#,
            r#""schedule":{"cron":["0 8 * * mon-fri"]},"fleets":[{"project":null,"name":"mine"},{"project":"team-a","name":"theirs"}],"#,
            r#""instances":[{"name":"n1"},{"hostname":"n2.example.org"},{"fleet":{"project":null,"name":"mine"},"instance":0}],"#,
            r#""tags":{"team":"ml"},"backend_options":[{"type":"vastai","offer_order":"price"}],"nodes":4,"#,
            r#""ports":[{"local_port":6006,"container_port":6006},{"local_port":8080,"container_port":80},"#,
            r#"{"local_port":null,"container_port":9000},{"local_port":null,"container_port":22}],"#,
            r#""commands":["python train.py --epochs 3","echo one\necho two\n"]}"#,
        ),
    );
}

/// The spellings that are met in the wild.
#[test]
fn usual_spellings_are_read() {
    for lines in [
        "python: 3.10",
        "python: '3.12'",
        "python: 3.9",
        "resources: {gpu: 1}",
        "resources: {gpu: 24GB}",
        "resources: {gpu: 'H100:8'}",
        "resources: {gpu: 'nvidia:1..8', shm_size: 16GB}",
        "resources: {gpu: 40GB..80GB:1..8}",
        "resources: {gpu: tpu-v5litepod-8}",
        "resources: {gpu: {name: T4, memory: 16GB.., count: 1..}}",
        "resources: {gpu: {name: [A100, H100], compute_capability: 7.5}}",
        "resources: {cpu: 8, memory: 32GB, disk: 300Gb}",
        "resources: {cpu: 4..8, disk: {size: 100GB..}}",
        "resources: {memory: {min: 8, max: 16GB}}",
        "env: {A: text, B: 5, C: 0.5, D: true}",
        "env: [HF_TOKEN, LR=0.001]",
        "max_duration: off",
        "max_duration: 90",
        "retry: true",
        "retry: {on_events: [no-capacity], duration: 48h}",
        "repos: [.]",
        "repos: [{local_path: .., path: my_repo, if_exists: skip}]",
        "repos: [{url: 'git@example.org:a/b.git', branch: main}]",
        "files: ['.:examples', '~/.ssh/id_rsa']",
        "volumes: [{name: cache, path: /checkpoints, instance: true}]",
        "volumes: ['/a:/b']",
        "user: ubuntu",
        "shell: bash",
        "fleets: [{name: a}, b]",
        "docker: true",
        "nvcc: true",
        "schedule: {cron: ['15 23 * * *', '0 8 * * mon-fri']}",
        "setup: [pip install x]",
        "name: a1-b",
    ] {
        good(&format!("type: task\ncommands: [a]\n{lines}\n"));
    }
    good("commands: [a]\ntype: task");
    good("type: task\nimage: x");
    good("{\"type\": \"task\", \"commands\": [\"a\"]}");
    good("x: &a [one, two]\n".replace("x: &a", "type: task\ncommands:").as_str());
}

#[test]
fn groups_are_named_by_their_number() {
    check(
        "type: task\ngroups:\n  - {commands: [a], name: head}\n  - {nodes: 2, commands: [b], resources: {gpu: 'H100:8'}}\n",
        concat!(
            r#"{"type":"task","privileged":false,"env":{},"resources":{},"volumes":[],"repos":[],"files":[],"dstack":false,"#,
            r#""groups":[{"name":"head","nodes":1,"resources":{},"commands":["a"],"ports":[]},{"name":"1","nodes":2,"resources":{"gpu":"#,
            r#"{"vendor":null,"name":["H100"],"count":{"min":8,"max":8},"memory":null,"total_memory":null,"compute_capability":null}},"#,
            r#""commands":["b"],"ports":[]}],"ports":[],"commands":[]}"#,
        ),
    );
}

#[test]
fn other_types_are_read() {
    for text in [
        "type: service\nport: 8000\ncommands: [serve]\nmodel: org/llm\nreplicas: 1..4\nscaling: {metric: rps, target: 10}",
        "type: service\nport: '80:8000'\nimage: x\ngateway: false\nauth: false\nhttps: auto\nstrip_prefix: false",
        "type: service\nport: 8000\nimage: x\nmodel: {type: chat, name: m, format: tgi, eos_token: '</s>'}",
        "type: service\nport: 8000\nimage: x\nrate_limits: [{prefix: /api, rps: 4, burst: 9}, {rps: 1, key: {type: header, header: X-K}}]",
        "type: service\nport: 1\nimage: x\nprobes: [{type: http, url: /health, interval: 15s, headers: [{name: a, value: b}]}]",
        "type: service\nport: 1\nreplicas:\n  - {count: 1..2, scaling: {metric: rps, target: 3}, commands: [a], router: {type: sglang}}",
        "type: service\nport: 1\nimage: x\ngateway: team/gw\ngroups: [{replicas: 2}]",
        "type: dev-environment\nide: vscode\npython: 3.12\nresources: {gpu: 1}\ninactivity_duration: 2h\ninit: [pip install x]",
        "type: dev-environment",
        "type: fleet\nname: f\nnodes: 0..2\nresources: {gpu: 'A100:80GB:2'}\nbackends: [aws]\nspot_policy: auto\nidle_duration: 1h",
        "type: fleet\nname: f\nnodes: {min: 1, target: 2, max: 3}\nplacement: cluster\nblocks: 8",
        "type: fleet\nname: f\nssh_config: {user: u, identity_file: ~/.ssh/id, hosts: [a, {hostname: b, blocks: auto, internal_ip: 10.0.0.2}], network: 10.0.0.0/24}",
        "type: fleet\nssh_config:\n  hosts: [a]\n  proxy_jump: {hostname: j, user: u, identity_file: k}\nenv: [A=1]",
        "type: volume\nname: v\nbackend: aws\nregion: eu-west-1\nsize: 100GB\nauto_cleanup_duration: 1h",
        "type: volume\nbackend: kubernetes\nclaim_name: c\naccess_modes: [ReadWriteOnce]",
        "type: gateway\nname: g\nbackend: aws\nregion: eu-west-1\ndomain: '${{ run.project_name }}.example.org'\ncertificate: null",
        "type: gateway\nbackend: gcp\nregion: r\ncertificate: {type: acm, arn: x}\nload_balancer: {type: alb}",
    ] {
        good(text);
    }
}

#[test]
fn other_types_are_not_run() {
    for (text, kind) in [("type: dev-environment", "dev-environment"), ("type: fleet", "fleet")] {
        let problems = Configuration::from_yaml(text).unwrap().into_task().unwrap_err();
        assert_eq!(problems.to_string(), format!("type: a {kind} is not run yet by this version; only tasks are"));
    }
}

#[test]
fn unknown_properties_are_named_with_what_was_meant() {
    bad_task("resources:\n  gpus: 1", "f:4:3: resources.gpus: unknown property (did you mean gpu?)");
    bad_task("comands: [b]", "f:3:1: comands: unknown property (did you mean commands?)");
    bad_task("port: 80", "f:3:1: port: unknown property (did you mean ports?)");
    bad_task("max-duration: 2h", "f:3:1: max-duration: unknown property (did you mean max_duration?)");
    bad_task("gpu: 1", "f:3:1: gpu: unknown property");
    bad_task("build: [x]", "f:3:1: build: unknown property (no longer exists)");
    bad_task("pool: x", "f:3:1: pool: unknown property (use fleets)");
    check(
        "type: fleet\ntermination_idle_time: 1h",
        "f:2:1: termination_idle_time: unknown property (use idle_duration)",
    );
    bad_task("retry: {on_event: [error]}", "f:3:9: retry.on_event: unknown property (did you mean on_events?)");
    bad_task("resources: {gpu: {nam: A100}}", "f:3:19: resources.gpu.nam: unknown property (did you mean name?)");
}

#[test]
fn wrong_values_are_named_with_their_place() {
    bad_task("resources: {gpu: 'A100:A100'}", "f:3:18: resources.gpu: \"A100:A100\" says the same thing twice");
    bad_task("resources: {memory: 16G}", "f:3:21: resources.memory: \"16G\" is no size such as 512MB, 16GB or 1TB");
    bad_task("resources: {memory: 16GB..8GB}", "f:3:21: resources.memory: the range 16GB..8GB is reversed");
    bad_task("resources: {memory: ..}", "f:3:21: resources.memory: an empty range `..`");
    bad_task("resources: {cpu: -1}", "f:3:18: resources.cpu: \"-1\" is neither a number of CPUs nor one of x86, arm");
    bad_task("resources: [gpu]", "f:3:12: resources: expected a mapping, got a list");
    bad_task("resources:", "f:3:10: resources: is empty; give a value or leave it out");
    bad_task("nodes: 0", "f:3:8: nodes: must be 1 or more");
    bad_task("nodes: two", "f:3:8: nodes: expected a whole number, got text");
    bad_task("nodes: 99999999999", "f:3:8: nodes: 99999999999 is not between 0 and 4294967295");
    bad_task("priority: 101", "f:3:11: priority: goes from 0 to 100");
    bad_task("priority: -1", "f:3:11: priority: -1 is not between 0 and 4294967295");
    bad_task("python: 3.8", "f:3:9: python: \"3.8\" is none of 3.9, 3.10, 3.11, 3.12, 3.13, 3.14, 3.15");
    bad_task("image: x\npython: 3.12", "f:4:9: python: image and python exclude each other");
    bad_task("image: x\ndocker: true", "f:4:9: docker: image and docker exclude each other");
    bad_task("spot_policy: never", "f:3:14: spot_policy: \"never\" is none of spot, on-demand, auto");
    bad_task(
        "backends: [acme]",
        "f:3:12: backends[0]: \"acme\" is none of amddevcloud, aws, azure, cloudrift, crusoe, cudo, datacrunch, daytona, digitalocean, dstack, gcp, hotaisle, jarvislabs, kubernetes, lambda, lium, remote, nebius, oci, runpod, seeweb, tensordock, vastai, verda, vultr, slurm",
    );
    bad_task("max_duration: 2 hours", "f:3:15: max_duration: \"2 hours\" is no duration such as 30s, 5m, 2h, 1d or 1w");
    bad_task("max_duration: -5", "f:3:15: max_duration: a duration cannot be negative; `off` is no limit");
    bad_task("max_price: 0", "f:3:12: max_price: must be more than 0");
    bad_task("retry: {on_events: []}", "f:3:20: retry.on_events: is empty");
    bad_task("retry: maybe", "f:3:8: retry: expected true, false or a mapping, got text");
    bad_task(
        "utilization_policy: {min_gpu_utilization: 150, time_window: 1m}",
        "f:3:43: utilization_policy.min_gpu_utilization: is a percentage, 0 to 100\nf:3:61: utilization_policy.time_window: must be 5m or longer",
    );
    bad_task("env: [9A=1]", "f:3:7: env[0]: \"9A=1\" is neither NAME=value nor NAME");
    bad_task("env: [A=1, A=2]", "f:3:6: env: the variable A is given twice");
    bad_task("env: text", "f:3:6: env: expected a list of NAME=value or a mapping, got text");
    bad_task("ports: [0]", "f:3:9: ports[0]: 0 is no port (1 to 65535)");
    bad_task("ports: ['80:']", "f:3:9: ports[0]: \"80:\" is no port such as 8080, 80:8080 or *:8080");
    bad_task("volumes: [data]", "f:3:11: volumes[0]: \"data\" is neither NAME:/path nor /host/path:/path");
    bad_task("volumes: ['data:rel']", "f:3:11: volumes[0]: \"rel\" is no absolute path");
    bad_task("repos: [., ..]", "f:3:8: repos: one repository at most");
    bad_task("repos: [{path: x}]", "f:3:9: repos[0]: either local_path or url is needed");
    bad_task("files: ['a:b:c']", "f:3:9: files[0]: \"a:b:c\" is neither SOURCE nor SOURCE:TARGET");
    bad_task("shell: zsh", "f:3:8: shell: must be sh, bash or an absolute path");
    bad_task("user: ':1'", "f:3:7: user: \":1\" is no USER or USER:GROUP");
    bad_task("name: My_Run", "f:3:7: name: a name has 2 to 41 small letters, digits and `-`, and begins with a letter");
    bad_task("schedule: {cron: 0 8 * *}", "f:3:18: schedule.cron: \"0 8 * *\" has 4 fields instead of 5");
    bad_task("fleets: [a//b]", "f:3:10: fleets[0]: \"a//b\" is neither NAME nor PROJECT/NAME");
    bad_task("instances: []", "f:3:12: instances: is empty");
    bad_task("tags: {'a b': c}", "f:3:15: tags.a b: a tag has up to 60 letters, digits, `-` and `_`");
    bad_task("registry_auth: {username: x}", "f:3:16: registry_auth.password: is required");
    bad_task("privileged: 5", "f:3:13: privileged: expected true or false, got a number");
    bad_task(
        "groups: []",
        "f:2:11: commands: is not allowed beside groups; each group has its own\nf:3:9: groups: is empty",
    );
}

#[test]
fn a_document_without_sense_is_refused() {
    check("", "f: the file is empty");
    check("- a", "f:1:1: expected a mapping, got a list");
    check("just text", "f:1:1: expected a mapping, got text");
    check("name: x", "f:1:1: type: is required");
    check("type: job", "f:1:7: type: \"job\" is none of task, service, dev-environment, fleet, volume, gateway");
    check("type: task", "f:1:1: either commands or image must be set");
    check("type: task\ncommands: echo", "f:2:11: commands: expected a list, got text");
    check(
        "type: task\ncommands:\n  - echo a: b",
        "f:3:5: commands[0]: expected text, got a mapping (quote the value if it contains `: `)",
    );
    check("type: service\nimage: x", "f:1:1: port: is required");
    check("type: service\nport: 1\nimage: x\nreplicas: 1..3", "f:4:11: replicas: a range needs scaling");
    check("type: volume\nname: v", "f:1:1: backend: is required");
    check("type: volume\nbackend: oci", "f:2:10: backend: oci has no volumes");
    check(
        "type: gateway\nbackend: aws\nregion: r\ncertificate: {type: x}",
        "f:4:21: certificate.type: \"x\" is none of lets-encrypt, acm, gcp-cm",
    );
    check("type: dev-environment\nentrypoint: x", "f:2:13: entrypoint: a dev-environment has none");
    check("type: dev-environment\nide: nvim", "f:2:6: ide: \"nvim\" is none of vscode, cursor, windsurf, zed");
    check(
        "type: preset",
        "f:1:7: type: presets are made by dstack's own client on the user's machine; this version has none",
    );
}

#[test]
fn all_problems_are_told_at_once() {
    check(
        "type: task\nnodes: 0\nresources: {gpus: 1, memory: x}\nfoo: 1\n",
        concat!(
            "f:1:1: either commands or image must be set\n",
            "f:2:8: nodes: must be 1 or more\n",
            "f:3:13: resources.gpus: unknown property (did you mean gpu?)\n",
            "f:3:30: resources.memory: \"x\" is no size such as 512MB, 16GB or 1TB\n",
            "f:4:1: foo: unknown property",
        ),
    );
}
