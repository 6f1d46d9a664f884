//! `Flags=` of a reservation, read and written.

use muster_model::reservation::ReservationFlag as Flag;
use muster_model::time::{Span, TimeLimit, format_days_hours};

/// One flag.
struct Word {
    flag: Flag,
    /// As it is written; any beginning of it of at least so many letters will do.
    written: &'static str,
    least: usize,
    shown: &'static str,
    /// Whether `Flags-=` can take it away.
    removable: bool,
}

const fn word(flag: Flag, written: &'static str, least: usize, shown: &'static str, removable: bool) -> Word {
    Word { flag, written, least, shown, removable }
}

/// In the order in which they are shown.
const WORDS: &[Word] = &[
    word(Flag::Maint, "Maintenance", 1, "MAINT", true),
    word(Flag::Flex, "Flex", 2, "FLEX", true),
    word(Flag::Overlap, "Overlap", 1, "OVERLAP", false),
    word(Flag::IgnoreJobs, "Ignore_Jobs", 1, "IGNORE_JOBS", true),
    word(Flag::Hourly, "Hourly", 1, "HOURLY", true),
    word(Flag::Daily, "Daily", 1, "DAILY", true),
    word(Flag::Weekday, "Weekday", 5, "WEEKDAY", true),
    word(Flag::Weekend, "Weekend", 5, "WEEKEND", true),
    word(Flag::Weekly, "Weekly", 1, "WEEKLY", true),
    word(Flag::SpecNodes, "Spec_Nodes", 2, "SPEC_NODES", false),
    word(Flag::AllNodes, "All_Nodes", 2, "ALL_NODES", false),
    word(Flag::AnyNodes, "Any_Nodes", 2, "ANY_NODES", true),
    word(Flag::AnyNodes, "License_Only", 1, "", true),
    word(Flag::StaticAlloc, "Static_Alloc", 2, "STATIC", true),
    word(Flag::PartNodes, "Part_Nodes", 2, "PART_NODES", true),
    word(Flag::FirstCores, "First_Cores", 2, "FIRST_CORES", false),
    word(Flag::TimeFloat, "Time_Float", 1, "TIME_FLOAT", false),
    word(Flag::Replace, "Replace", 1, "REPLACE", false),
    word(Flag::ReplaceDown, "Replace_Down", 8, "REPLACE_DOWN", false),
    word(Flag::PurgeComp, "Purge_Comp", 2, "PURGE_COMP", true),
    word(Flag::NoHoldJobsAfter, "No_Hold_Jobs_After_End", 1, "NO_HOLD_JOBS_AFTER_END", false),
    word(Flag::Magnetic, "Magnetic", 3, "MAGNETIC", true),
    // Of newer versions.
    word(Flag::UserDelete, "User_Delete", 1, "USER_DELETE", true),
];

/// Reads `MAINT,PURGE_COMP=10`: the flags, and the time of `PURGE_COMP`. `None` where a word is no flag, or one that cannot
/// be taken away although `removes`.
pub fn parse(text: &str, removes: bool) -> Option<(Vec<Flag>, Option<Span>)> {
    let (mut flags, mut purge_after) = (Vec::new(), None);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        // `Maint` and `Magnetic` share their first letters; `Spec_Nodes` and `All_Nodes` are shown only.
        let found = WORDS.iter().find(|word| {
            name.len() >= word.least
                && word.written.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                && !matches!(word.flag, Flag::SpecNodes | Flag::AllNodes)
        })?;
        if (removes && !found.removable) || (value.is_some() && found.flag != Flag::PurgeComp) {
            return None;
        }
        if let Some(value) = value {
            purge_after = Some(TimeLimit::parse(value)?.span()?);
        }
        flags.push(found.flag);
    }
    (!flags.is_empty()).then_some((flags, purge_after))
}

/// The flags as they are shown.
pub fn print(flags: &[Flag], purge_after: Option<Span>) -> String {
    let shown = WORDS.iter().filter(|word| !word.shown.is_empty() && flags.contains(&word.flag));
    let words = shown.map(|word| match (word.flag, purge_after) {
        (Flag::PurgeComp, Some(span)) => format!("{}={}", word.shown, format_days_hours(span.seconds())),
        _ => word.shown.to_owned(),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of flags written as `text`; the cases are those of real scontrol 22.05.
    fn check(text: &str, removes: bool, expected: &str) {
        let shown = parse(text, removes).map_or("refused".to_owned(), |(flags, purge)| print(&flags, purge));
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn flags_read_and_show_as_in_slurm() {
        check("maint,ignore_jobs", false, "MAINT,IGNORE_JOBS");
        check(
            "maint,flex,overlap,ignore_jobs,daily,static_alloc,purge_comp=10,magnetic,no_hold_jobs_after",
            false,
            "MAINT,FLEX,OVERLAP,IGNORE_JOBS,DAILY,STATIC,PURGE_COMP=00:10:00,NO_HOLD_JOBS_AFTER_END,MAGNETIC",
        );
        check("weekly,replace,first_cores", false, "WEEKLY,FIRST_CORES,REPLACE");
        check("time_float,replace_down", false, "TIME_FLOAT,REPLACE_DOWN");
        check("license_only", false, "ANY_NODES");
        check("weekday,weekend", false, "WEEKDAY,WEEKEND");
        check("bogus", false, "refused");
        check("daily=3", false, "refused");
        check("time_float", true, "refused");
        check("daily", true, "DAILY");
        check("", false, "refused");
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for word in WORDS.iter().filter(|word| !matches!(word.flag, Flag::SpecNodes | Flag::AllNodes)) {
            let shown = print(&[word.flag], None);
            assert_eq!(parse(&shown, false).map(|(flags, _)| flags), Some(vec![word.flag]), "{shown}");
        }
    }
}
