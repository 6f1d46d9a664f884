//! What clients ask over the local socket. One file for each kind of question; this file only hands over.

mod ask;
mod blob;
mod call_nodes;
mod execute;
mod explain;
mod output;
mod reconfigure;
mod statistics;
mod watch;

use std::pin::Pin;
use std::sync::Arc;

use muster_model::time::Timestamp;
use muster_proto as wire;
use muster_proto::controller_server::Controller;
use muster_store::History;
use tokio::sync::mpsc::WeakSender;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

pub use reconfigure::ReadConfig;

use crate::blobs::Blobs;
use crate::dispatch::Dispatch;
use crate::identity::Identities;
use crate::inbox::Inbox;
use crate::planner::Adviser;
use crate::published::Published;
use crate::sequencer::Batch;
use crate::statistics::Meters;

/// A stream of messages to a client.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service that clients call.
#[derive(Clone)]
pub(crate) struct ApiService {
    pub inbox: Inbox,
    pub dispatch: Dispatch,
    pub published: Published,
    pub blobs: Arc<Blobs>,
    pub history: Arc<dyn History>,
    pub identities: Identities,
    pub adviser: Adviser,
    /// Another one for explanations, which take longer than a submit should wait.
    pub explainer: Adviser,
    pub read_config: ReadConfig,
    pub host: Arc<str>,
    pub meters: Meters,
    /// The way from the sequencer to the database; weak, so that it ends with the sequencer.
    pub batches: WeakSender<Batch>,
    /// When this controller started.
    pub started: Timestamp,
}

#[tonic::async_trait]
impl Controller for ApiService {
    type ExecuteManyStream = Answers<wire::CommandReply>;
    type AskStream = Answers<wire::AnswerPart>;
    type WatchJobStream = Answers<wire::News>;
    type ReadOutputStream = Answers<wire::OutputChunk>;

    async fn execute(&self, request: Request<wire::CommandRequest>) -> Result<Response<wire::CommandReply>, Status> {
        self.execute_one(request).await
    }

    async fn execute_many(
        &self,
        request: Request<Streaming<wire::CommandRequest>>,
    ) -> Result<Response<Self::ExecuteManyStream>, Status> {
        self.execute_stream(request)
    }

    async fn ask(&self, request: Request<wire::Question>) -> Result<Response<Self::AskStream>, Status> {
        self.answer(&request)
    }

    async fn watch_job(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchJobStream>, Status> {
        self.watch(request).await
    }

    async fn read_output(
        &self,
        request: Request<wire::OutputRequest>,
    ) -> Result<Response<Self::ReadOutputStream>, Status> {
        self.output(&request)
    }

    async fn fetch_blob(&self, request: Request<wire::BlobRequest>) -> Result<Response<wire::Blob>, Status> {
        self.blob(request).await
    }
}
