//! `sacct`: what became of jobs and their steps, from the store.

mod fields;
mod filter;
mod format;
mod options;
mod row;

use std::sync::Arc;

use muster_model::request::{HistoryFilter, Query};

use super::context::{Answers, Context, Environment, Outcome};
use super::json;
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
        let format = Format::read(&options.format).map_err(|name| {
            Outcome::failure(format!("sacct: error: Invalid field requested: \"{name}\"\n"), 1)
        })?;
        Ok(Sacct { options, format })
    }

    /// What to ask.
    pub fn queries(&self) -> Vec<Query> {
        let options = &self.options;
        let named = options.jobs.as_ref();
        let names = |list: &Option<Vec<String>>| {
            list.as_ref()
                .map(|list| list.iter().map(|name| name.as_str().into()).collect())
        };
        let filter = HistoryFilter {
            ids: named.map(|targets| targets.iter().map(|target| target.job_id).collect()),
            uids: options.users.clone(),
            since: Some(options.since).filter(|since| since.0 > 0),
            until: Some(options.until).filter(|_| named.is_none()),
            states: None,
            names: names(&options.names),
            partitions: names(&options.partitions),
            duplicates: options.duplicates,
        };
        vec![Query::History(filter), Query::Nodes, Query::Config, Query::Ping]
    }

    /// The table.
    pub fn render(&self, answers: &Answers, context: &Context) -> Outcome {
        let options = &self.options;
        let own = answers.cluster.name.as_deref().unwrap_or_default();
        let elsewhere = options
            .cluster
            .as_deref()
            .is_some_and(|wanted| !wanted.split(',').any(|name| name == own || name == "all"));
        let rows: Vec<_> = answers
            .history
            .iter()
            .filter(|row| !elsewhere && filter::wanted(row, options))
            .collect();
        if options.json {
            return Outcome::success(json::history(&rows, answers, context));
        }
        let mut text = if options.no_header {
            String::new()
        } else {
            self.format.header(&options.style)
        };
        let cluster = Arc::new(answers.cluster.clone());
        for history in rows {
            let job = Row {
                job: history.job.clone(),
                steps: Arc::new(history.steps.clone()),
                step: None,
                cluster: cluster.clone(),
                units: options.units,
                window: options.truncate.then_some((options.since, options.until)),
            };
            for row in filter::lines(job, options) {
                text.push_str(&self.format.row(&row, &options.style, context));
            }
        }
        Outcome::success(text)
    }
}
