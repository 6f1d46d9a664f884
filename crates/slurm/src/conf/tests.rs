//! Text in, configuration or message out.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;

use muster_model::ids::NodeIndex;
use muster_model::preemption::PreemptMode;
use muster_model::time::Span;

use super::{ConfError, Loaded, load};

const HEAD: &str = "ClusterName=Test\nSlurmctldHost=head(127.0.0.1)\n";

pub(super) fn load_files(files: &[(&str, &str)]) -> Result<Loaded, ConfError> {
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
         partitionname=q nodes=ALL PRIORITYTIER=7 OverSubscribe=FORCE:2 ReqResv=YES OverTimeLimit=3\n",
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
    let kept = |at: usize| {
        (cluster.partitions[at].reservation_required, cluster.partitions[at].over_time_limit.map(|span| span.seconds()))
    };
    assert_eq!([kept(0), kept(1)], [(false, None), (true, Some(180))]);
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
    let loaded = check(
        "TCPTimeout=8\nTCPTimeout=16\nMailProg=/bin/true\nNodeName=n1\nPartitionName=p Nodes=n1 PowerDownOnIdle=yes\n",
    );
    let words: Vec<&str> = loaded.warnings.iter().filter_map(|warning| warning.split(' ').next()).collect();
    assert_eq!(words, ["TCPTimeout", "PowerDownOnIdle"]);
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

#[test]
fn preempt_parameters_are_acted_on_or_named() {
    let given = "PreemptParameters=youngest_first,min_exempt_priority=7,no_such";
    let conf = format!("{HEAD}{given}\nNodeName=n1\nPartitionName=p Nodes=n1\n");
    let loaded = load_files(&[("/c/slurm.conf", &conf)]).unwrap();
    let preemption = &loaded.cluster.preemption;
    assert_eq!((preemption.youngest_first, preemption.strict_order), (true, false));
    assert_eq!(preemption.exempt_priority_min, Some(7));
    assert!(loaded.warnings.iter().any(|warning| warning.contains("no_such")), "{:?}", loaded.warnings);
}

#[test]
fn suspension_and_turns_are_read() {
    let given = "PreemptType=preempt/partition_prio\nPreemptMode=SUSPEND,GANG\nSchedulerTimeSlice=10";
    let conf =
        format!("{HEAD}{given}\nNodeName=n1\nPartitionName=p Nodes=n1\nPartitionName=q Nodes=n1 PreemptMode=OFF\n");
    let loaded = load_files(&[("/c/slurm.conf", &conf)]).unwrap();
    let (preemption, cluster) = (&loaded.cluster.preemption, &loaded.cluster);
    assert_eq!((preemption.mode, preemption.gang), (PreemptMode::Suspend, true));
    assert_eq!(cluster.time_slice, Span::from_seconds(10));
    let shown = |name: &str| cluster.shown.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((shown("PreemptMode"), shown("SchedulerTimeSlice")), (Some("GANG,SUSPEND"), Some("10 sec")));
    let of = |at: usize| {
        let others = &cluster.partitions[at].others;
        others.iter().find(|(key, _)| &**key == "PreemptMode").map(|(_, value)| value.to_string())
    };
    assert_eq!((of(0).as_deref(), of(1).as_deref()), (Some("GANG,SUSPEND"), Some("OFF")));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let gang = format!("{HEAD}PreemptMode=GANG\nNodeName=n1\nPartitionName=p Nodes=n1 OverSubscribe=FORCE:2\n");
    let gang = load_files(&[("/c/slurm.conf", &gang)]).unwrap().cluster.preemption;
    assert_eq!((gang.mode, gang.gang), (PreemptMode::Off, true));
}

#[test]
fn what_slurm_refuses_about_policy_is_refused_with_its_line() {
    let refused = |lines: &str, message: &str| {
        let conf = format!("{HEAD}{lines}\nNodeName=n1\nPartitionName=p Nodes=n1\n");
        let error = load_files(&[("/c/slurm.conf", &conf)]).map(|_| ()).unwrap_err().to_string();
        assert!(error.ends_with(message) && error.starts_with("/c/slurm.conf line "), "{lines}: {error}");
    };
    let modes = "PreemptType and PreemptMode values incompatible";
    refused("PreemptType=preempt/qos", modes);
    refused("PreemptType=preempt/partition_prio\nPreemptMode=OFF", modes);
    refused("PreemptMode=REQUEUE", modes);
    refused("PreemptType=preempt/partition_prio\nPreemptMode=SUSPEND", "PreemptMode=SUSPEND requires GANG too");
    refused("SchedulerTimeSlice=4", "SchedulerTimeSlice value \"4\" is not between 5 and 65533");
    let priority = "min_exempt_priority \"high\" of PreemptParameters is not a priority";
    refused("PreemptParameters=min_exempt_priority=high", priority);
    refused("PriorityCalcPeriod=0", "Bad value \"0\" for PriorityCalcPeriod");
    refused("PriorityWeightTRES=cpu=1,gres/gpu=2", "TRES weight 'gres/gpu' is not a configured TRES type.");
    refused("TopologyPlugin=topology/foo", "cannot find topo plugin for topology/foo");
}

/// The error of a `topology.conf` for four nodes.
fn check_topology(plugin: &str, text: &str, message: &str) {
    let conf = format!("{HEAD}TopologyPlugin={plugin}\nNodeName=n[1-4]\nPartitionName=p Nodes=ALL\n");
    let outcome = match load_files(&[("/c/slurm.conf", &conf), ("/c/topology.conf", text)]) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(outcome, message, "{text}");
}

#[test]
fn a_topology_makes_sense_or_is_refused_with_its_line() {
    let at = |line: u32, text: &str| format!("/c/topology.conf line {line}: {text}");
    check_topology("topology/tree", "SwitchName=s[0-1] Nodes=n1\n", &at(1, "a node of switch s1 is at switch s0 too"));
    check_topology("topology/tree", "SwitchName=s0 Nodes=n1\nSwitchName=t Switches=s0\n", "fine");
    check_topology("tree", "SwitchName=s0\n", &at(1, "switch s0 needs either Nodes or Switches"));
    check_topology("tree", "SwitchName=s0 Nodes=n9\n", &at(1, "no node n9 is defined"));
    check_topology("tree", "SwitchName=s0 Speed=1\n", &at(1, "unrecognized key: Speed"));
    check_topology(
        "tree",
        "SwitchName=s0 Nodes=n1\nSwitchName=t Switches=x\n",
        &at(2, "switch t names x, which is not defined"),
    );
    check_topology("tree", "SwitchName=a Switches=b\nSwitchName=b Switches=a\n", &at(1, "switch a is within itself"));
    check_topology(
        "tree",
        "SwitchName=s Nodes=n1\nSwitchName=a Switches=s\nSwitchName=b Switches=s\n",
        &at(3, "switch s is under two others"),
    );
    check_topology("block", "BlockName=b1 Nodes=n[1-2]\nBlockName=b2 Nodes=n[3-4]\nBlockSizes=2,4\n", "fine");
    check_topology(
        "block",
        "BlockName=b1 Nodes=n[1-2]\nBlockSizes=2,6\n",
        &at(2, "BlockSizes=2,6: each size must be the first times a power of two, ascending"),
    );
    check_topology(
        "block",
        "BlockName=b1 Nodes=n[1-2]\nBlockName=b2 Nodes=n[2-3]\n",
        &at(2, "a node of block b2 is in block b1 too"),
    );
    let alone = format!("{HEAD}TopologyPlugin=topology/tree\nNodeName=n1\nPartitionName=p Nodes=n1\n");
    let error = load_files(&[("/c/slurm.conf", &alone)]).unwrap_err().to_string();
    assert_eq!(error, "/c/slurm.conf: TopologyPlugin is set, and there is no topology.conf beside");
}

#[test]
fn hardware_that_is_kept_and_places_of_units() {
    let slurm = format!(
        "{HEAD}SelectTypeParameters=CR_Socket_Memory,CR_ONE_TASK_PER_CORE,CR_PACK_NODES\n\
         SchedulerParameters=max_switch_wait=60,pack_serial_at_end\nDefCpuPerGPU=3\n\
         NodeName=n1 CPUs=16 Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 RealMemory=100 CoreSpecCount=2 MemSpecLimit=10 Gres=gpu:4\n\
         NodeName=n2 CPUs=4 CPUSpecList=1\nPartitionName=p Nodes=ALL LLN=YES ExclusiveUser=YES DefMemPerGPU=7\n"
    );
    let gres = "NodeName=n1 Name=gpu File=/dev/g[0-1] Cores=0-3\nNodeName=n1 Name=gpu File=/dev/g[2-3] Cores=4-7\n";
    let loaded = load_files(&[("/c/slurm.conf", &slurm), ("/c/gres.conf", gres)]).unwrap();
    let hardware = &loaded.cluster.nodes[0].hardware;
    assert_eq!(hardware.cpus_reserved.to_string(), "6-7,14-15");
    assert_eq!((hardware.memory_usable().0, hardware.places.len()), (90, 2));
    assert_eq!(hardware.places[1].cores.as_ref().map(ToString::to_string).as_deref(), Some("4-7"));
    assert_eq!(loaded.cluster.nodes[1].hardware.cpus_reserved.to_string(), "1");
    let rules = &loaded.cluster.placement;
    assert!(rules.one_task_per_core && rules.serial_at_end && !rules.least_loaded);
    assert_eq!((rules.unit, rules.switch_wait_max.seconds()), (muster_model::config::CpuUnit::Socket, 60));
    let part = &loaded.cluster.partitions[0];
    assert!(part.least_loaded && part.exclusive_user);
    assert_eq!((part.cpus_per_gpu_default, part.memory_per_gpu_default.map(|memory| memory.0)), (Some(3), Some(7)));
    assert_eq!(
        loaded.warnings,
        ["SelectTypeParameters=CR_PACK_NODES is not acted on by this version (/c/slurm.conf line 3)"]
    );
    check_error("NodeName=n1 CPUs=4 CoreSpecCount=4\n", "/c/slurm.conf line 3: CoreSpecCount 4 leaves none of 4 cores");
}

#[test]
fn limits_of_partitions_are_enforced_at_submit_as_asked() {
    use muster_model::config::PartitionEnforcement;
    let check = |line: &str, expected: PartitionEnforcement, shown: &str| {
        let text = format!("{HEAD}{line}NodeName=n1\nPartitionName=p Nodes=n1\n");
        let loaded = load_files(&[("/c/slurm.conf", &text)]).unwrap();
        assert_eq!(loaded.cluster.enforce_partition_limits, expected, "{line}");
        let found = loaded.cluster.shown.iter().find(|(key, _)| key == "EnforcePartLimits");
        assert_eq!(found.map(|(_, value)| &**value), Some(shown), "{line}");
        assert!(loaded.warnings.is_empty());
    };
    check("", PartitionEnforcement::No, "NO");
    check("EnforcePartLimits=any\n", PartitionEnforcement::Any, "ANY");
    check("EnforcePartLimits=ALL\n", PartitionEnforcement::All, "ALL");
    check("EnforcePartLimits=Yes\n", PartitionEnforcement::All, "ALL");
    check_error("EnforcePartLimits=most\n", "/c/slurm.conf line 3: Bad EnforcePartLimits: most");
}

#[test]
fn gres_that_no_job_uses_up_and_links_between_devices() {
    let slurm = format!("{HEAD}NodeName=n1 CPUs=4 Gres=gpu:2,lustre:no_consume:4G\nPartitionName=p Nodes=n1\n");
    let gres = "Name=gpu File=/dev/g0 Links=-1,16\nName=gpu File=/dev/g1 Links=16,-1\n";
    let loaded = load_files(&[("/c/slurm.conf", &slurm), ("/c/gres.conf", gres)]).unwrap();
    let hardware = &loaded.cluster.nodes[0].hardware;
    assert_eq!(crate::output::tres::node_gres_of(hardware), "gpu:2,lustre:no_consume:4294967296");
    assert_eq!(hardware.places.iter().map(|place| place.links.clone()).collect::<Vec<_>>(), [[-1, 16], [16, -1]]);
    assert!(loaded.warnings.is_empty());
    let gres = "Name=gpu File=/dev/g0 Links=many\n";
    let error = load_files(&[("/c/slurm.conf", &slurm), ("/c/gres.conf", gres)]).unwrap_err().to_string();
    assert_eq!(error, "/c/gres.conf line 1: Links \"many\" is no list of numbers, -1 for the device itself");
    check_error(
        "NodeName=n1 CPUs=4 Gres=a:no_consume:1,a:2\n",
        "/c/slurm.conf line 3: Gres a is given with and without no_consume",
    );
}

#[test]
fn prologs_and_epilogs_are_read() {
    let given = "Prolog=/s/prolog.d/*\nEpilog=/s/epilog\nTaskProlog=/s/task\nPrologEpilogTimeout=5\n\
                 SchedulerParameters=nohold_on_prolog_fail\n";
    let hooks = check(&format!("{given}NodeName=n1\nPartitionName=p Nodes=n1\n")).cluster.hooks;
    assert_eq!(hooks.node.prolog.as_deref(), Some("/s/prolog.d/*"));
    assert_eq!((hooks.node.epilog.as_deref(), hooks.node.task_epilog.as_deref()), (Some("/s/epilog"), None));
    assert_eq!(hooks.node.timeout, Some(Span::from_seconds(5)));
    assert!(hooks.requeue_unheld);
    let bad = format!("{HEAD}Prolog=prolog.sh\nNodeName=n1\nPartitionName=p Nodes=n1\n");
    let error = load_files(&[("/c/slurm.conf", &bad)]).unwrap_err().to_string();
    assert!(error.contains("Prolog value \"prolog.sh\" is not an absolute path"), "{error}");
}

#[test]
fn binding_of_tasks() {
    const NODES: &str = "NodeName=n1\nPartitionName=p Nodes=n1\n";
    let settings = |text: &str| {
        let task = check(&format!("{text}\n{NODES}")).task;
        format!("{} {} {} {:?} {:?}", task.given, task.affinity, task.cgroup, task.bind, task.otherwise)
    };
    assert_eq!(settings(""), "false false false CpuBind { verbose: false, how: Automatic } None");
    let expected = "true true true CpuBind { verbose: true, how: Automatic } Some(Cores)";
    assert_eq!(settings("TaskPlugin=task/cgroup,task/affinity\nTaskPluginParam=Verbose,Autobind=Cores"), expected);
    let expected = "true false false CpuBind { verbose: false, how: Unit(Sockets) } None";
    assert_eq!(settings("TaskPlugin=task/none\nTaskPluginParam=sockets"), expected);
    check_error(
        &format!("TaskPlugin=task/other\n{NODES}"),
        "/c/slurm.conf line 3: cannot find task plugin for task/other",
    );
    check_error(&format!("TaskPluginParam=wild\n{NODES}"), "/c/slurm.conf line 3: Bad TaskPluginParam: wild");
}

#[test]
fn files_beside_slurm_conf_say_which_units_are_which_devices() {
    let slurm = format!(
        "{HEAD}TaskPlugin=task/cgroup\nProctrackType=proctrack/cgroup\nGresTypes=gpu,nic\n\
         NodeName=n1 CPUs=4 Gres=gpu:b:1,gpu:a:2,nic:1\nNodeName=n2 CPUs=4 Gres=gpu:3\nPartitionName=p Nodes=n[1-2]\n"
    );
    let gres = "NodeName=n1 Name=gpu Type=a File=/dev/a[0-1]\nNodeName=n1 Name=gpu Type=b File=/dev/b0\n\
                NodeName=n1 Name=nic File=/dev/nic\nNodeName=n2 Name=gpu File=/dev/x0\nNodeName=n2 Name=gpu File=/dev/x[1-2]\n";
    let cgroup = "ConstrainDevices=yes\n";
    let files = [("/c/slurm.conf", slurm.as_str()), ("/c/gres.conf", gres), ("/c/cgroup.conf", cgroup)];
    let loaded = load_files(&files).unwrap();
    let check = |node: usize, expected: &str| {
        let files = loaded.gres.of_node(&loaded.cluster.nodes[node], None, &|_| true).files();
        let shown: Vec<String> =
            files.iter().map(|file| format!("{}:{}={}", file.name, file.unit, file.path)).collect();
        assert_eq!(shown.join(" "), expected);
    };
    check(0, "gpu:0=/dev/b0 gpu:1=/dev/a0 gpu:2=/dev/a1 nic:0=/dev/nic");
    check(1, "gpu:0=/dev/x0 gpu:1=/dev/x1 gpu:2=/dev/x2");
    assert!(loaded.cgroup.devices && loaded.task.cgroup && loaded.task.tracked);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown = loaded.cluster.shown.iter().find(|(key, _)| key == "ConstrainDevices").map(|(_, value)| value.as_str());
    assert_eq!(shown, Some("yes"));
    check_error(
        "ProctrackType=proctrack/other\nNodeName=n1\nPartitionName=p Nodes=n1\n",
        "/c/slurm.conf line 3: cannot find proctrack plugin for proctrack/other",
    );
}

#[test]
fn codes_after_which_jobs_come_again() {
    let nodes = "NodeName=n1\nPartitionName=p Nodes=n1\n";
    let config = check(&format!("{nodes}RequeueExit=1-3,18\nRequeueExitHold=200\n")).cluster;
    assert_eq!(format!("{} / {}", config.requeue_exits, config.requeue_exits_held), "1-3,18 / 200");
    for wrong in ["256", "3-1", "x"] {
        let message = format!("/c/slurm.conf line 5: RequeueExit value \"{wrong}\" is not a list of exit codes");
        check_error(&format!("{nodes}RequeueExit={wrong}\n"), &message);
    }
}

#[test]
fn words_of_scheduler_parameters_that_do_nothing_are_named() {
    let text = format!(
        "{HEAD}SchedulerParameters=defer,bf_max_job_assoc=3,batch_sched_delay=4,sched_interval=-1,bf_interval=-1,frobnicate=1\n\
         NodeName=n1\nPartitionName=p Nodes=n1\n"
    );
    let loaded = load_files(&[("/c/slurm.conf", &text)]).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "SchedulerParameters=bf_max_job_assoc=3 is not acted on by this version (/c/slurm.conf line 3)",
            "SchedulerParameters=sched_interval=-1 is not acted on by this version (/c/slurm.conf line 3)",
            "SchedulerParameters=frobnicate=1 is not known (/c/slurm.conf line 3)",
        ]
    );
    assert_eq!(loaded.cluster.scheduling.batch_delay.seconds(), 4);
    // Without backfill the queue is strict.
    assert!(!loaded.cluster.backfill);
    check_error(
        "SchedulerParameters=batch_sched_delay=soon\nNodeName=n1\nPartitionName=p Nodes=n1\n",
        "/c/slurm.conf line 3: SchedulerParameters batch_sched_delay=\"soon\" is not a valid number",
    );
}

#[test]
fn labels_and_mails_are_read() {
    use muster_model::mcs::{McsPlugin, McsSelect};
    let tail = "NodeName=n1\nPartitionName=p Nodes=n1\n";
    let loaded = check(&format!(
        "MCSPlugin=mcs/group\nMCSParameters=enforced,select,privatedata,selct:a|b\nMailProg=/m\n{tail}"
    ));
    let mcs = &loaded.cluster.mcs;
    assert_eq!((mcs.plugin, mcs.enforced, mcs.select), (McsPlugin::Group, true, McsSelect::Always));
    assert_eq!(mcs.groups.iter().map(|group| &**group).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(loaded.cluster.mail.program.as_deref(), Some("/m"));
    let idle = |word: &str| format!("MCSParameters={word} is not acted on by this version (/c/slurm.conf line 4)");
    assert_eq!(loaded.warnings, [idle("privatedata"), idle("selct")]);
    check_error(&format!("MCSPlugin=mcs/x\n{tail}"), "/c/slurm.conf line 3: cannot find mcs plugin for mcs/x");
}
