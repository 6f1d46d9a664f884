//! Options from all their places, in Slurm's order.

use std::collections::BTreeMap;

use muster_model::job::ExecutionContext;

use super::surroundings::Surroundings;
use crate::directives::Directives;
use crate::foreign;
use crate::grammar::rlimits;
use crate::options::{self, Command, Fault, Line, Origin, SubmitOptions, check_talk, parse};

/// A complaint, with the notices that were collected before it.
#[derive(Debug)]
pub struct Complaint {
    /// What was noticed before.
    pub notices: Vec<Line>,
    /// The complaint.
    pub fault: Fault,
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
        .and_then(|()| one_way_each(&mut options));
    applied.map_err(|fault| Complaint { notices: options.notices.clone(), fault })?;
    Ok(options)
}

/// The options of each component of a heterogeneous job for `sbatch`: those of the script and those of the command line, as
/// far as there are any. A component that the command line does not reach gets its last ones; and what carries on from the
/// last component of the command line holds for the first already, for real `sbatch` reads all of it before the script.
///
/// # Errors
/// The first complaint.
pub fn components(
    directives: &Directives,
    lines: &[Vec<parse::Found>],
    around: &Surroundings<'_>,
) -> Result<Vec<SubmitOptions>, Complaint> {
    let command = Command::Sbatch;
    let mut options = SubmitOptions::default();
    let complain = |options: &SubmitOptions, fault| Complaint { notices: options.notices.clone(), fault };
    for line in lines {
        options.next_component(std::iter::empty());
        parse::apply(command, line, Origin::CommandLine, &around.world, &mut options)
            .map_err(|fault| complain(&options, fault))?;
    }
    let scripts: Vec<&Vec<String>> = std::iter::once(&directives.words).chain(&directives.components).collect();
    let nothing = Vec::new();
    let count = scripts.len().max(lines.len());
    let mut all = Vec::with_capacity(count);
    for at in 0..count {
        let words = scripts.get(at).copied().unwrap_or(&nothing);
        let line = lines.get(at).or(lines.last()).map_or(&[][..], Vec::as_slice);
        let in_script = parse::split(command, words).map_err(|fault| complain(&options, fault))?.0;
        options.next_component(in_script.iter().chain(line).map(|found| found.spec.name));
        options.client.verbose = 0;
        if at == 0 {
            options.notices.clone_from(&directives.notices);
        }
        let applied = apply_directives(words, around, &mut options)
            .and_then(|()| options::environment::apply(command, around.environment, &around.world, &mut options))
            .and_then(|()| parse::apply(command, line, Origin::CommandLine, &around.world, &mut options))
            .and_then(|()| check_talk(&options))
            .and_then(|()| one_way_each(&mut options));
        applied.map_err(|fault| complain(&options, fault))?;
        all.push(options.clone());
    }
    Ok(all)
}

/// The options of each component on a command line without a script (`salloc`, `srun`), read one after the other, each with
/// the environment that `environments` has for it.
///
/// # Errors
/// The first complaint.
pub fn line_components(
    command: Command,
    lines: &[&[parse::Found]],
    environments: &[BTreeMap<String, String>],
    around: &Surroundings<'_>,
) -> Result<Vec<SubmitOptions>, Complaint> {
    let mut options = SubmitOptions::default();
    let mut all = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            options.next_component(line.iter().map(|found| found.spec.name));
            options.client.verbose = 0;
        }
        let environment = environments.get(at).unwrap_or(around.environment);
        let applied = options::environment::apply(command, environment, &around.world, &mut options)
            .and_then(|()| parse::apply(command, line, Origin::CommandLine, &around.world, &mut options))
            .and_then(|()| check_talk(&options))
            .and_then(|()| one_way_each(&mut options));
        applied.map_err(|fault| Complaint { notices: options.notices.clone(), fault })?;
        all.push(options.clone());
    }
    Ok(all)
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
    one_way_each(options)
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
        || around.variable("SBATCH_IGNORE_PBS").is_some_and(options::environment::enables);
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

/// What can be asked for in several ways is asked for in one.
fn one_way_each(options: &mut SubmitOptions) -> Result<(), Fault> {
    one_memory(options)?;
    hint_alone(options);
    one_kept(options)
}

/// A hint gives way to whoever says in detail what it would stand for.
fn hint_alone(options: &mut SubmitOptions) {
    let is_detail = |name: &&str| match *name {
        "cpu-bind" => options.given.get("cpu-bind").is_some_and(|given| {
            !["verbose", "v", "quiet", "q"].iter().any(|word| given.shown.eq_ignore_ascii_case(word))
        }),
        name => options.has(name),
    };
    const DETAILS: [&str; 4] = ["ntasks-per-core", "threads-per-core", "extra-node-info", "cpu-bind"];
    if !options.has("hint") || !DETAILS.iter().any(is_detail) {
        return;
    }
    options.given.remove("hint");
    options.others.remove("hint");
    options.placement.hint = None;
    if options.client.verbose > 0 {
        options.notices.push(Line::Info(HINT_IGNORED.to_owned()));
    }
}

/// As real commands tell it, with `-v` only.
const HINT_IGNORED: &str = "Following options are mutually exclusive with --hint: --ntasks-per-core, --threads-per-core, -B and \
     --cpu-bind (other then --cpu-bind=verbose). Ignoring --hint.";

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

/// Cores or threads are kept for the system, not both. What is written wins over the environment.
fn one_kept(options: &mut SubmitOptions) -> Result<(), Fault> {
    const WAYS: [&str; 2] = ["core-spec", "thread-spec"];
    let has_both = WAYS.iter().all(|way| options.has(way));
    let written = WAYS.iter().filter(|way| options.has_written(way)).count();
    if has_both && written != 1 {
        // Then that one of them is not allowed here is no news.
        options.notices.retain(|line| !matches!(line, Line::Error(text) if text.starts_with("Ignoring -")));
    }
    match written {
        2 => Err(Fault::fatal("-S/--core-spec and --thred-spec options are mutually exclusive")),
        0 if has_both => Err(Fault::fatal(
            "Both --core-spec and --thread-spec set using environment variables. Those options are mutually exclusive.",
        )),
        _ => {
            if has_both && options.has_written("thread-spec") {
                options.given.remove("core-spec");
                options.others.remove("core-spec");
                options.resources.cores_reserved = None;
            }
            Ok(())
        }
    }
}

/// What `-vv` tells of what goes along with a batch job.
pub fn propagation(context: &ExecutionContext) -> String {
    let limits = context.limits.iter().filter_map(|(number, value)| {
        let (name, _) = rlimits::KNOWN.iter().find(|(_, known)| known == number)?;
        Some(format!("RLIMIT_{name}={value}"))
    });
    let all = limits.chain([format!("UMASK={:04o}", context.umask)]);
    all.map(|what| Line::Info(format!("debug:  propagating {what}")).print("sbatch") + "\n").collect()
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
