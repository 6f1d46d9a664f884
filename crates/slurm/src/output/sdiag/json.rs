//! `--json`. `sdiag` of 22.05 has no such option; this is what its REST interface answers to `diag`, for the programs
//! written against later versions of `sdiag`.

use muster_model::statistics::Statistics;
use serde_json::{Value, json};

use super::calls::{self, Line};
use super::{mean, passes_per_minute};
use crate::output::json;

pub(super) fn document(statistics: &Statistics) -> String {
    json::document("openapi/v0.0.38", "Slurm OpenAPI v0.0.38", json!({ "statistics": body(statistics) }))
}

fn body(it: &Statistics) -> Value {
    let (passes, full) = (&it.passes, &it.full_passes);
    let mean = |sum, count| mean(sum, count).unwrap_or(0);
    let by_type = calls::by_type(&it.calls);
    let waiting: u32 = it.outgoing.iter().map(|outgoing| outgoing.count).sum();
    let busy = it.outgoing.chunk_by(|one, other| one.node == other.node).count();
    let seconds = muster_model::time::Timestamp::seconds;
    json!({
        "rpcs_by_message_type": by_type.iter().map(|line| request(line, "message_type", "type_id")).collect::<Vec<_>>(),
        "rpcs_by_user": it.callers.iter().map(|(uid, name, calls)| {
            request(&Line { name: name.to_string(), id: *uid, calls: *calls }, "user", "user_id")
        }).collect::<Vec<_>>(),
        "parts_packed": 1,
        "req_time": seconds(it.time),
        "req_time_start": seconds(it.since),
        "server_thread_count": it.requests_open,
        "agent_queue_size": waiting,
        "agent_count": busy,
        "agent_thread_count": busy,
        "dbd_agent_queue_size": it.batches_waiting,
        "gettimeofday_latency": it.clock_latency_us,
        "schedule_cycle_max": passes.longest_us,
        "schedule_cycle_last": passes.last_us,
        "schedule_cycle_total": passes.count,
        "schedule_cycle_mean": mean(passes.total_us, passes.count),
        "schedule_cycle_mean_depth": mean(passes.looked_at, passes.count),
        "schedule_cycle_per_minute": passes_per_minute(it).unwrap_or(0),
        "schedule_queue_length": passes.last.queue,
        "jobs_submitted": it.jobs.submitted,
        "jobs_started": it.jobs.started,
        "jobs_completed": it.jobs.completed,
        "jobs_canceled": it.jobs.cancelled,
        "jobs_failed": it.jobs.failed,
        "jobs_pending": it.jobs_pending,
        "jobs_running": it.jobs_running,
        "job_states_ts": seconds(it.time),
        "bf_backfilled_jobs": it.backfilled_ever,
        "bf_last_backfilled_jobs": it.backfilled,
        "bf_backfilled_het_jobs": 0,
        "bf_cycle_counter": full.count,
        "bf_cycle_mean": mean(full.total_us, full.count),
        "bf_depth_mean": mean(full.looked_at, full.count),
        "bf_depth_mean_try": mean(full.tried, full.count),
        "bf_cycle_last": full.last_us,
        "bf_cycle_max": full.longest_us,
        "bf_queue_len": full.last.queue,
        "bf_queue_len_mean": mean(full.queue, full.count),
        "bf_table_size": full.last.moments,
        "bf_table_size_mean": mean(full.moments, full.count),
        "bf_when_last_cycle": seconds(full.last_time),
        "bf_active": false,
    })
}

fn request(line: &Line, name: &str, id: &str) -> Value {
    json!({
        name: line.name,
        id: line.id,
        "count": line.calls.count,
        "average_time": line.mean_us(),
        "total_time": line.calls.total_us,
    })
}
