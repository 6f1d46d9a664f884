//! `sinfo`: partitions and the states of their nodes.

mod fields;
mod group;
mod options;
mod page;
mod reservations;

use muster_model::request::Query;

use super::context::{Answers, Cluster, Context, Environment, Outcome};
use super::format::{AllStyle, Format, letters, names};
use super::{json, time_text, unknown_cluster};
use fields::{FIELDS, Group};
use options::{Columns, Options};

/// A `sinfo` that is ready to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sinfo {
    options: Options,
}

impl Sinfo {
    /// Reads the command line (without the program's name).
    ///
    /// # Errors
    /// What to print instead.
    pub fn new(args: &[String], environment: &Environment) -> Result<Sinfo, Outcome> {
        options::read(args, environment).map(|options| Sinfo { options })
    }

    /// `-i`: seconds after which to ask and print again.
    pub fn iterate_seconds(&self) -> Option<u64> {
        self.options.iterate
    }

    /// What to ask.
    pub fn queries(&self) -> Vec<Query> {
        let mut queries = vec![Query::Nodes];
        if self.options.cluster.is_some() || self.options.json {
            queries.push(Query::Ping);
        }
        if self.options.reservations {
            queries.push(Query::Reservations);
        }
        queries
    }

    /// The table.
    pub fn render(&self, answers: &Answers, context: &Context) -> Outcome {
        let options = &self.options;
        let mut outcome = Outcome::default();
        if let Some(wanted) = &options.cluster {
            let own = answers.cluster.name.as_deref().unwrap_or_default();
            if wanted != own && wanted != "all" {
                return unknown_cluster("sinfo", wanted);
            }
            outcome.stdout.push_str(&format!("CLUSTER: {own}\n"));
        }
        if options.json {
            outcome.stdout.push_str(&json::nodes_and_partitions(answers, context));
            return outcome;
        }
        if options.reservations {
            outcome.stdout.push_str(&reservations::table(answers, context, !options.no_header));
            return outcome;
        }
        let (format, said) = self.format(&answers.cluster);
        if options.verbose > 0 {
            outcome.stdout.push_str(&page::page(options, &format, &said));
        }
        if options.verbose > 0 || (!options.no_header && (options.long || options.iterate.is_some())) {
            outcome.stdout.push_str(&format!("{}\n", time_text::date_line(context.now, &context.zone)));
        }
        for word in &format.invalid {
            outcome.stderr.push_str(&match &options.columns {
                Columns::Names(_) => format!("sinfo: error: Invalid job format specification: {word}\n"),
                _ => format!("Invalid node format specification: {word}\n"),
            });
        }
        if !options.no_header {
            outcome.stdout.push_str(&format.header());
        }
        let mut groups = group::groups(&answers.cluster, options, &format, context);
        let default = if options.node_centric { "N" } else { "#P,-t" };
        group::sort(&mut groups, options.sort.as_deref().unwrap_or(default), context);
        for row in &groups {
            outcome.stdout.push_str(&format.row(row, context));
        }
        outcome
    }

    /// The columns, and how they are written.
    fn format(&self, cluster: &Cluster) -> (Format<Group>, String) {
        let options = &self.options;
        match &options.columns {
            Columns::Letters(format) => return (letters(format, FIELDS, AllStyle::Blanks), format.clone()),
            Columns::Names(format) => return (names(format, FIELDS), format.clone()),
            Columns::Default => {}
        }
        /// Narrowest columns for names of partitions and nodes.
        const NAME_WIDTH_MIN: usize = 9;
        let partition =
            cluster.partitions.iter().map(|partition| partition.name.len() + usize::from(partition.default)).max();
        let partition = partition.unwrap_or(0).max(NAME_WIDTH_MIN);
        let node = cluster.nodes.iter().map(|node| node.name().len()).max().unwrap_or(0).max(NAME_WIDTH_MIN);
        let format = match () {
            () if options.summary => format!("%{partition}P %.5a %.10l %.16F %N"),
            () if options.node_centric && options.long => {
                format!("%{node}N %.6D %.{partition}P %.11T %4c %.8z %.6m %.8d %.6w %.8f %20E")
            }
            () if options.node_centric => format!("%{node}N %.6D %.{partition}P %6t"),
            () if options.reasons && options.long => "%20E %12U %19H %6t %N".to_owned(),
            () if options.reasons => "%20E %9u %19H %N".to_owned(),
            () if options.long => format!("%{partition}P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N"),
            () => format!("%{partition}P %.5a %.10l %.6D %.6t %N"),
        };
        (letters(&format, FIELDS, AllStyle::Blanks), format)
    }
}
