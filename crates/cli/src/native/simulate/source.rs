//! The jobs to replay: read, asked for, or made up.

use std::path::Path;

use anyhow::Context;
use jiff::tz::TimeZone;
use muster_client::Client;
use muster_model::request::{HistoryFilter, Query, Reply};
use muster_replay::{Synthetic, Workload, from_history, make_synthetic, parse_swf};
use muster_slurm::output::time_text;

use super::super::runs;
use super::Arguments;
use super::machine;

/// Users of a made-up workload.
const USERS: u32 = 20;

/// Jobs, and what they are called in tables and pictures.
pub(super) struct Source {
    pub(super) workload: Workload,
    pub(super) name: String,
}

impl Source {
    /// What the arguments ask for.
    pub(super) async fn of(arguments: &Arguments) -> anyhow::Result<Source> {
        if let Some(path) = &arguments.swf {
            return trace(path);
        }
        if let Some(jobs) = arguments.synthetic {
            let (seed, load_percent) = (arguments.seed, arguments.load);
            let cpus = machine::cpus_for_synthetic(arguments)?;
            let workload = make_synthetic(&Synthetic { jobs, cpus, load_percent, users: USERS, seed });
            return Ok(Source { workload, name: format!("{jobs} made-up jobs of seed {seed}") });
        }
        history(arguments.since.as_deref()).await
    }
}

fn trace(path: &Path) -> anyhow::Result<Source> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Comments of old traces are in whatever encoding their time had; records are plain numbers.
    let workload = parse_swf(&String::from_utf8_lossy(&bytes)).with_context(|| format!("in {}", path.display()))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Source { workload, name })
}

async fn history(since: Option<&str>) -> anyhow::Result<Source> {
    let since = match since {
        Some(text) => {
            let parsed = time_text::parse_past(text, runs::now(), &TimeZone::system());
            Some(parsed.map_err(|_| anyhow::anyhow!("--since: {text:?} is no time"))?)
        }
        None => None,
    };
    let client = Client::connect().await?;
    let filter = HistoryFilter { since, duplicates: true, ..HistoryFilter::default() };
    let mut rows = Vec::new();
    for reply in client.query(&Query::History(filter)).await? {
        match reply {
            Reply::History(part) => rows.extend(part),
            Reply::Refused(refusal) => anyhow::bail!("{refusal}"),
            _ => {}
        }
    }
    Ok(Source { workload: from_history(&rows), name: "history of the cluster".to_owned() })
}
