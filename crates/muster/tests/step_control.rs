//! `scontrol` on running steps: their processes, and how long they may run. And what nodes tell of their tasks.

mod support;

use support::Cluster;

#[test]
fn processes_are_listed_and_limits_changed() {
    let cluster = Cluster::start(&["--nodes", "2", "--cpus", "4"]);
    let job = cluster.submit("-w n1 -n2 -t 20 -o out --wrap 'srun -n2 sleep 400; echo ended with $?'");
    let table = |which: &str| -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        cluster.run(&format!("scontrol listpids {which}")).stdout.lines().skip(1).map(words).collect()
    };
    let step = format!("{job}.0 n1");
    cluster.wait("the tasks to run", || table(&step).len() == 2);
    let tasks = table(&step);
    let places: Vec<&[String]> = tasks.iter().map(|row| &row[1..]).collect();
    let job_text = job.to_string();
    assert_eq!(places, [[job_text.as_str(), "0", "0", "0"], [job_text.as_str(), "0", "1", "1"]]);
    let all = table(&format!("{job} n1"));
    assert!(all.starts_with(&tasks) && all[2][2..] == ["batch", "0", "0"] && all.len() > 3, "{all:?}");
    assert_eq!(table(""), all, "those of this machine");

    let said = |line: &str| {
        let ran = cluster.run(line);
        format!("{}{}[{}]", ran.stderr, ran.stdout, ran.code)
    };
    let head = "PID      JOBID    STEPID   LOCALID GLOBALID\n";
    assert_eq!(said("scontrol listpids 77 n1"), format!("There are no steps for job 77 on node n1.\n{head}[1]"));
    assert_eq!(said("scontrol listpids 77 n2"), format!("JobId=77 does not exist on node n2.\n{head}[1]"));
    let of_task = cluster.out(&format!("scontrol pidinfo {}", tasks[1][0]));
    assert!(of_task.starts_with(&format!("Slurm JobId={job} ends at ")), "{of_task}");
    assert!(of_task.contains("\nJob remaining time is 1") && of_task.ends_with(" seconds"), "{of_task}");
    assert_eq!(said("scontrol pidinfo 1"), "Failed to locate job for requested pid\n[1]");

    cluster.out(&format!("scontrol update StepId={job}.0 TimeLimit=50"));
    let shown = || {
        let text = cluster.out(&format!("scontrol -o show step {job}.0"));
        text.split_whitespace().find_map(|word| word.strip_prefix("TimeLimit=")).unwrap_or("").to_owned()
    };
    assert_eq!(shown(), "00:50:00");
    cluster.out(&format!("scontrol update StepId={job} TimeLimit=+5"));
    assert_eq!(shown(), "00:55:00");
    assert_eq!(
        said(&format!("scontrol update StepId={job}.9 TimeLimit=5")),
        "slurm_update error: Invalid job id specified\n[1]"
    );
    // A limit that has passed ends the step, not its job.
    cluster.out(&format!("scontrol update StepId={job}.0 TimeLimit=-60"));
    cluster.wait("the script to go on", || cluster.read("out").contains("ended with"));
    assert!(cluster.read("out").contains(&format!("*** STEP {job}.0 ON n1 CANCELLED AT ")), "{}", cluster.read("out"));
    cluster.wait_state(job, "COMPLETED");
}

#[test]
fn nodes_tell_of_tasks_where_that_is_wanted() {
    let cluster = Cluster::start(&["--nodes", "1", "--cpus", "4", "--gpus", "2"]);
    let told = |line: &str| {
        let mut lines: Vec<String> = cluster.run(line).stderr.lines().map(str::to_owned).collect();
        // Process numbers and times.
        for line in &mut lines {
            if let Some((start, rest)) = line.split_once(" (") {
                let end = rest.split_once(") ").map_or(rest, |(_, end)| end);
                *line = format!("{start} (@) {}", end.split("started").next().unwrap_or(end).trim());
            }
        }
        lines.sort();
        lines.join("\n")
    };
    assert_eq!(
        told("srun -n2 --slurmd-debug=error sh -c 'exit $SLURM_PROCID'"),
        "slurmstepd: debug levels are stderr='verbose', logfile='info', syslog='fatal'\n\
         slurmstepd: starting 2 tasks\n\
         slurmstepd: task 0 (@) \n\
         slurmstepd: task 0 (@) exited with exit code 0.\n\
         slurmstepd: task 1 (@) \n\
         slurmstepd: task 1 (@) exited with exit code 1.\n\
         srun: error: n1: task 1: Exited with exit code 1"
    );
    assert_eq!(told("srun -n2 --slurmd-debug=fatal true"), "");
    assert_eq!(
        told("srun -n2 --gres=gpu:2 --gpu-bind=verbose,single:1 true"),
        "gpu-bind: usable_gres=0x1; bit_alloc=0x3; local_inx=0; global_list=0; local_list=0\n\
         gpu-bind: usable_gres=0x2; bit_alloc=0x3; local_inx=0; global_list=1; local_list=1"
    );
}
