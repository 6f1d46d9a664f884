//! One node that calls and is then a plain connection: what `muster ssh` passes bytes over.

use anyhow::{Context, bail};
use muster_runtime::wire::{Decoder, Frame};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::{Streams, connection};

/// A node that has called.
struct Caller {
    node: String,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Streams {
    /// Waits for the call of `wanted`, and until what it connects with is there. Whoever else calls is let go.
    ///
    /// # Errors
    /// With the words of the node, where it could not connect.
    pub(crate) async fn visit(self, wanted: &str) -> anyhow::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        let (sender, mut callers) = mpsc::channel(1);
        let Streams { listener, cookie } = self;
        // Whoever says nothing keeps nobody else waiting.
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (cookie, sender) = (cookie.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Some(caller) = greet(stream, &cookie).await {
                        drop(sender.send(caller).await);
                    }
                });
            }
        });
        let mut caller = loop {
            let caller = callers.recv().await.context("nobody can call")?;
            if caller.node == wanted {
                break caller;
            }
        };
        accepting.abort();
        match next_frame(&mut caller.reader).await? {
            Frame::Started { .. } => Ok((caller.reader, caller.writer)),
            Frame::Failed { message, .. } => bail!("{wanted}: {message}"),
            other => bail!("{wanted} said {other:?}"),
        }
    }
}

async fn greet(stream: TcpStream, cookie: &str) -> Option<Caller> {
    stream.set_nodelay(true).ok()?;
    let (mut reader, mut writer) = stream.into_split();
    // The node says no more until it has been answered, so nothing is left in the decoder.
    let hello = connection::greet(&mut reader, &mut writer, &mut Decoder::default(), cookie).await?;
    Some(Caller { node: hello.node, reader, writer })
}

/// Reads one frame, and nothing behind it: what follows are bytes.
async fn next_frame(reader: &mut OwnedReadHalf) -> anyhow::Result<Frame> {
    let mut decoder = Decoder::default();
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(frame);
        }
        decoder.feed(&[reader.read_u8().await.context("the connection was closed")?]);
    }
}
