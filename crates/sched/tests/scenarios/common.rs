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
