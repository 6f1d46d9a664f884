//! The file server behind `scp` and `sftp`: a process of the user's own, so that the kernel decides what may be read.

mod files;
mod names;
mod requests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf, join};
use tokio::sync::oneshot;

/// Serves files on the standard streams until the client has gone.
///
/// # Errors
/// When the runtime cannot be started.
pub fn serve_standard_streams() -> Result<()> {
    // One client, whose requests are answered in order: waiting for a disk holds nobody else up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (gone, seen) = oneshot::channel();
        let streams = Streams { inner: join(tokio::io::stdin(), tokio::io::stdout()), _gone: gone };
        let config = russh_sftp::server::Config { max_client_packet_len: requests::PACKET_BYTES_MAX };
        russh_sftp::server::run_with_config(streams, requests::Requests::default(), config).await;
        // Nothing is sent: the sender goes with the streams.
        let _ = seen.await;
    });
    // Reading standard input leaves a thread behind that nobody can wake.
    runtime.shutdown_background();
    Ok(())
}

/// The standard streams, which know when their server has dropped them.
struct Streams {
    inner: Join<tokio::io::Stdin, tokio::io::Stdout>,
    _gone: oneshot::Sender<()>,
}

/// The server would go on after any error but this one.
fn as_the_end(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, error)
}

impl AsyncRead for Streams {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer).map_err(as_the_end)
    }
}

impl AsyncWrite for Streams {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes).map_err(as_the_end)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context).map_err(as_the_end)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context).map_err(as_the_end)
    }
}
