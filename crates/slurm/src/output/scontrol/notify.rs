//! `scontrol notify JOB MESSAGE`: something said to a job.

use muster_model::ids::JobId;
use muster_model::request::Command;

use super::Action;
use super::changes::{Change, Changes, What};

/// What the words after `notify` mean: the job, and the words of the message.
pub(super) fn parse(arguments: &[String]) -> Action {
    let [job, message @ ..] = arguments else { return too_few() };
    if message.is_empty() {
        return too_few();
    }
    let Some(job_id) = leading_number(job) else {
        // As Slurm prints it, without an end of line between.
        return Action::complain(&format!("Invalid job_id {job}job notify failure: No error\n"));
    };
    let command = Ok(Command::Notify { job_id, message: message.join(" ") });
    let what = What::Named("job notify failure".to_owned());
    Action::Change(Changes { list: vec![Change { what, command }], trailer: None })
}

fn too_few() -> Action {
    Action::complain("too few arguments for keyword:notify\n")
}

/// The number that the word begins with; what follows (a task, a step) is passed over, as Slurm does. No job has one that is too
/// large for it.
fn leading_number(word: &str) -> Option<JobId> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let digits = word.get(..end).filter(|digits| !digits.is_empty())?;
    let number = digits.parse().unwrap_or(u32::MAX);
    (number != 0).then_some(JobId(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &str) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let found = match parse(&words) {
            Action::Print(outcome) => format!("{}{}", outcome.code, outcome.stderr),
            Action::Change(changes) => match &changes.list[0].command {
                Ok(Command::Notify { job_id, message }) => {
                    let refused = changes.outcome(&[Some("Invalid user id".to_owned())]);
                    assert_eq!((refused.stderr.as_str(), refused.code), ("job notify failure: Invalid user id\n", 1));
                    format!("{job_id} <{message}>")
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{words:?}");
    }

    #[test]
    fn the_job_is_the_number_in_front_and_the_rest_the_message() {
        check(&["7", "hello"], "7 <hello>");
        check(&["7", "hello", "two  words"], "7 <hello two  words>");
        check(&["7", ""], "7 <>");
        check(&["7_1", "hi"], "7 <hi>");
        check(&["7.batch", "hi"], "7 <hi>");
        check(&["99999999999", "hi"], "4294967295 <hi>");
        check(&["foo", "hi"], "1Invalid job_id foojob notify failure: No error\n");
        check(&["0", "hi"], "1Invalid job_id 0job notify failure: No error\n");
        check(&["7"], "1too few arguments for keyword:notify\n");
        check(&[], "1too few arguments for keyword:notify\n");
    }
}
