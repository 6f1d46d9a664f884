//! Names of the processes of a development cluster, and a connection to it.

use muster_client::{Client, ClientError};
use muster_model::node::Node;
use muster_model::request::{Query, Reply};
use std::sync::Arc;

use super::layout::Layout;

/// Name of the controller's pid file and log.
pub(super) const CONTROLLER: &str = "controller";

/// The nodes as the controller sees them.
pub(super) async fn nodes(layout: &Layout) -> Result<Vec<Arc<Node>>, ClientError> {
    let client = Client::connect_to(&layout.socket()).await?;
    match client.query(&Query::Nodes).await?.pop() {
        Some(Reply::Nodes { nodes, .. }) => Ok(nodes),
        _ => Err(ClientError::Protocol("no nodes in the answer".to_owned())),
    }
}

/// Names of the nodes, from their directories of an earlier start, for when the controller does not answer.
pub(super) fn node_names_on_disk(layout: &Layout) -> Vec<String> {
    let spool = layout.root().join("spool");
    let entries = std::fs::read_dir(spool).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}
