//! The two format languages of `squeue` and `sinfo`: `%[.][size]letter[text]` and `name[:[.][size][text]],…`.
//!
//! Text between fields is kept. A field with a size is cut and padded to it, to the left or (with `.`) to the right.
//! A letter that means nothing is printed as it stands; a name that means nothing is left out; either way the caller
//! is told, to complain as its command does.

use super::context::Context;

/// One column of a table over rows of type `R`.
pub struct Field<R: 'static> {
    /// Its letter after `%`; `None` when it has only a name.
    pub letter: Option<char>,
    /// Its names in `-O`, in lower case; empty when it has only a letter.
    pub names: &'static [&'static str],
    /// Heading.
    pub header: &'static str,
    /// The text of a row.
    pub text: fn(&R, &Context) -> String,
    /// What happens to a text that is too long.
    pub cut: Cut,
}

/// What happens to a text that is longer than its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its end is cut off.
    End,
    /// As [`Cut::End`], but a right-justified text is printed in full all the same (lists of nodes, times).
    EndUnlessRight,
    /// Its end is cut off before a star that marks it (the default partition).
    BeforeStar,
}

/// Shortens tables of fields: letter, or `'\0'` for none; names; heading; text.
pub const fn field<R>(
    letter: char,
    names: &'static [&'static str],
    header: &'static str,
    text: fn(&R, &Context) -> String,
) -> Field<R> {
    let letter = if letter == '\0' { None } else { Some(letter) };
    Field { letter, names, header, text, cut: Cut::End }
}

/// As [`field`], for lists of nodes and times.
pub const fn whole_field<R>(
    letter: char,
    names: &'static [&'static str],
    header: &'static str,
    text: fn(&R, &Context) -> String,
) -> Field<R> {
    Field { cut: Cut::EndUnlessRight, ..field(letter, names, header, text) }
}

/// As [`field`], for names that a star may mark.
pub const fn star_field<R>(
    letter: char,
    names: &'static [&'static str],
    header: &'static str,
    text: fn(&R, &Context) -> String,
) -> Field<R> {
    Field { cut: Cut::BeforeStar, ..field(letter, names, header, text) }
}

/// A part of a line.
pub enum Piece<R: 'static> {
    /// Fixed text.
    Text(String),
    /// A field.
    Column {
        /// Which.
        field: &'static Field<R>,
        /// Width; 0 for as wide as it is.
        size: usize,
        /// Justified to the right.
        right: bool,
    },
}

/// A format that has been read.
pub struct Format<R: 'static> {
    /// The line, part by part.
    pub pieces: Vec<Piece<R>>,
    /// What was not understood.
    pub invalid: Vec<String>,
}

/// How `%all` joins its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllStyle {
    /// `a|b|…|Z`.
    Plain,
    /// As `sinfo`: a blank before the bar behind capital letters, and one at the end.
    Blanks,
}

/// The letters of `%all` in the order of its columns.
const ALL_LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Reads `%[.][size]letter[text]…`.
pub fn letters<R>(format: &str, fields: &'static [Field<R>], all: AllStyle) -> Format<R> {
    let mut read = Format { pieces: Vec::new(), invalid: Vec::new() };
    let mut tokens = format.split('%');
    if let Some(text) = tokens.next() {
        push_text(&mut read.pieces, text);
    }
    // An empty token comes from `%%`: nothing is printed for it.
    for token in tokens.filter(|token| !token.is_empty()) {
        if token.trim_end() == "all" {
            push_all(&mut read.pieces, fields, all);
            continue;
        }
        let (right, size, rest) = read_size(token);
        let letter = rest.chars().next();
        let Some(letter) = letter else {
            read.invalid.push(String::new());
            push_text(&mut read.pieces, &format!("%{token}"));
            continue;
        };
        match fields.iter().find(|field| field.letter == Some(letter)) {
            Some(field) => {
                read.pieces.push(Piece::Column { field, size, right });
                push_text(&mut read.pieces, &rest[letter.len_utf8()..]);
            }
            None => {
                read.invalid.push(letter.to_string());
                push_text(&mut read.pieces, &format!("%{token}"));
            }
        }
    }
    read
}

/// Reads `name[:[.][size][text]],…`; without a colon a column is 20 wide.
pub fn names<R>(format: &str, fields: &'static [Field<R>]) -> Format<R> {
    const SIZE_DEFAULT: usize = 20;
    let mut read = Format { pieces: Vec::new(), invalid: Vec::new() };
    for token in format.split(',').filter(|token| !token.is_empty()) {
        let (name, right, size, text) = match token.split_once(':') {
            None => (token, false, SIZE_DEFAULT, ""),
            Some((name, rest)) => {
                let (right, size, text) = read_size(rest);
                (name, right, size, text)
            }
        };
        let lower = name.trim().to_ascii_lowercase();
        match fields.iter().find(|field| field.names.contains(&lower.as_str())) {
            Some(field) => {
                read.pieces.push(Piece::Column { field, size, right });
                push_text(&mut read.pieces, text);
            }
            None => read.invalid.push(name.to_owned()),
        }
    }
    read
}

fn push_text<R>(pieces: &mut Vec<Piece<R>>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn push_all<R>(pieces: &mut Vec<Piece<R>>, fields: &'static [Field<R>], style: AllStyle) {
    for letter in ALL_LETTERS.chars() {
        let Some(field) = fields.iter().find(|field| field.letter == Some(letter)) else {
            continue;
        };
        pieces.push(Piece::Column { field, size: 0, right: false });
        let blank = if style == AllStyle::Blanks && letter.is_ascii_uppercase() { " " } else { "" };
        let bar = if letter == 'Z' { "" } else { "|" };
        push_text(pieces, &format!("{blank}{bar}"));
    }
}

/// Reads `[.][size]` and gives what follows.
fn read_size(text: &str) -> (bool, usize, &str) {
    let (right, rest) = match text.strip_prefix('.') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    // Wider than any screen; keeps a slip of the finger from filling the memory.
    const SIZE_MAX: usize = 1 << 16;
    let size = if end == 0 { 0 } else { rest[..end].parse().unwrap_or(SIZE_MAX).min(SIZE_MAX) };
    (right, size, &rest[end..])
}

impl<R> Format<R> {
    /// The line of headings, with its end.
    pub fn header(&self) -> String {
        self.line(|field| field.header.to_owned(), |_| Cut::End)
    }

    /// The line of a row, with its end.
    pub fn row(&self, row: &R, context: &Context) -> String {
        self.line(|field| (field.text)(row, context), |field| field.cut)
    }

    /// Whether a field with this letter or name is shown.
    pub fn shows(&self, test: impl Fn(&Field<R>) -> bool) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Column { field, .. } if test(field)))
    }

    fn line(&self, text: impl Fn(&Field<R>) -> String, cut: impl Fn(&Field<R>) -> Cut) -> String {
        let mut line = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Column { field, size, right } => line.push_str(&fit(&text(field), *size, *right, cut(field))),
            }
        }
        line.push('\n');
        line
    }
}

/// `text` in `size` columns.
pub fn fit(text: &str, size: usize, right: bool, cut: Cut) -> String {
    if size == 0 {
        return text.to_owned();
    }
    let shown = match cut {
        Cut::EndUnlessRight if right => text.to_owned(),
        Cut::BeforeStar if text.len() > size && text.ends_with('*') => {
            format!("{}*", truncate(text, size - 1))
        }
        _ => truncate(text, size).to_owned(),
    };
    let padding = " ".repeat(size.saturating_sub(shown.len()));
    if right { padding + &shown } else { shown + &padding }
}

/// The first `size` bytes of `text`, fewer where that would split a character.
pub fn truncate(text: &str, size: usize) -> &str {
    let mut end = size.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_text_into_columns() {
        let check = |text: &str, size: usize, right: bool, expected: &str| {
            assert_eq!(fit(text, size, right, Cut::End), expected)
        };
        check("running", 0, false, "running");
        check("running", 4, false, "runn");
        check("R", 3, true, "  R");
        check("R", 3, false, "R  ");
        check("äöü", 3, false, "ä ");
        assert_eq!(fit("n[1-20]", 3, true, Cut::EndUnlessRight), "n[1-20]");
        assert_eq!(fit("debug*", 3, false, Cut::BeforeStar), "de*");
    }
}
