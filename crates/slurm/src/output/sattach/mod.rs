//! `sattach`: what its command line asks for, and what it says. Talking with the nodes is the business of the command line crate.

use muster_model::hostlist;
use muster_model::ids::{Identity, JobId, StepId};
use muster_model::state::JobState;
use muster_model::step::Step;

use super::VERSION_LINE;
use super::context::{Answers, Outcome};
use super::getopt::{self, Item, Opt, Value, opt};
use crate::grammar::numbers;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Input,
    Output,
    Error,
    Label,
    Layout,
    Pty,
    Quiet,
    Verbose,
    Version,
    Help,
    Usage,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Input, '\0', "input-filter", Value::Needed),
    opt(Key::Output, '\0', "output-filter", Value::Needed),
    opt(Key::Error, '\0', "error-filter", Value::Needed),
    opt(Key::Label, 'l', "label", Value::None),
    opt(Key::Layout, '\0', "layout", Value::None),
    opt(Key::Pty, '\0', "pty", Value::None),
    opt(Key::Quiet, 'Q', "quiet", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Help, 'h', "help", Value::None),
    opt(Key::Usage, 'u', "usage", Value::None),
];

const USAGE: &str = "Usage: sattach [options] <jobid.stepid>\n";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sattach {
    /// The job.
    pub job_id: JobId,
    /// The step.
    pub step: StepId,
    /// `--input-filter`: who gets input; all without it.
    pub input: Option<u32>,
    /// `--output-filter`: whose standard output is shown; that of all without it.
    pub output: Option<u32>,
    /// `--error-filter`: whose standard error is shown; that of all without it.
    pub error: Option<u32>,
    /// `--label`.
    pub label: bool,
    /// `--layout`: only show where the tasks are.
    pub layout: bool,
    /// `--pty`.
    pub pty: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u32,
}

impl Sattach {
    /// Reads `args` (without the program's name).
    ///
    /// # Errors
    /// What to print instead.
    pub fn new(args: &[String]) -> Result<Sattach, Outcome> {
        let parsed = getopt::parse(args, OPTIONS);
        let mut wanted = Sattach {
            job_id: JobId(0),
            step: StepId::Batch,
            input: None,
            output: None,
            error: None,
            label: false,
            layout: false,
            pty: false,
            quiet: false,
            verbose: 0,
        };
        for item in parsed.items {
            match item {
                Item::Error(text) => {
                    let text = format!("sattach: {text}\nTry \"sattach --help\" for more information\n");
                    return Err(Outcome::failure(text, 1));
                }
                Item::Option(key, value) => wanted.take(key, &value.unwrap_or_default())?,
            }
        }
        let [name] = parsed.rest.as_slice() else {
            return Err(misused("too many parameters"));
        };
        (wanted.job_id, wanted.step) =
            job_and_step(name).ok_or_else(|| misused("Failed to parse stepid from command line options"))?;
        Ok(wanted)
    }

    fn take(&mut self, key: Key, value: &str) -> Result<(), Outcome> {
        let rank = |name: &str| {
            let text = format!("sattach: error: Invalid numeric value \"{value}\" for {name}.\n");
            numbers::not_negative(value).map(Some).ok_or_else(|| Outcome::failure(text, 1))
        };
        match key {
            Key::Input => self.input = rank("input-filter")?,
            Key::Output => self.output = rank("output-filter")?,
            Key::Error => self.error = rank("error-filter")?,
            Key::Label => self.label = true,
            Key::Layout => self.layout = true,
            Key::Pty => self.pty = true,
            Key::Quiet => self.quiet = true,
            Key::Verbose => self.verbose += 1,
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
            Key::Help => return Err(Outcome::success(include_str!("help.txt"))),
            Key::Usage => return Err(Outcome::success(USAGE)),
        }
        Ok(())
    }

    /// The step among those that the controller told of.
    ///
    /// # Errors
    /// What to say where it does not run.
    pub fn find(&self, answers: &Answers) -> Result<Step, Outcome> {
        let found = answers.steps.iter().find(|step| (step.job_id, step.step_id) == (self.job_id, self.step));
        let running = found.filter(|step| matches!(step.state, JobState::Running | JobState::Suspended));
        running.map(|step| (**step).clone()).ok_or_else(|| self.no_step("Invalid job id specified"))
    }

    /// What is said where the step cannot be had, for this reason.
    pub fn no_step(&self, reason: &str) -> Outcome {
        Outcome::failure(format!("sattach: error: Could not get job step info: {reason}\n"), 1)
    }

    /// What `-vv` tells before anything is done.
    pub fn dump(&self, caller: &Identity) -> String {
        let line = "--------------- ---------------------";
        let step = match self.step {
            StepId::Number(number) => number.to_string(),
            other => other.to_string(),
        };
        let lines = [
            "defined options for program `sattach'".to_owned(),
            line.to_owned(),
            format!("job ID         : {}", self.job_id),
            format!("step ID        : {step}"),
            format!("user           : `{}'", caller.user),
            format!("uid            : {}", caller.uid),
            format!("gid            : {}", caller.gid),
            format!("verbose        : {}", self.verbose),
        ];
        lines.iter().map(|line| format!("sattach: {line}\n")).collect()
    }
}

/// What `--layout` prints.
pub fn layout(step: &Step) -> String {
    let names = hostlist::expand(&step.node_list).unwrap_or_default();
    let mut text = format!(
        "Job step layout:\n\t{} tasks, {} nodes ({})\n\n",
        step.tasks,
        step.layout.len().max(1),
        step.node_list
    );
    let only = [0];
    for (position, name) in names.iter().enumerate() {
        // A script is on one node, as task 0.
        let ranks: &[u32] = match step.layout.get(position) {
            Some(node) if !node.ranks.is_empty() => &node.ranks,
            _ => &only,
        };
        text.push_str(&format!("\tNode {position} ({name}), {} task(s): ", ranks.len()));
        ranks.iter().for_each(|rank| text.push_str(&format!("{rank} ")));
        text.push('\n');
    }
    text
}

fn misused(text: &str) -> Outcome {
    Outcome { stdout: USAGE.to_owned(), stderr: format!("sattach: error: {text}\n"), code: 1 }
}

/// `12.0`, `12+1.0`, `12.batch`; what follows the step is passed over, as in Slurm.
fn job_and_step(text: &str) -> Option<(JobId, StepId)> {
    let (job, step) = text.split_once('.')?;
    let (leader, offset) = job.split_once('+').unwrap_or((job, "0"));
    let number = |text: &str| -> Option<u32> {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let job_id = leader.parse::<u32>().ok()?.checked_add(offset.parse().ok()?)?;
    let step = match step.parse() {
        Ok(step) => step,
        Err(_) => StepId::Number(number(step)?),
    };
    Some((JobId(job_id), step))
}

#[cfg(test)]
mod tests {
    use super::super::tests::scenes;
    use super::*;

    fn read(line: &str) -> Result<Sattach, Outcome> {
        Sattach::new(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_real_sattach_refuses() {
        let check = |line: &str, stdout: &str, stderr: &str| {
            let outcome = read(line).unwrap_err();
            assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str(), outcome.code), (stdout, stderr, 1), "{line}");
        };
        check("", USAGE, "sattach: error: too many parameters\n");
        check("12.0 12.1", USAGE, "sattach: error: too many parameters\n");
        for bad in ["12", "abc", "abc.0", "12.x", "12_3.0"] {
            check(bad, USAGE, "sattach: error: Failed to parse stepid from command line options\n");
        }
        check("--input-filter=x 1.0", "", "sattach: error: Invalid numeric value \"x\" for input-filter.\n");
        let unknown = "sattach: unrecognized option '--foo'\nTry \"sattach --help\" for more information\n";
        check("-l --foo 3.1", "", unknown);
    }

    #[test]
    fn steps_and_filters_are_read() {
        let wanted = read("-lQv --output-filter=1 --error-filter 2 12+1.3").unwrap();
        assert_eq!((wanted.job_id, wanted.step), (JobId(13), StepId::Number(3)));
        assert_eq!((wanted.output, wanted.error, wanted.input), (Some(1), Some(2), None));
        assert!(wanted.label && wanted.quiet && wanted.verbose == 1 && !wanted.layout);
        assert_eq!(read("12.0.1").unwrap().step, StepId::Number(0));
        assert_eq!(read("12.batch").unwrap().step, StepId::Batch);
        assert_eq!(read("-u").unwrap_err(), Outcome::success(USAGE));
    }

    #[test]
    fn layouts_are_shown_as_slurm_does() {
        let shares = vec![scenes::share(1, &[0], &[]), scenes::share(2, &[0], &[])];
        let mut step = scenes::step(1, StepId::Number(0), "loop", "08:00:00", 3, shares);
        step.layout[0].ranks = vec![0, 1];
        step.layout[1].ranks = vec![2];
        let expected = "Job step layout:\n\t3 tasks, 2 nodes (n[1-2])\n\n\tNode 0 (n1), 2 task(s): 0 1 \n\tNode 1 (n2), 1 task(s): 2 \n";
        assert_eq!(layout(&step), expected);
    }
}
