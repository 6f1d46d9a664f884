//! What a real controller counted on 2026-11-28, in an hour of small jobs. Numbers of the transcripts that follow from
//! others (means) are sums here that give them.

use muster_model::statistics::{CallKind, Calls, JobCounts, PassCounts, PassFigures, Statistics};
use muster_model::time::Timestamp;

use super::scenes::Scene;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn calls(count: u32, total_us: u64) -> Calls {
    Calls { count, total_us }
}

fn scene(statistics: Statistics) -> Scene {
    Scene { statistics: Some(statistics), ..Scene::default() }
}

/// Some seconds after its start.
pub fn first() -> Scene {
    scene(Statistics {
        time: time(1_795_901_684),
        since: time(1_795_901_670),
        requests_open: 3,
        jobs: JobCounts { submitted: 7, started: 4, completed: 4, cancelled: 1, failed: 0 },
        passes: PassCounts {
            count: 2,
            last_us: 1058,
            longest_us: 1058,
            total_us: 1076,
            last: PassFigures { queue: 6, ..PassFigures::default() },
            looked_at: 6,
            ..PassCounts::default()
        },
        clock_latency_us: 23,
        calls: vec![
            (CallKind::NodeReport, calls(2, 528)),
            (CallKind::Ping, calls(1, 180)),
            (CallKind::AskJobs, calls(1, 248)),
            (CallKind::AskNodes, calls(2, 475)),
            (CallKind::AskPartitions, calls(3, 515)),
            (CallKind::SubmitBatch, calls(7, 6156)),
            (CallKind::BatchEnded, calls(4, 2320)),
            (CallKind::Cancel, calls(1, 431)),
        ],
        callers: vec![(0, "root".into(), calls(17, 10_092)), (65_534, "nobody".into(), calls(4, 761))],
        ..Statistics::default()
    })
}

/// Just reset.
pub fn reset() -> Scene {
    scene(Statistics {
        time: time(1_795_901_685),
        since: time(1_795_901_685),
        requests_open: 3,
        passes: PassCounts {
            last_us: 1058,
            last: PassFigures { queue: 6, ..PassFigures::default() },
            ..PassCounts::default()
        },
        clock_latency_us: 23,
        calls: vec![(CallKind::AskStatistics, calls(1, 167))],
        callers: vec![(0, "root".into(), calls(1, 167))],
        ..Statistics::default()
    })
}

/// More than a minute later, with jobs that wait.
pub fn later() -> Scene {
    scene(Statistics {
        time: time(1_795_901_759),
        since: time(1_795_901_685),
        requests_open: 3,
        jobs: JobCounts { submitted: 9, started: 10, completed: 8, cancelled: 0, failed: 0 },
        jobs_pending: 2,
        jobs_running: 2,
        passes: PassCounts {
            count: 11,
            last_us: 553,
            longest_us: 758,
            total_us: 4532,
            last: PassFigures { queue: 2, ..PassFigures::default() },
            looked_at: 55,
            ..PassCounts::default()
        },
        full_passes: PassCounts {
            count: 3,
            last_time: time(1_795_901_758),
            last_us: 92,
            longest_us: 353,
            total_us: 594,
            last: PassFigures { queue: 1, looked_at: 1, tried: 1, moments: 3, backfilled: 0 },
            looked_at: 12,
            tried: 12,
            queue: 9,
            moments: 18,
        },
        clock_latency_us: 23,
        calls: vec![
            (CallKind::AskStatistics, calls(4, 846)),
            (CallKind::SubmitBatch, calls(5, 4248)),
            (CallKind::BatchEnded, calls(8, 11_284)),
        ],
        callers: vec![(0, "root".into(), calls(17, 16_378))],
        ..Statistics::default()
    })
}
