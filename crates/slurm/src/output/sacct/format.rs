//! The format language of `sacct`: `name[%[-]width],…`, tables with dashes, and the parsable forms.

use super::super::context::Context;
use super::super::format::truncate;
use super::fields::{self, Field};
use super::row::Row;

/// The columns of a table.
pub struct Format {
    columns: Vec<(&'static Field, i32)>,
}

/// How lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Style {
    /// In columns.
    Table,
    /// `-p`: each value is followed by the delimiter.
    Ended(String),
    /// `-P`: the delimiter stands between values.
    Separated(String),
}

/// The default columns.
pub const DEFAULT: &str = "jobid,jobname,partition,account,alloccpus,state,exitcode";
/// The columns of `-b`.
pub const BRIEF: &str = "jobid,state,exitcode";
/// The columns of `-l`.
pub const LONG: &str = "jobid,jobidraw,jobname,partition,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,averss,maxpages,maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,alloccpus,elapsed,state,exitcode,avecpufreq,reqcpufreqmin,reqcpufreqmax,reqcpufreqgov,reqmem,consumedenergy,maxdiskread,maxdiskreadnode,maxdiskreadtask,avediskread,maxdiskwrite,maxdiskwritenode,maxdiskwritetask,avediskwrite,reqtres,alloctres,tresusageinave,tresusageinmax,tresusageinmaxn,tresusageinmaxt,tresusageinmin,tresusageinminn,tresusageinmint,tresusageintot,tresusageoutmax,tresusageoutmaxn,tresusageoutmaxt,tresusageoutave,tresusageouttot";

/// Widest column.
const WIDTH_MAX: i64 = 1 << 16;

impl Format {
    /// Reads `name[%[-]width],…`; `all` means all columns.
    ///
    /// # Errors
    /// A name that no column begins with.
    pub fn read(text: &str) -> Result<Format, String> {
        let mut columns: Vec<(&'static Field, i32)> = Vec::new();
        for token in text.split(',').filter(|token| !token.is_empty()) {
            let (name, width) = match token.split_once('%') {
                Some((name, width)) => {
                    (name, Some(crate::grammar::numbers::leading_or_zero(width).clamp(-WIDTH_MAX, WIDTH_MAX) as i32))
                }
                None => (token, None),
            };
            if name.eq_ignore_ascii_case("all") {
                columns.extend(fields::FIELDS.iter().map(|field| (field, width.unwrap_or(field.width))));
                continue;
            }
            let field = fields::find(name).ok_or_else(|| name.to_owned())?;
            columns.push((field, width.unwrap_or(field.width)));
            // A column that is named twice is one and the same: the last width holds.
            if let Some(width) = width {
                columns.iter_mut().filter(|(known, _)| std::ptr::eq(*known, field)).for_each(|column| column.1 = width);
            } else if let Some(known) =
                columns.iter().find(|(known, _)| std::ptr::eq(*known, field)).map(|column| column.1)
                && let Some(last) = columns.last_mut()
            {
                last.1 = known;
            }
        }
        Ok(Format { columns })
    }

    /// The headings.
    pub fn header(&self, style: &Style) -> String {
        match style {
            Style::Table => {
                let names: String =
                    self.columns.iter().map(|(field, width)| pad(truncate(field.name, abs(*width)), *width)).collect();
                let dashes: String =
                    self.columns.iter().map(|(_, width)| format!("{} ", "-".repeat(abs(*width)))).collect();
                format!("{names}\n{dashes}\n")
            }
            _ => style.join(self.columns.iter().map(|(field, _)| field.name.to_owned())),
        }
    }

    /// The line of `row`.
    pub fn row(&self, row: &Row, style: &Style, context: &Context) -> String {
        let texts = self.columns.iter().map(|(field, _)| (field.text)(row, context));
        match style {
            Style::Table => {
                let cells = texts.zip(&self.columns).map(|(text, (_, width))| pad(&cut(&text, abs(*width)), *width));
                cells.collect::<String>() + "\n"
            }
            _ => style.join(texts),
        }
    }
}

impl Style {
    /// A line of these values.
    pub(crate) fn join(&self, texts: impl Iterator<Item = String>) -> String {
        match self {
            Style::Ended(delimiter) => texts.map(|text| text + delimiter).collect::<String>() + "\n",
            Style::Separated(delimiter) => texts.collect::<Vec<_>>().join(delimiter) + "\n",
            Style::Table => texts.collect::<String>() + "\n",
        }
    }
}

pub(crate) fn abs(width: i32) -> usize {
    width.unsigned_abs() as usize
}

/// `text` in a column, with the blank behind it.
pub(crate) fn pad(text: &str, width: i32) -> String {
    let padding = " ".repeat(abs(width).saturating_sub(text.len()));
    if width < 0 { format!("{text}{padding} ") } else { format!("{padding}{text} ") }
}

/// `text` cut to `width`, the last character then a plus sign.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.len() <= width {
        return text.to_owned();
    }
    match width.checked_sub(1) {
        Some(rest) => format!("{}+", truncate(text, rest)),
        None => String::new(),
    }
}
