//! The columns of `sprio`: each letter is one entry.

use std::cmp::Ordering;

use muster_model::priority::{PriorityConfig, PriorityLedger, PriorityRow, PriorityTerm};

use super::super::format::{Cut, fit};

/// One line of the table.
pub(super) enum Row<'a> {
    /// The weights of the parts.
    Weights(&'a PriorityConfig),
    /// A job in a partition.
    Job(&'a PriorityRow),
}

/// One column.
pub(super) struct Field {
    letter: char,
    header: &'static str,
    job: fn(&PriorityRow) -> String,
    weight: fn(&PriorityConfig) -> String,
    /// The number by which rows are sorted; text is sorted as it is where there is none.
    number: Option<fn(&PriorityLedger) -> f64>,
}

/// A part of a line.
pub(super) enum Shown {
    Text(String),
    Column { field: &'static Field, size: usize, right: bool },
}

const fn field(
    letter: char,
    header: &'static str,
    job: fn(&PriorityRow) -> String,
    weight: fn(&PriorityConfig) -> String,
    number: Option<fn(&PriorityLedger) -> f64>,
) -> Field {
    Field { letter, header, job, weight, number }
}

fn factor(term: PriorityTerm) -> String {
    format!("{:.7}", term.factor)
}

fn product(term: PriorityTerm) -> String {
    format!("{:.0}", term.product)
}

fn nothing(_: &PriorityConfig) -> String {
    String::new()
}

fn tres(row: &PriorityRow, text: fn(PriorityTerm) -> String) -> String {
    let used = row.ledger.tres.iter().filter(|tres| tres.term.product != 0.0);
    used.map(|tres| format!("{}={}", tres.name, text(tres.term))).collect::<Vec<_>>().join(",")
}

fn weight_of_tres(config: &PriorityConfig) -> String {
    if config.weight_tres_text.is_empty() { "(null)".to_owned() } else { config.weight_tres_text.to_string() }
}

/// The whole priority by the greatest there is; one that was set directly is shown as it is.
fn fraction(ledger: &PriorityLedger) -> f64 {
    if ledger.direct { f64::from(ledger.total) } else { ledger.sum().max(1.0) / f64::from(u32::MAX) }
}

static FIELDS: &[Field] = &[
    field('a', "AGE", |row| factor(row.ledger.age), |w| w.weight_age.to_string(), Some(|l| l.age.factor)),
    field('A', "AGE", |row| product(row.ledger.age), |w| w.weight_age.to_string(), Some(|l| l.age.product)),
    field(
        'b',
        "ASSOC",
        |row| factor(row.ledger.association),
        |w| w.weight_association.to_string(),
        Some(|l| l.association.factor),
    ),
    field(
        'B',
        "ASSOC",
        |row| product(row.ledger.association),
        |w| w.weight_association.to_string(),
        Some(|l| l.association.product),
    ),
    // No federation: the name of a cluster is told only in one.
    field('c', "CLUSTER", |_| String::new(), nothing, None),
    field(
        'f',
        "FAIRSHARE",
        |row| factor(row.ledger.fair_share),
        |w| w.weight_fair_share.to_string(),
        Some(|l| l.fair_share.factor),
    ),
    field(
        'F',
        "FAIRSHARE",
        |row| product(row.ledger.fair_share),
        |w| w.weight_fair_share.to_string(),
        Some(|l| l.fair_share.product),
    ),
    field('i', "JOBID", |row| row.ledger.job_id.to_string(), |_| "Weights".to_owned(), Some(|l| l.job_id.0.into())),
    field(
        'j',
        "JOBSIZE",
        |row| factor(row.ledger.job_size),
        |w| w.weight_job_size.to_string(),
        Some(|l| l.job_size.factor),
    ),
    field(
        'J',
        "JOBSIZE",
        |row| product(row.ledger.job_size),
        |w| w.weight_job_size.to_string(),
        Some(|l| l.job_size.product),
    ),
    field('N', "NICE", |row| row.ledger.nice.to_string(), nothing, Some(|l| l.nice as f64)),
    field('p', "PARTITION", |row| factor(row.ledger.part), |w| w.weight_partition.to_string(), Some(|l| l.part.factor)),
    field(
        'P',
        "PARTITION",
        |row| product(row.ledger.part),
        |w| w.weight_partition.to_string(),
        Some(|l| l.part.product),
    ),
    field('q', "QOS", |row| factor(row.ledger.qos), |w| w.weight_qos.to_string(), Some(|l| l.qos.factor)),
    field('Q', "QOS", |row| product(row.ledger.qos), |w| w.weight_qos.to_string(), Some(|l| l.qos.product)),
    field('r', "PARTITION", |row| row.ledger.partition.to_string(), nothing, None),
    field('S', "SITE", |row| row.ledger.site.to_string(), |_| "1".to_owned(), Some(|l| l.site as f64)),
    field('t', "TRES", |row| tres(row, |term| format!("{:.2}", term.factor)), nothing, None),
    field('T', "TRES", |row| tres(row, product), weight_of_tres, None),
    field('u', "USER", |row| row.user.to_string(), nothing, None),
    field('Y', "PRIORITY", |row| row.ledger.total.to_string(), nothing, Some(|l| l.total.into())),
    field('y', "PRIORITY", |row| format!("{:.14}", fraction(&row.ledger)), nothing, Some(|l| l.total.into())),
];

/// Reads `%[.][size]letter[text]…`; gives complaints about letters that mean nothing, for which nothing is printed.
pub(super) fn read(format: &str) -> (Vec<Shown>, String) {
    let mut tokens = format.split('%');
    let mut shown = vec![Shown::Text(tokens.next().unwrap_or_default().to_owned())];
    let mut complaints = String::new();
    for token in tokens.filter(|token| !token.is_empty()) {
        let (right, rest) = match token.strip_prefix('.') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        // Wider than any screen; keeps a slip of the finger from filling the memory.
        const SIZE_MAX: usize = 1 << 16;
        let size = if end == 0 { 0 } else { rest[..end].parse().unwrap_or(SIZE_MAX).min(SIZE_MAX) };
        let Some(letter) = rest[end..].chars().next() else { continue };
        match FIELDS.iter().find(|field| field.letter == letter) {
            Some(field) => {
                shown.push(Shown::Column { field, size, right });
                shown.push(Shown::Text(rest[end + letter.len_utf8()..].to_owned()));
            }
            None => complaints.push_str(&format!("sprio: error: Invalid job format specification: {letter}\n")),
        }
    }
    (shown, complaints)
}

/// The line of headings.
pub(super) fn header(format: &[Shown]) -> String {
    text(format, |field| field.header.to_owned())
}

/// The line of a row.
pub(super) fn line(format: &[Shown], row: &Row<'_>) -> String {
    text(format, |field| match row {
        Row::Weights(config) => (field.weight)(config),
        Row::Job(job) => (field.job)(job),
    })
}

fn text(format: &[Shown], of: impl Fn(&Field) -> String) -> String {
    let mut line = String::new();
    for part in format {
        match part {
            Shown::Text(text) => line.push_str(text),
            Shown::Column { field, size, right } => line.push_str(&fit(&of(field), *size, *right, Cut::End)),
        }
    }
    line.push('\n');
    line
}

/// The order that a letter of `-S` stands for.
pub(super) fn order(letter: char) -> Option<impl Fn(&Row<'_>, &Row<'_>) -> Ordering> {
    let field = FIELDS.iter().find(|field| field.letter == letter)?;
    Some(move |a: &Row<'_>, b: &Row<'_>| match (a, b) {
        (Row::Job(a), Row::Job(b)) => match field.number {
            Some(number) => number(&a.ledger).total_cmp(&number(&b.ledger)),
            None => (field.job)(a).cmp(&(field.job)(b)),
        },
        _ => Ordering::Equal,
    })
}
