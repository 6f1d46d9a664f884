//! `sinfo -T`: the reservations, one line for each.

use muster_model::time::format_days_hours;

use super::super::context::{Answers, Context};
use super::super::job_text::NULL;
use super::super::scontrol::{reservation_state_word, reservations_in_order};
use super::super::time_text;

/// Narrowest column for names.
const NAME_WIDTH_MIN: usize = 9;

/// The table.
pub fn table(answers: &Answers, context: &Context, header: bool) -> String {
    let rows = reservations_in_order(&answers.reservations);
    if rows.is_empty() {
        return "No reservations in the system\n".to_owned();
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(NAME_WIDTH_MIN);
    let line = |name: &str, state: &str, start: &str, end: &str, length: &str, nodes: &str| {
        format!("{name:<width$}  {state:>8}  {start:>19}  {end:>19}  {length:>11}  {nodes}\n")
    };
    let mut text = String::new();
    if header {
        text.push_str(&line("RESV_NAME", "STATE", "START_TIME", "END_TIME", "DURATION", "NODELIST"));
    }
    for row in rows {
        let (start, end) = row.window(context.now);
        let time = |time| time_text::print(time, context.now, &context.zone, &context.time_format);
        let length = format_days_hours(end.since(start).seconds());
        let nodes = row.node_list.as_deref().unwrap_or(NULL);
        text.push_str(&line(&row.name, reservation_state_word(row, context), &time(start), &time(end), &length, nodes));
    }
    text
}
