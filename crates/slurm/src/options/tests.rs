//! Command lines and environments in, values or messages out.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use muster_model::ids::Name;
use muster_model::time::Timestamp;

use super::spec::ReadError;
use super::*;

/// A machine with users root and alice and one file.
struct TestHost;

impl Host for TestHost {
    fn user_id(&self, name: &str) -> Option<u32> {
        match name {
            "root" => Some(0),
            "alice" => Some(1001),
            _ => None,
        }
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        self.user_id(name)
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        ["root", "alice"].into_iter().find(|name| self.user_id(name) == Some(uid)).map(str::to_owned)
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        self.user_name(gid)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        match path {
            "/hosts" => Ok(b"n1 n2 # two\nn4*2\n".to_vec()),
            "/dev/null" => Ok(Vec::new()),
            _ => Err(ReadError::Missing),
        }
    }

    fn standard_input(&self) -> Result<Vec<u8>, ReadError> {
        Ok(Vec::new())
    }

    fn read_descriptor(&self, _: i32) -> Result<Vec<u8>, ReadError> {
        Err(ReadError::Other("Bad file descriptor".to_owned()))
    }
}

fn read(command: Command, environment: &str, line: &str, uid: u32) -> Result<SubmitOptions, Fault> {
    let types: [Name; 1] = ["gpu".into()];
    let world = World {
        now: Timestamp::from_seconds(1_795_248_662),
        zone: TimeZone::UTC,
        work_dir: "/tmp/w",
        uid,
        spec_resources_allowed: false,
        tasks_are_unbound: false,
        gres_types: Some(&types),
        cluster_name: Some("peer"),
        host: &TestHost,
    };
    // Words are cut at blanks; `_` stands for an empty word and `~` for a blank within one.
    let word = |word: &str| {
        if word == "_" { String::new() } else { word.replace('~', " ") }
    };
    let arguments: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(word).collect();
    let pairs = environment.split(' ').filter_map(|pair| pair.split_once('='));
    let environment: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (found, _) = parse::split(command, &arguments)?;
    let mut options = SubmitOptions::default();
    environment::apply(command, &environment, &world, &mut options)?;
    parse::apply(command, &found, Origin::CommandLine, &world, &mut options)?;
    Ok(options)
}

/// The given options as `-v` lists them, or the message and the exit code.
fn shown(command: Command, environment: &str, line: &str) -> String {
    match read(command, environment, line, 0) {
        Ok(options) => {
            options.given.iter().map(|(name, given)| format!("{name}: {}", given.shown)).collect::<Vec<_>>().join(" | ")
        }
        Err(fault) => format!("{}{}exit {}", fault.stdout, fault.stderr(command.name()), fault.code),
    }
}

#[track_caller]
fn sbatch(line: &str, expected: &str) {
    assert_eq!(shown(Command::Sbatch, "", line), expected, "sbatch {line}");
}

#[track_caller]
fn srun(environment: &str, line: &str, expected: &str) {
    assert_eq!(shown(Command::Srun, environment, line), expected, "{environment} srun {line}");
}

#[track_caller]
fn refused(line: &str, code: u8, message: &str) {
    sbatch(line, &format!("sbatch: error: {message}\nexit {code}"));
}

#[track_caller]
fn getopt(line: &str, message: &str) {
    sbatch(line, &format!("sbatch: {message}\nTry \"sbatch --help\" for more information\nexit 255"));
}

#[test]
fn getopt_messages() {
    getopt("--nosuch ok.sh", "unrecognized option '--nosuch'");
    getopt("--nosuch=1", "unrecognized option '--nosuch=1'");
    getopt("-y ok.sh", "invalid option -- 'y'");
    getopt("-I", "invalid option -- 'I'");
    getopt(
        "--no ok.sh",
        "option '--no' is ambiguous; possibilities: '--no-kill' '--no-requeue' '--nodefile' '--nodelist' '--nodes'",
    );
    getopt("--ti=5", "option '--ti=5' is ambiguous; possibilities: '--time' '--time-min'");
    getopt(
        "--n=1",
        "option '--n=1' is ambiguous; possibilities: '--network' '--nice' '--no-kill' '--no-requeue' '--nodefile' '--nodelist' \
         '--nodes' '--ntasks' '--ntasks-per-core' '--ntasks-per-gpu' '--ntasks-per-node' '--ntasks-per-socket' '--ntasks-per-tres'",
    );
    getopt(
        "--c=x",
        "option '--c=x' is ambiguous; possibilities: '--cluster-constraint' '--chdir' '--cluster' '--clusters' '--comment' \
         '--container' '--context' '--contiguous' '--constraint' '--core-spec' '--cores-per-socket' '--cpu-freq' \
         '--cpus-per-gpu' '--cpus-per-task'",
    );
    getopt("--b=x", "option '--b=x' is ambiguous; possibilities: '--batch' '--begin' '--bb' '--bbf'");
    getopt("--u=x", "option '--u=x' is ambiguous; possibilities: '--uid' '--use-min-nodes' '--usage'");
    getopt(
        "--e=x",
        "option '--e=x' is ambiguous; possibilities: '--error' '--exclude' '--exclusive' '--export' '--export-file' '--extra-node-info'",
    );
    getopt("-t", "option requires an argument -- 't'");
    getopt("--job-name", "option '--job-name' requires an argument");
    getopt("--hold=yes", "option '--hold' doesn't allow an argument");
    getopt("--wait=5", "option '--wait' doesn't allow an argument");
}

/// The candidates that real Slurm 22.05 lists for single letters, for all three commands.
#[test]
fn tables_are_those_of_slurm() {
    let check = |command: Command, letter: char, names: &str| {
        let found: Vec<&str> = of(command)
            .filter(|spec| spec.abbreviates && spec.name.starts_with(letter))
            .map(|spec| spec.name)
            .collect();
        assert_eq!(found.join(" "), names, "{} --{letter}", command.name());
    };
    let s = Command::Sbatch;
    check(s, 'a', "account acctg-freq array");
    check(s, 'd', "deadline delay-boot dependency distribution");
    check(
        s,
        'g',
        "get-user-env gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags",
    );
    check(s, 'h', "help hint hold");
    check(s, 'i', "ignore-pbs input");
    check(s, 'm', "mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus");
    check(s, 'o', "open-mode output overcommit oversubscribe");
    check(s, 'p', "parsable partition power prefer priority profile propagate");
    check(s, 'q', "qos quiet");
    check(s, 'r', "reboot requeue reservation");
    check(s, 's', "signal sockets-per-node spread-job switches");
    check(s, 't', "tasks-per-node test-only thread-spec threads-per-core time time-min tmp");
    check(s, 'v', "verbose version");
    check(s, 'w', "wait wait-all-nodes wckey wrap");
    let r = Command::Srun;
    check(r, 'a', "accel-bind account acctg-freq");
    check(r, 'b', "bcast bcast-exclude begin bb bbf");
    check(
        r,
        'c',
        "cluster-constraint chdir cluster clusters comment compress container context contiguous constraint core-spec \
         cores-per-socket cpu-bind cpu_bind cpu-freq cpus-per-gpu cpus-per-task",
    );
    check(r, 'd', "deadline debugger-test delay-boot dependency disable-status distribution");
    check(r, 'e', "epilog error exact exclude exclusive export extra-node-info");
    check(r, 'g', "gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags");
    check(r, 'h', "help het-group hint hold");
    check(r, 'i', "immediate input interactive");
    check(r, 'j', "jobid job-name");
    check(r, 'l', "label licenses");
    check(
        r,
        'm',
        "mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus mpi msg-timeout multi-prog",
    );
    check(
        r,
        'n',
        "network nice no-allocate no-kill nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node \
         ntasks-per-socket ntasks-per-tres",
    );
    check(r, 'o', "open-mode output overcommit overlap oversubscribe");
    check(r, 'p', "pack-group partition power prefer preserve-env priority profile prolog propagate pty");
    check(r, 'q', "qos quiet quit-on-interrupt");
    check(r, 'r', "reboot relative reservation resv-ports");
    check(r, 's', "send-libs signal slurmd-debug sockets-per-node spread-job switches");
    check(
        r,
        't',
        "threads task-epilog task-prolog tasks-per-node test-only thread-spec threads-per-core time time-min tmp",
    );
    check(r, 'u', "uid unbuffered use-min-nodes usage");
    check(r, 'w', "wait wckey whole");
    let a = Command::Salloc;
    check(a, 'b', "begin bell bb bbf");
    check(a, 'e', "exclude exclusive extra-node-info");
    check(a, 'k', "kill-command");
    check(
        a,
        'n',
        "network nice no-bell no-kill no-shell nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node \
         ntasks-per-socket ntasks-per-tres",
    );
    check(a, 'o', "overcommit oversubscribe");
    check(a, 'p', "partition power prefer priority profile");
    check(a, 't', "tasks-per-node thread-spec threads-per-core time time-min tmp");
    check(a, 'w', "wait-all-nodes wckey");
}

#[test]
fn forms() {
    sbatch("-n2 -n3", "ntasks: 3");
    sbatch("--ntasks 4 -N 2", "nodes: 2 | ntasks: 4");
    sbatch("--part=batch --job=x", "job-name: x | partition: batch");
    sbatch("-HJ x ok.sh -H", "hold: set | job-name: x");
    sbatch("--tasks-per-node=2", "ntasks-per-node: 2");
    sbatch("--job-name= -H", "hold: set | job-name: ");
    sbatch("-J _", "job-name: ");
    sbatch("--comment -H ok.sh", "comment: -H");
    sbatch("-- -N2", "");
    sbatch("--extra=1", "extra: 1");
    srun("", "-I5 -K0 -l hostname -N9", "immediate: 5 | kill-on-bad-exit: 0 | label: set");
    srun("", "-I", "immediate: 1");
}

#[test]
fn bad_values() {
    refused("--mem ok.sh", 255, "Invalid --mem specification");
    refused("-t bad", 255, "Invalid --time specification");
    refused("--time -H", 255, "Invalid --time specification");
    refused("--time-min=bad", 255, "Invalid --time-min specification");
    refused("--tmp=bad", 255, "Invalid --tmp specification");
    refused("-N abc", 255, "\"abc\" is not a valid node count");
    refused("--priority=-5", 255, "Priority must be >= 0");
    refused("--priority=4294967294", 255, "Priority must be < 4294967294");
    refused("--priority=99999999999", 255, "Priority must be < 4294967294");
    refused("-N 2-1", 255, "Maximum node count 1 is less than minimum node count 2");
    refused("-n 0", 1, "Invalid numeric value \"0\" for --ntasks.");
    refused("-c abc", 1, "Invalid numeric value \"abc\" for --cpus-per-task.");
    refused("--ntasks-per-node=0", 1, "Invalid numeric value \"0\" for --ntasks-per-node.");
    refused("-B bad", 1, "Invalid numeric value \"bad\" for first arg of -B.");
    refused("-B 2:x", 1, "Invalid numeric value \"x\" for second arg of -B.");
    refused("--gres=nosuch:1", 1, "Invalid generic resource (gres) specification");
    refused("--gres=gpu:", 1, "Invalid generic resource (gres) specification");
    refused("--gpus-per-node=x:", 1, "Invalid generic resource (gres) specification");
    refused("--exclusive=bad", 255, "Invalid --exclusive specification");
    refused("--distribution=bad", 255, "Invalid --distribution specification");
    refused("--hint=bad", 1, "unrecognized --hint argument \"bad\", see --hint=help");
    refused("--nice=99999999999", 255, "Invalid --nice value, out of range (+/- 2147483645)");
    refused("--switches=bad", 1, "Invalid numeric value \"bad\" for --switches.");
    refused("--profile=bad", 255, "invalid --profile=bad option");
    refused("--acctg-freq=bad", 255, "Invalid --acctg-freq specification: bad");
    refused("--open-mode=bad", 255, "Invalid --open-mode specification");
    refused("--get-user-env=bad", 255, "Invalid --get-user-env specification");
    refused("--kill-on-invalid-dep=maybe", 255, "Invalid --kill-on-invalid-dep specification");
    refused("--wait-all-nodes=2", 255, "Invalid --wait-all-nodes specification");
    refused("--delay-boot=bad", 255, "Invalid --delay-boot specification");
    refused("--uid=nosuch", 255, "Invalid --uid specification");
    refused("--gid=1x", 255, "Invalid --gid specification");
    refused("--signal=B:", 255, "Invalid --signal specification");
    refused("--mail-type=bad", 255, "Invalid --mail-type specification");
    refused("--gpu-bind=bad", 255, "Invalid --gpu-bind argument: gpu:bad");
    refused("--gpu-bind=v,single:1", 255, "Invalid --gpu-bind argument: gpu:v,single:1");
    refused("--gpu-freq=bad", 255, "Invalid --gpu-freq argument: gpu:bad");
    refused("--mem-bind=bad", 255, "unrecognized --mem-bind argument \"bad\"");
    refused("--gres-flags=bad", 255, "Invalid --gres-flags specification");
    refused("-k=off", 255, "Invalid --no-kill specification");
    refused("-b _", 255, "Invalid --begin specification");
    sbatch(
        "--begin=bad",
        "Invalid time specification (pos=0): bad\nsbatch: error: Invalid --begin specification\nexit 255",
    );
    sbatch(
        "--cpu-freq=bad",
        "sbatch: error: unrecognized --cpu-freq argument \"bad\"\nsbatch: error: Invalid --cpu-freq argument\nexit 255",
    );
    sbatch(
        "--gpu-bind=verbose,map_gpu:1*2,0x1",
        "sbatch: error: Failed to validate 0x1, offending character is x\n\
         sbatch: error: Invalid --gpu-bind argument: gpu:verbose,map_gpu:1*2,0x1\nexit 255",
    );
    sbatch(
        "--propagate=BAD",
        "sbatch: error: Bad rlimit name: BAD\nsbatch: error: --propagate=BAD is not valid.\nexit 1",
    );
    sbatch(
        "-m plane",
        "sbatch: error: Invalid plane size or size not specified\nsbatch: error: Invalid --distribution specification\nexit 255",
    );
    sbatch(
        "--nodefile=/nosuch",
        "sbatch: error: slurm_allocate_resources error opening file /nosuch, No such file or directory\n\
         sbatch: error: Invalid --nodefile node file\nexit 255",
    );
    sbatch("-F /dev/null", "sbatch: error: Hostlist is empty!\nsbatch: error: Invalid --nodefile node file\nexit 255");
    sbatch(
        "-M nosuch",
        "sbatch: error: No cluster 'nosuch' known by database.\n\
         sbatch: error: 'nosuch' can't be reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list clusters' to see available clusters.\nexit 1",
    );
    let fault = read(Command::Sbatch, "", "--uid=root", 1001).unwrap_err();
    assert_eq!(fault.stderr("sbatch"), "sbatch: error: --uid only permitted by root user\n");
    srun("", "-W x true", "srun: error: Invalid numeric value \"x\" for --wait.\nexit 1");
    srun("", "--immediate=x", "srun: error: Invalid numeric value \"x\" for immediate.\nexit 1");
    srun("", "--jobid=abc", "srun: error: Invalid numeric value \"abc\" for --jobid.\nexit 1");
    srun("", "--signal=B:USR1@5", "srun: error: Invalid --signal specification\nexit 255");
    srun(
        "",
        "--cpu-bind=bad",
        "srun: error: unrecognized --cpu-bind argument \"bad\"\nsrun: fatal: Failed to parse --cpu-bind= values.\nexit 1",
    );
}

#[test]
fn values_as_listed() {
    sbatch("-t 0:30 --mem=1gb -N 1-3", "mem: 1G | nodes: 1-3 | time: 00:01:00");
    sbatch("-t 0", "time: UNLIMITED");
    sbatch("-t 1-0:0:0 --time-min=5", "time: 1-00:00:00 | time-min: 00:05:00");
    sbatch("--mem=2TB --tmp=5G", "mem: 2T | tmp: 5G");
    sbatch("-b now+1hour", "begin: 2026-11-21T09:11:02");
    sbatch("--gres=gpu:1 -L matlab:1", "gres: gres:gpu:1 | licenses: matlab:1");
    sbatch("--mail-type=END,FAIL --mail-user=u@x", "mail-type: END,FAIL | mail-user: u@x");
    let no_address = "sbatch: error: Invalid --mail-user specification\nexit 255";
    sbatch("--mail-user=-Sx", no_address);
    sbatch("--mail-user=", no_address);
    sbatch("--requeue --nice", "nice: 100 | requeue: requeue");
    sbatch("--signal=B:USR1@60", "signal: B:USR1");
    sbatch("-B 2:3:4", "extra-node-info: 2:3:4");
    sbatch("-B *:2", "extra-node-info: :2");
    sbatch("-B _", "extra-node-info: unset");
    sbatch("-F /hosts", "nodefile: n[1-2,4]");
    sbatch("--propagate", "propagate: ALL");
    sbatch("--profile=energy,task", "profile: Energy,Task");
    sbatch("-M peer", "clusters: peer");
    sbatch("--gres=help", "Valid gres options are:\ngpu[[:type]:count]\nexit 0");
    sbatch("-V", "slurm-wlm 22.05.8\nexit 0");
    srun("", "--mpi=pmi2 -u --pty --exact", "exact: set | mpi: pmi2 | pty: set | unbuffered: set");
}

#[test]
fn environments() {
    let sbatch = |environment: &str, line: &str, expected: &str| {
        assert_eq!(shown(Command::Sbatch, environment, line), expected, "{environment} sbatch {line}");
    };
    sbatch("SBATCH_OVERCOMMIT=yes", "", "overcommit: set");
    sbatch("SBATCH_OVERCOMMIT=", "", "overcommit: set");
    sbatch("SBATCH_OVERCOMMIT=2", "", "overcommit: set");
    sbatch("SBATCH_OVERCOMMIT=0", "", "");
    sbatch("SBATCH_OVERCOMMIT=no", "", "");
    sbatch("SBATCH_NTASKS=3 SBATCH_NOSUCH=1 SLURM_NTASKS=4", "", "");
    sbatch("SBATCH_TIMELIMIT=bad", "", "sbatch: error: Invalid --time specification\nexit 255");
    sbatch("SBATCH_PARTITION=a SBATCH_TIMELIMIT=7", "-p b", "partition: b | time: 00:07:00");
    sbatch("SBATCH_NO_KILL=off", "", "no-kill: unset");
    srun("SLURM_NTASKS=3 SLURM_JOB_NUM_NODES=2", "", "nodes: 2 | ntasks: 3");
    srun("SLURM_NPROCS=2 SLURM_LABELIO=", "-n5", "label: set | ntasks: 5");
    srun("SLURM_CPUS_PER_TASK=2", "", "");
    srun("SRUN_CPUS_PER_TASK=2", "", "cpus-per-task: 2");
    srun("SLURM_NTASKS=x", "", "srun: error: Invalid numeric value \"x\" for --ntasks.\nexit 1");
    srun("SLURM_JOB_NAME=x", "", "job-name: x");
    srun("SLURM_JOB_NAME=x SLURM_JOB_ID=5", "", "jobid: 5");
}

#[test]
fn what_does_not_act_is_told() {
    let options = read(Command::Sbatch, "", "--reboot --power -S 2 -J x --power", 0).unwrap();
    assert_eq!(options.not_yet, ["reboot", "power"]);
    let told = |line: &str| {
        let options = read(Command::Srun, "", line, 0).unwrap();
        format!("{:?} {:?}", options.not_yet, options.notices)
    };
    assert_eq!(told("--gpu-bind=none"), "[] []");
    assert_eq!(told("--gpu-bind=verbose,closest"), "[] []");
    let notices: Vec<String> = options.notices.iter().map(|line| line.print("sbatch")).collect();
    assert_eq!(
        notices,
        ["sbatch: error: Ignoring -S since it's not allowed by configuration (AllowSpecResourcesUsage = No)"]
    );
}

#[test]
fn every_entry_is_complete() {
    for command in [Command::Sbatch, Command::Srun, Command::Salloc] {
        let mut seen = std::collections::BTreeSet::new();
        let mut letters = std::collections::BTreeSet::new();
        for spec in of(command) {
            assert!(seen.insert(spec.name), "{spec:?} twice for {}", command.name());
            assert!(spec.short.is_none_or(|letter| letters.insert(letter)), "letter of {spec:?} twice");
            assert!(spec.section == Section::Hidden || !spec.help.is_empty(), "{spec:?} has no help");
            assert!(spec.alias_of.is_none_or(|name| of(command).any(|other| other.name == name)), "{spec:?}");
        }
        let help = help::help(command);
        assert!(help.starts_with(&format!("Usage: {} [OPTIONS(0)...", command.name())));
        assert!(help.contains("\n  -N, --nodes=N"), "{help}");
        assert!(help::usage(command).lines().all(|line| line.len() <= 80));
    }
}

proptest::proptest! {
    #[test]
    fn no_command_line_panics(words in proptest::collection::vec("-{0,2}[a-zA-Z]{0,10}=?[-0-9a-zA-Z:@,%+*é ]{0,8}", 0..6)) {
        for command in [Command::Sbatch, Command::Srun, Command::Salloc] {
            let _ = shown(command, "", &words.join(" "));
        }
    }

    #[test]
    fn no_value_panics(at in 0usize..150, value in "[-0-9a-zA-Z:@,%+*é=.\\[\\] ]{0,14}") {
        for command in [Command::Sbatch, Command::Srun, Command::Salloc] {
            let Some(spec) = of(command).nth(at) else { continue };
            let _ = shown(command, "", &format!("--{}={}", spec.name, value.replace(' ', "~")));
        }
    }
}
