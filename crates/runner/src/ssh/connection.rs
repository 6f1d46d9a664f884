//! One connection: who comes in, and what they ask for.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Error;
use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};

use super::forward::Forwards;
use super::session::{self, Live, Wish};
use super::{Door, modes};
use crate::process;
use crate::terminal::Size;

/// Sessions of one connection at a time, as `MaxSessions` of OpenSSH's server, with room for editors that open many.
const SESSIONS_MAX: usize = 64;

/// What a client may set for its session, as Debian's `AcceptEnv`.
fn may_be_set(name: &str) -> bool {
    name == "LANG" || name.starts_with("LC_") || name == "COLORTERM" || name == "NO_COLOR"
}

/// The state of one connection.
pub(super) struct Connection {
    door: Arc<Door>,
    /// `SSH_CONNECTION` of its sessions.
    told: String,
    waiting: HashMap<ChannelId, Waiting>,
    live: HashMap<ChannelId, Live>,
    forwards: Forwards,
}

/// A session that has not said yet what it wants.
struct Waiting {
    channel: Channel<Msg>,
    environment: BTreeMap<String, String>,
    terminal: Option<session::WantedTerminal>,
}

impl Connection {
    pub(super) fn new(door: Arc<Door>, peer: SocketAddr, local: SocketAddr) -> Self {
        let told = format!("{} {} {} {}", peer.ip(), peer.port(), local.ip(), local.port());
        Connection { door, told, waiting: HashMap::new(), live: HashMap::new(), forwards: Forwards::default() }
    }

    /// The key decides. The name that a client says is its own affair: there is one account here.
    fn judge(&self, key: &PublicKey) -> Auth {
        let is_known = self.door.keys.iter().any(|known| known.key_data() == key.key_data());
        if is_known { Auth::Accept } else { Auth::reject() }
    }

    fn begin(&mut self, id: ChannelId, wish: Wish, session: &mut Session) -> Result<(), Error> {
        let Some(waiting) = self.waiting.remove(&id) else {
            session.channel_failure(id)?;
            return Ok(());
        };
        let mut environment = self.door.environment.clone();
        environment.extend(waiting.environment);
        environment.insert("SSH_CONNECTION".to_owned(), self.told.clone());
        let started = session::start(&self.door.account, wish, environment, waiting.terminal);
        match started {
            Ok((live, carried)) => {
                session.channel_success(id)?;
                self.live.insert(id, live);
                tokio::spawn(session::carry(carried, waiting.channel, session.handle()));
            }
            Err(error) => {
                session.channel_success(id)?;
                tokio::spawn(session::tell_failure(format!("{error:#}\r\n"), waiting.channel));
            }
        }
        Ok(())
    }
}

impl Handler for Connection {
    type Error = Error;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        Ok(self.judge(offer.public_key))
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        Ok(self.judge(key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        if self.waiting.len() + self.live.len() >= SESSIONS_MAX {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let waiting = Waiting { channel, environment: BTreeMap::new(), terminal: None };
        self.waiting.insert(waiting.channel.id(), waiting);
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        wanted: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        match self.waiting.get_mut(&id) {
            Some(waiting) => {
                let size = size(columns, rows, width, height);
                let modes = wanted[..wanted.len().min(modes::MODES_MAX)].to_vec();
                waiting.terminal = Some(session::WantedTerminal { term: term.to_owned(), size, modes });
                session.channel_success(id)?;
            }
            None => session.channel_failure(id)?,
        }
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        match self.waiting.get_mut(&id) {
            Some(waiting) if may_be_set(name) && !value.contains('\0') => {
                waiting.environment.insert(name.to_owned(), value.to_owned());
                session.channel_success(id)?;
            }
            _ => session.channel_failure(id)?,
        }
        Ok(())
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.begin(id, Wish::Shell, session)
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Error> {
        self.begin(id, Wish::Command(command.to_vec()), session)
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Result<(), Error> {
        if name == "sftp" {
            return self.begin(id, Wish::Files, session);
        }
        session.channel_failure(id)?;
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &mut Session,
    ) -> Result<(), Error> {
        let size = size(columns, rows, width, height);
        if let Some(terminal) = self.live.get(&id).and_then(|live| live.terminal.as_ref()) {
            terminal.set_size(size);
        } else if let Some(wanted) = self.waiting.get_mut(&id).and_then(|waiting| waiting.terminal.as_mut()) {
            wanted.size = size;
        }
        Ok(())
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _: &mut Session) -> Result<(), Error> {
        if let (Some(live), Some(number)) = (self.live.get(&id), session::number(&signal)) {
            process::signal_group(live.running_pid(), number);
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.waiting.remove(&id);
        self.live.remove(&id);
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.forwards.to(host.to_owned(), port, channel, reply);
        Ok(())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, session: &mut Session) -> Result<bool, Error> {
        Ok(self.forwards.listen(address, port, session.handle()).await)
    }

    async fn cancel_tcpip_forward(&mut self, address: &str, port: u32, _: &mut Session) -> Result<bool, Error> {
        Ok(self.forwards.cancel(address, port))
    }
}

fn size(columns: u32, rows: u32, width: u32, height: u32) -> Size {
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    Size { rows: short(rows), columns: short(columns), width_pixels: short(width), height_pixels: short(height) }
}
