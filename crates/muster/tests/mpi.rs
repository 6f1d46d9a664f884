//! MPI programs of Open MPI under `srun --mpi=pmix`: several nodes, ends of all kinds, and a server that dies.

mod support;

use support::{Cluster, Ran};

/// Loopback only, and no shared memory between nodes that are one machine.
const SETTINGS: &str = "export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_pml=ob1";

/// A cluster with the program; `None`, with words on standard error, where there is no Open MPI.
fn cluster(args: &[&str]) -> Option<Cluster> {
    let cluster = Cluster::start(args);
    cluster.file("world.c", include_str!("mpi/world.c"));
    let built = cluster.run("mpicc -o world world.c");
    if built.code != 0 {
        eprintln!("SKIPPED: no MPI program can be built here: {}", built.stderr);
        return None;
    }
    Some(cluster)
}

fn srun(cluster: &Cluster, line: &str) -> Ran {
    cluster.run(&format!("{SETTINGS}; srun --mpi=pmix {line}"))
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// No server and none of their directories are left.
fn is_clean(cluster: &Cluster) -> bool {
    cluster.out("ls -d ../spool/*/pmix.* 2>/dev/null; true").is_empty() && servers(cluster).is_empty()
}

/// Process numbers of the servers of this cluster.
fn servers(cluster: &Cluster) -> Vec<i32> {
    let mark = format!("TMPDIR={}/", cluster.path().display());
    let is_ours = |pid: &i32| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let has = |bytes: Vec<u8>, text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        has(read("cmdline"), "pmix-server") && has(read("environ"), &mark)
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

#[test]
fn programs_of_open_mpi_run_on_several_nodes() {
    let Some(cluster) = cluster(&["--nodes", "4", "--cpus", "4"]) else { return };
    let listed = cluster.out("srun --mpi=list");
    assert!(listed.contains("\tpmix\nspecific pmix plugin versions available: pmix_v"), "{listed}");

    let ran = srun(&cluster, "-N4 -n12 --ntasks-per-node=3 ./world sum");
    let expected: Vec<String> = (0..12).map(|rank| format!("{rank} of 12: 66, 3 on n{}", rank / 3 + 1)).collect();
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!((ran.code, sorted(&ran.stdout)), (0, expected), "{}\n{}", ran.stderr, cluster.logs());

    // Two halves meet by a published name, with ranks dealt in turn.
    let ran = srun(&cluster, "-N2 -n4 -m cyclic ./world meet");
    let met = ["0 met 2: 4", "1 met 2: 2", "2 met 2: 4", "3 met 2: 2"];
    assert_eq!((ran.code, sorted(&ran.stdout)), (0, met.to_vec()), "{}", ran.stderr);

    // Components of a heterogeneous job are one world.
    let ran = srun(&cluster, "-N1 -n4 --exclusive ./world sum : -N2 -n4 --exclusive ./world sum");
    let ranks = sorted(&ran.stdout).iter().filter(|line| line.contains(" of 8: 28, ")).count();
    assert_eq!((ran.code, ranks), (0, 8), "{}\n{}", ran.stdout, ran.stderr);

    let ran = srun(&cluster, "-N2 -n4 ./world code");
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    cluster.wait("everything to be cleaned up", || is_clean(&cluster));
}

#[test]
fn an_mpi_program_that_cannot_go_on_ends_with_its_step() {
    let Some(cluster) = cluster(&["--nodes", "2", "--cpus", "4"]) else { return };
    // The code of MPI_Abort is that of srun, as in Slurm.
    let ran = srun(&cluster, "-N2 -n4 ./world abort");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("*** STEP 1.0 ON n1 CANCELLED AT "), "{}", ran.stderr);
    // A task that leaves without a word: the others would wait for it for ever.
    let ran = srun(&cluster, "-N2 -n4 ./world leave");
    let words = "Error handler invoked: status = -61, source = [slurm.pmix.2.0:1]";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    assert_eq!(ran.code, 137, "{}", ran.stderr);
    assert_eq!(cluster.out("sacct -n -X -P -o State -j 2"), "FAILED");
    // What is not there is said, and the node goes on.
    let ran = srun(&cluster, "--mpi=pmix_v3 -N1 true");
    assert!(ran.code == 1 && ran.stderr.contains("mpi/pmix: this node has libpmix "), "{}", ran.stderr);
    cluster.wait("everything to be cleaned up", || is_clean(&cluster));
}

#[test]
fn a_dead_pmix_server_takes_only_its_step_along() {
    let Some(cluster) = cluster(&["--nodes", "2", "--cpus", "4"]) else { return };
    let step = format!("{SETTINGS}; srun --mpi=pmix -N2 -n4 ./world wait > waiting 2> words; echo $? > code");
    let mut step = cluster.command(&step).spawn().unwrap();
    cluster.wait("all tasks to be there", || cluster.read("waiting").lines().count() == 4);
    let before = servers(&cluster);
    assert_eq!(before.len(), 2);
    cluster.out(&format!("kill -9 {}", before[0]));
    step.wait().unwrap();
    let words = cluster.read("words");
    assert!(words.contains("the PMIx server of the node has ended"), "{words}");
    assert_eq!(cluster.read("code"), "137\n");
    cluster.wait("everything to be cleaned up", || is_clean(&cluster));
    assert_eq!(cluster.out("srun -N2 -n2 echo still here | uniq -c | tr -s ' '"), " 2 still here");
}
