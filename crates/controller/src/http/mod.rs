//! What the local socket tells those who speak HTTP: documents for programs and pages for people.
//!
//! The kernel says who is at the other end, as for every command. A browser comes by way of the user's own SSH, which
//! connects as that user: `ssh -L 8080:SOCKET HOST`. Nothing here changes anything.

mod explanation;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::api::ApiService;

/// All paths.
pub(crate) fn router(api: ApiService) -> Router {
    Router::new()
        .route("/muster/v1/jobs/{job}/explanation", get(explanation::document))
        .route("/jobs/{job}", get(explanation::page))
        .with_state(api)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing at this address") })
}

/// What went wrong, as a document.
fn problem(status: StatusCode, text: &str) -> Response {
    let document = serde_json::json!({ "error": text });
    (status, [("content-type", "application/json")], format!("{document}\n")).into_response()
}
