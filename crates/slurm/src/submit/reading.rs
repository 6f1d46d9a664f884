//! Options from all their places, in Slurm's order.

use super::surroundings::Surroundings;
use crate::directives::Directives;
use crate::foreign;
use crate::options::{self, Command, Fault, Line, Origin, SubmitOptions, check_talk, parse};

/// A complaint, with the notices that were collected before it.
#[derive(Debug)]
pub struct Complaint {
    /// What was noticed before.
    pub notices: Vec<Line>,
    /// The complaint.
    pub fault: Fault,
}

/// The options of a command line without a script (`salloc`, `srun`), and the words after them.
///
/// # Errors
/// The first complaint.
pub fn command_line<'a>(
    command: Command,
    arguments: &'a [String],
    around: &Surroundings<'_>,
) -> Result<(SubmitOptions, &'a [String]), Complaint> {
    let (found, used) = parse::split(command, arguments).map_err(|fault| Complaint { notices: Vec::new(), fault })?;
    let mut options = SubmitOptions::default();
    let applied = options::environment::apply(command, around.environment, &around.world, &mut options)
        .and_then(|()| parse::apply(command, &found, Origin::CommandLine, &around.world, &mut options))
        .and_then(|()| check_talk(&options))
        .and_then(|()| one_memory(&mut options));
    applied.map_err(|fault| Complaint { notices: options.notices.clone(), fault })?;
    Ok((options, arguments.get(used..).unwrap_or_default()))
}

/// The options of `sbatch` once its script is known: directives, environment, then `line`.
///
/// # Errors
/// The first complaint.
pub fn with_directives(
    directives: &Directives,
    line: &[parse::Found],
    around: &Surroundings<'_>,
) -> Result<SubmitOptions, Complaint> {
    let command = Command::Sbatch;
    let mut options = SubmitOptions { notices: directives.notices.clone(), ..SubmitOptions::default() };
    let applied = apply_directives(&directives.words, around, &mut options)
        .and_then(|()| apply_foreign(directives, line, around, &mut options))
        .and_then(|()| options::environment::apply(command, around.environment, &around.world, &mut options))
        .and_then(|()| parse::apply(command, line, Origin::CommandLine, &around.world, &mut options))
        .and_then(|()| check_talk(&options))
        .and_then(|()| one_memory(&mut options));
    applied.map_err(|fault| Complaint { notices: options.notices.clone(), fault })?;
    if directives.heterogeneous {
        let fault = Fault::error(1, "heterogeneous jobs are not supported yet");
        return Err(Complaint { notices: options.notices, fault });
    }
    Ok(options)
}

fn apply_directives(words: &[String], around: &Surroundings<'_>, options: &mut SubmitOptions) -> Result<(), Fault> {
    let (found, used) = parse::split(Command::Sbatch, words)?;
    parse::apply(Command::Sbatch, &found, Origin::Script, &around.world, options)?;
    match words.get(used) {
        Some(stray) => Err(Fault::error(255, format!("Invalid directive found in batch script: {stray}"))),
        None => Ok(()),
    }
}

/// The options of one `#SCRON` line of a table.
///
/// # Errors
/// The first complaint.
pub fn table_line(words: &[String], around: &Surroundings<'_>, options: &mut SubmitOptions) -> Result<(), Fault> {
    let (found, used) = parse::split(Command::Sbatch, words)?;
    parse::apply(Command::Sbatch, &found, Origin::Script, &around.world, options)?;
    match words.get(used) {
        Some(_) => Err(Fault { stdout: String::new(), lines: Vec::new(), code: 1 }),
        None => Ok(()),
    }
}

/// What is checked of the options of an entry of a table once all are known.
///
/// # Errors
/// The first complaint.
pub fn check_table(options: &mut SubmitOptions) -> Result<(), Fault> {
    check_talk(options)?;
    one_memory(options)
}

/// Lines of other batch systems are read after all of sbatch's own, unless the user does not want them.
fn apply_foreign(
    directives: &Directives,
    line: &[parse::Found],
    around: &Surroundings<'_>,
    options: &mut SubmitOptions,
) -> Result<(), Fault> {
    let unwanted = options.client.ignore_pbs
        || line.iter().any(|found| found.spec.name == "ignore-pbs")
        || around.variable("SBATCH_IGNORE_PBS").is_some();
    for (dialect, words) in directives.foreign.iter().filter(|_| !unwanted) {
        let translated = foreign::translate(*dialect, words);
        for unknown in &translated.unknown {
            let text = format!("warning: {} {unknown} has no counterpart and does nothing", dialect.magic());
            options.notices.push(Line::Info(text));
        }
        apply_directives(&translated.options, around, options)?;
    }
    Ok(())
}

/// Memory is asked for in one way only. What is written wins over the environment.
fn one_memory(options: &mut SubmitOptions) -> Result<(), Fault> {
    const WAYS: [&str; 3] = ["mem", "mem-per-cpu", "mem-per-gpu"];
    let written = WAYS.iter().filter(|way| options.has_written(way)).count();
    if written > 1 {
        return Err(Fault::fatal("--mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive."));
    }
    let kept =
        WAYS.iter().find(|way| options.has_written(way)).or_else(|| WAYS.iter().find(|way| options.has(way))).copied();
    for way in WAYS.into_iter().filter(|way| Some(*way) != kept) {
        options.given.remove(way);
        match way {
            "mem" => options.resources.mem = None,
            "mem-per-cpu" => options.resources.mem_per_cpu = None,
            _ => options.resources.mem_per_gpu = None,
        }
    }
    Ok(())
}

/// What there is to say before anything is done: the list of `-v`, notices, and options that do not act yet.
pub fn talk(command: Command, options: &SubmitOptions) -> String {
    let mut lines: Vec<Line> = Vec::new();
    if options.client.verbose > 0 {
        lines.extend(options::help::given(options).into_iter().map(Line::Info));
    }
    lines.extend(options.notices.iter().cloned());
    for name in &options.not_yet {
        lines.push(Line::Info(format!("warning: --{name} is accepted but not yet acted upon")));
    }
    // Quiet silences all but errors.
    let said = |line: &&Line| !options.client.quiet || matches!(line, Line::Error(_) | Line::Fatal(_));
    lines.iter().filter(said).map(|line| line.print(command.name()) + "\n").collect()
}
