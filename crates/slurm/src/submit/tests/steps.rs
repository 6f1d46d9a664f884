//! `srun` and `salloc`.

use muster_model::job::Job;
use muster_model::time::Span;

use super::*;
use crate::environment::ClientFacts;

#[track_caller]
fn srun(environment: &str, line: &str, expected: &str) {
    let found = match srun_plan(environment, line) {
        Err(exit) => end(&exit),
        Ok(plan) => {
            let request = &plan.request;
            let place = match &plan.allocation {
                srun::Allocation::Within(job) => format!("in {job}"),
                srun::Allocation::New(spec, _) => format!("new {}", spec.name),
            };
            let nodes = request.nodes.map_or("any".to_owned(), |(min, max)| format!("{min}-{max}"));
            let flags = [(request.exact, " exact"), (request.overlap, " overlap"), (request.immediate, " immediate")];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, text)| *text).collect();
            let memory = request.memory.map_or(String::new(), |memory| format!(" {memory:?}"));
            let gres: String = request.gres.iter().map(|item| format!(" {}", item.gres)).collect();
            let (name, tasks, cpus) = (&request.name, request.tasks, request.cpus_per_task);
            format!("{}{place} {name} N{nodes} n{tasks} c{cpus}{memory}{gres}{flags}", plan.stderr)
        }
    };
    assert_eq!(found, expected, "{environment} srun {line}");
}

#[test]
fn steps() {
    const JOB: &str = "SLURM_JOB_ID=5 SLURM_JOB_NAME=outer SLURM_NTASKS=4 SLURM_NPROCS=4 SLURM_JOB_NUM_NODES=2 \
                       SLURM_MEM_PER_NODE=1024 SLURM_GPUS=2";
    srun("", "hostname -f", "new hostname hostname Nany n1 c1");
    srun("", "-N2 -n4 -c2 --mem=1G ./env.sh", "new env.sh env.sh N2-2 n4 c2 PerNode(Megabytes(1024))");
    srun(JOB, "hostname", "in 5 hostname N2-2 n4 c1");
    srun(
        JOB,
        "-n1 hostname",
        "srun: Warning: can't run 1 processes on 2 nodes, setting nnodes to 1\nin 5 hostname N1-1 n1 c1",
    );
    srun(JOB, "-N1 -n1 -c3 -J step hostname", "in 5 step N1-1 n1 c3 exact");
    srun(JOB, "-N1 -n1 --exclusive --mem=2G --gres=gpu:1 x", "in 5 x N1-1 n1 c1 PerNode(Megabytes(2048)) gpu:1 exact");
    srun(JOB, "--overlap --immediate x", "in 5 x N2-2 n4 c1 overlap immediate");
    srun("SLURM_JOB_ID=5 SLURM_JOB_NUM_NODES=2", "x", "in 5 x N2-2 n2 c1");
    srun(JOB, "-n2 -E x", "in 5 x N2-2 n2 c1");
    srun("", "--jobid=9 x", "in 9 x Nany n1 c1");
    srun(JOB, "-N3 x", "srun: error: Only allocated 2 nodes asked for 3\nexit 1");
    srun(
        "SLURM_JOB_ID=5 SLURM_JOB_NUM_NODES=2",
        "-N1 -r5 true",
        "srun: error: --relative and --nodes option incompatible with count of allocated nodes (5+1>2)\nexit 1",
    );
    srun(
        "SLURM_NTASKS=4 SLURM_JOB_NUM_NODES=2",
        "--ntasks-per-node=1 x",
        "srun: Warning: can't honor --ntasks-per-node set to 1 which doesn't match the requested tasks 4 with the \
         number of requested nodes 2. Ignoring --ntasks-per-node.\nnew x x N2-2 n4 c1",
    );
}

#[test]
fn srun_complains() {
    srun("", "", "srun: fatal: No command given to execute.\nexit 1");
    srun("", "-n2", "srun: fatal: No command given to execute.\nexit 1");
    srun("", "-Z true", "srun: error: must specify a node list with -Z, --no-allocate.\nexit 1");
    let unknown = "srun: error: Couldn't find the specified plugin name for mpi/nosuch looking at all files\n\
                   srun: error: cannot find mpi plugin for mpi/nosuch\n\
                   srun: error: MPI: Cannot create context for mpi/nosuch\n\
                   srun: error: MPI: Unable to load any plugin\n\
                   srun: error: Invalid MPI type 'nosuch', --mpi=list for acceptable types\nexit";
    srun("", "--mpi=nosuch true", &format!("{unknown} 1"));
    srun("SLURM_EXIT_ERROR=42", "--mpi=nosuch true", &format!("{unknown} 42"));
    srun("", "--mpi=openmpi x", "new x x Nany n1 c1");
    srun("", "-r1 true", "srun: fatal: --relative option invalid for job allocation request\nexit 1");
    srun("", "--x11 true", "srun: error: X11 forwarding is not supported\nexit 255");
    srun("", "-m arbitrary -w n2,n1,n1 x", "new x x N2-2 n3 c1");
    let other = "srun: error: --distribution=arbitrary needs one node for each task: 2 nodes, 3 tasks\nexit 1";
    srun("", "-m arbitrary -n3 -w n2,n1 x", other);
    // Each line of /hosts is a list or a name with a number.
    srun("SLURM_HOSTFILE=/hosts", "x", "new x x N3-3 n4 c1");
    srun("SLURM_HOSTFILE=/hosts", "-n2 x", "new x x N2-2 n2 c1");
    let lines = "srun: error: Failure getting NodeNames from hostfile\nsrun: error: ";
    srun("SLURM_HOSTFILE=/hosts", "-n5 x", &format!("{lines}Too few NodeNames in Slurm Hostfile\nexit 1"));
    let missing = "slurm_allocate_resources error opening file /nosuch, No such file or directory\nexit 1";
    srun("SLURM_HOSTFILE=/nosuch", "x", &format!("{lines}{missing}"));
    srun("", "-l -o %t x", "new x x Nany n1 c1");
    srun("", "--cpu-bind=quiet,none x", "new x x Nany n1 c1");
    srun("", "--cpu-bind=cores x", "new x x Nany n1 c1");
    srun("", "--mpi=list", "MPI plugin types are...\n\tnone\n\tpmi2\nexit 0");
    let found = "\tpmix\nspecific pmix plugin versions available: pmix_v4\nexit 0";
    srun("WITH_PMIX=4", "--mpi=list", &format!("MPI plugin types are...\n\tnone\n\tpmi2\n{found}"));
    srun("", "--mpi=pmix_v4 x", "new x x Nany n1 c1");
    srun("", "-d garbage true", "srun: error: Unable to allocate resources: Job dependency problem\nexit 1");
    srun(
        "",
        "--nosuch true",
        "srun: unrecognized option '--nosuch'\nTry \"srun --help\" for more information\nexit 255",
    );
    srun("", "--multi-prog nosuch.conf", "srun: error: Could not open multi_prog config file nosuch.conf\nexit 1");
    srun(
        "",
        "-n4 --multi-prog mp.conf",
        "srun: error: Configuration file mp.conf invalid, no record for task id 3\nexit 1",
    );
    // Where nothing says how many tasks there are, the file does, however many nodes there may be.
    srun("", "--multi-prog mp.conf", "new mp.conf mp.conf Nany n3 c1");
    srun("", "-N1-4 --multi-prog mp.conf", "new mp.conf mp.conf N1-3 n3 c1");
    srun(
        "",
        "-N4 --multi-prog mp.conf",
        "srun: Warning: can't run 3 processes on 4 nodes, setting nnodes to 3\nnew mp.conf mp.conf N3-3 n3 c1",
    );
    srun(
        "",
        "-N2 --ntasks-per-node=1 --multi-prog mp.conf",
        "srun: Warning: can't honor --ntasks-per-node set to 1 which doesn't match the requested tasks 3 with the number of \
         requested nodes 2. Ignoring --ntasks-per-node.\nnew mp.conf mp.conf N2-2 n3 c1",
    );
    srun(
        "SLURM_NTASKS=2",
        "--multi-prog mp.conf",
        "srun: error: Invalid task id, 2 >= ntasks\nsrun: error: Line 2 of configuration file mp.conf invalid\nexit 1",
    );
}

#[test]
fn streams_of_steps() {
    let check = |line: &str, expected: &str| {
        let plan = srun_plan("", line).unwrap();
        let here = format!("{:?} {:?} {:?}", plan.input, plan.output, plan.error);
        let there = format!("{:?} {:?} {:?}", plan.launch.input, plan.launch.output, plan.launch.error);
        assert_eq!(format!("{here} / {there}"), expected, "{line}");
    };
    check("x", "Own Own Some(Own) / Client Client Some(Client)");
    check("-o f x", "Own File(\"f\") None / Client Client None");
    check(
        "-o %t.o -e %t.e x",
        "Own NodeFile(\"%t.o\") Some(NodeFile(\"%t.e\")) / Client File(\"%t.o\") Some(File(\"%t.e\"))",
    );
    check("-i 3 -o none x", "OwnOfRank(3) Null None / Client Null None");
    check("-i none -o all -e 1 x", "Null Own Some(OwnOfRank(1)) / Null Client Some(Client)");
    assert_eq!(srun_plan("", "-i 3 x").unwrap().launch.input_rank, Some(3));
    let plan = srun_plan("", "-n3 --multi-prog mp.conf").unwrap();
    assert_eq!(plan.launch.programs[2], (2, vec!["echo".to_owned(), "2:1".to_owned()]));
}

#[test]
fn environment_of_a_step() {
    let job = crate::environment::tests::fixture::job(5);
    let client = ClientFacts { work_dir: "/tmp/w", host_name: "vm", nice: 0, umask: 0o022, export: None };
    let shown = |environment: &str, line: &str, job: Option<&Job>| {
        let plan = srun_plan(environment, line).unwrap();
        let mut shown = plan.environment.over(&plan.launch.environment, &client, job);
        let told_by_all = ["PATH=", "SLURM_PRIO_PROCESS=", "SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0=", "SLURM_UMASK="];
        shown.retain(|pair| !told_by_all.iter().any(|name| pair.starts_with(name)));
        shown.join(" ")
    };
    let within =
        |line: &str, expected: &str| assert_eq!(shown("A=outer SLURM_JOB_ID=5", line, Some(&job)), expected, "{line}");
    within("x", "A=outer SLURM_DISTRIBUTION=cyclic SLURM_JOB_ID=5 SRUN_DEBUG=3");
    within("-n2 x", "A=outer SLURM_DISTRIBUTION=block SLURM_JOB_ID=5 SRUN_DEBUG=3");
    within("--export=NONE x", "SLURM_DISTRIBUTION=cyclic SLURM_JOB_ID=5");
    within("--export=A=1 -l x", "A=1 SLURM_DISTRIBUTION=cyclic SLURM_JOB_ID=5 SLURM_LABELIO=1");
    within(
        "--export=ALL,B=2 -m cyclic -J named -c2 x",
        "A=outer B=2 SLURM_CPUS_PER_TASK=2 SLURM_DISTRIBUTION=cyclic SLURM_JOB_ID=5 SLURM_JOB_NAME=named SRUN_DEBUG=3",
    );
    assert_eq!(
        shown("A=outer", "-v x", None),
        "A=outer SLURM_JOB_NAME=x SLURM_SUBMIT_DIR=/tmp/w SLURM_SUBMIT_HOST=vm SRUN_DEBUG=4"
    );
}

#[test]
fn allocations() {
    let plan = |line: &str| around("A=1", &[], "", |around| salloc::plan(&words(line), around));
    let made = plan("-N2 --bell -K -I5 bash -c exit~5").unwrap();
    assert_eq!((&*made.spec.name, made.command.join("|")), ("interactive", "bash|-c|exit 5".to_owned()));
    let talk = (made.bell, made.kill_command, made.immediate);
    assert_eq!(talk, (Some(true), Some(15), Some(Span::from_seconds(5))));
    assert!(made.environment.contains(&"SLURM_SUBMIT_DIR=/tmp/w".to_owned()));
    assert_eq!(
        end(&plan("--nosuch true").unwrap_err()),
        "salloc: unrecognized option '--nosuch'\nTry \"salloc --help\" for more information\nexit 255"
    );
    assert_eq!(
        end(&plan("-d x true").unwrap_err()),
        "salloc: error: Job submit/allocate failed: Job dependency problem\nexit 1"
    );
    assert!(plan("").unwrap().command.is_empty());
}
