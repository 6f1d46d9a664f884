//! Components of heterogeneous jobs: what carries on from one to the next. Expected is what `sbatch -v` and `srun -v` of
//! real Slurm 22.05 list for the same lines.

use muster_model::job::JobSpec;
use muster_model::time::TimeLimit;

use super::{end, sbatch_plan, srun_plan};

/// What is of interest about one component.
fn shown(spec: &JobSpec) -> String {
    let request = &spec.request;
    let mut text = format!("{} n{}", spec.name, request.tasks);
    if request.cpus_per_task_given {
        text.push_str(&format!(" c{}", request.cpus_per_task));
    }
    if let Some(TimeLimit::Limited(limit)) = spec.time_limit {
        text.push_str(&format!(" t{}", limit.minutes_rounded_up()));
    }
    let partitions = spec.partitions.join(",");
    let comment = spec.rare.as_ref().and_then(|rare| rare.comment.clone());
    let others = [
        ("p", Some(partitions).filter(|text| !text.is_empty())),
        ("o", spec.output.as_ref().map(|name| name.to_string())),
        ("k", comment.map(|text| text.to_string())),
        ("mem", request.memory.map(|memory| format!("{memory:?}"))),
        ("hold", spec.hold.then(String::new)),
        ("x", request.nodes_excluded.as_ref().map(|name| name.to_string())),
        ("w", request.nodes_required.as_ref().map(|name| name.to_string())),
    ];
    for (key, value) in others.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        text.push_str(&format!(" {key}={value}"));
    }
    text
}

#[track_caller]
fn check(environment: &str, line: &str, script: &str, expected: &[&str]) {
    let found = match sbatch_plan(environment, line, script) {
        Ok(plan) => std::iter::once(&plan.spec).chain(&plan.led).map(shown).collect::<Vec<_>>(),
        Err(exit) => vec![end(&exit)],
    };
    assert_eq!(found, expected, "{line}");
}

const THREE: &str = "#!/bin/bash\n#SBATCH -J s -c 2 --comment=zero\n#SBATCH hetjob -n 5\n#SBATCH -n7 --comment=one\n\
                     #SBATCH packjob\n#SBATCH -o two.out\nsleep 100\n";

#[test]
fn a_script_of_three_components() {
    check("", "-t5 -n3 s.sh", THREE, &["s n3 c2 t5 k=zero", "s n3 t5 k=one", "s n3 t5 o=two.out k=one"]);
    check("", "-t5 -n3 : -c4 s.sh", THREE, &["s n3 c2 t5 k=zero", "s n7 c4 t5 k=one", "s n1 c4 t5 o=two.out k=one"]);
    check(
        "SBATCH_TIMELIMIT=7 SBATCH_PARTITION=batch",
        "-n3 --comment=cl : -c4 : -n1 : -n2 s.sh",
        THREE,
        &[
            "s n3 c2 t7 p=batch k=cl",
            "s n7 c4 t7 p=batch k=one",
            "s n1 t7 p=batch o=two.out k=one",
            "s n2 t7 p=batch o=two.out k=one",
        ],
    );
    let notices = sbatch_plan("", "s.sh", THREE).unwrap().stderr;
    assert_eq!(
        notices,
        "sbatch: Warning: the \"packjob\" component separator is being deprecated. Please, use \"hetjob\" instead.\n"
    );
}

#[test]
fn what_carries_on_holds_for_the_first_as_well() {
    // The command line is read to its end before the script: the first component gets what the last one leaves.
    check("", "-n1 : -t5 -J z -o q : -t6 --wrap hostname", "", &["z n1 t6 o=q", "z n1 t5 o=q", "z n1 t6 o=q"]);
    check("", "-n1 : --hold -n2 ok.sh", "", &["ok.sh n1 hold=", "ok.sh n2 hold="]);
    check(
        "",
        "-n1 --mem=10 -x n4 -w n1 -p debug : -n2 ok.sh",
        "",
        &["ok.sh n1 p=debug mem=PerNode(Megabytes(10)) x=n4 w=n1", "ok.sh n2 mem=PerNode(Megabytes(10)) x=n4"],
    );
    check(
        "",
        "-n1 --mem-per-cpu=10 : -n2 --mem=5 : -n3 --mem-per-cpu=7 ok.sh",
        "",
        &[
            "ok.sh n1 mem=PerCpu(Megabytes(10))",
            "ok.sh n2 mem=PerNode(Megabytes(5))",
            "ok.sh n3 mem=PerCpu(Megabytes(7))",
        ],
    );
}

#[test]
fn where_components_end() {
    check("", "-n1 ok.sh : -n2", "", &["ok.sh n1"]);
    check("", "-n1 : : -n3 ok.sh", "", &["ok.sh n1", "ok.sh n1", "ok.sh n3"]);
    let plain = sbatch_plan("", "-n1 ok.sh", "").unwrap();
    let het = sbatch_plan("", "-n1 s.sh", "#!/bin/sh\n#SBATCH hetjob\n").unwrap();
    assert_eq!((plain.is_het, het.is_het, het.led.len()), (false, true, 1));
    check(
        "",
        "-n1 : -n2 --nosuch ok.sh",
        "",
        &["sbatch: unrecognized option '--nosuch'\nTry \"sbatch --help\" for more information\nexit 255"],
    );
}

#[track_caller]
fn check_step(environment: &str, line: &str, expected: &[&str]) {
    let found = match srun_plan(environment, line) {
        Ok(plan) => std::iter::once(&plan)
            .chain(&plan.others)
            .map(|plan| {
                let group = plan.group.map_or("-".to_owned(), |group| group.to_string());
                format!("{group}: {} n{}", plan.launch.command.join(" "), plan.request.tasks)
            })
            .collect(),
        Err(exit) => vec![end(&exit)],
    };
    assert_eq!(found, expected, "{line}");
}

#[test]
fn parts_of_a_step() {
    let het = "SLURM_JOB_ID=5 SLURM_HET_SIZE=3 SLURM_NTASKS=6 SLURM_NTASKS_HET_GROUP_0=2 SLURM_NTASKS_HET_GROUP_1=3";
    check_step("", "hostname", &["-: hostname n1"]);
    check_step(het, "hostname", &["-: hostname n2"]);
    check_step(het, "--het-group=1 hostname", &["1: hostname n3"]);
    check_step(het, "--het-group=2 hostname", &["2: hostname n1"]);
    check_step(het, "--het-group=1,0-2 hostname", &["0: hostname n2", "1: hostname n3", "2: hostname n1"]);
    check_step(het, "-n1 a x : b", &["0: a x n1", "1: b n3"]);
    check_step(het, "--het-group=1 a : --het-group=0 b", &["0: b n2", "1: a n3"]);
    check_step("", "-n2 : -n1 hostname", &["0: hostname n2", "1: hostname n1"]);
    check_step("", "-n2 a :", &["srun: fatal: No command given to execute.\nexit 1"]);
    check_step(
        het,
        "--het-group=1 a : --het-group=1 b",
        &["srun: fatal: Duplicate het groups in single srun not supported\nexit 1"],
    );
    check_step(het, "--het-group=x a", &["srun: error: Invalid --het-group value: x\nexit 1"]);
}
