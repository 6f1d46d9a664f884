//! Tables of `sacctmgr`: columns by name, `format=name%width,…`, headings, and the parsable forms.

use super::words::is_cut;

/// One column over rows of type `R`.
pub(super) struct Column<R: 'static> {
    /// Heading.
    pub(super) heading: &'static str,
    /// What it may be called in `format=`, besides its heading; each may be cut.
    pub(super) names: &'static [&'static str],
    /// Width; to the left where negative.
    pub(super) width: i32,
    /// The text of a row.
    pub(super) text: fn(&R) -> String,
}

/// A column, in one line of a list.
pub(super) const fn column<R: 'static>(
    heading: &'static str,
    names: &'static [&'static str],
    width: i32,
    text: fn(&R) -> String,
) -> Column<R> {
    Column { heading, names, width, text }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    /// In columns.
    #[default]
    Table,
    /// `-p`: a bar behind each value.
    Ended,
    /// `-P`: a bar between values.
    Separated,
}

/// Widest column, so that a mistyped width cannot fill the memory.
const WIDTH_MAX: i32 = 1 << 12;

/// The columns of a table.
pub(super) type Format<R> = Vec<(&'static Column<R>, i32)>;

/// Reads `name[%[-]width],…`.
///
/// # Errors
/// The complaint about a name that no column has.
pub(super) fn read<R>(text: &str, columns: &'static [Column<R>]) -> Result<Format<R>, String> {
    let mut format = Vec::new();
    for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        let (name, width) = token.split_once('%').map_or((token, None), |(name, width)| (name, Some(width)));
        let named = |column: &&Column<R>| {
            let heading = column.heading.replace(' ', "");
            // `Parent` alone could be the name or the number of the parent.
            let least = if heading.starts_with("Parent") { 7 } else { 1 };
            is_cut(name, &heading, least) || column.names.iter().any(|known| is_cut(name, known, 1))
        };
        let exact = |column: &&Column<R>| {
            column.heading.eq_ignore_ascii_case(name)
                || column.names.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let column = columns.iter().find(exact).or_else(|| columns.iter().find(named));
        let column = column.ok_or_else(|| format!("Unknown field '{}'\n", name.to_ascii_lowercase()))?;
        let width = width.and_then(|width| width.parse::<i32>().ok()).unwrap_or(column.width);
        format.push((column, width.clamp(-WIDTH_MAX, WIDTH_MAX)));
    }
    Ok(format)
}

/// The whole table.
pub(super) fn render<R>(format: &Format<R>, rows: &[R], style: Style, header: bool) -> String {
    let mut text = String::new();
    if header {
        let headings = || format.iter().map(|(column, _)| column.heading.to_owned());
        match style {
            Style::Table => {
                for (column, width) in format {
                    text.push_str(&pad(&clip(column.heading, width.unsigned_abs() as usize), *width));
                }
                text.push('\n');
                for (_, width) in format {
                    text.push_str(&"-".repeat(width.unsigned_abs() as usize));
                    text.push(' ');
                }
                text.push('\n');
            }
            style => join(&mut text, headings(), style),
        }
    }
    for row in rows {
        let values = format.iter().map(|(column, _)| (column.text)(row));
        match style {
            Style::Table => {
                for (value, (_, width)) in values.zip(format) {
                    text.push_str(&pad(&cut(&value, width.unsigned_abs() as usize), *width));
                }
                text.push('\n');
            }
            style => join(&mut text, values, style),
        }
    }
    text
}

fn join(text: &mut String, values: impl Iterator<Item = String>, style: Style) {
    let joined = values.collect::<Vec<_>>().join("|");
    text.push_str(&joined);
    text.push_str(if style == Style::Ended { "|\n" } else { "\n" });
}

fn pad(text: &str, width: i32) -> String {
    let padding = " ".repeat((width.unsigned_abs() as usize).saturating_sub(text.chars().count()));
    if width < 0 { format!("{text}{padding} ") } else { format!("{padding}{text} ") }
}

fn clip(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// `text` cut to `width`, the last character then a plus sign.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    clip(text, width.saturating_sub(1)) + if width == 0 { "" } else { "+" }
}
