//! Streams from the controller: news about a job, and its output.

use muster_model::request::JobNews;
use muster_proto as wire;
use muster_proto::document::decode;
use tonic::Streaming;

use crate::error::ClientError;

/// News about one job.
#[derive(Debug)]
pub struct NewsStream {
    inner: Streaming<wire::News>,
}

impl NewsStream {
    pub(crate) fn new(inner: Streaming<wire::News>) -> NewsStream {
        NewsStream { inner }
    }

    /// The next news; `None` after the last.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the controller went away; the job goes on, and one may watch again.
    pub async fn next(&mut self) -> Result<Option<JobNews>, ClientError> {
        match self.inner.message().await {
            Ok(Some(news)) => Ok(Some(decode(&news.news_json, "news")?)),
            Ok(None) => Ok(None),
            Err(status) if status.code() == tonic::Code::NotFound => {
                Err(ClientError::Refused(muster_model::request::RefusalCode::InvalidJobId.into()))
            }
            Err(status) => Err(status.into()),
        }
    }
}

/// Output of a job as it is written.
#[derive(Debug)]
pub struct OutputStream {
    inner: Streaming<wire::OutputChunk>,
}

impl OutputStream {
    pub(crate) fn new(inner: Streaming<wire::OutputChunk>) -> OutputStream {
        OutputStream { inner }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] with the node's reason when the output cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        match self.inner.message().await? {
            Some(chunk) if !chunk.error.is_empty() => Err(ClientError::Protocol(chunk.error)),
            Some(chunk) => Ok(Some(chunk.data.into())),
            None => Ok(None),
        }
    }
}
