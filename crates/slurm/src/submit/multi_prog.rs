//! `srun --multi-prog`: a file that names a program for each rank.
//!
//! Lines of `RANKS PROGRAM ARGUMENTS...`; `RANKS` is `0`, `1-3,5` or `*`, which stands last and for all ranks that no other line
//! names. `%t` stands for the rank, `%o` for its place among the ranks of the line. `#` starts a comment, a backslash at the end
//! continues the line, quotes keep blanks. Messages as seen with real Slurm.

use std::collections::BTreeMap;

use crate::options::{Fault, Line};

/// A file larger than this many ranks is refused rather than filled into memory.
const RANKS_MAX: u32 = 1 << 20;

/// What a file says.
#[derive(Debug)]
pub struct ProgramFile {
    name: String,
    /// The rank of a program, its place in the line, and the line.
    named: BTreeMap<u32, (usize, usize)>,
    /// The line for all other ranks.
    others: Option<usize>,
    /// The program and its arguments, of each line.
    commands: Vec<Vec<String>>,
}

impl ProgramFile {
    /// Reads the file called `name`, for `tasks` tasks where their number is said. What is passed over is told in `notices`.
    ///
    /// # Errors
    /// A malformed line, a rank that is named twice or beyond the tasks; exit 1.
    pub fn read(text: &str, name: &str, tasks: Option<u32>, notices: &mut Vec<Line>) -> Result<ProgramFile, Fault> {
        let mut file =
            ProgramFile { name: name.to_owned(), named: BTreeMap::new(), others: None, commands: Vec::new() };
        for (number, line) in joined_lines(text) {
            let mut words = words(&line);
            let Some(ranks) = words.next() else { continue };
            if let Err(what) = file.add(&ranks, words.collect(), tasks, notices) {
                let texts = what.into_iter().chain([format!("Line {number} of configuration file {name} invalid")]);
                let lines = texts.map(Line::Error).collect();
                return Err(Fault { stdout: String::new(), lines, code: 1 });
            }
        }
        Ok(file)
    }

    /// As many tasks as the file has ranks: one more than the greatest that is named. It is what `srun` starts where nothing says
    /// how many (real behaviour, however many nodes it gets).
    pub fn tasks(&self) -> u32 {
        self.named.keys().next_back().map_or(1, |greatest| greatest + 1)
    }

    /// The program and arguments of each of `tasks` ranks, ascending.
    ///
    /// # Errors
    /// A rank without a line; exit 1.
    pub fn programs(&self, tasks: u32) -> Result<Vec<(u32, Vec<String>)>, Fault> {
        let all = (0..tasks.min(RANKS_MAX)).map(|rank| {
            // Of a line for all others the place is counted from the first rank of all.
            let found = self.named.get(&rank).copied().or(self.others.map(|line| (line, rank as usize)));
            let Some((command, offset)) = found.and_then(|(line, offset)| Some((self.commands.get(line)?, offset)))
            else {
                let text = format!("Configuration file {} invalid, no record for task id {rank}", self.name);
                return Err(Fault::error(1, text));
            };
            let put = |word: &String| word.replace("%t", &rank.to_string()).replace("%o", &offset.to_string());
            Ok((rank, command.iter().map(put).collect()))
        });
        all.collect()
    }

    /// Takes a line in; where it is wrong, what there is to say of it beside its number.
    fn add(
        &mut self,
        ranks: &str,
        command: Vec<String>,
        tasks: Option<u32>,
        notices: &mut Vec<Line>,
    ) -> Result<(), Option<String>> {
        if command.is_empty() {
            return Err(None);
        }
        let place = self.commands.len();
        if ranks == "*" {
            self.others.get_or_insert(place);
        } else if self.others.is_some() {
            return Err(Some("Task range specification with asterisk must be last".to_owned()));
        } else {
            if ranks.starts_with(',') || ranks.contains(",,") {
                notices.push(Line::Error(format!("Invalid task range specification ({ranks}) ignored.")));
            }
            let mut offset = 0;
            for part in ranks.split(',').filter(|part| !part.is_empty()) {
                for rank in range(part, tasks)? {
                    if self.named.insert(rank, (place, offset)).is_some() {
                        return Err(Some(format!("Duplicate record for task {rank}")));
                    }
                    offset += 1;
                }
            }
        }
        self.commands.push(command);
        Ok(())
    }
}

/// The ranks of `3` or `3-5`; where it makes none, what there is to say of it.
fn range(part: &str, tasks: Option<u32>) -> Result<std::ops::RangeInclusive<u32>, Option<String>> {
    if let Some(below) = part.strip_prefix('-').filter(|digits| is_number(digits)) {
        return Err(Some(format!("Invalid task id, -{below} < 0")));
    }
    let (low, high) = part.split_once('-').unwrap_or((part, part));
    if !is_number(low) {
        return Err(Some(format!("Invalid task range specification ({part})")));
    }
    if high.is_empty() {
        return Err(None);
    }
    if !is_number(high) {
        return Err(Some("Invalid task range specification".to_owned()));
    }
    // A number that is none of 32 bits is beyond all tasks.
    let [low, high] = [low, high].map(|digits| digits.parse().unwrap_or(u32::MAX));
    if low > high {
        return Err(Some(format!("Invalid task range, {low}-{high}")));
    }
    if high >= tasks.unwrap_or(RANKS_MAX) {
        return Err(Some(format!("Invalid task id, {high} >= ntasks")));
    }
    Ok(low..=high)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let check = |text: &str, tasks: Option<u32>, expected: &str| {
            let mut notices = Vec::new();
            let file = ProgramFile::read(text, "f", tasks, &mut notices);
            let found = match file.and_then(|file| file.programs(tasks.unwrap_or_else(|| file.tasks()))) {
                Ok(programs) => programs
                    .iter()
                    .map(|(rank, words)| format!("{rank}:{}", words.join("|")))
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(fault) => fault.stderr("srun"),
            };
            let told: String = notices.iter().map(|line| line.print("srun") + "\n").collect();
            let found = (told + &found).replace("srun: error: ", "").replace("configuration file f", "file");
            assert_eq!(found.trim_end().replace('\n', " / "), expected, "{text:?}");
        };
        check(
            "0 echo zero\n1-2 echo t:%t o:%o\n3 hostname\n",
            Some(4),
            "0:echo|zero 1:echo|t:1|o:0 2:echo|t:2|o:1 3:hostname",
        );
        check("0 echo zero\n*  echo %t %o\n", Some(2), "0:echo|zero 1:echo|1|1");
        check("# all\n*  echo 'a b' \\\n %t\n", Some(2), "0:echo|a b|0 1:echo|a b|1");
        check("0 a\n* b\n* c\n", Some(2), "0:a 1:b");
        check("2,0-1 a %o\n", Some(3), "0:a|1 1:a|2 2:a|0");
        check("0 echo zero\n", Some(2), "Configuration file f invalid, no record for task id 1");
        check("0\n", Some(1), "Line 1 of file invalid");
        check("0-1 a\n", Some(1), "Invalid task id, 1 >= ntasks / Line 1 of file invalid");
        check("0 a\n\n1,0 b\n", None, "Duplicate record for task 0 / Line 3 of file invalid");
        check("* a\n0 b\n", None, "Task range specification with asterisk must be last / Line 2 of file invalid");
        // Without a number of tasks the ranks give it.
        check("0-1 a\n", None, "0:a 1:a");
        check("0 a\n* b\n", None, "0:a");
        check("* b\n", None, "0:b");
        check("0-1 a\n3 b\n", None, "Configuration file f invalid, no record for task id 2");
        check("", None, "Configuration file f invalid, no record for task id 0");
    }

    #[test]
    fn ranks_that_are_none() {
        let check = |ranks: &str, expected: &str| {
            let found = match ProgramFile::read(&format!("{ranks} a\n"), "f", None, &mut Vec::new()) {
                Ok(file) => file.tasks().to_string(),
                Err(fault) => fault.stderr("srun").lines().next().unwrap_or_default().to_owned(),
            };
            assert_eq!(found.trim_start_matches("srun: error: "), expected, "{ranks}");
        };
        for (ranks, tasks) in [("0,1", "2"), ("0,", "1"), (",0", "1"), ("0,,1", "2"), ("00-01", "2")] {
            check(ranks, tasks);
        }
        for ranks in ["bad", "5x", "*1", "1*", "+1", "0x1"] {
            check(ranks, &format!("Invalid task range specification ({ranks})"));
        }
        check("1,x", "Invalid task range specification (x)");
        check("0,*", "Invalid task range specification (*)");
        for ranks in ["0-x", "0-1x", "0-1-2", "0-3:2"] {
            check(ranks, "Invalid task range specification");
        }
        check("0-", "Line 1 of configuration file f invalid");
        check("-1", "Invalid task id, -1 < 0");
        check("3-1", "Invalid task range, 3-1");
        check("0-99999999999", "Invalid task id, 4294967295 >= ntasks");
        let mut notices = Vec::new();
        ProgramFile::read("0,,1 a\n", "f", None, &mut notices).unwrap();
        assert_eq!(notices, [Line::Error("Invalid task range specification (0,,1) ignored.".to_owned())]);
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text in "([0-9*,-]{0,5} \\PC{0,8}\\\\?\n){0,4}", tasks in proptest::option::of(0u32..9)) {
            if let Ok(file) = ProgramFile::read(&text, "f", tasks, &mut Vec::new()) {
                let _ = file.programs(tasks.unwrap_or_else(|| file.tasks()));
            }
        }
    }
}
