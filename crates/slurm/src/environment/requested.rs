//! Options that are told to the script because commands in it read them as their own defaults.
//!
//! They are kept with the job by their long name, see [`RareOptions::others`](muster_model::job::RareOptions::others).

use muster_model::hostlist;
use muster_model::job::Job;

use super::facts::Builder;

/// Options whose value is told as it is kept, with their variable.
const PLAIN: &[(&str, &str)] = &[
    ("acctg-freq", "SLURM_ACCTG_FREQ"),
    ("container", "SLURM_CONTAINER"),
    ("container-id", "SLURM_CONTAINER_ID"),
    ("cpu-freq", "SLURM_CPU_FREQ_REQ"),
    ("cpus-per-gpu", "SLURM_CPUS_PER_GPU"),
    ("gpu-bind", "SLURM_GPU_BIND"),
    ("gpu-freq", "SLURM_GPU_FREQ"),
    ("gpus-per-node", "SLURM_GPUS_PER_NODE"),
    ("ntasks-per-core", "SLURM_NTASKS_PER_CORE"),
    ("ntasks-per-gpu", "SLURM_NTASKS_PER_GPU"),
    ("ntasks-per-socket", "SLURM_NTASKS_PER_SOCKET"),
    ("threads-per-core", "SLURM_THREADS_PER_CORE"),
];

/// The option kept with `job` under its long name.
pub(super) fn option<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    let others = &job.spec.rare.as_ref()?.others;
    others.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
}

/// All of them.
pub(super) fn options(list: &mut Builder, job: &Job) {
    for (name, variable) in PLAIN {
        list.set_some(variable, option(job, name));
    }
    list.set_some("SLURM_PROFILE", option(job, "profile").map(profile));
    memory_binding(list, option(job, "mem-bind"));
    if let Some(text) = option(job, "distribution") {
        distribution(list, text);
        if text.starts_with("arbitrary") {
            list.set_some("SLURM_ARBITRARY_NODELIST", arbitrary_nodes(job));
        }
    }
}

/// `SLURM_DISTRIBUTION`, with the size of `plane=SIZE` in a variable of its own.
pub(super) fn distribution(list: &mut Builder, text: &str) {
    match text.split_once('=') {
        Some((word, size)) => {
            list.set("SLURM_DISTRIBUTION", word);
            list.set("SLURM_DIST_PLANESIZE", size);
        }
        None => list.set("SLURM_DISTRIBUTION", text),
    }
}

fn arbitrary_nodes(job: &Job) -> Option<String> {
    let mut names = hostlist::expand(job.spec.request.nodes_required.as_deref()?).ok()?;
    let mut known = std::collections::BTreeSet::new();
    names.retain(|name| known.insert(name.clone()));
    Some(hostlist::compress(names))
}

/// Words of `--profile` in Slurm's spelling: `Energy,Task`.
fn profile(text: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.trim().chars();
        letters.next().map_or(String::new(), |first| {
            first.to_ascii_uppercase().to_string() + &letters.as_str().to_ascii_lowercase()
        })
    };
    text.split(',').map(word).collect::<Vec<_>>().join(",")
}

fn memory_binding(list: &mut Builder, text: Option<&str>) {
    let Some(text) = text else { return };
    let (mut verbose, mut kinds) = (false, Vec::new());
    for word in text.split(',') {
        match word.to_ascii_lowercase().as_str() {
            "v" | "verbose" => verbose = true,
            "q" | "quiet" => verbose = false,
            _ => kinds.push(word),
        }
    }
    if !kinds.is_empty() {
        list.set("SLURM_MEM_BIND", kinds.join(","));
    }
    list.set("SLURM_MEM_BIND_VERBOSE", if verbose { "verbose" } else { "quiet" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::fixture;

    fn check(others: &[(&str, &str)], expected: &[&str]) {
        let mut job = fixture::job(1);
        fixture::change(&mut job, |spec| {
            spec.request.nodes_required = Some("n1,n1,n2,n3,n4".into());
            fixture::rare(spec, others);
        });
        let mut list = Builder::default();
        options(&mut list, &job);
        let lines: Vec<String> = list.finish().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn options_are_told_in_slurms_spelling() {
        check(&[("profile", "energy,TASK")], &["SLURM_PROFILE=Energy,Task"]);
        check(&[("distribution", "cyclic:block")], &["SLURM_DISTRIBUTION=cyclic:block"]);
        check(&[("distribution", "plane=2")], &["SLURM_DISTRIBUTION=plane", "SLURM_DIST_PLANESIZE=2"]);
        check(&[("distribution", "arbitrary")], &["SLURM_DISTRIBUTION=arbitrary", "SLURM_ARBITRARY_NODELIST=n[1-4]"]);
        check(&[("mem-bind", "local")], &["SLURM_MEM_BIND=local", "SLURM_MEM_BIND_VERBOSE=quiet"]);
        check(&[("mem-bind", "v,local")], &["SLURM_MEM_BIND=local", "SLURM_MEM_BIND_VERBOSE=verbose"]);
        check(&[("gpu-bind", "single:1"), ("gpu-freq", "low")], &["SLURM_GPU_BIND=single:1", "SLURM_GPU_FREQ=low"]);
        check(&[("network", "x"), ("profile", "")], &[]);
    }
}
