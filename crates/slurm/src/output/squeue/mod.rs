//! `squeue`: the jobs and steps that are in memory.

mod filter;
mod job_fields;
mod options;
mod page;
mod sort;
mod step_fields;

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::request::{Query, RefusalCode};

use super::context::{Answers, Cluster, Context, Environment, Outcome};
use super::format::{AllStyle, Format, letters, names};
use super::{json, order, time_text, unknown_cluster};
pub use job_fields::{JobRow, partition_text};
use options::{Columns, Options, States};
use step_fields::StepRow;

/// A `squeue` that is ready to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squeue {
    options: Options,
}

impl Squeue {
    /// Reads the command line (without the program's name).
    ///
    /// # Errors
    /// What to print instead.
    pub fn new(args: &[String], environment: &Environment, context: &Context) -> Result<Squeue, Outcome> {
        options::read(args, environment, context).map(|options| Squeue { options })
    }

    /// `-i`: seconds after which to ask and print again.
    pub fn iterate_seconds(&self) -> Option<u64> {
        self.options.iterate
    }

    /// What to ask.
    pub fn queries(&self) -> Vec<Query> {
        let options = &self.options;
        let steps = options.steps.is_some();
        // With a single job named, it must be told apart whether it is unknown or has ended.
        let active_only = !steps && self.single_job().is_none() && options.states.is_none() && !options.json;
        let ids = match &options.jobs {
            Some(targets) if !steps => Some(targets.iter().map(|target| target.job_id).collect()),
            _ => None,
        };
        let mut queries = vec![Query::Jobs { ids, uids: options.users.clone().filter(|_| !steps), active_only }];
        if steps {
            queries.push(Query::Steps { job_id: None });
        }
        let (nodes, partitions, name) = self.needs();
        if nodes {
            queries.extend([Query::Nodes, Query::Config]);
        } else if partitions {
            queries.push(Query::Partitions);
        }
        if name {
            queries.push(Query::Ping);
        }
        queries
    }

    /// Whether nodes with parameters, partitions, and the name of the cluster are needed.
    fn needs(&self) -> (bool, bool, bool) {
        let shows = |letters_wanted: &[char], names_wanted: &[&str]| match &self.options.columns {
            Columns::Default => false,
            _ if self.options.steps.is_some() => {
                self.step_format().shows(|field| field.names.iter().any(|name| names_wanted.contains(name)))
            }
            _ => self.job_format().shows(|field| {
                field.letter.is_some_and(|letter| letters_wanted.contains(&letter))
                    || field.names.iter().any(|name| names_wanted.contains(name))
            }),
        };
        let nodes = self.options.nodes.is_some() || self.options.json || shows(&['h'], &["tres-alloc"]);
        let partitions = shows(&['m'], &[]);
        let name = self.options.cluster.is_some() || self.options.json || shows(&[], &["cluster"]);
        (nodes, partitions, name)
    }

    fn single_job(&self) -> Option<u32> {
        match self.options.jobs.as_deref() {
            Some([one]) => Some(one.job_id.0),
            _ => None,
        }
    }

    /// The table.
    pub fn render(&self, answers: &Answers, context: &Context) -> Outcome {
        let options = &self.options;
        if options.steps.is_none() && answers.jobs.is_empty() && self.single_job().is_some() {
            return Outcome::failure(format!("slurm_load_jobs error: {}\n", RefusalCode::InvalidJobId.text()), 1);
        }
        let mut outcome = Outcome { stderr: options.warnings.clone(), ..Outcome::default() };
        if let Some(wanted) = &options.cluster {
            let own = answers.cluster.name.as_deref().unwrap_or_default();
            if wanted != own && wanted != "all" {
                return unknown_cluster("squeue", wanted);
            }
            outcome.stdout.push_str(&format!("CLUSTER: {own}\n"));
        }
        if options.json {
            outcome.stdout.push_str(&json::jobs(answers, context));
            return outcome;
        }
        let nodes = match self.nodes(&answers.cluster) {
            Ok(nodes) => nodes,
            Err(outcome) => return outcome,
        };
        let is_verbose = options.verbose > 0;
        if is_verbose {
            outcome.stdout.push_str(&page::page(options));
        }
        if is_verbose || (!options.no_header && (options.long || options.iterate.is_some())) {
            outcome.stdout.push_str(&format!("{}\n", time_text::date_line(context.now, &context.zone)));
        }
        if is_verbose {
            let records = if options.steps.is_some() { answers.steps.len() } else { answers.jobs.len() };
            outcome.stdout.push_str(&format!("last_update_time={} records={records}\n", context.now.seconds()));
        }
        let failed = match &options.steps {
            None => self.render_jobs(answers, nodes.as_deref(), context, &mut outcome),
            Some(_) => self.render_steps(answers, nodes.as_deref(), context, &mut outcome),
        };
        if let Err(letter) = failed {
            outcome.stderr.push_str(&format!("squeue: error: Invalid sort specification: {letter}\n"));
            outcome.code = 1;
        }
        outcome
    }

    fn nodes(&self, cluster: &Cluster) -> Result<Option<Vec<String>>, Outcome> {
        let Some(list) = &self.options.nodes else {
            return Ok(None);
        };
        let names = hostlist::expand(list).map_err(|_| complain(&format!("Invalid node name {list}")))?;
        match names.iter().find(|name| !cluster.nodes.iter().any(|node| **node.name() == ***name)) {
            Some(unknown) => Err(complain(&format!("Invalid node name {unknown}"))),
            None => Ok(Some(names)),
        }
    }

    fn job_format(&self) -> Format<JobRow> {
        match &self.options.columns {
            Columns::Letters(format) => letters(format, job_fields::FIELDS, AllStyle::Plain),
            Columns::Names(format) => names(format, job_fields::FIELDS),
            Columns::Default => {
                let format = match (self.options.long, self.options.start) {
                    (true, _) => job_fields::LONG,
                    (_, true) => job_fields::START,
                    _ => job_fields::DEFAULT,
                };
                letters(format, job_fields::FIELDS, AllStyle::Plain)
            }
        }
    }

    fn step_format(&self) -> Format<StepRow> {
        match &self.options.columns {
            Columns::Letters(format) => letters(format, step_fields::FIELDS, AllStyle::Plain),
            Columns::Names(format) => names(format, step_fields::FIELDS),
            Columns::Default => letters(step_fields::DEFAULT, step_fields::FIELDS, AllStyle::Plain),
        }
    }

    fn render_jobs(
        &self,
        answers: &Answers,
        nodes: Option<&[String]>,
        context: &Context,
        outcome: &mut Outcome,
    ) -> Result<(), char> {
        let format = self.job_format();
        complain_of_format(&format.invalid, "job", outcome);
        if !self.options.no_header {
            outcome.stdout.push_str(&format.header());
        }
        let mut jobs = answers.jobs.clone();
        match self.single_job() {
            Some(_) => order::by_array(&mut jobs),
            None => order::by_list(&mut jobs),
        }
        let jobs = sort::by_start(jobs, context);
        let cluster = Arc::new(answers.cluster.clone());
        let mut rows: Vec<JobRow> =
            jobs.iter().flat_map(|job| filter::rows(job, &cluster, &self.options, nodes)).collect();
        let default = if self.options.start { sort::START } else { sort::DEFAULT };
        let keys = sort::keys(self.options.sort.as_deref().unwrap_or(default), sort::is_job_key)?;
        sort::jobs(&mut rows, &keys, context);
        for row in &rows {
            outcome.stdout.push_str(&format.row(row, context));
        }
        Ok(())
    }

    fn render_steps(
        &self,
        answers: &Answers,
        nodes: Option<&[String]>,
        context: &Context,
        outcome: &mut Outcome,
    ) -> Result<(), char> {
        let format = self.step_format();
        complain_of_format(&format.invalid, "job step", outcome);
        if !self.options.no_header {
            outcome.stdout.push_str(&format.header());
        }
        // States are conditions on jobs; running and waiting steps are shown whatever they are.
        let conditions = Options { states: Some(States::All), ..self.options.clone() };
        let mut rows = Vec::new();
        for step in &answers.steps {
            let Some(job) = answers.jobs.iter().find(|job| job.id == step.job_id) else {
                continue;
            };
            let named = self.options.steps.as_deref().unwrap_or_default();
            let matches = |target: &muster_model::request::JobTarget| {
                target.step == Some(step.step_id) && super::ids::matches(target, job)
            };
            let on_nodes = nodes.is_none_or(|names| super::context::touches(&step.node_list, names));
            let running = step.end_time.is_none() && !step.state.is_final();
            if running
                && on_nodes
                && (named.is_empty() || named.iter().any(matches))
                && filter::wanted(job, &conditions, None)
            {
                let cluster_name = answers.cluster.name.clone();
                rows.push(StepRow { step: step.clone(), job: job.clone(), cluster_name });
            }
        }
        let keys = sort::keys(self.options.sort.as_deref().unwrap_or(sort::STEPS), sort::is_step_key)?;
        sort::steps(&mut rows, &keys, context);
        for row in &rows {
            outcome.stdout.push_str(&format.row(row, context));
        }
        Ok(())
    }
}

fn complain(text: &str) -> Outcome {
    Outcome::failure(format!("squeue: error: {text}\n"), 1)
}

fn complain_of_format(invalid: &[String], of: &str, outcome: &mut Outcome) {
    for word in invalid {
        outcome.stderr.push_str(&format!("squeue: error: Invalid {of} format specification: {word}\n"));
    }
}
