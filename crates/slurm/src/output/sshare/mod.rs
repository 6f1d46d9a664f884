//! `sshare`: what accounts and users are owed, and what they used.

mod fields;
mod options;

use std::collections::BTreeMap;

use muster_model::accounting::AssociationId;
use muster_model::priority::ShareRow;
use muster_model::request::Query;

use self::fields::{Line, Table};
use self::options::Options;
use super::context::{Answers, Context, Environment, Outcome};
use super::unknown_cluster;

/// A command line of `sshare` that has been read.
#[derive(Debug)]
pub struct Sshare {
    options: Options,
}

impl Sshare {
    /// Reads `args` and the environment.
    ///
    /// # Errors
    /// What to print instead, where there is nothing to ask.
    pub fn new(args: &[String], environment: &Environment, context: &Context) -> Result<Sshare, Outcome> {
        Ok(Sshare { options: options::read(args, environment, context)? })
    }

    /// What to ask the controller.
    pub fn queries(&self) -> Vec<Query> {
        vec![Query::Shares, Query::Ping]
    }

    /// What to print.
    pub fn render(&self, answers: &Answers) -> Outcome {
        let options = &self.options;
        let own = answers.cluster.name.as_deref().unwrap_or_default();
        if let Some(wanted) = &options.cluster
            && own != wanted
        {
            return unknown_cluster("sshare", wanted);
        }
        let Some(report) = &answers.shares else {
            return Outcome::failure("sshare: error: the controller does not tell shares\n", 1);
        };
        let table = match Table::new(&self.columns(report.classic), options.style) {
            Ok(table) => table,
            Err(name) => return Outcome::failure(format!("sshare: error: Invalid field requested: \"{name}\"\n"), 1),
        };
        let mut outcome = Outcome { stderr: options.dump(), ..Outcome::default() };
        if options.header {
            outcome.stdout.push_str(&table.header());
        }
        let mut depths: BTreeMap<AssociationId, usize> = BTreeMap::new();
        for row in report.rows.iter().filter(|row| self.wants(row)) {
            // Rows are set in below those that are shown.
            let depth = row.parent.and_then(|parent| depths.get(&parent)).map_or(0, |depth| depth + 1);
            depths.insert(row.id, depth);
            let line = Line { row, depth, classic: report.classic, tracked: &report.tracked, cluster: own };
            outcome.stdout.push_str(&table.line(&line));
        }
        outcome
    }

    fn wants(&self, row: &ShareRow) -> bool {
        let options = &self.options;
        let user = &row.key.user;
        let by_user = match user.is_empty() {
            true => !options.users_only,
            false => options.users.as_ref().is_none_or(|users| users.iter().any(|name| **name == **user)),
        };
        by_user
            && options.accounts.as_ref().is_none_or(|accounts| accounts.iter().any(|name| **name == *row.key.account))
    }

    fn columns(&self, classic: bool) -> String {
        let options = &self.options;
        if let Some(format) = &options.format {
            return format.clone();
        }
        let mut columns = vec!["Account", "User"];
        columns.extend(options.partitions.then_some("Partition"));
        columns.extend(["RawShares", "NormShares", "RawUsage"]);
        columns.extend(options.long.then_some("NormUsage"));
        columns.extend(["EffectvUsage", "FairShare"]);
        columns.extend((options.long && !classic).then_some("LevelFS"));
        if options.long {
            columns.extend(["GrpTRESMins", "TRESRunMins"]);
        }
        columns.join(",")
    }
}
