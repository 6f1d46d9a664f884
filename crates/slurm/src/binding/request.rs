//! `--cpu-bind`: what a user asks for.

use muster_model::resources::IndexSet;

use super::layout::Unit;

/// Longest list of CPUs or masks, repetitions counted: more than tasks fit on a node.
const ENTRIES_MAX: usize = 4096;

/// Greatest number of a CPU or domain.
const NUMBER_MAX: u32 = 65_535;

/// A binding of CPUs as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuBind {
    /// Each task says what it was bound to.
    pub verbose: bool,
    /// How.
    pub how: How,
}

/// How tasks are bound to CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum How {
    /// Nothing is said: what fits the number of tasks.
    #[default]
    Automatic,
    /// To all that the step has.
    Whole,
    /// Not at all.
    None,
    /// The first task to the first CPU of the machine, and so on.
    Rank,
    /// Each task to a CPU of a list.
    Map(Vec<u32>),
    /// Each task to a mask of a list.
    Mask(Vec<IndexSet>),
    /// As [`How::Rank`], to domains of memory.
    RankDomain,
    /// As [`How::Map`], to domains of memory.
    MapDomain(Vec<u32>),
    /// As [`How::Mask`], to domains of memory.
    MaskDomain(Vec<IndexSet>),
    /// To what the layout gives.
    Unit(Unit),
    /// To the domains of memory of what the layout gives.
    Domains,
    /// As [`How::Automatic`], with one thread of each core.
    OneThread,
}

/// Reads a value of `--cpu-bind`. A comma before a digit belongs to a list; words after others take their place.
///
/// # Errors
/// What `srun` says before it gives up.
pub fn parse(text: &str) -> Result<CpuBind, String> {
    let mut found = CpuBind::default();
    for part in parts(text) {
        let lower = part.to_ascii_lowercase();
        let (word, list) = match lower.split_once([':', '=']) {
            Some((word, list)) => (word, Some(list)),
            None => (lower.as_str(), None),
        };
        let list =
            || list.filter(|list| !list.is_empty()).ok_or(format!("missing list for \"--cpu-bind={word}:<list>\""));
        found.how = match word {
            "q" | "quiet" => {
                found.verbose = false;
                continue;
            }
            "v" | "verbose" => {
                found.verbose = true;
                continue;
            }
            "no" | "none" => How::None,
            "off" => How::Whole,
            "rank" => How::Rank,
            "rank_ldom" => How::RankDomain,
            "map_cpu" | "mapcpu" => How::Map(numbers(list()?)?),
            "mask_cpu" | "maskcpu" => How::Mask(masks(list()?)?),
            "map_ldom" | "mapldom" => How::MapDomain(numbers(list()?)?),
            "mask_ldom" | "maskldom" => How::MaskDomain(masks(list()?)?),
            "socket" | "sockets" => How::Unit(Unit::Sockets),
            "core" | "cores" => How::Unit(Unit::Cores),
            "thread" | "threads" => How::Unit(Unit::Threads),
            "ldom" | "ldoms" => How::Domains,
            "one_thread" => How::OneThread,
            _ => return Err(format!("unrecognized --cpu-bind argument \"{part}\"")),
        };
    }
    Ok(found)
}

/// Splits at commas that no digit follows.
pub(super) fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(',') {
        let follows = text.as_bytes().get(at + 1);
        if !follows.is_some_and(u8::is_ascii_digit) {
            parts.push(&text[from..at]);
            from = at + 1;
        }
    }
    parts.push(&text[from..]);
    parts
}

fn entries<T: Clone>(list: &str, read: impl Fn(&str) -> Option<T>, digits: u32) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for entry in list.split(',') {
        let (value, times) = match entry.split_once('*') {
            Some((value, times)) => (value, times.parse().ok().filter(|times| *times > 0)),
            None => (entry, Some(1)),
        };
        let offending = value.strip_prefix("0x").filter(|_| digits == 16).unwrap_or(value);
        let offending = offending.chars().find(|c| !c.is_digit(digits));
        let bad = || match offending {
            Some(character) => format!("Failed to validate number: {value}, the offending character is {character}"),
            None => format!("Failed to validate number: {entry}"),
        };
        let (value, times): (T, usize) = read(value).zip(times).ok_or_else(bad)?;
        if times > ENTRIES_MAX - all.len() {
            return Err(format!("more than {ENTRIES_MAX} entries in --cpu-bind"));
        }
        all.extend(std::iter::repeat_n(value, times));
    }
    Ok(all)
}

pub(super) fn numbers(list: &str) -> Result<Vec<u32>, String> {
    entries(list, |text| text.parse().ok().filter(|number| *number <= NUMBER_MAX), 10)
}

pub(super) fn masks(list: &str) -> Result<Vec<IndexSet>, String> {
    entries(list, read_mask, 16)
}

/// A mask in hexadecimal digits of any length that a machine may need.
fn read_mask(text: &str) -> Option<IndexSet> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut set = IndexSet::default();
    for (place, digit) in (0u32..).zip(digits.chars().rev()) {
        let bits = digit.to_digit(16)?;
        let number = place.checked_mul(4)?;
        (0..4).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| set.insert((number + bit).min(NUMBER_MAX)));
    }
    (!digits.is_empty() && digits.len() <= NUMBER_MAX as usize / 4).then_some(set)
}

/// A mask in hexadecimal digits, filled up with zeros to `width`.
pub fn print_mask(set: &IndexSet, width: usize) -> String {
    let mut digits = vec![0u8; width.max(1)];
    for cpu in set.iter() {
        let place = cpu as usize / 4;
        if digits.len() <= place {
            digits.resize(place + 1, 0);
        }
        if let Some(digit) = digits.get_mut(place) {
            *digit |= 1 << (cpu % 4);
        }
    }
    digits
        .iter()
        .rev()
        .filter_map(|digit| char::from_digit(u32::from(*digit), 16))
        .collect::<String>()
        .to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_lists() {
        let check = |text: &str, expected: &str| {
            let found = match parse(text) {
                Ok(found) => format!("{}{:?}", if found.verbose { "verbose " } else { "" }, found.how),
                Err(error) => error,
            };
            assert_eq!(found, expected, "{text:?}");
        };
        check("quiet", "Automatic");
        check("v,cores", "verbose Unit(Cores)");
        check("Sockets,verbose", "verbose Unit(Sockets)");
        check("verbose,none", "verbose None");
        check("rank_ldom", "RankDomain");
        check("v,map_cpu:1,0*2,q", "Map([1, 0, 0])");
        check("map_cpu:0x1,0", "Failed to validate number: 0x1, the offending character is x");
        check("map_cpu", "missing list for \"--cpu-bind=map_cpu:<list>\"");
        check("mask_cpu:zz", "Failed to validate number: zz, the offending character is z");
        check("map_cpu:1*4000000000", "more than 4096 entries in --cpu-bind");
        check("map_cpu:1*0", "Failed to validate number: 1*0");
        check("foo", "unrecognized --cpu-bind argument \"foo\"");
        check("boards", "unrecognized --cpu-bind argument \"boards\"");
        check("", "unrecognized --cpu-bind argument \"\"");
    }

    #[test]
    fn masks_are_read_and_printed() {
        let check = |text: &str, expected: &str| {
            let Ok(CpuBind { how: How::Mask(masks), .. }) = parse(&format!("mask_cpu:{text}")) else {
                panic!("{text}")
            };
            let printed: Vec<String> = masks.iter().map(|mask| print_mask(mask, 0)).collect();
            assert_eq!(printed.join(","), expected);
        };
        check("0x1,0x3", "1,3");
        check("0xff*2,0x10000000000000001", "FF,FF,10000000000000001");
        assert_eq!(print_mask(&IndexSet::first_n(2), 4), "0003");
    }
}
