//! The plan that `apply` shows before it asks.

use super::offers::Offer;
use super::table::{Column, render};
use crate::configuration::{CreationPolicy, SpotPolicy, Task};
use crate::values::{OffDuration, format_duration};

/// What a plan is made of.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    /// Project of the run.
    pub project: &'a str,
    /// User who applies.
    pub user: &'a str,
    /// The configuration file as named by the user.
    pub file: &'a str,
    /// The task as it is applied.
    pub task: &'a Task,
    /// Nodes on which it could be.
    pub offers: &'a [Offer],
    /// Most offers that are shown.
    pub offers_max: usize,
    /// Also with properties that have their default.
    pub verbose: bool,
    /// Columns of the terminal.
    pub width: Option<usize>,
}

/// The text of a plan: the properties, and the nodes that are large enough.
pub fn plan_text(plan: &PlanView<'_>) -> String {
    let columns = [Column::whole(""), Column::wrapped("")];
    let mut text = render(&columns, &properties(plan), false, plan.width);
    text.push('\n');
    text.push_str(&offers_text(plan));
    text
}

fn properties(plan: &PlanView<'_>) -> Vec<Vec<String>> {
    let profile = &plan.task.profile;
    let retry = profile.retry.as_ref().and_then(|retry| retry.terms()).map_or_else(
        || "off".to_owned(),
        |(events, duration)| {
            let events: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
            format!("{duration}[{}]", events.join(", "))
        },
    );
    let max_duration = match profile.max_duration {
        Some(OffDuration::Limited(duration)) => format_duration(duration.0),
        Some(OffDuration::Off) | None => "off".to_owned(),
    };
    let creation = profile.creation_policy.unwrap_or(CreationPolicy::ReuseOrCreate);
    let rows = [
        ("Project", Some(plan.project.to_owned())),
        ("User", Some(plan.user.to_owned())),
        ("Configuration", Some(plan.file.to_owned())),
        ("Type", Some(format!("task (nodes={})", plan.task.nodes_total()))),
        ("Resources", Some(plan.task.base.resources.to_string())),
        ("Spot policy", Some(profile.spot_policy.unwrap_or(SpotPolicy::OnDemand).to_string())),
        ("Max price", Some(profile.max_price.map_or_else(|| "off".to_owned(), |price| format!("${price}")))),
        ("Retry policy", Some(retry)),
        ("Creation policy", (plan.verbose || creation != CreationPolicy::ReuseOrCreate).then(|| creation.to_string())),
        // Own nodes are never given back for being idle; dstack prints the same for such instances.
        ("Idle duration", Some("-".to_owned())),
        ("Max duration", Some(max_duration)),
        ("Priority", (plan.verbose || plan.task.base.priority.is_some()).then(|| priority(plan.task))),
        (
            "Reservation",
            (plan.verbose || profile.reservation.is_some())
                .then(|| profile.reservation.clone().unwrap_or_else(|| "no".to_owned())),
        ),
    ];
    rows.into_iter().filter_map(|(key, value)| value.map(|value| vec![key.to_owned(), value])).collect()
}

fn priority(task: &Task) -> String {
    task.base.priority.unwrap_or(0).to_string()
}

fn offers_text(plan: &PlanView<'_>) -> String {
    let (nodes, needed) =
        (plan.offers.iter().map(|offer| offer.count).sum::<usize>(), plan.task.nodes_total() as usize);
    if nodes == 0 {
        return "No node is large enough for this run, or none may be used for it.\n".to_owned();
    }
    let columns = [
        Column::whole("#"),
        Column::wrapped("BACKEND"),
        Column::wrapped("RESOURCES"),
        Column::wrapped("INSTANCE TYPE"),
        Column::wrapped("PRICE"),
        Column::whole(""),
    ];
    let shown = plan.offers.len().min(plan.offers_max.max(1));
    let row = |(index, offer): (usize, &Offer)| {
        let backend = format!("muster ({})", offer.partition);
        let availability = offer.availability.as_str().to_owned();
        let number = (index + 1).to_string();
        vec![number, backend, offer.resources.clone(), offer.nodes.clone(), "$0".to_owned(), availability]
    };
    let mut rows: Vec<Vec<String>> = plan.offers.iter().take(shown).enumerate().map(row).collect();
    if shown < plan.offers.len() {
        rows.push(vec![String::new(), "...".to_owned()]);
    }
    let mut text = render(&columns, &rows, true, plan.width);
    if shown < plan.offers.len() {
        text.push_str(&format!(" Shown {shown} of {} offers, $0 max\n", plan.offers.len()));
    }
    if nodes < needed {
        text.push_str(&format!(
            "The run needs {needed} nodes; only {nodes} are large enough and may be used for it.\n"
        ));
    }
    text
}
