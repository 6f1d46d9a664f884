//! `sstat`: what running steps use now. The nodes tell it the command line crate straight; here is what is asked for, and the
//! table.

mod format;
mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{JobId, StepId};
use muster_model::measure::{Measured, UnitMeasure};
use muster_model::request::{JobTarget, Query};
use muster_model::state::JobState;
use muster_model::step::Step;

use super::context::{Answers, Outcome};
use super::measured::Figures;
use super::{ids, units};
use options::Options;

/// An `sstat` that is ready to ask.
#[derive(Debug)]
pub struct Sstat {
    options: Options,
}

/// One thing to tell about, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A running step.
    Step(Arc<Step>),
    /// What is said where nothing runs.
    Complaint(String),
}

/// What came of asking the nodes of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// What each node told, by its name; `None` of one that did not answer.
    Nodes(BTreeMap<String, Option<Vec<UnitMeasure>>>),
    /// The controller refused it, for this reason.
    Refused(String),
}

/// What real Slurm says where a node does not answer.
const NO_ANSWER: &str = "Communication connection failure";

/// One line of the table.
struct Row<'a> {
    step: &'a Step,
    figures: Figures<'a>,
    nodes: &'a str,
    pids: Vec<u32>,
    /// How bytes are printed.
    memory: &'a dyn Fn(u64) -> String,
}

impl Sstat {
    /// Reads the command line (without the program's name).
    ///
    /// # Errors
    /// What to print instead.
    pub fn new(args: &[String]) -> Result<Sstat, Outcome> {
        Ok(Sstat { options: options::read(args)? })
    }

    /// What to ask the controller.
    pub fn queries(&self) -> Vec<Query> {
        let targets = &self.options.targets;
        let job_ids: BTreeSet<JobId> = targets.iter().map(|target| target.job_id).collect();
        if targets.iter().any(|target| target.tasks.is_some() || target.component.is_some()) {
            // Their jobs have other numbers.
            let ids = Some(job_ids.into_iter().collect());
            return vec![Query::Jobs { ids, uids: None, active_only: true }, Query::Steps { job_id: None }];
        }
        job_ids.into_iter().map(|job_id| Query::Steps { job_id: Some(job_id) }).collect()
    }

    /// The steps that are meant, in the order in which they are told of.
    pub fn items(&self, answers: &Answers) -> Vec<Item> {
        self.options.targets.iter().flat_map(|target| self.items_of(target, answers)).collect()
    }

    fn items_of(&self, target: &JobTarget, answers: &Answers) -> Vec<Item> {
        let job_ids: Vec<JobId> = match target.tasks.is_some() || target.component.is_some() {
            true => answers.jobs.iter().filter(|job| ids::matches(target, job)).map(|job| job.id).collect(),
            false => vec![target.job_id],
        };
        let is_meant = |step: &&Arc<Step>| job_ids.contains(&step.job_id) && step.state == JobState::Running;
        let mut steps: Vec<&Arc<Step>> = answers.steps.iter().filter(is_meant).collect();
        // The script first, then by number.
        steps.sort_by_key(|step| (step.job_id, matches!(step.step_id, StepId::Number(_)), step.step_id));
        let job_id = target.job_id;
        let found: Vec<&Arc<Step>> = match target.step {
            Some(wanted) => steps.into_iter().filter(|step| step.step_id == wanted).collect(),
            None if self.options.all_steps => steps,
            None => {
                let numbered = steps.iter().find(|step| matches!(step.step_id, StepId::Number(_))).copied();
                numbered.or(steps.first().copied()).into_iter().collect()
            }
        };
        if !found.is_empty() {
            return found.into_iter().map(|step| Item::Step(step.clone())).collect();
        }
        vec![Item::Complaint(match target.step {
            Some(step) => format!("sstat: error: StepId={job_id}.{step} not found running.\n"),
            None => format!("sstat: error: No steps running for job {job_id}\n"),
        })]
    }

    /// The table.
    pub fn render(&self, items: &[Item], reported: &BTreeMap<JobId, Reported>) -> Outcome {
        let options = &self.options;
        let mut outcome = Outcome::default();
        if options.header {
            outcome.stdout.push_str(&options.format.header(&options.style));
        }
        for item in items {
            match item {
                Item::Complaint(text) => outcome.stderr.push_str(text),
                Item::Step(step) => self.render_step(step, reported.get(&step.job_id), &mut outcome),
            }
        }
        outcome
    }

    fn render_step(&self, step: &Step, reported: Option<&Reported>, outcome: &mut Outcome) {
        let names = hostlist::expand(&step.node_list).unwrap_or_default();
        let (mut whole, mut parts, mut problem) = (Measured::default(), Vec::new(), None);
        for (position, name) in (0..).zip(&names) {
            let told = match reported {
                Some(Reported::Nodes(nodes)) => nodes.get(name).and_then(Option::as_ref).ok_or(NO_ANSWER),
                Some(Reported::Refused(reason)) => Err(reason.as_str()),
                None => Err(NO_ANSWER),
            };
            match told {
                Ok(units) => {
                    // What is not there any more has just ended.
                    if let Some(unit) = units.iter().find(|unit| unit.step == step.step_id) {
                        whole.add_node(position, &unit.measured);
                        parts.push((name.as_str(), unit.measured, unit.pids.as_slice()));
                    }
                }
                Err(reason) => {
                    problem = Some(reason);
                    outcome.stderr.push_str(&format!(
                        "sstat: error: slurm_job_step_stat: there was an error with the request to {name} rc = {reason}\n"
                    ));
                }
            }
        }
        let id = format!("{}.{}", step.job_id, step.step_id);
        match (parts.is_empty(), problem) {
            (false, _) => outcome.stdout.push_str(&self.lines(step, whole, &parts)),
            (true, None) => outcome.stderr.push_str(&format!("sstat: error: StepId={id} not found running.\n")),
            (true, Some(reason)) => outcome
                .stderr
                .push_str(&format!("sstat: error: problem getting step_layout for StepId={id}: {reason}\n")),
        }
    }

    fn lines(&self, step: &Step, whole: Measured, parts: &[(&str, Measured, &[u32])]) -> String {
        let memory = |bytes: u64| if self.options.convert { units::bytes(bytes) } else { bytes.to_string() };
        let line = |measured: Measured, nodes: &str, pids: Vec<u32>| {
            let figures = format::figures(measured, nodes, &memory);
            let row = Row { step, figures, nodes, pids, memory: &memory };
            self.options.format.row(&row, &self.options.style)
        };
        if self.options.by_node {
            return parts.iter().map(|(name, measured, pids)| line(*measured, name, pids.to_vec())).collect();
        }
        let pids = parts.iter().flat_map(|(_, _, pids)| pids.iter().copied()).collect();
        line(whole, &step.node_list, pids)
    }
}

#[cfg(test)]
mod tests;
