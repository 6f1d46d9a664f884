//! Whatever comes in: an answer, never a crash.

use std::collections::BTreeMap;

use muster_dstack::Configuration;
use muster_dstack::interpolation::{interpolate, shell_join, shell_split};
use muster_dstack::task::{Applicant, ClusterView, Overrides, generated_name, submission};
use muster_model::ids::Identity;
use proptest::prelude::*;

/// Reads a text, and submits it if it is a task.
fn swallow(text: &str) {
    let Ok(configuration) = Configuration::from_yaml(text) else {
        return;
    };
    let again = Configuration::from_json(&configuration.to_json());
    assert_eq!(again.as_ref(), Ok(&configuration), "{text}");
    let Ok(task) = configuration.into_task() else {
        return;
    };
    let identity = Identity { uid: 1, gid: 1, user: "u".into(), group: "g".into() };
    let environment = BTreeMap::new();
    let applicant = Applicant {
        identity: &identity,
        project: "main",
        environment: &environment,
        configuration_dir: "/c",
        current_dir: "/d",
        host: "h",
        session: 0,
        command_line: "",
        umask: 0,
        limits: &[],
    };
    drop(submission(task, "a-b-1", &applicant, &Overrides::default(), &ClusterView::default()));
}

/// A value as files have them, good or bad.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9.:/~*$ {}\\[\\],&|_-]{0,12}",
        Just("true".to_owned()),
        Just("off".to_owned()),
        "-?[0-9]{1,22}",
        "[0-9]{0,3}(\\.\\.)?[0-9]{0,3}(GB|MB|TB)?",
        "(A100|nvidia|arm|24GB|[0-9]{1,3}):(1\\.\\.8|80GB|[0-9]{1,12})",
        "[0-9]{1,20}[smhdw]",
        Just("{min: 1, max: 2}".to_owned()),
        Just("[a, b: c]".to_owned()),
        Just("{name: x, path: /y}".to_owned()),
    ]
}

const PROPERTIES: &[&str] = &[
    "name",
    "nodes",
    "priority",
    "python",
    "image",
    "env",
    "ports",
    "port",
    "resources",
    "retry",
    "schedule",
    "shell",
    "max_duration",
    "idle_duration",
    "volumes",
    "files",
    "repos",
    "fleets",
    "instances",
    "entrypoint",
    "user",
    "groups",
    "replicas",
    "scaling",
    "model",
    "gateway",
    "probes",
    "ssh_config",
    "blocks",
    "size",
    "backend",
    "region",
    "tags",
    "commands",
    "working_dir",
    "certificate",
    "backend_options",
    "utilization_policy",
    "registry_auth",
];

proptest! {
    #[test]
    fn any_text(text in ".{0,200}") {
        swallow(&text);
    }

    #[test]
    fn any_properties(
        kind in prop_oneof![Just("task"), Just("service"), Just("fleet"), Just("volume"), Just("gateway"), Just("dev-environment")],
        lines in proptest::collection::vec((0..PROPERTIES.len(), value()), 0..5),
    ) {
        let mut text = format!("type: {kind}\n");
        for (property, value) in lines {
            text.push_str(&format!("{}: {value}\n", PROPERTIES[property]));
        }
        swallow(&text);
    }

    #[test]
    fn any_resources(cpu in value(), memory in value(), gpu in value(), disk in value()) {
        swallow(&format!("type: task\ncommands: [a]\nresources:\n  cpu: {cpu}\n  memory: {memory}\n  gpu: {gpu}\n  disk: {disk}\n"));
    }

    #[test]
    fn any_reference(text in "[$ {}a-z.\\[\\]0-9é]{0,40}") {
        drop(interpolate(&text, &|name| Ok(name.to_owned())));
    }

    #[test]
    fn words_survive_quoting(words in proptest::collection::vec(".{0,8}", 0..5)) {
        prop_assert_eq!(shell_split(&shell_join(&words)), Some(words));
    }

    #[test]
    fn any_seed(seed in any::<u64>()) {
        prop_assert!(generated_name(seed).len() >= 5);
    }
}

/// Deep nesting and aliases that grow must end in an answer too.
#[test]
fn bombs_do_not_go_off() {
    swallow(&"[".repeat(100_000));
    swallow(&format!("type: task\ncommands: {}", "[".repeat(5000)));
    swallow(&"a:\n ".repeat(3000));
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let previous = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![previous; 10].join(", ")));
    }
    swallow(&text);
}

/// JSON does not keep the order of a mapping.
#[test]
fn variables_mean_the_same_in_any_order() {
    swallow("type: fleet\nenv: {min: 1, max: 2}\n");
}
