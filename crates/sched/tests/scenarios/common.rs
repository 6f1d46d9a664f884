//! Text in, text out.

use muster_model::planning::PlanView;
use muster_sched::{Budget, Planner};
use muster_testkit::{scenario, show};

/// Reads a scenario.
pub fn view(text: &str) -> PlanView {
    scenario::parse(text).unwrap_or_else(|error| panic!("{error:?}"))
}

pub fn plan_with(text: &str, budget: &Budget) -> String {
    let view = view(text);
    show::plan(&view, &Planner::new().plan(&view, budget))
}

/// Plans `text` and compares, without regard to indentation.
#[track_caller]
pub fn check(text: &str, expected: &str) {
    check_with(text, &Budget::default(), expected);
}

#[track_caller]
pub fn check_with(text: &str, budget: &Budget, expected: &str) {
    let trim = |text: &str| -> String {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
    };
    let (actual, expected) = (plan_with(text, budget), trim(expected));
    assert!(actual == expected, "scenario:\n{text}\nexpected:\n{expected}\nactual:\n{actual}");
}

/// The scenario with as few lines and words as there can be so that it still fails. Lines that cannot be understood without
/// others count as such that do not fail.
pub fn least(text: &str, fails: &dyn Fn(&str) -> bool) -> String {
    let fails = |text: &str| scenario::parse(text).is_ok() && fails(text);
    let mut lines: Vec<Vec<String>> = text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    let join = |lines: &[Vec<String>]| lines.iter().map(|words| words.join(" ") + "\n").collect::<String>();
    loop {
        let before = join(&lines);
        let mut at = 0;
        while at < lines.len() {
            let line = lines.remove(at);
            if !fails(&join(&lines)) {
                lines.insert(at, line);
                at += 1;
            }
        }
        for at in 0..lines.len() {
            // The first two words say what it is about.
            let mut word = 2;
            while word < lines[at].len() {
                let removed = lines[at].remove(word);
                if !fails(&join(&lines)) {
                    lines[at].insert(word, removed);
                    word += 1;
                }
            }
        }
        if join(&lines) == before {
            return before;
        }
    }
}
