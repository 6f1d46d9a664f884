//! On which nodes a job or step may run.

use muster_model::hostlist;

use super::affinity::keep;
use super::spec::Argument::{None as NoValue, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, Line, OptionSpec, Section};
use super::values::SubmitOptions;
use crate::grammar::numbers;

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("constraint", ALL, Required, |options, input| {
        options.placement.constraint = (!input.value.is_empty()).then(|| input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .short('C')
    .env(&[(Sbatch, "SBATCH_CONSTRAINT"), (Srun, "SLURM_CONSTRAINT"), (Salloc, "SALLOC_CONSTRAINT")])
    .sorted_as("contz")
    .help("list", "features that nodes must have")
    .section(Section::Constraints),
    OptionSpec::new("cluster-constraint", ALL, Required, keep)
        .sorted_as("ca")
        .help("[!]list", "features that clusters must have")
        .section(Section::Constraints)
        .not_yet(),
    OptionSpec::new("prefer", ALL, Required, keep)
        .help("list", "features that nodes should have")
        .section(Section::Constraints),
    OptionSpec::new("batch", Commands::SBATCH, Required, keep)
        .env(&[(Sbatch, "SBATCH_BATCH")])
        .help("list", "features of the node on which the script runs")
        .section(Section::Constraints),
    OptionSpec::new("nodelist", ALL, Required, |options, input| {
        let list =
            if input.value.contains('/') { node_file(options, input, input.value)? } else { input.value.to_owned() };
        options.placement.nodelist = (!list.is_empty()).then(|| list.clone());
        Ok(list)
    })
    .short('w')
    .help("hosts", "nodes that must be among those used")
    .section(Section::Constraints),
    OptionSpec::new("nodefile", ALL, Required, |options, input| {
        let list = node_file(options, input, input.value)?;
        options.placement.nodelist = Some(list.clone());
        Ok(list)
    })
    .short('F')
    .help("file", "a file with the nodes that must be among those used")
    .section(Section::Constraints),
    OptionSpec::new("exclude", ALL, Required, |options, input| {
        let list =
            if input.value.contains('/') { node_file(options, input, input.value)? } else { input.value.to_owned() };
        options.placement.exclude = (!list.is_empty()).then(|| list.clone());
        Ok(list)
    })
    .short('x')
    .help("hosts", "nodes that must not be used")
    .section(Section::Constraints),
    OptionSpec::flag("contiguous", ALL, |options| options.placement.contiguous = true)
        .sorted_as("contexta")
        .help("", "nodes that stand next to each other")
        .section(Section::Constraints),
    OptionSpec::new("reservation", ALL, Required, |options, input| {
        options.names.reservation = (!input.value.is_empty()).then(|| input.value.to_owned());
        Ok(input.value.to_owned())
    })
    .env(&[(Sbatch, "SBATCH_RESERVATION"), (Srun, "SLURM_RESERVATION"), (Salloc, "SALLOC_RESERVATION")])
    .help("name", "resources of this reservation")
    .section(Section::Constraints),
    OptionSpec::new("switches", ALL, Required, |options, input| {
        let (count, time) =
            input.value.split_once('@').map_or((input.value, None), |(count, time)| (count, Some(time)));
        let complaint = || Fault::error(1, format!("Invalid numeric value \"{count}\" for --switches."));
        numbers::positive(count).ok_or_else(complaint)?;
        if time.is_some_and(|time| muster_model::time::TimeLimit::parse(time).is_none()) {
            return Err(input.invalid());
        }
        keep(options, input)
    })
    .env(&[(Sbatch, "SBATCH_REQ_SWITCH"), (Srun, "SLURM_REQ_SWITCH"), (Salloc, "SALLOC_REQ_SWITCH")])
    .help("max[@time]", "at most this many switches, waiting at most so long for that"),
    OptionSpec::new("spread-job", ALL, NoValue, keep_flag)
        .env(&[(Sbatch, "SBATCH_SPREAD_JOB"), (Srun, "SLURM_SPREAD_JOB"), (Salloc, "SALLOC_SPREAD_JOB")])
        .help("", "over as many nodes as possible"),
    OptionSpec::new("use-min-nodes", ALL, NoValue, keep_flag)
        .env(&[(Sbatch, "SBATCH_USE_MIN_NODES"), (Srun, "SLURM_USE_MIN_NODES"), (Salloc, "SALLOC_USE_MIN_NODES")])
        .help("", "of a range of node counts rather the smaller"),
    OptionSpec::new("relative", Commands::SRUN, Required, |options, input| {
        let value = numbers::not_negative(input.value).ok_or_else(|| input.not_a_number())?;
        options.placement.relative = Some(value);
        Ok(value.to_string())
    })
    .short('r')
    .help("N", "start at node N of the allocation"),
];

/// Remembers that the option was given.
pub fn keep_flag(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    options.others.insert(input.name, String::new());
    Ok("set".to_owned())
}

/// The nodes named in a file, in host list form: names over any number of lines, `#` starts a comment.
fn node_file(_: &mut SubmitOptions, input: &Input<'_>, path: &str) -> Result<String, Fault> {
    let unusable =
        |line: String| Fault::error(255, format!("Invalid --{} node file", input.name)).after(Line::Error(line));
    let bytes = input
        .world
        .host
        .read(path)
        .map_err(|why| unusable(format!("slurm_allocate_resources error opening file {path}, {why}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut names = Vec::new();
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        // `name*3` stands for three tasks on that node; here only the node counts.
        for word in line.split([' ', '\t']).filter(|word| !word.is_empty()) {
            let name = word.split_once('*').map_or(word, |(name, _)| name);
            names.extend(hostlist::expand(name).map_err(|error| unusable(error.to_string()))?);
        }
    }
    if names.is_empty() {
        return Err(unusable("Hostlist is empty!".to_owned()));
    }
    Ok(hostlist::compress(names))
}
