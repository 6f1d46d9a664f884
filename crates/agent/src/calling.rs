//! Calls to clients that wait for this node: a file comes straight from them, or they are told what units use.
//!
//! Each call has a thread of its own, which takes over the file rights of the user and ends with the call. A call does not
//! outlive the agent: the client sees the connection break, and nothing is left behind but a file under another name.

use std::path::PathBuf;
use std::time::Duration;

use muster_model::ids::{Identity, JobId, RestartCount};
use muster_model::measure::UnitMeasure;
use muster_model::node_call::{CallPurpose, FileReceipt};
use muster_proto as wire;
use muster_proto::document;
use muster_runtime::receipt;
use muster_runtime::space;
use muster_runtime::unit::{ClientLink, UnitUser};
use muster_runtime::visit;
use muster_runtime::wire::{NodeHello, WIRE_VERSION};

use crate::engine::calls::CallTarget;

/// How long the directories of a job may take to be made. A client waits much longer.
const VIEW_PATIENCE: Duration = Duration::from_secs(150);

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
    pub(crate) fn read(call: wire::CallClient, node_name: &str) -> Result<(CallTarget, Calling), String> {
        let key = call.key.ok_or("it names no job")?;
        let step = match key.step.as_str() {
            "" => None,
            step => Some(step.parse()?),
        };
        let target = CallTarget { job_id: JobId(key.job_id), restart: RestartCount(key.restart), step };
        let identity = document::decode(&call.identity_json, "the user of a call");
        let purpose = document::decode(&call.purpose_json, "the purpose of a call");
        let calling = Calling {
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
        };
        Ok((target, calling))
    }

    /// What it is made for.
    pub(crate) fn purpose(&self) -> &CallPurpose {
        &self.purpose
    }

    /// The supervisor makes it, where streams of a unit are wanted.
    pub(crate) fn into_link(self) -> ClientLink {
        ClientLink { address: self.address, cookie: self.hello.cookie, node_name: self.hello.node }
    }

    /// Makes it to tell what units use, beside everything else.
    pub(crate) fn tell(self, units: &[UnitMeasure]) {
        let document = document::encode(&units);
        self.start_with(move |call| {
            let (job_id, address) = (call.hello.job_id, call.address);
            if let Err(error) = receipt::tell(&address, call.hello, &document) {
                tracing::info!(%error, job_id, address, "a client was not told what units use");
            }
        });
    }

    /// Makes it to connect the client with the SSH server behind `entrance`, beside everything else.
    pub(crate) fn visit(self, entrance: PathBuf) {
        self.start_with(move |call| {
            let (job_id, address) = (call.hello.job_id, call.address);
            if let Err(error) = visit::visit(&address, call.hello, &entrance) {
                tracing::info!(%error, job_id, address, "a visit has ended");
            }
        });
    }

    /// Makes it to take a file as `user`, beside everything else. `record` says what the job sees of the file system, or
    /// will say it soon.
    pub(crate) fn receive(self, wanted: FileReceipt, user: UnitUser, record: Option<PathBuf>) {
        self.start_with(move |call| {
            let (job_id, address) = (call.hello.job_id, call.address);
            let view = record.map_or(Ok(None), |record| space::view(&record, VIEW_PATIENCE));
            if let Err(error) = receipt::fetch(&address, call.hello, &user, &wanted, view) {
                tracing::info!(%error, job_id, address, path = wanted.path, "a file did not come");
            }
        });
    }

    fn start_with(self, make: impl FnOnce(Calling) + Send + 'static) {
        let job_id = self.hello.job_id;
        let calling = std::thread::Builder::new().name("call of a client".to_owned()).spawn(move || make(self));
        if let Err(error) = calling {
            tracing::error!(%error, job_id, "cannot call a client");
        }
    }
}
