//! What can go wrong between a command and the controller.

use std::path::PathBuf;

use muster_model::request::Refusal;

/// Why a request to the controller has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the socket.
    #[error("cannot reach the controller at {}", socket.display())]
    Unreachable {
        /// Where it should be.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not known where the controller is.
    #[error(
        "no controller known: set SLURM_CONF to a slurm.conf with StateSaveLocation, or MUSTER_SOCKET to the controller's socket"
    )]
    Unconfigured,
    /// The connection broke before the answer came. Whether the request was done is not known.
    #[error("the connection to the controller broke: {0}")]
    Broken(String),
    /// The controller refuses.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No token for a submit can be drawn.
    #[error("cannot read /dev/urandom")]
    Random(#[source] std::io::Error),
    /// The two sides do not understand each other.
    #[error("unexpected answer of the controller: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether nobody answered, so that the next controller is to be asked.
    pub fn is_absence(&self) -> bool {
        matches!(self, ClientError::Broken(_) | ClientError::Unreachable { .. })
    }
}

impl From<tonic::Status> for ClientError {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            // An answer that a killed controller began is an internal error to tonic; no controller says that word itself.
            tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::Unknown | tonic::Code::Internal => {
                ClientError::Broken(status.message().to_owned())
            }
            _ => ClientError::Protocol(format!("{}: {}", status.code(), status.message())),
        }
    }
}

impl From<muster_proto::document::DocumentError> for ClientError {
    fn from(error: muster_proto::document::DocumentError) -> Self {
        ClientError::Protocol(format!("{error}: {}", error.source))
    }
}
