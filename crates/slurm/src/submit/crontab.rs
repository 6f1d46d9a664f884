//! A table of `scrontab`: its lines become jobs.
//!
//! `#SCRON` lines have options of `sbatch` for the next entry. Lines `NAME=value` set variables that are put into the
//! commands behind them. The environment of the jobs is that of a login.

use muster_model::cron::CronEntry;
use muster_model::ids::Name;
use muster_model::job::{ExecutionContext, JobKind};
use muster_model::request::CronJob;

use super::job_spec::{self, Subject};
use super::resolve::{self, Problem};
use super::surroundings::Surroundings;
use super::{environment, reading, sbatch};
use crate::grammar::cron::{self, CronLine};
use crate::options::{Command, Fault, Line, SubmitOptions, container_request};

/// A table that cannot be made jobs of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTable {
    /// The line that is wrong, from 0.
    pub line: u32,
    /// What to say on standard error.
    pub stderr: String,
}

/// The jobs of a table, and what there is to say about them on standard error.
///
/// # Errors
/// The first line that is wrong.
pub fn read(text: &str, around: &Surroundings<'_>) -> Result<(Vec<CronJob>, String), BadTable> {
    let mut reader = Reader { around, variables: Vec::new(), entry: Entry::default(), talk: String::new() };
    let mut jobs = Vec::new();
    for (number, line) in (0_u32..).zip(text.lines()) {
        let bad = |fault: Fault| BadTable { line: number, stderr: fault.stderr("scrontab") };
        jobs.extend(reader.line(number, line).map_err(bad)?);
    }
    Ok((jobs, reader.talk))
}

/// `text` with a mark before some of its lines (first and last, from 0).
pub fn mark(text: &str, lines: &[(u32, u32)], mark: &str) -> String {
    let is_marked = |number: u32| lines.iter().any(|(first, last)| (*first..=*last).contains(&number));
    let marked = |(number, line): (u32, &str)| format!("{}{line}\n", if is_marked(number) { mark } else { "" });
    (0_u32..).zip(text.lines()).map(marked).collect()
}

struct Reader<'a, 'w> {
    around: &'a Surroundings<'w>,
    variables: Vec<(String, String)>,
    entry: Entry,
    talk: String,
}

/// What has been read of an entry before its times.
#[derive(Default)]
struct Entry {
    first: Option<u32>,
    options: SubmitOptions,
    lines: String,
}

fn error(text: impl Into<String>) -> Line {
    Line::Error(text.into())
}

impl Reader<'_, '_> {
    fn line(&mut self, number: u32, line: &str) -> Result<Option<CronJob>, Fault> {
        let text = line.trim_start_matches([' ', '\t']);
        if let Some(words) = text.strip_prefix("#SCRON") {
            self.entry.first.get_or_insert(number);
            self.entry.lines.push_str(&format!("{line}\n"));
            let words: Vec<String> =
                words.split([' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
            return reading::table_line(&words, self.around, &mut self.entry.options).map(|()| None).map_err(
                |mut fault| {
                    let first = words.first().map_or("", String::as_str);
                    fault.lines.retain(|line| !matches!(line, Line::Plain(text) if text.starts_with("Try ")));
                    fault.lines.push(error(format!("Invalid option found in #SCRON line: {first}")));
                    fault
                },
            );
        }
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        if let Some((name, value)) = variable(text) {
            self.variables.retain(|(other, _)| *other != name);
            self.variables.push((name, value));
            return Ok(None);
        }
        let line = cron::parse(text).map_err(|complaints| Fault {
            stdout: String::new(),
            lines: complaints.into_iter().map(error).collect(),
            code: 1,
        })?;
        let entry = std::mem::take(&mut self.entry);
        self.job(number, entry, line).map(Some)
    }

    fn job(&mut self, number: u32, mut entry: Entry, line: CronLine) -> Result<CronJob, Fault> {
        let command = self.expand(&line.command);
        let options = &mut entry.options;
        options.process.get_user_env = Some(String::new());
        let around = self.around;
        let name = command.split(' ').next().unwrap_or_default();
        let subject = Subject {
            kind: JobKind::Batch,
            default_name: name,
            command: Some(&command),
            arguments: &[],
            submit_line: "scrontab".to_owned(),
        };
        let refused = |problem: Problem| match problem {
            Problem::Fault(fault) => fault,
            Problem::Refusal(refusal) => Fault::error(1, refusal.to_string()),
        };
        reading::check_table(options)?;
        let counts = resolve::counts(Command::Sbatch, options).map_err(refused)?;
        let mut spec = job_spec::build(options, &counts, &subject, around).map_err(refused)?;
        if let Some(container) = container_request(options, around.variable("PYXIS_CONTAINER_WRITABLE"))? {
            spec.rare.get_or_insert_default().container = Some(container);
        }
        let context = ExecutionContext {
            environment: environment::of_batch(options, &spec.name, around)?,
            umask: around.umask,
            limits: sbatch::propagated(options, around),
        };
        self.talk.push_str(&reading::talk(Command::Sbatch, options).replace("sbatch: ", "scrontab: "));
        let line_first = entry.first.unwrap_or(number);
        spec.cron = Some(Box::new(CronEntry { schedule: line.schedule, line_first, line_last: number }));
        spec.command = Some(Name::from(command.as_str()));
        let script = format!(
            "#!/bin/sh\n# This job was submitted through scrontab\n{}# crontab time request was: '{}'\n{command}\n",
            entry.lines, line.written
        );
        let context = serde_json::to_string(&context).map_err(|problem| Fault::error(1, problem.to_string()))?;
        Ok(CronJob { spec, script, context })
    }

    /// The command with the variables of the table. What is no variable of it is left to the shell.
    fn expand(&self, command: &str) -> String {
        let mut text = String::new();
        let mut rest = command;
        while let Some((before, after)) = rest.split_once('$') {
            let end = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
            let value = self.variables.iter().find(|(name, _)| *name == after[..end]);
            text.push_str(before);
            match value {
                Some((_, value)) => text.push_str(value),
                None => text.push_str(&format!("${}", &after[..end])),
            }
            rest = &after[end..];
        }
        text + rest
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `NAME = value`, the value perhaps in quotes of one kind.
fn variable(line: &str) -> Option<(String, String)> {
    let end = line.find(|c: char| !is_word(c))?;
    let (name, rest) = line.split_at(end);
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?.trim_start_matches([' ', '\t']);
    if value.is_empty() {
        return None;
    }
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''));
    let value = match quote {
        None => value,
        Some(quote) => {
            let (inside, behind) = value[1..].split_once(quote)?;
            if !behind.trim().is_empty() {
                return None;
            }
            inside
        }
    };
    Some((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::tests::at_home;

    /// Times, name, limit and lines of each job; or what is wrong.
    fn show(text: &str) -> String {
        match at_home(|around| read(text, around)) {
            Err(bad) => format!("line {}: {}", bad.line, bad.stderr),
            Ok((jobs, talk)) => {
                let line = |job: &CronJob| {
                    let entry = job.spec.cron.as_deref().expect("an entry");
                    let limit = job.spec.time_limit.map(|limit| format!(" {limit}")).unwrap_or_default();
                    let (first, last) = (entry.line_first, entry.line_last);
                    format!("{} [{}]{limit} {first}-{last}\n", entry.schedule, job.spec.name)
                };
                jobs.iter().map(line).collect::<String>() + &talk
            }
        }
    }

    #[test]
    fn lines_become_jobs() {
        let table = "# mine\n\nDIR=/home/user1\n#SCRON -p high\n#SCRON --time=1:00\n@hourly $DIR/date.job $HOME\n\n\
                     NAME = 'two words'\n0 5 * * * echo $NAME $DIRX\n";
        assert_eq!(show(table), "0 * * * * [/home/user1/date.job] 00:01:00 3-5\n0 5 * * * [echo] 8-8\n");
        let (jobs, _) = at_home(|around| read(table, around)).expect("a good table");
        let script = "#!/bin/sh\n# This job was submitted through scrontab\n#SCRON -p high\n#SCRON --time=1:00\n\
                      # crontab time request was: '@hourly'\n/home/user1/date.job $HOME\n";
        assert_eq!(jobs[0].script, script);
        assert!(jobs[1].script.ends_with("'0 5 * * *'\necho two words $DIRX\n"), "{}", jobs[1].script);
        assert_eq!(jobs[0].spec.partitions, ["high".into()]);
        assert!(jobs[0].context.contains("SLURM_GET_USER_ENV=1"), "{}", jobs[0].context);
    }

    #[test]
    fn the_first_wrong_line_is_told() {
        let check = |table: &str, expected: &str| assert_eq!(show(table), expected, "{table}");
        check("0 5 * * * x\n0 5 * * *\n", "line 1: scrontab: error: something is broken\n");
        check("*/1 * * * * x\n", "line 0: scrontab: error: bad step value\nscrontab: error: something is broken\n");
        check(
            "#SCRON --bogus\n@daily x\n",
            "line 0: scrontab: unrecognized option '--bogus'\nscrontab: error: Invalid option found in #SCRON line: --bogus\n",
        );
        check("#SCRON stray\n@daily x\n", "line 0: scrontab: error: Invalid option found in #SCRON line: stray\n");
    }

    #[test]
    fn lines_are_marked() {
        assert_eq!(mark("a\nb\nc\nd\n", &[(1, 2)], "#BAD: "), "a\n#BAD: b\n#BAD: c\nd\n");
        assert_eq!(mark("a\nb", &[], "#BAD: "), "a\nb\n");
    }

    proptest::proptest! {
        #[test]
        fn no_table_panics(text in "(#SCRON|[*@0-9a-z=$'\" /\n-]|\\PC){0,40}") {
            let _ = show(&text);
        }
    }
}
