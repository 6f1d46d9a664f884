//! A node without anything behind it: the links and the relay of an agent as they are, and nothing that runs processes.
//!
//! So thousands of agents fit on one machine, and what orders to all of them cost on the way can be measured. Whatever such a node
//! is told to start has ended well at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use anyhow::Context;
use muster_proto::{self as wire, FromAgent, from_agent, to_agent};
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::engine::{Input, LinkWish};
use crate::link::Link;

/// Which node it is.
#[derive(Debug, Clone)]
pub struct BareNode {
    /// Its name in the configuration of the cluster.
    pub name: String,
    /// Where the controller listens for agents: `host:port`.
    pub controller: String,
    /// File with the token of the cluster.
    pub token_file: PathBuf,
}

/// A thread of its own needs little.
const STACK_BYTES: usize = 128 << 10;

impl BareNode {
    /// Keeps a link until the controller asks the node to end. Calls `launched` with the number of each job that it is to start.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub async fn keep(self, launched: impl FnMut(u32) + Send + 'static) -> anyhow::Result<()> {
        let (inputs, received) = channel();
        let (_wishes, wish) = watch::channel(LinkWish { is_ready: true, generation: 0 });
        let link = Link {
            controller: self.controller.clone(),
            token_file: self.token_file.clone(),
            inputs,
            wish,
            start_time: clock::now(),
            health: Arc::default(),
        };
        let thread = std::thread::Builder::new().name(self.name.clone()).stack_size(STACK_BYTES);
        thread.spawn(move || self.answer(&received, launched)).context("cannot start the thread of a node")?;
        link.keep().await
    }

    /// Until the link is over.
    fn answer(&self, inputs: &Receiver<Input>, mut launched: impl FnMut(u32)) {
        let mut outbound: Option<mpsc::Sender<FromAgent>> = None;
        let (mut sequence_seen, mut ended) = (0, Vec::<wire::UnitEnded>::new());
        while let Ok(input) = inputs.recv() {
            let answers: Vec<from_agent::Message> = match input {
                Input::LinkUp { outbound: new, way, .. } => {
                    outbound = Some(new);
                    let hello = wire::Hello {
                        node_name: self.name.clone(),
                        token: std::fs::read_to_string(&self.token_file).unwrap_or_default().trim().to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        launch_sequence_seen: sequence_seen,
                        units: ended.iter().filter_map(|end| end.key.clone()).collect(),
                        takes_redirect: true,
                        relay: way.relay.unwrap_or_default(),
                        unreachable_relay: way.unreachable.unwrap_or_default(),
                        ..wire::Hello::default()
                    };
                    let ends = ended.iter().cloned().map(from_agent::Message::UnitEnded);
                    std::iter::once(from_agent::Message::Hello(hello)).chain(ends).collect()
                }
                Input::FromController { message: to_agent::Message::Launch(launch), .. } => {
                    sequence_seen = sequence_seen.max(launch.launch_sequence);
                    let Some(job) = job_number(&launch.job_json) else { continue };
                    launched(job);
                    let key = wire::UnitKey { job_id: job, restart: 0, step: "batch".to_owned() };
                    let end = wire::UnitEnded { key: Some(key), job_is_clean: true, ..wire::UnitEnded::default() };
                    ended.push(end.clone());
                    vec![from_agent::Message::UnitEnded(end)]
                }
                Input::FromController { message: to_agent::Message::Acknowledge(key), .. } => {
                    ended.retain(|end| end.key.as_ref() != Some(&key));
                    continue;
                }
                Input::FromController { message: to_agent::Message::CleanJob(clean), .. } => {
                    let cleaned = wire::JobCleaned {
                        job_id: clean.job_id,
                        restart: clean.restart,
                        ..wire::JobCleaned::default()
                    };
                    vec![from_agent::Message::JobCleaned(cleaned)]
                }
                _ => continue,
            };
            for message in answers {
                // When the link has ended, all is said again over the next.
                outbound.iter().for_each(|link| drop(link.blocking_send(FromAgent { message: Some(message.clone()) })));
            }
        }
    }
}

/// The number of a job, which is the first that its document says: reading all of it thousands of times would be what is measured.
fn job_number(job: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(job.get(..64)?).ok()?;
    let digits = text.split_once("\"id\":")?.1;
    digits.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_job_is_found() {
        let mut job = br#"{"id":17,"restart":0,"name":"x"}"#.to_vec();
        job.resize(80, b' ');
        assert_eq!(job_number(&job), Some(17));
        assert_eq!(job_number(b"{}"), None);
        assert_eq!(job_number(&[0xff; 80]), None);
    }
}
