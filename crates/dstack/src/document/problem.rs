//! What is wrong with a configuration, said so that the place can be found.

use std::fmt;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The property, such as `resources.gpu` or `commands[2]`; empty for the document as a whole.
    pub path: String,
    /// What is wrong with it, without the path.
    pub message: String,
    /// Where it stands, where that is known.
    pub location: Option<Location>,
}

/// Prints `path: message`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// All that is wrong with a document; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    all: Vec<Problem>,
}

impl Problems {
    /// A problem with one property, found after reading, so that its place is no longer known.
    pub fn of(path: impl Into<String>, message: impl Into<String>) -> Problems {
        Problem { path: path.into(), message: message.into(), location: None }.into()
    }

    /// Several problems; `None` when there are none.
    pub fn from_list(all: Vec<Problem>) -> Option<Problems> {
        (!all.is_empty()).then_some(Problems { all })
    }

    /// Each of them, in the order of the file where places are known.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.all.iter()
    }

    /// The list.
    pub fn into_list(self) -> Vec<Problem> {
        self.all
    }

    /// One line for each, as compilers print them: `FILE:LINE:COLUMN: path: message`.
    pub fn render(&self, file: &str) -> String {
        let mut text = String::new();
        for problem in &self.all {
            match problem.location {
                Some(Location { line, column }) => text.push_str(&format!("{file}:{line}:{column}: {problem}\n")),
                None => text.push_str(&format!("{file}: {problem}\n")),
            }
        }
        text
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems { all: vec![problem] }
    }
}

/// Prints the problems in one line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.all.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
