//! Who is calling: the kernel says which user is at the other end of the local socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use muster_model::ids::{Identity, Name};
use nix::unistd::{Gid, Group, Uid, User};
use tonic::Status;
use tonic::transport::server::UdsConnectInfo;

/// Names of users and groups, looked up once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    known: Arc<Mutex<HashMap<(u32, u32), Identity>>>,
}

impl Identities {
    /// The caller of a request that came over the local socket.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a request that came another way.
    pub(crate) fn caller<T>(&self, request: &tonic::Request<T>) -> Result<Identity, Status> {
        let credentials = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        let credentials =
            credentials.ok_or_else(|| Status::unauthenticated("the caller of this connection is not known"))?;
        Ok(self.of(credentials.uid(), credentials.gid()))
    }

    fn of(&self, uid: u32, gid: u32) -> Identity {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.entry((uid, gid)).or_insert_with(|| look_up(uid, gid)).clone()
    }
}

fn look_up(uid: u32, gid: u32) -> Identity {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
    Identity { uid, gid, user: Name::from(user), group: Name::from(group) }
}
