//! `srun --multi-prog`: a file that names a program for each rank.
//!
//! Lines of `RANKS PROGRAM ARGUMENTS...`; `RANKS` is `0`, `1-3,5` or `*`. `%t` stands for the rank, `%o` for its place
//! among the ranks of the line. The first line that names a rank counts. `#` starts a comment, a backslash at the end continues the line, quotes keep blanks.

use crate::options::{Fault, Line};

/// A file larger than this many ranks is refused rather than filled into memory.
const RANKS_MAX: u32 = 1 << 20;

/// The program and arguments of each of `tasks` ranks, ascending.
///
/// # Errors
/// A malformed line, or a rank without a line; exit 1.
pub fn read(text: &str, file_name: &str, tasks: u32) -> Result<Vec<(u32, Vec<String>)>, Fault> {
    let mut programs: Vec<Option<Vec<String>>> = vec![None; tasks.min(RANKS_MAX) as usize];
    for (number, line) in joined_lines(text) {
        let bad_line = || Line::Error(format!("Line {number} of configuration file {file_name} invalid"));
        let mut words = words(&line);
        let Some(ranks) = words.next() else { continue };
        let Some(ranks) = parse_ranks(&ranks, tasks) else {
            let first = Line::Error(format!("Invalid task range specification ({ranks})"));
            return Err(Fault { stdout: String::new(), lines: vec![first, bad_line()], code: 1 });
        };
        let command: Vec<String> = words.collect();
        if command.is_empty() {
            return Err(Fault { stdout: String::new(), lines: vec![bad_line()], code: 1 });
        }
        for (offset, rank) in ranks.into_iter().enumerate() {
            if let Some(slot) = programs.get_mut(rank as usize) {
                let put = |word: &String| word.replace("%t", &rank.to_string()).replace("%o", &offset.to_string());
                slot.get_or_insert_with(|| command.iter().map(put).collect());
            }
        }
    }
    let ranked = programs.into_iter().enumerate().map(|(rank, program)| match (u32::try_from(rank), program) {
        (Ok(rank), Some(program)) => Ok((rank, program)),
        _ => Err(Fault::error(1, format!("Configuration file {file_name} invalid, no record for task id {rank}"))),
    });
    ranked.collect()
}

/// Lines with continuations joined, each with the number of its first physical line; comments and blank lines go.
fn joined_lines(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let mut lines = text.lines().enumerate();
    std::iter::from_fn(move || {
        let (number, first) = lines.next()?;
        let mut joined = first.to_owned();
        while let Some(front) = joined.strip_suffix('\\') {
            joined = front.to_owned();
            match lines.next() {
                Some((_, next)) => joined.push_str(next),
                None => break,
            }
        }
        Some((number + 1, joined))
    })
    .filter(|(_, line)| !line.trim_start().is_empty() && !line.trim_start().starts_with('#'))
}

fn words(line: &str) -> std::vec::IntoIter<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut open): (Option<char>, bool) = (None, false);
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                if !open {
                    words.push(String::new());
                    open = true;
                }
            }
            None if c.is_whitespace() => open = false,
            _ => {
                if !open {
                    words.push(String::new());
                    open = true;
                }
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.into_iter()
}

fn parse_ranks(text: &str, tasks: u32) -> Option<Vec<u32>> {
    if text == "*" {
        return Some((0..tasks.min(RANKS_MAX)).collect());
    }
    let mut ranks = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (u32, u32) = (low.parse().ok()?, high.parse().ok()?);
        if low > high || high >= RANKS_MAX {
            return None;
        }
        ranks.extend(low..=high);
    }
    Some(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let check = |text: &str, tasks: u32, expected: &str| {
            let found = match read(text, "mp.conf", tasks) {
                Ok(programs) => programs
                    .iter()
                    .map(|(rank, words)| format!("{rank}:{}", words.join("|")))
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(fault) => fault.stderr("srun"),
            };
            assert_eq!(found, expected, "{text:?}");
        };
        check(
            "0 echo zero\n1-2 echo t:%t o:%o\n3 hostname\n",
            4,
            "0:echo|zero 1:echo|t:1|o:0 2:echo|t:2|o:1 3:hostname",
        );
        check("0 echo zero\n*  echo %t %o\n", 2, "0:echo|zero 1:echo|1|1");
        check("# all\n*  echo 'a b' \\\n %t\n", 2, "0:echo|a b|0 1:echo|a b|1");
        check("0 echo zero\n", 2, "srun: error: Configuration file mp.conf invalid, no record for task id 1\n");
        check(
            "bad line here\n",
            2,
            "srun: error: Invalid task range specification (bad)\nsrun: error: Line 1 of configuration file mp.conf invalid\n",
        );
        check("0\n", 1, "srun: error: Line 1 of configuration file mp.conf invalid\n");
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text in "([0-9*,-]{0,5} \\PC{0,8}\\\\?\n){0,4}", tasks in 0u32..9) {
            let _ = read(&text, "f", tasks);
        }
    }
}
