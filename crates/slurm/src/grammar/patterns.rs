//! File name patterns: `slurm-%j.out`, `%x/%A_%4a.log`, `%j_%t`.
//!
//! One function for every place: the client expands nothing, the node expands all.

use std::fmt::Write;

use muster_model::ids::StepId;

/// What a pattern may name. A number or name that the place does not have is left out of the context, and its
/// conversion then prints what real Slurm prints there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternContext<'a> {
    /// `%j`, the job (of an array: the task's own number).
    pub job_id: u32,
    /// `%A`, the array; the job itself where there is none.
    pub array_job_id: Option<u32>,
    /// `%a`, the index within the array.
    pub array_task: Option<u32>,
    /// `%s` and the second half of `%J`; `None` for a batch script.
    pub step: Option<StepId>,
    /// `%N`, the name of the node; cut at the first dot.
    pub node_name: &'a str,
    /// `%n`, the number of the node within the job or step.
    pub node_index: u32,
    /// `%t`, the rank of the task.
    pub rank: u32,
    /// `%u`, the name of the user.
    pub user: &'a str,
    /// `%x`, the name of the job.
    pub job_name: &'a str,
    /// `%r`, how often the job was restarted.
    pub restart: u32,
}

/// Most digits that a width can ask for; more are cut to this.
const WIDTH_MAX: usize = 10;

/// The value that Slurm prints for an array index where there is no array.
const NO_INDEX: u32 = 4_294_967_294;

/// Puts the values of `context` into `pattern`. A backslash anywhere switches conversions off, and each takes the
/// character after it as it is; `%%` is a percent sign; a width pads numbers with zeros (`%4j`). What is no
/// conversion stays as it is, but a percent sign before digits goes.
pub fn expand(pattern: &str, context: &PatternContext<'_>) -> String {
    if pattern.contains('\\') {
        return unescape(pattern);
    }
    let mut text = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match convert(&rest[1..], context) {
            Some((value, used)) => {
                text.push_str(&value);
                rest = &rest[1 + used..];
            }
            None => {
                if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                    text.push('%');
                }
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

fn unescape(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}

/// The value of the conversion at the front of `text` and how many bytes it took.
fn convert(text: &str, context: &PatternContext<'_>) -> Option<(String, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let width = text[..digits].parse::<usize>().unwrap_or(if digits == 0 { 0 } else { WIDTH_MAX }).min(WIDTH_MAX);
    let letter = text[digits..].chars().next()?;
    let number = |value: u32| {
        let mut text = String::new();
        let written = write!(text, "{value:0width$}");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        text
    };
    let value = match letter {
        '%' if digits == 0 => "%".to_owned(),
        'A' => number(context.array_job_id.unwrap_or(context.job_id)),
        'a' => number(context.array_task.unwrap_or(NO_INDEX)),
        'b' => number(context.array_task.unwrap_or(NO_INDEX) % 10),
        'j' => number(context.job_id),
        'J' => match context.step {
            Some(step) => format!("{}.{step}", number(context.job_id)),
            None => number(context.job_id),
        },
        's' => match context.step {
            Some(StepId::Number(step)) => number(step),
            Some(step) => step.to_string(),
            None => "batch".to_owned(),
        },
        'n' => number(context.node_index),
        't' => number(context.rank),
        'r' => number(context.restart),
        'N' => context.node_name.split('.').next().unwrap_or_default().to_owned(),
        'u' => context.user.to_owned(),
        'x' => context.job_name.to_owned(),
        _ => return None,
    };
    Some((value, digits + 1))
}

/// Whether different tasks of a step get different files: the pattern names the rank, the node or the node's number.
pub fn is_per_task(pattern: &str) -> bool {
    conversions(pattern).any(|letter| letter == 't')
}

/// As [`is_per_task`] for files that the tasks of one node share.
pub fn is_per_node(pattern: &str) -> bool {
    conversions(pattern).any(|letter| matches!(letter, 'n' | 'N'))
}

fn conversions(pattern: &str) -> impl Iterator<Item = char> + '_ {
    let mut rest = if pattern.contains('\\') { "" } else { pattern };
    std::iter::from_fn(move || {
        let at = rest.find('%')?;
        let after = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
        let letter = after.chars().next()?;
        rest = &after[letter.len_utf8()..];
        Some(letter)
    })
}

/// Default pattern of a batch script's output.
pub fn batch_default(is_array: bool) -> &'static str {
    if is_array { "slurm-%A_%a.out" } else { "slurm-%j.out" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: PatternContext<'static> = PatternContext {
        job_id: 569,
        array_job_id: None,
        array_task: None,
        step: None,
        node_name: "n1.cluster",
        node_index: 0,
        rank: 0,
        user: "alice",
        job_name: "nm",
        restart: 0,
    };

    #[test]
    fn batch_patterns() {
        let check = |pattern: &str, expected: &str| assert_eq!(expand(pattern, &BATCH), expected, "{pattern:?}");
        check("p_%j", "p_569");
        check("%x-%j.out", "nm-569.out");
        check("%A", "569");
        check("%a", "4294967294");
        check("%u %N %n %t", "alice n1 0 0");
        check("%5j", "00569");
        check("%12j", "0000000569");
        check("%%j", "%j");
        check("%%", "%");
        check("100%", "100%");
        check("%q", "%q");
        check("%-5j", "%-5j");
        check("%5", "5");
        check("%3%", "3%");
        check("%5x", "nm");
        check("%4s", "batch");
        check("%99j", "0000000569");
        check("\\%j", "%j");
        check("%\\j", "%j");
        check("\\\\%j", "\\%j");
        check("x\\", "x");
        check("é%jé", "é569é");
    }

    #[test]
    fn arrays_and_steps() {
        let task = PatternContext { job_id: 100, array_job_id: Some(97), array_task: Some(12), ..BATCH };
        assert_eq!(expand("%A_%4a.%j.%b", &task), "97_0012.100.2");
        let step = PatternContext { step: Some(StepId::Number(3)), rank: 2, ..BATCH };
        assert_eq!(expand("%J_%3t_%s", &step), "569.3_002_3");
        assert!(is_per_task("%j_%3t") && !is_per_task("%%t") && !is_per_task("%j"));
        assert!(is_per_node("%N") && !is_per_node("\\%N"));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in "(%|\\\\|\\PC|[0-9]{1,30}|[AabjJsntrNux]){0,12}") {
            let _ = (expand(&pattern, &BATCH), is_per_task(&pattern), is_per_node(&pattern));
        }

        #[test]
        fn no_host_list_panics(list in "(\\[|\\]|[0-9]{1,25}|,|-| |\\PC){0,16}") {
            use muster_model::hostlist;
            if let Ok(names) = hostlist::expand(&list) {
                let _ = (hostlist::compress(&names), hostlist::compress_sorted(&names));
            }
            let _ = (hostlist::relist(&list), hostlist::relist_sorted(&list).map_err(|error| error.range_complaint()));
        }
    }
}
