//! `scontrol listpids` and `scontrol pidinfo`: which processes of jobs there are on this machine, as its nodes tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::ids::{JobId, Name, StepId};
use muster_model::job::Job;
use muster_model::measure::UnitMeasure;
use muster_model::node::Node;
use muster_model::request::Query;
use muster_model::time::{Span, Timestamp};

use super::super::context::{Answers, Context, Outcome};
use super::super::time_text;
use super::Action;

/// What is asked of the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pids {
    /// The processes of steps.
    List {
        /// Only of this job.
        job: Option<JobId>,
        /// Only of this step of it.
        step: Option<StepId>,
        /// The node; `None` for those of this machine.
        node: Option<String>,
        /// What is said before the table.
        complaint: String,
    },
    /// The job of a process of this machine.
    Info(u32),
}

/// What each node told of the units of each job.
pub type Told = BTreeMap<(JobId, String), Vec<UnitMeasure>>;

/// A job without a limit is said to end so much later, as in Slurm.
const YEAR: Span = Span::from_seconds(365 * 24 * 3600);

/// `listpids [JOB[.STEP] [NODE]]`; `*` stands for all jobs.
pub(super) fn list(arguments: &[String]) -> Action {
    let (wanted, node) = match arguments {
        [] => ("*", None),
        [job] => (job.as_str(), None),
        [job, node] => (job.as_str(), Some(node.clone())),
        _ => return Action::complain("too many arguments for keyword:listpids\n"),
    };
    let (job, step_text) = wanted.split_once('.').map_or((wanted, None), |(job, step)| (job, Some(step)));
    let job = match job {
        "*" => None,
        text => match text.parse() {
            Ok(number) => Some(JobId(number)),
            Err(_) => return Action::complain(&format!("\"{wanted}\" does not look like a jobid\n")),
        },
    };
    let step = step_text.map(|text| text.parse().map(StepId::Number));
    let complaint = match step {
        Some(Err(_)) => format!("\"{wanted}\" does not look like a stepid\n"),
        _ => String::new(),
    };
    Action::Pids(Pids::List { job, step: step.and_then(Result::ok), node, complaint })
}

/// `pidinfo PID`.
pub(super) fn info(arguments: &[String]) -> Action {
    match arguments {
        [] => Action::complain("missing argument for keyword:pidinfo\n"),
        [pid] => Action::Pids(Pids::Info(pid.parse().unwrap_or(0))),
        _ => Action::complain("too many arguments for keyword:pidinfo\n"),
    }
}

impl Pids {
    /// What to ask the controller.
    pub fn queries() -> Vec<Query> {
        vec![Query::Nodes, Query::Jobs { ids: None, uids: None, active_only: true }]
    }

    /// The jobs whose nodes are to be asked, and the names of those that count. `host` is this machine.
    pub fn jobs(&self, answers: &Answers, host: &str) -> (Vec<Arc<Job>>, BTreeSet<String>) {
        let named = match self {
            Pids::List { node, .. } => node.as_deref(),
            Pids::Info(_) => None,
        };
        let is_meant = |node: &Node| match named {
            Some(name) => **node.name() == *name,
            None => *node.config.host_name == *host || **node.name() == *host || is_loopback(&node.config.address),
        };
        let nodes = answers.cluster.nodes.iter().enumerate().filter(|(_, node)| is_meant(node));
        let (indices, names): (BTreeSet<usize>, BTreeSet<String>) =
            nodes.map(|(index, node)| (index, node.name().to_string())).unzip();
        let is_there = |job: &&Arc<Job>| {
            let shares = job.allocation.iter().flat_map(|allocation| &allocation.shares);
            !job.state.is_final() && shares.into_iter().any(|share| indices.contains(&(share.node.0 as usize)))
        };
        (answers.jobs.iter().filter(is_there).cloned().collect(), names)
    }

    /// What is printed.
    pub fn render(&self, jobs: &[Arc<Job>], told: &Told, context: &Context) -> Outcome {
        match self {
            Pids::List { job, step, node, complaint } => {
                let node = node.as_deref().unwrap_or("(null)");
                let mut rows = String::new();
                let is_meant =
                    |id: JobId, own: StepId| job.is_none_or(|job| id == job) && step.is_none_or(|step| own == step);
                for ((id, _), units) in told {
                    let mut units: Vec<&UnitMeasure> = units.iter().filter(|unit| is_meant(*id, unit.step)).collect();
                    units.sort_by_key(|unit| (!matches!(unit.step, StepId::Number(_)), unit.step));
                    units.iter().for_each(|unit| rows.push_str(&table(*id, unit)));
                }
                let missing = match (job, step) {
                    _ if !rows.is_empty() || !complaint.is_empty() => String::new(),
                    (None, _) => "No job steps exist on this node.\n".to_owned(),
                    (Some(job), Some(step)) => format!("StepId={job}.{step} does not exist on node {node}.\n"),
                    (Some(job), None) if told.is_empty() => format!("JobId={job} does not exist on node {node}.\n"),
                    (Some(job), None) => format!("There are no steps for job {job} on node {node}.\n"),
                };
                Outcome {
                    code: u8::from(!missing.is_empty()),
                    stderr: format!("{complaint}{missing}"),
                    stdout: format!("PID      JOBID    STEPID   LOCALID GLOBALID\n{rows}"),
                }
            }
            Pids::Info(pid) => {
                let owner = told.iter().find(|(_, units)| units.iter().any(|unit| unit.pids.contains(pid)));
                let job = owner.and_then(|((id, _), _)| jobs.iter().find(|job| job.id == *id));
                match job {
                    Some(job) => Outcome::success(remaining(job, context)),
                    None => Outcome::failure("Failed to locate job for requested pid\n", 1),
                }
            }
        }
    }
}

/// Whether an address is that of this machine wherever it is used, as in a cluster on one machine.
fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Tasks first, in order; then what they started.
fn table(job_id: JobId, unit: &UnitMeasure) -> String {
    let step = Name::from(unit.step.to_string());
    let row = |pid: u32, local: &str, rank: &str| format!("{pid:<8} {job_id:<8} {step:<8} {local:<7} {rank:<8}\n");
    let tasks = unit.tasks.iter().enumerate();
    let tasks: String = tasks.map(|(local, (rank, pid))| row(*pid, &local.to_string(), &rank.to_string())).collect();
    let is_task = |pid: &&u32| unit.tasks.iter().any(|(_, task)| task == *pid);
    let others: String = unit.pids.iter().filter(|pid| !is_task(pid)).map(|pid| row(*pid, "-", "-")).collect();
    tasks + &others
}

fn remaining(job: &Job, context: &Context) -> String {
    let end = job.end_time.unwrap_or(context.now + YEAR);
    let seconds = (end.0 - context.now.0).max(0) / 1000;
    let written = time_text::date_line(Timestamp(end.0), &context.zone);
    format!("Slurm JobId={} ends at {written}\nJob remaining time is {seconds} seconds\n", job.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_asked_for() {
        let check = |line: &str, expected: Pids| assert_eq!(list(&words(line)), Action::Pids(expected), "{line}");
        let wanted = |job: Option<u32>, step: Option<u32>, node: Option<&str>, complaint: &str| Pids::List {
            job: job.map(JobId),
            step: step.map(StepId::Number),
            node: node.map(str::to_owned),
            complaint: complaint.to_owned(),
        };
        check("", wanted(None, None, None, ""));
        check("42", wanted(Some(42), None, None, ""));
        check("42.0 n2", wanted(Some(42), Some(0), Some("n2"), ""));
        check("42.batch n2", wanted(Some(42), None, Some("n2"), "\"42.batch\" does not look like a stepid\n"));
        assert_eq!(list(&words("abc n2")), Action::complain("\"abc\" does not look like a jobid\n"));
        assert_eq!(info(&[]), Action::complain("missing argument for keyword:pidinfo\n"));
        assert_eq!(info(&words("7 x")), Action::complain("too many arguments for keyword:pidinfo\n"));
    }

    #[test]
    fn the_table_of_real_scontrol() {
        let unit = |step: &str, tasks: &[(u32, u32)], pids: &[u32]| UnitMeasure {
            step: step.parse().unwrap(),
            measured: muster_model::measure::Measured::default(),
            pids: pids.to_vec(),
            tasks: tasks.to_vec(),
        };
        let told: Told = [(
            (JobId(42), "n2".to_owned()),
            vec![unit("batch", &[(0, 28639)], &[28639, 28640]), unit("0", &[(0, 28676), (1, 28678)], &[28676, 28678])],
        )]
        .into();
        let context = Context::new(
            Timestamp(0),
            jiff::tz::TimeZone::UTC,
            &std::collections::BTreeMap::new(),
            muster_model::ids::Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() },
        );
        let said = |line: &str, told: &Told| {
            let Action::Pids(pids) = list(&words(line)) else { panic!("{line}") };
            let outcome = pids.render(&[], told, &context);
            format!("{}{}[{}]", outcome.stderr, outcome.stdout, outcome.code)
        };
        let head = "PID      JOBID    STEPID   LOCALID GLOBALID\n";
        let steps = "28676    42       0        0       0       \n28678    42       0        1       1       \n";
        let script = "28639    42       batch    0       0       \n28640    42       batch    -       -       \n";
        assert_eq!(said("42 n2", &told), format!("{head}{steps}{script}[0]"));
        assert_eq!(said("42.0 n2", &told), format!("{head}{steps}[0]"));
        assert_eq!(said("42.7 n2", &told), format!("StepId=42.7 does not exist on node n2.\n{head}[1]"));
        assert_eq!(said("999 n2", &told), format!("There are no steps for job 999 on node n2.\n{head}[1]"));
        assert_eq!(said("42", &Told::new()), format!("JobId=42 does not exist on node (null).\n{head}[1]"));
        assert_eq!(said("", &Told::new()), format!("No job steps exist on this node.\n{head}[1]"));
    }
}
