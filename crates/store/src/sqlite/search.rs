//! Turns a [`HistoryFilter`] into the condition of a query.

use muster_model::request::HistoryFilter;
use rusqlite::types::Value;

/// The statement that lists the keys of all rows a filter wants, with its parameters. In no order: asked for one, the
/// planner would rather walk the whole table than sort.
pub(super) fn keys(filter: &HistoryFilter) -> (String, Vec<Value>) {
    let mut search = Search::default();
    if let Some(ids) = &filter.ids {
        let list = search.list(ids.iter().map(|id| id.0.into()));
        // The column names the whole that a row is part of: an array, or a heterogeneous job by its leader.
        let mut term = format!("job_id IN {list} OR array_job_id IN {list}");
        if filter.whole {
            term.push_str(&format!(" OR array_job_id IN (SELECT array_job_id FROM job WHERE job_id IN {list})"));
        }
        search.and(&format!("({term})"));
    }
    if let Some(uids) = &filter.uids {
        let list = search.list(uids.iter().map(|uid| (*uid).into()));
        search.and(&format!("uid IN {list}"));
    }
    if let Some(since) = filter.since {
        let since = search.parameter(Value::Integer(since.0));
        search.and(&format!("(end_time >= {since} OR end_time IS NULL)"));
    }
    if let Some(until) = filter.until {
        let until = search.parameter(Value::Integer(until.0));
        search.and(&format!("submit_time < {until}"));
    }
    if let Some(states) = &filter.states {
        let list = search.list(states.iter().map(|state| state.as_str().into()));
        search.and(&format!("state IN {list}"));
    }
    if let Some(names) = &filter.names {
        let list = search.list(names.iter().map(|name| (&**name).into()));
        search.and(&format!("name IN {list}"));
    }
    if let Some(partitions) = &filter.partitions {
        let list = search.list(partitions.iter().map(|name| (&**name).into()));
        search.and(&format!("partition IN {list}"));
    }
    if !filter.duplicates {
        search.and(
            "NOT EXISTS (SELECT 1 FROM job AS later WHERE later.job_id = job.job_id AND later.restart > job.restart)",
        );
    }
    (format!("SELECT job_id, restart FROM job{}", search.condition), search.parameters)
}

#[derive(Default)]
struct Search {
    condition: String,
    parameters: Vec<Value>,
}

impl Search {
    fn and(&mut self, term: &str) {
        self.condition.push_str(if self.condition.is_empty() { " WHERE " } else { " AND " });
        self.condition.push_str(term);
    }

    fn parameter(&mut self, value: Value) -> String {
        self.parameters.push(value);
        format!("?{}", self.parameters.len())
    }

    /// A list of any length as one parameter.
    fn list(&mut self, values: impl Iterator<Item = serde_json::Value>) -> String {
        let list = serde_json::Value::Array(values.collect()).to_string();
        format!("(SELECT value FROM json_each({}))", self.parameter(Value::Text(list)))
    }
}
