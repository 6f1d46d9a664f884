//! `scontrol explain JOB...`: why jobs wait and when they start. Slurm has no such keyword; `scontrol --explain show job N`
//! tells the same in lines of its own behind those of Slurm, which stay as they are.

use muster_model::request::{JobTarget, Query, RefusalCode};

use super::super::context::{Answers, Context, Outcome};
use super::super::{explanation, ids};
use super::{Action, Show};

/// The words after `explain`.
pub(super) fn parse(arguments: &[String]) -> Action {
    let mut jobs = Vec::new();
    for text in arguments.iter().flat_map(|argument| ids::split(argument)) {
        let target = ids::target(text).filter(|target| target.step.is_none());
        match target {
            Some(target) => jobs.push((target, text.to_owned())),
            None => return Action::complain(&format!("{} for job {text}\n", RefusalCode::InvalidJobId.text())),
        }
    }
    if jobs.is_empty() {
        return Action::complain("too few arguments for keyword:explain\n");
    }
    Action::Show(Show::Explanations(jobs))
}

/// The question about one job; about the first of several tasks of an array.
pub(super) fn query(target: &JobTarget) -> Query {
    let task = target.tasks.as_ref().and_then(|tasks| tasks.iter().next());
    task.map_or(Query::Explain(target.job_id), |task| Query::ExplainTask(target.job_id, task))
}

/// One explanation after the other, with a blank line between them.
pub(super) fn print(jobs: &[(JobTarget, String)], answers: &Answers, context: &Context) -> Outcome {
    let texts: Vec<String> = answers.explanations.iter().map(|found| explanation::text(found, &context.zone)).collect();
    let complaints = answers.refusals.iter().map(|refusal| match &*refusal.detail {
        "" => format!("scontrol: error: {refusal}\n"),
        detail => format!("scontrol: error: {detail}\n"),
    });
    let stderr: String = complaints.collect();
    Outcome { stdout: texts.join("\n"), stderr, code: u8::from(texts.len() < jobs.len()) }
}

#[cfg(test)]
mod tests {
    use muster_model::explain::{Cause, Explanation};
    use muster_model::ids::JobId;
    use muster_model::request::{Refusal, Reply};
    use muster_model::state::Reason;
    use muster_model::time::Timestamp;

    use super::*;
    use crate::output::context::Environment;
    use crate::output::scontrol::{parse as parse_line, start};

    fn explained(id: u32) -> Reply {
        let explanation = serde_json::json!({
            "job_id": id, "time": 0, "reason": Reason::Licenses, "causes": [
                Cause::Licence { name: "ansys".into(), wanted: 3, free: 1, total: 4 },
            ],
            "expected_start": 3_600_000, "expected_nodes": null, "is_forecast": true, "ahead_count": 0, "ahead": [],
            "blockers": [], "alternatives": [],
        });
        Reply::Explained(Box::new(serde_json::from_value::<Explanation>(explanation).expect("an explanation")))
    }

    /// What a line asks, and what it prints when those questions are answered so.
    #[track_caller]
    fn check(line: &str, queries: &[Query], replies: Vec<Reply>, expected: &str, code: u8) {
        let environment = Environment::new();
        let caller = muster_model::ids::Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let context = Context::new(Timestamp(0), jiff::tz::TimeZone::UTC, &environment, caller);
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let start = start(&words, &environment).expect("a good line");
        let outcome = match parse_line(&start.words, start.flags, &environment, &context) {
            Action::Show(show) => {
                assert_eq!(show.queries(start.flags), queries, "{line}");
                show.render(&Answers::gather(replies), &context, start.flags)
            }
            Action::Print(outcome) => outcome,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!((outcome.stdout + &outcome.stderr, outcome.code), (expected.to_owned(), code), "{line}");
    }

    #[test]
    fn each_job_is_explained() {
        let text = "Job 7 waits (Licenses).\n  - asks for 3 of licence ansys; 1 of 4 are left to it\n\
                    Expected to start in 1 h 00 min, about 1970-01-01T01:00:00.\n";
        let asked = [Query::Explain(JobId(7)), Query::ExplainTask(JobId(8), 2)];
        let both = format!("{text}\n{}", text.replace("Job 7", "Job 8"));
        check("explain 7,8_2", &asked, vec![explained(7), explained(8)], &both, 0);
        let refusal = Refusal::new(RefusalCode::JobRunning, "job 8 does not wait: it is RUNNING");
        let some = format!("{text}scontrol: error: job 8 does not wait: it is RUNNING\n");
        check("explain 7 8_2", &asked, vec![explained(7), Reply::Refused(refusal)], &some, 1);
        check("explain", &[], Vec::new(), "too few arguments for keyword:explain\n", 1);
        check("explain x", &[], Vec::new(), "Invalid job id specified for job x\n", 1);
    }

    #[test]
    fn a_record_gets_lines_of_its_own_when_asked() {
        let job = crate::output::tests::scenes::job(7, "wrap", "07:00:00", |_, _| {});
        let jobs = || Query::Jobs { ids: Some(vec![JobId(7)]), uids: None, active_only: false };
        let reply = Reply::Jobs(vec![job]);
        let print = |line: &str, replies: Vec<Reply>| {
            let environment = Environment::new();
            let caller = muster_model::ids::Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
            let context = Context::new(Timestamp(0), jiff::tz::TimeZone::UTC, &environment, caller);
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let start = start(&words, &environment).expect("a good line");
            let Action::Show(show) = parse_line(&start.words, start.flags, &environment, &context) else {
                panic!("{line} shows nothing");
            };
            assert_eq!(show.queries(start.flags)[0], jobs());
            show.render(&Answers::gather(replies), &context, start.flags).stdout
        };
        let plain = print("show job 7", vec![reply.clone()]);
        let told = print("--explain show job 7", vec![reply.clone(), explained(7)]);
        let lines: Vec<&str> = told.lines().filter(|line| line.trim_start().starts_with("Explain=")).collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert_eq!(lines[0], "   Explain=Job 7 waits (Licenses).");
        let rest: Vec<&str> = told.lines().filter(|line| !line.trim_start().starts_with("Explain=")).collect();
        assert_eq!(rest, plain.lines().collect::<Vec<_>>());
    }
}
