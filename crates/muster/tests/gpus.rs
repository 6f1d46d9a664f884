//! GPUs that a node finds by itself: a directory stands for the machine, and a library of our own for NVIDIA's.

mod support;

use std::path::Path;
use std::process::Command;

use support::Cluster;

/// A directory for `MUSTER_MACHINE_ROOT` with these cards, told as `crates/runtime/tests/fake_nvml.c` says.
fn machine(cards: &str, files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(root.path().join("cards"), cards).expect("a file");
    std::fs::create_dir(root.path().join("dev")).expect("a directory");
    for file in files {
        std::fs::write(root.path().join("dev").join(file), "").expect("a file");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/fake_nvml.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(root.path().join("libnvidia-ml.so.1"))
        .arg(format!("-DCARDS=\"{}\"", root.path().join("cards").display()))
        .arg(source)
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    root
}

/// A cluster on such machines: `n1` has as many GPUs as it says, `n2` says that it has more.
fn start(root: &Path) -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = "ClusterName=peer\nSlurmctldHost=localhost\nReturnToService=2\nGresTypes=gpu\nSelectTypeParameters=CR_Core\n\
                JobAcctGatherType=jobacct_gather/linux\nAccountingStorageTRES=gres/gpuutil\n\
                AcctGatherEnergyType=acct_gather_energy/gpu\nNodeName=n1 CPUs=2 Gres=gpu:a100:2 State=UNKNOWN\nNodeName=n2 CPUs=2 Gres=gpu:a100:3 State=UNKNOWN\n\
                PartitionName=all Nodes=n1,n2 Default=YES\n";
    let path = directory.path().join("site.conf");
    std::fs::write(&path, text).expect("a file");
    std::fs::write(directory.path().join("gres.conf"), "AutoDetect=nvml\n").expect("a file");
    let root = root.display().to_string();
    Cluster::start_with(&["--conf", &path.display().to_string()], &[("MUSTER_MACHINE_ROOT", root)])
}

#[test]
fn gpus_that_a_node_found_are_given_to_jobs() {
    let root = machine(
        "card 1 NVIDIA A100-SXM4-40GB|GPU-b|00000000:0F:00.0\ncard 0 NVIDIA A100-SXM4-40GB|GPU-a|00000000:07:00.0\n",
        &["nvidia0", "nvidia1"],
    );
    let cluster = start(root.path());
    let show =
        "echo $SLURM_STEP_GPUS:$CUDA_VISIBLE_DEVICES:$ROCR_VISIBLE_DEVICES:$ZE_AFFINITY_MASK:$GPU_DEVICE_ORDINAL";
    assert_eq!(cluster.out(&format!("srun -w n1 --gres=gpu:a100:2 sh -c '{show}'")), "0,1:0,1:::");
    assert_eq!(
        cluster.out(&format!("srun -w n1 -n2 -l --gpus-per-task=1 sh -c '{show}' | sort")),
        "0: 0:0:::\n1: 1:1:::"
    );
    cluster.wait("the other node to be drained", || cluster.out("sinfo -h -n n2 -o %T") == "drained");
    let reason = "gres/gpu count reported lower than configured (2 < 3)";
    assert!(cluster.out("scontrol show node n2").contains(&format!("Reason={reason} [root@")), "{}", cluster.logs());
    let found = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(["agent", "-G", "-N", "n1", "-f"])
        .arg(cluster.path().join("slurm.conf"))
        .env("MUSTER_MACHINE_ROOT", root.path())
        .output()
        .expect("muster runs");
    let expected = "Gres Name=gpu Type=a100 Count=1 Index=0 File=/dev/nvidia0 Links=-1,0\n\
                    Gres Name=gpu Type=a100 Count=1 Index=1 File=/dev/nvidia1 Links=0,-1\n";
    assert_eq!(String::from_utf8_lossy(&found.stdout), expected);
}

#[test]
fn parts_of_a_gpu_are_given_by_their_names() {
    let root = machine(
        "card 0 NVIDIA A100-SXM4-40GB|GPU-a|00000000:07:00.0\npart 1 0 MIG-aaa 3 3 20096\npart 2 0 MIG-bbb 3 3 20096\n",
        &["nvidia0"],
    );
    // Types of the configuration are parts of what the library says: `nvidia_a100-sxm4-40gb_3g.20gb`.
    let cluster = start(root.path());
    let seen = cluster.out("srun -w n1 --gres=gpu:1 sh -c 'echo $CUDA_VISIBLE_DEVICES'");
    assert_eq!(seen, "MIG-aaa");
    let both = cluster.out("srun -w n1 -n2 --gpus-per-task=1 sh -c 'echo $CUDA_VISIBLE_DEVICES' | sort");
    assert_eq!(both, "MIG-aaa\nMIG-bbb");
}

#[test]
fn what_a_job_uses_of_its_gpus_is_told() {
    let card = "card 0 NVIDIA A100|GPU-a|00000000:07:00.0\nenergy 1000 50000\n";
    let root = machine(&format!("{card}card 1 NVIDIA A100|GPU-b|00000000:0F:00.0\n"), &["nvidia0", "nvidia1"]);
    let cluster = start(root.path());
    let cards = root.path().join("cards").display().to_string();
    let used = "card 0 NVIDIA A100|GPU-a|00000000:07:00.0\\nenergy 8000 50000\\nprocess %d 1073741824 75 9\\n";
    let script = format!(
        "#!/bin/sh\nwhile ! test -e begin; do sleep 0.05; done\nprintf '{used}' $$ > {cards}.new; mv {cards}.new {cards}\nwhile ! test -e go; do sleep 0.05; done\n"
    );
    cluster.file("use.sh", &script);
    let job = cluster.submit("-w n1 --gres=gpu:1 -o out --wrap 'chmod 755 use.sh; srun --gres=gpu:1 ./use.sh'");
    let seen = || cluster.run(&format!("sstat -n -P -j {job}.0 -o TRESUsageInMax,ConsumedEnergyRaw")).stdout;
    // What is used counts from the moment at which the step is known to run.
    cluster.wait("the step to be measured", || seen().contains("energy=0"));
    cluster.file("begin", "");
    cluster.wait("the use of the GPU to be seen", || seen().contains("gres/gpumem=1G,gres/gpuutil=75|7\n"));
    cluster.file("go", "");
    cluster.wait_state(job, "COMPLETED");
    let told = cluster.out(&format!("sacct -n -P -j {job}.0 -o TRESUsageInTot,ConsumedEnergy"));
    assert!(told.contains("energy=7,") && told.ends_with("gres/gpumem=1G,gres/gpuutil=75|7"), "{told}");
    // That of a job is that of its steps.
    let of_job = || cluster.out(&format!("sacct -n -P -X -j {job} -o ConsumedEnergy,ConsumedEnergyRaw,AllocTRES"));
    cluster.wait("the job to have the energy of its step", || of_job().starts_with("7|7|billing=1,cpu=1,energy=7,"));
    let shown = cluster.out(&format!("scontrol show job {job} | grep ' TRES='"));
    assert!(shown.contains(",energy=7,node=1,"), "{shown}");
    let power = cluster.out("scontrol show node n1");
    assert!(power.contains("CurrentWatts="), "{power}");
}
