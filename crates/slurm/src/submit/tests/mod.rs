//! Command lines in; jobs, steps or messages out.

mod batch;
mod components;
mod container;
mod steps;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use muster_model::ids::{Identity, Name};
use muster_model::time::Timestamp;

use super::*;

/// A machine with a few files.
struct TestHost {
    files: BTreeMap<String, Vec<u8>>,
    input: Vec<u8>,
    /// `WITH_PMIX` in the environment of the test.
    pmix: Option<u32>,
}

impl Host for TestHost {
    fn user_id(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0).or((name == "alice").then_some(1001))
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        self.user_id(name)
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        (uid == 1001).then(|| "alice".to_owned())
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        self.user_name(gid)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        match path {
            "/tmp/w/dir" => Err(ReadError::Directory),
            "/tmp/w/unread.sh" => Err(ReadError::Other("Permission denied".to_owned())),
            _ => self.files.get(path).cloned().ok_or(ReadError::Missing),
        }
    }

    fn pmix_version(&self) -> Option<u32> {
        self.pmix
    }

    fn standard_input(&self) -> Result<Vec<u8>, ReadError> {
        Ok(self.input.clone())
    }

    fn read_descriptor(&self, _: i32) -> Result<Vec<u8>, ReadError> {
        Ok(b"FROM=descriptor\0".to_vec())
    }
}

/// Runs `with` in surroundings with this environment and these files (`ok.sh` is always there).
fn around<T>(environment: &str, files: &[(&str, &str)], input: &str, with: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    let base = [
        ("/tmp/w/ok.sh", "#!/bin/sh\necho hi\n"),
        ("/tools/inpath.sh", "#!/bin/sh\n"),
        ("/hosts", "n2\nn1*2\n# x\nn3\n"),
    ];
    let files = base.iter().chain(files).map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let pairs = environment.split(' ').filter_map(|pair| pair.split_once('='));
    let mut environment: BTreeMap<String, String> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let pmix = environment.remove("WITH_PMIX").and_then(|version| version.parse().ok());
    let host = TestHost { files, input: input.as_bytes().to_vec(), pmix };
    environment.insert("PATH".to_owned(), "/usr/bin:/tools".to_owned());
    let types: [Name; 1] = ["gpu".into()];
    with(&Surroundings {
        world: World {
            now: Timestamp::from_seconds(1_795_248_662),
            zone: TimeZone::UTC,
            work_dir: "/tmp/w",
            uid: 0,
            gres_types: Some(&types),
            spec_resources_allowed: false,
            tasks_are_unbound: false,
            cluster_name: Some("peer"),
            host: &host,
        },
        environment: &environment,
        identity: Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() },
        host_name: "vm",
        session: 17,
        umask: 0o022,
        limits: &[(0, u64::MAX), (7, 1024)],
        array_size_max: Some(1001),
        script_size_max: None,
        measure_seconds_max: Some(30),
        memory_by_default: false,
        limits_propagated: None,
    })
}

/// Runs `with` in the surroundings of a table of `scrontab`.
pub(super) fn at_home<T>(with: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    around("", &[], "", with)
}

fn words(line: &str) -> Vec<String> {
    // `_` stands for an empty word and `~` for a blank within one.
    let word = |word: &str| {
        if word == "_" { String::new() } else { word.replace('~', " ") }
    };
    line.split(' ').filter(|word| !word.is_empty()).map(word).collect()
}

fn sbatch_plan(environment: &str, line: &str, script: &str) -> Result<sbatch::SbatchPlan, CliExit> {
    around(environment, &[("/tmp/w/s.sh", script)], script, |around| sbatch::plan(&words(line), around))
}

fn end(exit: &CliExit) -> String {
    format!("{}{}exit {}", exit.stdout, exit.stderr, exit.code)
}

fn srun_plan(environment: &str, line: &str) -> Result<srun::SrunPlan, CliExit> {
    let files = [("/tmp/w/mp.conf", "0 echo zero\n1-2 echo %t:%o\n")];
    around(environment, &files, "", |around| srun::plan(&words(line), around))
}

proptest::proptest! {
    #[test]
    fn no_submit_panics(
        line in "(-{0,2}[a-zA-Z-]{0,14}=?[-0-9a-zA-Z:@,%+*é]{0,8} ?){0,4}",
        script in "(#SBATCH|[ -~]|\n){0,40}",
    ) {
        let script = format!("#!/bin/sh\n#SBATCH {script}");
        let _ = sbatch_plan("", &format!("{line} s.sh"), &script);
        let _ = srun_plan("SLURM_JOB_ID=5", &format!("{line} true"));
    }

    #[test]
    fn no_option_value_panics(at in 0usize..170, value in "[-0-9a-zA-Z:@,%+*=.\\[\\]]{0,14}") {
        if let Some(spec) = crate::options::of(crate::options::Command::Srun).nth(at) {
            let _ = srun_plan("", &format!("--{}={value} true", spec.name));
            let _ = sbatch_plan("", &format!("--{}={value} ok.sh", spec.name), "");
        }
    }
}
