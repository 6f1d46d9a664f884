//! Replays transcripts of real Slurm 22.05: the same command lines, on a cluster built to look the same, must print
//! the same bytes.
//!
//! Each file of transcripts has entries `$ COMMAND`, `--- stdout`, text, `--- stderr`, text, `--- exit N`, and lines
//! `@ SCENE TIME` that say on which scene and at what time of day the entries that follow were recorded.

mod replay;
mod scene_busy;
mod scene_history;
mod scene_nodes;
mod scene_records;
mod scene_shares;
mod scene_statistics;
pub(super) mod scenes;

use replay::replay;

#[test]
fn squeue_prints_what_slurm_prints() {
    replay(include_str!("squeue.txt"));
}

#[test]
fn sinfo_prints_what_slurm_prints() {
    replay(include_str!("sinfo.txt"));
}

#[test]
fn scontrol_prints_what_slurm_prints() {
    replay(include_str!("scontrol.txt"));
}

#[test]
fn sacct_prints_what_slurm_prints() {
    replay(include_str!("sacct.txt"));
}

#[test]
fn sprio_prints_what_slurm_prints() {
    replay(include_str!("sprio.txt"));
}

#[test]
fn sshare_prints_what_slurm_prints() {
    replay(include_str!("sshare.txt"));
}

#[test]
fn sdiag_prints_what_slurm_prints() {
    replay(include_str!("sdiag.txt"));
}

#[test]
fn scancel_complains_as_slurm_does() {
    replay(include_str!("scancel.txt"));
}

#[test]
fn bad_input_is_refused_as_slurm_refuses_it() {
    replay(include_str!("errors.txt"));
}

#[test]
fn documents_of_jobs_have_the_shape_that_clients_read() {
    let scene = scenes::scene("history");
    let row: Vec<_> = scene.history.iter().filter(|row| row.job.id.0 == 533).collect();
    let answers = super::Answers::default();
    let environment = super::Environment::new();
    let context = super::Context::new(scenes::at("08:30:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let text = super::json::history(&row, &answers, &context);
    let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
    let job = &document["jobs"][0];
    assert_eq!(document["errors"], serde_json::json!([]));
    assert_eq!((&job["job_id"], &job["state"]["current"]), (&serde_json::json!(533), &serde_json::json!("FAILED")));
    assert_eq!(job["exit_code"]["signal"]["signal_id"], serde_json::json!(9));
    assert_eq!(job["steps"][0]["step"]["id"], serde_json::json!("batch"));
}

#[test]
fn conditions_of_scancel_choose_records() {
    let scene = scenes::scene("busy");
    let environment = super::Environment::new();
    let context = super::Context::new(scenes::at("08:00:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let check = |line: &str, expected: &str| {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let scancel = super::scancel::Scancel::new(&args, &environment, &context).expect("a good line");
        let answers = super::Answers { jobs: scene.jobs.clone(), ..super::Answers::default() };
        let kills = scancel.kills(&answers, &context);
        let names = kills.iter().map(|kill| match &kill.request.target {
            target if target.tasks.is_some() => {
                format!("{}_[{}]", target.job_id, target.tasks.clone().unwrap_or_default())
            }
            target => target.job_id.to_string(),
        });
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{line}");
    };
    check("-n arr", "2_[0] 2_[1] 2_[2-3]");
    check("-n arr -t pending", "2_[2-3]");
    check("-p batch", "4 5");
    check("-t suspended", "30");
    check("-n nosuch", "");
}

#[test]
fn long_lists_of_tasks_are_cut() {
    let environment = super::Environment::from([("SLURM_BITSTR_LEN".to_owned(), "20".to_owned())]);
    let context = super::Context::new(scenes::at("08:00:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let job =
        scenes::job(9, "long", "07:00:00", |job, spec| scenes::waiting(job, spec, "1,3,5,7,9,11,13,15,17", Some(2)));
    let shown = super::job_text::array_id(&job, None, &context);
    assert_eq!(shown, "9_[1,3,5,7,9,11,13,...%2]");
}

#[test]
fn whether_nodes_are_shared_where_whole_nodes_are_given() {
    use muster_model::partition::{OverSubscribe, Partition};
    use muster_model::resources::Sharing;
    let check = |plugin: &str, partition: OverSubscribe, sharing: Sharing, eligible: bool, expected: &str| {
        let partition = Partition { over_subscribe: partition, ..Partition::new("debug".into(), Vec::new()) };
        let cluster = super::context::Cluster {
            partitions: vec![std::sync::Arc::new(partition.clone())],
            parameters: vec![("SelectType".to_owned(), plugin.to_owned())],
            ..super::context::Cluster::default()
        };
        let job = scenes::job(9, "x", "07:00:00", |job, spec| {
            spec.request.sharing = sharing;
            job.partition = "debug".into();
            job.eligible_time = eligible.then(|| scenes::at("07:00:00"));
        });
        assert_eq!(super::job_text::over_subscribe(&job, &cluster), expected, "{plugin} {partition:?} {sharing:?}");
    };
    let (linear, tres) = ("select/linear", "select/cons_tres");
    check(tres, OverSubscribe::No, Sharing::Default, true, "OK");
    check(linear, OverSubscribe::No, Sharing::Default, false, "OK");
    check(linear, OverSubscribe::No, Sharing::Default, true, "NO");
    check(linear, OverSubscribe::No, Sharing::Oversubscribe, true, "NO");
    check(linear, OverSubscribe::Yes(2), Sharing::Default, true, "NO");
    check(linear, OverSubscribe::Yes(2), Sharing::Oversubscribe, true, "YES");
    check(linear, OverSubscribe::Force(2), Sharing::Default, true, "YES");
}

#[test]
fn licences_are_among_the_resources_where_they_are_tracked() {
    use super::tres::Amounts;
    let job = scenes::job(9, "x", "07:00:00", |job, spec| {
        spec.request.licenses = Some("matlab:2,ansys".into());
        scenes::run(job, "08:00:01", vec![scenes::share(1, &[0], &[0])]);
    });
    let tracked = "gres/gpu,license/matlab".to_owned();
    let parameters = vec![("AccountingStorageTRES".to_owned(), tracked)];
    let cluster = super::context::Cluster { parameters, ..super::context::Cluster::default() };
    let held = Amounts::held(&job, job.allocation.as_deref().expect("it runs"), &cluster);
    assert_eq!(held.text(), "cpu=1,node=1,billing=1,gres/gpu=1,license/matlab=2");
    assert_eq!(held.text_sorted(), "billing=1,cpu=1,gres/gpu=1,license/matlab=2,node=1");
    let asked = Amounts::requested(&job, &cluster, &cluster.tracked_gres());
    assert_eq!(asked.text(), "cpu=1,node=1,billing=1,license/matlab=2");
}

/// As Slurm 22.05 shows them with `TRESBillingWeights=CPU=2.0,Mem=0.5G,gres/gpu=4`.
#[test]
fn what_is_billed_follows_the_weights_of_the_partition() {
    use std::sync::Arc;

    use muster_model::priority::Weight;
    use muster_model::resources::{Allocation, Gres, GresRequest, GresScope, Megabytes, MemoryRequest};

    use super::tres::Amounts;
    let shown = |memory: u64, gpus: u64, flags: &str, billing: Option<f64>| {
        let job = scenes::job(9, "x", "07:00:00", |job, spec| {
            let (gres, scope) = (Gres { name: "gpu".into(), kind: None, count: gpus }, GresScope::Node);
            spec.request.gres = vec![GresRequest { scope, gres }];
            spec.request.memory = Some(MemoryRequest::PerNode(Megabytes(memory)));
            job.partition = "bill".into();
            if let Some(billing) = billing {
                scenes::run(job, "08:00:01", vec![scenes::share(1, &[0], &[])]);
                let allocation = job.allocation.as_deref().expect("it runs").clone();
                job.allocation = Some(Arc::new(Allocation { billing: Some(Weight(billing)), ..allocation }));
            }
        });
        let mut bill = muster_model::partition::Partition::new("bill".into(), Vec::new());
        bill.others.push(("TRESBillingWeights".into(), "CPU=2.0,Mem=0.5G,gres/gpu=4".into()));
        let parameters = vec![
            ("AccountingStorageTRES".to_owned(), "gres/gpu".to_owned()),
            ("PriorityFlags".to_owned(), flags.to_owned()),
        ];
        let partitions = vec![Arc::new(bill)];
        let cluster = super::context::Cluster { parameters, partitions, ..super::context::Cluster::default() };
        match &job.allocation {
            Some(allocation) => Amounts::held(&job, allocation, &cluster).billing,
            None => Amounts::requested(&job, &cluster, &cluster.tracked_gres()).billing,
        }
    };
    assert_eq!(shown(100, 0, "", None), 2);
    assert_eq!(shown(5000, 0, "", None), 4);
    assert_eq!(shown(2048, 1, "", None), 7);
    assert_eq!(shown(2048, 1, "MAX_TRES", None), 4);
    assert_eq!(shown(2048, 0, "", Some(17.9)), 17, "a job that runs is billed as it was when it started");
}

#[test]
fn a_job_that_waits_shows_the_nodes_that_it_needs() {
    let shown = |nodes_min, found| {
        let job = scenes::job(9, "x", "07:00:00", |_, spec| {
            (spec.request.nodes_min, spec.nodes_when_empty) = (nodes_min, found);
        });
        super::job_text::node_count(&job)
    };
    assert_eq!((shown(1, None), shown(1, Some(3)), shown(4, Some(3))), (1, 3, 4));
}

/// Lines of `scontrol show job` that real Slurm 22.05 prints for
/// `-n4 -B 2:2:1 --ntasks-per-core=1 --ntasks-per-socket=1 --gpus=2 --cpus-per-gpu=2 --ntasks-per-gpu=2 -N2-4`.
#[test]
fn what_is_asked_of_cores_and_gpus_is_shown() {
    use muster_model::resources::{CoreLayout, GpuTerms, GresRequest, GresScope};
    let job = scenes::job(9, "layout", "08:00:00", |job, spec| {
        let request = &mut spec.request;
        (request.nodes_min, request.nodes_max, request.tasks) = (2, Some(4), 2);
        request.layout = CoreLayout {
            sockets_per_node: Some(2),
            cores_per_socket: Some(2),
            threads_per_core: Some(1),
            tasks_per_socket: Some(1),
            tasks_per_core: Some(1),
            ..CoreLayout::default()
        };
        request.gpu_terms = GpuTerms { cpus: Some(2), ..GpuTerms::default() };
        request.gres = vec![GresRequest { scope: GresScope::Job, gres: scenes::gpu(2) }];
        let others = vec![("ntasks-per-gpu".into(), "2".into())];
        spec.rare = Some(Box::new(muster_model::job::RareOptions { others, ..Default::default() }));
        let nodes = [1, 2, 3].map(|node| scenes::share(node, &[0, 1], &[]));
        scenes::run(job, "08:00:01", nodes.to_vec());
    });
    let environment = super::Environment::new();
    let context = super::Context::new(scenes::at("08:30:00"), jiff::tz::TimeZone::UTC, &environment, scenes::root());
    let cluster = super::context::Cluster::default();
    let printer = super::scontrol::show_job::JobPrinter {
        cluster: &cluster,
        context: &context,
        one_line: false,
        details: false,
        explanations: &[],
    };
    let text = printer.print(&job, None);
    for line in [
        "   NumNodes=3 NumCPUs=6 NumTasks=3 CPUs/Task=1 ReqB:S:C:T=0:0:2:1\n",
        "   Socks/Node=2 NtasksPerN:B:S:C=0:0:1:1 CoreSpec=*\n",
        "   CpusPerTres=gres:gpu:2\n   TresPerJob=gres:gpu:2\n",
        "   NtasksPerTRES=2\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}
