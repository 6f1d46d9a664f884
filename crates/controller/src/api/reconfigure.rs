//! `scontrol reconfigure`, and HUP: the configuration is read here, and taken over by the owner of the state.

use std::fmt;
use std::sync::Arc;

use muster_core::Event;
use muster_model::config::ClusterConfig;
use muster_model::ids::Identity;
use muster_model::request::{Command, Refusal, RefusalCode};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::ApiService;
use crate::clock;
use crate::inbox::Letter;

/// How the configuration is read again. Refuses one that cannot be read, or that needs a restart.
#[derive(Clone)]
pub struct ReadConfig(Arc<Reader>);

type Reader = dyn Fn() -> Result<ClusterConfig, Refusal> + Send + Sync;

impl ReadConfig {
    /// By this function, on a thread that may wait for files.
    pub fn new(read: impl Fn() -> Result<ClusterConfig, Refusal> + Send + Sync + 'static) -> ReadConfig {
        ReadConfig(Arc::new(read))
    }
}

impl fmt::Debug for ReadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadConfig")
    }
}

impl ApiService {
    /// The configuration as the files have it now, for one who may ask for it.
    pub(super) async fn read_config(&self, caller: &Identity) -> Result<Box<ClusterConfig>, Refusal> {
        if !caller.is_operator() {
            return Err(RefusalCode::InvalidUser.into());
        }
        let reader = self.read_config.clone();
        let read = tokio::task::spawn_blocking(move || reader.0()).await;
        let read = read.map_err(|_| Refusal::new(RefusalCode::Internal, "reading the configuration failed"))?;
        let config = read.inspect_err(|refusal| {
            error!("the configuration stays as it is: {refusal}: {}", refusal.detail);
        })?;
        Ok(Box::new(ClusterConfig { zone: clock::zone(), ..config }))
    }

    /// Reads the configuration again whenever HUP comes, until the controller ends.
    pub(crate) async fn reconfigure_on_hangup(self, root: Identity) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        while hangup.recv().await.is_some() {
            info!("asked by HUP to read the configuration again");
            let Ok(config) = self.read_config(&root).await else { continue };
            let (request, verdict) = self.dispatch.expect_reply();
            let command = Box::new(Command::Reconfigure { config: Some(config) });
            let event = Event::Command { request, identity: root.clone(), command };
            if self.inbox.send(Letter::from(event)).await.is_err() {
                return Ok(());
            }
            if let Ok(Err(refusal)) = verdict.await {
                error!("the configuration stays as it is: {refusal}: {}", refusal.detail);
            }
        }
        Ok(())
    }
}
