//! `sacct`: what became of jobs and their steps, from the store.

mod content;
mod fields;
mod filter;
pub(super) mod format;
mod options;
mod row;
mod sizes;

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::request::{HistoryFilter, HistoryRow, Query};
use muster_model::state::JobState;

use super::context::{Answers, Context, Environment, Outcome};
use super::json;
use super::states::Shown;
pub use content::Wanted;
use format::Format;
use options::Options;
use row::Row;

/// A `sacct` that is ready to ask.
pub struct Sacct {
    options: Options,
    format: Format,
}

impl Sacct {
    /// Reads the command line (without the program's name).
    ///
    /// # Errors
    /// What to print instead.
    pub fn new(args: &[String], environment: &Environment, context: &Context) -> Result<Sacct, Outcome> {
        let options = options::read(args, environment, context)?;
        let format = Format::read(&options.format)
            .map_err(|name| Outcome::failure(format!("sacct: error: Invalid field requested: \"{name}\"\n"), 1))?;
        Ok(Sacct { options, format })
    }

    /// What to ask.
    pub fn queries(&self) -> Vec<Query> {
        let options = &self.options;
        let named = options.jobs.as_ref();
        let names = |list: &Option<Vec<String>>| {
            list.as_ref().map(|list| list.iter().map(|name| name.as_str().into()).collect())
        };
        let filter = HistoryFilter {
            ids: named.map(|targets| targets.iter().map(|target| target.job_id).collect()),
            uids: options.users.clone(),
            since: Some(options.since).filter(|since| since.0 > 0),
            until: Some(options.until).filter(|_| named.is_none()),
            states: None,
            names: names(&options.names),
            partitions: names(&options.partitions),
            whole: options.whole_het_job == Some(true),
            duplicates: options.duplicates || self.wants_requeued(),
        };
        vec![Query::History(filter), Query::Nodes, Query::Config, Query::Ping]
    }

    /// Earlier starts of jobs are the only ones that were requeued.
    fn wants_requeued(&self) -> bool {
        let requeued = Shown::Base(JobState::Requeued);
        self.options.states.as_ref().is_some_and(|states| states.contains(&requeued))
    }

    /// The table.
    pub fn render(&self, answers: &Answers, context: &Context) -> Outcome {
        let options = &self.options;
        let own = answers.cluster.name.as_deref().unwrap_or_default();
        let elsewhere = options
            .cluster
            .as_deref()
            .is_some_and(|wanted| !wanted.split(',').any(|name| name == own || name == "all"));
        let mut rows: Vec<_> =
            answers.history.iter().filter(|row| !elsewhere && filter::wanted(row, options)).collect();
        gather_arrays(&mut rows);
        if options.json {
            return Outcome::success(json::history(&rows, answers, context));
        }
        let mut text = if options.no_header { String::new() } else { self.format.header(&options.style) };
        let cluster = Arc::new(answers.cluster.clone());
        for history in rows {
            for (job, steps) in sizes::by_size(history) {
                let job = Row {
                    job,
                    steps: Arc::new(steps),
                    step: None,
                    cluster: cluster.clone(),
                    units: options.units,
                    window: options.truncate.then_some((options.since, options.until)),
                };
                for row in filter::lines(job, options) {
                    text.push_str(&self.format.row(&row, &options.style, context));
                }
            }
        }
        Outcome::success(text)
    }
}

/// Puts the tasks of an array together by their indices, whatever numbers they were given when they started.
fn gather_arrays(rows: &mut Vec<&HistoryRow>) {
    let mut place = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        place.entry(row.job.array_job_id().unwrap_or(row.job.id)).or_insert(at);
    }
    let mut placed: Vec<_> = rows.drain(..).enumerate().collect();
    placed.sort_by_key(|(at, row)| match row.job.array_job_id() {
        Some(array) => (place.get(&array).copied().unwrap_or(*at), row.job.task_index(), *at),
        None => (*at, None, *at),
    });
    rows.extend(placed.into_iter().map(|(_, row)| row));
}
