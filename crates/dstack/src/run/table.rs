//! Tables: columns side by side without lines, made narrower where the terminal is.

use muster_model::hostlist;
use muster_model::job::Job;
use muster_model::resources::{GresShare, NodeShare};
use muster_model::time::Timestamp;

use super::status::{error_message, status_message};
use super::times::time_ago;
use crate::values::Memory;

/// How `ps` prints.
#[derive(Debug, Clone, Copy)]
pub struct TableOptions {
    /// The present time, for `SUBMITTED`.
    pub now: Timestamp,
    /// Columns of the terminal; `None` where there is none, and lines may be as long as they are.
    pub width: Option<usize>,
    /// With resources, nodes and errors.
    pub verbose: bool,
}

/// The table of runs, in the given order, with its heading.
pub fn runs_table(jobs: &[&Job], options: TableOptions) -> String {
    let mut columns = vec![Column::whole("NAME"), Column::wrapped("BACKEND")];
    if options.verbose {
        columns.extend([Column::wrapped("RESOURCES"), Column::whole("INSTANCE TYPE")]);
    } else {
        columns.push(Column::wrapped("GPU"));
    }
    columns.extend([Column::wrapped("PRICE"), Column::wrapped("STATUS"), Column::whole("SUBMITTED")]);
    if options.verbose {
        columns.push(Column::wrapped("ERROR"));
    }
    let rows: Vec<Vec<String>> = jobs.iter().flat_map(|job| run_rows(job, options)).collect();
    render(&columns, &rows, true, options.width)
}

/// One row for the run, and one for each node where it has several.
fn run_rows(job: &Job, options: TableOptions) -> Vec<Vec<String>> {
    let shares = job.allocation.as_ref().map_or(&[][..], |allocation| &allocation.shares);
    let name = job.spec.run.as_ref().map_or(&*job.spec.name, |run| &*run.run_name);
    let names = job.node_list.as_deref().and_then(|list| hostlist::expand(list).ok()).unwrap_or_default();
    let several = shares.len() > 1;
    let row = |name: String, share: Option<&NodeShare>, node: &str| {
        let mut row = vec![name];
        match share {
            Some(_) => row.push(format!("muster ({})", job.partition)),
            None => row.push(String::new()),
        }
        if options.verbose {
            row.extend([share.map_or_else(|| "-".to_owned(), held), node.to_owned()]);
        } else {
            row.push(share.and_then(|share| gpus_held(&share.gres)).unwrap_or_else(|| "-".to_owned()));
        }
        row.push(if share.is_some() { "$0" } else { "-" }.to_owned());
        row.extend([status_message(job), time_ago(job.submit_time, options.now)]);
        if options.verbose {
            row.push(error_message(job).unwrap_or_default().to_owned());
        }
        row
    };
    let first = shares.first().filter(|_| !several);
    let mut rows = vec![row(name.to_owned(), first, names.first().filter(|_| !several).map_or("", String::as_str))];
    if several {
        for (rank, share) in shares.iter().enumerate() {
            let node = names.get(rank).map_or("", String::as_str);
            rows.push(row(format!("   job={rank}"), Some(share), node));
        }
    }
    rows
}

/// What a job holds on a node: `cpu=2 mem=4GB gpu=a100:1`.
fn held(share: &NodeShare) -> String {
    let mut parts = vec![format!("cpu={}", share.cpus.len())];
    if share.memory.0 > 0 {
        parts.push(format!("mem={}", Memory::from_megabytes(share.memory).rounded()));
    }
    parts.extend(gpus_held(&share.gres));
    parts.join(" ")
}

fn gpus_held(gres: &[GresShare]) -> Option<String> {
    let gpus: Vec<&GresShare> = gres.iter().filter(|gres| &*gres.name == "gpu").collect();
    let count: u32 = gpus.iter().map(|gres| gres.units.len()).sum();
    let first = gpus.first().filter(|_| count > 0)?;
    Some(match &first.kind {
        Some(kind) => format!("gpu={kind}:{count}"),
        None => format!("gpu={count}"),
    })
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    heading: &'static str,
    wraps: bool,
}

impl Column {
    /// A column whose cells may go over several lines.
    pub(super) const fn wrapped(heading: &'static str) -> Column {
        Column { heading, wraps: true }
    }

    /// A column whose cells stay in one line, and are cut where there is no room at all.
    pub(super) const fn whole(heading: &'static str) -> Column {
        Column { heading, wraps: false }
    }
}

/// No column is made narrower than this.
const WIDTH_MIN: usize = 4;

/// The lines of a table; each cell has a blank on both sides, as in dstack's tables.
pub(super) fn render(columns: &[Column], rows: &[Vec<String>], heading: bool, width: Option<usize>) -> String {
    let widths = widths(columns, rows, heading, width);
    let mut text = String::new();
    if heading {
        let cells: Vec<String> = columns.iter().map(|column| column.heading.to_owned()).collect();
        push_row(&mut text, &cells, columns, &widths);
    }
    for row in rows {
        push_row(&mut text, row, columns, &widths);
    }
    text
}

/// The width of each column: its longest cell, less where the terminal is too narrow for all.
fn widths(columns: &[Column], rows: &[Vec<String>], heading: bool, width: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
            cells.chain(heading.then(|| length(column.heading))).max().unwrap_or(0)
        })
        .collect();
    let Some(available) = width else { return widths };
    let available = available.saturating_sub(2 * columns.len());
    let longest_words: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(String::as_str);
            let words = cells.chain(heading.then_some(column.heading)).flat_map(|cell| cell.split(' '));
            words.map(length).max().unwrap_or(0)
        })
        .collect();
    // First cells are broken at blanks, then those that stay in one line are cut, then words are broken.
    let stages: [&dyn Fn(usize) -> usize; 3] = [
        &|index| {
            if columns[index].wraps { longest_words[index].max(WIDTH_MIN) } else { usize::MAX }
        },
        &|index| {
            if columns[index].wraps { usize::MAX } else { WIDTH_MIN.max(longest_words[index] / 2) }
        },
        &|_| WIDTH_MIN,
    ];
    for least in stages {
        while widths.iter().sum::<usize>() > available {
            let narrowable = (0..widths.len()).filter(|index| widths[*index] > least(*index));
            let Some(index) = narrowable.max_by_key(|index| widths[*index]) else {
                break;
            };
            widths[index] -= 1;
        }
    }
    widths
}

fn push_row(text: &mut String, cells: &[String], columns: &[Column], widths: &[usize]) {
    let cells: Vec<Vec<String>> = cells
        .iter()
        .zip(columns.iter().zip(widths))
        .map(|(cell, (column, width))| if column.wraps { wrap(cell, *width) } else { vec![cut(cell, *width)] })
        .collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    for line in 0..height {
        let mut row = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let part = cell.get(line).map_or("", String::as_str);
            row.push_str(&format!(" {part}{} ", " ".repeat(width.saturating_sub(length(part)))));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks a cell at blanks, and words longer than the column where they end.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let last = lines.last().map_or(0, |line| length(line));
        if last > 0 && last + 1 + word.len() <= width {
            if let Some(line) = lines.last_mut() {
                line.push(' ');
                line.extend(word);
            }
            continue;
        }
        if last > 0 {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            if let Some(line) = lines.last_mut() {
                line.extend(word);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            line.extend(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use muster_model::state::{ExitStatus, JobState};

    use super::*;
    use crate::run::samples::{ended, job, running};

    fn shown(jobs: &[&Job], width: Option<usize>, verbose: bool) -> String {
        runs_table(jobs, TableOptions { now: Timestamp::from_seconds(1200), width, verbose })
    }

    #[test]
    fn runs_are_listed() {
        let waiting = job("wait");
        let run = running(job("train"), 1, 2);
        let failed = ended(running(job("quick-otter-12"), 1, 2), JobState::Failed, ExitStatus::exited(1));
        assert_eq!(
            shown(&[&waiting, &run, &failed], None, false),
            " NAME            BACKEND         GPU         PRICE  STATUS      SUBMITTED
 wait                            -           -      submitted   3 mins ago
 train           muster (debug)  gpu=a100:1  $0     running     3 mins ago
 quick-otter-12  muster (debug)  gpu=a100:1  $0     exited (1)  3 mins ago
"
        );
    }

    #[test]
    fn nodes_have_rows_of_their_own() {
        let run = running(job("train"), 2, 2);
        assert_eq!(
            shown(&[&run], None, true),
            " NAME      BACKEND         RESOURCES                 INSTANCE TYPE  PRICE  STATUS   SUBMITTED   ERROR
 train                     -                                        -      running  3 mins ago
    job=0  muster (debug)  cpu=2 mem=2GB gpu=a100:1  n0             $0     running  3 mins ago
    job=1  muster (debug)  cpu=2 mem=2GB gpu=a100:1  n1             $0     running  3 mins ago
"
        );
    }

    #[test]
    fn narrow_terminals_wrap_and_cut() {
        let run = running(job("a-very-long-name-of-a-run"), 1, 2);
        assert_eq!(
            shown(&[&run], Some(70), false),
            " NAME                 BACKEND  GPU         PRICE  STATUS   SUBMITTED
 a-very-long-name-o…  muster   gpu=a100:1  $0     running  3 mins ago
                      (debug)
"
        );
        assert!(shown(&[&run], Some(80), false).contains("a-very-long-name-of-a-run"));
        for width in 0..80 {
            let table = shown(&[&run], Some(width), false);
            assert!(table.lines().all(|line| line.chars().count() <= width.max(36)), "{width}: {table}");
        }
        assert_eq!(wrap("exited (137)", 7), ["exited", "(137)"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(cut("provisioning", 6), "provi…");
    }
}
