//! `#SBATCH` lines of a batch script, cut into words as real `sbatch` cuts them.
//!
//! Directives stand in column 1 before the first line that is neither blank nor a comment. All their words make one
//! command line: an option at the end of one line takes its value from the next. A word ends at an unquoted blank and
//! a line at an unquoted `#`; quotes of both kinds may surround parts of a word; a backslash takes the character after
//! it as it is, but a blank outside quotes still ends the word. Nothing is expanded.

use std::collections::BTreeMap;

use crate::foreign::Dialect;
use crate::options::{Fault, Line};

/// What the head of a script says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// Words of all directives, as on a command line; those of the first component where there are several.
    pub words: Vec<String>,
    /// The same for the components behind it, which a line with `hetjob` begins.
    pub components: Vec<Vec<String>>,
    /// Words of the lines of other batch systems.
    pub foreign: BTreeMap<Dialect, Vec<String>>,
    /// For standard error.
    pub notices: Vec<Line>,
}

/// What is said of the old separator.
const PACKJOB: &str =
    "Warning: the \"packjob\" component separator is being deprecated. Please, use \"hetjob\" instead.";

const MAGIC: &str = "#SBATCH";
const OLD_MAGIC: &str = "#SLURM";

/// Reads the directives of `script`. `file_name` is only for messages (without directories; `stdin` where there is
/// no file).
///
/// # Errors
/// An unmatched quote; exit 1.
pub fn read(script: &str, file_name: &str) -> Result<Directives, Fault> {
    let mut directives = Directives::default();
    for (index, line) in script.split('\n').enumerate() {
        let rest = if let Some(rest) = line.strip_prefix(MAGIC) {
            rest
        } else if let Some(rest) = line.strip_prefix(OLD_MAGIC) {
            let text = "Change from #SLURM to #SBATCH in your script and verify the options are valid in sbatch";
            let notice = Line::Error(text.to_owned());
            if !directives.notices.contains(&notice) {
                directives.notices.push(notice);
            }
            rest
        } else {
            let trimmed = line.trim_start();
            if !trimmed.is_empty() && !trimmed.starts_with('#') {
                break;
            }
            for dialect in Dialect::ALL {
                if let Some(rest) = line.strip_prefix(dialect.magic()) {
                    let words = directives.foreign.entry(dialect).or_default();
                    words.extend(words_of(rest, file_name, index + 1)?);
                }
            }
            continue;
        };
        let words = words_of(rest, file_name, index + 1)?;
        // What stands behind the separator on its line belongs to no component.
        let separator = words.iter().position(|word| word == "hetjob" || word == "packjob");
        let is_old = separator.is_some_and(|at| words.get(at).is_some_and(|word| word == "packjob"));
        let present = directives.components.last_mut().unwrap_or(&mut directives.words);
        present.extend(words.into_iter().take(separator.unwrap_or(usize::MAX)));
        if separator.is_some() {
            directives.components.push(Vec::new());
        }
        let notice = Line::Info(PACKJOB.to_owned());
        if is_old && !directives.notices.contains(&notice) {
            directives.notices.push(notice);
        }
    }
    Ok(directives)
}

fn words_of(line: &str, file_name: &str, number: usize) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    loop {
        let (word, after) = next_word(rest).map_err(|Unmatched(quote)| {
            Fault::fatal(format!("{file_name}: line {number}: Unmatched `{quote}` in [{rest}]"))
        })?;
        // An empty word, quoted or not, ends the line.
        if word.is_empty() {
            return Ok(words);
        }
        words.push(word);
        rest = after;
    }
}

/// A quote of this kind is not closed.
struct Unmatched(char);

/// The first word of `text` and what follows it. Blanks before it are skipped.
fn next_word(text: &str) -> Result<(String, &str), Unmatched> {
    let start = text.len() - text.trim_start().len();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (position, c) in text.char_indices().skip_while(|(position, _)| *position < start) {
        let rest = &text[position..];
        match (c, quote) {
            _ if c.is_whitespace() && quote.is_none() => return Ok((word, rest)),
            _ if escaped => {
                escaped = false;
                word.push(c);
            }
            ('\\', _) => escaped = true,
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('#', None) => return Ok((word, "")),
            _ => word.push(c),
        }
    }
    match quote {
        Some(open) => Err(Unmatched(open)),
        None => Ok((word, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words joined by `|`, or the message.
    fn words(line: &str) -> String {
        match read(&format!("#!/bin/bash\n{line}\necho hi\n"), "s.sh") {
            Ok(directives) => directives.words.join("|"),
            Err(fault) => fault.stderr("sbatch"),
        }
    }

    #[test]
    fn words_are_cut_as_sbatch_cuts_them() {
        let check = |line: &str, expected: &str| assert_eq!(words(line), expected, "{line}");
        check("#SBATCH -J simple", "-J|simple");
        check("#SBATCH --job-name = spaced", "--job-name|=|spaced");
        check("#SBATCH --job-name=\"two words\"", "--job-name=two words");
        check("#SBATCH --job-name='two words'", "--job-name=two words");
        check("#SBATCH --job-name=two\\ words", "--job-name=two|words");
        check("#SBATCH --job-name=two\\\\ words", "--job-name=two\\|words");
        check("#SBATCH --comment=\"two\\ words\"", "--comment=two words");
        check("#SBATCH \"-J q1\"", "-J q1");
        check("#SBATCH --job-name=\"a\"b\"c\"", "--job-name=abc");
        check("#SBATCH --job-name=it\\'s", "--job-name=it's");
        check("#SBATCH --job-name=\"say \\\"hi\\\"\"", "--job-name=say \"hi\"");
        check("#SBATCH --job-name=\"say \\\\\"hi\\\\\"\"", "--job-name=say \\hi\\");
        check("#SBATCH --job-name='a\"b'", "--job-name=a\"b");
        check("#SBATCH --job-name=\"a'b\"", "--job-name=a'b");
        check("#SBATCH --job-name=a\\\\b", "--job-name=a\\b");
        check("#SBATCH --job-name='a\\b'", "--job-name=ab");
        check("#SBATCH --job-name='a\\\\b'", "--job-name=a\\b");
        check("#SBATCH --job-name=\"$USER\" -D ~/x", "--job-name=$USER|-D|~/x");
        check("#SBATCH -J name # trailing", "-J|name");
        check("#SBATCH -J name#nospace", "-J|name");
        check("#SBATCH -J \"na#me\"", "-J|na#me");
        check("#SBATCH -J na\\#me", "-J|na#me");
        check("#SBATCH # only comment", "");
        check("#SBATCH\t-J\ttabbed   ", "-J|tabbed");
        check("#SBATCH-J nospace", "-J|nospace");
        check("#SBATCHX -J x", "X|-J|x");
        check("#SBATCH -J a \\\n#SBATCH -t 5", "-J|a|-t|5");
        check("#SBATCH -J a\\", "-J|a");
        check("#SBATCH \"\" -J empty", "");
        check("#SBATCH -J \"\"x -t 5", "-J|x|-t|5");
        check("#SBATCH -J\n#SBATCH -t 5", "-J|-t|5");
        check("#SBATCH -J héllo", "-J|héllo");
    }

    #[test]
    fn directives_end_at_the_first_command() {
        let check = |lines: &str, expected: &str| assert_eq!(words(lines), expected, "{lines}");
        check("#SBATCH -J one\n\n\n# comment\n  \n  # indented\n#SBATCH -t 6", "-J|one|-t|6");
        check("#SBATCH -J one\n:\n#SBATCH -t 6", "-J|one");
        check("set -e\n#SBATCH -J late", "");
        check(" #SBATCH -J indented", "");
        check("##SBATCH -J double", "");
        check("# SBATCH -J spaced", "");
        check("#sbatch -J lower", "");
    }

    #[test]
    fn unmatched_quotes_are_fatal() {
        let check =
            |line: &str, expected: &str| assert_eq!(words(line), format!("sbatch: fatal: s.sh: line 2: {expected}\n"));
        check("#SBATCH --job-name=\"unfinished", "Unmatched `\"` in [--job-name=\"unfinished]");
        check("#SBATCH -J 'x", "Unmatched `'` in [ 'x]");
        check("#SBATCH --job-name=it\\\\'s", "Unmatched `'` in [--job-name=it\\\\'s]");
    }

    #[test]
    fn other_magic_words() {
        let script =
            "#!/bin/sh\n#SLURM -J a\n#SLURM -t 5\n#PBS -N x\n#BSUB -J y\n#SBATCH -n1 hetjob -n9\n#SBATCH -n2\n";
        let directives = read(script, "s.sh").unwrap();
        assert_eq!(directives.words.join(" "), "-J a -t 5 -n1");
        assert_eq!(
            (directives.notices.len(), directives.foreign, directives.components),
            (
                1,
                BTreeMap::from([
                    (Dialect::Pbs, vec!["-N".to_owned(), "x".to_owned()]),
                    (Dialect::Lsf, vec!["-J".to_owned(), "y".to_owned()])
                ]),
                vec![vec!["-n2".to_owned()]]
            )
        );
    }

    proptest::proptest! {
        #[test]
        fn no_script_panics(script in "(#SBATCH|#SLURM|#|\\PC|[ \"'\\\\\n\t#]){0,30}") {
            let _ = read(&script, "s.sh");
        }
    }
}
