//! Plans as text.

use std::collections::BTreeSet;
use std::fmt::Write;

use muster_model::planning::{Plan, PlanView, PlannedShare};
use muster_model::time::Timestamp;

/// One line for each start and each wait:
///
/// ```text
/// 2 starts in debug: n1 4c 4t 1000M gpu:0-1 | n2 4c 4t
/// 3_0 starts in debug: n3 1c 1t
/// 4 starts in high over 1,2: n3 1c 1t
/// 6+7 start together
/// 9 makes room for 4: requeue in +1m
/// 4 waits Resources, +30m on n[1-2]
/// 5 waits Priority, +3m or so
/// ```
pub fn plan(view: &PlanView, plan: &Plan) -> String {
    let mut text = String::new();
    for start in plan.all_starts() {
        let task = start.task_index.map_or(String::new(), |index| format!("_{index}"));
        let shares: Vec<String> = start.shares.iter().map(|share| show_share(view, share)).collect();
        let inside = start.reservation.as_ref().map_or(String::new(), |name| format!(" in {name}"));
        let over: Vec<String> = start.suspends.iter().map(|(id, _)| id.to_string()).collect();
        let over = if over.is_empty() { String::new() } else { format!(" over {}", over.join(",")) };
        let (id, partition) = (start.job_id, &start.partition);
        let _ = writeln!(text, "{id}{task} starts in {partition}{inside}{over}: {}", shares.join(" | "));
        if !start.together.is_empty() {
            let ids: Vec<String> = start.all().map(|start| start.job_id.to_string()).collect();
            let _ = writeln!(text, "{} start together", ids.join("+"));
        }
    }
    for eviction in &plan.evictions {
        let grace = if eviction.grace.0 > 0 {
            format!(" in {}", show_time(view.now, view.now + eviction.grace))
        } else {
            String::new()
        };
        let mode = format!("{:?}", eviction.mode).to_lowercase();
        let _ = writeln!(text, "{} makes room for {}: {mode}{grace}", eviction.job_id, eviction.by);
    }
    let mut told = BTreeSet::new();
    let jobs = view.queue.values().filter(|job| told.insert(job.id));
    for wait in jobs.filter_map(|job| plan.outlook.get(job.id)) {
        let _ = write!(text, "{} waits {}", wait.job_id, wait.detail.as_deref().unwrap_or(wait.reason.as_str()));
        if let Some(start) = wait.expected_start {
            let _ = write!(text, ", {}", show_time(view.now, start));
        }
        if let Some(nodes) = &wait.expected_nodes {
            let _ = write!(text, " on {nodes}");
        }
        if wait.is_forecast {
            text.push_str(" or so");
        }
        text.push('\n');
    }
    if plan.exhausted {
        text.push_str("exhausted\n");
    }
    text
}

fn show_share(view: &PlanView, share: &PlannedShare) -> String {
    let name = view.nodes.get(share.node.0 as usize).map_or("?", |node| node.name());
    let mut text = format!("{name} {}c {}t", share.cpus, share.tasks);
    if let Some(cpus) = &share.cpu_set {
        let _ = write!(text, " cpus:{cpus}");
    }
    if share.memory.0 > 0 {
        let _ = write!(text, " {}M", share.memory.0);
    }
    for gres in &share.gres {
        let kind = gres.kind.as_ref().map_or(String::new(), |kind| format!("{kind}:"));
        let _ = write!(text, " {}:{kind}{}", gres.name, gres.units);
    }
    text
}

/// A time as minutes after `now`, or seconds where it is not a whole number of minutes.
pub fn show_time(now: Timestamp, time: Timestamp) -> String {
    let seconds = time.since(now).seconds();
    if seconds % 60 == 0 { format!("+{}m", seconds / 60) } else { format!("+{seconds}s") }
}
