//! Calling the client of a live step before anything is started: a step without its `srun` must not run.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::relay::Client;
use crate::unit::{ClientLink, LaunchUnit};
use crate::wire::{self, Frame, NodeHello, WIRE_VERSION};

/// How long the client may take to accept the call and to say welcome.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls the client of a unit.
pub(crate) fn connect(unit: &LaunchUnit, link: &ClientLink) -> io::Result<Client> {
    call(
        &link.address,
        NodeHello {
            version: WIRE_VERSION,
            cookie: link.cookie.clone(),
            job_id: unit.key.job_id.0,
            step: unit.key.step.to_string(),
            node: link.node_name.clone(),
            ranks: unit.tasks.iter().map(|task| task.rank).collect(),
        },
    )
}

/// Connects, says who this is, and waits for the welcome.
pub(crate) fn call(address: &str, hello: NodeHello) -> io::Result<Client> {
    let mut stream = open(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let hello = Frame::Hello(hello);
    let mut bytes = Vec::new();
    wire::encode(&hello, &mut bytes);
    stream.write_all(&bytes)?;
    let mut decoder = wire::Decoder::default();
    loop {
        match decoder.next_frame().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            Some(Frame::Welcome) => return Ok(Client { stream, decoder }),
            Some(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "client did not say welcome"));
            }
            None => {}
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "client did not accept this node"));
            }
            Ok(count) => decoder.feed(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn open(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the client's address has no meaning here");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
