//! The outcome for people: a column for each replay, a line for each figure.

use muster_replay::{Figures, Machine, Unit, Workload};

use super::Replay;

/// What was replayed, on what.
pub(super) fn head(source: &str, workload: &Workload, machine: &Machine) -> String {
    let given = match machine.unit() {
        Unit::Processors => "",
        Unit::WholeNodes { .. } => ", given as whole nodes",
    };
    let (jobs, nodes, cpus) = (workload.jobs.len(), machine.config().nodes.len(), machine.cpus());
    format!("{source}: {jobs} jobs on {cpus} processors of {nodes} nodes{given}\n\n")
}

/// One line of the table.
struct Line {
    name: &'static str,
    value: fn(&Figures) -> f64,
    show: fn(f64) -> String,
}

const LINES: &[Line] = &[
    Line { name: "mean wait, s", value: |figures| figures.wait_mean, show: amount },
    Line { name: "median wait, s", value: |figures| figures.wait_median, show: amount },
    Line { name: "95 % wait at most, s", value: |figures| figures.wait_p95, show: amount },
    Line { name: "longest wait, s", value: |figures| figures.wait_max, show: amount },
    Line { name: "mean slowdown", value: |figures| figures.slowdown_mean, show: amount },
    Line { name: "bounded slowdown", value: |figures| figures.bounded_slowdown_mean, show: amount },
    Line { name: "utilisation, %", value: |figures| figures.utilisation * 100.0, show: amount },
    Line { name: "makespan, h", value: |figures| figures.makespan / 3600.0, show: amount },
    Line { name: "fairness (Jain)", value: |figures| figures.fairness, show: |value| format!("{value:.4}") },
    Line { name: "never started", value: |figures| figures.not_started as f64, show: |value| format!("{value:.0}") },
];

/// The figures. Where the configuration was changed, a column says by how much they differ.
pub(super) fn figures(replays: &[Replay]) -> String {
    let mut columns: Vec<Vec<String>> = Vec::new();
    let mut before: Option<&Replay> = None;
    for replay in replays {
        let mut column = vec![replay.name.clone()];
        column.extend(LINES.iter().map(|line| (line.show)((line.value)(&replay.figures))));
        columns.push(column);
        if let Some(before) = before.filter(|_| replay.name == "changed") {
            columns.push(difference(&before.figures, &replay.figures));
        }
        before = Some(replay);
    }
    let mut names = vec![String::new()];
    names.extend(LINES.iter().map(|line| line.name.to_owned()));
    render(&names, &columns)
}

fn difference(before: &Figures, after: &Figures) -> Vec<String> {
    let mut column = vec!["change".to_owned()];
    column.extend(LINES.iter().map(|line| {
        let (before, after) = ((line.value)(before), (line.value)(after));
        if before == after {
            "=".to_owned()
        } else if before == 0.0 {
            "new".to_owned()
        } else {
            format!("{:+.1} %", (after - before) / before * 100.0)
        }
    }));
    column
}

/// The users who waited longest under the first replay, and how they fared under the others.
pub(super) fn users(replays: &[Replay], count: usize) -> String {
    let Some(first) = replays.first().filter(|_| count > 0) else {
        return String::new();
    };
    let chosen: Vec<u32> = first.figures.users.iter().take(count).map(|user| user.user).collect();
    let columns: Vec<Vec<String>> = replays
        .iter()
        .map(|replay| {
            let of_user = |user: &u32| replay.figures.users.iter().find(|figures| figures.user == *user);
            let longest = |user: &u32| of_user(user).map_or_else(|| "-".to_owned(), |user| amount(user.wait_max));
            std::iter::once(replay.name.clone()).chain(chosen.iter().map(longest)).collect()
        })
        .collect();
    let names: Vec<String> =
        std::iter::once("longest wait, s".to_owned()).chain(chosen.iter().map(|user| format!("user {user}"))).collect();
    format!("\n{}", render(&names, &columns))
}

/// Names on the left, columns on the right as narrow as they can be.
fn render(names: &[String], columns: &[Vec<String>]) -> String {
    let width = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let left = width(names);
    let mut text = String::new();
    for (row, name) in names.iter().enumerate() {
        let mut line = format!("{name:<left$}");
        for column in columns {
            let wide = width(column) + 2;
            line.push_str(&format!("{:>wide$}", column.get(row).map_or("", String::as_str)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Three or more digits that matter.
fn amount(value: f64) -> String {
    if value < 1000.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(name: &str, wait_mean: f64) -> Replay {
        Replay {
            name: name.to_owned(),
            schedule: Default::default(),
            figures: Figures { jobs: 2, wait_mean, utilisation: 0.5, fairness: 1.0, ..Figures::default() },
        }
    }

    #[test]
    fn five_policies_fit_on_eighty_columns() {
        let names = ["muster", "fcfs", "easy", "conservative", "sjf-easy"];
        let replays: Vec<Replay> = names.iter().map(|name| replay(name, 1_234_567.0)).collect();
        assert!(figures(&replays).lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn changes_stand_beside_what_they_change() {
        let table = figures(&[replay("muster", 200.0), replay("changed", 150.0)]);
        let lines: Vec<&str> = table.lines().take(3).collect();
        let expected = [
            "                      muster  changed   change",
            "mean wait, s          200.00   150.00  -25.0 %",
            "median wait, s          0.00     0.00        =",
        ];
        assert_eq!(lines, expected);
    }
}
