//! One connection to the controller over its local socket, where the system itself tells it who is calling.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use muster_model::ids::{BlobId, JobId, SubmitToken};
use muster_model::request::{Answer, Command, Query, Refusal, Reply};
use muster_proto::controller_client::ControllerClient;
use muster_proto::document::{decode, encode};
use muster_proto::{self as wire, command_reply};
use tokio::net::UnixStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::error::ClientError;
use crate::streams::{NewsStream, OutputStream};

/// Largest message accepted: a chunk of jobs, or a script with its environment.
const MESSAGE_SIZE_MAX: usize = 64 << 20;

/// `MessageTimeout` where nobody sets it: how long a controller that does not answer is asked again.
const MESSAGE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Longest `MessageTimeout` that is believed.
const MESSAGE_TIMEOUT_MAX_SECONDS: u64 = 3600;

/// Pause between two attempts to reach a controller.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Contents that belong to a submit.
#[derive(Debug, Clone, Default)]
pub struct Blobs {
    /// The batch script.
    pub script: Option<Vec<u8>>,
    /// The execution context, as JSON.
    pub context: Option<Vec<u8>>,
}

/// A connection to the controller. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Client {
    inner: ControllerClient<Channel>,
}

/// The controller's socket as the environment tells it: `MUSTER_SOCKET`, else `muster.sock` in the
/// `StateSaveLocation` of the file that `SLURM_CONF` names (default `/etc/slurm/slurm.conf`).
pub fn socket_from_environment() -> Option<PathBuf> {
    if let Some(socket) = std::env::var_os("MUSTER_SOCKET").filter(|value| !value.is_empty()) {
        return Some(socket.into());
    }
    value_of("StateSaveLocation", &conf_text()?).map(|directory| Path::new(&directory).join("muster.sock"))
}

/// How long the configuration lets a client wait for a controller that does not answer (`MessageTimeout`).
pub fn message_timeout_from_environment() -> Duration {
    let seconds = conf_text().and_then(|text| value_of("MessageTimeout", &text)).and_then(|value| value.parse().ok());
    seconds
        .map_or(MESSAGE_TIMEOUT_DEFAULT, |seconds: u64| Duration::from_secs(seconds.min(MESSAGE_TIMEOUT_MAX_SECONDS)))
}

fn conf_text() -> Option<String> {
    let conf = std::env::var_os("SLURM_CONF").filter(|value| !value.is_empty()).map(PathBuf::from);
    std::fs::read_to_string(conf.unwrap_or_else(|| "/etc/slurm/slurm.conf".into())).ok()
}

/// The last value of a key in the text of a slurm.conf. Few keys are needed before a connection exists.
fn value_of(wanted: &str, text: &str) -> Option<String> {
    text.lines().rev().find_map(|line| {
        let (key, value) = line.split('#').next()?.split_once('=')?;
        let value = value.trim();
        (key.trim().eq_ignore_ascii_case(wanted) && !value.is_empty()).then(|| value.to_owned())
    })
}

impl Client {
    /// Connects to the controller that the environment names. One that is being started again is waited for, as Slurm's
    /// commands do, for `MessageTimeout`.
    ///
    /// # Errors
    /// [`ClientError::Unconfigured`] or [`ClientError::Unreachable`].
    pub async fn connect() -> Result<Client, ClientError> {
        let socket = socket_from_environment().ok_or(ClientError::Unconfigured)?;
        let end = tokio::time::Instant::now() + message_timeout_from_environment();
        loop {
            match Client::connect_to(&socket).await {
                Err(ClientError::Unreachable { .. }) if tokio::time::Instant::now() + CONNECT_PAUSE < end => {
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Connects to the controller that the environment names, if it answers now.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_at_once() -> Result<Client, ClientError> {
        Client::connect_to(&socket_from_environment().ok_or(ClientError::Unconfigured)?).await
    }

    /// Connects to the controller at `socket`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect_to(socket: &Path) -> Result<Client, ClientError> {
        let path = socket.to_owned();
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://controller.invalid")
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .connect_with_connector(connector)
            .await
            .map_err(|error| ClientError::Unreachable { socket: socket.to_owned(), source: Box::new(error) })?;
        let inner = ControllerClient::new(channel)
            .max_decoding_message_size(MESSAGE_SIZE_MAX)
            .max_encoding_message_size(MESSAGE_SIZE_MAX);
        Ok(Client { inner })
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the controller's reason, or a broken connection.
    pub async fn command(&self, command: &Command) -> Result<Answer, ClientError> {
        self.command_with(command, Blobs::default()).await
    }

    /// Makes one change that comes with contents: a submit with its script and execution context.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub async fn command_with(&self, command: &Command, blobs: Blobs) -> Result<Answer, ClientError> {
        self.execute(request(0, command, blobs)).await
    }

    /// Submits, or says again that this is to be submitted: with the same token it is done once.
    pub(crate) async fn submit_with(
        &self,
        command: &Command,
        blobs: Blobs,
        token: SubmitToken,
    ) -> Result<Answer, ClientError> {
        let token = Some(token.0.to_vec().into());
        self.execute(wire::CommandRequest { token, ..request(0, command, blobs) }).await
    }

    async fn execute(&self, request: wire::CommandRequest) -> Result<Answer, ClientError> {
        let reply = self.inner.clone().execute(request).await?.into_inner();
        read_reply(reply).map(|(_, result)| result)?.map_err(ClientError::Refused)
    }

    /// Makes many changes over one stream, without waiting for each. Results come as they are ready; the number
    /// given with each command comes back with its result.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub async fn command_stream(
        &self,
        commands: impl Stream<Item = (u64, Command, Blobs)> + Send + 'static,
    ) -> Result<impl Stream<Item = Result<(u64, Result<Answer, Refusal>), ClientError>>, ClientError> {
        let requests = commands.map(|(tag, command, blobs)| request(tag, &command, blobs));
        let replies = self.inner.clone().execute_many(requests).await?.into_inner();
        Ok(replies.map(|reply| read_reply(reply?)))
    }

    /// Asks one question and gathers all parts of the answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the question makes no sense, or a broken connection.
    pub async fn query(&self, query: &Query) -> Result<Vec<Reply>, ClientError> {
        let mut parts = self.inner.clone().ask(wire::Question { query_json: encode(query).into() }).await?.into_inner();
        let mut replies = Vec::new();
        while let Some(part) = parts.message().await? {
            match decode(&part.reply_json, "reply")? {
                Reply::Refused(refusal) => return Err(refusal.into()),
                reply => replies.push(reply),
            }
        }
        Ok(replies)
    }

    /// Listens to news about a job, beginning with its present state. With `hold_allocation`, the allocation lives
    /// only as long as this stream.
    ///
    /// # Errors
    /// A broken connection; an unknown job is the first item of the stream.
    pub async fn watch_job(&self, job_id: JobId, hold_allocation: bool) -> Result<NewsStream, ClientError> {
        let request = wire::WatchRequest { job_id: job_id.0, hold_allocation };
        Ok(NewsStream::new(self.inner.clone().watch_job(request).await?.into_inner()))
    }

    /// Reads the output of a job's main process on one node of it, from `offset`; with `follow` until the job ends.
    ///
    /// # Errors
    /// A broken connection; what goes wrong later is an item of the stream.
    pub async fn read_output(
        &self,
        job_id: JobId,
        node_rank: u32,
        offset: u64,
        follow: bool,
    ) -> Result<OutputStream, ClientError> {
        let request = wire::OutputRequest { job_id: job_id.0, node_rank, offset, follow, standard_error: false };
        Ok(OutputStream::new(self.inner.clone().read_output(request).await?.into_inner()))
    }

    /// A stored script or execution context of `job_id`.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when it does not exist or belongs to somebody else.
    pub async fn fetch_blob(&self, id: &BlobId, job_id: JobId) -> Result<Vec<u8>, ClientError> {
        let request = wire::BlobRequest { id: id.0.to_string(), job_id: job_id.0 };
        Ok(self.inner.clone().fetch_blob(request).await?.into_inner().content.into())
    }
}

fn request(tag: u64, command: &Command, blobs: Blobs) -> wire::CommandRequest {
    wire::CommandRequest {
        tag,
        command_json: encode(command).into(),
        script: blobs.script.map(Into::into),
        context: blobs.context.map(Into::into),
        token: None,
    }
}

fn read_reply(reply: wire::CommandReply) -> Result<(u64, Result<Answer, Refusal>), ClientError> {
    let result = match reply.result {
        Some(command_reply::Result::AnswerJson(json)) => Ok(decode(&json, "answer")?),
        Some(command_reply::Result::RefusalJson(json)) => Err(decode(&json, "refusal")?),
        None => return Err(ClientError::Protocol("a reply without a result".to_owned())),
    };
    Ok((reply.tag, result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_state_directory_in_a_slurm_conf() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(value_of("StateSaveLocation", text).as_deref(), expected);
        };
        check("ClusterName=x\nstatesavelocation = /var/spool/x # comment\n", Some("/var/spool/x"));
        check("StateSaveLocation=/a\nStateSaveLocation=/b\n", Some("/b"));
        check("#StateSaveLocation=/a\n", None);
    }
}
