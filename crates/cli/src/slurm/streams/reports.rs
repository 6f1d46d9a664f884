//! Documents that nodes send to a client that asked for them (`sstat`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::wire::{Decoder, Frame};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Streams, connection};

/// A job and a node that was asked about it.
pub(crate) type Asked = (u32, String);

/// Largest document of one node: hundreds of thousands of process numbers.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

impl Streams {
    /// Takes the documents of all that were asked; of those that are silent for longer than `patience` there is none.
    pub(crate) async fn gather(self, asked: BTreeSet<Asked>, patience: Duration) -> BTreeMap<Asked, Vec<u8>> {
        let (sender, mut documents) = mpsc::channel::<(Asked, Vec<u8>)>(asked.len().max(1));
        let (cookie, listener) = (Arc::new(self.cookie), self.listener);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (cookie, sender) = (cookie.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Some(document) = take(stream, &cookie).await {
                        drop(sender.send(document).await);
                    }
                });
            }
        });
        let mut gathered = BTreeMap::new();
        while gathered.len() < asked.len() {
            match timeout(patience, documents.recv()).await {
                Ok(Some((from, document))) if asked.contains(&from) => drop(gathered.insert(from, document)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        accepting.abort();
        gathered
    }
}

/// What one caller says, if it knows the secret and comes to an end.
async fn take(stream: TcpStream, cookie: &str) -> Option<(Asked, Vec<u8>)> {
    drop(stream.set_nodelay(true));
    let (mut reader, mut writer) = stream.into_split();
    let mut decoder = Decoder::default();
    let hello = connection::greet(&mut reader, &mut writer, &mut decoder, cookie).await?;
    let mut document = Vec::new();
    loop {
        match connection::next(&mut reader, &mut decoder).await? {
            Frame::Report { bytes } if document.len() + bytes.len() <= DOCUMENT_BYTES_MAX => document.extend(bytes),
            Frame::Report { .. } => return None,
            Frame::Finished => return Some(((hello.job_id, hello.node), document)),
            _ => {}
        }
    }
}
