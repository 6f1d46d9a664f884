//! Host lists: `n[1-3,7]`, `rack[1-2]node[01-16]`, `a,b,c`.
//!
//! Rules are those of Slurm as seen in its `scontrol show hostnames`, `hostlist` and `hostlistsorted`: cross products,
//! zero padding is significant (`n1` is not `n01`), duplicates are kept, order is kept when compressing, blanks
//! separate like commas. A suffix after a bracket (`n[1-3]-ib`) is read as newer Slurm (23.11) reads it.

use std::borrow::Cow;
use std::fmt;

/// A host list that cannot be read, or would be absurdly large. Holds the list as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostListError(pub String);

impl HostListError {
    /// What was wrong with a range, in Slurm's words: printed as an error of its own before this one.
    pub fn range_complaint(&self) -> Option<String> {
        split_outside_brackets(&self.0).ok()?.iter().find_map(|part| match brackets(part) {
            Ok(pieces) => pieces.iter().find_map(|piece| match piece {
                Piece::Ranges(ranges) => ranges.split(',').find_map(|range| parse_range(range).err()),
                Piece::Text(_) => None,
            }),
            Err(Malformed) => None,
        })
    }
}

impl fmt::Display for HostListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalid hostlist: {}", self.0)
    }
}

impl std::error::Error for HostListError {}

/// Most names that one host list may stand for: far above any cluster, low enough to keep memory safe.
pub const NAMES_MAX: usize = 1 << 20;

/// Most names that one range within brackets may stand for, Slurm's limit.
pub const RANGE_MAX: u64 = 1 << 16;

/// Most brackets of one element, so that the work on it stays small.
const BRACKETS_MAX: usize = 16;

/// The names that `text` stands for, in order.
///
/// # Errors
/// Unbalanced or nested brackets, malformed or reversed ranges, or more than [`NAMES_MAX`] names.
pub fn expand(text: &str) -> Result<Vec<String>, HostListError> {
    let names = expand_marked(text).map_err(|Malformed| HostListError(text.to_owned()))?;
    Ok(names.into_iter().map(|name| name.text).collect())
}

/// `text` as `scontrol show hostlist` writes it anew: as [`compress`] of its names, but a bracket keeps its place
/// (`n[1-2][3-4]` becomes `n1[3-4],n2[3-4]`).
///
/// # Errors
/// As [`expand`].
pub fn relist(text: &str) -> Result<String, HostListError> {
    let names = expand_marked(text).map_err(|Malformed| HostListError(text.to_owned()))?;
    Ok(compress_splits(names.iter().map(Marked::split)))
}

/// As [`relist`] after sorting (`scontrol show hostlistsorted`).
///
/// # Errors
/// As [`expand`].
pub fn relist_sorted(text: &str) -> Result<String, HostListError> {
    let names = expand_marked(text).map_err(|Malformed| HostListError(text.to_owned()))?;
    let mut splits: Vec<Split<'_>> = names.iter().map(Marked::split).collect();
    splits.sort_by(Split::order);
    Ok(compress_splits(splits))
}

/// The shortest host list for `names`, in their order (as `scontrol show hostlist`): only neighbours are joined.
pub fn compress<I: AsRef<str>>(names: impl IntoIterator<Item = I>) -> String {
    let names: Vec<I> = names.into_iter().collect();
    compress_splits(names.iter().map(|name| Split::of(name.as_ref())))
}

/// As [`compress`] after sorting by prefix, number of digits and number. Duplicates stay.
pub fn compress_sorted<I: AsRef<str>>(names: impl IntoIterator<Item = I>) -> String {
    let names: Vec<I> = names.into_iter().collect();
    let mut splits: Vec<Split<'_>> = names.iter().map(|name| Split::of(name.as_ref())).collect();
    splits.sort_by(Split::order);
    compress_splits(splits)
}

fn compress_splits<'a>(splits: impl IntoIterator<Item = Split<'a>>) -> String {
    let mut groups: Vec<Group> = Vec::new();
    for split in splits {
        match groups.last_mut() {
            Some(group) if group.takes(&split) => group.push(&split),
            _ => groups.push(Group::new(&split)),
        }
    }
    groups.iter().map(Group::to_string).collect::<Vec<_>>().join(",")
}

/// Not a host list. The public functions add the text.
struct Malformed;

fn split_outside_brackets(text: &str) -> Result<Vec<&str>, Malformed> {
    let mut parts = Vec::new();
    let (mut inside, mut start) = (false, 0);
    for (position, c) in text.char_indices() {
        match c {
            '[' if inside => return Err(Malformed),
            '[' => inside = true,
            ']' => inside = false,
            ',' | ' ' | '\t' | '\n' if !inside => {
                parts.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(Malformed);
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

/// A piece of one element of the list.
enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// The inside of a pair of brackets.
    Ranges(&'a str),
}

fn brackets(part: &str) -> Result<Vec<Piece<'_>>, Malformed> {
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some((text, tail)) = rest.split_once('[') {
        let (ranges, after) = tail.split_once(']').ok_or(Malformed)?;
        if pieces.len() >= 2 * BRACKETS_MAX {
            return Err(Malformed);
        }
        pieces.extend([Piece::Text(text), Piece::Ranges(ranges)]);
        rest = after;
    }
    // A closing bracket alone is part of a name, but not behind a pair.
    if !pieces.is_empty() && rest.contains(']') {
        return Err(Malformed);
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// A name and, where a bracket stood at its end, how much of it stood before that bracket.
struct Marked {
    text: String,
    prefix: Option<usize>,
}

impl Marked {
    fn split(&self) -> Split<'_> {
        match self.prefix {
            Some(prefix) => Split::at(&self.text, prefix),
            None => Split::of(&self.text),
        }
    }
}

fn expand_marked(text: &str) -> Result<Vec<Marked>, Malformed> {
    let mut names = Vec::new();
    for part in split_outside_brackets(text)? {
        expand_pieces(&brackets(part)?, String::new(), None, &mut names)?;
    }
    Ok(names)
}

fn expand_pieces(
    pieces: &[Piece<'_>],
    front: String,
    prefix: Option<usize>,
    names: &mut Vec<Marked>,
) -> Result<(), Malformed> {
    let Some((piece, rest)) = pieces.split_first() else {
        if names.len() >= NAMES_MAX {
            return Err(Malformed);
        }
        names.push(Marked { text: front, prefix });
        return Ok(());
    };
    match piece {
        Piece::Text(text) => expand_pieces(rest, front + text, prefix.filter(|_| text.is_empty()), names),
        Piece::Ranges(ranges) => {
            for range in ranges.split(',') {
                let (low, high, width) = parse_range(range).map_err(|_| Malformed)?;
                for value in low..=high {
                    expand_pieces(rest, format!("{front}{value:0width$}"), Some(front.len()), names)?;
                }
            }
            Ok(())
        }
    }
}

/// Least, greatest and width of `3`, `1-3`, `01-16`; a missing greatest number is the least one.
fn parse_range(range: &str) -> Result<(u64, u64, usize), String> {
    let invalid = || format!("_parse_single_range: Invalid range: `{range}'");
    let number = |digits: &str| -> Option<u64> {
        let plain = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let low = number(first).ok_or_else(invalid)?;
    let high = if last.is_empty() { low } else { number(last).ok_or_else(invalid)? };
    if low > high {
        return Err(invalid());
    }
    if high - low >= RANGE_MAX {
        return Err(format!("_parse_single_range: Too many hosts in range `{range}'"));
    }
    Ok((low, high, first.len()))
}

/// A name cut before its trailing number: `n007` is prefix `n`, number 7, width 3, padded.
struct Split<'a> {
    prefix: &'a str,
    number: Option<u64>,
    /// Digits of the number as written.
    width: usize,
    padded: bool,
}

impl<'a> Split<'a> {
    fn of(name: &'a str) -> Split<'a> {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        // Longer numbers cannot be held; the front digits then belong to the prefix.
        Split::at(name, name.len() - digits.min(18))
    }

    /// `prefix` bytes are the prefix, the rest are digits.
    fn at(name: &'a str, prefix: usize) -> Split<'a> {
        let (prefix, digits) = name.split_at_checked(prefix).unwrap_or((name, ""));
        Split {
            prefix,
            number: digits.parse().ok(),
            width: digits.len(),
            padded: digits.len() > 1 && digits.starts_with('0'),
        }
    }

    /// By prefix, then by the number of digits, then by the number.
    fn order(&self, other: &Split<'_>) -> std::cmp::Ordering {
        let key = |split: &Split<'_>| (split.number.is_some(), split.width, split.number);
        self.prefix.cmp(other.prefix).then_with(|| key(self).cmp(&key(other)))
    }
}

/// Neighbours that share a prefix and can be written with one bracket.
struct Group {
    prefix: String,
    ranges: Vec<Range>,
}

/// A run of numbers that print with at least `width` digits.
struct Range {
    low: u64,
    high: u64,
    width: usize,
}

impl Range {
    /// Whether `split` continues the run and prints the same in it as alone: `9` and `10` do, `09` and `10` do,
    /// `9` and `010` do not.
    fn is_continued_by(&self, number: u64, split: &Split<'_>) -> bool {
        let padded = self.width > digits(self.low);
        self.high.checked_add(1) == Some(number)
            && match (padded, split.padded) {
                (false, false) => true,
                (true, _) => split.width == self.width,
                (false, true) => false,
            }
    }
}

fn digits(number: u64) -> usize {
    number.max(1).ilog10() as usize + 1
}

impl Group {
    fn new(split: &Split<'_>) -> Group {
        let mut group = Group { prefix: split.prefix.to_owned(), ranges: Vec::new() };
        group.push(split);
        group
    }

    fn takes(&self, split: &Split<'_>) -> bool {
        split.number.is_some() && !self.ranges.is_empty() && self.prefix == split.prefix
    }

    fn push(&mut self, split: &Split<'_>) {
        let Some(number) = split.number else { return };
        match self.ranges.last_mut() {
            Some(range) if range.is_continued_by(number, split) => range.high = number,
            _ => self.ranges.push(Range { low: number, high: number, width: split.width }),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { low, high, width } = *self;
        if low == high { write!(f, "{low:0width$}") } else { write!(f, "{low:0width$}-{high:0width$}") }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside: Cow<'_, str> = match self.ranges.as_slice() {
            [] => "".into(),
            [range] if range.low == range.high => range.to_string().into(),
            ranges => format!("[{}]", ranges.iter().map(Range::to_string).collect::<Vec<_>>().join(",")).into(),
        };
        write!(f, "{}{inside}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a list, its names, `hostlist`, `hostlistsorted`, as `scontrol` of Slurm 22.05 shows them.
    const SEEN: &[(&str, &str, &str, &str)] = &[
        ("n1,n2,n3", "n1 n2 n3", "n[1-3]", "n[1-3]"),
        ("n[1-3,5]", "n1 n2 n3 n5", "n[1-3,5]", "n[1-3,5]"),
        ("n[01-03]", "n01 n02 n03", "n[01-03]", "n[01-03]"),
        ("n[001-003],m5", "n001 n002 n003 m5", "n[001-003],m5", "m5,n[001-003]"),
        ("a1,b2,a2", "a1 b2 a2", "a1,b2,a2", "a[1-2],b2"),
        ("n3,n1,n2", "n3 n1 n2", "n[3,1-2]", "n[1-3]"),
        ("n1,n1", "n1 n1", "n[1,1]", "n[1,1]"),
        ("n[1-2][3-4]", "n13 n14 n23 n24", "n1[3-4],n2[3-4]", "n1[3-4],n2[3-4]"),
        (
            "rack[1-2]n[01-02]",
            "rack1n01 rack1n02 rack2n01 rack2n02",
            "rack1n[01-02],rack2n[01-02]",
            "rack1n[01-02],rack2n[01-02]",
        ),
        ("n]1", "n]1", "n]1", "n]1"),
        ("n1-n3", "n1-n3", "n1-n3", "n1-n3"),
        ("n09,n10,n11", "n09 n10 n11", "n[09-11]", "n[09-11]"),
        ("n9,n10", "n9 n10", "n[9-10]", "n[9-10]"),
        ("n[0-0]", "n0", "n0", "n0"),
        ("host.a.b", "host.a.b", "host.a.b", "host.a.b"),
        ("n1 n2", "n1 n2", "n[1-2]", "n[1-2]"),
        ("n1\tn2", "n1 n2", "n[1-2]", "n[1-2]"),
        ("", "", "", ""),
        (",", "", "", ""),
        ("n1,,n2", "n1 n2", "n[1-2]", "n[1-2]"),
        ("10.0.0.[1-3]", "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.[1-3]", "10.0.0.[1-3]"),
        ("a[1-2],b[1-2]", "a1 a2 b1 b2", "a[1-2],b[1-2]", "a[1-2],b[1-2]"),
        ("a1b1,a1b2,a2b1", "a1b1 a1b2 a2b1", "a1b[1-2],a2b1", "a1b[1-2],a2b1"),
        ("1,2,3", "1 2 3", "[1-3]", "[1-3]"),
        ("n0001,n1", "n0001 n1", "n[0001,1]", "n[1,0001]"),
        ("n01,n02,n3", "n01 n02 n3", "n[01-02,3]", "n[3,01-02]"),
        ("n1,m1,n2", "n1 m1 n2", "n1,m1,n2", "m1,n[1-2]"),
        ("n,n1", "n n1", "n,n1", "n,n1"),
        ("n99,n100", "n99 n100", "n[99-100]", "n[99-100]"),
        ("n0099,n100", "n0099 n100", "n[0099,100]", "n[100,0099]"),
        ("n1,n02", "n1 n02", "n[1,02]", "n[1,02]"),
        ("a-1,a-2", "a-1 a-2", "a-[1-2]", "a-[1-2]"),
        ("x1y,x2y", "x1y x2y", "x1y,x2y", "x1y,x2y"),
        ("n12,n11,n10", "n12 n11 n10", "n[12,11,10]", "n[10-12]"),
        ("n[08-12]", "n08 n09 n10 n11 n12", "n[08-12]", "n[08-12]"),
        ("n[1-]", "n1", "n1", "n1"),
        ("n[01-3]", "n01 n02 n03", "n[01-03]", "n[01-03]"),
        ("é1,é2", "é1 é2", "é[1-2]", "é[1-2]"),
    ];

    #[test]
    fn reads_and_writes_as_scontrol_does() {
        for (list, names, hostlist, sorted) in SEEN {
            let expanded = expand(list).unwrap();
            assert_eq!(expanded.join(" "), *names, "{list}");
            assert_eq!(relist(list).unwrap(), *hostlist, "{list}");
            assert_eq!(relist_sorted(list).unwrap(), *sorted, "{list}");
        }
        assert_eq!(compress(["n13", "n14", "n23", "n24"]), "n[13-14,23-24]");
        assert_eq!(compress_sorted(["n2", "n10", "n1"]), "n[1-2,10]");
        assert_eq!(expand("n[1-2]-ib").unwrap().join(" "), "n1-ib n2-ib");
    }

    #[test]
    fn refuses_what_scontrol_refuses() {
        let check = |list: &str, complaint: Option<&str>| {
            let error = expand(list).unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid hostlist: {list}"));
            assert_eq!(error.range_complaint().as_deref(), complaint, "{list}");
        };
        check("n[]", Some("_parse_single_range: Invalid range: `'"));
        check("n[a-b]", Some("_parse_single_range: Invalid range: `a-b'"));
        check("n[3-1]", Some("_parse_single_range: Invalid range: `3-1'"));
        check("n[1,]", Some("_parse_single_range: Invalid range: `'"));
        check("n[-1]", Some("_parse_single_range: Invalid range: `-1'"));
        check("n[1-70000]", Some("_parse_single_range: Too many hosts in range `1-70000'"));
        check("n[[1]]", None);
        check("n[1]]", None);
        check("n[1-2", None);
        check("n[1-65536][1-65536]", None);
        assert!(expand(&"[1]".repeat(100_000)).is_err());
    }
}
