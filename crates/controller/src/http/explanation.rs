//! Why a job waits, as a document and as a page.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use jiff::tz::TimeZone;
use muster_model::explain::{Explanation, distance};
use muster_model::ids::Name;
use muster_model::priority::PriorityLedger;
use muster_model::request::{Query, RefusalCode, Reply};
use muster_model::time::Timestamp;
use muster_slurm::output::{explanation, time_text};

use super::problem;
use crate::api::ApiService;

/// `GET /muster/v1/jobs/JOB/explanation`: what `muster explain --json` prints.
pub(super) async fn document(State(api): State<ApiService>, Path(job): Path<String>) -> Response {
    match explained(api, job).await {
        Ok(explanation) => match serde_json::to_string_pretty(&*explanation) {
            Ok(text) => ([("content-type", "application/json")], text + "\n").into_response(),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Err((status, text)) => problem(status, &text),
    }
}

/// `GET /jobs/JOB`: the same for people.
pub(super) async fn page(State(api): State<ApiService>, Path(job): Path<String>) -> Response {
    let cluster = api.published.view().config.cluster_name.to_string();
    let (status, page) = match explained(api, job.clone()).await {
        Ok(explanation) => (StatusCode::OK, Page::of(&cluster, &explanation, &TimeZone::system()).render()),
        Err((status, text)) => (status, Message { cluster, job, text }.render()),
    };
    match page {
        // What is shown is true at one moment only.
        Ok(text) => (status, [("cache-control", "no-store")], Html(text)).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Asks the planner, which may take a tenth of a second of a processor.
async fn explained(api: ApiService, job: String) -> Result<Box<Explanation>, (StatusCode, String)> {
    let Some(query) = Query::explanation_of(&job) else {
        let text = format!("{job:?} is not the number of a job, or of a task as in 36_4");
        return Err((StatusCode::BAD_REQUEST, text));
    };
    let reply = tokio::task::spawn_blocking(move || {
        let view = api.published.view();
        match query {
            Query::Explain(job_id) => api.explained(&view, job_id),
            Query::ExplainTask(array_id, index) => api.task_explained(&view, array_id, index),
            _ => Reply::Done,
        }
    });
    match reply.await {
        Ok(Reply::Explained(explanation)) => Ok(explanation),
        Ok(Reply::Refused(refusal)) => {
            let status = match refusal.code {
                RefusalCode::InvalidJobId => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            Err((status, if refusal.detail.is_empty() { refusal.to_string() } else { refusal.detail }))
        }
        Ok(_) | Err(_) => Err((StatusCode::INTERNAL_SERVER_ERROR, "the planner gave no answer".to_owned())),
    }
}

/// A page that only says something.
#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    cluster: String,
    job: String,
    text: String,
}

/// The page of a waiting job.
#[derive(Template)]
#[template(path = "explanation.html")]
struct Page {
    cluster: String,
    job: String,
    reason: String,
    at: String,
    causes: Vec<String>,
    /// How long from now, when, and where; `None` where it cannot be told.
    start: Option<Start>,
    latest: Option<String>,
    ahead_count: u32,
    queue: Vec<QueueRow>,
    parts: Vec<Name>,
    blockers: String,
    alternatives: Vec<(String, String)>,
}

struct Start {
    distance: String,
    at: String,
    nodes: String,
    is_forecast: bool,
    is_too_late: bool,
}

/// A job of the queue with what its priority is the sum of.
struct QueueRow {
    job: String,
    user: String,
    partition: String,
    priority: u32,
    /// For each part of [`Page::parts`]: its points, and its share of the greatest priority shown, in percent.
    parts: Vec<(i64, i64)>,
    start: String,
    is_own: bool,
}

impl Page {
    fn of(cluster: &str, explanation: &Explanation, zone: &TimeZone) -> Page {
        let local = |time: Timestamp| time_text::standard(time, zone);
        let from_now = |time: Timestamp| distance(time.since(explanation.time));
        let start = explanation.expected_start.map(|start| Start {
            distance: from_now(start),
            at: local(start),
            nodes: explanation.expected_nodes.as_deref().unwrap_or_default().to_owned(),
            is_forecast: explanation.is_forecast,
            is_too_late: explanation.is_too_late(),
        });
        let alternative = |other: &muster_model::explain::Alternative| {
            let about = if other.is_forecast { "about " } else { "" };
            (other.change.to_string(), format!("{about}{}", from_now(other.start)))
        };
        let parts = explanation::ledger_parts(explanation);
        Page {
            cluster: cluster.to_owned(),
            job: explanation.job_id.to_string(),
            reason: explanation.reason.to_string(),
            at: local(explanation.time),
            causes: explanation.causes.iter().map(ToString::to_string).collect(),
            start,
            latest: explanation.latest_start.map(local),
            ahead_count: explanation.ahead_count,
            queue: queue(explanation, &parts, &from_now),
            parts,
            blockers: explanation::blockers(&explanation.blockers),
            alternatives: explanation.alternatives.iter().map(alternative).collect(),
        }
    }
}

/// Those before the job, then the job itself once for each partition it asks for.
fn queue(explanation: &Explanation, parts: &[Name], from_now: &dyn Fn(Timestamp) -> String) -> Vec<QueueRow> {
    let greatest = explanation.ahead.iter().map(|other| other.priority);
    let greatest = greatest.chain(explanation.priorities.iter().map(|ledger| ledger.total)).max().unwrap_or(0).max(1);
    let share = |points: i64| (points * 100 / i64::from(greatest)).clamp(0, 100);
    let cells = |ledger: Option<&PriorityLedger>| -> Vec<(i64, i64)> {
        let all = ledger.map(PriorityLedger::whole_parts).unwrap_or_default();
        let points = |name: &Name| all.iter().find(|(other, _)| other == name).map_or(0, |(_, value)| *value);
        parts.iter().map(|name| (points(name), share(points(name)))).collect()
    };
    let before = explanation.ahead.iter().map(|other| QueueRow {
        job: other.job_id.to_string(),
        user: other.user.to_string(),
        partition: other.ledger.as_ref().map_or_else(String::new, |ledger| ledger.partition.to_string()),
        priority: other.priority,
        parts: cells(other.ledger.as_ref()),
        start: other.expected_start.map(from_now).unwrap_or_default(),
        is_own: false,
    });
    let own = explanation.priorities.iter().map(|ledger| QueueRow {
        job: explanation.job_id.to_string(),
        user: String::new(),
        partition: ledger.partition.to_string(),
        priority: if ledger.held { 0 } else { ledger.total },
        parts: cells(Some(ledger)),
        start: explanation.expected_start.map(from_now).unwrap_or_default(),
        is_own: true,
    });
    before.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::explain::{Alternative, Cause, Change};
    use muster_model::ids::JobId;
    use muster_model::state::Reason;
    use muster_model::time::Span;

    #[test]
    fn a_page_tells_all_and_trusts_no_name() {
        let time = Timestamp::from_seconds(1_700_000_000);
        let explanation = Explanation {
            job_id: JobId(7),
            time,
            reason: Reason::Resources,
            causes: vec![Cause::Dependency { list: "<b>".to_owned(), hopeless: false }],
            expected_start: Some(time + Span::from_minutes(5)),
            latest_start: None,
            expected_nodes: Some("n[1-2]".into()),
            is_forecast: false,
            ahead_count: 3,
            ahead: Vec::new(),
            blockers: Vec::new(),
            alternatives: vec![Alternative {
                change: Change::Nodes(1),
                start: time + Span::from_minutes(1),
                is_forecast: false,
            }],
            priorities: Vec::new(),
        };
        let page = Page::of("tux", &explanation, &TimeZone::UTC).render().unwrap();
        for text in ["Job 7", "Resources", "in 5 min", "n[1-2]", "3 jobs are before it", "with --nodes=1", "in 1 min"] {
            assert!(page.contains(text), "{text} is not in\n{page}");
        }
        assert!(!page.contains("<b>"), "{page}");
        let late = Explanation { latest_start: Some(time), ..explanation };
        let page = Page::of("tux", &late, &TimeZone::UTC).render().unwrap();
        assert!(page.contains("Its turn would come in 5 min: too late for its deadline"), "{page}");
    }
}
