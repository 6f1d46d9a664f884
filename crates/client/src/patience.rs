//! What goes on over restarts of the controller.

use std::io::Read;
use std::time::Duration;

use muster_model::ids::SubmitToken;
use muster_model::request::{Answer, Command, Query, Reply};

use crate::{Blobs, Client, ClientError};

/// How long a controller may be away before one gives up on it.
const ABSENCE_MAX: Duration = Duration::from_secs(120);

/// Pause between attempts to reach it.
pub const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Tries until it works, is refused, or the controller has been away for too long. Who answers first may be a controller that is on its way
/// out, so each attempt makes a connection of its own.
///
/// # Errors
/// Those of the last attempt.
pub async fn outlast<T>(attempt: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
    let end = tokio::time::Instant::now() + ABSENCE_MAX;
    loop {
        match attempt().await {
            Err(error) if error.is_absence() && tokio::time::Instant::now() < end => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            result => return result,
        }
    }
}

impl Client {
    /// Says something that may be said twice to a controller, once more wherever that goes away meanwhile.
    ///
    /// # Errors
    /// What the controller refuses; or when it stays away.
    pub async fn insist(&self, command: &Command) -> Result<Answer, ClientError> {
        match self.command(command).await {
            Err(error) if error.is_absence() => outlast(async || Client::connect().await?.command(command).await).await,
            answer => answer,
        }
    }

    /// Submits a job, or says when it would start, and says so again wherever the controller goes away before it has answered. However
    /// often it has to be said, it makes one job.
    ///
    /// # Errors
    /// What the controller refuses; or when it stays away.
    pub async fn submit(&self, command: &Command, blobs: Blobs) -> Result<Answer, ClientError> {
        let token = new_token()?;
        match self.submit_with(command, blobs.clone(), token).await {
            Err(error) if error.is_absence() => {
                outlast(async || Client::connect().await?.submit_with(command, blobs.clone(), token).await).await
            }
            answer => answer,
        }
    }

    /// Asks a question, once more wherever the controller goes away before it has answered.
    ///
    /// # Errors
    /// What the controller refuses; or when it stays away.
    pub async fn inquire(&self, query: &Query) -> Result<Vec<Reply>, ClientError> {
        match self.query(query).await {
            Err(error) if error.is_absence() => outlast(async || Client::connect().await?.query(query).await).await,
            replies => replies,
        }
    }
}

/// A token that no other submit has.
fn new_token() -> Result<SubmitToken, ClientError> {
    let mut token = SubmitToken([0; SubmitToken::SIZE]);
    let drawn = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut token.0));
    drawn.map(|()| token).map_err(ClientError::Random)
}
