//! `scontrol show`: which questions each entity needs, and how the answers are printed.

use muster_model::hostlist::{self, HostListError};
use muster_model::ids::{JobId, StepId};
use muster_model::request::{JobTarget, Query, RefusalCode};

use super::super::context::{Answers, Context, Environment, Outcome};
use super::super::{ids, order, time_text};
use super::show_job::JobPrinter;
use super::show_node::NodePrinter;
use super::{Action, Flags, explain, show_license, show_partition, show_reservation, show_step, show_topology};

/// What to show, once the answers are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// All jobs, or one job, array or task, with its name as written.
    Jobs(Option<(JobTarget, String)>),
    /// Why these jobs wait, with their names as written.
    Explanations(Vec<(JobTarget, String)>),
    /// All nodes, or those of a host list.
    Nodes(Option<String>),
    /// All partitions, or one.
    Partitions(Option<String>),
    /// All steps, those of a job, or one, with its name as written.
    Steps(Option<(JobTarget, String)>),
    /// The parameters in force.
    Config,
    /// All licences, or one.
    Licenses(Option<String>),
    /// All reservations, or one.
    Reservations(Option<String>),
    /// How the nodes are wired: all of it, or what is above a node or below a switch.
    Topology(Option<String>),
    /// Names of nodes by their addresses.
    Aliases,
    /// Whether the controller is there.
    Ping,
}

impl Show {
    /// What to ask.
    pub fn queries(&self, flags: Flags) -> Vec<Query> {
        match self {
            Show::Jobs(which) => {
                // Number 0 stands for all jobs.
                let ids = which.as_ref().map(|(target, _)| vec![target.job_id]).filter(|ids| ids != &[JobId(0)]);
                let mut all = vec![Query::Jobs { ids, uids: None, active_only: false }, Query::Nodes, Query::Config];
                all.extend(which.iter().filter(|_| flags.explain).map(|(target, _)| explain::query(target)));
                all
            }
            Show::Explanations(jobs) => jobs.iter().map(|(target, _)| explain::query(target)).collect(),
            Show::Nodes(_) | Show::Partitions(_) => vec![Query::Nodes, Query::Config],
            Show::Steps(which) => {
                let job_id = which.as_ref().map(|(target, _)| target.job_id);
                let ids = job_id.map(|id| vec![id]);
                vec![Query::Jobs { ids, uids: None, active_only: false }, Query::Steps { job_id }]
            }
            Show::Config => vec![Query::Config, Query::Ping],
            Show::Licenses(_) => {
                let running = Query::Jobs { ids: None, uids: None, active_only: true };
                vec![running, Query::Config, Query::RemoteLicenses, Query::Reservations]
            }
            Show::Reservations(_) => vec![Query::Reservations, Query::Nodes],
            Show::Topology(_) => vec![Query::Topology, Query::Nodes],
            Show::Aliases => vec![Query::Nodes],
            Show::Ping => vec![Query::Ping],
        }
    }

    /// What stands before the reason when the questions cannot be asked.
    pub fn complaint_prefix(&self) -> &'static str {
        match self {
            Show::Jobs(_) | Show::Explanations(_) => "slurm_load_jobs error",
            Show::Nodes(_) | Show::Aliases => "slurm_load_node error",
            Show::Topology(_) => "slurm_load_topo error",
            Show::Partitions(_) => "slurm_load_partitions error",
            Show::Steps(_) => "slurm_get_job_steps error",
            Show::Licenses(_) => "slurm_load_licenses error",
            Show::Reservations(_) => "slurm_load_reservations error",
            Show::Config | Show::Ping => "slurm_load_ctl_conf error",
        }
    }

    /// The text.
    pub fn render(&self, answers: &Answers, context: &Context, flags: Flags) -> Outcome {
        let found =
            |(text, found): (String, bool)| Outcome { stdout: text, code: u8::from(!found), ..Outcome::default() };
        let outcome = match self {
            Show::Jobs(which) => jobs(which.as_ref(), answers, context, flags),
            Show::Explanations(jobs) => explain::print(jobs, answers, context),
            Show::Nodes(names) => {
                let printer = NodePrinter {
                    cluster: &answers.cluster,
                    context,
                    one_line: flags.one_line,
                    details: flags.details,
                };
                found(printer.print(names.as_deref(), flags.future))
            }
            Show::Partitions(name) => {
                found(show_partition::print(&answers.cluster, name.as_deref(), flags.one_line, flags.all))
            }
            Show::Steps(which) => steps(which.as_ref(), answers, context, flags),
            Show::Config => Outcome::success(config(answers, context)),
            Show::Reservations(name) => {
                found(show_reservation::print(answers, context, name.as_deref(), flags.one_line))
            }
            Show::Licenses(name) => {
                Outcome::success(show_license::print(answers, context.now, name.as_deref(), flags.one_line))
            }
            Show::Topology(name) => show_topology::print(&answers.cluster, name.as_deref()),
            Show::Aliases => {
                let names: Vec<&str> = answers.cluster.nodes.iter().map(|node| node.name().as_ref()).collect();
                Outcome::success(format!("{}\n", names.join(" ")))
            }
            Show::Ping => Outcome::success(up(answers)),
        };
        match self.as_of(answers, context).filter(|_| flags.verbose) {
            Some(line) => Outcome { stdout: format!("{line}{}", outcome.stdout), ..outcome },
            None if flags.quiet => Outcome { stderr: String::new(), ..outcome },
            None => outcome,
        }
    }

    /// As of when the records are that are shown, and how many there are.
    fn as_of(&self, answers: &Answers, context: &Context) -> Option<String> {
        let count = match self {
            Show::Jobs(_) => answers.jobs.len(),
            Show::Nodes(_) => answers.cluster.nodes.len(),
            Show::Partitions(_) => answers.cluster.partitions.len(),
            Show::Steps(_) => answers.steps.len(),
            Show::Reservations(_) => answers.reservations.len(),
            _ => return None,
        };
        let time = time_text::standard(context.now, &context.zone);
        Some(format!("last_update_time={time}, records={count}\n"))
    }
}

fn invalid_id(prefix: &str) -> Outcome {
    Outcome::failure(format!("{prefix} error: {}\n", RefusalCode::InvalidJobId.text()), 1)
}

fn up(answers: &Answers) -> String {
    let host = answers.pong.as_ref().map_or("localhost", |pong| pong.host.as_ref());
    format!("Slurmctld(primary) at {host} is UP\n")
}

/// What `ping` prints when nobody answers; `host` is where the controller should be.
pub fn down(host: &str) -> Outcome {
    let banner = "*****************************************\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n*****************************************\n";
    Outcome { stdout: format!("Slurmctld(primary) at {host} is DOWN\n{banner}"), stderr: String::new(), code: 1 }
}

fn jobs(which: Option<&(JobTarget, String)>, answers: &Answers, context: &Context, flags: Flags) -> Outcome {
    let printer = JobPrinter {
        cluster: &answers.cluster,
        context,
        one_line: flags.one_line,
        details: flags.details,
        explanations: &answers.explanations,
    };
    let mut jobs = answers.jobs.clone();
    let Some((target, name)) = which else {
        order::by_list(&mut jobs);
        if jobs.is_empty() {
            return Outcome::success("No jobs in the system\n");
        }
        if flags.explain {
            return Outcome::failure("scontrol: error: --explain is for one job or array: show job N\n", 1);
        }
        return Outcome::success(jobs.iter().map(|job| printer.print(job, None)).collect::<String>());
    };
    order::by_array(&mut jobs);
    if jobs.is_empty() && target.tasks.is_none() {
        return invalid_id("slurm_load_jobs");
    }
    let mut text = String::new();
    for job in jobs.iter().filter(|job| ids::matches(target, job)) {
        match (&target.tasks, job.task_index()) {
            (Some(tasks), None) => tasks.iter().for_each(|task| text.push_str(&printer.print(job, Some(task)))),
            _ => text.push_str(&printer.print(job, None)),
        }
    }
    if text.is_empty() {
        return Outcome { stdout: format!("Job {name} not found\n"), stderr: String::new(), code: 1 };
    }
    Outcome::success(text)
}

fn steps(which: Option<&(JobTarget, String)>, answers: &Answers, context: &Context, flags: Flags) -> Outcome {
    if which.is_some() && answers.jobs.is_empty() {
        return invalid_id("slurm_get_job_steps");
    }
    let mut steps: Vec<_> =
        answers.steps.iter().filter(|step| step.end_time.is_none() && !step.state.is_final()).collect();
    let rank = |id: StepId| match id {
        StepId::Batch => (0, 0),
        StepId::Extern | StepId::Prolog | StepId::Epilog => (1, 0),
        StepId::Interactive => (2, 0),
        StepId::Number(number) => (3, number),
    };
    steps.sort_by_key(|step| (step.job_id, rank(step.step_id)));
    let mut text = String::new();
    for step in steps {
        let Some(job) = answers.jobs.iter().find(|job| job.id == step.job_id) else {
            continue;
        };
        let wanted = which.is_none_or(|(target, _)| {
            ids::matches(target, job) && target.step.is_none_or(|wanted| wanted == step.step_id)
        });
        if wanted {
            text.push_str(&show_step::print(step, job, context, flags.one_line));
        }
    }
    match which {
        Some((target, name)) if text.is_empty() => {
            let name = if target.step.is_none() { format!("{name}.") } else { name.clone() };
            Outcome { stdout: format!("Job step {name} not found\n"), stderr: String::new(), code: 1 }
        }
        None if text.is_empty() => Outcome::success("No job steps in the system\n"),
        _ => Outcome::success(text),
    }
}

fn config(answers: &Answers, context: &Context) -> String {
    let mut text = format!("Configuration data as of {}\n", time_text::standard(context.now, &context.zone));
    let mut parameters: Vec<(&str, String)> = Vec::new();
    for (key, value) in &answers.cluster.parameters {
        parameters.extend(computed_before(key, answers, context));
        parameters.push((key, value.clone()));
    }
    for (key, value) in parameters {
        // The heading of a section has no value.
        match key.ends_with(':') && value.is_empty() {
            true => text.push_str(&format!("\n{key}\n")),
            false => text.push_str(&format!("{key:<23} = {value}\n")),
        }
    }
    text.push('\n');
    text.push_str(&up(answers));
    text
}

/// Rows that no configuration holds, where they stand: before the row `key`.
fn computed_before(key: &str, answers: &Answers, context: &Context) -> Option<(&'static str, String)> {
    let (name, value) = match (key, &answers.pong) {
        ("BurstBufferType", Some(pong)) => ("BOOT_TIME", time_text::standard(pong.started, &context.zone)),
        ("NodeFeaturesPlugins", Some(pong)) => ("NEXT_JOB_ID", pong.job_id_next.to_string()),
        ("SrunEpilog", _) => ("SLURM_VERSION", super::super::VERSION.to_owned()),
        _ => return None,
    };
    answers.cluster.parameter(name).is_none().then_some((name, value))
}

/// Finds the entity of `show ENTITY [ID]`, or `show ENTITY=ID`; `arguments` do not contain `show` itself.
pub fn parse(arguments: &[String], environment: &Environment) -> Action {
    let (entity, id) = match arguments {
        [] => return Action::complain("too few arguments for keyword:show\n"),
        [both] => match both.split_once('=') {
            Some((entity, id)) => (entity, Some(id.to_owned())),
            None => (both.as_str(), None),
        },
        [entity, id] => (entity.as_str(), Some(id.clone())),
        [entity, ..] if is(entity, "config", 1) => (entity.as_str(), None),
        _ => return Action::complain("too many arguments for keyword:show\n"),
    };
    if let Some(outcome) = plain(entity, id.as_deref(), environment) {
        return Action::Print(outcome);
    }
    let target = |prefix: &str, show: fn(Option<(JobTarget, String)>) -> Show| match id.as_deref() {
        None | Some("0") => Action::Show(show(None)),
        // The tasks of any array are shown, their steps are not.
        Some(text) => match ids::target(text).or_else(|| ids::task_of_any(text).filter(|_| prefix.ends_with("job"))) {
            Some(target) => Action::Show(show(Some((target, text.to_owned())))),
            None => Action::Print(invalid_id(prefix)),
        },
    };
    match entity {
        _ if is(entity, "aliases", 1) => Action::Show(Show::Aliases),
        _ if is(entity, "jobs", 1) || is(entity, "jobid", 1) => target("scontrol_print_job", Show::Jobs),
        _ if is(entity, "nodes", 1) || is(entity, "nodename", 1) => match id.as_deref() {
            Some("") => Action::Print(Outcome::default()),
            _ => Action::Show(Show::Nodes(id)),
        },
        _ if is(entity, "partitions", 2) || is(entity, "partitionname", 2) => Action::Show(Show::Partitions(id)),
        _ if is(entity, "slurmd", 2) => Action::ShowSlurmd(id),
        _ if is(entity, "steps", 2) => target("scontrol_print_step", Show::Steps),
        _ if is(entity, "topology", 1) => Action::Show(Show::Topology(id)),
        _ if is(entity, "config", 1) => Action::Show(Show::Config),
        _ if is(entity, "reservations", 1) || is(entity, "reservationname", 1) => {
            Action::Show(Show::Reservations(id.filter(|name| !name.is_empty())))
        }
        _ if is(entity, "licenses", 2) => Action::Show(Show::Licenses(id)),
        _ if is(entity, "hostlist", 5) => match id {
            Some(path) if path.starts_with('/') => Action::HostListOfFile { path, sorted: false },
            id => Action::Print(host_list(id.as_deref(), false)),
        },
        _ => Action::complain(&format!("invalid entity:{entity} for keyword:show \n")),
    }
}

/// Entities that need no question, among them those that nothing stands behind yet.
fn plain(entity: &str, id: Option<&str>, environment: &Environment) -> Option<Outcome> {
    const NOT_HERE: &[(&str, usize)] = &[("assoc_mgr", 2)];
    /// Things that a cluster without them has none of.
    const NONE: &[(&str, usize)] = &[("bbstat", 2), ("burstbuffer", 2), ("dwstat", 2), ("federation", 2)];
    Some(match id {
        _ if is(entity, "hostnames", 5) => host_names(id, environment),
        _ if is(entity, "hostlistsorted", 9) => host_list(id, true),
        _ if is(entity, "daemons", 1) => Outcome::success("slurmctld slurmd\n"),
        _ if is(entity, "frontend", 2) => Outcome::success("No nodes in the system\n"),
        _ if NONE.iter().any(|(word, least)| is(entity, word, *least)) => Outcome::default(),
        _ if NOT_HERE.iter().any(|(word, least)| is(entity, word, *least)) => {
            Outcome::failure(format!("scontrol: error: show {entity} is not supported here\n"), 1)
        }
        _ => return None,
    })
}

/// Whether `text` is `word`, or a beginning of it of at least `least` letters, in any case.
pub fn is(text: &str, word: &str, least: usize) -> bool {
    text.len() >= least
        && word.len() >= text.len()
        && word.as_bytes()[..text.len()].eq_ignore_ascii_case(text.as_bytes())
}

fn host_names(list: Option<&str>, environment: &Environment) -> Outcome {
    let from_environment =
        || ["SLURM_JOB_NODELIST", "SLURM_NODELIST"].iter().find_map(|name| environment.get(*name)).map(String::as_str);
    let Some(list) = list.or_else(from_environment) else {
        return Outcome::failure("scontrol: error: host list is empty\n", 0);
    };
    match hostlist::expand(list) {
        Ok(names) => Outcome::success(names.iter().map(|name| format!("{name}\n")).collect::<String>()),
        Err(error) => malformed(&error),
    }
}

fn host_list(list: Option<&str>, sorted: bool) -> Outcome {
    let Some(list) = list else {
        return Outcome::failure("invalid encode argument\n", 1);
    };
    compress(list, sorted)
}

/// The shortest host list for the names in `list`, separated by commas, blanks or line ends.
pub fn compress(list: &str, sorted: bool) -> Outcome {
    let joined = list.trim().replace(['\n', '\t'], ",");
    let result = if sorted { hostlist::relist_sorted(&joined) } else { hostlist::relist(&joined) };
    match result {
        Ok(text) => Outcome::success(format!("{text}\n")),
        Err(error) => malformed(&error),
    }
}

fn malformed(error: &HostListError) -> Outcome {
    let range = error.range_complaint().map_or(String::new(), |complaint| format!("scontrol: error: {complaint}\n"));
    Outcome::failure(format!("{range}{error}\n"), 1)
}
