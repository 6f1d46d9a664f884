//! The page that people and scrapers read; the latter go by each word and blank of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use muster_model::statistics::{PassCounts, Statistics};
use muster_model::time::Timestamp;

use super::calls::{self, Line, Order};
use super::{mean, passes_per_minute};
use crate::output::context::Context;
use crate::output::time_text;

const STARS: &str = "*******************************************************\n";
/// Most messages on their way to nodes that are listed one by one.
const OUTGOING_MAX: usize = 25;

/// All of it.
pub(super) fn show(statistics: &Statistics, order: Order, context: &Context) -> String {
    let mut page = head(statistics, context);
    page.push_str(&main_schedule(statistics));
    page.push_str(&backfill(statistics, context));
    let latency = statistics.clock_latency_us;
    let _ = write!(page, "\nLatency for 1000 calls to gettimeofday(): {latency} microseconds\n");
    page.push_str("\nRemote Procedure Call statistics by message type\n");
    let mut lines = calls::by_type(&statistics.calls);
    calls::sort(&mut lines, order);
    lines.iter().for_each(|line| page.push_str(&request(line, format!("{:<40}({:>5})", line.name, line.id))));
    page.push_str("\nRemote Procedure Call statistics by user\n");
    let users = statistics.callers.iter();
    let mut lines: Vec<Line> =
        users.map(|(uid, name, calls)| Line { name: name.to_string(), id: *uid, calls: *calls }).collect();
    calls::sort(&mut lines, order);
    lines.iter().for_each(|line| page.push_str(&request(line, format!("{:<16}({:>8})", line.name, line.id))));
    page.push_str(&pending(statistics));
    page
}

/// `Sat Nov 28 21:34:44 2026 (1795901684)`.
fn moment(time: Timestamp, context: &Context) -> String {
    format!("{} ({})", time_text::date_line(time, &context.zone), time.seconds())
}

fn head(statistics: &Statistics, context: &Context) -> String {
    let (jobs, waiting) = (&statistics.jobs, statistics.outgoing.iter().map(|outgoing| outgoing.count).sum::<u32>());
    let busy = statistics.outgoing.chunk_by(|one, other| one.node == other.node).count();
    format!(
        "{STARS}sdiag output at {now}\nData since      {since}\n{STARS}\
         Server thread count:  {open}\n\
         Agent queue size:     {waiting}\n\
         Agent count:          {busy}\n\
         Agent thread count:   {busy}\n\
         DBD Agent queue size: {batches}\n\n\
         Jobs submitted: {submitted}\n\
         Jobs started:   {started}\n\
         Jobs completed: {completed}\n\
         Jobs canceled:  {cancelled}\n\
         Jobs failed:    {failed}\n\n\
         Job states ts:  {now}\n\
         Jobs pending:   {pending}\n\
         Jobs running:   {running}\n",
        now = moment(statistics.time, context),
        since = moment(statistics.since, context),
        open = statistics.requests_open,
        batches = statistics.batches_waiting,
        submitted = jobs.submitted,
        started = jobs.started,
        completed = jobs.completed,
        cancelled = jobs.cancelled,
        failed = jobs.failed,
        pending = statistics.jobs_pending,
        running = statistics.jobs_running,
    )
}

/// `label value`, or nothing where there is no value.
fn line(page: &mut String, label: &str, value: Option<u64>) {
    if let Some(value) = value {
        let _ = writeln!(page, "\t{label} {value}");
    }
}

fn main_schedule(statistics: &Statistics) -> String {
    let passes = &statistics.passes;
    let mut page = "\nMain schedule statistics (microseconds):\n".to_owned();
    line(&mut page, "Last cycle:  ", Some(passes.last_us.into()));
    line(&mut page, "Max cycle:   ", Some(passes.longest_us.into()));
    line(&mut page, "Total cycles:", Some(passes.count.into()));
    line(&mut page, "Mean cycle:  ", mean(passes.total_us, passes.count));
    line(&mut page, "Mean depth cycle: ", mean(passes.looked_at, passes.count));
    line(&mut page, "Cycles per minute:", passes_per_minute(statistics));
    line(&mut page, "Last queue length:", Some(passes.last.queue.into()));
    page
}

fn backfill(statistics: &Statistics, context: &Context) -> String {
    let passes: &PassCounts = &statistics.full_passes;
    let mean = |sum| mean(sum, passes.count);
    let mut page = "\nBackfilling stats\n".to_owned();
    let ever = Some(statistics.backfilled_ever.into());
    line(&mut page, "Total backfilled jobs (since last slurm start):", ever);
    line(&mut page, "Total backfilled jobs (since last stats cycle start):", Some(statistics.backfilled.into()));
    line(&mut page, "Total backfilled heterogeneous job components:", Some(0));
    line(&mut page, "Total cycles:", Some(passes.count.into()));
    let known = passes.last_time != Timestamp::default();
    let last = if known { moment(passes.last_time, context) } else { "N/A".to_owned() };
    let _ = writeln!(page, "\tLast cycle when: {last}");
    line(&mut page, "Last cycle:", Some(passes.last_us.into()));
    line(&mut page, "Max cycle: ", Some(passes.longest_us.into()));
    line(&mut page, "Mean cycle:", mean(passes.total_us));
    line(&mut page, "Last depth cycle:", Some(passes.last.looked_at.into()));
    line(&mut page, "Last depth cycle (try sched):", Some(passes.last.tried.into()));
    line(&mut page, "Depth Mean:", mean(passes.looked_at));
    line(&mut page, "Depth Mean (try depth):", mean(passes.tried));
    line(&mut page, "Last queue length:", Some(passes.last.queue.into()));
    line(&mut page, "Queue length mean:", mean(passes.queue));
    line(&mut page, "Last table size:", Some(passes.last.moments.into()));
    line(&mut page, "Mean table size:", mean(passes.moments));
    page
}

fn request(line: &Line, who: String) -> String {
    let (count, mean, total) = (line.calls.count, line.mean_us(), line.calls.total_us);
    format!("\t{who} count:{count:<6} ave_time:{mean:<6} total_time:{total}\n")
}

/// What is on its way to the nodes: by kind, then one by one.
fn pending(statistics: &Statistics) -> String {
    let mut page = "\nPending RPC statistics\n".to_owned();
    if statistics.outgoing.is_empty() {
        page.push_str("\tNo pending RPCs\n");
        return page;
    }
    let mut kinds: BTreeMap<(u32, &str), u32> = BTreeMap::new();
    for outgoing in &statistics.outgoing {
        *kinds.entry(calls::slurm_name(outgoing.kind)).or_default() += outgoing.count;
    }
    for ((id, name), count) in kinds {
        let _ = writeln!(page, "\t{name:<40}({id:>5}) count:{count:<6}");
    }
    page.push_str("\nPending RPCs\n");
    let each = statistics.outgoing.iter().flat_map(|outgoing| (0..outgoing.count).map(move |_| outgoing));
    for (number, outgoing) in (1..).zip(each.take(OUTGOING_MAX)) {
        let (_, name) = calls::slurm_name(outgoing.kind);
        let _ = writeln!(page, "\t{number:>2}: {name:<36} {}", outgoing.node);
    }
    page
}
