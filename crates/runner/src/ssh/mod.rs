//! An SSH server for one user of one container: shells, commands, `scp`, `rsync`, and forwarded ports.
//!
//! Whoever holds one of the job's keys comes in as the job's user, and sees the job's environment. What is not done is
//! refused as the protocol refuses it: passwords, X11, agents, Unix sockets.

mod connection;
mod forward;
pub(crate) mod modes;
mod session;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, SshId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::account::Account;
use crate::job::Ssh;
use crate::process;

/// Connections at a time. More wait until one ends; each costs some memory of the container.
const CONNECTIONS_MAX: usize = 64;

/// Who silently went away is noticed after this time without an answer, times three.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What every connection needs to know.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) account: Account,
    /// Of shells and commands, complete but for what the client adds.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Serves SSH as `wanted` to `account`, with `environment` in each session; returns the address taken.
///
/// # Errors
/// When a key is none, or the address cannot be had.
pub async fn serve(wanted: &Ssh, account: &Account, environment: &BTreeMap<String, String>) -> Result<SocketAddr> {
    let host_key = match &wanted.host_key {
        Some(text) => PrivateKey::from_openssh(text).context("ssh.host_key is no private key in OpenSSH's form")?,
        None => PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
            .context("cannot make a host key")?,
    };
    let config = Arc::new(Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-Muster_", env!("CARGO_PKG_VERSION")))),
        methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        ..Config::default()
    });
    let door = Arc::new(Door {
        keys: wanted.keys()?,
        account: account.clone(),
        environment: process::environment(account, environment),
    });
    let address = wanted.address;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot serve ssh on {address}: is it in use?"))?;
    let taken = listener.local_addr()?;
    tokio::spawn(accept(listener, config, door));
    Ok(taken)
}

async fn accept(listener: TcpListener, config: Arc<Config>, door: Arc<Door>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (config, door) = (Arc::clone(&config), Arc::clone(&door));
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, peer, config, door).await {
                        tracing::info!("ssh from {peer} ended: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Most often too many open files, which passes.
                tracing::warn!("an ssh connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, config: Arc<Config>, door: Arc<Door>) -> Result<()> {
    let local = stream.local_addr()?;
    // What is typed is to be seen at once.
    stream.set_nodelay(true)?;
    let connection = connection::Connection::new(door, peer, local);
    run_stream(config, stream, connection).await?.await
}
