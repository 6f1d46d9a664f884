//! Reads command lines in the manner of GNU `getopt_long`, because its abbreviations and its exact words of complaint
//! are what users and tests of the Slurm commands know.
//!
//! Options and other words may be mixed; `--` ends the options; a long name may be cut as long as it is unique.

/// Whether an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Never.
    None,
    /// Always.
    Needed,
    /// Only when written in the same word: `-jN`, `--jobs=N`.
    Optional,
}

/// One option. Several entries may share a key (other spellings of the same option).
#[derive(Debug, Clone, Copy)]
pub struct Opt<K> {
    /// What the program knows it by.
    pub key: K,
    /// The letter.
    pub short: Option<char>,
    /// The long name.
    pub long: Option<&'static str>,
    /// Whether it takes a value.
    pub value: Value,
}

/// Shortens tables of options: letter, or `'\0'` for none, then long name, or `""` for none.
pub const fn opt<K: Copy>(key: K, short: char, long: &'static str, value: Value) -> Opt<K> {
    let short = if short == '\0' { None } else { Some(short) };
    let long = if long.is_empty() { None } else { Some(long) };
    Opt { key, short, long, value }
}

/// What was found, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<K> {
    /// An option with its value.
    Option(K, Option<String>),
    /// A complaint, without the name of the program. Programs stop at the first.
    Error(String),
}

/// A command line that has been taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<K> {
    /// Options and complaints.
    pub items: Vec<Item<K>>,
    /// The other words, in order.
    pub rest: Vec<String>,
}

/// Takes `args` (without the program's name) apart. Nothing after the first complaint is read.
pub fn parse<K: Copy + PartialEq>(args: &[String], options: &[Opt<K>]) -> Parsed<K> {
    let mut parsed = Parsed { items: Vec::new(), rest: Vec::new() };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let result = if word == "--" {
            parsed.rest.extend(words.by_ref().cloned());
            Ok(())
        } else if let Some(long) = word.strip_prefix("--") {
            read_long(long, options, &mut words, &mut parsed.items)
        } else if let Some(shorts) = word.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
            read_shorts(shorts, options, &mut words, &mut parsed.items)
        } else {
            parsed.rest.push(word.clone());
            Ok(())
        };
        if let Err(complaint) = result {
            parsed.items.push(Item::Error(complaint));
            break;
        }
    }
    parsed
}

type Words<'a> = std::slice::Iter<'a, String>;

fn read_long<K: Copy + PartialEq>(
    text: &str,
    options: &[Opt<K>],
    words: &mut Words<'_>,
    items: &mut Vec<Item<K>>,
) -> Result<(), String> {
    let (name, given) = match text.split_once('=') {
        Some((name, given)) => (name, Some(given.to_owned())),
        None => (text, None),
    };
    let named = |option: &&Opt<K>| option.long.is_some_and(|long| long.starts_with(name));
    let exact = options.iter().find(|option| option.long == Some(name));
    let found = match exact {
        Some(option) => option,
        None => {
            let candidates: Vec<&Opt<K>> = options.iter().filter(named).collect();
            match candidates.as_slice() {
                [] => return Err(format!("unrecognized option '--{name}'")),
                [first, others @ ..] => {
                    // Other spellings of the first are not worth mentioning.
                    let different: Vec<_> =
                        others.iter().filter(|other| other.key != first.key || other.value != first.value).collect();
                    if !different.is_empty() {
                        let all = std::iter::once(first).chain(different).filter_map(|option| option.long);
                        let list: String = all.map(|long| format!(" '--{long}'")).collect();
                        return Err(format!("option '--{text}' is ambiguous; possibilities:{list}"));
                    }
                    *first
                }
            }
        }
    };
    let long = found.long.unwrap_or_default();
    let value = match (found.value, given) {
        (Value::None, Some(_)) => return Err(format!("option '--{long}' doesn't allow an argument")),
        (Value::Needed, None) => {
            Some(words.next().cloned().ok_or_else(|| format!("option '--{long}' requires an argument"))?)
        }
        (_, given) => given,
    };
    items.push(Item::Option(found.key, value));
    Ok(())
}

fn read_shorts<K: Copy + PartialEq>(
    shorts: &str,
    options: &[Opt<K>],
    words: &mut Words<'_>,
    items: &mut Vec<Item<K>>,
) -> Result<(), String> {
    for (at, letter) in shorts.char_indices() {
        let Some(option) = options.iter().find(|option| option.short == Some(letter)) else {
            return Err(format!("invalid option -- '{letter}'"));
        };
        let following = &shorts[at + letter.len_utf8()..];
        let value = match option.value {
            Value::None => {
                items.push(Item::Option(option.key, None));
                continue;
            }
            _ if !following.is_empty() => Some(following.to_owned()),
            Value::Optional => None,
            Value::Needed => {
                Some(words.next().cloned().ok_or_else(|| format!("option requires an argument -- '{letter}'"))?)
            }
        };
        items.push(Item::Option(option.key, value));
        return Ok(());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[Opt<char>] = &[
        opt('h', 'h', "noheader", Value::None),
        opt('j', 'j', "jobs", Value::Optional),
        opt('t', 't', "states", Value::Needed),
        opt('S', 'S', "sort", Value::Needed),
        opt('1', '\0', "start", Value::None),
    ];

    fn check(line: &str, expected: &str) {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let parsed = parse(&args, OPTIONS);
        let items = parsed.items.iter().map(|item| match item {
            Item::Option(key, None) => format!("{key}"),
            Item::Option(key, Some(value)) => format!("{key}={value}"),
            Item::Error(text) => text.clone(),
        });
        let found = items.chain(parsed.rest.iter().map(|word| format!("+{word}"))).collect::<Vec<_>>().join(" ");
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn reads_as_getopt_long() {
        check("-h -t R x -j", "h t=R j +x");
        check("-ht R", "h t=R");
        check("-htR -j12", "h t=R j=12");
        check(
            "--jobs=1 --sta PD",
            "option '--sta' is ambiguous; possibilities: '--states' '--start'".replace("option", "j=1 option").as_str(),
        );
        check("--stat PD --nohead", "t=PD h");
        check("--noheader=1", "option '--noheader' doesn't allow an argument");
        check("-t", "option requires an argument -- 't'");
        check("--sort", "option '--sort' requires an argument");
        check("-Z -h", "invalid option -- 'Z'");
        check("--nosuch=1", "unrecognized option '--nosuch'");
        check("-h -- -t", "h +-t");
    }
}
