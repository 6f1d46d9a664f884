//! `scontrol update StepId=`: another time limit for a running step, without its number for all steps of a job.

use muster_model::request::{Command, LimitOfStep};
use muster_model::time::{Span, TimeLimit};

use super::super::ids;
use super::Action;
use super::changes::{Change, Changes, What};
use super::update::{Setting, no_changes, not_a_setting, not_supported};

/// What the words of `update` mean, of which one names a step.
pub(super) fn parse(words: &[String]) -> Action {
    let mut target = None;
    let mut limit = None;
    for word in words {
        let Some(setting) = Setting::read(word) else { return not_a_setting(word) };
        match () {
            () if setting.operator.is_some() => return not_supported(word),
            () if setting.is("StepId", 4) => match ids::target(setting.value) {
                Some(named) => target = Some(named),
                None => {
                    return Action::complain(&format!("Invalid StepID parameter: {word}\nRequest aborted\n"));
                }
            },
            () if setting.is("TimeLimit", 5) => match read_limit(setting.value) {
                Some(read) => limit = Some(read),
                None => return Action::complain("scontrol: error: Invalid TimeLimit value\n"),
            },
            () => return not_supported(word),
        }
    }
    let (Some(target), Some(limit)) = (target, limit) else { return no_changes() };
    let change = Change { what: What::Other, command: Ok(Command::UpdateStep { target, limit }) };
    Action::Change(Changes { list: vec![change], trailer: None })
}

/// `5`, `1:30:00`, `UNLIMITED`; with a sign in front, so much more or less than now. Whole minutes, as in Slurm.
fn read_limit(text: &str) -> Option<LimitOfStep> {
    let sign = text.chars().next().filter(|first| matches!(first, '+' | '-'));
    let limit = TimeLimit::parse(text.strip_prefix(['+', '-']).unwrap_or(text))?;
    Some(match (sign, limit.span()) {
        (None, _) => LimitOfStep::Is(limit),
        (Some('-'), Some(span)) => LimitOfStep::Longer(Span(-span.0)),
        (Some(_), Some(span)) => LimitOfStep::Longer(span),
        (Some(_), None) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_scontrol_says() {
        let said = |words: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            match parse(&words) {
                Action::Print(outcome) => outcome.stderr,
                Action::Change(changes) => format!("{:?}", changes.list[0].command),
                _ => String::new(),
            }
        };
        assert_eq!(said("StepId=42.0"), "No changes specified\n");
        assert_eq!(said("StepId=42.0 Foo=5"), "Update of this parameter is not supported: Foo=5\nRequest aborted\n");
        assert_eq!(
            said("StepId=42.0 TimeLimit+=5"),
            "Update of this parameter is not supported: TimeLimit+=5\nRequest aborted\n"
        );
        assert_eq!(said("StepId=42.0 TimeLimit=abc"), "scontrol: error: Invalid TimeLimit value\n");
        assert_eq!(said("StepId=abc TimeLimit=5"), "Invalid StepID parameter: StepId=abc\nRequest aborted\n");
    }

    #[test]
    fn limits_are_set_or_moved() {
        let minutes = Span::from_minutes;
        assert_eq!(read_limit("5"), Some(LimitOfStep::Is(TimeLimit::Limited(minutes(5)))));
        assert_eq!(read_limit("unlimited"), Some(LimitOfStep::Is(TimeLimit::Unlimited)));
        assert_eq!(read_limit("0:05"), Some(LimitOfStep::Is(TimeLimit::Limited(minutes(1)))));
        assert_eq!(read_limit("+5"), Some(LimitOfStep::Longer(minutes(5))));
        assert_eq!(read_limit("-5"), Some(LimitOfStep::Longer(minutes(-5))));
        assert!(read_limit("+unlimited").is_none() && read_limit("").is_none());
    }
}
