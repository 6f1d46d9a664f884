//! Calls to clients that wait for this node: a file comes straight from them.
//!
//! Each call has a thread of its own, which takes over the file rights of the user and ends with the call. A call does not
//! outlive the agent: the client sees the connection break, and nothing is left behind but a file under another name.

use muster_model::ids::Identity;
use muster_model::node_call::CallPurpose;
use muster_proto as wire;
use muster_proto::document;
use muster_runtime::receipt;
use muster_runtime::unit::UnitUser;
use muster_runtime::wire::{NodeHello, WIRE_VERSION};

/// A call that is to be made.
#[derive(Debug)]
pub(crate) struct Calling {
    /// On whose behalf.
    pub(crate) identity: Identity,
    address: String,
    hello: NodeHello,
    purpose: CallPurpose,
}

impl Calling {
    /// Reads the order to make it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(call: wire::CallClient, node_name: &str) -> Result<Calling, String> {
        let key = call.key.ok_or("it names no job")?;
        let identity = document::decode(&call.identity_json, "the user of a call");
        let purpose = document::decode(&call.purpose_json, "the purpose of a call");
        Ok(Calling {
            identity: identity.map_err(|error| format!("{error}: {}", error.source))?,
            purpose: purpose.map_err(|error| format!("{error}: {}", error.source))?,
            address: call.address,
            hello: NodeHello {
                version: WIRE_VERSION,
                cookie: call.cookie,
                job_id: key.job_id,
                step: key.step,
                node: node_name.to_owned(),
                ranks: Vec::new(),
            },
        })
    }

    /// Makes it, beside everything else.
    pub(crate) fn start(self, user: UnitUser) {
        let job_id = self.hello.job_id;
        let calling = std::thread::Builder::new().name("call of a client".to_owned()).spawn(move || self.make(&user));
        if let Err(error) = calling {
            tracing::error!(%error, job_id, "cannot call a client");
        }
    }

    fn make(self, user: &UnitUser) {
        let (job_id, address) = (self.hello.job_id, self.address);
        match self.purpose {
            CallPurpose::Receive(wanted) => {
                if let Err(error) = receipt::fetch(&address, self.hello, user, &wanted) {
                    tracing::info!(%error, job_id, address, path = wanted.path, "a file did not come");
                }
            }
        }
    }
}
