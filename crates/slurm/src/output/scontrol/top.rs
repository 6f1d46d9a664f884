//! `scontrol top JOBS`: jobs of a user before the user's others.

use muster_model::ids::JobId;
use muster_model::request::{Command, RefusalCode};

use super::super::ids;
use super::Action;
use super::changes::{Change, Changes, What};
use super::show::is;

/// What the words after `top` mean: one list of jobs, the first first.
pub(super) fn parse(arguments: &[String]) -> Action {
    let argument = match arguments {
        [] => return Action::complain("too few arguments for keyword:top\n"),
        [argument] => argument,
        _ => return Action::complain("too many arguments for keyword:top\n"),
    };
    let list =
        argument.split_once('=').filter(|(key, _)| is(key, "jobid", 3)).map_or(argument.as_str(), |(_, list)| list);
    let number = |text: &str| {
        let target = ids::target(text)?;
        (target.tasks.is_none() && target.step.is_none()).then_some(target.job_id)
    };
    let jobs: Option<Vec<JobId>> = ids::split(list).into_iter().map(number).collect();
    let command = jobs.map(Command::Top).ok_or_else(|| RefusalCode::InvalidJobId.text().to_owned());
    Action::Change(Changes { list: vec![Change { what: What::Job(list.to_owned()), command }], trailer: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let found = match parse(&words) {
            Action::Print(outcome) => outcome.stderr,
            Action::Change(changes) => match &changes.list[0].command {
                Ok(Command::Top(jobs)) => jobs.iter().map(JobId::to_string).collect::<Vec<_>>().join(" "),
                other => changes.outcome(&[other.as_ref().err().cloned()]).stderr,
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn lists_keep_their_order() {
        check("7,3", "7 3");
        check("JobId=7", "7");
        check("abc", "Invalid job id specified for job abc\n");
        check("7_1", "Invalid job id specified for job 7_1\n");
        check("", "too few arguments for keyword:top\n");
        check("1 2", "too many arguments for keyword:top\n");
    }
}
