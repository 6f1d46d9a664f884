//! Visits: bytes between a client that waits for this node and the SSH server of a runner in a container here.
//!
//! The node says [`Frame::Started`] once the server has been reached; from then on both sides send bytes as they come, and no
//! frames. A server that cannot be reached is told by [`Frame::Failed`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::supervisor::call;
use crate::system;
use crate::unit::UnitKey;
use crate::wire::{Frame, NodeHello};

/// How long a server on this machine may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest entrance.
const ENTRANCE_BYTES_MAX: u64 = 4096;

/// The file in the spool into which the runner of a unit writes where it listens.
pub fn entrance_path(spool: &Path, key: UnitKey) -> PathBuf {
    spool.join("containers").join(format!("entrance.{key}"))
}

/// What a runner writes.
#[derive(Debug, Deserialize)]
struct Entrance {
    ssh: Option<SocketAddr>,
}

/// Calls a client and connects it with the server behind `entrance`. Blocks until either side is done.
///
/// # Errors
/// When the client or the server cannot be reached; the client is told of the latter.
pub fn visit(address: &str, hello: NodeHello, entrance: &Path) -> io::Result<()> {
    let mut client = call(address, hello)?;
    let server = match open(entrance) {
        Ok(server) => server,
        Err(error) => {
            client.send(&Frame::Failed { errno: system::errno(&error).unsigned_abs(), message: error.to_string() })?;
            return Err(error);
        }
    };
    client.send(&Frame::Started { rank: 0, pid: 0 })?;
    let client = client.into_stream();
    client.set_read_timeout(None)?;
    client.set_write_timeout(None)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let there = std::thread::Builder::new().name("visit".to_owned());
    let there = there.spawn(move || pass(&mut from_client, &mut to_server))?;
    let (mut from_server, mut to_client) = (server, client);
    let back = pass(&mut from_server, &mut to_client);
    // A server that has gone needs nothing more of the client.
    let _ = to_client.shutdown(Shutdown::Both);
    there.join().unwrap_or(Ok(())).and(back)
}

/// Reaches the server. The file is the user's: only a port of this machine is taken from it.
fn open(entrance: &Path) -> io::Result<TcpStream> {
    let closed = || io::Error::new(io::ErrorKind::NotConnected, "its SSH server is not up");
    let mut text = String::new();
    match File::open(entrance) {
        Ok(file) => file.take(ENTRANCE_BYTES_MAX).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it runs in no container with an SSH server here"));
        }
        Err(error) => return Err(error),
    };
    let entrance: Entrance = serde_json::from_str(&text).map_err(|_| closed())?;
    let port = entrance.ssh.map(|address| address.port()).filter(|port| *port != 0).ok_or_else(closed)?;
    let stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), PATIENCE)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn pass(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let passed = io::copy(from, to).map(drop);
    to.flush()?;
    // The other direction may have gone already.
    let _ = to.shutdown(Shutdown::Write);
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entrances_that_lead_nowhere_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let entrance = directory.path().join("entrance");
        let says = || open(&entrance).unwrap_err().to_string();
        assert_eq!(says(), "it runs in no container with an SSH server here");
        for text in ["", "{}", r#"{"ssh": null}"#, "nonsense", r#"{"ssh":"10.0.0.1:0"}"#] {
            std::fs::write(&entrance, text).unwrap();
            assert_eq!(says(), "its SSH server is not up", "{text}");
        }
    }
}
