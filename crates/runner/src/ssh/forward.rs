//! Forwarded ports: from the client into the container's network, and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a connection into the container's network may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Ports that one client may have listened on.
const LISTENERS_MAX: usize = 64;

/// Forwarded connections of one client at a time. More are refused, or wait where they come from inside.
const CONNECTIONS_MAX: usize = 256;

/// The forwarded ports of one connection; they close with it.
pub(super) struct Forwards {
    connections: Arc<Semaphore>,
    listeners: BTreeMap<(String, u32), JoinSet<()>>,
}

impl Default for Forwards {
    fn default() -> Self {
        Forwards { connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)), listeners: BTreeMap::new() }
    }
}

impl Forwards {
    /// Connects `channel` with `host` and `port` as seen from the container (`ssh -L`).
    pub(super) fn to(&self, host: String, port: u32, channel: Channel<Msg>, reply: ChannelOpenHandle) {
        let place = Arc::clone(&self.connections).try_acquire_owned();
        tokio::spawn(async move {
            let Ok(_place) = place else {
                return reply.reject(ChannelOpenFailure::ResourceShortage).await;
            };
            let Ok(port) = u16::try_from(port) else {
                return reply.reject(ChannelOpenFailure::ConnectFailed).await;
            };
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))).await;
            let Ok(Ok(mut stream)) = connected else {
                return reply.reject(ChannelOpenFailure::ConnectFailed).await;
            };
            let _ = stream.set_nodelay(true);
            reply.accept().await;
            let _ = copy_bidirectional(&mut channel.into_stream(), &mut stream).await;
        });
    }

    /// Listens in the container, and connects whoever comes with the client (`ssh -R`). Port 0 takes a free one and
    /// tells it. Only on loopback, whatever the client asks for, as OpenSSH's server does unless it is told otherwise.
    pub(super) async fn listen(&mut self, address: &str, port: &mut u32, handle: Handle) -> bool {
        let (Ok(number), true) = (u16::try_from(*port), self.listeners.len() < LISTENERS_MAX) else { return false };
        let Ok(listener) = TcpListener::bind(("127.0.0.1", number)).await else { return false };
        let Ok(taken) = listener.local_addr() else { return false };
        *port = u32::from(taken.port());
        let mut tasks = JoinSet::new();
        let connections = Arc::clone(&self.connections);
        tasks.spawn(bring(listener, address.to_owned(), *port, handle, connections));
        self.listeners.insert((address.to_owned(), *port), tasks);
        true
    }

    /// Ends what [`Self::listen`] began.
    pub(super) fn cancel(&mut self, address: &str, port: u32) -> bool {
        self.listeners.remove(&(address.to_owned(), port)).is_some()
    }
}

async fn bring(listener: TcpListener, address: String, port: u32, handle: Handle, connections: Arc<Semaphore>) {
    let mut carried = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok((mut stream, peer)) = listener.accept().await else { return };
        let (handle, address) = (handle.clone(), address.clone());
        carried.spawn(async move {
            let (ip, from) = (peer.ip().to_string(), u32::from(peer.port()));
            if let Ok(channel) = handle.channel_open_forwarded_tcpip(address, port, ip, from).await {
                let _ = copy_bidirectional(&mut channel.into_stream(), &mut stream).await;
            }
            drop(place);
        });
        while carried.try_join_next().is_some() {}
    }
}
