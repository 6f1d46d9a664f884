//! Command lines in, tables out: those of real Slurm 22.05 for the same figures.

use muster_model::measure::TaskMeasure;

use super::super::tests::scenes;
use super::*;

fn steps() -> Vec<Arc<Step>> {
    let numbered = |number: u32, nodes: Vec<u32>| {
        let shares = nodes.into_iter().map(|node| scenes::share(node, &[0], &[])).collect();
        Arc::new(scenes::step(2, StepId::Number(number), "sh", "08:00:00", 3, shares))
    };
    let batch = scenes::step(2, StepId::Batch, "batch", "08:00:00", 1, vec![scenes::share(1, &[0], &[])]);
    vec![numbered(6, vec![1, 2]), numbered(7, vec![1]), Arc::new(batch)]
}

/// What the nodes told in a run of real Slurm 22.05, whose tables stand below.
fn reported() -> BTreeMap<JobId, Reported> {
    let task = |rss: u64| TaskMeasure {
        cpu_us: Some(400_000),
        rss_kb: Some((rss, rss)),
        vm_kb: Some((25_044, 25_044)),
        pages: Some(0),
        read_bytes: Some(60_024_909),
        write_bytes: Some(40_000_001),
        ..TaskMeasure::default()
    };
    let unit = |step: StepId, tasks: &[(u32, u64)], pids: &[u32]| {
        let mut measured = Measured::default();
        tasks.iter().for_each(|(rank, rss)| measured.add_task(*rank, &task(*rss)));
        UnitMeasure { step, measured, pids: pids.to_vec(), tasks: Vec::new() }
    };
    let six = StepId::Number(6);
    let first = vec![
        unit(StepId::Batch, &[(0, 3140)], &[12_113, 12_114]),
        unit(six, &[(0, 22_796), (1, 22_824)], &[15_615, 15_616, 15_671, 15_672]),
    ];
    let second = vec![unit(six, &[(2, 22_984)], &[15_624, 15_652])];
    let nodes = BTreeMap::from([("n1".to_owned(), Some(first)), ("n2".to_owned(), Some(second))]);
    BTreeMap::from([(JobId(2), Reported::Nodes(nodes))])
}

fn run(line: &str, reported: &BTreeMap<JobId, Reported>) -> Outcome {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match Sstat::new(&args) {
        Err(outcome) => outcome,
        Ok(sstat) => {
            let answers = Answers { steps: steps(), ..Answers::default() };
            sstat.render(&sstat.items(&answers), reported)
        }
    }
}

#[test]
fn tables_are_those_of_slurm() {
    let reported = reported();
    let check = |line: &str, stdout: &str, stderr: &str| {
        let outcome = run(line, &reported);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str(), outcome.code), (stdout, stderr, 0), "{line}");
    };
    check(
        "-aP -o JobID,MaxVMSize,MaxVMSizeNode,MaxVMSizeTask,AveVMSize,MaxRSS,MaxRSSNode,MaxRSSTask,AveRSS,MaxPages,AvePages,NTasks 2.6",
        "JobID|MaxVMSize|MaxVMSizeNode|MaxVMSizeTask|AveVMSize|MaxRSS|MaxRSSNode|MaxRSSTask|AveRSS|MaxPages|AvePages|NTasks\n\
         2.6|25044K|n1|0|25044K|22984K|n2|2|22868K|0|0|3\n",
        "",
    );
    check(
        "-P --noconvert -o JobID,MaxRSS,AveRSS,MaxVMSize,MaxDiskRead,AveDiskWrite 2.6",
        "JobID|MaxRSS|AveRSS|MaxVMSize|MaxDiskRead|AveDiskWrite\n2.6|23535616|23416832|25645056|60024909|40000001\n",
        "",
    );
    check("-nP -o TRESUsageInMaxTask 2", "cpu=00:00:00,fs/disk=0,mem=2,pages=0,vmem=0\n", "");
    check(
        "-i 2.6",
        "JobID                    Nodelist                 Pids \n\
         ------------ -------------------- -------------------- \n\
         2.6                            n1 15615,15616,15671,1+ \n\
         2.6                            n2          15624,15652 \n",
        "",
    );
    check("-n -o jobid%20,maxrss%-8,ntasks 2", "                 2.6 22984K          3 \n", "");
    check(
        "-o jobid%20,maxrss%8,ntasks 2.6,2.batch,2.77",
        "               JobID   MaxRSS   NTasks \n\
         -------------------- -------- -------- \n\
         \x20                2.6   22984K        3 \n\
         \x20            2.batch    3140K        1 \n",
        "sstat: error: StepId=2.77 not found running.\n",
    );
    check("-nap -o jobid 2", "2.batch|\n2.6|\n", "sstat: error: StepId=2.7 not found running.\n");
    check("-n -o jobid 2.6x 2.batch", "2.6          \n", "");
    check("-n -o maxr,mincpu%x 2.6", "    22984K   00:00:00 \n", "");
    check("-n -j 9999", "", "sstat: error: No steps running for job 9999\n");
    check("-o , 2", "\n\n\n", "");
    let default = run("2.6", &reported).stdout;
    let line = default.lines().nth(2).unwrap_or_default();
    assert!(
        line.starts_with("2.6              25044K             n1              0     25044K     22984K         n2          2     22868K        0"),
        "{line}"
    );
    assert!(line.contains("0     60024909              n1               0     60024909     40000001               n1                0     40000001 cpu=00:00:00,+ cpu=00:00:00,+ cpu=n1,energy=n1,+"), "{line}");
}

#[test]
fn what_is_refused_and_who_does_not_answer_is_told() {
    let check = |line: &str, stderr: &str, code: u8| {
        let outcome = run(line, &BTreeMap::new());
        assert_eq!((outcome.stderr.as_str(), outcome.code), (stderr, code), "{line}");
    };
    check("", "sstat: error: You didn't give me any jobs to stat.\n", 1);
    check("abc", "sstat: fatal: Bad job/step specified: abc\n", 1);
    check("-j 1 -o foo", "sstat: error: Invalid field requested: \"foo\"\n", 1);
    check("--foo", "sstat: unrecognized option '--foo'\n", 1);
    check("-j", "sstat: option requires an argument -- 'j'\n", 1);
    let refused = BTreeMap::from([(JobId(2), Reported::Refused("Invalid user id".to_owned()))]);
    assert_eq!(
        run("-n 2.6", &refused).stderr,
        "sstat: error: slurm_job_step_stat: there was an error with the request to n1 rc = Invalid user id\n\
         sstat: error: slurm_job_step_stat: there was an error with the request to n2 rc = Invalid user id\n\
         sstat: error: problem getting step_layout for StepId=2.6: Invalid user id\n"
    );
    let silent = BTreeMap::from([(JobId(2), Reported::Nodes(BTreeMap::from([("n1".to_owned(), None)])))]);
    let told = run("-n -o jobid,ntasks 2.7", &silent);
    assert_eq!(told.stdout, "");
    assert_eq!(told.stderr.matches(": Communication connection failure\n").count(), 1, "{}", told.stderr);
    assert_eq!(told.stderr.matches("request to n1 rc = Communication connection failure\n").count(), 1);
}

#[test]
fn fields_are_listed() {
    let text = run("-e", &BTreeMap::new()).stdout;
    assert!(text.starts_with("AveCPU              AveCPUFreq          AveDiskRead         AveDiskWrite       \n"));
    assert!(text.ends_with("TRESUsageOutMinNode TRESUsageOutMinTask TRESUsageOutTot    \n"));
}
