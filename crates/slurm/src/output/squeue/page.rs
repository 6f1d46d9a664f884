//! What `squeue -v` tells before its table: the options in force, in the form of real squeue.

use super::options::Options;

/// The page, up to the line of the date.
pub(super) fn page(options: &Options) -> String {
    let text = |word: &str| options.said.get(word).map_or("(null)", String::as_str).to_owned();
    let flag = |word: &str| options.said.contains_key(word).to_string();
    let number = |value: bool| u8::from(value).to_string();
    let lists_all = options.states.is_some() || options.jobs.is_some();
    let rows = [
        ("all", if lists_all { "true".to_owned() } else { flag("all") }),
        ("array", options.array.to_string()),
        ("federation", flag("federation")),
        ("format", text("format")),
        ("iterate", options.iterate.unwrap_or(0).to_string()),
        ("job_flag", number(options.jobs.is_some())),
        ("jobs", text("jobs")),
        ("licenses", text("licenses")),
        ("local", flag("local")),
        ("names", text("names")),
        ("nodes", options.nodes.clone().unwrap_or_default()),
        ("partitions", text("partitions")),
        ("priority", options.each_partition.to_string()),
        ("reservation", text("reservation")),
        ("sibling", flag("sibling")),
        ("sort", text("sort")),
        ("start_flag", number(options.start)),
        ("states", text("states")),
        ("step_flag", number(options.steps.is_some())),
        ("steps", text("steps")),
        ("users", text("users")),
        ("verbose", options.verbose.to_string()),
    ];
    const RULE: &str = "-----------------------------\n";
    let rows: String = rows.iter().map(|(word, value)| format!("{word:<11} = {value}\n")).collect();
    format!("{RULE}{rows}{RULE}\n\n")
}
