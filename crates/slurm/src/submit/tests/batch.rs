//! `sbatch`.

use muster_model::ids::JobId;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::time::Timestamp;

use super::*;

/// The counts and a few other facts of the job, after what is said on standard error.
#[track_caller]
fn sbatch(line: &str, expected: &str) {
    let found = match sbatch_plan("", line, "") {
        Err(exit) => end(&exit),
        Ok(plan) => {
            let request = &plan.spec.request;
            let max = request.nodes_max.map_or(String::new(), |max| format!("-{max}"));
            let given = if request.tasks_given { "" } else { "?" };
            let list = request.nodes_required.as_deref().map_or(String::new(), |list| format!(" w={list}"));
            let gres: String = request.gres.iter().map(|item| format!(" {:?}={}", item.scope, item.gres)).collect();
            let (nodes, tasks, cpus) = (request.nodes_min, request.tasks, request.cpus_per_task);
            format!("{}N{nodes}{max} n{tasks}{given} c{cpus}{list}{gres}", plan.stderr)
        }
    };
    assert_eq!(found, expected, "sbatch {line}");
}

#[test]
fn texts_have_a_greatest_length() {
    let long = |length: usize| format!("--comment={} ok.sh", "y".repeat(length));
    sbatch(&long(1023), "N1 n1? c1");
    sbatch(
        &long(1024),
        "sbatch: error: Batch job submission failed: Pathname of a file, directory or other parameter too long\nexit 1",
    );
}

#[test]
fn lines_of_other_systems_count_after_those_of_sbatch() {
    let made = |line: &str, script: &str| {
        let spec = sbatch_plan("", line, script).unwrap().spec;
        let request = &spec.request;
        format!("{} {} N{} n{}", spec.name, spec.partitions.join(","), request.nodes_min, request.tasks)
    };
    let script = "#!/bin/sh\n#PBS -N pbsname\n#PBS -l nodes=2:ppn=3\n#PBS -q batch\n#SBATCH -J sb\n";
    assert_eq!(made("s.sh", script), "pbsname batch N2 n6");
    assert_eq!(made("--ignore-pbs s.sh", script), "sb  N1 n1");
    assert_eq!(made("-J cl s.sh", script), "cl batch N2 n6");
    assert_eq!(made("s.sh", "#!/bin/sh\n#BSUB -J lsf -n 4 -q batch\n"), "lsf batch N1 n4");
}

#[test]
fn counts_follow_from_each_other() {
    sbatch("ok.sh", "N1 n1? c1");
    sbatch("-N2 ok.sh", "N2-2 n2? c1");
    sbatch("-N2 --ntasks-per-node=3 ok.sh", "N2-2 n6 c1");
    sbatch("-N1-3 -n3 ok.sh", "N1-3 n3 c1");
    sbatch("-N 0 ok.sh", "sbatch: error: Batch job submission failed: Node count specification invalid\nexit 1");
    sbatch("-N 0-2 ok.sh", "N1-2 n1? c1");
    sbatch("-n8 --ntasks-per-node=2 -N2 ok.sh", "N2-2 n8 c1");
    sbatch("-n4 -N8 ok.sh", "sbatch: Warning: can't run 4 processes on 8 nodes, setting nnodes to 4\nN4-4 n4 c1");
    sbatch("-n4 -N2-8 ok.sh", "N2-4 n4 c1");
    sbatch("-n1 -N2-3 ok.sh", "sbatch: Warning: can't run 1 processes on 2 nodes, setting nnodes to 1\nN1-1 n1 c1");
    sbatch("-w n1,n2 ok.sh", "N2 n2? c1 w=n[1-2]");
    sbatch("-w n1 -N2 ok.sh", "N2-2 n2? c1 w=n1");
    sbatch("-w n[1-3] -N2-3 ok.sh", "N3-3 n3? c1 w=n[1-3]");
    sbatch("-w n[1-4] -N2 ok.sh", "sbatch: error: invalid number of nodes (-N 4-2)\nexit 1");
    sbatch(
        "-w n[1-2] -n1 ok.sh",
        "sbatch: Warning: can't run 1 processes on 2 nodes, setting nnodes to 1\nN1 n1 c1 w=n1",
    );
    sbatch("--gpus=2 --ntasks-per-gpu=2 ok.sh", "N1 n4 c1 Job=gpu:2");
    sbatch("--gpus-per-node=2 --ntasks-per-gpu=1 -N2 ok.sh", "N2-2 n4 c1 Node=gpu:2");
    sbatch("-n5 --ntasks-per-gpu=1 ok.sh", "N1 n5 c1 Job=gpu:5");
    sbatch("--gpus-per-task=1 --gpus=2 ok.sh", "N1 n2 c1 Job=gpu:2 Task=gpu:1");
    sbatch(
        "--gpus=a100:2,h100:2 --gpus-per-task=a100:1,h100:1 ok.sh",
        "N1 n2 c1 Job=gpu:a100:2 Job=gpu:h100:2 Task=gpu:a100:1 Task=gpu:h100:1",
    );
    sbatch("-n2 --gpus-per-task=1 --cpus-per-gpu=2 ok.sh", "N1 n2 c2 Task=gpu:1");
    sbatch("--gres=gpu:0 ok.sh", "N1 n1? c1");
    sbatch("--gres=gpu:a100:2 ok.sh", "N1 n1? c1 Node=gpu:a100:2");
}

#[test]
fn contradictions() {
    let gres = |line: &str, text: &str| {
        let last = "sbatch: error: Invalid generic resource (gres) specification\nexit 1";
        sbatch(line, &format!("sbatch: error: {text}\n{last}"));
    };
    gres(
        "--gpus-per-task=1 ok.sh",
        "Failed to validate job spec. --gpus-per-task used without either --gpus or -n/--ntasks is not allowed.",
    );
    gres("--gpus-per-socket=1 ok.sh", "--gpus-per-socket option requires --sockets-per-node specification");
    gres("-c2 --cpus-per-gpu=2 --gpus=1 ok.sh", "--cpus-per-gpu is mutually exclusive with --cpus-per-task");
    gres("--mem-per-gpu=1G ok.sh", "Requested mem_per_tres=gres:gpu:1024 but did not request any GPU.");
    sbatch(
        "--mem=1G --mem-per-cpu=1G ok.sh",
        "sbatch: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.\nexit 1",
    );
    let mixed = "sbatch: error: Invalid GRES specification (with and without type identification)\nexit 1";
    sbatch("--gpus=a100:1,2 ok.sh", mixed);
    sbatch("--gres=gpu:a100:1 --gpus=2 ok.sh", mixed);
    sbatch("-v -Q ok.sh", "sbatch: error: don't specify both --verbose (-v) and --quiet (-Q)\nexit 1");
    sbatch(
        "-m arbitrary ok.sh",
        "sbatch: error: With Arbitrary distribution you need to specify a nodelist or hostfile with the -w option\nexit 1",
    );
    sbatch(
        "--begin=now+2hours --deadline=now+1hour ok.sh",
        "sbatch: error: Incompatible begin and deadline time specification\nexit 1",
    );
    sbatch("--export-file=/nosuch ok.sh", "sbatch: error: Could not open user environment file /nosuch\nexit 1");
}

#[test]
fn what_the_controller_would_refuse() {
    let refused = |text: &str| format!("sbatch: error: Batch job submission failed: {text}\nexit 1");
    sbatch("-w n[1 ok.sh", &refused("Invalid node name specified"));
    sbatch("-d garbage ok.sh", &refused("Job dependency problem"));
    sbatch("-d expand:9:10 ok.sh", &refused("Job dependency problem"));
    sbatch("--array=0-1001 ok.sh", &refused("Invalid job array specification"));
    sbatch("--gres= ok.sh", &refused("Invalid Trackable RESource (TRES) specification"));
    sbatch("--deadline=now-1hour ok.sh", &refused("Requested time limit is invalid (missing or exceeds some limit)"));
    sbatch(
        "-S 1 --thread-spec=1 ok.sh",
        "sbatch: fatal: -S/--core-spec and --thred-spec options are mutually exclusive\nexit 1",
    );
    sbatch(
        "-p _ ok.sh",
        &format!("sbatch: error: invalid partition specified: (null)\n{}", refused("Invalid partition name specified")),
    );
    sbatch(
        "-p _ --test-only ok.sh",
        "sbatch: error: invalid partition specified: (null)\nallocation failure: Invalid partition name specified\nexit 1",
    );
}

#[test]
fn finding_the_script() {
    sbatch("nosuch.sh", "sbatch: error: Unable to open file nosuch.sh\nexit 1");
    sbatch("/nosuch/x.sh", "sbatch: error: Unable to open file /nosuch/x.sh\nexit 1");
    sbatch("_", "sbatch: error: Unable to open file \nexit 1");
    sbatch("-", "sbatch: error: Unable to open file -\nexit 1");
    sbatch("unread.sh", "sbatch: error: Unable to open file /tmp/w/unread.sh\nexit 1");
    sbatch("dir", "sbatch: error: Batch script is empty!\nexit 1");
    sbatch("", "sbatch: error: Batch script is empty!\nexit 1");
    sbatch("--wrap x ok.sh", "sbatch: error: Script arguments not permitted with --wrap option\nexit 1");
    sbatch("inpath.sh", "N1 n1? c1");
}

#[test]
fn checking_the_script() {
    let check = |script: &str, expected: &str| {
        let found = sbatch_plan("", "s.sh", script).map_or_else(|exit| end(&exit), |plan| plan.spec.name.to_string());
        assert_eq!(found, expected, "{:?}", script.get(..40));
    };
    let not_a_script = "sbatch: error: This does not look like a batch script.  The first\n\
                        sbatch: error: line must start with #! followed by the path to an interpreter.\n\
                        sbatch: error: For instance: #!/bin/sh\nexit 1";
    check("echo\n", not_a_script);
    check("\n#!/bin/sh\n", not_a_script);
    check(
        "#!/bin/sh\r\n",
        "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n\
         sbatch: error: instead of expected UNIX line breaks (\\n).\nexit 1",
    );
    check(
        "#!/bin/sh\n\0\n",
        "sbatch: error: The Slurm controller does not allow scripts that\n\
         sbatch: error: contain a NULL character '\\0'.\nexit 1",
    );
    check("#!/bin/sh", "s.sh");
    check("#!/bin/sh\n#SBATCH --job-name='two words'\n", "two words");
    check("#!/bin/sh\n#SBATCH -J a stray\n", "sbatch: error: Invalid directive found in batch script: stray\nexit 255");
    check(
        "#!/bin/sh\n#SBATCH --nosuch\n",
        "sbatch: unrecognized option '--nosuch'\nTry \"sbatch --help\" for more information\nexit 255",
    );
    check("#!/bin/sh\n#SBATCH -t bad\n", "sbatch: error: Invalid --time specification\nexit 255");
    check("#!/bin/sh\n#SBATCH --help --wrap=x -v\n", "s.sh");
    check("#!/bin/sh\n#SBATCH hetjob\n", "s.sh");
    check(
        &format!("#!/bin/sh\n{}", "#".repeat(5 << 20)),
        "sbatch: error: Batch job submission failed: Pathname of a file, directory or other parameter too long\nexit 1",
    );
}

#[test]
fn the_script_of_wrap() {
    let plan = sbatch_plan("", "--wrap hostname~-f", "").unwrap();
    assert_eq!(plan.script, b"#!/bin/sh\n# This script was created by sbatch --wrap.\n\nhostname -f\n");
    assert_eq!((&*plan.spec.name, plan.spec.command.as_deref()), ("wrap", None));
}

#[test]
fn command_line_beats_environment_beats_script() {
    let check = |environment: &str, line: &str, expected: &str| {
        let script = "#!/bin/bash\n#SBATCH -J script -t 5 --mem=1G\n";
        let plan = sbatch_plan(environment, line, script).unwrap();
        let limit = plan.spec.time_limit.map_or(String::new(), |limit| limit.to_string());
        let found = format!("{} {limit} {:?}", plan.spec.name, plan.spec.request.memory);
        assert_eq!(found, format!("{expected} Some(PerNode(Megabytes(1024)))"), "{environment} {line}");
    };
    check("", "s.sh", "script 00:05:00");
    check("SBATCH_JOB_NAME=env SBATCH_TIMELIMIT=7", "s.sh", "env 00:07:00");
    check("SBATCH_JOB_NAME=env", "-J cl s.sh", "cl 00:05:00");
    check("SBATCH_MEM_PER_CPU=1G SLURM_NTASKS=5", "s.sh", "script 00:05:00");
    let plan = sbatch_plan("", "--parsable", "#!/bin/bash\n#SBATCH -J in\n").unwrap();
    assert_eq!((&*plan.spec.name, plan.spec.command.as_deref(), plan.answer(JobId(5)).as_str()), ("in", None, "5\n"));
}

#[test]
fn what_the_job_carries() {
    let line = "--parsable -H -D rel -o out/%x.txt -t 90 -p a,b --uid=alice --comment=c~d -b now+1hour ok.sh x y~z";
    let plan = sbatch_plan("", line, "").unwrap();
    let spec = &plan.spec;
    let places = (&*spec.identity.user, &*spec.work_dir, spec.output.as_deref());
    assert_eq!(places, ("alice", "/tmp/w/rel", Some("out/%x.txt")));
    let kind = (spec.partitions.len(), spec.hold, spec.command.as_deref());
    assert_eq!(kind, (2, true, Some("/tmp/w/ok.sh")));
    assert_eq!(spec.arguments.iter().map(|word| &**word).collect::<Vec<_>>(), ["x", "y z"]);
    assert_eq!(spec.rare.as_ref().and_then(|rare| rare.comment.as_deref()), Some("c d"));
    assert_eq!(spec.begin, Some(Timestamp::from_seconds(1_795_252_262)));
    assert!(spec.submit_line.as_deref().unwrap().starts_with("sbatch --parsable -H -D rel"));
    assert_eq!(plan.context.limits, [(0, u64::MAX), (7, 1024)]);
    let plan = |line: &str| sbatch_plan("", line, "").unwrap();
    assert_eq!(plan("--propagate=NOFILE ok.sh").context.limits, [(7, 1024)]);
    assert_eq!(plan("-b now-1hour ok.sh").spec.begin, None);
    assert_eq!(plan("-M all ok.sh").answer(JobId(7)), "Submitted batch job 7 on cluster peer\n");
    assert_eq!(plan("-Q ok.sh").answer(JobId(7)), "");
}

#[test]
fn environment_of_a_batch_job() {
    let check = |line: &str, expected: &str| {
        let plan = sbatch_plan("A=outer MYVAR=mine SLURM_GPUS=9", line, "").unwrap();
        let mut shown = plan.context.environment;
        shown.retain(|pair| !pair.starts_with("SLURM_SUBMIT_") && !pair.starts_with("SLURM_JOB_NAME="));
        assert_eq!(shown.join(" "), expected, "{line}");
    };
    check("ok.sh", "A=outer MYVAR=mine PATH=/usr/bin:/tools");
    check("--export=NONE ok.sh", "SLURM_EXPORT_ENV=NONE SLURM_GET_USER_ENV=1");
    check("--export=A=1 ok.sh", "A=1 SLURM_EXPORT_ENV=A=1 SLURM_GET_USER_ENV=1");
    check(
        "--export=ALL,B=2 ok.sh",
        "A=outer B=2 MYVAR=mine PATH=/usr/bin:/tools SLURM_EXPORT_ENV=ALL,B=2 SLURM_GET_USER_ENV=1",
    );
    check("--export-file=3 --export=FROM ok.sh", "FROM=descriptor SLURM_EXPORT_ENV=FROM SLURM_GET_USER_ENV=1");
    check(
        "--gpus=2 -O -m cyclic:block --ntasks-per-core=1 --export=NIL ok.sh",
        "SLURM_DISTRIBUTION=cyclic:block SLURM_EXPORT_ENV=NIL SLURM_GET_USER_ENV=1 SLURM_GPUS=2 \
         SLURM_NTASKS_PER_CORE=1 SLURM_OVERCOMMIT=1",
    );
}

#[test]
fn notices() {
    let told = |line: &str, script: &str| sbatch_plan("", line, script).unwrap().stderr;
    assert_eq!(told("--reboot ok.sh", ""), "sbatch: warning: --reboot is accepted but not yet acted upon\n");
    assert_eq!(told("-Q --reboot ok.sh", ""), "");
    assert_eq!(
        told("s.sh", "#!/bin/sh\n#PBS -N x -Q x\n#SLURM -J y\n"),
        "sbatch: error: Change from #SLURM to #SBATCH in your script and verify the options are valid in sbatch\n\
         sbatch: warning: #PBS -Q x has no counterpart and does nothing\n"
    );
    assert_eq!(told("--ignore-pbs s.sh", "#!/bin/sh\n#PBS -N x\n"), "");
    let script = "#!/bin/sh\n#SBATCH -n 3 -p batch --mem=1G --array=1-3 -d singleton -o x_%j\n";
    assert_eq!(
        told("-v -H s.sh", script),
        "sbatch: defined options\n\
         sbatch: -------------------- --------------------\n\
         sbatch: array               : 1-3\n\
         sbatch: dependency          : singleton\n\
         sbatch: hold                : set\n\
         sbatch: mem                 : 1G\n\
         sbatch: ntasks              : 3\n\
         sbatch: output              : /tmp/w/x_%j\n\
         sbatch: partition           : batch\n\
         sbatch: verbose             : 1\n\
         sbatch: -------------------- --------------------\n\
         sbatch: end of defined options\n"
    );
}

#[test]
fn refusals_of_the_controller() {
    let plan = sbatch_plan("", "ok.sh", "").unwrap();
    let check = |refusal: Refusal, expected: &str| assert_eq!(end(&plan.refused(&refusal, None)), expected);
    check(
        Refusal::new(RefusalCode::InvalidPartition, "no partition nosuch"),
        "sbatch: error: invalid partition specified: nosuch\n\
         sbatch: error: Batch job submission failed: Invalid partition name specified\nexit 1",
    );
    check(
        Refusal::new(RefusalCode::NodeConfigUnavailable, "CPU count per node can not be satisfied"),
        "sbatch: error: CPU count per node can not be satisfied\n\
         sbatch: error: Batch job submission failed: Requested node configuration is not available\nexit 1",
    );
    check(
        RefusalCode::InvalidFeature.into(),
        "sbatch: error: Batch job submission failed: Invalid feature specification\nexit 1",
    );
    assert_eq!(plan.refused(&RefusalCode::InvalidFeature.into(), Some("9")).code, 9);
}

#[test]
fn what_watches_memory_is_not_slowed_down() {
    let check = |line: &str, expected: &str| {
        let found =
            sbatch_plan("", &format!("{line} s.sh"), "#!/bin/sh\n").map_or_else(|exit| end(&exit), |_| "ok".to_owned());
        assert_eq!(found, expected, "{line}");
    };
    let refused = "sbatch: error: Batch job submission failed: Invalid accounting frequency requested\nexit 1";
    check("--mem=200 --acctg-freq=40", refused);
    check("--mem-per-cpu=200 --acctg-freq=energy=1,task=31", refused);
    check("--mem=200 --acctg-freq=0", refused);
    check("--mem=200 --acctg-freq=task=30", "ok");
    check("--mem=200 --acctg-freq=energy=40", "ok");
    check("--mem=0 --acctg-freq=40", "ok");
    check("--acctg-freq=40", "ok");
}
