//! Live logs over a websocket, as the client of dstack reads them while it is attached.
//!
//! `GET /logs_ws[?start_time=RFC3339]` sends what the command wrote as binary messages, from the beginning or from that
//! time, and closes with code 1000 when the command has ended (dstack 0.22, measured at its runner).

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::logs::{Follower, Logs};

/// Code of a websocket that ends as it should (RFC 6455, 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// Code of one whose server is at fault.
const INTERNAL_ERROR: u16 = 1011;

/// Those who read.
#[derive(Debug)]
pub struct Readers(watch::Receiver<usize>);

impl Readers {
    /// Waits until nobody reads any more.
    pub async fn all_gone(mut self) {
        let _ = self.0.wait_for(|count| *count == 0).await;
    }
}

#[derive(Clone)]
struct Served {
    logs: Arc<Logs>,
    readers: Arc<watch::Sender<usize>>,
}

#[derive(Deserialize)]
struct Asked {
    start_time: Option<String>,
}

/// Serves `logs` on `address`; returns the address taken and who reads.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(address: SocketAddr, logs: Arc<Logs>) -> Result<(SocketAddr, Readers)> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot serve logs on {address}: is it in use?"))?;
    let taken = listener.local_addr()?;
    let (sender, receiver) = watch::channel(0);
    let served = Served { logs, readers: Arc::new(sender) };
    let router = Router::new().route("/logs_ws", get(follow)).with_state(served);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!("logs are no longer served: {error}");
        }
    });
    Ok((taken, Readers(receiver)))
}

async fn follow(State(served): State<Served>, Query(asked): Query<Asked>, upgrade: WebSocketUpgrade) -> Response {
    let start = match asked.start_time.as_deref().map(str::parse::<jiff::Timestamp>) {
        None => None,
        Some(Ok(time)) => Some(time.as_millisecond()),
        Some(Err(error)) => return (StatusCode::BAD_REQUEST, format!("start_time: {error}")).into_response(),
    };
    let follower = served.logs.follow(start);
    served.readers.send_modify(|count| *count += 1);
    let gone = Gone(served.readers);
    upgrade.on_upgrade(async move |socket| {
        send(socket, follower).await;
        drop(gone);
    })
}

/// Counts a reader out, however it ends.
struct Gone(Arc<watch::Sender<usize>>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn send(mut socket: WebSocket, mut follower: Follower) {
    let code = loop {
        tokio::select! {
            piece = follower.next() => match piece {
                Ok(Some(piece)) => {
                    if socket.send(Message::Binary(piece.into())).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break NORMAL_CLOSURE,
                Err(error) => {
                    tracing::warn!("output cannot be read back: {error}");
                    break INTERNAL_ERROR;
                }
            },
            // Pings are answered while one is received for; what else a reader says has no meaning.
            message = socket.recv() => if !matches!(message, Some(Ok(_))) {
                return;
            },
        }
    };
    if socket.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
