//! What `slurmd -G` of 22.05 showed for fake GPUs, and what follows from it.

use super::tests::load_files;
use super::{FoundGpu, GpuVariables, NodeGres};
use crate::environment::GpuFacts;

/// `type|cores|links|files|id`, with `-` for what is not known.
fn found(lines: &str) -> Vec<FoundGpu> {
    let known = |text: &str| (text != "-").then(|| text.to_owned());
    let gpu = |line: &str| {
        let mut parts = line.trim().split('|').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_else(|| "-".to_owned());
        FoundGpu {
            kind: next(),
            cores: known(&next()).map(|text| super::nodes::index_list(&text).unwrap()),
            links: known(&next()).map_or(Vec::new(), |text| text.split(',').map(|n| n.parse().unwrap()).collect()),
            files: next().split('+').map(|name| format!("/dev/{name}")).collect(),
            unique_id: known(&next()),
        }
    };
    lines.lines().filter(|line| !line.trim().is_empty()).map(gpu).collect()
}

fn load(gres: &str, gres_conf: &str) -> super::Loaded {
    let slurm = format!(
        "ClusterName=x\nSlurmctldHost=h\nNodeName=n1 CPUs=16 Sockets=2 CoresPerSocket=8 Gres={gres}\n\
         NodeName=n2\nPartitionName=p Nodes=ALL\n"
    );
    load_files(&[("/c/slurm.conf", &slurm), ("/c/gres.conf", gres_conf)]).unwrap()
}

fn node(gres: &str, gres_conf: &str, gpus: Option<&str>) -> NodeGres {
    let loaded = load(gres, gres_conf);
    let found = gpus.map(found);
    loaded.gres.of_node(&loaded.cluster.nodes[0], found.as_deref(), &|path| path != "/dev/lost")
}

/// The units as `type file cores links` in the order of the devices, and the counts.
#[track_caller]
fn check(gres: &str, gres_conf: &str, gpus: Option<&str>, units: &[&str], counts: &str) {
    let node = node(gres, gres_conf, gpus);
    let shown: Vec<String> = node
        .units
        .iter()
        .map(|unit| {
            let text = unit.to_string();
            let text = text.strip_prefix("Gres Name=gpu Type=").unwrap_or(&text);
            format!("{} {}", unit.unit, text.replace(" Count=1 Index=", " ").replace("File=/dev/", ""))
        })
        .collect();
    assert_eq!(shown, units, "{:?}", node.messages);
    let shown: Vec<String> = node.counts.iter().map(ToString::to_string).collect();
    assert_eq!(shown.join(","), counts);
}

const TWO: &str = "nvidia_a100-sxm4-40gb|0-7|-1,4|x0\nnvidia_a100-sxm4-40gb|8-15|4,-1|x1";

const FIRST: &str = "0 a100 0 x0 Cores=0-7 Links=-1,4";
const SECOND: &str = "1 a100 1 x1 Cores=8-15 Links=4,-1";

#[test]
fn types_are_those_of_the_configuration() {
    let auto = "AutoDetect=nvml\n";
    let untyped = ["0 (null) 0 x0 Cores=0-7 Links=-1,4", "1 (null) 1 x1 Cores=8-15 Links=4,-1"];
    check("gpu:2", auto, Some(TWO), &untyped, "gpu:2");
    check("gpu:a100:2", auto, Some(TWO), &[FIRST, SECOND], "gpu:a100:2");
    check("gpu:a100:1", auto, Some(TWO), &[FIRST], "gpu:a100:1");
    check("gpu:a100:3", auto, Some(TWO), &[FIRST, SECOND], "gpu:a100:2");
    check("gpu:h100:2", auto, Some(TWO), &[], "gpu:h100:0");
    let upper = [FIRST.replace("a100", "A100"), SECOND.replace("a100", "A100")];
    check("gpu:A100:2", auto, Some(TWO), &[&upper[0], &upper[1]], "gpu:A100:2");
    let parts = "nvidia_a100-sxm4-40gb_3g.20gb|0-7|-|x0+cap21+cap22|MIG-1\nnvidia_a100-sxm4-40gb|8-15|-|x1";
    let expected = ["1 3g.20gb 0 x0,/dev/cap21,/dev/cap22 Cores=0-7 UniqueId=MIG-1", "0 a100 1 x1 Cores=8-15"];
    check("gpu:a100:1,gpu:3g.20gb:1", auto, Some(parts), &expected, "gpu:a100:1,gpu:3g.20gb:1");
    let ignored = node("gpu:a100:1", auto, Some(TWO)).messages;
    assert!(
        ignored
            .iter()
            .any(|text| text.starts_with("WARNING: The following autodetected GPUs are being ignored: Type:nv")),
        "{ignored:?}"
    );
}

#[test]
fn lines_and_machine_must_agree() {
    let all = "AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x[0-1]\n";
    check("gpu:a100:2", all, Some(TWO), &[FIRST, SECOND], "gpu:a100:2");
    check(
        "gpu:a100:2",
        "AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x0\n",
        Some(TWO),
        &[FIRST, SECOND],
        "gpu:a100:2",
    );
    let cores = "AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x[0-1] Cores=0-7\n";
    check("gpu:a100:2", cores, Some(TWO), &[FIRST], "gpu:a100:1");
    let links = "AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x1 Links=9,-1\n";
    check("gpu:a100:2", links, Some(TWO), &[FIRST], "gpu:a100:1");
    let text = node("gpu:a100:2", links, Some(TWO)).messages.join("\n");
    assert!(text.contains("mismatching Cores or Links from the device found on the system. Ignoring it."), "{text}");
    // What nobody found is believed where a file is named that is there.
    let more = "AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x[0-2]\n";
    check("gpu:a100:3", more, Some(TWO), &[FIRST, SECOND, "2 a100 2 x2"], "gpu:a100:3");
    let lost = "AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x[0-1],/dev/lost\n";
    check("gpu:a100:3", lost, Some(TWO), &[FIRST, SECOND], "gpu:a100:2");
    let others = "nvidia_a100|0-7|-1,4|x1\ntesla_v100|8-15|4,-1|x0";
    let expected = ["1 a100 0 x1 Cores=0-7 Links=-1,4", "0 v100 1 x0 Cores=8-15 Links=4,-1"];
    check("gpu:v100:1,gpu:a100:1", "AutoDetect=nvml\n", Some(others), &expected, "gpu:v100:1,gpu:a100:1");
    let places = node("gpu:v100:1,gpu:a100:1", "AutoDetect=nvml\n", Some(others)).places();
    let shown: Vec<_> = places.iter().map(|at| (at.cores.as_ref().unwrap().to_string(), at.links.clone())).collect();
    assert_eq!(shown, [("8-15".to_owned(), vec![-1, 4]), ("0-7".to_owned(), vec![4, -1])]);
}

#[test]
fn without_a_look_at_the_machine_the_lines_count() {
    let lines = "Name=gpu Type=a File=/dev/a[0-1] Cores=0-7\nName=gpu Type=b File=/dev/lost\nName=nic File=/dev/nic\n";
    let units = ["0 a 0 a0 Cores=0-7", "1 a 1 a1 Cores=0-7", "0 Gres Name=nic Type=(null) 0 nic"];
    check("gpu:a:2,gpu:b:1,nic:1,lustre:4G", lines, None, &units, "gpu:a:2,gpu:b:0,nic:1,lustre:4294967296");
    // As in Slurm: a GPU without a file is none.
    check("gpu:2,tape:2", "", None, &[], "gpu:0,tape:2");
    check(
        "gpu:2,shard:8",
        "Name=gpu File=/dev/x[0-1]\nName=shard Count=8\n",
        None,
        &["0 (null) 0 x0", "1 (null) 1 x1"],
        "gpu:2,shard:8",
    );
    check(
        "gpu:a100:2",
        "Name=gpu MultipleFiles=/dev/x0,/dev/c1\nName=gpu MultipleFiles=/dev/x0,/dev/c2\n",
        None,
        &["0 a100 0 x0,/dev/c1", "1 a100 1 x0,/dev/c2"],
        "gpu:a100:2",
    );
}

#[test]
fn what_is_gone_leaves_its_number_empty() {
    let conf = "Name=gpu File=/dev/x0 Links=-1,1,2 Cores=0-7\nName=gpu File=/dev/lost Links=1,-1,3\n\
                Name=gpu File=/dev/x2 Links=2,3,-1 Cores=8-15\n";
    let units = ["0 (null) 0 x0 Cores=0-7 Links=-1,2", "2 (null) 1 x2 Cores=8-15 Links=2,-1"];
    check("gpu:3", conf, None, &units, "gpu:2");
    let gres = node("gpu:3", conf, None);
    let files: Vec<_> = gres.files().into_iter().map(|file| (file.unit, file.path)).collect();
    assert_eq!(files, [(0, "/dev/x0".to_owned()), (2, "/dev/x2".to_owned())]);
    let cores = |place: &muster_model::node::GresPlace| place.cores.as_ref().map(ToString::to_string);
    let places: Vec<_> = gres.places().iter().map(|place| (cores(place), place.links.clone())).collect();
    let expected = [(Some("0-7"), vec![-1, 0, 2]), (None, vec![]), (Some("8-15"), vec![2, 0, -1])];
    assert_eq!(places, expected.map(|(cores, links)| (cores.map(str::to_owned), links)));
}

#[test]
fn devices_keep_their_numbers_when_fewer_are_found() {
    let conf = "AutoDetect=nvml\n";
    let loaded = load("gpu:a100:3,gpu:v100:1", conf);
    let own = &loaded.cluster.nodes[0];
    let look = |gpus: &str, before: &[super::GresNumber]| {
        let mut gres = loaded.gres.of_node(own, Some(&found(gpus)), &|_| true);
        let known = gres.keep_numbers(own, before);
        let told: Vec<String> =
            gres.units.iter().map(|unit| format!("{}:{}", unit.unit, &unit.files[0]["/dev/".len()..])).collect();
        (told.join(" "), known, gres.places())
    };
    let (told, known, _) = look("a100|0|-|x0\na100|1|-|x1\nv100|2|-|x2\na100|3|-|x3", &[]);
    assert_eq!(told, "0:x0 1:x1 3:x2 2:x3");
    let (told, known, places) = look("a100|1|-|x1\nv100|2|-|x2\na100|3|-|x3", &known);
    assert_eq!(told, "1:x1 3:x2 2:x3", "and not what would be first now");
    let cores: Vec<_> = places.iter().map(|place| place.cores.as_ref().map(ToString::to_string)).collect();
    assert_eq!(cores, [None, Some("1".to_owned()), Some("3".to_owned()), Some("2".to_owned())]);
    // What is new takes the number of what was lost, where no other is left.
    assert_eq!(look("a100|1|-|x1\nv100|2|-|x2\na100|3|-|x3\na100|4|-|x4", &known).0, "1:x1 3:x2 2:x3 0:x4");
    let (told, again, _) = look("a100|0|-|x0\na100|1|-|x1\nv100|2|-|x2\na100|3|-|x3", &known);
    assert_eq!((told.as_str(), again.len()), ("0:x0 1:x1 3:x2 2:x3", 4), "it is remembered until it comes back");
    // Types that the node has no more are forgotten.
    let other = load("gpu:4", conf);
    let mut gres = other.gres.of_node(&other.cluster.nodes[0], Some(&found("a100|-|-|x1")), &|_| true);
    assert_eq!(gres.keep_numbers(&other.cluster.nodes[0], &known).len(), 1);
    assert_eq!(gres.units[0].unit, 0);
}

#[test]
fn nodes_look_for_gpus_as_their_own_line_says() {
    let shown = |conf: &str| {
        let loaded = load("gpu:2", conf);
        format!("{:?} {:?}", loaded.gres.detection("n1"), loaded.gres.detection("n2"))
    };
    assert_eq!(shown(""), "Off Off");
    assert_eq!(shown("AutoDetect=NVML\n"), "Nvml Nvml");
    assert_eq!(shown("AutoDetect=rsmi\nNodeName=n1 AutoDetect=off Name=gpu File=/dev/x[0-1]\n"), "Off Rsmi");
    assert_eq!(shown("NodeName=n2 AutoDetect=oneapi\n"), "Off OneApi");
    let error = |conf: &str| {
        let slurm = "ClusterName=x\nSlurmctldHost=h\nNodeName=n1 Gres=gpu:a:2\nPartitionName=p Nodes=n1\n";
        load_files(&[("/c/slurm.conf", slurm), ("/c/gres.conf", conf)]).unwrap_err().to_string()
    };
    assert_eq!(error("AutoDetect=magic\n"), "/c/gres.conf line 1: unknown autodetect flag 'magic'");
    let twice = "NodeName=n1 AutoDetect=nvml\nNodeName=n1 AutoDetect=off\n";
    let text = "duplicate node-local AutoDetect specification does not match the first";
    assert_eq!(error(twice), format!("/c/gres.conf line 2: {text}"));
    let count = "/c/gres.conf line 1: Invalid GRES record for gpu, count does not match File value";
    assert_eq!(error("Name=gpu Count=3 File=/dev/x[0-1]\n"), count);
    let both = "/c/gres.conf line 1: File and MultipleFiles options are mutually exclusive";
    assert_eq!(error("Name=gpu File=/dev/x MultipleFiles=/dev/y\n"), both);
    let flags = "Name=gpu Type=a File=/dev/x0 Flags=nvidia_gpu_env\nName=gpu Type=a File=/dev/x1 Flags=amd_gpu_env\n";
    let text = "Flags (amd_gpu_env) does not match env flags for previous GRES of same node and name";
    assert_eq!(error(flags), format!("/c/gres.conf line 2: {text}"));
    assert_eq!(error("Name=gpu Flags=odd\n"), "/c/gres.conf line 1: Flags has no word \"odd\"");
}

#[test]
fn variables_follow_the_flags_and_the_detection() {
    let variables = |conf: &str, found: Option<&str>| {
        let node = node("gpu:a100:2", conf, found);
        let all: Vec<GpuVariables> = node.units.iter().map(|unit| unit.variables).collect();
        assert_eq!(all.first(), all.last());
        let GpuVariables { nvidia, amd, intel, opencl } = all[0];
        [(nvidia, "n"), (amd, "a"), (intel, "i"), (opencl, "o")]
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, at)| *at)
            .collect::<String>()
    };
    assert_eq!(variables("Name=gpu Type=a100 File=/dev/x[0-1]\n", None), "naio");
    assert_eq!(variables("AutoDetect=nvml\n", Some(TWO)), "n");
    assert_eq!(variables("AutoDetect=rsmi\n", Some(TWO)), "a");
    assert_eq!(
        variables("AutoDetect=nvml\nName=gpu Type=a100 File=/dev/x[0-1] Flags=opencl_env,nvidia_gpu_env\n", Some(TWO)),
        "no"
    );
    let inherited = "Name=gpu Type=a100 File=/dev/x0 Flags=no_gpu_env\nName=gpu Type=a100 File=/dev/x1\n";
    assert_eq!(variables(inherited, None), "");
}

#[test]
fn processes_are_told_of_their_gpus() {
    use muster_model::resources::{GresShare, IndexSet};
    let facts = |gres: &str, conf: &str, found: &str, renumbered: bool| {
        let loaded = load(gres, conf);
        let gpus = super::gres_tests::found(found);
        let node = &loaded.cluster.nodes[0];
        GpuFacts::new(node, &loaded.gres.of_node(node, Some(&gpus), &|_| true), renumbered)
    };
    let told = |facts: &GpuFacts, name: &str, units: &[u32]| {
        let mut set = IndexSet::default();
        units.iter().for_each(|unit| set.insert(*unit));
        let held = [GresShare { name: name.into(), kind: None, units: set }];
        crate::environment::tests::gpu_lines(&held, facts)
    };
    let plain = facts("gpu:a100:2", "AutoDetect=nvml\n", TWO, false);
    assert_eq!(told(&plain, "gpu", &[1]), "CUDA_VISIBLE_DEVICES=1 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=1");
    let hidden = facts("gpu:a100:2", "AutoDetect=nvml\n", TWO, true);
    assert_eq!(told(&hidden, "gpu", &[1]), "CUDA_VISIBLE_DEVICES=0 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=1");
    // Units are numbered by type, libraries count by bus.
    let mixed = "tesla_v100|-|-|x0\nnvidia_a100|-|-|x1";
    let mixed = facts("gpu:a100:1,gpu:v100:1", "AutoDetect=nvml\n", mixed, false);
    assert_eq!(told(&mixed, "gpu", &[0]), "CUDA_VISIBLE_DEVICES=1 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=1");
    // The second of three is gone: who holds it is told of none, and not of the one that has its number now.
    let loaded =
        load("gpu:3", "Name=gpu File=/dev/x0 Flags=nvidia_gpu_env\nName=gpu File=/dev/lost\nName=gpu File=/dev/x2\n");
    let own = &loaded.cluster.nodes[0];
    let less = GpuFacts::new(own, &loaded.gres.of_node(own, None, &|path| path != "/dev/lost"), false);
    assert_eq!(told(&less, "gpu", &[2]), "CUDA_VISIBLE_DEVICES=1 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=1");
    assert_eq!(told(&less, "gpu", &[1, 2]), "CUDA_VISIBLE_DEVICES=1 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=2");
    assert!(told(&less, "gpu", &[1]).starts_with("CUDA_VISIBLE_DEVICES= "), "{}", told(&less, "gpu", &[1]));
    let parts = "a100_1g.5gb|-|-|x0+c1|MIG-aaa\na100_1g.5gb|-|-|x0+c2|MIG-bbb";
    let parts = facts("gpu:1g.5gb:2", "AutoDetect=nvml\n", parts, true);
    let both = "CUDA_VISIBLE_DEVICES=MIG-aaa,MIG-bbb SLURM_JOB_GPUS=0,1 SLURM_GPUS_ON_NODE=2";
    assert_eq!(told(&parts, "gpu", &[0, 1]), both);
    let shared =
        facts("gpu:a100:2,mps:200,shard:8", "AutoDetect=nvml\nName=mps Count=200\nName=shard Count=8\n", TWO, false);
    let mps = "CUDA_VISIBLE_DEVICES=1 CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=1";
    assert_eq!(told(&shared, "mps", &(100..125).collect::<Vec<_>>()), mps);
    let shard = "CUDA_VISIBLE_DEVICES=1 SLURM_JOB_GPUS=1 SLURM_GPUS_ON_NODE=1 SLURM_SHARDS_ON_NODE=2";
    assert_eq!(told(&shared, "shard", &[5, 6]), shard);
    let all = "CUDA_VISIBLE_DEVICES=1 GPU_DEVICE_ORDINAL=1 ROCR_VISIBLE_DEVICES=1 ZE_AFFINITY_MASK=1 SLURM_JOB_GPUS=1 \
               SLURM_GPUS_ON_NODE=1";
    assert_eq!(told(&GpuFacts::UNKNOWN, "gpu", &[1]), all);
}
