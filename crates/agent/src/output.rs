//! Reading a job's output for somebody far away, from any byte, and on request until the job has ended.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_model::ids::{JobId, RestartCount};
use muster_proto::{FromAgent, OutputPart, OutputWanted, from_agent};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::outputs::{Outputs, Record};
use crate::rights;

/// Bytes sent at once.
const PART_BYTES: usize = 64 << 10;

/// How long to wait at the end of a file that may grow. No notice is to be had for files on a file server.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a follower waits for a job whose launch may be on its way.
const LAUNCH_WAIT: Duration = Duration::from_secs(10);

/// Reads and sends until the end, an error, or the connection is gone.
pub(crate) async fn send(wanted: OutputWanted, outputs: Outputs, sender: mpsc::Sender<FromAgent>) {
    let request_id = wanted.request_id;
    let mut reading = Reading { wanted, outputs, sender };
    let error = match reading.run().await {
        Ok(()) => String::new(),
        Err(error) => error,
    };
    // That the connection is gone is known to whoever asked.
    let _ = reading.send(OutputPart { request_id, end: true, error, ..OutputPart::default() }).await;
}

struct Reading {
    wanted: OutputWanted,
    outputs: Outputs,
    sender: mpsc::Sender<FromAgent>,
}

impl Reading {
    async fn run(&mut self) -> Result<(), String> {
        let record = self.record().await?;
        let path = match (self.wanted.standard_error, &record.error) {
            (false, _) => record.output.clone(),
            (true, Some(path)) => path.clone(),
            (true, None) => return Err("standard error goes to the same file as standard output".to_owned()),
        };
        let Some(file) = self.open(&record, path).await? else {
            return Ok(());
        };
        let mut offset = self.wanted.offset;
        loop {
            // Asked before reading: what was written until then is read before the end is believed.
            let may_grow = self.wanted.follow && self.is_live();
            let part = read(file.clone(), offset).await?;
            if part.is_empty() {
                if !may_grow {
                    return Ok(());
                }
                self.pause().await?;
                continue;
            }
            offset += part.len() as u64;
            let part = OutputPart { request_id: self.wanted.request_id, data: part.into(), ..OutputPart::default() };
            if self.send(part).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn record(&self) -> Result<Record, String> {
        let deadline = Instant::now() + LAUNCH_WAIT;
        loop {
            match self.outputs.find(self.job_id(), self.restart()) {
                Some(record) => return Ok(record),
                None if self.wanted.follow && Instant::now() < deadline => self.pause().await?,
                None => {
                    return Err(format!("this node knows of no output of job {}", self.wanted.job_id));
                }
            }
        }
    }

    /// The open file; `None` where the job ended without making it.
    async fn open(&self, record: &Record, path: PathBuf) -> Result<Option<Arc<File>>, String> {
        loop {
            let may_come = self.is_live();
            let (user, wanted) = (record.user.clone(), path.clone());
            let opened = tokio::task::spawn_blocking(move || rights::open_as(&user, &wanted)).await;
            match opened.map_err(|error| error.to_string())? {
                Ok(file) => return Ok(Some(Arc::new(file))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_come => {
                    if !self.wanted.follow {
                        return Ok(None);
                    }
                    self.pause().await?;
                }
                Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
            }
        }
    }

    /// Waits a moment; an error when nobody listens any more.
    async fn pause(&self) -> Result<(), String> {
        tokio::select! {
            () = sleep(LOOK_INTERVAL) => Ok(()),
            () = self.sender.closed() => Err("the connection is gone".to_owned()),
        }
    }

    async fn send(&self, part: OutputPart) -> Result<(), ()> {
        self.sender.send(FromAgent { message: Some(from_agent::Message::OutputPart(part)) }).await.map_err(drop)
    }

    fn job_id(&self) -> JobId {
        JobId(self.wanted.job_id)
    }

    fn restart(&self) -> RestartCount {
        RestartCount(self.wanted.restart)
    }

    fn is_live(&self) -> bool {
        self.outputs.is_live(self.job_id(), self.restart())
    }
}

async fn read(file: Arc<File>, offset: u64) -> Result<Vec<u8>, String> {
    let reading = move || {
        let mut part = vec![0; PART_BYTES];
        let count = file.read_at(&mut part, offset)?;
        part.truncate(count);
        Ok(part)
    };
    let result: Result<std::io::Result<Vec<u8>>, _> = tokio::task::spawn_blocking(reading).await;
    match result {
        Ok(Ok(part)) => Ok(part),
        Ok(Err(error)) => Err(format!("cannot read on: {error}")),
        Err(error) => Err(error.to_string()),
    }
}
