//! `scontrol show reservation`: one record for each reservation, in the order in which they were made.

use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::reservation::{AccessList, Reservation};
use muster_model::resources::IndexSet;
use muster_model::time::format_days_hours;

use super::super::context::{Answers, Context};
use super::super::job_text::NULL;
use super::super::time_text;
use super::record::Record;
use crate::grammar::reservation_flags;

/// The records of all reservations, or of the one called `name`; with whether it was found.
pub fn print(answers: &Answers, context: &Context, name: Option<&str>, one_line: bool) -> (String, bool) {
    let wanted = in_order(&answers.reservations);
    let wanted = wanted.into_iter().filter(|row| name.is_none_or(|name| *row.name == *name));
    let text: String = wanted.map(|row| record(answers, context, row, one_line)).collect();
    match name {
        Some(name) if text.is_empty() => (format!("Reservation {name} not found\n"), false),
        None if text.is_empty() => ("No reservations in the system\n".to_owned(), true),
        _ => (text, true),
    }
}

/// `rows` in the order in which they were made.
pub fn in_order(rows: &[Arc<Reservation>]) -> Vec<&Reservation> {
    let mut rows: Vec<&Reservation> = rows.iter().map(Arc::as_ref).collect();
    rows.sort_by_key(|row| (row.number, row.name.clone()));
    rows
}

/// The words of `State=`.
pub fn state_word(row: &Reservation, context: &Context) -> &'static str {
    let (start, end) = row.window(context.now);
    if start <= context.now && context.now <= end { "ACTIVE" } else { "INACTIVE" }
}

fn record(answers: &Answers, context: &Context, row: &Reservation, one_line: bool) -> String {
    let (start, end) = row.window(context.now);
    let time = |time| time_text::print(time, context.now, &context.zone, &context.time_format);
    let or_null = |text: &Option<Name>| text.as_deref().filter(|text| !text.is_empty()).unwrap_or(NULL).to_owned();
    let amounts = Kept::of(answers, row);
    let mut record = Record::new(one_line);
    record.line(format!(
        "ReservationName={} StartTime={} EndTime={} Duration={}",
        row.name,
        time(start),
        time(end),
        format_days_hours(end.since(start).seconds())
    ));
    record.line(format!(
        "Nodes={} NodeCnt={} CoreCnt={} Features={} PartitionName={} Flags={}",
        or_null(&row.node_list),
        row.nodes.len(),
        amounts.cores,
        or_null(&row.features),
        or_null(&row.partition),
        reservation_flags::print(&row.flags, row.purge_after)
    ));
    for line in amounts.parts {
        record.line(line);
    }
    record.line(format!("TRES={}", amounts.tres));
    record.line(format!(
        "Users={} Groups={} Accounts={} Licenses={} State={} BurstBuffer={NULL} Watts=n/a",
        list(&row.users),
        list(&row.groups),
        list(&row.accounts),
        licenses(row),
        state_word(row, context)
    ));
    // Newer versions know these.
    for (key, names) in [("QOS", &row.qos), ("AllowedPartitions", &row.partitions)] {
        record.optional(key, Some(&list(names)).filter(|_| !names.is_empty()).map(String::as_str));
    }
    record.optional("Comment", row.comment.as_deref());
    let delay = row.start_delay_max.map_or(NULL.to_owned(), |span| format_days_hours(span.seconds()));
    record.line(format!("MaxStartDelay={delay}"));
    record.finish(false)
}

fn list(names: &AccessList) -> String {
    let denied = names.denied.iter().map(|name| format!("-{name}"));
    let all: Vec<String> = names.allowed.iter().map(ToString::to_string).chain(denied).collect();
    if all.is_empty() { NULL.to_owned() } else { all.join(",") }
}

fn licenses(row: &Reservation) -> String {
    let all: Vec<String> = row.licenses().map(|(name, count)| format!("{name}:{count}")).collect();
    if all.is_empty() { NULL.to_owned() } else { all.join(",") }
}

/// What a reservation keeps, counted.
struct Kept {
    cores: u32,
    tres: String,
    /// One line for each node of which it keeps some cores only.
    parts: Vec<String>,
}

impl Kept {
    fn of(answers: &Answers, row: &Reservation) -> Kept {
        let (mut cores, mut cpus, mut parts) = (0, 0, Vec::new());
        for kept in &row.nodes {
            let Some(node) = answers.cluster.nodes.get(kept.node.0 as usize) else { continue };
            let hardware = &node.config.hardware;
            let all = hardware.sockets.saturating_mul(hardware.cores_per_socket).max(1);
            let per_core = if hardware.cpus > all { hardware.threads_per_core.max(1) } else { 1 };
            let Some(some) = &kept.cpus else {
                (cores, cpus) = (cores + hardware.cpus / per_core, cpus + hardware.cpus);
                continue;
            };
            let mut numbers = IndexSet::default();
            some.iter().for_each(|cpu| numbers.insert(cpu / per_core));
            (cores, cpus) = (cores + numbers.len(), cpus + some.len());
            if !numbers.is_empty() {
                parts.push(format!("  NodeName={} CoreIDs={numbers}", node.name()));
            }
        }
        let mut amounts = Vec::new();
        if cpus > 0 {
            amounts.push(format!("cpu={cpus}"));
        }
        let gres = row.tres.0.iter().filter(|(name, _)| name.starts_with("gres/"));
        amounts.extend(gres.map(|(name, count)| format!("{name}={count}")));
        let tres = if amounts.is_empty() { NULL.to_owned() } else { amounts.join(",") };
        Kept { cores, tres, parts }
    }
}
