//! `sprio`: the parts of the priorities of waiting jobs, or the weights of the parts.

mod fields;
mod options;

use std::cmp::Ordering;

use muster_model::priority::{PriorityConfig, PriorityRow, PriorityType};
use muster_model::request::Query;

use self::fields::{Row, Shown};
use self::options::Options;
use super::context::{Answers, Context, Environment, Outcome};
use super::unknown_cluster;

/// A command line of `sprio` that has been read.
#[derive(Debug)]
pub struct Sprio {
    options: Options,
}

impl Sprio {
    /// Reads `args` and the environment.
    ///
    /// # Errors
    /// What to print instead, where there is nothing to ask.
    pub fn new(args: &[String], environment: &Environment, context: &Context) -> Result<Sprio, Outcome> {
        Ok(Sprio { options: options::read(args, environment, context)? })
    }

    /// What to ask the controller.
    pub fn queries(&self) -> Vec<Query> {
        let mut queries = vec![Query::Priorities];
        queries.extend(self.options.cluster.is_some().then_some(Query::Ping));
        queries
    }

    /// What to print.
    pub fn render(&self, answers: &Answers) -> Outcome {
        let options = &self.options;
        if let Some(wanted) = &options.cluster
            && answers.cluster.name.as_deref() != Some(wanted)
        {
            return unknown_cluster("sprio", wanted);
        }
        let Some(report) = &answers.priorities else {
            return Outcome::failure("sprio: error: the controller does not tell priorities\n", 1);
        };
        if report.config.kind != PriorityType::Multifactor {
            let words = "You are not running a supported priority plugin\n(priority/basic).\n\
                         Only 'priority/multifactor' is supported.\n";
            return Outcome::failure(words, 1);
        }
        let mut outcome = Outcome { stdout: options.dump(), ..options.complaints.clone() };
        let (format, complaints) = fields::read(&self.format(&report.config));
        outcome.stderr.push_str(&complaints);
        self.table(report.rows.as_slice(), &report.config, &format, &mut outcome);
        outcome
    }

    fn table(&self, rows: &[PriorityRow], config: &PriorityConfig, format: &[Shown], outcome: &mut Outcome) {
        let options = &self.options;
        let wanted: Vec<&PriorityRow> = rows.iter().filter(|row| options.wants(row)).collect();
        if !options.weights && options.names_jobs() && wanted.is_empty() {
            outcome.stdout.push_str("Unable to find jobs matching user/id(s) specified\n");
            return;
        }
        if options.header {
            outcome.stdout.push_str(&fields::header(format));
        }
        if options.weights {
            outcome.stdout.push_str(&fields::line(format, &Row::Weights(config)));
            return;
        }
        let mut rows: Vec<Row<'_>> = wanted.into_iter().map(Row::Job).collect();
        if let Err(letter) = sort(&mut rows, options.sort.as_deref().unwrap_or("i")) {
            outcome.stderr.push_str(&format!("sprio: error: Invalid sort specification: {letter}\n"));
            outcome.code = 1;
            return;
        }
        outcome.stdout.extend(rows.iter().map(|row| fields::line(format, row)));
    }

    /// The format asked for, or the columns whose weight is not 0.
    fn format(&self, config: &PriorityConfig) -> String {
        let options = &self.options;
        if let Some(format) = &options.format {
            return format.clone();
        }
        let (long, normalised) = (options.long, options.normalised);
        let mut columns = vec!["%.15i", "%9r"];
        let mut add = |wanted: bool, weighted: &'static str, normal: &'static str| {
            let column = if normalised { normal } else { weighted };
            columns.extend((wanted && !column.is_empty()).then_some(column));
        };
        add(long || options.users.is_some(), "%.8u", "%.8u");
        add(true, "%.10Y", "%10y");
        add(true, "%.10S", "");
        add(long || config.weight_age > 0, "%.10A", "%10a");
        add(long || config.weight_association > 0, "%.10B", "%10b");
        add(long || config.weight_fair_share > 0, "%.10F", "%10f");
        add(long || config.weight_job_size > 0, "%.10J", "%10j");
        add(long || config.weight_partition > 0, "%.10P", "%10p");
        add(long || config.weight_qos > 0, "%.10Q", "%10q");
        add(long, "%.11N", "");
        add(long || !config.weight_tres.is_empty(), "%.20T", "%20t");
        columns.join(" ")
    }
}

/// Sorts by `u,-y`, the last first, so that earlier ones have the last word; gives the letter that means nothing.
fn sort(rows: &mut [Row<'_>], list: &str) -> Result<(), char> {
    let letters = list.split(',').flat_map(str::chars).filter(|c| !c.is_whitespace());
    let mut keys = Vec::new();
    let mut down = false;
    for letter in letters {
        match letter {
            '+' => down = false,
            '-' => down = true,
            _ => keys.push((fields::order(letter).ok_or(letter)?, std::mem::take(&mut down))),
        }
    }
    for (order, down) in keys.into_iter().rev() {
        rows.sort_by(|a, b| {
            let found: Ordering = order(a, b);
            if down { found.reverse() } else { found }
        });
    }
    Ok(())
}
