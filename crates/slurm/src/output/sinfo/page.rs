//! What `sinfo -v` tells before its table: the options in force and the kinds of columns, in the form of real sinfo.

use super::super::format::Format;
use super::fields::Group;
use super::options::Options;

/// Kinds of columns by their word on the page, with their names.
const COLUMNS: &[(&str, &[&str])] = &[
    ("alloc_mem_flag  =", &["allocmem"]),
    ("avail_flag      =", &["available"]),
    ("comment_flag    =", &["comment"]),
    ("cpus_flag       =", &["cpus", "cpusstate", "socketcorethread", "sockets", "cores", "threads", "cpusload"]),
    ("default_time_flag =", &["defaulttime"]),
    ("disk_flag       =", &["disk"]),
    ("extra_flag      =", &["extra"]),
    ("features_flag   =", &["features"]),
    ("features_flag_act =", &["features_act"]),
    ("groups_flag     =", &["groups"]),
    ("gres_flag       =", &["gres"]),
    ("gres_used_flag  =", &["gresused"]),
    ("job_size_flag   =", &["size"]),
    ("max_time_flag   =", &["time"]),
    ("memory_flag     =", &["memory"]),
    ("partition_flag  =", &["partition", "partitionname"]),
    ("port_flag       =", &["port"]),
    ("priority_job_factor_flag   =", &["priorityjobfactor"]),
    ("priority_tier_flag   =", &["prioritytier"]),
    ("reason_flag     =", &["reason"]),
    ("reason_timestamp_flag =", &["timestamp"]),
    ("reason_user_flag =", &["user", "userlong"]),
    ("reservation_flag =", &[]),
    ("root_flag       =", &["root"]),
    ("oversubscribe_flag      =", &["oversubscribe"]),
    ("state_flag      =", &["statecompact", "statelong"]),
    ("statecomplete_flag =", &["statecomplete"]),
    ("weight_flag     =", &["weight"]),
];

/// The page, up to the line of the date; `said` is the format of the columns.
pub(super) fn page(options: &Options, format: &Format<Group>, said: &str) -> String {
    const RULE: &str = "-----------------------------\n";
    let partitions = options.partitions.as_ref().map(|names| names.join(","));
    let filters = options.dead || options.responding || options.nodes.is_some() || options.states.is_some();
    let is_of_partition = format.shows(|field| field.names.iter().any(|name| name.starts_with("partition")));
    let rows = [
        ("dead", options.dead.to_string()),
        ("exact", u8::from(options.exact).to_string()),
        ("filtering", (filters || partitions.is_some()).to_string()),
        ("format", said.to_owned()),
        ("iterate", options.iterate.unwrap_or(0).to_string()),
        ("long", options.long.to_string()),
        ("no_header", options.no_header.to_string()),
        ("node_field", options.node_centric.to_string()),
        ("node_format", options.node_centric.to_string()),
        ("nodes", options.nodes.clone().unwrap_or_else(|| "n/a".to_owned())),
        ("part_field", is_of_partition.to_string()),
        ("partition", partitions.unwrap_or_else(|| "n/a".to_owned())),
        ("responding", options.responding.to_string()),
        ("states", options.states_said.clone().unwrap_or_else(|| "(null)".to_owned())),
        ("sort", options.sort.clone().unwrap_or_else(|| "(null)".to_owned())),
        ("summarize", options.summary.to_string()),
        ("verbose", options.verbose.to_string()),
    ];
    let rows: String = rows.iter().map(|(word, value)| format!("{word:<11} = {value}\n")).collect();
    let shows = |names: &[&str]| format.shows(|field| field.names.iter().any(|name| names.contains(name)));
    let columns = COLUMNS.iter().map(|(words, names)| match *words {
        "reservation_flag =" => format!("{words} {}\n", options.reservations),
        _ => format!("{words} {}\n", shows(names)),
    });
    let all = format!("all_flag        = {}\n", options.all);
    format!("{RULE}{rows}{RULE}{all}{}{RULE}\n", columns.collect::<String>())
}
