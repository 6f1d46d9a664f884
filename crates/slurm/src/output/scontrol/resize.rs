//! Changes of the size of a job: of one job at a time, and with files by which a shell of that job learns of its new size.

use muster_model::job::Job;
use muster_model::request::{JobTarget, Query, RefusalCode};

use super::super::context::{Answers, Environment};
use super::super::ids;
use super::changes::Changes;
use super::{Action, Lookup, Next};
use crate::environment::cpus_per_node;

/// A change of the size of the job that one number names.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    text: String,
    target: JobTarget,
    pub(super) changes: Changes,
}

/// What asks for it first: Slurm looks whether the number stands for one job.
pub(super) fn begin(text: &str, target: Option<JobTarget>, changes: Changes) -> Action {
    let Some(target) = target.filter(|target| target.component.is_none()) else {
        return Action::complain(&format!("scontrol: error: Invalid job ID {text}\n"));
    };
    let query = Query::Jobs { ids: Some(vec![target.job_id]), uids: None, active_only: false };
    let resize = Box::new(Resize { text: text.to_owned(), target, changes });
    Action::Lookup(Box::new(Lookup { query, next: Next::Resize(resize) }))
}

impl Resize {
    /// The change, now that the job is known.
    pub(super) fn resume(self, answers: &Answers) -> Action {
        let mut found = answers.jobs.iter().filter(|job| ids::matches(&self.target, job));
        let reason = RefusalCode::InvalidJobId.text();
        let Some(job) = found.next() else {
            let text = self.text;
            return Action::complain(&format!(
                "scontrol: error: Could not load state information for job {text}: {reason}\n"
            ));
        };
        if found.next().is_some() || (job.het.is_some() && !job.is_led()) {
            return Action::complain("scontrol: error: Job resizing not supported for job arrays\n");
        }
        Action::Resize(self.changes, self.target)
    }
}

/// A file for the shells of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellFile {
    /// Its name in the working directory.
    pub name: String,
    /// What it sets and forgets.
    pub content: String,
}

/// The files for shells of the two families, and what is printed when they are there. None outside of a job; of the
/// variables that tell a size only those are named that the caller has.
pub fn shell_files(job: &Job, environment: &Environment) -> Option<([ShellFile; 2], String)> {
    environment.get("SLURM_JOBID")?;
    // One that gave all that it had to another has nothing left, whatever its row tells of what it had.
    let has_any = job.holds_resources();
    let nodes = job.allocation.as_ref().filter(|_| has_any).map_or(0, |allocation| allocation.shares.len()).to_string();
    let list = format!("\"{}\"", job.node_list.as_deref().filter(|_| has_any).unwrap_or_default());
    let cpus = if has_any { format!("\"{}\"", cpus_per_node(job)) } else { "\"\"".to_owned() };
    let values = [
        ("SLURM_NODELIST", &list),
        ("SLURM_JOB_NODELIST", &list),
        ("SLURM_NNODES", &nodes),
        ("SLURM_JOB_NUM_NODES", &nodes),
        ("SLURM_JOB_CPUS_PER_NODE", &cpus),
    ];
    let (mut sh, mut csh) = (String::new(), String::new());
    for (name, value) in values.iter().filter(|(name, _)| environment.contains_key(*name)) {
        sh.push_str(&format!("export {name}={value}\n"));
        csh.push_str(&format!("setenv {name} {value}\n"));
    }
    // How many tasks there are follows from the old size.
    for name in ["SLURM_NPROCS", "SLURM_NTASKS", "SLURM_TASKS_PER_NODE"] {
        if environment.contains_key(name) {
            sh.push_str(&format!("unset {name}\n"));
            csh.push_str(&format!("unsetenv {name}\n"));
        }
    }
    let file = |ending: &str, content| ShellFile { name: format!("slurm_job_{}_resize.{ending}", job.id), content };
    let files = [file("csh", csh), file("sh", sh)];
    let said = format!(
        "To reset Slurm environment variables, execute\n  For bash or sh shells:  . ./{}\n  For csh shells:         source ./{}\n",
        files[1].name, files[0].name
    );
    Some((files, said))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_model::ids::{Identity, JobId, NodeIndex, SpecId};
    use muster_model::job::{JobKind, JobSpec};
    use muster_model::resources::{Allocation, IndexSet, Megabytes, NodeShare};
    use muster_model::state::JobState;
    use muster_model::time::Timestamp;

    use super::*;

    fn job() -> Job {
        let identity = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let spec = Arc::new(JobSpec::new(identity, "s".into(), JobKind::Batch));
        let share = |node, cpus: &[u32]| {
            let mut set = IndexSet::default();
            cpus.iter().for_each(|cpu| set.insert(*cpu));
            NodeShare { node: NodeIndex(node), cpus: set, memory: Megabytes(0), gres: Vec::new(), tasks: 1 }
        };
        let mut job = Job::new(JobId(2), SpecId(1), spec, "debug".into(), Timestamp::from_seconds(1));
        job.allocation = Some(Arc::new(Allocation::from(vec![share(0, &[0, 1, 2, 3, 4]), share(1, &[0])])));
        job.node_list = Some("n[1-2]".into());
        job.state = JobState::Running;
        job
    }

    fn variables(names: &[&str]) -> Environment {
        names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect()
    }

    #[test]
    fn shells_learn_what_they_know_of_the_size() {
        let all = [
            "SLURM_JOBID",
            "SLURM_JOB_CPUS_PER_NODE",
            "SLURM_JOB_NODELIST",
            "SLURM_JOB_NUM_NODES",
            "SLURM_NNODES",
            "SLURM_NODELIST",
            "SLURM_NTASKS",
            "SLURM_NPROCS",
            "SLURM_TASKS_PER_NODE",
        ];
        let (files, said) = shell_files(&job(), &variables(&all)).unwrap();
        assert_eq!(files[0].name, "slurm_job_2_resize.csh");
        assert_eq!(
            files[0].content,
            "setenv SLURM_NODELIST \"n[1-2]\"\nsetenv SLURM_JOB_NODELIST \"n[1-2]\"\nsetenv SLURM_NNODES 2\n\
             setenv SLURM_JOB_NUM_NODES 2\nsetenv SLURM_JOB_CPUS_PER_NODE \"5,1\"\nunsetenv SLURM_NPROCS\n\
             unsetenv SLURM_NTASKS\nunsetenv SLURM_TASKS_PER_NODE\n"
        );
        assert_eq!(
            files[1].content,
            "export SLURM_NODELIST=\"n[1-2]\"\nexport SLURM_JOB_NODELIST=\"n[1-2]\"\nexport SLURM_NNODES=2\n\
             export SLURM_JOB_NUM_NODES=2\nexport SLURM_JOB_CPUS_PER_NODE=\"5,1\"\nunset SLURM_NPROCS\n\
             unset SLURM_NTASKS\nunset SLURM_TASKS_PER_NODE\n"
        );
        assert_eq!(
            said,
            "To reset Slurm environment variables, execute\n  For bash or sh shells:  . ./slurm_job_2_resize.sh\n  \
             For csh shells:         source ./slurm_job_2_resize.csh\n"
        );
        let (files, _) = shell_files(&job(), &variables(&["SLURM_JOBID", "SLURM_NNODES"])).unwrap();
        assert_eq!(
            (files[0].content.as_str(), files[1].content.as_str()),
            ("setenv SLURM_NNODES 2\n", "export SLURM_NNODES=2\n")
        );
        assert_eq!(shell_files(&job(), &variables(&["SLURM_NNODES"])), None);
        let gave_all = Job { state: JobState::Completed, ..job() };
        let (files, _) = shell_files(&gave_all, &variables(&all)).unwrap();
        assert_eq!(
            files[1].content,
            "export SLURM_NODELIST=\"\"\nexport SLURM_JOB_NODELIST=\"\"\nexport SLURM_NNODES=0\n\
             export SLURM_JOB_NUM_NODES=0\nexport SLURM_JOB_CPUS_PER_NODE=\"\"\nunset SLURM_NPROCS\n\
             unset SLURM_NTASKS\nunset SLURM_TASKS_PER_NODE\n"
        );
    }

    #[test]
    fn only_one_job_is_resized() {
        let check = |text: &str, jobs: Vec<Job>, expected: &str| {
            let changes = Changes { list: Vec::new(), trailer: None };
            let action = match begin(text, ids::target(text), changes) {
                Action::Lookup(lookup) => {
                    let Next::Resize(resize) = lookup.next else { panic!("{text}") };
                    resize.resume(&Answers { jobs: jobs.into_iter().map(Arc::new).collect(), ..Answers::default() })
                }
                other => other,
            };
            match action {
                Action::Print(outcome) => assert_eq!((outcome.stderr.as_str(), outcome.code), (expected, 1), "{text}"),
                Action::Resize(..) => assert_eq!("", expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        };
        check("2", vec![job()], "");
        check("abc", Vec::new(), "scontrol: error: Invalid job ID abc\n");
        check("2+1", vec![job()], "scontrol: error: Invalid job ID 2+1\n");
        check(
            "999",
            vec![job()],
            "scontrol: error: Could not load state information for job 999: Invalid job id specified\n",
        );
        let task = |id, task_index| {
            let array = Some(muster_model::job::ArrayRole::Task { array_job_id: JobId(2), task_index });
            Job { id: JobId(id), array, ..job() }
        };
        check("2", vec![task(3, 1), task(2, 2)], "scontrol: error: Job resizing not supported for job arrays\n");
        check("2_1", vec![task(3, 1), task(2, 2)], "");
    }
}
