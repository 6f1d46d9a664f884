//! Text in, configuration or message out.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;

use muster_model::ids::NodeIndex;

use super::{ConfError, Loaded, load};

const HEAD: &str = "ClusterName=Test\nSlurmctldHost=head(127.0.0.1)\n";

fn load_files(files: &[(&str, &str)]) -> Result<Loaded, ConfError> {
    let files: BTreeMap<&Path, &str> = files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
    let read =
        |path: &Path| files.get(path).map(|text| (*text).to_owned()).ok_or_else(|| Error::from(ErrorKind::NotFound));
    load(Path::new("/c/slurm.conf"), &read)
}

fn check(text: &str) -> Loaded {
    load_files(&[("/c/slurm.conf", &format!("{HEAD}{text}"))]).unwrap_or_else(|error| panic!("{error}"))
}

fn check_error(text: &str, message: &str) {
    let error = load_files(&[("/c/slurm.conf", &format!("{HEAD}{text}"))]).unwrap_err().to_string();
    assert_eq!(error, message, "{text}");
}

#[test]
fn nodes_and_partitions() {
    let loaded = check(
        "NodeName=DEFAULT RealMemory=1000 CPUs=4\nNodeName=n[1-3] NodeAddr=10.0.0.[1-3] Feature=a,b Gres=gpu:h100:2\n\
         NodeName=m Sockets=2 CoresPerSocket=8 ThreadsPerCore=2 CPUs=32 Weight=5 State=DRAIN Reason=\"to be mended\"\n\
         NodeSet=big Feature=a\nPartitionName=DEFAULT MaxTime=1-0\nPartitionName=p Nodes=big Default=YES DefaultTime=10\n\
         partitionname=q nodes=ALL PRIORITYTIER=7 OverSubscribe=FORCE:2\n",
    );
    let cluster = loaded.cluster;
    assert_eq!(&*cluster.cluster_name, "test");
    assert_eq!(cluster.nodes.len(), 4);
    assert_eq!(
        (&*cluster.nodes[1].name, &*cluster.nodes[1].address, cluster.nodes[1].hardware.cpus),
        ("n2", "10.0.0.2", 4)
    );
    assert_eq!(cluster.nodes[0].hardware.gres[0].to_string(), "gpu:h100:2");
    assert_eq!(cluster.nodes[3].reason.as_deref(), Some("to be mended"));
    assert_eq!(cluster.partitions[0].nodes, [0, 1, 2].map(NodeIndex));
    assert_eq!(cluster.partitions[1].nodes.len(), 4);
    assert_eq!(
        (cluster.partitions[0].time_max.to_string(), cluster.partitions[1].priority_tier),
        ("1-00:00:00".to_owned(), 7)
    );
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.daemon.controller_address(), "127.0.0.1:6817");
}

#[test]
fn errors_name_file_and_line() {
    let good = "NodeName=n1\nPartitionName=p Nodes=n1\n";
    check_error(&format!("NoSuchKey=1\n{good}"), "/c/slurm.conf line 3: Parsing error at unrecognized key: NoSuchKey");
    check_error("NodeName=n1 CPUs=abc\n", "/c/slurm.conf line 3: CPUs value \"abc\" is not a valid number");
    check_error("NodeName=n1 RealMemory=1G\n", "/c/slurm.conf line 3: RealMemory value (1G) is not a valid number");
    check_error("NodeName=n1\n", "/c/slurm.conf: No PartitionName information available!");
    check_error("PartitionName=p Nodes=n9\nNodeName=n1\n", "/c/slurm.conf line 3: no node n9 is defined");
    check_error("NodeName=n1\nNodeName=n1\n", "/c/slurm.conf line 4: Duplicated NodeName n1 in the config file");
    check_error(
        &format!("KillWait=soon\n{good}"),
        "/c/slurm.conf line 3: KillWait value \"soon\" is not a valid number",
    );
}

#[test]
fn included_files_are_part_of_it() {
    let files = [
        ("/c/slurm.conf", "ClusterName=x\nInclude nodes.conf\nSlurmctldHost=h\nPartitionName=p Nodes=ALL\n"),
        ("/c/nodes.conf", "# all\nNodeName=n[1-2] \\\n  CPUs=2 Gres=gpu:4\n"),
        ("/c/gres.conf", "NodeName=n[1-2] Name=gpu Type=a100 File=/dev/x[0-3]\n"),
    ];
    let loaded = load_files(&files).unwrap();
    assert_eq!(loaded.cluster.nodes[0].hardware.gres[0].to_string(), "gpu:a100:4");
    let broken = [("/c/slurm.conf", "Include missing.conf\n")];
    assert!(
        load_files(&broken)
            .unwrap_err()
            .to_string()
            .starts_with("/c/slurm.conf line 1: \"Include\" failed: /c/missing.conf:")
    );
}

#[test]
fn what_is_not_acted_on_is_named_once() {
    let loaded =
        check("TreeWidth=8\nTreeWidth=16\nMailProg=/bin/true\nNodeName=n1\nPartitionName=p Nodes=n1 LLN=YES\n");
    let words: Vec<&str> = loaded.warnings.iter().filter_map(|warning| warning.split(' ').next()).collect();
    assert_eq!(words, ["TreeWidth", "MailProg", "LLN"]);
}

#[test]
fn show_config_lists_values_with_their_units() {
    let shown = check("KillWait=7\nPriorityMaxAge=14-0\nNodeName=n1\nPartitionName=p Nodes=n1\n").cluster.shown;
    let value = |key: &str| shown.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(value("KillWait"), Some("7 sec"));
    assert_eq!(value("MaxArraySize"), Some("1001"));
    assert_eq!(value("MinJobAge"), Some("300 sec"));
    assert_eq!(value("PriorityMaxAge"), Some("14-00:00:00"));
    assert_eq!(value("SlurmctldHost[0]"), Some("head(127.0.0.1)"));
}
